"""From a source to a manifest: its preset, datasets, parts and schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
from pycytominer_transform.common.discover.experiment import bounded
from pycytominer_transform.common.discover.image_set_identity import identifying_columns
from pycytominer_transform.common.discover.path_metadata import path_columns, path_values
from pycytominer_transform.common.discover.recognition import recognise
from pycytominer_transform.common.errors import DataError, SourceNotFoundError, UsageError
from pycytominer_transform.common.formats.registry import files_for, layout_of
from pycytominer_transform.common.formats.source_layout import SourceLayout
from pycytominer_transform.common.model.discovery_options import DiscoverOptions
from pycytominer_transform.common.model.manifest import Manifest, PathValues, Source, TableSchema, held_as
from pycytominer_transform.common.model.naming import TABLE_NUMBER
from pycytominer_transform.common.model.options import did_you_mean
from pycytominer_transform.common.model.parents import choose_anchor
from pycytominer_transform.common.model.preset import Preset, load_preset
from pycytominer_transform.common.runtime.messages import count, logger
from pycytominer_transform.common.storage.location import location_of
from pycytominer_transform.common.storage.options import StorageOptions
from pycytominer_transform.common.storage.standard_io import read_small_file
from pycytominer_transform.common.storage.tree import Folder, checked_name, special_kind


def discover_manifest(
    source: str, options: DiscoverOptions, storage: StorageOptions | None = None
) -> tuple[Manifest, list[str], dict[str, int]]:
    """Describe a source.

    Returns
    -------
    Manifest
        Of the shard's parts.
    list of str
        For each dataset that was skipped, why.
    dict
        By column that only some files of its table have, ``TABLE.COLUMN``, how many have it; empty if only the columns
        of all are taken.

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
    read_preset = partial(read_small_file, what="the preset", storage=storage)
    preset = load_preset(options.preset, read_preset) if options.preset else None
    root = location_of(checked_name(source), storage.with_preset(preset) if preset else storage)
    if not root.exists():
        raise SourceNotFoundError(f"{source}: no such {root.kind}")
    if isinstance(root, Path) and (kind := special_kind(root)):
        raise DataError(f"{source} is {kind}, neither a folder nor a file")
    tree = root.walk() if root.is_dir() else [Folder(".", ())]
    if preset is None:
        preset, compartments = recognise(root, tree, options.compartments)
        options = replace(options, compartments=tuple(compartments))
    logger.info("%s is %s (preset %s)", source, preset.title, preset.name)
    options = _without_image(options, preset)
    layout = layout_of(preset.format).survey(root, files_for(preset.format, tree), preset, options)
    if not layout.parts:
        raise DataError(f"no dataset is left: all {count(len(layout.skipped), 'dataset')} had to be skipped")
    some_files: dict[str, int] = {}
    for table, sample in layout.samples.items():
        if (warning := sample.union_warning()) and options.columns == "union":
            logger.warning("%s", warning)
            some_files |= {f"{table}.{name}": files for name, files in sample.partial_columns().items()}
    preset = _with_anchor(preset, layout, options)
    tables = _decide_schemas(layout, preset, options)
    constants = _constants(options, tables)
    known = _not_from_paths(layout, preset, tables) | constants.keys()
    in_paths = path_values(root, layout.datasets, preset, options.path_metadata, known)
    values = {
        # What the user says counts more than the path, and that more than the heads of the files.
        name: _with(_with(layout.metadata.get(name, ()), in_paths.get(name, ())), tuple(constants.items()))
        for name in layout.datasets
    }
    of_paths = path_columns(values.values(), preset)
    manifest = Manifest(
        source=str(root),
        preset=preset,
        tables=tables,
        sources=tuple(_number_parts(layout, preset, values)),
        parts_total=len(layout.parts),
        datasets_total=len(layout.datasets),
        on_bad_dataset=options.on_bad_dataset,
        path_columns=of_paths,
        cell_id_columns=identifying_columns(layout, preset, tables, of_paths, values),
        experiment=tuple(bounded(layout.experiment).items()),
    )
    return manifest.shard(*options.shard), layout.skipped, some_files


