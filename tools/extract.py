"""pct-extract: read the measurement files that a manifest names into a bundle.

Takes a manifest. Gives a bundle: for every part one Arrow table per compartment and one of the image sets, with the
final column names and types that `pct-discover` decided.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pycytominer_transform.common.cli.parser import (
    Parser,
    add_general_options,
    add_input,
    add_options,
    add_output,
    new_parser,
)
from pycytominer_transform.common.cli.run import run_stage
from pycytominer_transform.common.extract.casting import cast_text
from pycytominer_transform.common.extract.report import ExtractSummary, check_left_out
from pycytominer_transform.common.flow.stage_task import StageTask
from pycytominer_transform.common.model.manifest import Manifest
from pycytominer_transform.common.model.options import byte_size, option, recorded_options, shard_option, threads_option
from pycytominer_transform.common.runtime.messages import progress
from pycytominer_transform.common.storage.options import StorageOptions

if TYPE_CHECKING:
    from pycytominer_transform.common.extract.part_reader import PartReader

TOOL = "pct-extract"
HEADING = "reading"


@dataclass(frozen=True, kw_only=True)
class ExtractOptions:
    """How `pct-extract` reads."""

    source: str = field(
        default="",
        metadata=option("where the source lies now (default: as the manifest says)", metavar="PLACE", recorded=False),
    )
    float32: bool = field(default=False, metadata=option("measurements as 32-bit floats: half the size, 7 digits"))
    cast: tuple[str, ...] = field(
        default=(),
        metadata=option(
            "columns whose names REGEX is found in as int64, float64, float32, string or bool; may be repeated",
            metavar="COLUMN_REGEX=TYPE", parse=cast_text, repeatable=True,
        ),
    )  # fmt: skip
    on_bad_value: Literal["fail", "null"] = field(
        default="fail",
        metadata=option("what to do with a text in a number column; null: counted and reported (default: %(default)s)"),
    )
    max_inflate: int = field(
        default=0,
        metadata=option(
            "refuse a compressed file, or all of a part, that inflate to more than this (default: half the memory)",
            metavar="SIZE", parse=byte_size, recorded=False,
        ),
    )  # fmt: skip
    shard: tuple[int, int] = field(default=(1, 1), metadata=shard_option())
    threads: int = field(default=0, metadata=threads_option())


def extract(
    *, manifest: str | Manifest, output: str | None = "-", overwrite: bool = False, sync: bool = True,
    options: ExtractOptions | None = None, storage: StorageOptions | None = None,
) -> ExtractSummary:  # fmt: skip
    """Read the files of a manifest's parts.

    Parameters
    ----------
    manifest : str or Manifest
        A manifest's file, an object, or ``-`` for a stream on standard input; or the manifest itself.
    output : str, optional
        Where the bundle goes: a folder ``PART/TABLE.arrow``, a prefix, or ``-`` for streams on standard output; None to
        return its tables in memory.
    overwrite : bool
        Replace an output that exists.
    sync : bool
        Wait until a folder is on the disk, so that it survives a power cut.
    options : ExtractOptions, optional
        How to read.
    storage : StorageOptions, optional
        How cloud storage is reached.

    Raises
    ------
    DataError, BadValueError, SourceChangedError, StorageError
        See `pycytominer_transform.common.extract.part_reader.PartReader`.
    StageEndedEarlyError
        The manifest is cut off.
    UsageError
        See `pycytominer_transform.common.extract.casting.with_casts`.
    """
    from pycytominer_transform.common.ipc.bundle import MemoryBundle, bundle_writer, is_bundle_entry
    from pycytominer_transform.common.ipc.manifest_files import read_manifest
    from pycytominer_transform.common.model.provenance import new_step
    from pycytominer_transform.common.storage.standard_io import open_output

    options = options or ExtractOptions()
    began = time.monotonic()
    with open_output(output, is_bundle_entry, what="a bundle", overwrite=overwrite, sync=sync, storage=storage) as sink:
        whole = manifest if isinstance(manifest, Manifest) else read_manifest(manifest, storage)
        chosen = prepared(whole.shard(*options.shard), options)
        summary = ExtractSummary({schema.table: 0 for schema in chosen.tables})
        writer = bundle_writer(sink, chosen)
        for part in _reader(chosen, options, storage or StorageOptions()).parts(chosen.parts):
            writer.write(part.part, part.tables)
            summary.add(part)
            # So that its memory is free while the next part is read.
            del part
            progress("extracting parts", summary.parts, len(chosen.parts), rows=sum(summary.rows.values()))
        check_left_out(chosen, summary.left_out)
        writer.close(new_step(TOOL, recorded_options(options), summary.recorded))
    summary.bundle = writer if isinstance(writer, MemoryBundle) else str(output)
    summary.seconds = time.monotonic() - began
    return summary


extract_task = StageTask(extract, name="extract")


def prepared(manifest: Manifest, options: ExtractOptions) -> Manifest:
    """Return the manifest of the bundle, with the column types that the options ask for."""
    from pycytominer_transform.common.extract.casting import parse_cast, with_casts, with_float32

    return with_casts(with_float32(manifest) if options.float32 else manifest, tuple(map(parse_cast, options.cast)))


def _reader(manifest: Manifest, options: ExtractOptions, storage: StorageOptions) -> PartReader:
    from pycytominer_transform.common.extract.part_reader import PartReader
    from pycytominer_transform.common.runtime.resources import reading_threads, usable_memory
    from pycytominer_transform.common.storage.location import location_of

    place = location_of(options.source or manifest.source, storage.with_preset(manifest.preset))
    threads = options.threads or reading_threads(remote=not isinstance(place, Path))
    return PartReader(
        manifest, place=place, on_bad_value=options.on_bad_value, threads=threads,
        max_inflate=options.max_inflate or usable_memory() // 2,
    )  # fmt: skip


def build_parser() -> Parser:
    """Return the parser of `pct-extract`."""
    parser = new_parser(
        TOOL, "Read the files that a manifest names into Arrow tables, part by part.", usage="[INPUT]",
        examples=(
            "pct-extract manifest.arrow -o bundle",
            "pct-extract manifest.arrow --shard 3/24 -o bundle-3    one share of 24",
            "pct-discover plate | pct-extract | pct-join | pct-write -o plate.parquet",
        ),
        common=("-o", "--overwrite", "--float32", "--cast", "--on-bad-value", "--shard", "--threads", "-q"),
    )  # fmt: skip
    add_input(parser, "manifest", "a manifest from pct-discover")
    add_output(parser, "where the bundle goes (a folder of Arrow IPC files)")
    add_options(parser, ExtractOptions, HEADING)
    add_general_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `pct-extract` and return its exit code."""
    return run_stage(build_parser(), argv, extract_task, ExtractOptions, reads="manifest")


if __name__ == "__main__":
    sys.exit(main())
