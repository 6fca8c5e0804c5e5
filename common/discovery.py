"""From a source tree to a manifest: which preset, which datasets, which parts, which schemas."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from pycytominer_transform.common import csv_layout, npz_layout, sqlite_layout
from pycytominer_transform.common.csv_files import csv_stem
from pycytominer_transform.common.errors import (
    BadDatasetError,
    DataError,
    SourceNotFoundError,
    StorageError,
    UsageError,
)
from pycytominer_transform.common.found import FoundSource, TableSample
from pycytominer_transform.common.manifest import Manifest, Source, TableSchema
from pycytominer_transform.common.naming import TABLE_NUMBER, listed
from pycytominer_transform.common.npz_file import SUFFIX as NPZ_SUFFIX
from pycytominer_transform.common.preset import FORMATS, Preset, load_preset, packaged_presets
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
    samples: dict[str, TableSample | npz_layout.NpzSample] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)

    def sample(self, table: str) -> TableSample:
        found = self.samples.setdefault(table, TableSample(table))
        assert isinstance(found, TableSample)
        return found


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
    UsageError
        `source` is empty, or no compartment was asked for but the image table.
    SourceNotFoundError
        There is nothing at `source`.
    DataError
        It holds nothing that a preset knows, or a dataset is bad and none may be skipped.
    """
    if not source:
        raise UsageError("the source is an empty text; name a folder or a file ('.' is the current folder)")
    root = Path(os.path.abspath(source))
    if not root.exists():
        raise SourceNotFoundError(f"{source}: no such file or folder")
    if not root.is_dir() and not root.is_file():
        raise DataError(f"{source}: is neither a folder nor a regular file")
    tree = walk(root) if root.is_dir() else [Folder(".", ())]
    preset = load_preset(options.preset) if options.preset else recognise(root, tree)
    logger.info("%s is %s (preset %s)", source, preset.title, preset.name)
    options = _without_image(options, preset)
    look = {"csv": _look_at_csv, "sqlite": _look_at_sqlite, "npz": _look_at_npz}[preset.format]
    looked, prefixes = look(root, tree, preset, options)
    manifest = Manifest(
        source=str(root),
        preset=preset,
        tables=_decide_schemas(looked, prefixes, preset, options),
        sources=tuple(_number_parts(looked, preset)),
        parts_total=len(looked.parts),
        datasets_total=len(looked.datasets),
    )
    return manifest.shard(*options.shard), looked.skipped


def _without_image(options: DiscoverOptions, preset: Preset) -> DiscoverOptions:
    """Take the image table out of the compartments that were asked for: it is always taken."""
    compartments = tuple(name for name in options.compartments if name != preset.image)
    if options.compartments and not compartments:
        raise UsageError(f"--compartments names no compartment but {preset.image}, which is always taken")
    return replace(options, compartments=compartments)


def recognise(root: Path, tree: Sequence[Folder]) -> Preset:
    """Choose the packaged preset that a source looks like.

    Raises
    ------
    DataError
        None fits, or several do.
    """
    if not root.is_dir() and not _is_sqlite(root):
        if fitting := [preset for preset in packaged_presets() if preset.is_single_table and _fits(root, tree, preset)]:
            return fitting[0]
        kind = "is a CSV file; give the folder it lies in" if csv_stem(root.name) is not None else "is not SQLite"
        raise DataError(f"{root}: {'is empty' if not root.stat().st_size else kind}")
    fitting = [preset for kind in FORMATS for preset in _fitting_of_format(root, tree, kind)]
    if len(fitting) > 1:
        raise DataError(f"{root}: looks like {listed([preset.name for preset in fitting])}; choose one with --preset")
    if not fitting:
        files = [folder.path_of(name) for folder in tree for name in folder.files]
        if root.is_dir() and not files:
            raise DataError(f"{root}: there are no files in it")
        there = f"there are {listed(files, 3)}" if files else "its tables have other names"
        raise DataError(f"{root}: holds no table that a preset knows ({there}); see --preset and --compartments")
    return fitting[0]


