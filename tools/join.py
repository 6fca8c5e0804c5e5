"""pct-join: join the compartments of a bundle into profiles, one row per single cell.

Takes a bundle. Gives profiles: for every object of the anchor its own columns beside those of its cell, nucleus and
image. Joins never look past a dataset, and no row is dropped without being counted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pycytominer_transform.common.cli.parser import (
    Parser,
    add_general_options,
    add_input,
    add_options,
    add_output,
    new_parser,
)
from pycytominer_transform.common.cli.run import run_stage
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.flow.stage_task import StageTask
from pycytominer_transform.common.join.inputs import JoinInputs, read_join_inputs
from pycytominer_transform.common.join.report import JoinSummary
from pycytominer_transform.common.model.options import byte_size, option, recorded_options, regex, threads_option
from pycytominer_transform.common.runtime.messages import progress
from pycytominer_transform.common.storage.options import StorageOptions

if TYPE_CHECKING:
    import pyarrow as pa
    from pycytominer_transform.common.ipc.bundle import Extracted
    from pycytominer_transform.common.join.planned_join import PlannedJoin
    from pycytominer_transform.common.join.platemap_join import PlatemapJoin
    from pycytominer_transform.common.join.user_query import QueryJoin
    from pycytominer_transform.common.join.well_counts import CountedJoin
    from pycytominer_transform.common.model.manifest import Manifest

TOOL = "pct-join"
HEADING = "joining"


@dataclass(frozen=True, kw_only=True)
class JoinOptions:
    """How `pct-join` joins."""

    sql: str = field(
        default="",
        metadata=option(
            "DuckDB SQL to run per part over views named after the tables, instead of the preset's join",
            metavar="FILE", recorded=False,
        ),
    )  # fmt: skip
    unmatched: Literal["drop", "keep"] = field(
        default="drop",
        metadata=option(
            "what to do with objects that lack a partner: drop and count, or keep with nulls (default: %(default)s)"
        ),
    )
    aggregate_children: Literal["", "mean", "count"] = field(
        default="",
        metadata=option(
            "make one row per parent of the objects of tables that may have several: how many, and the means of their "
            "measurements (default: refuse several)"
        ),
    )
    image_columns: str = field(
        default="",
        metadata=option(
            "further columns of the image table, beside its file names and metadata",
            metavar="all|REGEX", parse=regex,
        ),
    )  # fmt: skip
    platemap: str = field(
        default="",
        metadata=option(
            "a CSV or TSV with a row per well, whose other columns go beside the well's cells as Metadata_*; or "
            "a batch's folder, with barcode_platemap.csv and platemap/NAME.txt",
            metavar="PATH", recorded=False,
        ),
    )  # fmt: skip
    platemap_on: str = field(
        default="",
        metadata=option(
            "the platemap's key columns, each KEY or PLATEMAP_COLUMN=PROFILES_COLUMN (default: well; for a batch "
            "Assay_Plate_Barcode=plate,well_position=well)",
            metavar="KEY,...", recorded=False,
        ),
    )  # fmt: skip
    counts: bool = field(
        default=False,
        metadata=option("add how many cells and sites each cell's well has, Metadata_Object_Count and _Site_Count"),
    )
    memory: int = field(
        default=0,
        metadata=option(
            "memory to stay in (default: half of what this process may use)",
            metavar="SIZE", parse=byte_size, recorded=False,
        ),
    )  # fmt: skip
    threads: int = field(default=0, metadata=threads_option())
    inputs: JoinInputs | None = None
    """The query and the platemap in memory, so that the files are read once for many joins."""

    def read_inputs(self, storage: StorageOptions | None = None) -> JoinInputs:
        """Return the query and the platemap, read from the files unless they are in memory.

        Raises
        ------
        UsageError, DataError
            See `pycytominer_transform.common.join.inputs.read_join_inputs`.
        """
        if self.inputs is not None:
            return self.inputs
        if self.sql and self.aggregate_children:
            raise UsageError("--aggregate-children goes with the preset's join; with --sql aggregate in the query")
        return read_join_inputs(sql=self.sql, platemap=self.platemap, platemap_on=self.platemap_on, storage=storage)


def join(
    *, bundle: str | Extracted, output: str | None = "-", overwrite: bool = False, sync: bool = True,
    options: JoinOptions | None = None, storage: StorageOptions | None = None,
) -> JoinSummary:  # fmt: skip
    """Join the tables of a bundle's parts.

    Parameters
    ----------
    bundle : str or Extracted
        A bundle's folder or prefix, or ``-`` for streams on standard input; or what `extract` returned.
    output : str, optional
        Where the profiles go: a folder ``PART.arrow``, a prefix, or ``-`` for a stream on standard output; None to
        return them in memory.
    overwrite : bool
        Replace an output that exists.
    sync : bool
        Wait until a folder is on the disk, so that it survives a power cut.
    options : JoinOptions, optional
        How to join.
    storage : StorageOptions, optional
        How cloud storage is reached.

    Raises
    ------
    UsageError
        The tables do not say how they join, or the query is refused.
    DataError
        A table holds an object twice, or the query gives a cell twice.
    StageEndedEarlyError
        The bundle is cut off.
    """
    from pycytominer_transform.common.ipc.bundle import open_bundle
    from pycytominer_transform.common.ipc.profiles import MemoryProfiles, is_profiles_entry, profiles_writer
    from pycytominer_transform.common.join.repeated_ids import refuse_repeated_ids
    from pycytominer_transform.common.model.provenance import added_counts, new_step
    from pycytominer_transform.common.storage.standard_io import open_output

    options = options or JoinOptions()
    inputs = options.read_inputs(storage)
    began = time.monotonic()
    counts: dict[str, Any] = {}
    parts = 0
    with (
        open_output(
            output, is_profiles_entry, what="profiles", overwrite=overwrite, sync=sync, storage=storage
        ) as sink,
        open_bundle(bundle, storage) as reader,
        _opened(reader.manifest, options, inputs) as joiner,
    ):
        writer = profiles_writer(sink, reader.manifest, joiner.schema)
        for part, tables in reader.parts():
            joined = joiner.join(tables)
            if reader.manifest.makes_cell_ids:
                refuse_repeated_ids(joined.profiles)
            writer.write(part, joined.profiles)
            counts = added_counts(counts, joined.counts)
            parts += 1
            # So that their memory is free while the next part is read.
            del tables, joined
            progress("joining parts", parts, len(reader.manifest.parts), rows=counts["joined"])
        before = reader.steps[len(reader.manifest.provenance) :]
        writer.close([*before, new_step(TOOL, recorded(options, inputs), counts)])
    passed_over = passed_over_columns(reader.manifest, options, inputs)
    profiles = writer if isinstance(writer, MemoryProfiles) else str(output)
    return JoinSummary(parts, counts, inputs.entries, passed_over, profiles, time.monotonic() - began)


join_task = StageTask(join, name="join")


def recorded(options: JoinOptions, inputs: JoinInputs) -> dict[str, Any]:
    """Return the options and the contents of files that change the result, for provenance."""
    return recorded_options(options) | inputs.recorded()


def passed_over_columns(manifest: Manifest, options: JoinOptions, inputs: JoinInputs) -> tuple[str, ...]:
    """Return the columns of the image table that the profiles leave out; none for the user's own query.

    Raises
    ------
    UsageError
        The tables do not say how they join; see `pycytominer_transform.common.join.relations.plan_join`.
    """
    from pycytominer_transform.common.join.relations import plan_join

    if inputs.query:
        return ()
    return plan_join(manifest.shared, options.image_columns, options.aggregate_children).passed_over


def profiles_schema(manifest: Manifest, options: JoinOptions, inputs: JoinInputs) -> pa.Schema:
    """Return the columns of the profiles without reading any part.

    Raises
    ------
    UsageError
        The tables do not say how they join, or the query is refused.
    """
    with _opened(manifest, options, inputs) as joiner:
        return joiner.schema


@contextmanager
def _opened(
    manifest: Manifest, options: JoinOptions, inputs: JoinInputs
) -> Iterator[PlannedJoin | QueryJoin | PlatemapJoin | CountedJoin]:
    from pycytominer_transform.common.join.duckdb_sandbox import open_duckdb
    from pycytominer_transform.common.join.planned_join import PlannedJoin
    from pycytominer_transform.common.join.platemap_join import PlatemapJoin
    from pycytominer_transform.common.join.user_query import QueryJoin
    from pycytominer_transform.common.join.well_counts import CountedJoin
    from pycytominer_transform.common.runtime.resources import usable_memory, usable_threads

    # The user's query runs on one thread, so that its rows have the same order every time.
    threads = 1 if inputs.query else options.threads or usable_threads()
    with open_duckdb(threads=threads, memory=options.memory or usable_memory() // 2) as connection:
        join: PlannedJoin | QueryJoin | PlatemapJoin
        if inputs.query:
            join = QueryJoin(connection, manifest, inputs.query)
        else:
            join = PlannedJoin(
                connection, manifest, unmatched=options.unmatched, image_columns=options.image_columns,
                aggregate=options.aggregate_children,
            )  # fmt: skip
        if inputs.platemap:
            images = () if inputs.query else [each for each in manifest.tables if each.table == manifest.preset.image]
            image_columns = {column.name for schema in images for column in schema.columns}
            join = PlatemapJoin(join, inputs.platemap, in_order=not inputs.query, image_columns=image_columns)
        yield CountedJoin(join, manifest, in_order=not inputs.query) if options.counts else join


def build_parser() -> Parser:
    """Return the parser of `pct-join`."""
    parser = new_parser(
        TOOL, "Join the compartments of a bundle into profiles, one row per single cell.", usage="[INPUT]",
        examples=(
            "pct-join bundle -o profiles",
            "pct-join bundle --platemap wells.csv -o profiles    with what is in each well",
            "pct-discover plate | pct-extract | pct-join | pct-write -o plate.parquet",
        ),
        common=("-o", "--overwrite", "--unmatched", "--image-columns", "--platemap", "--counts", "-q", "-v"),
    )  # fmt: skip
    add_input(parser, "bundle", "a bundle from pct-extract")
    add_output(parser, "where the profiles go (a folder of Arrow IPC files)")
    add_options(parser, JoinOptions, HEADING)
    add_general_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `pct-join` and return its exit code."""
    return run_stage(build_parser(), argv, join_task, JoinOptions, reads="bundle")


if __name__ == "__main__":
    sys.exit(main())
