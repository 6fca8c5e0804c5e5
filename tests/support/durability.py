"""Watches what this process syncs and renames, and says what a power cut could have taken.

What counts is what POSIX promises: a file's data are on the disk once it was synced, its name once the folder was that
holds it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from pycytominer_transform.common.storage import destination
from pycytominer_transform.common.storage.temporary_names import REPLACED_SUFFIX, TEMPORARY_SUFFIX

__all__ = ["Durability"]

State = tuple[int, int, int, int]


class _Hook:
    """Python's audit hooks stay for ever, so there is one, for whoever watches."""

    watching: Durability | None = None
    added = False


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _Hook.watching is not None and event in ("os.rename", "os.link"):
        source, target = (Path(os.path.abspath(os.fsdecode(name))) for name in arguments[:2])
        _Hook.watching.rename(source, target)


@dataclass
class Durability:
    """Watches below a folder while its block lasts.

    Attributes
    ----------
    named
        What got a final name.
    """

    below: Path
    monkeypatch: pytest.MonkeyPatch
    named: list[Path] = field(default_factory=list)
    _synced: set[State] = field(default_factory=set)
    _wrong: list[str] = field(default_factory=list)
    _unsynced_folders: dict[Path, int] = field(default_factory=dict)
    _known: set[Path] = field(default_factory=set)

    def __enter__(self) -> Durability:
        """Begin."""
        if not _Hook.added:
            sys.addaudithook(_hear)
            _Hook.added = True
        self._known = set(self.below.rglob("*"))
        sync, exchange = os.fsync, destination._exchanged

        def fsync(descriptor: int) -> None:
            sync(descriptor)
            self._sync(descriptor)

        def exchanged(one: Path, other: Path) -> bool:
            # Through ctypes, where no hook hears of it.
            self.rename(one, other)
            return exchange(one, other)

        self.monkeypatch.setattr(os, "fsync", fsync)
        self.monkeypatch.setattr(destination, "_exchanged", exchanged)
        _Hook.watching = self
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End."""
        _Hook.watching = None

    def complaints(self) -> list[str]:
        """List what a power cut could have taken; folders synced too late, or never, too."""
        late = [f"{folder} was not synced after something in it got its name" for folder in self._unsynced_folders]
        return self._wrong + late

    def rename(self, source: Path, target: Path) -> None:
        """Take note of a name that is about to be given."""
        if self.below not in target.parents or _is_temporary(target):
            return
        if target.parent in self._unsynced_folders:
            self._wrong.append(f"{target.parent} was not synced before {target.name} got its name too")
        self.named.append(target)
        inside = [path for path in source.rglob("*")] if source.is_dir() else []
        unsynced = [str(path) for path in (source, *inside) if _state(path) not in self._synced]
        if unsynced:
            self._wrong.append(f"not synced before it got the name {target}: {unsynced}")
        self._unsynced_folders[target.parent] = len(self.named)
        for folder in target.parents:
            if folder != self.below and self.below in folder.parents and folder not in self._known:
                self._known.add(folder)
                if _state(folder)[:2] not in {state[:2] for state in self._synced_parents(folder)}:
                    self._wrong.append(f"{folder} is new, and its name was not synced before {target.name} got into it")

    def _synced_parents(self, folder: Path) -> set[State]:
        return self._entries.get(folder.parent, set())

    _entries: dict[Path, set[State]] = field(default_factory=dict)

    def _sync(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        self._synced.add((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        self._unsynced_folders.pop(path, None)
        if path.is_dir():
            with contextlib.suppress(OSError):
                self._entries[path] = {_state(entry) for entry in path.iterdir()}


def _state(path: Path) -> State:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _is_temporary(path: Path) -> bool:
    return path.name.endswith((TEMPORARY_SUFFIX, REPLACED_SUFFIX))
