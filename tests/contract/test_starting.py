"""An interruption before a tool has begun: no traceback, whatever Python was importing."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from running import TOOLS, environment

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def interrupted_while_importing(
    tool: str, module: str, folder: Path, number: int = signal.SIGINT, before: Callable[[], object] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a tool as its installed script would, with a module that is imported on the way and sends a signal."""
    sending = f"import os, signal; os.kill(os.getpid(), {int(number)})"
    (folder / f"{module}.py").write_text(f"{sending}\nraise ImportError('it went on')\n")
    place, function = tomllib.loads(PYPROJECT.read_text())["project"]["scripts"][f"pct-{tool}"].split(":")
    script = f"import sys\nsys.path.insert(0, {str(folder)!r})\nfrom {place} import {function}\nsys.exit({function}())"
    return subprocess.run(
        [sys.executable, "-c", script, "--version"], capture_output=True, text=True, env=environment(), check=False,
        preexec_fn=before,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("number", "code", "what"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "the terminal was closed"),
    ],
)
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.quick
def test_it_ends_as_it_does_later(tool: str, number: int, code: int, what: str, tmp_path: Path) -> None:
    ran = interrupted_while_importing(tool, "argparse", tmp_path, number)
    told = f"pct-{tool}: error: {what}; nothing was left under the output's name\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (code, "", told)


def test_a_job_in_the_background_ignores_it(tmp_path: Path) -> None:
    ran = interrupted_while_importing(
        "join", "argparse", tmp_path, before=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)
    )
    assert "it went on" in ran.stderr
