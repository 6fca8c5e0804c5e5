"""The cloud group of `make bench`: the same plates from a disk and from an S3 server on loopback."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench_measure import Case, Group
from cloud_s3 import s3_server
from plates import Plate, write_csv

SMALL_OBJECTS = Plate(folders=3456, cells=3, features=10)
"""13,824 objects."""


@contextmanager
def cloud_groups(plate: Path, work: Path, cases: Callable[[Path, str], list[Case]]) -> Iterator[list[Group]]:
    """Give the groups, with a server that has their plates for as long as the block.

    Parameters
    ----------
    plate : Path
        A plate of ordinary files.
    cases : callable
        Gives the cases of a plate that lies in a folder and under a URL.
    """
    tiny = work / "csv-small-objects"
    if not tiny.exists():
        write_csv(SMALL_OBJECTS, tiny)
    with s3_server() as server:
        bucket = server.new_bucket()
        os.environ.update(server.environment)
        groups = []
        for source, what, kind in ((plate, "", "cloud"), (tiny, ": 13,824 small objects", "cloud-small")):
            bucket.upload_tree(source, source.name)
            groups.append(Group(f"Cloud{what}", cases(source, f"{bucket.url}/{source.name}"), kind))
        yield groups
