"""The entry points of the installed tools: an interruption while Python still imports one ends without a traceback."""

from __future__ import annotations

import importlib
from functools import partial

from pycytominer_transform.common.runtime.signals import end_process, start_process


def _main(tool: str) -> int:
    start_process(f"pct-{tool}")
    code: int = importlib.import_module(f"pycytominer_transform.tools.{tool}").main()
    end_process()
    return code


def pct() -> int:
    """Run `pct`."""
    start_process("pct")
    code: int = importlib.import_module("pycytominer_transform.tools.umbrella").main()
    end_process()
    return code


discover, extract, join, write, report, flow = (
    partial(_main, tool) for tool in ("discover", "extract", "join", "write", "report", "flow")
)
