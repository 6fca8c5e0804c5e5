"""pct-join: join the compartments of a bundle into profiles, one row per single cell.

Takes a bundle. Gives profiles: for every object of the anchor its own columns beside those of its cell, nucleus and
image. Joins never look past a dataset, and no row is dropped without being counted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pycytominer_transform.common import commandline
from pycytominer_transform.common.holding import Hold
from pycytominer_transform.common.prefect_environment import prefect_api_configured
from pycytominer_transform.common.reporting import count, logger, progress
from pycytominer_transform.common.stage_task import StageTask
from pycytominer_transform.common.storage_arguments import add_storage, storage_options
from pycytominer_transform.common.storage_options import StorageOptions

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pycytominer_transform.common.bundle import BundleReader
    from pycytominer_transform.common.joining import JoinedPart
    from pycytominer_transform.common.kept_bundles import KeptBundle
    from pycytominer_transform.common.kept_profiles import KeptProfilesWriter
    from pycytominer_transform.common.manifest import Manifest
    from pycytominer_transform.common.platemap import PlatemapLookup
    from pycytominer_transform.common.platemap_file import Platemap
    from pycytominer_transform.common.profiles import ProfilesFolderWriter, ProfilesStreamWriter
    from pycytominer_transform.common.relations import JoinPlan

TOOL = "pct-join"


@dataclass(frozen=True, kw_only=True)
class JoinOptions:
    """How `pct-join` joins.

    Attributes
    ----------
    sql : str
        DuckDB SQL to run per part over views named after the tables, instead of the preset's join; empty for that.
    unmatched : {'drop', 'keep'}
        What to do with rows of the anchor that lack a partner: drop and count them, or keep them with nulls.
    image_columns : str
        Further columns of the image table: ``all`` or a regular expression; empty for those that the preset names.
    aggregate_children : {'', 'mean', 'count'}
        What to make of the objects of a child table, one row per parent; empty to join them where none has several.
    platemap : Platemap, optional
        What is in each well, to be put beside its cells.
    threads : int
        Threads to use; 0 for as many as there are processors to use.
    memory : int
        Bytes of memory that DuckDB may use; 0 for half of what the process may use.
    """

    sql: str = ""
    unmatched: Literal["drop", "keep"] = "drop"
    image_columns: str = ""
    aggregate_children: Literal["", "mean", "count"] = ""
    platemap: Platemap | None = None
    threads: int = 0
    memory: int = 0


@dataclass(frozen=True)
class JoinSummary:
    """What was joined: parts, and the counts of `pycytominer_transform.common.joining.JoinedPart` over all of them.

    Attributes
    ----------
    entries : tuple of str
        Those of the platemap, whether or not they have cells.
    seconds : float
        How long it took.
    """

    parts: int
    counts: dict[str, Any]
    entries: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)


def join(
    *, bundle: str, output: str = "-", overwrite: bool = False, hold: Hold = "lasting",
    options: JoinOptions | None = None, storage: StorageOptions | None = None,
) -> JoinSummary:  # fmt: skip
    """Join the tables of a bundle's parts.

    Parameters
    ----------
    bundle : str
        A bundle's folder or prefix, or ``-`` for streams on standard input.
    output : str
        Where the profiles go: a folder ``PART.arrow``, a prefix, or ``-`` for a stream on standard output.
    overwrite : bool
        Replace an output that exists.
    hold : {'lasting', 'passing', 'kept'}
        How long the output has to last, see `pycytominer_transform.common.holding`. Kept means profiles in memory under
        the output's name, a folder of this machine, which has their manifest then; where there is no room, passing.
    options : JoinOptions, optional
        How to join.
    storage : StorageOptions, optional
        How cloud storage is reached.

    Raises
    ------
    UsageError
        The tables do not say how they join, or the query is refused.
    DataError
        A table holds an object twice.
    StageEndedEarlyError
        The bundle is cut off.
    """
    from pycytominer_transform.common.bundle import open_bundle
    from pycytominer_transform.common.destination import LocalFolder, storage_errors
    from pycytominer_transform.common.kept_profiles import KeptProfilesWriter
    from pycytominer_transform.common.outputs import check_destination, complete_folder
    from pycytominer_transform.common.place import named_place
    from pycytominer_transform.common.profiles import ProfilesFolderWriter, ProfilesStreamWriter, is_profiles_entry
    from pycytominer_transform.common.standard_io import STANDARD, open_standard_output

    options = options or JoinOptions()
    if output == STANDARD:
        with open_standard_output() as sink, open_bundle(bundle, storage) as reader, _joiner(reader, options) as joiner:
            return _join_parts(reader, joiner, ProfilesStreamWriter(sink, reader.manifest, joiner.schema), options)
    place = named_place(output, storage)
    if hold == "kept" and isinstance(place, Path):
        with open_bundle(bundle, storage) as reader, _joiner(reader, options) as joiner, storage_errors(place):
            written = ProfilesFolderWriter(LocalFolder(place), reader.manifest)
            return _join_parts(reader, joiner, KeptProfilesWriter(place, reader.manifest, written), options)
    check_destination(place, overwrite=overwrite, is_folder=True)
    with open_bundle(bundle, storage) as reader, _joiner(reader, options) as joiner:
        with complete_folder(
            place, overwrite=overwrite, is_ours=is_profiles_entry, lasting=hold == "lasting"
        ) as folder:
            return _join_parts(reader, joiner, ProfilesFolderWriter(folder, reader.manifest), options)


join_task = StageTask(join, name="join")


def result_options(options: JoinOptions) -> dict[str, object]:
    """Give the options that change the result."""
    platemap = options.platemap
    return {
        "sql": options.sql,
        "unmatched": options.unmatched,
        "image_columns": options.image_columns,
        "aggregate_children": options.aggregate_children,
        "platemap": platemap.fingerprint if platemap else "",
        "platemap_entries": len(platemap.entries) if platemap else 0,
        "platemap_on": [f"{key.column}={key.profiles}" for key in platemap.keys] if platemap else [],
    }


class _Joiner:
    """Joins parts one after the other, by the preset's plan or by the user's query."""

    def __init__(
        self, reader: BundleReader | KeptBundle, options: JoinOptions, connection: duckdb.DuckDBPyConnection
    ) -> None:
        from pycytominer_transform.common.arrays import empty_table
        from pycytominer_transform.common.bundle_schema import bundle_schema
        from pycytominer_transform.common.joining import join_part_by_query, profiles_schema
        from pycytominer_transform.common.relations import plan_join
        from pycytominer_transform.common.sql import queries

        self._connection = connection
        self._options = options
        self._plan: JoinPlan | None = None
        manifest = reader.manifest
        if options.sql:
            empty = {schema.table: empty_table(bundle_schema(manifest, schema)) for schema in manifest.tables}
            self.schema: pa.Schema = join_part_by_query(connection, options.sql, empty, "--sql").profiles.schema
            logger.debug("%s", options.sql)
        else:
            self._plan = plan_join(manifest, image_columns=options.image_columns, aggregate=options.aggregate_children)
            self.schema = profiles_schema(manifest, self._plan)
            for line in "".join(f"{query};\n" for query in queries(self._plan)).splitlines():
                logger.debug("%s", line)
        self._platemap: PlatemapLookup | None = None
        if options.platemap:
            self._look_up(manifest, options.platemap)

    def _look_up(self, manifest: Manifest, platemap: Platemap) -> None:
        from pycytominer_transform.common.arrays import empty_table
        from pycytominer_transform.common.platemap import PlatemapLookup

        image = [schema for schema in manifest.tables if schema.table == manifest.preset.image and self._plan]
        untaken = {column.name for schema in image for column in schema.columns}
        in_order = self._plan is not None
        self._platemap = PlatemapLookup(platemap, self.schema, in_order=in_order, image_columns=untaken)
        self.schema = self._platemap.added_to(empty_table(self.schema))[0].schema

    def join(self, tables: dict[str, pa.Table]) -> JoinedPart:
        joined = self._joined(tables)
        if self._platemap is None:
            return joined
        profiles, counts = self._platemap.added_to(joined.profiles)
        return replace(joined, profiles=profiles, counts=joined.counts | {"platemap": counts})

    def _joined(self, tables: dict[str, pa.Table]) -> JoinedPart:
        from pycytominer_transform.common.joining import join_part, join_part_by_query

        if self._plan is None:
            return join_part_by_query(self._connection, self._options.sql, tables, "--sql")
        return join_part(self._connection, self._plan, tables, self._options.unmatched)


@contextmanager
def _joiner(reader: BundleReader | KeptBundle, options: JoinOptions) -> Iterator[_Joiner]:
    from pycytominer_transform.common.duckdb_connections import open_duckdb
    from pycytominer_transform.common.resources import usable_memory, usable_threads

    # A query of the user's own runs on one thread: only so do its rows come out in the same order every time.
    threads = 1 if options.sql else options.threads or usable_threads()
    with open_duckdb(threads=threads, memory=options.memory or usable_memory() // 2) as connection:
        yield _Joiner(reader, options, connection)


def _join_parts(
    reader: BundleReader | KeptBundle,
    joiner: _Joiner,
    writer: ProfilesFolderWriter | ProfilesStreamWriter | KeptProfilesWriter,
    options: JoinOptions,
) -> JoinSummary:
    from pycytominer_transform.common.provenance import added_counts, new_step

    began = time.monotonic()
    counts: dict[str, Any] = {}
    parts = 0
    for part, tables in reader.parts():
        joined = joiner.join(tables)
        writer.write(part, _as_in_all_parts(joined.profiles, joiner.schema))
        counts = added_counts(counts, joined.counts)
        parts += 1
        # The next part is read before these names are given to it.
        del tables, joined
        progress("joining parts", parts, len(reader.manifest.parts), rows=counts["joined"])
    before = reader.steps[len(reader.manifest.provenance) :]
    writer.close([*before, new_step(TOOL, result_options(options), counts)])
    labels = options.platemap.labels if options.platemap else ()
    return JoinSummary(parts, counts, labels, time.monotonic() - began)


def _as_in_all_parts(profiles: pa.Table, schema: pa.Schema) -> pa.Table:
    # To cast a thousand columns takes ten milliseconds, even if none becomes another.
    return profiles if profiles.schema.equals(schema) else profiles.cast(schema)


def add_join_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this stage; `pct-flow` has them too."""
    group = parser.add_argument_group("joining")
    group.add_argument(
        "--sql", metavar="FILE", default="",
        help="DuckDB SQL to run per part over views named after the tables, instead of the preset's join",
    )  # fmt: skip
    group.add_argument(
        "--unmatched", choices=("drop", "keep"), default="drop",
        help="what to do with objects that lack a partner: drop and count, or keep with nulls (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--aggregate-children", choices=("mean", "count"), default="",
        help="make one row per parent of the objects of tables that may have several: how many, and the means of their "
        "measurements (default: refuse several)",
    )  # fmt: skip
    group.add_argument(
        "--image-columns", metavar="all|REGEX", type=commandline.regex, default="",
        help="further columns of the image table (default: file names, plate, well, site as the preset names them)",
    )  # fmt: skip
    group.add_argument(
        "--platemap", metavar="FILE", default="",
        help="a CSV or TSV with a row per well, whose other columns go beside the well's cells as Metadata_*",
    )  # fmt: skip
    group.add_argument(
        "--platemap-on", metavar="KEY,...", default="",
        help="the platemap's key columns, each KEY or PLATEMAP_COLUMN=PROFILES_COLUMN (default: well)",
    )  # fmt: skip
    group.add_argument(
        "--memory", metavar="SIZE", type=commandline.byte_size, default=0,
        help="memory to join in; pct-flow also takes fewer parts at once, and smaller ones, to stay in it (default: "
        "half of what this process may use)",
    )  # fmt: skip


