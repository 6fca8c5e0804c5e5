"""How many examples Hypothesis draws: a third in `make test`, all of them in `make fuzz`, which sets PCT_EXAMPLES."""

from __future__ import annotations

import os

__all__ = ["examples"]


def examples(full: int) -> int:
    """Return how many of a property's examples are drawn now."""
    return full if os.environ.get("PCT_EXAMPLES") == "full" else -(-full // 3)
