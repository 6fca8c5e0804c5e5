"""Where the path of a dataset and its image table say different things."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Disagreements:
    """Where the path and the image table say different things; the table's stands.

    Attributes
    ----------
    counts : dict
        By column, how many image sets.
    examples : dict
        By column, the first of them in words.
    """

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, other: Disagreements) -> None:
        """Add those of another source."""
        for column, number in other.counts.items():
            self.counts[column] = self.counts.get(column, 0) + number
        self.examples = other.examples | self.examples
