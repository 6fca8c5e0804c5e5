"""What the tests of clusters share: a plate, its conversion without any of this, and waiting for what others do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from plates import Plate, write_csv

__all__ = [
    "CONTAINERS",
    "ONE_FOLDER_A_PART",
    "PATIENCE",
    "ROOT",
    "environment",
    "plain",
    "run",
    "write_plate",
]

ROOT = Path(__file__).resolve().parents[2]
CONTAINERS = ROOT / "containers"
PATIENCE = 300
ONE_FOLDER_A_PART = ("--part-size", "1")


def environment(**more: str) -> dict[str, str]:
    """Give an environment in which the tools are on the path and no Prefect API is named."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PREFECT_", "SLURM_", "SBATCH_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath), "/usr/sbin"])
    return kept | {"PATH": path} | more


def run(words: Sequence[object], env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a command that must succeed, and give what it printed."""
    done = subprocess.run(
        [str(word) for word in words], env=env or environment(), cwd=cwd, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def write_plate(folder: Path, folders: int = 5, cells: int = 8) -> Path:
    """Write a plate of as many parts as it has folders."""
    return write_csv(Plate(folders=folders, cells=cells, features=6, missing=0.1), folder / "plate1")


def plain(source: Path, folder: Path) -> bytes:
    """Convert by the pipe of the four tools, here, and give the Parquet file's bytes."""
    out = folder / "plain.parquet"
    pipe = f"pct-discover -q '{source}' --part-size 1 | pct-extract -q | pct-join -q | pct-write -q -o '{out}'"
    run(["bash", "-c", f"set -o pipefail; {pipe}"])
    return out.read_bytes()
