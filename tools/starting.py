"""Where the installed tools start: who interrupts one while Python still imports it gets no traceback."""

from __future__ import annotations

import importlib

from pycytominer_transform.common.early_end import end_early, end_late


def discover() -> int:
    """Run `pct-discover`."""
    return _main("discover")


def extract() -> int:
    """Run `pct-extract`."""
    return _main("extract")


def join() -> int:
    """Run `pct-join`."""
    return _main("join")


def write() -> int:
    """Run `pct-write`."""
    return _main("write")


def flow() -> int:
    """Run `pct-flow`."""
    return _main("flow")


def _main(tool: str) -> int:
    end_early(f"pct-{tool}")
    code: int = importlib.import_module(f"pycytominer_transform.tools.{tool}").main()
    end_late()
    return code
