"""What must hold of a killed job: nothing half-done has a final name, and what was finished stays as it is."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pycytominer_transform.common.storage.folder_lock import LOCK_FILE
from pycytominer_transform.common.storage.temporary_names import TEMPORARY_SUFFIX

__all__ = ["Reference", "Said", "content", "cut_power", "flip_bits", "identity", "parts_in", "said"]

Content = Mapping[str, bytes]
_NEVER_BEGUN = re.compile(
    r"Traceback \(most recent call last\):\n"
    r"(?:  File \"(?:<string>|[^\"]*/multiprocessing/spawn\.py)\".*\n(?:    .*\n)*)+"
    r"EOFError: Ran out of input\n"
)
"""What Python itself says in a Dask worker whose pct-flow was killed before it had told the worker what to do."""


def content(path: Path) -> Content:
    """Give the bytes of a file, or of all files of a folder by their names; of nothing where there is nothing."""
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
    return {"": path.read_bytes()} if path.exists() else {}


def parts_in(work: Path) -> dict[str, Path]:
    """List the parts that have their final names in a work dir: folders of profiles, or Parquet files."""
    parts = work / "parts"
    names: list[str] = []
    # At its end a run renames the folder.
    with suppress(FileNotFoundError):
        names = sorted(os.listdir(parts))
    return {name: parts / name for name in names if not name.startswith(".")}


def identity(part: Path) -> list[tuple[str, int, int]]:
    """Say which files a part's are: another that has the same content is another."""
    files = sorted(part.iterdir()) if part.is_dir() else [part]
    return [(file.name, file.stat().st_ino, file.stat().st_mtime_ns) for file in files]


@dataclass(frozen=True)
class Reference:
    """What an undisturbed run made: its output, its parts, and how long it took in seconds."""

    output: Content
    parts: Mapping[str, Content]
    seconds: float

    @classmethod
    def of(cls, output: Path, work: Path, seconds: float) -> Reference:
        """Read what a run left that was to keep its work dir; a folder's parts are its output."""
        parts = {file.name: file for file in output.iterdir()} if output.is_dir() else parts_in(work)
        return cls(content(output), {name: content(path) for name, path in parts.items()}, seconds)

    def complain_of_output(self, output: Path, *, values_alone: bool = False) -> str:
        """Say what is wrong with an output, nothing where it is the same, or has the same values."""
        made = content(output)
        if values_alone and made.keys() == self.output.keys():
            other = [name for name in made if not _table(made[name]).equals(_table(self.output[name]))]
            return f"other values in {other}" if other else ""
        if made == self.output:
            return ""
        if made.keys() != self.output.keys():
            return f"the output has {sorted(made)}"
        try:
            equal = all(pq.read_table(output / name if name else output).num_rows >= 0 for name in made)
        except Exception as error:
            return f"the output cannot be read: {error}"
        return f"the output can be read ({equal}), but has other bytes than an undisturbed run's"

    def complain_of_parts(self, work: Path, but: Collection[str] = ()) -> str:
        """Say which parts have a final name and are not what an undisturbed run makes of them."""
        parts = {name: path for name, path in parts_in(work).items() if name not in but}
        wrong = [name for name, path in parts.items() if content(path) != self.parts.get(name)]
        return f"half-done under the final name: {wrong}" if wrong else ""


@dataclass(frozen=True)
class Said:
    """What a run said about its parts; of one that was killed no more than the parts it had done.

    Attributes
    ----------
    summary : mapping
        The last line's figures.
    complaints : list of str
        Lines that no run of ours says.
    """

    done: list[int]
    summary: Mapping[str, Any]
    complaints: list[str]


def said(text: str, *, was_killed: bool = False) -> Said:
    """Read the lines of ``--log-format json``, the last of which may be cut off."""
    if was_killed:
        text = _NEVER_BEGUN.sub("", text)
    done, summary, complaints = list[int](), dict[str, Any](), list[str]()
    lines = text.splitlines(keepends=True)
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            # Python's own remark on a process that was killed.
            if line.endswith("\n") and "resource_tracker" not in line:
                complaints.append(line.strip())
            continue
        if entry.get("outcome") == "done":
            done.append(entry["part"])
        if "resumed" in entry:
            summary = entry
        if entry["level"] == "error":
            complaints.append(entry["message"])
    return Said(done, summary, complaints)


def cut_power(random: Random, *places: Path) -> int:
    """Cut or remove what nobody had synced to the disk, as a power cut may; gives the number of files.

    That is whatever has a temporary name, and what a work dir holds for the length of one run: what Dask workers
    exchange, and the lock file.
    """
    spoilt = 0
    for place in places:
        for file in [path for path in place.rglob("*") if path.is_file() and not path.is_symlink()]:
            inside = file.relative_to(place).parts
            unsynced = any(name.endswith(TEMPORARY_SUFFIX) for name in inside) or "exchange" in inside
            if unsynced or file.name == LOCK_FILE:
                _spoil(file, random)
                spoilt += 1
        for folder in [path for path in place.rglob(f"*{TEMPORARY_SUFFIX}") if path.is_dir()]:
            if random.random() < 0.3:
                shutil.rmtree(folder)
    return spoilt


def flip_bits(random: Random, work: Path) -> list[str]:
    """Change a bit in the data of some finished parts, as a disk that rots may; gives the parts' names.

    Footers are left alone: nothing in Parquet or Arrow IPC tells that one of theirs is another.
    """
    parts = parts_in(work)
    chosen = random.sample(sorted(parts), min(len(parts), 2))
    for name in chosen:
        files = (
            [file for file in parts[name].iterdir() if file.name != "manifest.arrow"] if parts[name].is_dir() else []
        )
        file = random.choice(sorted(files) or [parts[name]])
        data = bytearray(file.read_bytes())
        magic = 6 if file.suffix == ".arrow" else 4
        footer = int.from_bytes(data[-magic - 4 : -magic], "little") + magic + 4
        place = random.randrange(magic + 2, len(data) - footer)
        data[place] ^= 1 << random.randrange(8)
        file.write_bytes(data)
    return chosen


def _table(data: bytes) -> pa.Table:
    return pq.read_table(pa.BufferReader(data)).replace_schema_metadata(None)


def _spoil(file: Path, random: Random) -> None:
    how = random.random()
    if how < 0.3:
        file.unlink()
    elif how < 0.5:
        # A size that reached the disk without the data.
        size = file.stat().st_size
        file.write_bytes(bytes(size))
    else:
        os.truncate(file, random.randint(0, file.stat().st_size))
