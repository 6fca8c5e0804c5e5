"""Datasets that a source holds several times through links, and that are read once."""

from __future__ import annotations

from typing import NamedTuple

from pycytominer_transform.common.errors import BadDatasetError
from pycytominer_transform.common.runtime.messages import logger
from pycytominer_transform.common.storage.location import Location


class Repeated(NamedTuple):
    """The original of a dataset that shares files with it, and whether it has only files of the original."""

    original: str
    is_whole: bool


def find_repeated(root: Location, datasets: dict[str, dict[str, bool]]) -> dict[str, Repeated]:
    """Return the datasets that repeat files of others; the first one without links is the original.

    Parameters
    ----------
    datasets : dict
        By name, the files of each dataset; True for a file that two datasets must not share.
    """
    if len(datasets) < 2 or root.file_identity() is None:
        return {}
    places = {name: [(root / file, is_exclusive) for file, is_exclusive in datasets[name].items()] for name in datasets}

    def has_links(name: str) -> bool:
        return any(file.is_symlink() for file, _ in places[name])

    owners: dict[tuple[int, int], str] = {}
    repeated: dict[str, Repeated] = {}
    for name in sorted(places, key=has_links):
        # A broken link is reported when it is read.
        own = {identity: is_exclusive for file, is_exclusive in places[name] if (identity := file.file_identity())}
        shared = [identity for identity in own if identity in owners]
        if shared and len(shared) == len(own):
            repeated[name] = Repeated(owners[shared[0]], is_whole=True)
        elif exclusive := [identity for identity in shared if own[identity]]:
            repeated[name] = Repeated(owners[exclusive[0]], is_whole=False)
        else:
            for identity in own:
                owners.setdefault(identity, name)
    return repeated


def is_repeated(dataset: str, repeated: dict[str, Repeated]) -> bool:
    """Return whether a dataset repeats another one; warn if so.

    Raises
    ------
    BadDatasetError
        It has only some of the other's files.
    """
    if dataset not in repeated:
        return False
    original, is_whole = repeated[dataset]
    if not is_whole:
        raise BadDatasetError(f"dataset {dataset}: some of its files are those of {original}, by links")
    logger.warning("%s has the files of %s, by links; they are taken once", dataset, original)
    return True
