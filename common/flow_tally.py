"""What a flow did, in figures: parts, rows, bytes, and the time that each stage took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from pycytominer_transform.common.reporting import count, logger, report_fields, reports_json, size

_STAGES = ("discover", "extract", "join", "write")


@dataclass
class FlowTally:
    """What a flow has done so far.

    Attributes
    ----------
    parts : int
        All that the source has.
    done, failed, taken_up : int
        Those that this run finished, that failed for good, and that an earlier run had finished.
    retried : int
        How often a part was tried again.
    rows_read, joined, unmatched : int
        Rows of all tables, rows of the profiles, rows that found no partner; of the parts taken up too.
    bytes_read, bytes_written : int
        Of the source, for the parts that this run finished; of the output.
    seconds : dict
        By stage; of ``extract`` and ``join`` the sum over the parts, ``all`` from beginning to end.
    """

    parts: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    taken_up: int = 0
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

    def add_counts(self, counts: dict[str, Any]) -> None:
        """Add what the join of a part counted."""
        self.rows_read += sum(counts.get("rows", {}).values())
        self.joined += counts.get("joined", 0)
        self.unmatched += sum(counts.get("unmatched", {}).values())

    def forget_parts(self) -> None:
        """Count anew."""
        self.done = self.taken_up = self.rows_read = self.joined = self.unmatched = self.bytes_read = 0

    def report(self) -> None:
        """Say it, in a few lines for people and in one for programs."""
        report_fields(self.lines()[0], **self._rounded())
        if not reports_json():
            for line in self.lines()[1:]:
                logger.info("%s", line)

    def lines(self) -> list[str]:
        """Write it in lines."""
        parts = f"parts: {self.done} done, {self.failed} failed, {self.retried} retried, {self.taken_up} taken up"
        rows = f"{count(self.rows_read, 'row')} read ({size(self.bytes_read)} in this run), {self.joined} joined"
        times = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self.seconds.items())
        return [parts, f"{rows}, {self.unmatched} without a partner", f"time: {times}"]

    def markdown(self, named: str) -> str:
        """Write it for a page of Prefect's."""
        figures = {name: value for name, value in asdict(self).items() if name != "seconds"}
        rows = [f"| {name.replace('_', ' ')} | {value:,} |" for name, value in figures.items()]
        rows += [f"| {stage}, seconds | {seconds:.1f} |" for stage, seconds in self.seconds.items()]
        return "\n".join([f"# {named}", "", "| | |", "| --- | ---: |", *rows])

    def _rounded(self) -> dict[str, Any]:
        return asdict(self) | {"seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()}}
