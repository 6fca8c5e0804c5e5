"""Profiles that are not written: they stay in memory until who writes the output, in the same process, takes them.

A flow without a work dir of the user's leaves no parts that a later run could take up; so between its join and its
write they need no file, which took some 10 of 60 s for a plate of 7 GB. Only some fit, so that a writer that waits
for one part does not gather all others in memory. Their manifests are on the disk: where a part fails, the others are
written beside them after all (`returned_profiles`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pycytominer_transform.common.manifest import Manifest, Step
from pycytominer_transform.common.shelf import Shelf

if TYPE_CHECKING:
    import pyarrow as pa
    from pycytominer_transform.common.profiles import ProfilesFolderWriter

_MOST_BYTES = 140_000_000
"""As much as four parts take, so that a part that takes longer than the next ones does not send those to the disk."""


class KeptProfilesWriter:
    """Keeps profiles, if there is room, under the name of a folder that has only their manifest then.

    Parameters
    ----------
    folder : Path
        The folder.
    manifest : Manifest
        Of the bundle that they are made of.
    otherwise : ProfilesFolderWriter
        Writes them, and the manifest, into that folder.
    """

    def __init__(self, folder: Path, manifest: Manifest, otherwise: ProfilesFolderWriter) -> None:
        self._folder = folder
        self._manifest = manifest
        self._otherwise = otherwise
        self._are_kept: bool | None = None
        self._parts: list[tuple[int, pa.Table]] = []

    def write(self, part: int, profiles: pa.Table) -> None:
        """Keep one part's profiles, or write them."""
        if self._are_kept is None:
            # All parts or none: who reads them looks in one place.
            self._are_kept = has_room(profiles.get_total_buffer_size())
        if self._are_kept:
            self._parts.append((part, profiles))
            return
        self._otherwise.write(part, profiles)

    def close(self, steps: Sequence[Step]) -> None:
        """Let the profiles be found, and write the manifest with the steps that made them."""
        self._otherwise.close(steps)
        if self._parts:
            KEPT_PROFILES.put(str(self._folder), KeptProfiles(self._manifest.with_steps(*steps), self._parts))


class KeptProfiles:
    """Gives profiles part by part, once.

    Attributes
    ----------
    manifest : Manifest
        With all steps that made them.
    schema : pyarrow.Schema
        Without the suite's metadata.
    bytes, rows : int
        Of all parts.
    """

    def __init__(self, manifest: Manifest, parts: list[tuple[int, pa.Table]]) -> None:
        self.manifest = manifest
        self.schema: pa.Schema = parts[0][1].schema
        self.bytes: int = sum(table.get_total_buffer_size() for _, table in parts)
        self.rows: int = sum(table.num_rows for _, table in parts)
        self._parts = parts

    def parts(self) -> Iterator[tuple[int, pa.Table]]:
        """Give each part's number and profiles; nothing of it stays here."""
        while self._parts:
            yield self._parts.pop(0)


KEPT_PROFILES: Shelf[KeptProfiles] = Shelf()


def has_room(size: int) -> bool:
    """Say whether profiles of so many bytes may be kept beside those that are."""
    return sum(kept.bytes for kept in KEPT_PROFILES.all()) + size <= _MOST_BYTES
