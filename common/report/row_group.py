"""Measures one row group: its wells, its image sets, its features, its areas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isinf
from typing import TYPE_CHECKING

from pycytominer_transform.common.report.measured import KEYS, FeatureSums, Measured, WellKey, WellSums

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

AREA_STEPS, _AREA_BINS = 8, 8 * 24
"""Bins of areas for each doubling; bins in all, from 1 pixel to 16 million."""
_BATCH_BYTES = 16_000_000


@dataclass(frozen=True)
class Layout:
    """The columns of one file that are read: keys, features by their place in the file, areas, what wells control."""

    rows: int
    keys: dict[str, str]
    features: dict[str, int]
    areas: dict[str, str]
    control: str
    may_hold_nan: bool


def measure_group(parquet: pq.ParquetFile, layout: Layout, group: int) -> Measured:
    """Return what one row group of an open file holds."""
    import numpy as np

    rows = parquet.metadata.row_group(group).num_rows
    found = Measured()
    labels, codes = _read_keys(parquet, layout, group, found)
    sums = [WellSums(cells=int(cells)) for cells in np.bincount(codes, minlength=len(labels))]
    statistics = {name: _statistics(parquet, group, place, layout) for name, place in layout.features.items()}
    compartments = {name: compartment for compartment, name in layout.areas.items()}
    empty = {name for name, (feature, _) in statistics.items() if feature.nulls == rows}
    to_read = [
        name
        for name, (_, is_known) in statistics.items()
        if name not in empty and (not is_known or name in compartments)
    ]
    nulls_of_row = np.full(rows, len(empty), dtype=np.int64)
    for batch in _column_batches(to_read, rows):
        table = parquet.read_row_group(group, columns=batch, use_threads=False)
        for name in batch:
            values = _as_floats(table.column(name))
            missing = np.isnan(values)
            nulls_of_row += missing
            _, is_known = statistics[name]
            if not is_known:
                statistics[name] = (_measured_feature(values, missing), True)
            if name in compartments:
                _add_areas(compartments[name], values, missing, codes, sums, found)
    features = len(layout.features)
    for well, nulls in zip(sums, np.bincount(codes, weights=nulls_of_row, minlength=len(labels)), strict=True):
        well.values, well.nulls = well.cells * features, int(nulls)
    found.features = {name: feature for name, (feature, _) in statistics.items()}
    found.wells = dict(zip(labels, sums, strict=True))
    _add_controls(parquet, layout, group, labels, codes, found)
    return found


def _statistics(parquet: pq.ParquetFile, group: int, place: int, layout: Layout) -> tuple[FeatureSums, bool]:
    """Return what the file's statistics say of a feature, and whether that is all there is to know."""
    chunk = parquet.metadata.row_group(group).column(place)
    known = chunk.statistics
    feature = FeatureSums(values=chunk.num_values)
    if known is None or not known.has_null_count:
        return feature, False
    feature.nulls = known.null_count
    if known.has_min_max:
        feature.minimum, feature.maximum = float(known.min), float(known.max)
    has_infinite = feature.minimum is not None and (isinf(feature.minimum) or isinf(feature.maximum or 0.0))
    lacks_values = feature.minimum is None and feature.nulls < feature.values
    return feature, not (feature.nulls or has_infinite or lacks_values or layout.may_hold_nan)


def _measured_feature(values: np.ndarray, missing: np.ndarray) -> FeatureSums:
    """Return the figures of a feature whose values were read; NaN stands for null."""
    import numpy as np

    finite = values[np.isfinite(values)]
    nulls = int(missing.sum())
    return FeatureSums(
        values=len(values),
        nulls=nulls,
        infinite=len(values) - nulls - len(finite),
        minimum=float(finite.min()) if len(finite) else None,
        maximum=float(finite.max()) if len(finite) else None,
    )


def _add_areas(
    compartment: str, values: np.ndarray, missing: np.ndarray, codes: np.ndarray, sums: list[WellSums], found: Measured
) -> None:
    """Add a compartment's areas to those of the wells, and to their distribution."""
    import numpy as np

    there = ~missing & np.isfinite(values)
    areas, wells = values[there], codes[there]
    totals = np.bincount(wells, weights=areas, minlength=len(sums))
    for well, total, number in zip(sums, totals, np.bincount(wells, minlength=len(sums)), strict=True):
        if number:
            well.areas[compartment] = (float(total), int(number))
    bins = np.floor(np.log2(np.maximum(areas, 1.0)) * AREA_STEPS + 1e-9).astype(np.int64)
    found.area_counts[compartment] = np.bincount(np.minimum(bins, _AREA_BINS - 1), minlength=_AREA_BINS)


def _read_keys(
    parquet: pq.ParquetFile, layout: Layout, group: int, found: Measured
) -> tuple[list[WellKey], np.ndarray]:
    """Return the wells of a row group, and for each row the position of its well; add the image sets."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = parquet.metadata.row_group(group).num_rows
    table = parquet.read_row_group(group, columns=list(dict.fromkeys(layout.keys.values())), use_threads=False)
    nothing = pa.chunked_array([pa.nulls(rows, pa.string())])
    texts = {key: _as_texts(table.column(layout.keys[key])) if key in layout.keys else nothing for key in KEYS}
    counted = pa.table(texts).group_by(list(KEYS), use_threads=False).aggregate([([], "count_all")])
    found.images.append(counted.rename_columns({"count_all": "cells"}))
    plate = pc.fill_null(texts["plate"], "")
    well = pc.if_else(pc.equal(texts["well"], ""), None, texts["well"])
    encoded = pc.binary_join_element_wise(plate, well, "\0").combine_chunks() if rows else pa.array([], pa.string())
    encoded = encoded.dictionary_encode(null_encoding="encode")
    labels: list[WellKey] = []
    for text in encoded.dictionary.to_pylist():
        before, _, after = (text or "").partition("\0")
        labels.append((before, after) if text is not None else ("", None))
    return labels, encoded.indices.to_numpy(zero_copy_only=False)


def _add_controls(
    parquet: pq.ParquetFile, layout: Layout, group: int, labels: list[WellKey], codes: np.ndarray, found: Measured
) -> None:
    """Add what the wells control: the first value of each."""
    import numpy as np

    if not layout.control or not len(codes):
        return
    table = parquet.read_row_group(group, columns=[layout.control], use_threads=False)
    texts = _as_texts(table.column(layout.control)).to_numpy(zero_copy_only=False)
    present = np.array([text is not None and text != "" for text in texts])
    wells, first = np.unique(codes[present], return_index=True)
    for well, row in zip(wells, np.flatnonzero(present)[first], strict=True):
        found.wells[labels[well]].control = str(texts[row])


def _column_batches(names: Sequence[str], rows: int) -> Iterator[list[str]]:
    """Yield columns in batches of bounded size."""
    size = max(1, _BATCH_BYTES // max(8 * rows, 1))
    return (list(names[first : first + size]) for first in range(0, len(names), size))


def _as_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    return column if column.type == pa.string() else column.cast(pa.string())


def _as_floats(column: pa.ChunkedArray) -> np.ndarray:
    """Return numbers as doubles, null as NaN."""
    import pyarrow as pa

    if column.type != pa.float64():
        column = column.cast(pa.float64(), safe=False)
    values: np.ndarray = column.to_numpy()
    return values
