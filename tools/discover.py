"""pct-discover: look at a folder or file of measurements and write a manifest.

Takes a source: a tree of CellProfiler CSV folders, or SQLite files. Gives a manifest: one row per (part, source), the
preset and the schema of every table, which is all that the later stages need to know. On a terminal it shows a table to
read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pycytominer_transform.common import commandline, errors
from pycytominer_transform.common.discover_options import DEFAULT_PART_SIZE, DiscoverOptions
from pycytominer_transform.common.path_expression import NONE, check_expression
from pycytominer_transform.common.prefect_environment import prefect_api_configured
from pycytominer_transform.common.reporting import clear_progress, count, logger, shown, size
from pycytominer_transform.common.stage_task import StageTask
from pycytominer_transform.common.storage_arguments import add_storage, storage_options
from pycytominer_transform.common.storage_options import StorageOptions

if TYPE_CHECKING:
    from pycytominer_transform.common.ahead import Ahead
    from pycytominer_transform.common.manifest import Manifest

TOOL = "pct-discover"


@dataclass(frozen=True)
class DiscoverSummary:
    """What was found: numbers of parts, datasets and sources, bytes of source, and why datasets were skipped."""

    parts: int
    datasets: int
    sources: int
    bytes: int
    skipped: tuple[str, ...]


def discover(
    *, source: str, output: str = "-", overwrite: bool = False, options: DiscoverOptions | None = None,
    storage: StorageOptions | None = None, ahead: Ahead[DiscoverSummary] | None = None,
) -> DiscoverSummary:  # fmt: skip
    """Describe a source in a manifest.

    Parameters
    ----------
    source : str
        A folder or a file; a prefix or an object of a cloud store.
    output : str
        Where the manifest goes: an Arrow IPC file, an object, or ``-`` for a stream on standard output.
    overwrite : bool
        Replace an output that exists.
    options : DiscoverOptions, optional
        How to look at it.
    storage : StorageOptions, optional
        How cloud storage is reached.
    ahead : Ahead, optional
        The very same, which was begun before, and is waited for instead.

    Raises
    ------
    SourceNotFoundError, DataError, StorageError
        See `pycytominer_transform.common.discovery.discover_manifest`.
    DestinationExistsError
        The output exists and is not to be overwritten.
    """
    from pycytominer_transform.common.manifest_files import write_manifest
    from pycytominer_transform.common.outputs import check_destination, complete_file, refuse_among_sources
    from pycytominer_transform.common.place import named_place
    from pycytominer_transform.common.standard_io import STANDARD, open_standard_output

    if ahead is not None:
        return ahead.result()
    if output == STANDARD:
        manifest, skipped = _described(source, options or DiscoverOptions(), storage)
        if sys.stdout is not None and sys.stdout.isatty():
            clear_progress()
            print(readable(manifest))
        else:
            with open_standard_output() as sink:
                write_manifest(manifest, sink, as_file=False)
    else:
        place = named_place(output, storage)
        check_destination(place, overwrite=overwrite, is_folder=False)
        manifest, skipped = _described(source, options or DiscoverOptions(), storage)
        refuse_among_sources(place, manifest)
        with complete_file(place, overwrite=overwrite) as file:
            write_manifest(manifest, file, as_file=True)
    return DiscoverSummary(
        parts=len(manifest.parts),
        datasets=len({found.dataset for found in manifest.sources}),
        sources=len(manifest.sources),
        bytes=sum(found.bytes for found in manifest.sources),
        skipped=tuple(skipped),
    )


discover_task = StageTask(discover, name="discover")


def _described(source: str, options: DiscoverOptions, storage: StorageOptions | None) -> tuple[Manifest, list[str]]:
    from pycytominer_transform.common.discovery import discover_manifest
    from pycytominer_transform.common.provenance import new_step

    manifest, skipped = discover_manifest(source, options, storage)
    counts = {"datasets": manifest.datasets_total, "parts": manifest.parts_total, "datasets_skipped": len(skipped)}
    return manifest.with_steps(new_step(TOOL, asdict(options), counts)), skipped


def readable(manifest: Manifest) -> str:
    """Write a manifest for people: its tables, its parts, its datasets."""
    lines = [f"source   {manifest.source}", f"preset   {manifest.preset.name}: {manifest.preset.title}", ""]
    lines.append(f"{'table':<16}{'sources':>9}{'columns':>9}{'rows':>12}{'size':>10}")
    for schema in manifest.tables:
        sources = [found for found in manifest.sources if found.table == schema.table]
        rows = sum(found.rows for found in sources) if all(found.rows >= 0 for found in sources) else "?"
        total = size(sum(found.bytes for found in sources))
        lines.append(f"{schema.table:<16}{len(sources):>9}{len(schema.columns):>9}{rows:>12}{total:>10}")
    lines += ["", f"{'part':<8}{'sources':>9}{'size':>10}  datasets"]
    for part in manifest.parts:
        sources = manifest.sources_of(part)
        names = sorted({found.dataset for found in sources})
        listed = names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]} ({len(names)})"
        total = size(sum(found.bytes for found in sources))
        lines.append(f"{part:<8}{len(sources):>9}{total:>10}  {listed}")
    return "\n".join(map(shown, lines))


class _ListPresets(argparse.Action):
    """Prints the name and the title of every preset of the package."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from pycytominer_transform.common.preset import packaged_presets

        presets = packaged_presets()
        widest = max(len(preset.name) for preset in presets)
        _print_and_exit(parser, "".join(f"{preset.name:<{widest}}  {preset.title}\n" for preset in presets))


