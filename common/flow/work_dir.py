"""The work dir of a flow: the finished parts, and files that Dask workers exchange.

For an output of one file a part is a folder of profiles, and the work dir is the one that the user names, or a
temporary folder. For an output folder a part is its final Parquet file, and the work dir lies beside the output until
all parts are there. A lasting work dir is called ``NAME.pct-work`` after the output; the same command resumes in it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pycytominer_transform.common.errors import FailedPartsError
from pycytominer_transform.common.ipc.manifest_files import MANIFEST_FILE
from pycytominer_transform.common.model.manifest import part_name
from pycytominer_transform.common.runtime.messages import logger
from pycytominer_transform.common.runtime.signals import cleanup
from pycytominer_transform.common.storage.destination import storage_errors, sync, sync_all, temporary_folder
from pycytominer_transform.common.storage.folder_lock import locked_folder
from pycytominer_transform.common.storage.location import Location
from pycytominer_transform.common.storage.temporary_names import (
    TEMPORARY_SUFFIX,
    discard,
    remove_dead,
    remove_leftovers,
)

WORK_SUFFIX = ".pct-work"
_PARTS, _EXCHANGE = "parts", "exchange"


@dataclass(frozen=True)
class WorkDir:
    """A folder with the manifest, the finished parts, and what Dask workers exchange.

    Attributes
    ----------
    is_lasting : bool
        It outlives a run that is killed, so what is finished in it is synced to the disk.
    """

    path: Path
    is_lasting: bool

    @property
    def manifest(self) -> Path:
        """The manifest of the whole source."""
        return self.path / MANIFEST_FILE

    @property
    def parts(self) -> Path:
        """The folder of finished parts."""
        return self.path / _PARTS

    def profiles(self, part: int) -> Path:
        """Return the folder of a part's profiles, for an output of one file."""
        return self.parts / part_name(part)

    def parquet(self, part: int) -> Path:
        """Return the path of a part's Parquet file, for an output folder."""
        return self.parts / f"{part_name(part)}.parquet"

    def exchange(self, part: int, stage: str) -> Path:
        """Return the path of a file or folder that one stage writes for the next one in another process."""
        folder = self.path / _EXCHANGE / part_name(part)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / stage

    def clear_exchange(self, part: int) -> None:
        """Remove the files that the stages of a part exchanged."""
        shutil.rmtree(self.path / _EXCHANGE / part_name(part), ignore_errors=True)

    def prepare(self, parts: Iterable[int]) -> None:
        """Create the folder for parts, and remove parts of an earlier run that divided the source differently."""
        with storage_errors(self.path):
            self.parts.mkdir(exist_ok=True)
            if self.is_lasting:
                sync(self.path)
        names = {part_name(part) for part in parts}
        for name in os.listdir(self.parts):
            if name.removesuffix(".parquet") not in names:
                discard(self.parts / name)

    def has_parts(self) -> bool:
        """Return whether there are finished parts."""
        return self.parts.is_dir() and any(not name.startswith(".") for name in os.listdir(self.parts))

    def remove_unfinished(self) -> None:
        """Remove the unfinished files of a killed process, and those that the stages exchanged."""
        discard(self.path / _EXCHANGE)
        for folder in (self.path, self.parts):
            with suppress(FileNotFoundError):
                for entry in os.scandir(folder):
                    if entry.name.endswith(TEMPORARY_SUFFIX):
                        remove_dead(Path(entry.path))


def lasting_work_dir(path: str, output: Location, *, is_folder: bool) -> Path | None:
    """Return the work dir that outlives a killed run; None if the run uses a temporary folder.

    Parameters
    ----------
    path : str
        From the user: the folder for work dirs, or the work dir itself; empty for none.
    output : Location
        The output of the flow.
    is_folder : bool
        The output is a folder.
    """
    name = f"{output.name}{WORK_SUFFIX}"
    if path:
        # A folder of our own within the user's, which may hold anything.
        named = Path(os.path.abspath(path))
        return named if named.name == name else named / name
    if not isinstance(output, Path):
        return None
    beside = output.absolute().with_name(name)
    # A run that failed leaves its finished parts there.
    return beside if is_folder or beside.is_dir() else None


@contextmanager
def open_work_dir(path: str, output: Location, *, is_folder: bool, keep: bool) -> Iterator[WorkDir]:
    """Open the work dir of an output; it is removed when the block ends without an error.

    Parameters
    ----------
    path, output, is_folder
        See `lasting_work_dir`.
    keep : bool
        Keep it in any case.

    Raises
    ------
    WorkDirInUseError
        Another process works in it.
    """
    lasting = lasting_work_dir(path, output, is_folder=is_folder)
    if lasting is None:
        with _temporary_work_dir(output, keep=keep) as work:
            yield work
        return
    work = WorkDir(lasting, is_lasting=True)
    remove_leftovers(lasting)
    with locked_folder(lasting):
        work.remove_unfinished()
        try:
            yield work
        except BaseException:
            work.remove_unfinished()
            if work.has_parts():
                logger.info("finished parts are in %s; the same command goes on with them", lasting)
            else:
                discard(lasting)
            raise
        if keep:
            work.remove_unfinished()
        else:
            discard(lasting)


@contextmanager
def _temporary_work_dir(output: Location, *, keep: bool) -> Iterator[WorkDir]:
    """Create a work dir beside the output, or in the system's temporary folder for an output in the cloud."""
    with _stem(output) as stem, temporary_folder(stem, keep=keep) as folder:
        lasting = stem.absolute().with_name(f"{stem.name}{WORK_SUFFIX}")
        work = WorkDir(folder, is_lasting=False)
        try:
            yield work
        except FailedPartsError as error:
            # Some parts may have taken hours; the command that the run prints resumes them.
            if _keep(work, lasting):
                error.work_dir = str(lasting)
            raise
        if keep and _keep(work, lasting):
            logger.info("the work is kept in %s", lasting)


def _keep(work: WorkDir, lasting: Path) -> bool:
    """Rename a temporary work dir to a lasting name, if it has finished parts that the disk can keep."""
    work.remove_unfinished()
    if not work.has_parts():
        return False
    try:
        sync_all(work.path)
        os.rename(work.path, lasting)
    except OSError as error:
        logger.warning("the finished parts could not be kept in %s: %s", lasting, error.strerror or error)
        return False
    return True


@contextmanager
def _stem(output: Location) -> Iterator[Path]:
    """Yield the path beside which temporary work dirs lie; a temporary one for an output in the cloud."""
    if isinstance(output, Path):
        yield output
        return
    folder = Path(tempfile.mkdtemp(prefix="pct-flow-"))

    def remove() -> None:
        with suppress(OSError):
            folder.rmdir()

    with cleanup(remove):
        try:
            yield folder / output.name
        finally:
            remove()
