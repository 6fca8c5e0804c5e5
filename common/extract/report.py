"""Counts of rows, nulls and bad datasets that were read, for provenance and for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.extract.path_comparison import Disagreements
from pycytominer_transform.common.model.naming import listed
from pycytominer_transform.common.model.provenance import added_counts
from pycytominer_transform.common.runtime.messages import count, logger, report_fields

if TYPE_CHECKING:
    from pycytominer_transform.common.extract.part_reader import PartTables
    from pycytominer_transform.common.ipc.bundle import MemoryBundle
    from pycytominer_transform.common.model.manifest import Manifest


@dataclass
class ExtractSummary:
    """Counts of parts, of rows per table, and of values per column that became null.

    Attributes
    ----------
    nulled : dict
        Bad values that were made null, by the source column's name.
    words : dict
        Words for no value in SQLite's number columns (``nan``, ``NULL``, an empty text), by the column's final name.
    blank_rows : int
        Rows without any value, which were dropped.
    disagreements : Disagreements
        Image sets whose metadata differ between the table and the dataset's path.
    left_out : dict
        By bad dataset, of how many parts it was left out.
    bundle : str or MemoryBundle
        Where the bundle is, or the bundle itself; `pct-join` takes either.
    seconds : float
        How long it took.
    """

    rows: dict[str, int]
    parts: int = 0
    nulled: dict[str, int] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)
    blank_rows: int = 0
    disagreements: Disagreements = field(default_factory=Disagreements)
    left_out: dict[str, int] = field(default_factory=dict)
    bundle: str | MemoryBundle = field(default="-", compare=False)
    seconds: float = field(default=0.0, compare=False)

    def add(self, part: PartTables) -> None:
        """Count one more part."""
        self.parts += 1
        self.rows = added_counts(self.rows, {name: table.num_rows for name, table in part.tables.items()})
        self.nulled = added_counts(self.nulled, part.bad.counts)
        self.words = added_counts(self.words, part.bad.words)
        self.blank_rows += part.bad.blank_rows
        self.disagreements.add(part.disagreements)
        self.left_out = added_counts(self.left_out, dict.fromkeys(part.left_out, 1))

    @property
    def recorded(self) -> dict[str, Any]:
        """The counts that provenance records."""
        counts: dict[str, Any] = {"rows": self.rows, "made_null": self.nulled, "null_words": self.words}
        if self.blank_rows:
            counts["blank_rows_dropped"] = self.blank_rows
        if self.disagreements.counts:
            counts["path_disagreements"] = self.disagreements.counts
        if self.left_out:
            counts["datasets_left_out"] = self.left_out
        return counts

    def report(self) -> None:
        """Log what was read and what was made null."""
        rows = ", ".join(f"{name} {number}" for name, number in self.rows.items())
        counts = self.recorded | {"made_null": sum(self.nulled.values()), "null_words": sum(self.words.values())}
        report_fields(f"read {count(self.parts, 'part')}; rows: {rows}", parts=self.parts, **counts)
        if self.words:
            total, columns = count(sum(self.words.values()), "word"), count(len(self.words), "column")
            logger.info("%s for no value (nan, NULL, empty) in %s became null", total, columns)
            logger.debug("words that became null: %s", _listed(self.words))
        if self.blank_rows:
            logger.warning("dropped %s without any value", count(self.blank_rows, "row"))
        for column, number in sorted(self.disagreements.counts.items()):
            example, image_sets = self.disagreements.examples[column], count(number, "image set")
            logger.warning(
                "%s: %s differs between path and image table (%s); using the table", image_sets, column, example
            )
        if self.nulled:
            values = count(sum(self.nulled.values()), "value")
            logger.warning("made %s null that were no numbers: %s", values, _listed(self.nulled))
        report_left_out(self.left_out)


def report_left_out(datasets: Mapping[str, int]) -> None:
    """Log once more which datasets were left out, each given with its number of parts."""
    if datasets:
        logger.warning("reading went on without %s: %s", count(len(datasets), "bad dataset"), listed(sorted(datasets)))


def check_left_out(manifest: Manifest, left_out: Mapping[str, int]) -> None:
    """Log of which datasets some parts are left; refuse a source of which none is. A share of one may be empty.

    Parameters
    ----------
    left_out : mapping
        By bad dataset, of how many parts it was left out.

    Raises
    ------
    DataError
        There is nothing else.
    """
    of_parts = {(source.part, source.dataset) for source in manifest.sources} if left_out else set()
    if left_out and len(manifest.parts) == manifest.parts_total and sum(left_out.values()) == len(of_parts):
        raise DataError(f"no dataset is left: all {count(len(left_out), 'dataset')} had to be left out")
    parts_of = Counter(dataset for _, dataset in of_parts)
    for dataset, number in left_out.items():
        if number < parts_of[dataset]:
            logger.warning("%s: %d of its %d parts left out; the others come out", dataset, number, parts_of[dataset])


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} ({number})" for name, number in sorted(counts.items()))
