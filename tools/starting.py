"""The entry points of the installed tools: an interruption while Python still imports one ends without a traceback."""

from __future__ import annotations

import gc
import importlib
from functools import partial

from pycytominer_transform.common.runtime.signals import end_process, start_process


def _main(name: str, module: str) -> int:
    start_process(name)
    code: int = importlib.import_module(f"pycytominer_transform.tools.{module}").main()
    # At its end Python would search all that was imported for garbage: with Prefect, two thirds of a second.
    gc.freeze()
    end_process()
    return code


discover, extract, join, write, report, flow = (
    partial(_main, f"pct-{tool}", tool) for tool in ("discover", "extract", "join", "write", "report", "flow")
)
pct = partial(_main, "pct", "umbrella")