def _fitting_of_format(root: Path, tree: Sequence[Folder], kind: str) -> list[Preset]:
    """List the presets of the highest precedence that fit; those of a lower one are not even looked at then."""
    presets = [preset for preset in packaged_presets() if preset.format == kind]
    for precedence in sorted({preset.precedence for preset in presets}, reverse=True):
        fitting = [preset for preset in presets if preset.precedence == precedence and _fits(root, tree, preset)]
        if fitting:
            return fitting
    return []


def _fits(root: Path, tree: Sequence[Folder], preset: Preset) -> bool:
    if preset.format == "npz":
        return npz_layout.any_fits(root, tree, preset)
    if preset.format == "csv" and preset.is_single_table:
        return csv_layout.any_single_table(root, tree, preset)
    if preset.format == "csv":
        return root.is_dir() and bool(csv_layout.find_csv_datasets(tree, preset, preset.compartments))
    wanted = [preset.image, *preset.compartments]
    for relative in _sqlite_files(root, tree):
        path = resolve(root, relative)
        if not path.is_file():
            continue
        try:
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
    if preset.is_single_table:
        datasets, others = csv_layout.find_single_tables(root, tree, preset)
        if others and datasets:
            logger.warning("passed over %s of another kind: %s", count(len(others), "CSV file"), listed(others))
    else:
        datasets = csv_layout.find_csv_datasets(tree, preset, compartments)
        if preset.header_rows > 1:
            csv_layout.only_labelled(root, datasets, preset)
    if not datasets:
        wanted = "has the columns" if preset.is_single_table else "is named after a table"
        names = [sign.column for sign in preset.signs] if preset.is_single_table else [*compartments]
        raise DataError(f"{root}: no CSV file {wanted} {listed(names)}")
    whole = [dataset for dataset in datasets if csv_layout.has_compartments(dataset, preset)]
    tables = _tables_there(preset, options, [set(dataset.files) for dataset in whole])
    again = _staged_again(
        root, {d.name: {file: table != preset.image for table, file in d.files.items()} for d in whole}
    )
    looked = _Looked()
    filled = options.part_size
    for number, dataset in enumerate(datasets, start=1):
        progress("looking at datasets", number, len(datasets))
        with _bad_dataset(looked, options, len(datasets)):
            if _is_left_out(again.get(dataset.name)):
                continue
            if not csv_layout.has_compartments(dataset, preset) and not csv_layout.lacks_compartments(
                root, dataset, preset, tables
            ):
                continue
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
    again = _staged_again(root, {relative: {relative: True} for relative in files})
    for relative in files:
        with _bad_dataset(looked, options, len(files)):
            if _is_left_out(again.get(relative)):
                continue
            path = resolve(root, relative)
            if path.exists() and not path.is_file():
                raise BadDatasetError(f"{relative}: is no regular file")
            shown = sqlite_layout.shown_name(path, relative)
            # Other programs call their files so too, such as Thumbs.db; what is empty may be a copy that failed.
            may_be_foreign = root.is_dir() and not relative.lower().endswith((".sqlite", ".sqlite3"))
            if may_be_foreign and _is_of_another_kind(path):
                logger.info("%s is not SQLite; passed over", relative)
                continue
            there = set(sqlite_layout.sqlite_tables(path, shown, preset, [preset.image, *compartments]))
            if may_be_foreign and not there:
                logger.info("%s holds no table of the preset %s; passed over", relative, preset.name)
                continue
            held[relative] = there
    tables = _tables_there(preset, options, list(held.values()))
    for number, relative in enumerate(held, start=1):
        progress("looking at files", number, len(held))
        with _bad_dataset(looked, options, len(files)):
            looked.parts += sqlite_layout.read_sqlite_dataset(
                resolve(root, relative), relative, preset, tables, options.part_size, looked.sample
            )
            looked.datasets.append(relative)
    name_of = {source.table: source.sqlite_table for part in reversed(looked.parts) for source in part}
    return looked, lambda table: sqlite_layout.prefix_of(name_of.get(table, ""), table, preset)


