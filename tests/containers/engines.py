"""What the tests of workflow engines share: is the engine here, and how it is run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

__all__ = ["CONTAINERS", "DEMO", "NF_CORE", "PATIENCE", "ROOT", "STAGES", "engine", "environment", "run"]

ROOT = Path(__file__).resolve().parents[2]
CONTAINERS = ROOT / "containers"
DEMO = ROOT / "tests" / "demo" / "plate"
STAGES = ("discover", "extract", "join", "write")
PATIENCE = 240
# The Python of nf-core's tools, whose requirements do not go with the engines'.
NF_CORE = Path(sys.executable).parents[1] / "nf-core" / "bin" / "python"


def engine(name: str) -> str:
    """Give the path of an engine that is installed beside the Python that runs the tests, or skip."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip(f"{name} is not there: pip install -e '.[engines]'")
    return str(path)


def environment(**more: str) -> dict[str, str]:
    """Give an environment in which the tools and engines are on the path and no Prefect API is named."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_")}
    # ch-run wants a user's name, which a service may lack.
    kept.setdefault("USER", str(os.geteuid()))
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"} | more


def run(words: Sequence[object], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command; what it says is one text, in `stdout`."""
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