def join_options(args: argparse.Namespace) -> JoinOptions:
    """Make the options of parsed words.

    Raises
    ------
    UsageError
        The file with SQL, or the platemap, cannot be read.
    DataError
        See `pycytominer_transform.common.platemap_file.read_platemap`.
    """
    from pycytominer_transform.common.errors import UsageError
    from pycytominer_transform.common.platemap_file import read_platemap
    from pycytominer_transform.common.standard_io import read_small_file

    storage = storage_options(args)
    sql = ""
    if args.sql:
        try:
            sql = read_small_file(args.sql, "the SQL in", storage).decode()
        except UnicodeDecodeError as error:
            raise UsageError(f"cannot read the SQL in {args.sql}: {error}") from error
        if not sql.strip():
            raise UsageError(f"there is no SQL in {args.sql}")
        if args.aggregate_children:
            raise UsageError("--aggregate-children goes with the preset's join; with --sql aggregate in the query")
    if args.platemap_on and not args.platemap:
        raise UsageError("--platemap-on goes with --platemap")
    on = [key.strip() for key in (args.platemap_on or "well").split(",")]
    return JoinOptions(
        sql=sql,
        platemap=read_platemap(args.platemap, on, storage) if args.platemap else None,
        unmatched=args.unmatched,
        image_columns=args.image_columns,
        aggregate_children=args.aggregate_children,
        threads=args.threads,
        memory=args.memory,
    )


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of `pct-join`."""
    parser = commandline.new_parser(TOOL, "Join the compartments of a bundle into profiles, one row per single cell.")
    commandline.add_input(parser, "a bundle from pct-extract")
    commandline.add_output(parser, "where the profiles go (a folder of Arrow IPC files)")
    add_join_options(parser)
    commandline.add_threads(parser)
    add_storage(parser)
    commandline.add_prefect(parser)
    return parser


def report(summary: JoinSummary) -> None:
    """Say how many rows every table had, how many were joined, and what found no partner."""
    counts = summary.counts
    logger.info("%s: %s", count(summary.parts, "part"), count(counts.get("joined", 0), "cell"))
    for table, rows in counts.get("rows", {}).items():
        unmatched = counts.get("unmatched", {}).get(table)
        if unmatched is not None:
            logger.info(
                "%s: %s, %s joined, %s without a partner", table, count(rows, "row"), rows - unmatched, unmatched
            )
    if lacking := {table: number for table, number in counts.get("without", {}).items() if number}:
        what = "dropped" if counts["dropped"] else "kept with nulls"
        lacks = ", ".join(f"{number} lacked {table}" for table, number in lacking.items())
        logger.warning("%s %s: %s", count(counts["incomplete"], "object"), what, lacks)
    if summary.entries:
        _report_platemap(counts.get("platemap", {}), summary.entries)


def _report_platemap(counts: dict[str, Any], entries: Sequence[str]) -> None:
    from pycytominer_transform.common.naming import listed

    cells = counts.get("cells", {})
    unused = [entry for entry in entries if entry not in cells]
    named = f" ({listed(unused)})" if unused else ""
    logger.info("platemap: %s with cells, entries without a well: %s%s", count(len(cells), "well"), len(unused), named)
    if lacking := counts.get("without_entry", {}):
        wells, number = count(len(lacking), "well"), count(sum(lacking.values()), "cell")
        logger.warning("platemap: %s, %s, without an entry: %s", wells, number, listed(sorted(lacking)))
    if counts.get("without_well"):
        logger.warning("platemap: %s without a well", count(counts["without_well"], "cell"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run `pct-join`; gives its exit code."""

    def body(args: argparse.Namespace) -> int:
        report(
            join_task.run(
                tracked=prefect_api_configured(no_prefect=args.no_prefect),
                run_name=f"join {args.input}",
                bundle=args.input,
                output=args.output,
                overwrite=args.overwrite,
                options=join_options(args),
                storage=storage_options(args),
            )
        )
        return 0

    # DuckDB would import the last to see whether a table is one of its datasets.
    return commandline.run(build_parser(), argv, body, without=("numpy", "pandas", "pyarrow.dataset"))


if __name__ == "__main__":
    sys.exit(main())