@dataclass(frozen=True)
class _Again:
    """A dataset whose files another has too, by links: all of them, or only some."""

    name: str
    other: str
    is_all: bool


def _staged_again(root: Path, datasets: dict[str, dict[str, bool]]) -> dict[str, _Again]:
    """Find the datasets whose files are others' too; of several, the first that is no link is not among them.

    Parameters
    ----------
    datasets : dict
        By name, the files of each, and of each file whether two datasets may not share it.
    """
    if len(datasets) < 2:
        return {}

    def has_links(name: str) -> bool:
        return any(resolve(root, file).is_symlink() for file in datasets[name])

    owners: dict[tuple[int, int], str] = {}
    again: dict[str, _Again] = {}
    for name in sorted(datasets, key=has_links):
        own: dict[tuple[int, int], bool] = {}
        for file, matters in datasets[name].items():
            with suppress(OSError):  # A link that leads nowhere is reported when it is read.
                status = resolve(root, file).stat()
                own[status.st_dev, status.st_ino] = matters
        shared = [identity for identity in own if identity in owners]
        if shared and len(shared) == len(own):
            again[name] = _Again(name, owners[shared[0]], is_all=True)
        elif known := [identity for identity in shared if own[identity]]:
            again[name] = _Again(name, owners[known[0]], is_all=False)
        else:
            for identity in own:
                owners.setdefault(identity, name)
    return again


def _is_left_out(again: _Again | None) -> bool:
    """Say whether a dataset is another one once more, with a warning.

    Raises
    ------
    BadDatasetError
        It has only some of the other's files.
    """
    if again is None:
        return False
    if not again.is_all:
        raise BadDatasetError(f"dataset {again.name}: some of its files are those of {again.other}, by links")
    logger.warning("%s has the files of %s, by links; they are taken once", again.name, again.other)
    return True


def _look_at_npz(
    root: Path, tree: Sequence[Folder], preset: Preset, options: DiscoverOptions
) -> tuple[_Looked, Callable[[str], str]]:
    table = preset.compartments[0]
    if any(name != table for name in options.compartments):
        raise DataError(f"there are no compartments in .npz files, only the table {table}; leave out --compartments")
    files = npz_layout.find_npz_files(root, tree)
    if not files:
        raise DataError(f"{root}: no file in it has a name that ends in {NPZ_SUFFIX}")
    looked = _Looked()
    looked.samples[table] = sample = npz_layout.NpzSample(table)
    again = _staged_again(root, {relative: {relative: True} for relative in files})
    filled = options.part_size
    for number, relative in enumerate(files, start=1):
        progress("looking at files", number, len(files))
        with _bad_dataset(looked, options, len(files)):
            if _is_left_out(again.get(relative)):
                continue
            found = npz_layout.read_npz_source(root, relative, table, sample)
            if filled >= options.part_size:
                looked.parts.append([])
                filled = 0
            looked.parts[-1].append(found)
            looked.datasets.append(found.dataset)
            filled += found.bytes
    return looked, lambda _: ""


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
        if name and name not in there and (name == preset.image or not options.compartments):
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


def _number_parts(looked: _Looked, preset: Preset) -> Iterable[Source]:
    number_of = {name: number for number, name in enumerate(looked.datasets, start=1)}
    for part, sources in enumerate(looked.parts, start=1):
        for found in sources:
            yield Source(
                part=part,
                table_number=number_of[found.dataset],
                format=preset.format,
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


def _is_of_another_kind(path: Path) -> bool:
    with suppress(OSError):
        return path.stat().st_size > 0 and not _is_sqlite(path)
    return False  # It cannot be read, which is an error.


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == MAGIC
