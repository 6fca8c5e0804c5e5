"""Makes the report of what the pass over the files measured and of what their provenance says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from pycytominer_transform.common.model.feature_names import parse_feature_names
from pycytominer_transform.common.model.naming import well_name
from pycytominer_transform.common.model.roles import ROLES
from pycytominer_transform.common.model.version import tool_version
from pycytominer_transform.common.model.well_counts import (
    IMAGES_WITHOUT_OBJECTS,
    WELL_IMAGES,
    WELL_ROWS,
    WELL_UNMATCHED,
    WELL_WITHOUT,
)
from pycytominer_transform.common.report.contents import (
    Feature,
    FeatureGroup,
    Histogram,
    Notice,
    Plate,
    Report,
    TableCounts,
    Well,
)
from pycytominer_transform.common.report.measured import FeatureSums, Measured, WellSums, added_images
from pycytominer_transform.common.report.plate_format import format_of, place_of, well_at
from pycytominer_transform.common.report.recorded_counts import (
    by_well,
    counts_of,
    notices_of,
    sources_of,
    steps_of_files,
)
from pycytominer_transform.common.report.row_group import AREA_STEPS

OUTLIER_Z = 3.5
"""Robust z of an outlier. Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993)."""
_LEAST_WELLS = 8
"""Wells of a plate that are needed to call one of them an outlier."""
_NORMAL = 1.4826
"""The standard deviation of a normal distribution in units of its median absolute deviation."""
MOSTLY = 0.5
"""Share of nulls from which a feature is mostly null."""
_BINS = 30
_IMAGE = "image"
"""The table of image sets, whatever it is called in the source."""


def build_report(found: Measured, *, title: str, source: str = "", command: str = "") -> Report:
    """Return the report.

    Parameters
    ----------
    found : Measured
        What the files hold.
    title, source, command : str
        See `Report`.
    """
    steps = steps_of_files(found.provenance)
    joined = counts_of(steps, "pct-join")
    recorded = _Recorded(joined)
    plates = _plates(found, recorded)
    features = _features(found.features)
    partial = {name: number for name, number in found.columns_of_files.items() if number < len(found.files)}
    notices = [*notices_of(steps)]
    notices += [
        Notice(kind="column that only some of the files have", subject=name, number=number)
        for name, number in partial.items()
    ]
    nowhere = [sums.cells for (_, well), sums in found.wells.items() if well is None]
    tables = _tables(joined)
    roles = Counter(found.roles.values())
    return Report(
        made_by=f"pct-report {tool_version()}",
        title=title,
        source=source or ", ".join(sources_of(steps)),
        preset=", ".join(sorted({preset for preset, _, _ in found.provenance if preset})),
        command=command,
        files=tuple(found.files),
        rows=sum(file.rows for file in found.files),
        columns=len(found.roles),
        roles={role: roles[role] for role in ROLES if roles[role]},
        totals=_totals(plates, features, tables, joined, sum(nowhere), found),
        plates=plates,
        cells_without_well=sum(nowhere),
        tables=tables,
        features=features,
        feature_groups=_feature_groups(features),
        histograms=tuple(_histograms(plates, found)),
        notices=tuple(notices),
        steps=steps,
    )


class _Recorded:
    """The counts per well that `pct-join` recorded; each is empty for an output that has none."""

    def __init__(self, joined: Mapping[str, Any]) -> None:
        def of_tables(name: str) -> dict[str, dict[tuple[str, str], int]]:
            return {table: by_well(counts, has_plates=True) for table, counts in joined.get(name, {}).items()}

        self.rows, self.unmatched, self.without = map(of_tables, (WELL_ROWS, WELL_UNMATCHED, WELL_WITHOUT))
        self.images = by_well(joined.get(WELL_IMAGES, {}), has_plates=True)
        self.empty_images = by_well(joined.get(IMAGES_WITHOUT_OBJECTS, {}), has_plates=True)
        platemap = joined.get("platemap")
        self.has_platemap = platemap is not None
        labels = (platemap or {}).get("without_entry", {})
        self.without_entry = set(by_well(labels, has_plates=True)) | set(by_well(labels, has_plates=False))

    def wells(self) -> set[tuple[str, str]]:
        """Return the plates and wells of the source."""
        return set(self.images).union(*self.rows.values())


def _plates(found: Measured, recorded: _Recorded) -> tuple[Plate, ...]:
    wells: dict[tuple[str, str], WellSums] = {}
    for (plate, well), sums in found.wells.items():
        if well is not None:
            wells.setdefault((plate, well_name(well)), WellSums()).add(sums)
    for key in recorded.wells():
        wells.setdefault(key, WellSums())
    image_sets = _image_sets(found)
    names: dict[str, list[str]] = defaultdict(list)
    for plate, well in sorted(wells):
        names[plate].append(well)
    return tuple(_plate(plate, names[plate], wells, image_sets, recorded) for plate in names)


def _image_sets(found: Measured) -> dict[tuple[str, str], dict[str, list[int]]]:
    """Return by plate and well, and by site, the cells of each image set; a site without a name is empty."""
    sites: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    if found.images:
        columns = added_images(found.images).select(["plate", "well", "site", "cells"]).to_pydict()
        for plate, well, site, cells in zip(*columns.values(), strict=True):
            if well:
                sites[plate or "", well_name(well)][site or ""].append(cells)
    return sites


def _plate(
    name: str, wells: Sequence[str], sums: Mapping[tuple[str, str], WellSums],
    image_sets: Mapping[tuple[str, str], dict[str, list[int]]], recorded: _Recorded,
) -> Plate:  # fmt: skip
    places = {well: place for well in wells if (place := place_of(well))}
    rows, columns = format_of(places.values())
    sites = sorted({site for well in wells for site in image_sets.get((name, well), {}) if site}, key=_as_number)
    taken = set(places.values())
    missing = (well_at(row, column) for row in range(rows) for column in range(columns) if (row, column) not in taken)
    made = [
        _well((name, well), places.get(well), sums[name, well], image_sets.get((name, well), {}), sites, recorded)
        for well in wells
    ]
    made.sort(key=lambda well: (well.row < 0, well.row, well.column, well.name))
    numbers = Counter(well.known_image_sets for well in made)
    return Plate(
        name=name, rows=rows, columns=columns, wells=tuple(_with_robust_z(made)), missing=tuple(missing),
        sites=tuple(sites), usual_image_sets=max(numbers, key=lambda number: (numbers[number], number)),
    )  # fmt: skip


def _well(
    key: tuple[str, str], place: tuple[int, int] | None, sums: WellSums, image_sets: Mapping[str, list[int]],
    sites: Sequence[str], recorded: _Recorded,
) -> Well:  # fmt: skip
    row, column = place or (-1, -1)
    return Well(
        name=key[1],
        row=row,
        column=column,
        cells=sums.cells,
        image_sets=sum(map(len, image_sets.values())),
        image_sets_read=recorded.images.get(key, 0) if recorded.images else None,
        image_sets_without_objects=recorded.empty_images.get(key, 0) if recorded.images else None,
        sites={site: sum(image_sets[site]) for site in sorted(image_sets, key=_as_number) if site},
        sites_missing=tuple(site for site in sites if site not in image_sets),
        sites_doubled=tuple(site for site in sites if len(image_sets.get(site, ())) > 1),
        objects={table: counts[key] for table, counts in recorded.rows.items() if key in counts},
        unmatched={table: counts[key] for table, counts in recorded.unmatched.items() if key in counts},
        without={table: counts[key] for table, counts in recorded.without.items() if key in counts},
        nulls=sums.nulls,
        null_share=sums.nulls / sums.values if sums.values else None,
        mean_areas={name: total / number for name, (total, number) in sorted(sums.areas.items())},
        control="" if sums.control.lower() in ("trt", "treatment", "empty") else sums.control,
        has_platemap_entry=(key not in recorded.without_entry and ("", key[1]) not in recorded.without_entry)
        if recorded.has_platemap
        else None,
    )


def _with_robust_z(wells: Sequence[Well]) -> list[Well]:
    """Return the wells of a plate with the robust z of each measure."""
    import msgspec

    measures: dict[str, dict[str, float]] = {"cells": {well.name: well.cells for well in wells}}
    measures["null_share"] = {well.name: well.null_share for well in wells if well.null_share is not None}
    for compartment in sorted({name for well in wells for name in well.mean_areas}):
        measures[f"area.{compartment}"] = {
            well.name: well.mean_areas[compartment] for well in wells if compartment in well.mean_areas
        }
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for measure, values in measures.items():
        for well, score in robust_z(values).items():
            scores[well][measure] = score
    return [
        msgspec.structs.replace(
            well,
            robust_z=scores[well.name],
            outlier_of=tuple(name for name, score in scores[well.name].items() if abs(score) >= OUTLIER_Z),
        )
        for well in wells
    ]


def robust_z(values: Mapping[str, float]) -> dict[str, float]:
    """Return each value's distance from the median in units of the scaled median absolute deviation.

    There is none for fewer than 8 values, or where more than half of them are equal.
    """
    if len(values) < _LEAST_WELLS:
        return {}
    middle = median(values.values())
    deviation = _NORMAL * median(abs(value - middle) for value in values.values())
    return {name: (value - middle) / deviation for name, value in values.items()} if deviation else {}


def _features(sums: Mapping[str, FeatureSums]) -> tuple[Feature, ...]:
    names = list(sums)
    return tuple(
        _feature(name, parts, sums[name]) for name, parts in zip(names, parse_feature_names(names), strict=True)
    )


def _feature(name: str, parts: Any, sums: FeatureSums) -> Feature:
    share = sums.nulls / sums.values if sums.values else 0.0
    faults = []
    if sums.values and sums.nulls == sums.values:
        faults.append("all null")
    elif share >= MOSTLY:
        faults.append("mostly null")
    if sums.infinite:
        faults.append("infinite")
    if sums.minimum is not None and sums.minimum == sums.maximum and not sums.infinite and sums.values > 1:
        faults.append("constant")
    return Feature(
        name=name, compartment=parts.compartment, module=parts.module, channel=parts.channel, nulls=sums.nulls,
        null_share=share, infinite=sums.infinite, minimum=sums.minimum, maximum=sums.maximum, faults=tuple(faults),
    )  # fmt: skip


def _feature_groups(features: Iterable[Feature]) -> tuple[FeatureGroup, ...]:
    groups: dict[tuple[str, str, str], list[Feature]] = defaultdict(list)
    for feature in features:
        groups[feature.compartment, feature.module, feature.channel].append(feature)
    return tuple(
        FeatureGroup(
            compartment=compartment, module=module, channel=channel, features=len(group),
            faulty=sum(bool(feature.faults) for feature in group),
            null_share=sum(feature.null_share for feature in group) / len(group),
        )
        for (compartment, module, channel), group in sorted(groups.items())
    )  # fmt: skip


def worst_features(features: Iterable[Feature], most: int = 50) -> list[Feature]:
    """Return the features with a fault or any null, the worst first: null, then infinite, then constant ones."""
    faulty = [feature for feature in features if feature.faults or feature.nulls]
    faulty.sort(
        key=lambda feature: (
            "all null" not in feature.faults, "mostly null" not in feature.faults, "infinite" not in feature.faults,
            "constant" not in feature.faults, -feature.null_share, -feature.infinite, feature.name,
        )
    )  # fmt: skip
    return faulty[:most]


def _tables(joined: Mapping[str, Any]) -> tuple[TableCounts, ...]:
    rows, unmatched, without = (joined.get(name, {}) for name in ("rows", "unmatched", "without"))
    return tuple(
        TableCounts(
            table=table, rows=number, joined=number - unmatched[table], unmatched=unmatched[table],
            without=without.get(table),
        )
        for table, number in rows.items()
        if table in unmatched
    )  # fmt: skip


def _histograms(plates: Iterable[Plate], found: Measured) -> Iterable[Histogram]:
    wells = [well for plate in plates for well in plate.wells]
    yield _counted("cells per well", "wells", [well.cells for well in wells])
    yield _counted("cells per site", "sites", [cells for well in wells for cells in well.sites.values()])
    for compartment, counts in sorted(found.area_counts.items()):
        bins = [place for place, number in enumerate(counts) if number]
        if bins:
            first, last = bins[0], bins[-1]
            yield Histogram(
                name=f"area of {compartment} in pixels", unit="cells",
                edges=tuple(2 ** (place / AREA_STEPS) for place in range(first, last + 2)),
                counts=tuple(int(number) for number in counts[first : last + 1]), is_logarithmic=True,
            )  # fmt: skip


def _counted(name: str, unit: str, values: Collection[int]) -> Histogram:
    """Return a distribution of whole numbers in at most 30 bins of one whole width."""
    if not values:
        return Histogram(name=name, unit=unit, edges=(), counts=())
    low, high = min(values), max(values)
    width = max(1, -(-(high - low + 1) // _BINS))
    number = (high - low) // width + 1
    counts = Counter((value - low) // width for value in values)
    edges = tuple(float(low + width * place) for place in range(number + 1))
    return Histogram(name=name, unit=unit, edges=edges, counts=tuple(counts[place] for place in range(number)))


def _totals(
    plates: Sequence[Plate], features: Sequence[Feature], tables: Sequence[TableCounts], joined: Mapping[str, Any],
    nowhere: int, found: Measured,
) -> dict[str, dict[str, int | float]]:  # fmt: skip
    """Return the figures that name a whole output, by section."""
    wells = [(plate, well) for plate in plates for well in plate.wells]
    empty_images = sum(well.image_sets_without_objects or 0 for _, well in wells)
    # An image set without cells has no site in the output, so the provenance says how many of the sites were there.
    unseen = [max(0, len(well.sites_missing) - max(0, well.known_image_sets - well.image_sets)) for _, well in wells]
    faults = Counter(fault for feature in features for fault in feature.faults)
    values = sum(sums.values for sums in found.features.values())
    nulls = sum(sums.nulls for sums in found.features.values())
    totals: dict[str, dict[str, int | float]] = {
        "plates": {"total": len(plates)},
        "wells": {
            "found": len(wells),
            "missing": sum(len(plate.missing) for plate in plates),
            "empty": sum(not well.cells for _, well in wells),
            "outliers": sum(bool(well.outlier_of) for _, well in wells),
            "without_platemap_entry": sum(well.has_platemap_entry is False for _, well in wells),
        },
        "sites": {
            "found": sum(len(well.sites) for _, well in wells),
            "missing": sum(unseen),
            "doubled": sum(len(well.sites_doubled) for _, well in wells),
            "uneven_wells": sum(well.known_image_sets != plate.usual_image_sets for plate, well in wells),
        },
        "image_sets": {
            "total": sum(well.known_image_sets for _, well in wells),
            "with_cells": sum(well.image_sets for _, well in wells),
            "without_objects": empty_images,
        },
        "cells": {
            "total": sum(file.rows for file in found.files),
            "without_well": nowhere,
            "median_per_well": median([well.cells for _, well in wells]) if wells else 0,
        },
        "objects": {
            "total": sum(table.rows for table in tables if table.table != _IMAGE),
            "unmatched": sum(table.unmatched for table in tables if table.table != _IMAGE),
            "incomplete": joined.get("incomplete", 0),
            "dropped": joined.get("dropped", 0),
        },
        "features": {
            "total": len(features),
            "all_null": faults["all null"],
            "mostly_null": faults["mostly null"],
            "infinite": faults["infinite"],
            "constant": faults["constant"],
            "null_share": nulls / values if values else 0.0,
        },
        "columns": {"total": len(found.roles)},
    }
    return totals


def _as_number(text: str) -> tuple[int, int, str]:
    """Sort numbers by their value, before other texts."""
    return (0, int(text), text) if text.isdecimal() else (1, 0, text)
