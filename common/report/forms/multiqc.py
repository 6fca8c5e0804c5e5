"""The report as custom content for MultiQC: a heat map of cells, general statistics, and a table of wells.

MultiQC takes one content from each file, so there are three files. Source: "Custom content" in MultiQC's documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, BinaryIO

import msgspec
from pycytominer_transform.common.report.contents import Plate, Report, Well
from pycytominer_transform.common.report.plate_format import row_name
from pycytominer_transform.common.runtime.messages import printable


def write_heat_map(report: Report, sink: BinaryIO) -> None:
    """Write the cells per well as a heat map; the rows of several plates one below the other."""
    columns = max((plate.columns for plate in report.plates), default=0)
    names, rows = [], []
    for plate in report.plates:
        cells = {(well.row, well.column): well.cells for well in plate.wells}
        for row in range(plate.rows):
            names.append(f"{_safe(plate.name)} {row_name(row)}".strip())
            rows.append([cells.get((row, column)) for column in range(columns)])
    config = {"title": "Cells per well", "xlab": "column", "ylab": "row", "square": False, "display_values": True}
    _write(
        sink,
        report,
        "cells",
        "heatmap",
        config,
        rows,
        xcats=[str(column + 1) for column in range(columns)],
        ycats=names,
    )


def write_general_statistics(report: Report, sink: BinaryIO) -> None:
    """Write a row per plate of MultiQC's general statistics."""
    headers: list[dict[str, Any]] = [
        {"cells": {"title": "Cells", "format": "{:,.0f}", "scale": "Blues"}},
        {"wells": {"title": "Wells", "format": "{:,.0f}", "scale": "Blues"}},
        {"wells_missing": {"title": "Wells missing", "format": "{:,.0f}", "scale": "Oranges"}},
        {"wells_outliers": {"title": "Outlier wells", "format": "{:,.0f}", "scale": "Oranges"}},
        {"objects_unmatched": {"title": "Objects without partner", "format": "{:,.0f}", "scale": "Oranges"}},
        {"nulls": {"title": "Nulls", "suffix": " %", "format": "{:,.2f}", "scale": "Oranges"}},
    ]
    data = {_safe(plate.name) or _safe(report.title): _statistics(plate) for plate in report.plates}
    _write(sink, report, "general", "generalstats", headers, data)


def write_wells(report: Report, sink: BinaryIO) -> None:
    """Write a row per well."""
    headers = {
        "cells": {"title": "Cells", "format": "{:,.0f}", "scale": "Blues"},
        "robust_z": {"title": "Robust z of cells", "format": "{:,.1f}", "scale": "RdBu"},
        "unmatched": {"title": "Objects without partner", "format": "{:,.0f}", "scale": "Oranges"},
        "nulls": {"title": "Nulls", "suffix": " %", "format": "{:,.2f}", "scale": "Oranges"},
        "image_sets": {"title": "Image sets", "format": "{:,.0f}", "scale": "Greens"},
    }
    data = {
        f"{_safe(plate.name)} {_safe(well.name)}".strip(): _figures(well)
        for plate in report.plates
        for well in plate.wells
    }
    _write(sink, report, "wells", "table", {"title": "Wells", "id": "pct_report_wells_table"}, data, headers=headers)


def _statistics(plate: Plate) -> dict[str, float]:
    shares = [(well.null_share, well.cells) for well in plate.wells if well.null_share is not None]
    cells = sum(number for _, number in shares)
    return {
        "cells": sum(well.cells for well in plate.wells),
        "wells": len(plate.wells),
        "wells_missing": len(plate.missing),
        "wells_outliers": sum(bool(well.outlier_of) for well in plate.wells),
        "objects_unmatched": sum(sum(well.unmatched.values()) for well in plate.wells),
        "nulls": 100 * sum(share * number for share, number in shares) / cells if cells else 0.0,
    }


def _figures(well: Well) -> dict[str, float]:
    figures: dict[str, float] = {
        "cells": well.cells,
        "unmatched": sum(well.unmatched.values()),
        "image_sets": well.known_image_sets,
    }
    if well.null_share is not None:
        figures["nulls"] = 100 * well.null_share
    if "cells" in well.robust_z:
        figures["robust_z"] = well.robust_z["cells"]
    return figures


def _write(sink: BinaryIO, report: Report, name: str, plot_type: str, config: Any, data: Any, **more: Any) -> None:
    titles = {"cells": "Cells per well", "general": "Plates", "wells": "Wells"}
    # Several files of one identity are one content to MultiQC; heat maps cannot be put together.
    plates: Sequence[str] = [plate.name for plate in report.plates] if plot_type == "heatmap" else []
    content = {
        "id": "_".join(["pct_report", name, *(_identity(plate) for plate in plates)]),
        "section_name": ": ".join(filter(None, [titles[name], ", ".join(map(_safe, plates))])),
        "description": f"{_safe(report.title)}, by {report.made_by}",
        "plot_type": plot_type,
        "pconfig": config,
        "data": data,
    }
    sink.write(msgspec.json.format(msgspec.json.encode(content | more), indent=1) + b"\n")


def _identity(text: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in text)


def _safe(text: str) -> str:
    """Return a name that is only text in MultiQC's page, which takes HTML."""
    return escape(printable(text))
