"""An interruption that a library swallows, as DuckDB does now and then, still ends the tool; nothing is left."""

from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pycytominer_transform.common.errors import TerminatedError
from running import Staged, entries, run

WITHIN = {
    "discover": ("common.discover.source", "discover_manifest"),
    "extract": ("tools.extract", "_reader"),
    "join": ("tools.join", "_opened"),
    "write": ("common.write.parquet", "write_file"),
}


@pytest.fixture(autouse=True)
def _pythons_own_handler() -> Iterator[None]:
    """Have Ctrl-C heeded, whatever a library that another test imported (dask-jobqueue) has put in its place."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("to_file", [True, False])
@pytest.mark.parametrize("tool", WITHIN)
def test_the_tool_ends(
    tool: str, to_file: bool, number: int, staged: Staged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, name = WITHIN[tool]
    module = importlib.import_module(f"pycytominer_transform.{place}")
    function = getattr(module, name)
    lost = []

    def losing(*args: Any, **words: Any) -> Any:
        with suppress(TerminatedError, KeyboardInterrupt):
            os.kill(os.getpid(), number)
            time.sleep(10)
        lost.append(name)
        return function(*args, **words)

    monkeypatch.setattr(module, name, losing)
    given = staged.source if tool == "discover" else staged.at_rest(tool)
    output = tmp_path / ("out.parquet" if tool == "write" else "out")
    ran = run(tool, given, "-q", *(["-o", output] if to_file else []))
    assert lost == [name]
    ran.failed(128 + number, "nothing was left under the output's name")
    assert not entries(tmp_path)
