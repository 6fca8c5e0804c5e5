"""The figures of a flow: parts, rows, bytes and time, for the terminal, for programs and for a Prefect server."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.flow.prefect_environment import prefect_api_configured
from pycytominer_transform.common.model.provenance import added_counts
from pycytominer_transform.common.runtime.messages import (
    count,
    logger,
    progress,
    report_fields,
    reports_json,
    size,
)

if TYPE_CHECKING:
    from uuid import UUID

# The stages' progress messages, and the bar of each.
BARS = {
    "looking at datasets": "discover",
    "looking at files": "discover",
    "extract": "extract",
    "join": "join",
    "writing parts": "write",
}


_SECONDS_BETWEEN = 2.0
"""Between two updates of the progress on a Prefect server."""


@dataclass
class Figures:
    """The figures of a flow so far.

    Attributes
    ----------
    parts : int
        Number of parts of the source.
    done, failed, resumed : int
        Parts that this run finished, parts that failed, and parts that an earlier run had finished.
    retried : int
        Number of retries of tasks.
    datasets_left_out : int
        Bad datasets, including those of resumed parts.
    rows_read, joined, unmatched : int
        Rows of all tables, rows of the profiles, and rows without a partner, including those of resumed parts.
    bytes_read, bytes_written : int
        Of the source, for the parts that this run finished; of the output.
    seconds : dict
        By stage, the sum over all parts; ``start`` of Prefect and the libraries, where the tool started them; ``all``
        from beginning to end.
    """

    parts: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    resumed: int = 0
    datasets_left_out: int = 0
    rows_read: int = 0
    joined: int = 0
    unmatched: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("discover", "extract", "join", "write"), 0.0)
    )

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage's."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.spend(stage, time.monotonic() - began)

    def spend(self, stage: str, seconds: float) -> None:
        """Add to a stage's time."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def report(self) -> None:
        """Write the figures to the log, in a few lines for people and in one for programs."""
        rounded = asdict(self) | {"seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()}}
        first, *lines = self._lines()
        report_fields(first, **rounded)
        if not reports_json():
            for line in lines:
                logger.info("%s", line)

    def markdown(self, title: str) -> str:
        """Return the figures as a Markdown table for a Prefect server."""
        figures = {name: value for name, value in asdict(self).items() if name != "seconds"}
        rows = [f"| {name.replace('_', ' ')} | {value:,} |" for name, value in figures.items()]
        rows += [f"| {stage}, seconds | {seconds:.1f} |" for stage, seconds in self.seconds.items()]
        return "\n".join([f"# {title}", "", "| | |", "| --- | ---: |", *rows])

    def _lines(self) -> list[str]:
        parts = f"parts: {self.done} done, {self.failed} failed, {self.retried} retried, {self.resumed} resumed"
        rows = f"{count(self.rows_read, 'row')} read ({size(self.bytes_read)} in this run), {self.joined} joined"
        stages = ", ".join(f"{s} {self.seconds[s]:.1f} s" for s in ("discover", "extract", "join", "write"))
        whole = f"{self.seconds.get('all', 0.0):.1f} s"
        start = f", {self.seconds['start']:.1f} s of it to start Prefect" if "start" in self.seconds else ""
        times = f"time: {whole}{start}; summed over the parts: {stages}"
        return [parts, f"{rows}, {self.unmatched} without a partner", times]


@dataclass
class FlowArtifacts:
    """The artifacts of one flow run, for people only: an error here never fails the flow.

    Attributes
    ----------
    is_enabled : bool
        The server is the user's; false after the first failure, so that no further artifact is sent.
    """

    is_enabled: bool
    _progress: UUID | None = None
    _last: float = 0.0

    def progress(self, done: int, total: int) -> None:
        """Show how many parts are done, at most every two seconds."""
        now = time.monotonic()
        if not self.is_enabled or (now - self._last < _SECONDS_BETWEEN and done < total):
            return
        self._last = now
        percent = 100.0 * done / max(total, 1)
        with self._disabled_after_a_failure():
            from prefect.artifacts import create_progress_artifact, update_progress_artifact

            if self._progress is None:
                created: UUID = create_progress_artifact(percent, key="pct-flow-parts", description=f"{total} parts")  # type: ignore[assignment]  # declared for coroutines too
                self._progress = created
            else:
                update_progress_artifact(self._progress, percent)

    def summary(self, markdown: str) -> None:
        """Show what the flow did."""
        self.show(markdown, "pct-flow-summary")

    def show(self, markdown: str, key: str) -> None:
        """Show a text under a key."""
        if self.is_enabled:
            with self._disabled_after_a_failure():
                from prefect.artifacts import create_markdown_artifact

                create_markdown_artifact(markdown, key=key)

    @contextmanager
    def _disabled_after_a_failure(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.is_enabled = False
            logger.debug("the Prefect server refused an artifact: %s", error)


def show_in_task_run(markdown: str, key: str) -> None:
    """Show a text as an artifact of the task run that this is, if a server of the user's records it."""
    if "prefect" not in sys.modules or not prefect_api_configured(no_prefect=False):
        return
    from prefect.context import TaskRunContext

    if TaskRunContext.get() is not None:
        FlowArtifacts(is_enabled=True).show(markdown, key)


@dataclass
class Progress:
    """Counts finished parts and shows them while the flow runs.

    Attributes
    ----------
    counts : dict
        The counts of the joins, including those of resumed parts.
    left_out : dict
        By bad dataset, the number of parts without it.
    """

    artifacts: FlowArtifacts
    figures: Figures = field(default_factory=Figures)
    counts: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, datasets: dict[str, int]) -> None:
        """Count bad datasets."""
        self.left_out = added_counts(self.left_out, datasets)
        self.figures.datasets_left_out = len(self.left_out)

    def resume(self, counts: dict[str, Any]) -> None:
        """Count a part that an earlier run finished."""
        self.figures.resumed += 1
        self._add(counts)

    def finish(self, part: int, counts: dict[str, Any], seconds: float, bytes_read: int) -> None:
        """Count a part that this run finished."""
        self.figures.done += 1
        self.figures.bytes_read += bytes_read
        rows = counts.get("joined", 0)
        line = f"part {part}: {count(rows, 'row')} in {seconds:.2f} s"
        report_fields(line, only_for_machines=True, part=part, rows=rows, seconds=round(seconds, 3), outcome="done")
        self._add(counts)

    def _add(self, counts: dict[str, Any]) -> None:
        self.counts = added_counts(self.counts, counts)
        figures = self.figures
        figures.rows_read += sum(counts.get("rows", {}).values())
        figures.joined += counts.get("joined", 0)
        figures.unmatched += sum(counts.get("unmatched", {}).values())
        done = figures.resumed + figures.done
        progress("extract", done, figures.parts, rows=figures.rows_read)
        progress("join", done, figures.parts, rows=figures.joined)
        self.artifacts.progress(done, figures.parts)
