"""What becomes of a flow's parts, told to all who want to know: the terminal, a program, a Prefect server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pycytominer_transform.common.errors import FailedPartsError
from pycytominer_transform.common.flow_tally import FlowTally
from pycytominer_transform.common.part_runs import PartRuns
from pycytominer_transform.common.prefect_artifacts import FlowArtifacts
from pycytominer_transform.common.provenance import added_counts
from pycytominer_transform.common.reporting import count, progress, report_fields

# What the stages say that they do, and the bars that show it.
BARS = {
    "looking at datasets": "discover",
    "looking at files": "discover",
    "extract": "extract",
    "join": "join",
    "writing parts": "write",
}


@dataclass
class FlowRecord:
    """What a flow has done so far.

    Attributes
    ----------
    named : str
        What is converted to what.
    counts : dict
        What the joins counted, of parts taken up too.
    """

    named: str
    artifacts: FlowArtifacts
    tally: FlowTally = field(default_factory=FlowTally)
    counts: dict[str, Any] = field(default_factory=dict)

    def taken_up(self, counts: dict[str, Any]) -> None:
        """Take note of a part that an earlier run finished."""
        self.tally.taken_up += 1
        self._add(counts)

    def all_taken_up(self, parts: int, counts: dict[str, Any]) -> None:
        """Take note of an output that an earlier run finished."""
        self.tally.parts = self.tally.taken_up = parts
        self._add(counts)

    def done(self, part: int, counts: dict[str, Any], *, read: int, extract: float, join: float) -> None:
        """Take note of a part that this run finished: bytes read, seconds for its two stages."""
        self.tally.done += 1
        self.tally.bytes_read += read
        self.tally.spend("extract", extract)
        self.tally.spend("join", join)
        rows, seconds = counts.get("joined", 0), extract + join
        told = f"part {part}: {count(rows, 'row')} in {seconds:.2f} s"
        report_fields(told, only_for_machines=True, part=part, rows=rows, seconds=round(seconds, 3), outcome="done")
        self._add(counts)

    def _add(self, counts: dict[str, Any]) -> None:
        self.counts = added_counts(self.counts, counts)
        tally = self.tally
        tally.add_counts(counts)
        done = tally.taken_up + tally.done
        progress("extract", done, tally.parts, rows=tally.rows_read, taken_up=tally.taken_up)
        progress("join", done, tally.parts, rows=tally.joined, taken_up=tally.taken_up)
        self.artifacts.progress(done, tally.parts)

    def begin_again(self) -> None:
        """Forget the parts, all of which are made again; the time that they took was spent."""
        self.tally.forget_parts()
        self.counts = {}

    def end(self) -> None:
        """Show the server what was done."""
        self.artifacts.summary(self.tally.markdown(self.named))

    def failure(self, runs: PartRuns[Any], *, go_on: str) -> FailedPartsError:
        """Say what was done, and write what failed and how to go on with what did not."""
        tally = self.tally
        self.end()
        tally.report()
        told = f"{len(runs.failures)} of {count(tally.parts, 'part')} failed"
        if untried := tally.parts - tally.done - tally.taken_up - tally.failed:
            told += f" and {untried} were not finished, for --max-failures is {runs.max_failures}"
        if tally.done + tally.taken_up:
            told += f"; the others are kept, go on with {go_on}"
        reasons = "; ".join(f"part {part}: {reason}" for part, reason in sorted(runs.failures.items()))
        return FailedPartsError(f"{told}: {reasons}")
