"""pct-report: see what came out: cells per well, missing wells and sites, lost objects, empty features.

Takes what `pct-write` or `pct-flow` wrote as Parquet. Gives a page (HTML), the same as JSON, a table of the wells, or
custom content for MultiQC; without an output, text for a terminal.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.cli.parser import Parser, add_general_options, add_options, new_parser
from pycytominer_transform.common.cli.run import run_stage
from pycytominer_transform.common.errors import FailedCheckError
from pycytominer_transform.common.flow.report import show_in_task_run
from pycytominer_transform.common.flow.stage_task import StageTask
from pycytominer_transform.common.model.options import option, recorded_options, threads_option
from pycytominer_transform.common.report.conditions import check_figures, condition_text, failures, parse_condition
from pycytominer_transform.common.report.outputs import files_of
from pycytominer_transform.common.runtime.messages import clear_progress, count, logger
from pycytominer_transform.common.storage.options import StorageOptions

if TYPE_CHECKING:
    from pycytominer_transform.common.model.provenance import Step
    from pycytominer_transform.common.report.contents import Report

TOOL = "pct-report"
HEADING = "reporting"
ARTIFACT = "pct-report"
"""Key of the artifact on a Prefect server."""
OUTPUT_HELP = (
    "where the report goes: NAME.html for a page, NAME.json, NAME_mqc.json for MultiQC (and two more beside it), "
    "NAME.parquet for a table of the wells; a path, or in s3://, gs://, az://; without it, text on standard output"
)


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """How `pct-report` reports."""

    fail_if: tuple[str, ...] = field(
        default=(),
        metadata=option(
            "end with exit code 1 if this is so, such as 'wells.missing > 4'; may be given several times",
            metavar="'FIGURE OP N'", parse=condition_text, repeatable=True,
        ),
    )  # fmt: skip
    threads: int = field(default=0, metadata=threads_option())


@dataclass(frozen=True)
class ReportSummary:
    """The totals of a report, where it is, and the seconds it took."""

    totals: dict[str, dict[str, int | float]]
    output: str = field(default="-", compare=False)
    seconds: float = field(default=0.0, compare=False)

    def report(self) -> None:
        """Log what was found."""
        if self.output == "-":
            return
        wells, features = self.totals["wells"], self.totals["features"]
        faulty = sum(features[name] for name in ("all_null", "mostly_null", "infinite", "constant"))
        logger.info(
            "%s: %s, %s missing, %s, %s", self.output, count(int(wells["found"]), "well"), wells["missing"],
            count(int(self.totals["objects"]["unmatched"]), "object") + " without a partner",
            count(int(faulty), "fault") + " of features",
        )  # fmt: skip


def report(
    *, files: str | Sequence[str], output: str = "-", overwrite: bool = False, source: str = "",
    options: ReportOptions | None = None, storage: StorageOptions | None = None,
) -> ReportSummary:  # fmt: skip
    """Report on an output.

    Parameters
    ----------
    files : str or sequence of str
        Parquet files, or folders or prefixes of them; several plates are reported together.
    output : str
        A file or an object whose name ends in ``.html``, ``.json``, ``_mqc.json`` or ``.parquet``; ``-`` is text on
        standard output.
    overwrite : bool
        Replace a report that exists.
    source : str
        What was converted, to be shown.
    options : ReportOptions, optional
        How to report.
    storage : StorageOptions, optional
        How cloud storage is reached.

    Raises
    ------
    UsageError
        The suffix of `output` is unknown, or a condition names no figure.
    SourceNotFoundError, DataError, StorageError
        There is no such file, it is no Parquet, or it cannot be read.
    DestinationExistsError
        The report exists and is not to be overwritten.
    FailedCheckError
        A condition of the options is true. The report has been written.
    """
    from pycytominer_transform.common.report.forms.markdown_text import markdown_text
    from pycytominer_transform.common.runtime.resources import usable_threads
    from pycytominer_transform.common.storage.location import named_location
    from pycytominer_transform.common.storage.standard_io import STANDARD

    began = time.monotonic()
    options = options or ReportOptions()
    conditions = [parse_condition(text) for text in options.fail_if]
    paths = [files] if isinstance(files, str) else list(files)
    if output == STANDARD:
        made = _made(paths, source, options.threads or usable_threads(), storage)
        clear_progress()
        _print(made)
    else:
        outputs = [(named_location(name, storage), write) for name, write in files_of(output)]
        for place, _ in outputs:
            place.check_destination(overwrite=overwrite, is_folder=False)
        made = _made(paths, source, options.threads or usable_threads(), storage)
        for place, write in outputs:
            with place.complete_file(overwrite=overwrite) as sink:
                write(made, sink)
    show_in_task_run(markdown_text(made), ARTIFACT)
    check_figures(conditions, made.totals)
    if failed := failures(conditions, made.totals):
        raise FailedCheckError("; ".join(failed))
    return ReportSummary(made.totals, output, time.monotonic() - began)


report_task = StageTask(report, name="report")


def _made(paths: Sequence[str], source: str, threads: int, storage: StorageOptions | None) -> Report:
    from pycytominer_transform.common.report.assembly import build_report
    from pycytominer_transform.common.report.parquet_pass import measure

    found = measure(paths, storage, threads)
    title = ", ".join(PurePosixPath(path).name or path for path in paths[:3]) + (" ..." if len(paths) > 3 else "")
    steps = found.provenance[0][1] if found.provenance else ()
    return build_report(found, title=title, source=source, command=command_again(steps, source, paths[0]))


def _print(made: Report) -> None:
    from pycytominer_transform.common.report.forms.terminal_text import terminal_text

    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    colour = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    text = terminal_text(made, colour=colour)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def command_again(steps: Sequence[Step], source: str, output: str) -> str:
    """Return a command that makes an output again; empty if it was not made from a source by this suite.

    Capitals stand for what the provenance does not say: the folders that the source lies in, and the files that a query
    and a platemap were read from.
    """
    from pycytominer_transform.tools.flow_options import GROUPS, option_words

    if not {"pct-discover", "pct-extract", "pct-join", "pct-write"} <= {step.tool for step in steps}:
        return ""
    defaults: dict[str, Any] = {}
    for group, _ in GROUPS:
        defaults |= recorded_options(group())
    recorded = {name: value for step in steps for name, value in step.options.items()}
    chosen = {name: value for name, value in recorded.items() if name in defaults and value != defaults[name]}
    if recorded.get("sql"):
        chosen["sql"] = "FILE"
    if recorded.get("platemap"):
        chosen |= {"platemap": "FILE", "platemap_on": recorded.get("platemap_on") or []}
    words = [word for word in option_words(chosen) if not word.endswith("=")]
    return shlex.join(["pct-flow", source or "SOURCE", "-o", output, *words])


def build_parser() -> Parser:
    """Return the parser of `pct-report`."""
    parser = new_parser(
        TOOL, "Report on Parquet from pct-write or pct-flow: wells, sites, objects, features.", usage="INPUT ...",
        examples=(
            "pct-report plate.parquet                   the plate in characters",
            "pct-report plate.parquet -o report.html    a page for a browser",
            "pct-report plate.parquet --fail-if 'wells.missing > 4'",
        ),
        common=("-o", "--overwrite", "--fail-if", "-q"),
    )  # fmt: skip
    parser.add_argument(
        "files", metavar="INPUT", nargs="+",
        help="Parquet from pct-write or pct-flow: a file, a folder, or several of them; or in s3://, gs://, az://",
    )  # fmt: skip
    parser.add_argument("-o", "--output", metavar="PATH", default="-", help=OUTPUT_HELP)
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists already")
    add_options(parser, ReportOptions, HEADING)
    add_general_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `pct-report` and return its exit code."""
    return run_stage(build_parser(), argv, report_task, ReportOptions, reads="files", named_after="output")


if __name__ == "__main__":
    sys.exit(main())
