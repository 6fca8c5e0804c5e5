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
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pycytominer_transform.common.errors import DataError, SourceNotFoundError
from pycytominer_transform.common.model.naming import DATASET, IMAGE_NUMBER, KEY_BEGINNINGS, TABLE_NUMBER, find_name
from pycytominer_transform.common.model.provenance import Step, steps_from_json
from pycytominer_transform.common.model.roles import role_of_field
from pycytominer_transform.common.report.contents import File
from pycytominer_transform.common.report.measured import FeatureSums, Measured
from pycytominer_transform.common.report.row_group import Layout, measure_group
from pycytominer_transform.common.runtime.messages import progress
from pycytominer_transform.common.runtime.signals import raise_if_interrupted
from pycytominer_transform.common.storage.destination import storage_errors
from pycytominer_transform.common.storage.location import Location, named_location

if TYPE_CHECKING:
    import pyarrow.parquet as pq
    from pycytominer_transform.common.storage.options import StorageOptions

_PARQUET = (".parquet", ".pq")
_CONTROLS = ("control_type", "pert_type")
"""Columns by which platemaps of the Cell Painting Gallery say what a well controls."""
_AREA = re.compile(r"(.+)_AreaShape_Area")
_TASKS_PER_THREAD = 4


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


def _describe(file: Location, parquet: pq.ParquetFile, found: Measured) -> Layout:
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
    return Layout(
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


def _measure_groups(file: Location, footer: pq.FileMetaData, layout: Layout, groups: range) -> Measured:
    """Measure some row groups of a file."""
    found = Measured()
    with _opened(file, footer) as parquet:
        for group in groups:
            raise_if_interrupted()
            found.add(measure_group(parquet, layout, group))
    return found