class _ShowPreset(argparse.Action):
    """Prints the file of one preset, to start one's own from."""

    def __call__(self, parser: argparse.ArgumentParser, _namespace: object, name: object, *_: object) -> None:
        from pycytominer_transform.common.preset import preset_text

        try:
            _print_and_exit(parser, preset_text(str(name)))
        except errors.UsageError as error:
            parser.error(str(error))


def _print_and_exit(parser: argparse.ArgumentParser, text: str) -> None:
    with suppress(BrokenPipeError):
        sys.stdout.write(text)
    parser.exit()


def add_discover_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this stage; `pct-flow` has them too."""
    group = parser.add_argument_group("looking at the source")
    group.add_argument(
        "--preset", metavar="NAME|FILE.toml", default="", help="kind of source (default: recognised from it)"
    )
    group.add_argument(
        "--compartments",
        metavar="A,B,C",
        type=commandline.name_list,
        default=(),
        help="compartments to take (default: the preset's)",
    )
    group.add_argument(
        "--anchor", metavar="NAME", default="",
        help="the compartment that profiles have a row per object of (default: the preset's choice)",
    )  # fmt: skip
    group.add_argument(
        "--path-metadata", metavar="REGEX", type=_path_expression, default="",
        help="metadata in the datasets' paths, as named groups: '(?P<Plate>[^/]+)/(?P<Well>[^/]+)-(?P<Site>[^/]+)$'; "
        "none for no such (default: PLATE/WELL-SITE and analysis/PLATE-WELL-SITE are recognised)",
    )  # fmt: skip
    group.add_argument(
        "--part-size", metavar="SIZE", type=commandline.byte_size, default=DEFAULT_PART_SIZE,
        help="bytes of source per part (default: 64MB)",
    )  # fmt: skip
    group.add_argument(
        "--columns", choices=("union", "intersection"), default="union",
        help="what to do with columns that only some files have: null where absent, or leave out (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--on-bad-dataset", choices=("fail", "skip"), default="fail",
        help="what to do with a dataset that lacks a table or cannot be read (%(default)s)",
    )  # fmt: skip


def _path_expression(text: str) -> str:
    try:
        if text not in ("", NONE):
            check_expression(text)
    except errors.UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def discover_options(args: argparse.Namespace) -> DiscoverOptions:
    """Make the options of parsed words."""
    return DiscoverOptions(
        preset=args.preset,
        compartments=args.compartments,
        anchor=args.anchor,
        part_size=args.part_size,
        shard=args.shard,
        path_metadata=args.path_metadata,
        columns=args.columns,
        on_bad_dataset=args.on_bad_dataset,
    )


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of `pct-discover`."""
    parser = commandline.new_parser(TOOL, "Look at a folder or file of measurements and write a manifest of it.")
    parser.add_argument("source", metavar="SOURCE", help=commandline.SOURCE_HELP)
    commandline.add_output(parser, "where the manifest goes (an Arrow IPC file)")
    add_discover_options(parser)
    group = parser.add_argument_group("presets")
    group.add_argument("--list-presets", action=_ListPresets, nargs=0, help="list the presets there are and exit")
    group.add_argument(
        "--show-preset", action=_ShowPreset, metavar="NAME",
        help="print a preset's file, to start one of your own from, and exit",
    )  # fmt: skip
    commandline.add_shard(parser)
    add_storage(parser)
    commandline.add_prefect(parser)
    return parser


def report(summary: DiscoverSummary) -> None:
    """Say what was found, and at the end once more what was left out."""
    found = f"{count(summary.datasets, 'dataset')}, {count(summary.sources, 'source')}, {size(summary.bytes)}"
    logger.info("%s in %s", found, count(summary.parts, "part"))
    if summary.skipped:
        logger.warning("went on without %s: %s", count(len(summary.skipped), "bad dataset"), "; ".join(summary.skipped))


def main(argv: Sequence[str] | None = None) -> int:
    """Run `pct-discover`; gives its exit code."""

    def body(args: argparse.Namespace) -> int:
        report(
            discover_task.run(
                tracked=prefect_api_configured(no_prefect=args.no_prefect),
                run_name=f"discover {Path(args.source).name or args.source}",
                source=args.source,
                output=args.output,
                overwrite=args.overwrite,
                options=discover_options(args),
                storage=storage_options(args),
            )
        )
        return 0

    return commandline.run(build_parser(), argv, body)


if __name__ == "__main__":
    sys.exit(main())
