"""Several folders of profiles that must be the shares of one source: each part once, and none missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pycytominer_transform.common.errors import DataError, SourceNotFoundError, StageEndedEarlyError
from pycytominer_transform.common.manifest import Manifest, part_name
from pycytominer_transform.common.manifest_files import MANIFEST_FILE, read_manifest_beside
from pycytominer_transform.common.place import Place, entry_names
from pycytominer_transform.common.provenance import History


@dataclass(frozen=True)
class _Share:
    """What is needed of one folder's manifest; of ten thousand the whole would take 400 MB."""

    path: Place
    parts: tuple[int, ...]
    parts_total: int
    shard: tuple[int, int]


class Shares:
    """Folders of profiles that belong together, and what made them."""

    def __init__(self) -> None:
        self._others = 0
        self._shares: list[_Share] = []
        self.history = History()

    def files_in(self, path: Place) -> list[Place]:
        """Take one more folder; gives its Arrow files.

        Raises
        ------
        SourceNotFoundError
            There is no such folder.
        DataError, StageEndedEarlyError
            It is a bundle, or lacks a part.
        """
        if not path.is_dir():
            raise SourceNotFoundError(f"{path}: no such folder")
        names = entry_names(path)
        files = [name for name in names if name.endswith(".arrow") and "/" not in name]
        if MANIFEST_FILE in files:
            files.remove(MANIFEST_FILE)
            manifest = read_manifest_beside(path)
            self._check_names(path, manifest, names)
            self.add(path, manifest)
        else:
            self._others += 1
        return [path / name for name in sorted(files)]

    def add(self, path: Place, manifest: Manifest) -> None:
        """Take one more folder by what its manifest says."""
        shard = next((step.options.get("shard") for step in manifest.provenance), None) or (1, 1)
        self._shares.append(_Share(path, tuple(manifest.parts), manifest.parts_total, shard))
        self.history.add(manifest.provenance)

    @staticmethod
    def _check_names(path: Place, manifest: Manifest, names: Sequence[str]) -> None:
        folders = {name.partition("/")[0] for name in names if "/" in name}
        if any(part_name(part) in folders for part in manifest.parts):
            raise DataError(f"{path} is a bundle, not profiles; pct-join makes them of it")
        expected = [f"{part_name(part)}.arrow" for part in manifest.parts]
        if missing := [name for name in expected if name not in set(names)]:
            raise StageEndedEarlyError(f"{path}: {missing[0]} is missing; the stage before this one ended early")

    def check(self) -> None:
        """Refuse folders that are not the shares of one source, each once: cells would be doubled or missing."""
        if len(self._shares) + self._others == 1:
            return
        place_of: dict[int, Place] = {}
        wanted: set[int] = set()
        described = set()
        for share in self._shares:
            for part in share.parts:
                if part in place_of:
                    raise DataError(
                        f"part {part} is in {place_of[part]} and in {share.path}; several folders must be shares of "
                        "one source"
                    )
                place_of[part] = share.path
            index, number = share.shard
            described.add((index, number))
            every = range(1, share.parts_total + 1)
            # Shares that pct-discover made are whole only together; pct-extract's are shares of what it was given.
            wanted |= set(every[index - 1 :: number] if len(described) == 1 else every)
        if missing := sorted(wanted - set(place_of)):
            raise StageEndedEarlyError(
                f"{self._shares[0].path} and the other folders lack part {missing[0]} ({len(missing)} of "
                f"{len(wanted)} parts are missing); give all shares of the source"
            )
