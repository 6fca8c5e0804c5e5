"""Runs a tool on a disk of its own that has little room; as a program of root's, in a mount namespace of its own.

Takes JSON on standard input: see `Asked`. Gives a line of JSON for each room: how the tool ended, what it left on the
disk, what its output is; and the same of a second run that has all the room there is.
"""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from running import main_of

__all__ = ["PAGE", "Asked", "Told", "digest", "listed"]

PAGE = 4096
_ALL_ROOM = 64 << 20
_BALLAST = "ballast"
_PATIENCE = 300.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to try.

    Attributes
    ----------
    disk : str
        An empty folder, where the disk is mounted.
    output : str
        The last of the words; on the disk or not.
    old : str
        What to put in the output's place before; empty for nothing.
    rooms : sequence of int
        Bytes to leave free, one run after the other.
    files : int
        How many files and folders the disk can hold; 0 for any number.
    tmp : str
        The folder for temporary files; on the disk or not.
    """

    tool: str
    words: Sequence[str]
    disk: str
    output: str
    old: str
    rooms: Sequence[int]
    files: int
    tmp: str


@dataclass(frozen=True)
class Told:
    """How a run ended: what it said, what it left on the disk, and its output's `digest`."""

    code: int
    said: str
    left: list[str]
    made: str


def leave_free(disk: Path, room: int) -> None:
    """Fill a disk up to so many bytes."""
    status = os.statvfs(disk)
    with (disk / _BALLAST).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - room)


def listed(folder: Path) -> list[str]:
    """List what is in a folder but the ballast, and in the folders in it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != _BALLAST)


def digest(path: Path) -> str:
    """Give a fingerprint of a file, or of all files of a folder with their names; empty where nothing is."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = [f"{name}: {digest(path / name)}" for name in listed(path) if (path / name).is_file()]
    return hashlib.sha256("\n".join(files).encode()).hexdigest() if files else ""


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def run(asked: Asked) -> Told:
    """Run the tool; one that hangs ends this process with what its threads are at."""
    said = io.StringIO()
    faulthandler.dump_traceback_later(_PATIENCE, exit=True)
    with contextlib.redirect_stderr(said):
        code = main_of(asked.tool)(asked.words)
    faulthandler.cancel_dump_traceback_later()
    return Told(code, said.getvalue(), listed(Path(asked.disk)), digest(Path(asked.output)))


def tried(asked: Asked, room: int) -> dict[str, Any]:
    disk, output = Path(asked.disk), Path(asked.output)
    for path in (*disk.iterdir(), output):
        remove(path)
    Path(asked.tmp).mkdir(exist_ok=True)
    if asked.old:
        shutil.copytree(asked.old, output) if Path(asked.old).is_dir() else shutil.copy(asked.old, output)
    leave_free(disk, room)
    little = run(asked)
    remove(disk / _BALLAST)
    return {"room": room, "little": asdict(little), "all": asdict(run(asked)) if little.code else None}


def main() -> None:
    asked = Asked(**json.load(sys.stdin))
    options = f"size={_ALL_ROOM}" + (f",nr_inodes={asked.files}" if asked.files else "")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", asked.disk], check=True)
    os.environ["TMPDIR"] = tempfile.tempdir = asked.tmp
    for room in asked.rooms:
        sys.stdout.write(f"{json.dumps(tried(asked, room))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
