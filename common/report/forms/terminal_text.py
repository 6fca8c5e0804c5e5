"""The report as text for a terminal: the head, the counts, a small plate, what is in the files, the provenance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pycytominer_transform.common.model.naming import listed
from pycytominer_transform.common.report.assembly import worst_features
from pycytominer_transform.common.report.contents import Plate, Report, Well
from pycytominer_transform.common.report.forms.pictures import CLASSES, color_class
from pycytominer_transform.common.report.plate_format import row_name
from pycytominer_transform.common.runtime.messages import count, printable, size

_SHADES = "··░░▒▒▓█"
"""From few cells to many, one for each class, for output without colour."""
_COLOURS = (17, 18, 25, 31, 38, 80, 122, 158)
"""The same of the 256 colours of terminals, dark to light."""
_OUTLIER, _EMPTY = "!", "0"
_MOST = 8


def terminal_text(report: Report, *, colour: bool) -> str:
    """Return the report as text; with colour, each well of a plate has a background."""
    sections = [
        _head(report),
        *(_plate(plate, colour=colour) for plate in report.plates),
        _counts(report),
        _contents(report),
        _provenance(report),
    ]
    return "\n".join("".join(f"{line}\n" for line in section) for section in sections)


def _head(report: Report) -> Iterator[str]:
    rows, columns, files = count(report.rows, "row"), count(report.columns, "column"), count(len(report.files), "file")
    yield printable(report.title)
    yield f"{rows}, {columns}, {size(sum(file.bytes for file in report.files))} in {files}"
    if report.source:
        yield f"source: {printable(report.source)}"
    if report.preset:
        yield f"preset: {printable(report.preset)}"
    if report.command:
        yield f"to make it again: {printable(report.command)}"


def _plate(plate: Plate, *, colour: bool) -> Iterator[str]:
    cells = count(sum(well.cells for well in plate.wells), "cell")
    known = f"{len(plate.wells)} of {plate.size} wells" if plate.size else count(len(plate.wells), "well")
    yield f"plate {printable(plate.name)}: {known}, {cells}" if plate.name else f"one plate: {known}, {cells}"
    if not plate.size:
        return
    wells = {(well.row, well.column): well for well in plate.wells}
    numbers = [well.cells for well in plate.wells if well.row >= 0]
    low, high = min(numbers), max(numbers)
    width = 2 if plate.columns <= 24 else 1
    yield f"    {_column_names(plate.columns, width)}"
    for row in range(plate.rows):
        marks = [_mark(wells.get((row, column)), low, high, width, colour=colour) for column in range(plate.columns)]
        yield f" {row_name(row):>2} {''.join(marks)}".rstrip()
    scale = f"dark {low} to light {high}" if colour else f"{_SHADES[0]} {low} to {_SHADES[-1]} {high}"
    yield f"    cells: {scale}, {_OUTLIER} outlier, {_EMPTY} no cells, blank missing"
    if plate.missing:
        yield f"    missing: {listed(plate.missing, 12)}"


def _column_names(columns: int, width: int) -> str:
    """Return the numbers of the first column and of every fifth, above their columns."""
    line = [" "] * (columns * width + 2)
    for column in (0, *range(4, columns, 5)):
        line[column * width : column * width + 2] = f"{column + 1:<2}"
    return "".join(line).rstrip()


def _mark(well: Well | None, low: float, high: float, width: int, *, colour: bool) -> str:
    if well is None:
        return " " * width
    step = color_class(well.cells, low, high)
    mark = _OUTLIER if "cells" in well.outlier_of else "" if well.cells else _EMPTY
    if not colour:
        return f"{mark or _SHADES[step]:<{width}}"
    foreground = 97 if step < CLASSES // 2 else 30
    return f"\x1b[48;5;{_COLOURS[step]};{foreground}m{mark:<{width}}\x1b[0m"


def _counts(report: Report) -> Iterator[str]:
    wells, sites, objects, features = (report.totals[name] for name in ("wells", "sites", "objects", "features"))
    images = report.totals["image_sets"]
    found, missing, empty, outliers = (wells[name] for name in ("found", "missing", "empty", "outliers"))
    yield f"wells: {found} found, {missing} missing, {empty} without cells, {outliers} outliers"
    yield f"image sets: {images['total']}, {images['without_objects']} without objects"
    yield f"sites: {sites['found']} found, {sites['missing']} missing, {sites['doubled']} doubled"
    for table in report.tables:
        rows = count(table.rows, "row")
        yield f"{printable(table.table)}: {rows}, {table.joined} joined, {table.unmatched} without a partner"
    if objects["dropped"]:
        yield f"dropped for want of a partner: {count(int(objects['dropped']), 'cell')}"
    empty, sparse, infinite, constant = (features[name] for name in ("all_null", "mostly_null", "infinite", "constant"))
    yield (
        f"features: {features['total']}, {empty} all null, {sparse} mostly null, {infinite} with infinite values, "
        f"{constant} constant"
    )
    for feature in worst_features(report.features, _MOST):
        if feature.faults:
            yield f"    {printable(feature.name)}: {', '.join(feature.faults)}"
    for notice in report.notices[:_MOST]:
        subject = f", {printable(notice.subject)}" if notice.subject else ""
        yield f"{notice.kind}{subject}: {notice.number}"
    if len(report.notices) > _MOST:
        yield f"and {len(report.notices) - _MOST} more; pct-report -o report.json has all"


def _contents(report: Report) -> Iterator[str]:
    yield f"columns: {', '.join(f'{number} {role}' for role, number in report.roles.items())}"
    for file in report.files[:_MOST]:
        groups = count(file.row_groups, "row group")
        yield f"{printable(file.name)}: {count(file.rows, 'row')} in {groups}, {size(file.bytes)}"
    if len(report.files) > _MOST:
        yield f"and {len(report.files) - _MOST} more files"


def _provenance(report: Report) -> Iterator[str]:
    if not report.steps:
        yield "no provenance: the files were not written by this suite"
    for step in report.steps:
        yield printable(step.tool_and_version)
        options = {name: value for name, value in step.options.items() if value not in ("", None, [], False, 0)}
        if options:
            yield f"    {printable(', '.join(f'{name}={_text(value)}' for name, value in options.items()))}"
        for name, value in step.counts.items():
            # What is counted by well is on the plates.
            if not name.startswith("well"):
                yield f"    {printable(f'{name}: {_text(value)}')}"


def _text(value: Any) -> str:
    """Return an option or counts as text."""
    if isinstance(value, dict):
        counts = [f"{name} {sum(one.values()) if isinstance(one, dict) else one}" for name, one in value.items()]
        return listed(counts, 12) or "none"
    return _listed(value) if isinstance(value, list) else str(value)


def _listed(values: Sequence[Any]) -> str:
    return ",".join(map(str, values))