def _constants(options: DiscoverOptions, tables: Sequence[TableSchema]) -> dict[str, str]:
    """Return the values that the user sets, by column.

    Raises
    ------
    UsageError
        A column is set twice, or a table has it.
    """
    constants: dict[str, str] = {}
    for name, _, value in (text.partition("=") for text in options.set):
        if name in constants:
            raise UsageError(f"--set {name} is given twice")
        for schema in tables:
            if column := held_as(name, schema.columns):
                raise UsageError(f"--set {name}: the table {schema.table} has {column.name}; set another column")
        constants[name] = value
    return constants


def _with(values: PathValues, more: PathValues) -> PathValues:
    """Return the metadata of a dataset in which further ones replace those of the same names."""
    replaced = {name for name, _ in more}
    return (*(pair for pair in values if pair[0] not in replaced), *more)


def _not_from_paths(layout: SourceLayout, preset: Preset, tables: Sequence[TableSchema]) -> set[str]:
    """Return the columns for which no path is asked: the files have all their values, or there is no one site."""
    columns = {"Metadata_Site"} if layout.has_folders_of_several_image_sets else set()
    if preset.image in layout.samples:
        complete = layout.samples[preset.image].complete_columns()
        schema = next(schema for schema in tables if schema.table == preset.image)
        columns |= {column.name for column in schema.columns if column.source in complete}
    of_heads = [{name for name, _ in layout.metadata.get(dataset, ())} for dataset in layout.datasets]
    return columns | (set.intersection(*of_heads) if of_heads else set())


def _without_image(options: DiscoverOptions, preset: Preset) -> DiscoverOptions:
    """Remove the image table from the compartments of the options: it is always read."""
    compartments = tuple(name for name in options.compartments if name != preset.image)
    if options.compartments and not compartments:
        raise UsageError(f"--compartments names no compartment but {preset.image}, which is always taken")
    return replace(options, compartments=compartments)


def _with_anchor(preset: Preset, layout: SourceLayout, options: DiscoverOptions) -> Preset:
    """Return the preset with the anchor first, since columns are named and tables joined after it.

    Raises
    ------
    UsageError
        The anchor of the options is not among the compartments.
    """
    compartments = [table for table in layout.samples if table != preset.image]
    anchor = options.anchor.lower()
    if anchor and anchor not in compartments:
        near = did_you_mean(anchor, compartments)
        raise UsageError(
            f"--anchor {options.anchor} is none of the compartments taken: {', '.join(compartments)}{near}"
        )
    if not anchor and not any(name in compartments for name in preset.anchors):
        schemas = _decide_schemas(layout, preset, options)
        anchor = choose_anchor(preset, [schema for schema in schemas if schema.table != preset.image])
    if not anchor or preset.anchor_of(compartments) == anchor:
        return preset
    return msgspec.structs.replace(preset, anchors=(anchor, *preset.anchors))


def _decide_schemas(layout: SourceLayout, preset: Preset, options: DiscoverOptions) -> tuple[TableSchema, ...]:
    compartments = [table for table in layout.samples if table != preset.image]
    only_common = options.columns == "intersection"
    return _same_table_number_type(
        [
            sample.schema(layout.prefix_of(table), preset, compartments, only_common=only_common)
            for table, sample in layout.samples.items()
        ]
    )


def _same_table_number_type(schemas: Sequence[TableSchema]) -> tuple[TableSchema, ...]:
    """Make table numbers text in all tables where they are in any, since tables are joined on them."""
    kinds = {column.type for schema in schemas for column in schema.columns if column.name == TABLE_NUMBER}
    if len(kinds) < 2:
        return tuple(schemas)
    return tuple(
        msgspec.structs.replace(
            schema,
            columns=tuple(
                msgspec.structs.replace(column, type="string") if column.name == TABLE_NUMBER else column
                for column in schema.columns
            ),
        )
        for schema in schemas
    )


def _number_parts(layout: SourceLayout, preset: Preset, values: Mapping[str, PathValues]) -> Iterable[Source]:
    number_of = {name: number for number, name in enumerate(layout.datasets, start=1)}
    for part, sources in enumerate(layout.parts, start=1):
        for table in sources:
            yield Source(
                part=part,
                table_number=number_of[table.dataset],
                format=preset.format,
                path_values=values.get(table.dataset, ()),
                **vars(table),
            )
