"""How long what a task puts out has to last, which is what it costs."""

from __future__ import annotations

from typing import Literal

Hold = Literal["lasting", "passing", "kept"]
"""``lasting``: as long as its disk, even if the power fails; ``passing``: as long as this machine runs, so nobody waits
for the disk; ``kept``: as long as this process, in memory, for the next task in it."""
