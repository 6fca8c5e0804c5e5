"""The report as one HTML page that needs nothing else: no script, no network, no font."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Any, BinaryIO

from pycytominer_transform.common.report.assembly import MOSTLY, OUTLIER_Z, worst_features
from pycytominer_transform.common.report.contents import FeatureGroup, Plate, Report, Well
from pycytominer_transform.common.report.forms.pictures import (
    CHART_HEIGHT,
    CHART_WIDTH,
    CLASSES,
    HeatMap,
    Measure,
    bar_chart,
    heat_map,
)
from pycytominer_transform.common.runtime.messages import printable, size

MOST_LISTED = 50


def html_page(report: Report) -> str:
    """Return the page."""
    from jinja2 import Environment, StrictUndefined

    folder = files(__package__)
    # Every value is escaped; only the style sheet, which is ours, goes in as it is.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "share": _share, "name": printable, "size": size}
    page = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    return page.render(
        report=report,
        style=(folder / "page.css").read_text(encoding="utf-8"),
        plates=[(plate, _maps(plate)) for plate in report.plates],
        charts=[bar_chart(histogram) for histogram in report.histograms if histogram.counts],
        chart_size=(CHART_WIDTH, CHART_HEIGHT),
        tiles=_tiles(report),
        matrix=_matrix(report.feature_groups),
        worst=worst_features(report.features, MOST_LISTED),
        losses=_losses(report),
        outliers=[(plate, well) for plate in report.plates for well in plate.wells if well.outlier_of],
        odd_sites=[(plate, well) for plate in report.plates for well in plate.wells if _has_odd_sites(plate, well)],
        without_entry=[
            (plate, well) for plate in report.plates for well in plate.wells if well.has_platemap_entry is False
        ],
        lost_of=_lost,
        most=MOST_LISTED,
        mostly=MOSTLY,
        outlier_z=OUTLIER_Z,
    )


def write_html(report: Report, sink: BinaryIO) -> None:
    """Write the page."""
    sink.write(html_page(report).encode("utf-8", "backslashreplace"))


def _number(value: float | None) -> str:
    if value is None:
        return "–"  # noqa: RUF001
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _share(value: float | None) -> str:
    """Return a share in percent; one that is not zero never looks like zero."""
    if value is None:
        return "–"  # noqa: RUF001
    percent = 100 * value
    if 0 < percent < 0.01:
        return "< 0.01 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.2f} %" if percent < 10 else f"{percent:.1f} %"


def _short_share(value: float) -> str:
    percent = 100 * value
    return "0" if not percent else f"{percent:.1f}" if percent < 10 else f"{percent:.0f}"


def _lost(well: Well) -> int | None:
    """Return the number of a well's objects that were not joined; None if the provenance does not say."""
    return sum(well.unmatched.values()) if well.objects else None


def _maps(plate: Plate) -> list[HeatMap]:
    """Return the heat maps of a plate; those of which nothing is known are left out."""
    measures = [
        Measure("Cells per well", "good", lambda well: well.cells, _compact, lambda n: f"{n:,.0f} cells", "cells"),
        Measure("Objects without a partner", "bad", _lost, _compact, lambda n: f"{n:,.0f} objects", least_high=8),
        Measure(
            "Share of nulls in features, in percent", "bad", lambda well: well.null_share, _short_share, _share,
            "null_share", least_high=0.05,
        ),
        Measure(
            "Image sets per well", "good", lambda well: well.known_image_sets,
            _compact, lambda n: f"{n:,.0f} image sets",
        ),
    ]  # fmt: skip
    if not plate.size:
        return []
    return [
        heat_map(plate, measure) for measure in measures if any(measure.value(well) is not None for well in plate.wells)
    ]


def _compact(value: float) -> str:
    """Return a number in at most four characters."""
    if value < 10_000:
        return f"{value:.0f}"
    return f"{value / 1e3:.0f}k" if value < 1_000_000 else f"{value / 1e6:.1f}M"


def _tiles(report: Report) -> list[tuple[str, str, str]]:
    """Return the figures at the top: the number, what it is, and whether it is worth a look."""
    totals = report.totals
    wells, sites, objects, features = (totals[name] for name in ("wells", "sites", "objects", "features"))
    faulty = sum(bool(feature.faults) for feature in report.features)
    tiles = [
        (_number(report.rows), "cells", ""),
        (_number(wells["found"]), "wells" if wells["found"] != 1 else "well", ""),
        (_number(wells["missing"]), "wells missing", "look" if wells["missing"] else ""),
        (_number(sites["missing"]), "sites missing", "look" if sites["missing"] else ""),
        (_number(objects["unmatched"]), "objects without a partner", "look" if objects["unmatched"] else ""),
        (_number(wells["outliers"]), "outlier wells", "look" if wells["outliers"] else ""),
        (_number(features["total"]), "features", ""),
        (_number(faulty), "features with a fault", "look" if faulty else ""),
    ]
    return tiles


def _matrix(groups: Iterable[FeatureGroup]) -> dict[str, Any]:
    """Return the groups of features as a table: a row per module and channel, a column per compartment."""
    by_key = {(group.module, group.channel, group.compartment): group for group in groups}
    compartments = sorted({key[2] for key in by_key})
    rows = [
        {
            "module": module,
            "channel": channel,
            "cells": [
                (group, f"s{min(int(group.null_share * 2 * CLASSES), CLASSES - 1)}" if group.null_share else "none")
                if (group := by_key.get((module, channel, compartment)))
                else (None, "")
                for compartment in compartments
            ],
        }
        for module, channel in sorted({key[:2] for key in by_key})
    ]
    return {"compartments": compartments, "rows": rows}


def _losses(report: Report) -> list[tuple[Plate, Well, list[tuple[str, int, int]]]]:
    """Return the wells that lost objects, those with the largest share first: by table the objects and the lost."""
    lost = [
        (plate, well, [(table, number, well.unmatched.get(table, 0)) for table, number in well.objects.items()])
        for plate in report.plates
        for well in plate.wells
        if sum(well.unmatched.values())
    ]
    lost.sort(key=lambda each: -sum(each[1].unmatched.values()) / max(sum(each[1].objects.values()), 1))
    return lost[:MOST_LISTED]


def _has_odd_sites(plate: Plate, well: Well) -> bool:
    is_uneven = well.known_image_sets != plate.usual_image_sets
    return bool(well.sites_missing or well.sites_doubled or well.image_sets_without_objects or is_uneven)
