"""pct-extract: read the measurement files that a manifest names into a bundle.

Takes a manifest. Gives a bundle: for every part one Arrow table per compartment and one of the image sets, with the
final column names and types that `pct-discover` decided.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pycytominer_transform.common import commandline
from pycytominer_transform.common.casting import Cast
from pycytominer_transform.common.csv_files import DEFAULT_MAX_INFLATE
from pycytominer_transform.common.disagreements import Disagreements
from pycytominer_transform.common.holding import Hold
from pycytominer_transform.common.prefect_environment import prefect_api_configured
from pycytominer_transform.common.reporting import count, logger, progress
from pycytominer_transform.common.stage_task import StageTask
from pycytominer_transform.common.storage_arguments import add_storage, storage_options
from pycytominer_transform.common.storage_options import StorageOptions

if TYPE_CHECKING:
    from pycytominer_transform.common.bundle import BundleFolderWriter, BundleStreamWriter
    from pycytominer_transform.common.kept_bundles import KeptBundleWriter
    from pycytominer_transform.common.manifest import Manifest
    from pycytominer_transform.common.part_reader import PartReader

TOOL = "pct-extract"


@dataclass(frozen=True, kw_only=True)
class ExtractOptions:
    """How `pct-extract` reads.

    Attributes
    ----------
    place : str
        Where the source lies now; empty where the manifest says.
    shard : (int, int)
        Read every N-th part beginning with the I-th.
    float32 : bool
        Make measurements 32-bit floats.
    casts : tuple of Cast
        Types for columns, in place of those that were decided; of several for one column the last counts.
    on_bad_value : {'fail', 'null'}
        What to do with a text in a number column.
    threads : int
        Files to read at once; 0 for as many as there are processors to use.
    max_inflate : int
        Bytes that a compressed file may inflate to.
    """

    place: str = ""
    shard: tuple[int, int] = (1, 1)
    float32: bool = False
    casts: tuple[Cast, ...] = ()
    on_bad_value: Literal["fail", "null"] = "fail"
    threads: int = 0
    max_inflate: int = DEFAULT_MAX_INFLATE


@dataclass(frozen=True)
class ExtractSummary:
    """What was read: parts, rows per table, and per column how many values became null.

    Attributes
    ----------
    nulled : dict
        Bad values that were made null, by the source column's name.
    words : dict
        Words for no value in SQLite's number columns (``nan``, ``NULL``, an empty text), by the column's final name.
    disagreements : Disagreements
        Image sets whose metadata are other ones in the table than in the dataset's path.
    seconds : float
        How long it took.
    """

    parts: int
    rows: dict[str, int]
    nulled: dict[str, int]
    words: dict[str, int] = field(default_factory=dict)
    disagreements: Disagreements = field(default_factory=Disagreements)
    seconds: float = field(default=0.0, compare=False)


def extract(
    *, manifest: str, output: str = "-", overwrite: bool = False, hold: Hold = "lasting",
    options: ExtractOptions | None = None, storage: StorageOptions | None = None,
) -> ExtractSummary:  # fmt: skip
    """Read the files of a manifest's parts.

    Parameters
    ----------
    manifest : str
        A manifest's file, an object, or ``-`` for a stream on standard input.
    output : str
        Where the bundle goes: a folder ``PART/TABLE.arrow``, a prefix, or ``-`` for streams on standard output.
    overwrite : bool
        Replace an output that exists.
    hold : {'lasting', 'passing', 'kept'}
        How long the output has to last, see `pycytominer_transform.common.holding`. Kept means no output, but a
        bundle in memory under its name.
    options : ExtractOptions, optional
        How to read.
    storage : StorageOptions, optional
        How cloud storage is reached.

    Raises
    ------
    DataError, BadValueError, SourceChangedError, StorageError
        See `pycytominer_transform.common.part_reader.PartReader`.
    StageEndedEarlyError
        The manifest is cut off.
    UsageError
        See `pycytominer_transform.common.casting.with_casts`.
    """
    from pycytominer_transform.common.bundle import BundleFolderWriter, BundleStreamWriter, is_bundle_entry
    from pycytominer_transform.common.kept_bundles import KeptBundleWriter
    from pycytominer_transform.common.manifest_files import read_manifest
    from pycytominer_transform.common.outputs import check_destination, complete_folder
    from pycytominer_transform.common.place import named_place
    from pycytominer_transform.common.standard_io import STANDARD, open_standard_output

    options = options or ExtractOptions()
    place = named_place(output, storage)
    if output != STANDARD and hold != "kept":
        check_destination(place, overwrite=overwrite, is_folder=True)
    wanted = prepared(read_manifest(manifest, storage).shard(*options.shard), options)
    reader = _reader(wanted, options, storage or StorageOptions())
    if hold == "kept":
        return _extract_parts(wanted, reader, KeptBundleWriter(output, wanted), options)
    if output == STANDARD:
        with open_standard_output() as sink:
            return _extract_parts(wanted, reader, BundleStreamWriter(sink, wanted), options)
    with complete_folder(place, overwrite=overwrite, is_ours=is_bundle_entry, lasting=hold == "lasting") as folder:
        return _extract_parts(wanted, reader, BundleFolderWriter(folder, wanted), options)


extract_task = StageTask(extract, name="extract")


def prepared(manifest: Manifest, options: ExtractOptions) -> Manifest:
    """Give the manifest that goes with the bundle: its columns' types are those that these options ask for."""
    from pycytominer_transform.common.casting import with_casts, with_float32

    return with_casts(with_float32(manifest) if options.float32 else manifest, options.casts)


