"""One pass over the Parquet files of an output, by row groups on threads.

Statistics of the files say most of what is asked of a feature. Its values are read only where they say that some are
missing or infinite, to know of which wells. So memory is bounded by the columns of one row group per thread.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.errors import DataError, SourceNotFoundError
from pycytominer_transform.common.model.naming import DATASET, IMAGE_NUMBER, KEY_BEGINNINGS, TABLE_NUMBER, find_name
from pycytominer_transform.common.model.provenance import Step, steps_from_json
from pycytominer_transform.common.model.roles import Role, role_of_field
from pycytominer_transform.common.report.contents import File
from pycytominer_transform.common.runtime.messages import progress
from pycytominer_transform.common.runtime.signals import raise_if_interrupted
from pycytominer_transform.common.storage.destination import storage_errors
from pycytominer_transform.common.storage.location import Location, named_location

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pycytominer_transform.common.storage.options import StorageOptions

WellKey = tuple[str, str | None]
"""A plate and a well as the file writes them; None for a row that names no well."""
_PARQUET = (".parquet", ".pq")
_CONTROLS = ("control_type", "pert_type")
"""Columns by which platemaps of the Cell Painting Gallery say what a well controls."""
_AREA = re.compile(r"(.+)_AreaShape_Area")
AREA_STEPS, _AREA_BINS = 8, 8 * 24
"""Bins of areas for each doubling; bins in all, from 1 pixel to 16 million."""
_BATCH_BYTES = 16_000_000
_TASKS_PER_THREAD = 4
_KEYS = ("plate", "well", "site", "dataset", "table_number", "image_number")


@dataclass
class FeatureSums:
    """What is known of one feature so far; ``nulls`` counts NaN too, and the bounds are of finite values."""

    values: int = 0
    nulls: int = 0
    infinite: int = 0
    minimum: float | None = None
    maximum: float | None = None

    def add(self, other: FeatureSums) -> None:
        """Add other rows of the same feature."""
        self.values += other.values
        self.nulls += other.nulls
        self.infinite += other.infinite
        lows = [low for low in (self.minimum, other.minimum) if low is not None]
        highs = [high for high in (self.maximum, other.maximum) if high is not None]
        self.minimum, self.maximum = min(lows, default=None), max(highs, default=None)


@dataclass
class WellSums:
    """What is known of one well so far; ``areas`` has by compartment the sum of the areas and how many they are."""

    cells: int = 0
    values: int = 0
    nulls: int = 0
    areas: dict[str, tuple[float, int]] = field(default_factory=dict)
    control: str = ""

    def add(self, other: WellSums) -> None:
        """Add other rows of the same well."""
        self.cells += other.cells
        self.values += other.values
        self.nulls += other.nulls
        for name, (total, number) in other.areas.items():
            before = self.areas.get(name, (0.0, 0))
            self.areas[name] = (before[0] + total, before[1] + number)
        self.control = self.control or other.control


@dataclass
class Measured:
    """What the pass has found so far.

    Attributes
    ----------
    provenance : list
        For each file its preset, its steps and its rows.
    roles : dict
        The role of every column.
    columns_of_files : dict
        By column, the number of files that have it.
    images : list of pyarrow.Table
        Columns of `_KEYS` and ``cells``; a row per image set, or several that are to be added up.
    """

    files: list[File] = field(default_factory=list)
    provenance: list[tuple[str, tuple[Step, ...], int]] = field(default_factory=list)
    roles: dict[str, Role] = field(default_factory=dict)
    columns_of_files: dict[str, int] = field(default_factory=dict)
    wells: dict[WellKey, WellSums] = field(default_factory=dict)
    features: dict[str, FeatureSums] = field(default_factory=dict)
    area_counts: dict[str, Any] = field(default_factory=dict)
    images: list[pa.Table] = field(default_factory=list)
    image_rows: int = 0

    def add(self, other: Measured) -> None:
        """Add what was found in other row groups."""
        for key, sums in other.wells.items():
            self.wells.setdefault(key, WellSums()).add(sums)
        for name, feature in other.features.items():
            self.features.setdefault(name, FeatureSums()).add(feature)
        for name, counts in other.area_counts.items():
            self.area_counts[name] = self.area_counts[name] + counts if name in self.area_counts else counts
        self.images += other.images
        if sum(table.num_rows for table in self.images) > 2 * self.image_rows + 10_000:
            self.images = [added_images(self.images)]
            self.image_rows = self.images[0].num_rows


def added_images(tables: Sequence[pa.Table]) -> pa.Table:
    """Return one row per image set, its cells added up."""
    import pyarrow as pa

    together = pa.concat_tables(tables)
    added = together.group_by(list(_KEYS), use_threads=False).aggregate([("cells", "sum")])
    return added.rename_columns({"cells_sum": "cells"})


@dataclass(frozen=True)
class _Layout:
    """The columns of one file that are read: keys, features by their place in the file, areas, what wells control."""

    rows: int
    keys: dict[str, str]
    features: dict[str, int]
    areas: dict[str, str]
    control: str
    may_hold_nan: bool


def measure(paths: Sequence[str], storage: StorageOptions | None = None, threads: int = 1) -> Measured:
    """Read the Parquet files at some paths, once.

    Parameters
    ----------
    paths : sequence of str
        Parquet files, or folders of them, local or in a cloud store.

    Raises
    ------
    SourceNotFoundError, DataError, StorageError
        There is no such file, it is no Parquet, or it cannot be read.
    """
    import pyarrow as pa

    found = Measured()
    files = [file for path in paths for file in _files_at(path, storage)]
    with ThreadPoolExecutor(threads, thread_name_prefix="report") as pool:
        pending: deque[Future[Measured]] = deque()

        def collect(most: int) -> None:
            while len(pending) > most:
                found.add(pending.popleft().result())
                raise_if_interrupted()

        try:
            for done, file in enumerate(files, start=1):
                with _opened(file) as parquet:
                    layout = _describe(file, parquet, found)
                    footer = parquet.metadata
                    ranges = _ranges(footer.num_row_groups, threads * _TASKS_PER_THREAD if threads > 1 else 1)
                for groups in ranges:
                    pending.append(pool.submit(_measure_groups, file, footer, layout, groups))
                    collect(most=2 * threads)
                progress("reading files", done, len(files))
            collect(most=0)
        except pa.ArrowException as error:
            raise DataError(f"{paths[0]}: {error}") from error
        finally:
            for future in pending:
                future.cancel()
    return found


def _files_at(path: str, storage: StorageOptions | None) -> list[Location]:
    """Return the Parquet files at a path, by their names."""
    place = named_location(path, storage)
    if not place.is_dir():
        if not place.is_file():
            raise SourceNotFoundError(f"{path}: no such Parquet file, and no folder of Parquet files")
        return [place]
    names = [name for name in place.entry_names() if name.endswith(_PARQUET) and not name.startswith(".")]
    if not names:
        raise SourceNotFoundError(f"{path}: there is no Parquet file in this folder")
    return [place / name for name in sorted(names)]


@contextmanager
def _opened(file: Location, footer: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with storage_errors(file, "read"), file.open("rb") as opened:
        try:
            # A file of this machine is read by Arrow itself: Python's file would hold its lock for each column.
            source = pa.OSFile(str(file)) if isinstance(file, Path) else opened
            yield pq.ParquetFile(source, metadata=footer, pre_buffer=not isinstance(file, Path))
        except pa.ArrowInvalid as error:
            raise DataError(f"{file} is not a Parquet file, or is damaged: {error}") from error


def _ranges(number: int, most: int) -> Iterator[range]:
    """Cut the row groups of a file into at most so many ranges."""
    size = max(1, -(-number // most))
    return (range(first, min(first + size, number)) for first in range(0, number, size))


def _describe(file: Location, parquet: pq.ParquetFile, found: Measured) -> _Layout:
    """Return what is to be read of a file, and add what its footer says."""
    footer, schema = parquet.metadata, parquet.schema_arrow
    metadata = footer.metadata or {}
    steps = steps_from_json(metadata.get(b"pct.provenance", b""))
    roles = {column.name: role_of_field(column) for column in schema}
    found.roles = roles | found.roles
    for name in roles:
        found.columns_of_files[name] = found.columns_of_files.get(name, 0) + 1
    found.provenance.append((metadata.get(b"pct.preset", b"").decode(errors="replace"), steps, footer.num_rows))
    status = file.stat()
    changed = getattr(status, "st_mtime", None)
    written = datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds") if changed else ""
    found.files.append(
        File(
            name=str(file), rows=footer.num_rows, row_groups=footer.num_row_groups, columns=len(schema),
            bytes=status.st_size, written=written,
        )
    )  # fmt: skip
    names = schema.names
    keys = {key: find_name(key, names, KEY_BEGINNINGS[1:] + KEY_BEGINNINGS[:1]) for key in ("plate", "well", "site")}
    keys |= {
        "dataset": find_name(DATASET, names),
        "table_number": find_name(TABLE_NUMBER, names),
        "image_number": find_name(IMAGE_NUMBER, names),
    }
    # Nested columns have several leaves, so a column's place is asked of the file's own schema.
    places = {footer.schema.column(place).path: place for place in range(footer.num_columns)}
    features = {name: places[name] for name, role in roles.items() if role == "feature" and name in places}
    for name in features:
        found.features.setdefault(name, FeatureSums())
    return _Layout(
        rows=footer.num_rows,
        keys={key: name for key, name in keys.items() if name},
        features=features,
        areas={match[1]: name for name in features if (match := _AREA.fullmatch(name))},
        control=next((name for wanted in _CONTROLS if (name := find_name(wanted, names, KEY_BEGINNINGS))), ""),
        may_hold_nan=_may_hold_nan(steps),
    )


def _may_hold_nan(steps: Iterable[Step]) -> bool:
    """Return whether there may be NaN, which statistics do not count: the suite writes null for it, others need not."""
    by_tool = {step.tool: step for step in steps}
    joined = by_tool.get("pct-join")
    computes = joined is None or joined.options.get("sql") or joined.options.get("aggregate_children") == "mean"
    return "pct-extract" not in by_tool or bool(computes)


def _measure_groups(file: Location, footer: pq.FileMetaData, layout: _Layout, groups: range) -> Measured:
    """Measure some row groups of a file."""
    found = Measured()
    with _opened(file, footer) as parquet:
        for group in groups:
            raise_if_interrupted()
            found.add(_measure_group(parquet, layout, group))
    return found


def _measure_group(parquet: pq.ParquetFile, layout: _Layout, group: int) -> Measured:
    import numpy as np

    rows = parquet.metadata.row_group(group).num_rows
    found = Measured()
    labels, codes = _read_keys(parquet, layout, group, found)
    sums = [WellSums(cells=int(cells)) for cells in np.bincount(codes, minlength=len(labels))]
    statistics = {name: _statistics(parquet, group, place, layout) for name, place in layout.features.items()}
    nulls_of_row = np.zeros(rows, dtype=np.int64)
    empty = {name for name, (feature, _) in statistics.items() if feature.nulls == rows}
    nulls_of_row += len(empty)
    wanted = [name for name, (_, is_known) in statistics.items() if not is_known or name in layout.areas.values()]
    wanted = [name for name in wanted if name not in empty]
    compartments = {name: compartment for compartment, name in layout.areas.items()}
    for batch in _column_batches(wanted, rows):
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


def _statistics(parquet: pq.ParquetFile, group: int, place: int, layout: _Layout) -> tuple[FeatureSums, bool]:
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
    parquet: pq.ParquetFile, layout: _Layout, group: int, found: Measured
) -> tuple[list[WellKey], np.ndarray]:
    """Return the wells of a row group, and for each row the position of its well; add the image sets."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = parquet.metadata.row_group(group).num_rows
    table = parquet.read_row_group(group, columns=list(dict.fromkeys(layout.keys.values())), use_threads=False)
    nothing = pa.chunked_array([pa.nulls(rows, pa.string())])
    texts = {key: _as_texts(table.column(layout.keys[key])) if key in layout.keys else nothing for key in _KEYS}
    counted = pa.table(texts).group_by(list(_KEYS), use_threads=False).aggregate([([], "count_all")])
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
    parquet: pq.ParquetFile, layout: _Layout, group: int, labels: list[WellKey], codes: np.ndarray, found: Measured
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
