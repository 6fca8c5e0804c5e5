"""The summary of a join over all parts, for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.model.naming import listed
from pycytominer_transform.common.runtime.messages import count, logger, report_fields

if TYPE_CHECKING:
    from pycytominer_transform.common.ipc.profiles import MemoryProfiles


@dataclass(frozen=True)
class JoinSummary:
    """The number of parts, and the sums of the counts of each `JoinedPart`.

    Attributes
    ----------
    entries : tuple of str
        Entries of the platemap, with or without cells.
    passed_over : tuple of str
        Columns of the image table that the profiles leave out.
    profiles : str or MemoryProfiles
        Where the profiles are, or the profiles themselves; `pct-write` takes either.
    seconds : float
        How long it took.
    """

    parts: int
    counts: dict[str, Any]
    entries: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    profiles: str | MemoryProfiles = field(default="-", compare=False)
    seconds: float = field(default=0.0, compare=False)

    def report(self) -> None:
        """Log how many rows every table had, how many were joined, and what had no partner."""
        counts = self.counts
        line = f"{count(self.parts, 'part')}: {count(counts.get('joined', 0), 'cell')}"
        names = ("joined", "rows", "unmatched", "without", "incomplete", "dropped")
        report_fields(line, parts=self.parts, **{name: counts[name] for name in names if name in counts})
        for table, unmatched in counts.get("unmatched", {}).items():
            rows = counts["rows"][table]
            logger.info(
                "%s: %s, %s joined, %s without a partner", table, count(rows, "row"), rows - unmatched, unmatched
            )
        if self.passed_over:
            logger.info(
                "%s of the image table passed over: %s; --image-columns all takes them",
                count(len(self.passed_over), "column"), listed(self.passed_over),
            )  # fmt: skip
        if lacking := {table: number for table, number in counts.get("without", {}).items() if number}:
            outcome = "dropped" if counts["dropped"] else "kept with nulls"
            lacks = ", ".join(f"{number} lacked {table}" for table, number in lacking.items())
            logger.warning("%s %s: %s", count(counts["incomplete"], "object"), outcome, lacks)
        if left_out := sorted(counts.get("left_out", {})):
            logger.warning("joining went on without %s: %s", count(len(left_out), "bad dataset"), listed(left_out))
        for table, number in counts.get("numbered_zero", {}).items():
            logger.warning("%s: %s numbered 0, and 0 means no parent", table, count(number, "object"))
        if self.entries:
            self._report_platemap(counts.get("platemap", {}))

    def _report_platemap(self, counts: dict[str, Any]) -> None:
        cells = counts.get("cells", {})
        unused = [entry for entry in self.entries if entry not in cells]
        if "without_map" in counts:
            # A batch has many plates; those that are not in the source say nothing of its wells.
            plates = {entry.partition("/")[0] for entry in (*cells, *counts["without_entry"])}
            unused = [entry for entry in unused if entry.partition("/")[0] in plates]
        named = f" ({listed(unused)})" if unused else ""
        wells = count(len(cells), "well")
        logger.info("platemap: %s with cells, entries without a well: %s%s", wells, len(unused), named)
        if lacking := counts.get("without_entry", {}):
            wells, number = count(len(lacking), "well"), count(sum(lacking.values()), "cell")
            logger.warning("platemap: %s, %s, without an entry: %s", wells, number, listed(sorted(lacking)))
        if lacking := counts.get("without_map", {}):
            plates_lacking, number = count(len(lacking), "plate"), count(sum(lacking.values()), "cell")
            logger.warning("platemap: %s, %s, without a map: %s", plates_lacking, number, listed(sorted(lacking)))
        if counts.get("without_well"):
            logger.warning("platemap: %s without a well", count(counts["without_well"], "cell"))
