"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["wait_until"]

PATIENCE = 300


def wait_until(ready: Callable[[], bool], what: str) -> None:
    """Ask again and again until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < deadline, f"no {what} after {PATIENCE} s"
        time.sleep(0.02)
