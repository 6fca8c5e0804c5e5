"""pct-discover: look at a folder or file of measurements and write a manifest.

Takes a source: a tree of CellProfiler CSV folders, or SQLite files. Gives a manifest: one row per (part, file), the
preset and the schema of every table. Later stages need nothing else. On a terminal it prints a table to read.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from pycytominer_transform.common.cli.parser import (
    SOURCE_HELP,
    Parser,
    PrintAndExit,
    add_general_options,
    add_options,
    add_output,
    new_parser,
)
from pycytominer_transform.common.cli.run import run_stage
from pycytominer_transform.common.discover.report import (
    PARTS_SHOWN,
    DiscoverSummary,
    list_presets,
    manifest_table,
    show_preset,
)
from pycytominer_transform.common.flow.stage_task import StageTask
from pycytominer_transform.common.model.discovery_options import DiscoverOptions
from pycytominer_transform.common.model.options import recorded_options
from pycytominer_transform.common.runtime.messages import clear_progress, logger
from pycytominer_transform.common.storage.options import StorageOptions

TOOL = "pct-discover"
HEADING = "looking at the source"
_MOST, _LONGEST = 200, 300
"""Of what was skipped: the entries that provenance records, and the characters of each."""


def discover(
    *, source: str, output: str = "-", overwrite: bool = False, options: DiscoverOptions | None = None,
    storage: StorageOptions | None = None,
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
        How to read the source.
    storage : StorageOptions, optional
        How cloud storage is reached.

    Raises
    ------
    SourceNotFoundError, DataError, StorageError
        See `pycytominer_transform.common.discover.source.discover_manifest`.
    UsageError
        The output is named like another kind of file.
    DestinationExistsError
        The output exists and is not to be overwritten.
    """
    from pycytominer_transform.common.discover.source import discover_manifest
    from pycytominer_transform.common.ipc.manifest_files import write_manifest
    from pycytominer_transform.common.model.provenance import new_step
    from pycytominer_transform.common.storage.location import named_location, refuse_among_sources
    from pycytominer_transform.common.storage.standard_io import STANDARD, check_suffix, open_standard_output

    options = options or DiscoverOptions()
    place = named_location(output, storage)
    if output != STANDARD:
        place.check_destination(overwrite=overwrite, is_folder=False)
        check_suffix(output, place, "a manifest", ".arrow")
    manifest, skipped, some_files = discover_manifest(source, options, storage)
    counts: dict[str, Any] = {
        "datasets": manifest.datasets_total,
        "parts": manifest.parts_total,
        "datasets_skipped": len(skipped),
    }
    counts |= _recorded(dict.fromkeys((why[:_LONGEST] for why in skipped), 1), some_files)
    manifest = manifest.with_steps(new_step(TOOL, {"source": manifest.source_name} | recorded_options(options), counts))
    if output != STANDARD:
        refuse_among_sources(place, manifest)
        with place.complete_file(overwrite=overwrite) as file:
            write_manifest(manifest, file, as_file=True)
    elif sys.stdout is not None and sys.stdout.isatty():
        clear_progress()
        print(manifest_table(manifest, len(manifest.parts) if logger.isEnabledFor(10) else PARTS_SHOWN), flush=True)
    else:
        with open_standard_output() as sink:
            write_manifest(manifest, sink, as_file=False)
    return DiscoverSummary.of(manifest, skipped)


def _recorded(skipped: dict[str, int], some_files: dict[str, int]) -> dict[str, dict[str, int]]:
    """Return the first of what provenance says of datasets and columns; nothing where there is none."""
    counts = {"skipped": skipped, "partial_columns": some_files}
    return {name: dict(list(each.items())[:_MOST]) for name, each in counts.items() if each}


discover_task = StageTask(discover, name="discover")


def build_parser() -> Parser:
    """Return the parser of `pct-discover`."""
    parser = new_parser(
        TOOL, "Look at a folder or file of measurements and write a manifest of it.", usage="SOURCE",
        lists_presets=True,
        examples=(
            "pct-discover plate                      what is there, as a table",
            "pct-discover plate -o manifest.arrow    a manifest, for pct-extract",
            "pct-discover plate | pct-extract | pct-join | pct-write -o plate.parquet",
        ),
        common=("-o", "--overwrite", "--preset", "--compartments", "--path-metadata", "--list-presets", "-q", "-v"),
    )  # fmt: skip
    parser.add_argument("source", metavar="SOURCE", help=SOURCE_HELP)
    add_output(parser, "where the manifest goes (an Arrow IPC file)")
    add_options(parser, DiscoverOptions, HEADING)
    group = parser.add_argument_group("presets")
    parser.add_to(
        group, "--list-presets", action=PrintAndExit, text=list_presets, nargs=0,
        help="list the presets there are and exit",
    )  # fmt: skip
    parser.add_to(
        group, "--show-preset", action=PrintAndExit, text=show_preset, metavar="NAME",
        help="print a preset's file, to start one of your own from, and exit",
    )  # fmt: skip
    add_general_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `pct-discover` and return its exit code."""
    return run_stage(build_parser(), argv, discover_task, DiscoverOptions, reads="source")


if __name__ == "__main__":
    sys.exit(main())
