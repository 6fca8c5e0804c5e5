"""The cloud group of `make bench`: the same plates from a disk and from an S3 server on loopback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench_measure import Case, Group
from bench_verdicts import CLOUD, DISK
from plates import Plate, write_csv

HERE = Path(__file__).resolve().parent
SMALL_OBJECTS = Plate(folders=3456, cells=3, features=10)
"""13,824 objects."""


@contextmanager
def cloud_groups(
    plate: Path, work: Path, outputs: Path, pipe: Callable[[Path | str, Path], Case]
) -> Iterator[list[Group]]:
    """Give the groups, with a server that has their plates for as long as the block.

    Parameters
    ----------
    plate : Path
        A plate of ordinary files.
    pipe : callable
        Gives the four-tool pipe from a source to a Parquet file.
    """
    sys.path.insert(0, str(HERE / "cloud"))
    from cloud_s3 import s3_server

    tiny = work / "csv-small-objects"
    if not tiny.exists():
        write_csv(SMALL_OBJECTS, tiny)
    with s3_server() as server:
        bucket = server.new_bucket()
        os.environ.update(server.environment)
        groups = []
        for source, what, kind in ((plate, "", "cloud"), (tiny, ": 13,824 small objects", "cloud-small")):
            bucket.upload_tree(source, source.name)
            disk = pipe(source, outputs / f"{source.name}.disk.parquet")
            cloud = pipe(f"{bucket.url}/{source.name}", outputs / f"{source.name}.s3.parquet")
            cases = [replace(disk, name=DISK), replace(cloud, name=CLOUD)]
            groups.append(Group(f"Cloud{what}", cases, kind))
        yield groups
