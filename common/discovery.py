"""From a source tree to a manifest: which preset, which datasets, which parts, which schemas."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from pycytominer_transform.common import csv_layout, sqlite_layout
from pycytominer_transform.common.csv_files import csv_stem
from pycytominer_transform.common.errors import BadDatasetError, DataError, SourceNotFoundError, StorageError
from pycytominer_transform.common.found import FoundSource, TableSample
from pycytominer_transform.common.manifest import Manifest, Source, TableSchema
from pycytominer_transform.common.naming import TABLE_NUMBER, listed, table_prefix
from pycytominer_transform.common.preset import Preset, load_preset, packaged_presets
from pycytominer_transform.common.reporting import count, logger, progress
from pycytominer_transform.common.sqlite_files import MAGIC, SUFFIXES
from pycytominer_transform.common.tree import Folder, checked_name, walk

DEFAULT_PART_SIZE = 64_000_000


@dataclass(frozen=True, kw_only=True)
class DiscoverOptions:
    """How `pct-discover` looks at a source.

    Attributes
    ----------
    preset : str
        Name of a preset, or path of a TOML file; empty to recognise it from the source.
    compartments : tuple of str
        The compartments to take; empty for the preset's.
    part_size : int
        Bytes of source per part; a part always holds whole datasets (CSV) or image sets (SQLite).
    shard : (int, int)
        Keep every N-th part beginning with the I-th.
    columns : {'union', 'intersection'}
        What to do with columns that only some files of a table have.
    on_bad_dataset : {'fail', 'skip'}
        What to do with a dataset that lacks a table or cannot be read.
    """

    preset: str = ""
    compartments: tuple[str, ...] = ()
    part_size: int = DEFAULT_PART_SIZE
    shard: tuple[int, int] = (1, 1)
    columns: Literal["union", "intersection"] = "union"
    on_bad_dataset: Literal["fail", "skip"] = "fail"


@dataclass
class _Looked:
    """What looking at all datasets gave."""

    parts: list[list[FoundSource]] = field(default_factory=list)
    samples: dict[str, TableSample] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)

    def sample(self, table: str) -> TableSample:
        return self.samples.setdefault(table, TableSample(table))


def discover_manifest(source: str, options: DiscoverOptions) -> tuple[Manifest, list[str]]:
    """Look at a source and describe it.

    Returns
    -------
    Manifest
        Of the shard's parts.
    list of str
        For each dataset that was skipped, why.

    Raises
    ------
    SourceNotFoundError
        There is nothing at `source`.
    DataError
        It holds nothing that a preset knows, or a dataset is bad and none may be skipped.
    """
    root = Path(os.path.abspath(source))
    if not root.exists():
        raise SourceNotFoundError(f"{source}: no such file or folder")
    tree = walk(root) if root.is_dir() else [Folder(".", ())]
    preset = load_preset(options.preset) if options.preset else recognise(root, tree)
    logger.info("%s is %s (preset %s)", source, preset.title, preset.name)
    look = _look_at_csv if preset.format == "csv" else _look_at_sqlite
    looked, prefixes = look(root, tree, preset, options)
    manifest = Manifest(
        source=str(root),
        preset=preset,
        tables=_decide_schemas(looked, prefixes, preset, options),
        sources=tuple(_number_parts(looked)),
        parts_total=len(looked.parts),
        datasets_total=len(looked.datasets),
    )
    return manifest.shard(*options.shard), looked.skipped


def recognise(root: Path, tree: Sequence[Folder]) -> Preset:
    """Choose the packaged preset that a source looks like.

    Raises
    ------
    DataError
        None fits, or several do.
    """
    if not root.is_dir() and not _is_sqlite(root):
        kind = "is a CSV file; give the folder it lies in" if csv_stem(root.name) is not None else "is not SQLite"
        raise DataError(f"{root}: {'is empty' if not root.stat().st_size else kind}")
    fitting = [preset for preset in packaged_presets() if _fits(root, tree, preset)]
    highest = max((preset.precedence for preset in fitting), default=0)
    fitting = [preset for preset in fitting if preset.precedence == highest]
    if len(fitting) > 1:
        raise DataError(f"{root}: looks like {listed([preset.name for preset in fitting])}; choose one with --preset")
    if not fitting:
        files = [folder.path_of(name) for folder in tree for name in folder.files]
        if root.is_dir() and not files:
            raise DataError(f"{root}: there are no files in it")
        there = f"there are {listed(files, 3)}" if files else "its tables have other names"
        raise DataError(f"{root}: holds no table that a preset knows ({there}); see --preset and --compartments")
    return fitting[0]


def _fits(root: Path, tree: Sequence[Folder], preset: Preset) -> bool:
    if preset.format == "csv":
        return root.is_dir() and bool(csv_layout.find_csv_datasets(tree, preset, preset.compartments))
    wanted = [preset.image, *preset.compartments]
    for relative in _sqlite_files(root, tree):
        try:
            path = resolve(root, relative)
            shown = sqlite_layout.shown_name(path, relative)
            held = sqlite_layout.sqlite_tables(path, shown, preset, wanted)
            if len(held) > 1 and sqlite_layout.has_signs(path, shown, preset, held):
                return True
        except (DataError, StorageError):
            if not root.is_dir():
                raise
    return False


def _look_at_csv(
    root: Path, tree: Sequence[Folder], preset: Preset, options: DiscoverOptions
) -> tuple[_Looked, Callable[[str], str]]:
    compartments = options.compartments or preset.compartments
    datasets = csv_layout.find_csv_datasets(tree, preset, compartments)
    if not datasets:
        raise DataError(f"{root}: no CSV file is named after a table {listed([*compartments])}")
    tables = _tables_there(preset, options, [set(dataset.files) for dataset in datasets])
    looked = _Looked()
    filled = options.part_size
    for number, dataset in enumerate(datasets, start=1):
        progress("looking at datasets", number, len(datasets))
        with _bad_dataset(looked, options, len(datasets)):
            found = csv_layout.read_csv_dataset(root, dataset, preset, tables, looked.sample)
            if filled >= options.part_size:
                looked.parts.append([])
                filled = 0
            looked.parts[-1].extend(found)
            looked.datasets.append(dataset.name)
            filled += sum(csv_layout.part_bytes(root, source) for source in found)
    return looked, lambda table: csv_layout.prefix_of(datasets, table, preset)


def _look_at_sqlite(
    root: Path, tree: Sequence[Folder], preset: Preset, options: DiscoverOptions
) -> tuple[_Looked, Callable[[str], str]]:
    compartments = options.compartments or preset.compartments
    files = _sqlite_files(root, tree)
    if not files:
        raise DataError(f"{root}: no SQLite file in it (looked for names that end in {listed(SUFFIXES)})")
    looked = _Looked()
    held: dict[str, set[str]] = {}
    for relative in files:
        with _bad_dataset(looked, options, len(files)):
            path = resolve(root, relative)
            shown = sqlite_layout.shown_name(path, relative)
            held[relative] = set(sqlite_layout.sqlite_tables(path, shown, preset, [preset.image, *compartments]))
    tables = _tables_there(preset, options, list(held.values()))
    for number, relative in enumerate(held, start=1):
        progress("looking at files", number, len(held))
        with _bad_dataset(looked, options, len(files)):
            looked.parts += sqlite_layout.read_sqlite_dataset(
                resolve(root, relative), relative, preset, tables, options.part_size, looked.sample
            )
            looked.datasets.append(relative)
    return looked, table_prefix


def _tables_there(preset: Preset, options: DiscoverOptions, held: Sequence[set[str]]) -> list[str]:
    """List the tables that any dataset has, which all must have then; the image table first.

    Raises
    ------
    DataError
        A compartment that was asked for is nowhere, or there is none at all.
    """
    there = set().union(*held)
    if absent := [name for name in options.compartments if name not in there]:
        raise DataError(f"no dataset has a table {listed(absent)}; --compartments names tables as the source does")
    compartments = [name for name in options.compartments or preset.compartments if name in there]
    if not compartments:
        raise DataError(f"no dataset has a table {listed(preset.compartments)}")
    for name in (preset.image, *preset.compartments):
        if name not in there and (name == preset.image or not options.compartments):
            logger.warning("no dataset has a table %s; the profiles will be without its columns", name)
    return [*([preset.image] if preset.image in there else []), *compartments]


@contextmanager
def _bad_dataset(looked: _Looked, options: DiscoverOptions, datasets: int) -> Iterator[None]:
    """Look at one dataset: a bad one is skipped and noted, or ends the run."""
    try:
        yield
    except (DataError, StorageError) as error:
        if options.on_bad_dataset == "skip":
            logger.warning("skipped: %s", error)
            looked.skipped.append(str(error))
        elif datasets > 1 and isinstance(error, BadDatasetError):
            raise BadDatasetError(f"{error}; --on-bad-dataset skip goes on without it") from error
        else:
            raise


def _decide_schemas(
    looked: _Looked, prefix_of: Callable[[str], str], preset: Preset, options: DiscoverOptions
) -> tuple[TableSchema, ...]:
    if not looked.parts:
        raise DataError(f"no dataset is left: all {count(len(looked.skipped), 'dataset')} had to be skipped")
    compartments = [table for table in looked.samples if table != preset.image]
    only_common = options.columns == "intersection"
    schemas = []
    for table, sample in looked.samples.items():
        if (warning := sample.union_warning()) and not only_common:
            logger.warning("%s", warning)
        schemas.append(sample.schema(prefix_of(table), preset, compartments, only_common=only_common))
    return _same_table_number_type(schemas)


def _same_table_number_type(schemas: Sequence[TableSchema]) -> tuple[TableSchema, ...]:
    """Make table numbers text in all tables where they are in any, since tables are joined on them."""
    kinds = {column.type for schema in schemas for column in schema.columns if column.name == TABLE_NUMBER}
    if len(kinds) < 2:
        return tuple(schemas)
    return tuple(
        replace(
            schema,
            columns=tuple(
                replace(column, type="string") if column.name == TABLE_NUMBER else column for column in schema.columns
            ),
        )
        for schema in schemas
    )


def _number_parts(looked: _Looked) -> Iterable[Source]:
    number_of = {name: number for number, name in enumerate(looked.datasets, start=1)}
    for part, sources in enumerate(looked.parts, start=1):
        for found in sources:
            yield Source(
                part=part,
                table_number=number_of[found.dataset],
                format="sqlite" if found.sqlite_table else "csv",
                **asdict(found) | {"row_ranges": found.row_ranges},
            )


def resolve(root: Path, relative: str) -> Path:
    """Give the path of a source's file; ``.`` is the source itself."""
    return root if relative == "." else root / relative


def _sqlite_files(root: Path, tree: Sequence[Folder]) -> list[str]:
    if not root.is_dir():
        return ["."]
    return sorted(
        checked_name(folder.path_of(name))
        for folder in tree
        for name in folder.files
        if name.lower().endswith(SUFFIXES)
    )


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == MAGIC
