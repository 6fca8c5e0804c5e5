"""pct-write: write profiles, or any Arrow stream, as Parquet or AnnData.

Takes profiles. Gives one Parquet file, a folder with one file per part, or one AnnData file or store; the provenance of
all stages is in each. The rows depend on the source alone, not on how it was cut into parts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from pycytominer_transform.common.cli.parser import Parser, add_general_options, add_options, add_output, new_parser
from pycytominer_transform.common.cli.run import run_stage
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.flow.stage_task import StageTask
from pycytominer_transform.common.model.options import option, positive, recorded_options
from pycytominer_transform.common.model.roles import ROLES, Role, chosen_columns, role_list
from pycytominer_transform.common.runtime.messages import count, report_fields, size
from pycytominer_transform.common.storage.options import StorageOptions
from pycytominer_transform.common.write.outputs import PARQUET, SUFFIXES, output_kind

if TYPE_CHECKING:
    from pycytominer_transform.common.ipc.profiles import Joined
    from pycytominer_transform.common.storage.location import Location

TOOL = "pct-write"
HEADING = "writing"
OUTPUT_HELP = (
    "where the output goes: NAME.parquet for one file, NAME or NAME/ for a folder of one Parquet file per part, "
    "NAME.h5ad or NAME.zarr for AnnData, NAME.arrow for one Arrow IPC file"
)


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """How `pct-write` writes."""

    compression: Literal["lz4", "zstd", "snappy", "gzip", "none"] = field(
        default="lz4", metadata=option("Parquet codec (default: %(default)s)")
    )
    row_group_rows: int = field(
        default=0,
        metadata=option(
            "rows per Parquet row group (default: from 4 MB of values, more the longer the file)",
            metavar="N", parse=positive,
        ),
    )  # fmt: skip
    only: tuple[Role, ...] = field(
        default=(),
        metadata=option(f"write only columns of these roles: {', '.join(ROLES)}", metavar="A,B", parse=role_list),
    )
    drop: tuple[Role, ...] = field(
        default=(), metadata=option("leave out the columns of these roles", metavar="A,B", parse=role_list)
    )
    x_dtype: Literal["float32", "float64"] = field(
        default="float32",
        metadata=option("type of the features in AnnData; float64 keeps all digits (default: %(default)s)"),
    )
    obs_names: Literal["cell", "number"] = field(
        default="cell",
        metadata=option(
            "names of the cells in AnnData: their Metadata_CellID, or the rows' numbers (default: %(default)s)"
        ),
    )
    per_table: str = field(
        default="",
        metadata=option(
            "instead of -o: take a bundle from pct-extract, and write one Parquet file for each of its tables, not "
            "joined, into this folder",
            metavar="DIR", recorded=False,
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class WriteSummary:
    """Counts of files, rows, columns and bytes (0 on standard output), the output, and the seconds it took."""

    files: int
    rows: int
    columns: int
    bytes: int
    output: str = field(default="-", compare=False)
    seconds: float = field(default=0.0, compare=False)

    def report(self) -> None:
        """Log what was written."""
        place = "standard output" if self.output == "-" else self.output
        sizes = f", {size(self.bytes)} in {count(self.files, 'file')}" if self.bytes else ""
        report_fields(
            f"{place}: {count(self.rows, 'row')}, {count(self.columns, 'column')}{sizes}",
            output=place, files=self.files, rows=self.rows, columns=self.columns, bytes=self.bytes,
        )  # fmt: skip


def write(
    *, profiles: str | Sequence[str] | Joined, output: str = "-", overwrite: bool = False, fingerprint: str = "",
    options: WriteOptions | None = None, storage: StorageOptions | None = None,
) -> WriteSummary:  # fmt: skip
    """Write profiles as Parquet or AnnData.

    Parameters
    ----------
    profiles : str, sequence of str or Joined
        Folders or prefixes of profiles, one Arrow IPC file or object, or ``-`` for a stream on standard input; or what
        `join` returned.
    output : str
        A file or an object whose name ends in ``.parquet``, ``.pq``, ``.arrow`` or ``.h5ad``, or a Zarr store whose
        name ends in ``.zarr``; a name without a suffix, or with ``/`` at its end, is a folder that gets one Parquet
        file per part; ``-`` is standard output, for Parquet.
    overwrite : bool
        Replace an output that exists.
    fingerprint : str
        Digest of the sources and options of the part, kept in its metadata: `pct-flow` recognises the finished part
        by it.
    options : WriteOptions, optional
        How to write.
    storage : StorageOptions, optional
        How cloud storage is reached.

    Raises
    ------
    UsageError
        The suffix of `output` is unknown, its libraries are not installed, or no column is left to write.
    StageEndedEarlyError
        The profiles are cut off.
    DestinationExistsError, StorageError
        The output exists, or the disk refuses.
    """
    from pycytominer_transform.common.ipc.profiles import open_profiles
    from pycytominer_transform.common.storage.location import named_location
    from pycytominer_transform.common.storage.standard_io import STANDARD, open_standard_output
    from pycytominer_transform.common.write.well_counts import with_well_counts

    began = time.monotonic()
    options = options or WriteOptions()
    if options.per_table:
        return _write_tables(profiles, output, options, overwrite=overwrite, storage=storage)
    settings = recorded_options(options)
    place = named_location(output, storage)
    check_name(output, place)
    sizes: Sequence[int] = ()
    with ExitStack() as stack:
        if output == STANDARD:
            sink = stack.enter_context(open_standard_output("Parquet"))
            reader = with_well_counts(open_profiles(profiles, stack, storage))
            rows = PARQUET.write(reader, sink, settings)
        else:
            kind = output_kind(place)
            kind.check_libraries(output)
            place.check_destination(overwrite=overwrite, is_folder=kind.is_folder)
            reader = with_well_counts(open_profiles(profiles, stack, storage))
            reader.fingerprint = fingerprint
            if kind.is_folder:
                with place.complete_folder(overwrite=overwrite, is_ours=kind.is_own_entry) as folder:
                    rows = kind.write(reader, folder, settings)
            else:
                with place.complete_file(overwrite=overwrite) as file:
                    rows = kind.write(reader, file, settings)
            sizes = place.sizes()
        columns = len(chosen_columns(reader.schema, settings["only"], settings["drop"]))
    return WriteSummary(max(len(sizes), 1), rows, columns, sum(sizes), output, time.monotonic() - began)


write_task = StageTask(write, name="write")


def _write_tables(
    bundle: str | Sequence[str] | Joined, output: str, options: WriteOptions, *, overwrite: bool,
    storage: StorageOptions | None,
) -> WriteSummary:  # fmt: skip
    """Write a bundle's tables, not joined, into the folder that the options name."""
    from pycytominer_transform.common.ipc.bundle import open_bundle
    from pycytominer_transform.common.storage.location import named_location
    from pycytominer_transform.common.storage.standard_io import STANDARD
    from pycytominer_transform.common.write.tables import is_own_entry, write_tables

    began = time.monotonic()
    if output != STANDARD:
        raise UsageError("--per-table DIR goes without -o: DIR is the output")
    if not isinstance(bundle, str):
        if not isinstance(bundle, Sequence) or len(bundle) != 1:
            raise UsageError("--per-table takes one bundle from pct-extract")
        [bundle] = bundle
    place = named_location(options.per_table, storage)
    if place.name.lower().endswith(SUFFIXES):
        bare = options.per_table.rstrip("/")
        raise UsageError(f"--per-table names a folder: give {bare.removesuffix(PurePosixPath(bare).suffix)}")
    place.check_destination(overwrite=overwrite, is_folder=True)
    with (
        open_bundle(bundle, storage) as reader,
        place.complete_folder(overwrite=overwrite, is_ours=is_own_entry) as folder,
    ):
        rows, columns = write_tables(reader, folder, recorded_options(options))
    sizes = place.sizes()
    return WriteSummary(len(sizes), rows, columns, sum(sizes), options.per_table, time.monotonic() - began)


