"""From a source tree to a manifest: which preset, which datasets, which parts, which schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace

from pycytominer_transform.common.cloud_place import CloudPlace
from pycytominer_transform.common.csv_discovery import look_at_csv
from pycytominer_transform.common.discover_options import DiscoverOptions
from pycytominer_transform.common.errors import DataError, SourceNotFoundError, UsageError
from pycytominer_transform.common.looked import Looked
from pycytominer_transform.common.manifest import Manifest, PathValues, Source, TableSchema
from pycytominer_transform.common.naming import TABLE_NUMBER
from pycytominer_transform.common.npz_discovery import look_at_npz
from pycytominer_transform.common.path_metadata import path_columns, path_values
from pycytominer_transform.common.place import place_of
from pycytominer_transform.common.preset import Preset, load_preset
from pycytominer_transform.common.recognition import recognise
from pycytominer_transform.common.relations import anchor_of
from pycytominer_transform.common.reporting import count, logger
from pycytominer_transform.common.sqlite_discovery import look_at_sqlite
from pycytominer_transform.common.storage_options import StorageOptions
from pycytominer_transform.common.tree import Folder, checked_name, walk


def discover_manifest(
    source: str, options: DiscoverOptions, storage: StorageOptions | None = None
) -> tuple[Manifest, list[str]]:
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
        `source` is empty or a URI of an unknown kind, no compartment was asked for but the image table, or the anchor
        is none of the compartments.
    SourceNotFoundError
        There is nothing at `source`.
    DataError
        It holds nothing that a preset knows, or a dataset is bad and none may be skipped.
    """
    if not source:
        raise UsageError("the source is an empty text; name a folder or a file ('.' is the current folder)")
    storage = storage or StorageOptions()
    preset = load_preset(options.preset, storage) if options.preset else None
    root = place_of(checked_name(source), storage.with_preset(preset) if preset else storage)
    if not root.exists():
        what = "object with this name or beginning" if isinstance(root, CloudPlace) else "file or folder"
        raise SourceNotFoundError(f"{source}: no such {what}")
    if not root.is_dir() and not root.is_file():
        raise DataError(f"{source}: is neither a folder nor a regular file")
    tree = walk(root) if root.is_dir() else [Folder(".", ())]
    preset = preset or recognise(root, tree, options.compartments)
    logger.info("%s is %s (preset %s)", source, preset.title, preset.name)
    options = _without_image(options, preset)
    look = {"csv": look_at_csv, "sqlite": look_at_sqlite, "npz": look_at_npz}[preset.format]
    looked = look(root, tree, preset, options)
    if not looked.parts:
        raise DataError(f"no dataset is left: all {count(len(looked.skipped), 'dataset')} had to be skipped")
    for sample in looked.samples.values():
        if (warning := sample.union_warning()) and options.columns == "union":
            logger.warning("%s", warning)
    preset = _with_anchor(preset, looked, options)
    tables = _decide_schemas(looked, preset, options)
    values = path_values(root, looked.datasets, preset, options.path_metadata)
    manifest = Manifest(
        source=str(root),
        preset=preset,
        tables=tables,
        sources=tuple(_number_parts(looked, preset, values)),
        parts_total=len(looked.parts),
        datasets_total=len(looked.datasets),
        path_columns=path_columns(values.values(), preset),
    )
    return manifest.shard(*options.shard), looked.skipped


def _without_image(options: DiscoverOptions, preset: Preset) -> DiscoverOptions:
    """Take the image table out of the compartments that were asked for: it is always taken."""
    compartments = tuple(name for name in options.compartments if name != preset.image)
    if options.compartments and not compartments:
        raise UsageError(f"--compartments names no compartment but {preset.image}, which is always taken")
    return replace(options, compartments=compartments)


def _with_anchor(preset: Preset, looked: Looked, options: DiscoverOptions) -> Preset:
    """Put the anchor first among those that the preset prefers, so that columns are named and tables joined after it.

    Raises
    ------
    UsageError
        The anchor that was asked for is not among the compartments.
    """
    compartments = [table for table in looked.samples if table != preset.image]
    anchor = options.anchor.lower()
    if anchor and anchor not in compartments:
        raise UsageError(f"--anchor {options.anchor} is none of the compartments taken: {', '.join(compartments)}")
    if not anchor and not any(name in compartments for name in preset.anchors):
        schemas = _decide_schemas(looked, preset, options)
        anchor = anchor_of(preset, [schema for schema in schemas if schema.table != preset.image])
    if not anchor or preset.anchor_of(compartments) == anchor:
        return preset
    return replace(preset, anchors=(anchor, *preset.anchors))


def _decide_schemas(looked: Looked, preset: Preset, options: DiscoverOptions) -> tuple[TableSchema, ...]:
    compartments = [table for table in looked.samples if table != preset.image]
    only_common = options.columns == "intersection"
    return _same_table_number_type(
        [
            sample.schema(looked.prefix_of(table), preset, compartments, only_common=only_common)
            for table, sample in looked.samples.items()
        ]
    )


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


def _number_parts(looked: Looked, preset: Preset, values: Mapping[str, PathValues]) -> Iterable[Source]:
    number_of = {name: number for number, name in enumerate(looked.datasets, start=1)}
    for part, sources in enumerate(looked.parts, start=1):
        for found in sources:
            yield Source(
                part=part,
                table_number=number_of[found.dataset],
                format=preset.format,
                path_values=values.get(found.dataset, ()),
                **asdict(found) | {"row_ranges": found.row_ranges},
            )
