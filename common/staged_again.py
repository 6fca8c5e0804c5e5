"""Datasets that are there twice, by links: taken once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from pycytominer_transform.common.cloud_place import CloudPlace
from pycytominer_transform.common.errors import BadDatasetError
from pycytominer_transform.common.place import Place
from pycytominer_transform.common.reporting import logger


@dataclass(frozen=True)
class Again:
    """A dataset whose files another has too, by links: all of them, or only some."""

    name: str
    other: str
    is_all: bool


def staged_again(root: Place, datasets: dict[str, dict[str, bool]]) -> dict[str, Again]:
    """Find the datasets whose files are others' too; of several, the first that is no link is not among them.

    Parameters
    ----------
    datasets : dict
        By name, the files of each, and of each file whether two datasets may not share it.
    """
    if len(datasets) < 2 or isinstance(root, CloudPlace):
        return {}

    def has_links(name: str) -> bool:
        return any((root / file).is_symlink() for file in datasets[name])

    owners: dict[tuple[int, int], str] = {}
    again: dict[str, Again] = {}
    for name in sorted(datasets, key=has_links):
        own: dict[tuple[int, int], bool] = {}
        for file, matters in datasets[name].items():
            with suppress(OSError):  # A link that leads nowhere is reported when it is read.
                status = (root / file).stat()
                own[status.st_dev, status.st_ino] = matters
        shared = [identity for identity in own if identity in owners]
        if shared and len(shared) == len(own):
            again[name] = Again(name, owners[shared[0]], is_all=True)
        elif known := [identity for identity in shared if own[identity]]:
            again[name] = Again(name, owners[known[0]], is_all=False)
        else:
            for identity in own:
                owners.setdefault(identity, name)
    return again


def is_left_out(again: Again | None) -> bool:
    """Say whether a dataset is another one once more, with a warning.

    Raises
    ------
    BadDatasetError
        It has only some of the other's files.
    """
    if again is None:
        return False
    if not again.is_all:
        raise BadDatasetError(f"dataset {again.name}: some of its files are those of {again.other}, by links")
    logger.warning("%s has the files of %s, by links; they are taken once", again.name, again.other)
    return True