def check_name(output: str, place: Location) -> None:
    """Refuse a name with an unknown suffix, so that nobody gets a folder instead of another kind of file.

    Raises
    ------
    UsageError
        It has another suffix and no ``/`` at its end, or a file's suffix and a ``/``.
    """
    suffix = PurePosixPath(place.name).suffix
    bare = output.rstrip("/")
    is_file_name = suffix.lower() in SUFFIXES
    is_store = is_file_name and output_kind(place).is_folder
    if output == "-" or not suffix or is_store or is_file_name != output.endswith("/") or place.is_dir():
        return
    if is_file_name:
        raise UsageError(f"{output}: give {bare} for one file, or {bare.removesuffix(suffix)}/ for a folder")
    raise UsageError(
        f"{output}: no output ends in {suffix}, only in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}; give "
        f"{bare.removesuffix(suffix)}.parquet for one file, or {bare}/ for a folder of one file per part"
    )


def build_parser() -> Parser:
    """Return the parser of `pct-write`."""
    parser = new_parser(
        TOOL, "Write profiles, or any Arrow stream or file, as Parquet or AnnData.", usage="[INPUT ...]",
        examples=(
            "pct-write profiles -o plate.parquet",
            "pct-write profiles -o plate.h5ad    AnnData, for scanpy",
            "pct-discover plate | pct-extract | pct-join | pct-write -o plate.parquet",
        ),
        common=("-o", "--overwrite", "--only", "--drop", "--per-table", "-q"),
    )  # fmt: skip
    parser.add_argument(
        "profiles", metavar="INPUT", nargs="*", default=["-"],
        help="profiles from pct-join, or any Arrow stream or file; several folders: the shares of one source; "
        "- or nothing: standard input",
    )  # fmt: skip
    add_output(parser, OUTPUT_HELP)
    add_options(parser, WriteOptions, HEADING)
    add_general_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `pct-write` and return its exit code."""
    return run_stage(build_parser(), argv, write_task, WriteOptions, reads="profiles", named_after="output")


if __name__ == "__main__":
    sys.exit(main())
