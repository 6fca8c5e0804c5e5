"""Bundles that are not written: they stay in memory until the join of the same part, in the same process, takes them.

Between two tasks of a flow on threads a bundle would be written, read once and removed; that took a twelfth of the
processor time and a third of what the disk was given to do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pycytominer_transform.common.manifest import Manifest, Step

if TYPE_CHECKING:
    import pyarrow as pa

    _Parts = list[tuple[int, dict[str, pa.Table]]]


class _Kept:
    lock = threading.Lock()
    bundles: dict[str, KeptBundle] = {}  # noqa: RUF012


class KeptBundleWriter:
    """Keeps a bundle under the name of a place where there is none; see `bundle.BundleFolderWriter`."""

    def __init__(self, place: str, manifest: Manifest) -> None:
        self._place = place
        self._manifest = manifest
        self._parts: _Parts = []

    def write(self, part: int, tables: dict[str, pa.Table]) -> None:
        """Keep one part's tables."""
        self._parts.append((part, tables))

    def close(self, step: Step) -> None:
        """Let the bundle be found, with the step that made it."""
        with _Kept.lock:
            _Kept.bundles[self._place] = KeptBundle(self._manifest.with_step(step), self._parts)


class KeptBundle:
    """Gives a bundle part by part, once; see `bundle.BundleReader`."""

    def __init__(self, manifest: Manifest, parts: _Parts) -> None:
        self.manifest = manifest
        self.steps = manifest.provenance
        self._parts = parts

    def parts(self) -> Iterator[tuple[int, dict[str, pa.Table]]]:
        """Give each part's number and tables, ascending; nothing of it stays here."""
        while self._parts:
            yield self._parts.pop(0)


def taken_bundle(place: str) -> KeptBundle | None:
    """Give the bundle that is kept under a place's name, which is not kept any longer; None where none is."""
    with _Kept.lock:
        return _Kept.bundles.pop(place, None)


def forget_bundles(folder: Path) -> None:
    """Drop those that nobody took, of the places in a folder."""
    with _Kept.lock:
        for place in [place for place in _Kept.bundles if Path(place).is_relative_to(folder)]:
            del _Kept.bundles[place]
