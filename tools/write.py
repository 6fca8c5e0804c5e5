"""pct-write: write profiles, or any Arrow stream, as Parquet.

Takes profiles. Gives one Parquet file, or a folder with one file per part; the provenance of all stages is in each
file's metadata. The rows' bytes depend on the rows alone, not on how the source was cut into parts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pycytominer_transform.common import commandline
from pycytominer_transform.common.prefect_environment import prefect_api_configured
from pycytominer_transform.common.reporting import count, logger, size
from pycytominer_transform.common.resources import hold_no_large_memory, usable_threads
from pycytominer_transform.common.stage_task import StageTask
from pycytominer_transform.common.storage_arguments import add_storage, storage_options
from pycytominer_transform.common.storage_options import StorageOptions

if TYPE_CHECKING:
    from pycytominer_transform.common.made_parts import MadeParts
    from pycytominer_transform.common.place import Place
    from pycytominer_transform.common.profiles import ProfilesReader

TOOL = "pct-write"
COMPRESSIONS = ("lz4", "zstd", "snappy", "gzip", "none")
PARQUET_SUFFIXES = (".parquet", ".pq")
_MOST_THREADS = 4
"""Each takes the memory of a row group, and the stages before seldom give more to do."""


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """How `pct-write` writes.

    Attributes
    ----------
    compression : str
        Parquet codec.
    row_group_rows : int
        Rows per row group; 0 for 4 MB of values at first and up to 24 MB further down, see `parquet.group_rows`.
    threads : int
        Row groups to encode at once; 0 for as many as there are processors to use, but no more than 4.
    """

    compression: Literal["lz4", "zstd", "snappy", "gzip", "none"] = "lz4"
    row_group_rows: int = 0
    threads: int = 0


@dataclass(frozen=True)
class WriteSummary:
    """What was written: files, rows, columns, and bytes (0 on standard output)."""

    files: int
    rows: int
    columns: int
    bytes: int


def write(
    *, profiles: str | Sequence[str] | MadeParts, output: str = "-", overwrite: bool = False,
    options: WriteOptions | None = None, storage: StorageOptions | None = None,
) -> WriteSummary:  # fmt: skip
    """Write profiles as Parquet.

    Parameters
    ----------
    profiles : str, sequence of str or MadeParts
        Folders or prefixes of profiles, one Arrow IPC file or object, or ``-`` for a stream on standard input; or
        folders of which some have still to be made.
    output : str
        A file or an object whose name ends in ``.parquet`` or ``.pq``; any other name is a folder that gets one file
        per part; ``-`` is standard output.
    overwrite : bool
        Replace an output that exists.
    options : WriteOptions, optional
        How to write.
    storage : StorageOptions, optional
        How cloud storage is reached.

    Raises
    ------
    StageEndedEarlyError
        The profiles are cut off, or not all made.
    DestinationExistsError, StorageError
        The output exists, or the disk refuses.
    """
    from contextlib import ExitStack

    from pycytominer_transform.common.outputs import check_destination, complete_file, complete_folder, sizes
    from pycytominer_transform.common.parquet import is_parquet_entry, write_file, write_folder
    from pycytominer_transform.common.place import named_place
    from pycytominer_transform.common.profiles import open_profiles
    from pycytominer_transform.common.returned_profiles import returning
    from pycytominer_transform.common.standard_io import STANDARD, open_standard_output

    options = options or WriteOptions()
    settings, threads = result_options(options), options.threads or min(usable_threads(), _MOST_THREADS)
    profiles = [profiles] if isinstance(profiles, str) else profiles
    place = named_place(output, storage)
    one_file = is_one_file(place)
    if output != STANDARD:
        check_destination(place, overwrite=overwrite, is_folder=not one_file)
    with ExitStack() as stack:
        if output == STANDARD:
            sink = stack.enter_context(open_standard_output("Parquet"))
            reader = open_profiles(profiles, stack, storage)
            return _summary(reader, write_file(reader, sink, settings, threads=threads), [])
        reader = open_profiles(profiles, stack, storage)
        if one_file:
            with complete_file(place, overwrite=overwrite) as file, returning(reader, profiles, file):
                rows = write_file(reader, file, settings, threads=threads)
        else:
            with complete_folder(place, overwrite=overwrite, is_ours=is_parquet_entry) as folder:
                rows = write_folder(reader, folder, settings, threads=threads)
        return _summary(reader, rows, sizes(place))


write_task = StageTask(write, name="write")


def is_one_file(output: Place) -> bool:
    """Say whether an output is one Parquet file rather than a folder of them."""
    return output.name.lower().endswith(PARQUET_SUFFIXES) and not output.is_dir()


def result_options(options: WriteOptions) -> dict[str, object]:
    """Give the options that decide what comes out."""
    return {"compression": options.compression, "row_group_rows": options.row_group_rows}


def _summary(reader: ProfilesReader, rows: int, written: Sequence[int]) -> WriteSummary:
    return WriteSummary(max(len(written), 1), rows, len(reader.schema), sum(written))


def add_write_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this stage; `pct-flow` has them too."""
    group = parser.add_argument_group("writing")
    group.add_argument("--compression", choices=COMPRESSIONS, default="lz4", help="Parquet codec (%(default)s)")
    group.add_argument(
        "--row-group-rows", metavar="N", type=commandline.positive, default=0,
        help="rows per Parquet row group (default: 4 to 24 MB of values, more the longer the file)",
    )  # fmt: skip


def write_options(args: argparse.Namespace) -> WriteOptions:
    """Make the options of parsed words."""
    return WriteOptions(compression=args.compression, row_group_rows=args.row_group_rows, threads=args.threads)


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of `pct-write`."""
    parser = commandline.new_parser(TOOL, "Write profiles, or any Arrow stream or file, as Parquet.")
    parser.add_argument(
        "input", metavar="INPUT", nargs="*", default=["-"],
        help="profiles from pct-join, or any Arrow stream or file; several folders: the shares of one source; "
        "- or nothing: standard input",
    )  # fmt: skip
    commandline.add_output(
        parser, "where the Parquet goes: NAME.parquet for one file, else a folder of one file per part"
    )
    add_write_options(parser)
    commandline.add_threads(parser)
    add_storage(parser)
    commandline.add_prefect(parser)
    return parser


def report(summary: WriteSummary, output: str) -> None:
    """Say what was written."""
    written = f", {size(summary.bytes)} in {count(summary.files, 'file')}" if summary.bytes else ""
    named = "standard output" if output == "-" else output
    logger.info("%s: %s, %s%s", named, count(summary.rows, "row"), count(summary.columns, "column"), written)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `pct-write`; gives its exit code."""

    def body(args: argparse.Namespace) -> int:
        hold_no_large_memory()
        summary = write_task.run(
            tracked=prefect_api_configured(no_prefect=args.no_prefect),
            run_name=f"write {args.output}",
            profiles=args.input,
            output=args.output,
            overwrite=args.overwrite,
            options=write_options(args),
            storage=storage_options(args),
        )
        report(summary, args.output)
        return 0

    return commandline.run(build_parser(), argv, body)


if __name__ == "__main__":
    sys.exit(main())