def result_options(options: ExtractOptions) -> dict[str, object]:
    """Give the options that change the result.

    Where the source lies and on how many threads it is read do not; they stay out of the history.
    """
    return {"float32": options.float32, "cast": list(map(str, options.casts)), "on_bad_value": options.on_bad_value}


@dataclass
class _Counts:
    rows: dict[str, int] = field(default_factory=dict)
    nulled: dict[str, int] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)
    disagreements: Disagreements = field(default_factory=Disagreements)


def _reader(manifest: Manifest, options: ExtractOptions, storage: StorageOptions) -> PartReader:
    from pycytominer_transform.common.part_reader import PartReader
    from pycytominer_transform.common.place import place_of
    from pycytominer_transform.common.resources import reading_threads

    place = place_of(options.place or manifest.source, storage.with_preset(manifest.preset))
    return PartReader(
        manifest, place=place, on_bad_value=options.on_bad_value, threads=options.threads or reading_threads(place),
        max_inflate=options.max_inflate,
    )  # fmt: skip


def _extract_parts(
    manifest: Manifest, reader: PartReader, writer: BundleFolderWriter | BundleStreamWriter | KeptBundleWriter,
    options: ExtractOptions,
) -> ExtractSummary:  # fmt: skip
    from pycytominer_transform.common.provenance import added_counts, new_step

    counts = _Counts({schema.table: 0 for schema in manifest.tables})
    began = time.monotonic()
    done = 0
    for read in reader.parts(manifest.parts):
        done += 1
        writer.write(read.part, read.tables)
        counts.rows = added_counts(counts.rows, {name: table.num_rows for name, table in read.tables.items()})
        counts.nulled = added_counts(counts.nulled, read.bad.counts)
        counts.words = added_counts(counts.words, read.bad.words)
        counts.disagreements.add(read.disagreements)
        # The next part is waited for before this name is given to it.
        del read
        progress("extracting parts", done, len(manifest.parts), rows=sum(counts.rows.values()))
    said = {"rows": counts.rows, "made_null": counts.nulled, "null_words": counts.words}
    if counts.disagreements.counts:
        said["path_disagreements"] = counts.disagreements.counts
    writer.close(new_step(TOOL, result_options(options), said))
    seconds = time.monotonic() - began
    return ExtractSummary(len(manifest.parts), counts.rows, counts.nulled, counts.words, counts.disagreements, seconds)


def add_extract_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this stage; `pct-flow` has them too."""
    group = parser.add_argument_group("reading")
    group.add_argument("--float32", action="store_true", help="measurements as 32-bit floats: half the size, 7 digits")
    group.add_argument(
        "--cast", metavar="COLUMN_REGEX=TYPE", type=commandline.cast, action="append", default=[],
        help="columns whose names REGEX is found in as int64, float64, float32, string or bool; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--on-bad-value", choices=("fail", "null"), default="fail",
        help="what to do with a text in a number column; null: counted and reported (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--max-inflate", metavar="SIZE", type=commandline.byte_size, default=DEFAULT_MAX_INFLATE,
        help="refuse a compressed file that inflates to more than this (default: 64GiB)",
    )  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of `pct-extract`."""
    parser = commandline.new_parser(
        TOOL, "Read the measurement files that a manifest names into Arrow tables, part by part."
    )
    commandline.add_input(parser, "a manifest from pct-discover")
    commandline.add_output(parser, "where the bundle goes (a folder of Arrow IPC files)")
    add_extract_options(parser)
    parser.add_argument(
        "--source", metavar="PLACE", default="", help="where the source lies now (default: as the manifest says)"
    )
    commandline.add_shard(parser)
    commandline.add_threads(parser)
    add_storage(parser)
    commandline.add_prefect(parser)
    return parser


def report(summary: ExtractSummary) -> None:
    """Say what was read and what was made null."""
    rows = ", ".join(f"{name} {number}" for name, number in summary.rows.items())
    logger.info("read %s; rows: %s", count(summary.parts, "part"), rows)
    if summary.words:
        total, columns = sum(summary.words.values()), count(len(summary.words), "column")
        logger.info("%s for no value (nan, NULL, empty) in %s became null", count(total, "word"), columns)
        listed = ", ".join(f"{name} ({number})" for name, number in sorted(summary.words.items()))
        logger.debug("words that became null: %s", listed)
    for column, number in sorted(summary.disagreements.counts.items()):
        example, where = summary.disagreements.examples[column], count(number, "image set")
        logger.warning("%s of %s is another one in the path (%s); the table's is kept", column, where, example)
    if summary.nulled:
        columns = ", ".join(f"{name} ({number})" for name, number in sorted(summary.nulled.items()))
        logger.warning("made %s null that were no numbers: %s", count(sum(summary.nulled.values()), "value"), columns)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `pct-extract`; gives its exit code."""

    def body(args: argparse.Namespace) -> int:
        options = ExtractOptions(
            place=args.source,
            shard=args.shard,
            float32=args.float32,
            casts=tuple(args.cast),
            on_bad_value=args.on_bad_value,
            threads=args.threads,
            max_inflate=args.max_inflate,
        )
        report(
            extract_task.run(
                tracked=prefect_api_configured(no_prefect=args.no_prefect),
                run_name=f"extract {args.input}",
                manifest=args.input,
                output=args.output,
                overwrite=args.overwrite,
                options=options,
                storage=storage_options(args),
            )
        )
        return 0

    return commandline.run(build_parser(), argv, body)


if __name__ == "__main__":
    sys.exit(main())
