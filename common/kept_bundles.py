"""Bundles that are not written: they stay in memory until the join of the same part, in the same process, takes them.

Between two tasks of a flow on threads a bundle would be written, read once and removed; that took a twelfth of the
processor time and a third of what the disk was given to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pycytominer_transform.common.manifest import Manifest, Step
from pycytominer_transform.common.shelf import Shelf

if TYPE_CHECKING:
    import pyarrow as pa

    _Parts = list[tuple[int, dict[str, pa.Table]]]


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
        KEPT_BUNDLES.put(self._place, KeptBundle(self._manifest.with_steps(step), self._parts))


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


KEPT_BUNDLES: Shelf[KeptBundle] = Shelf()
