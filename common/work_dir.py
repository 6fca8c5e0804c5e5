"""Where a flow's parts lie between the stages, and which of them an earlier run has finished."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pycytominer_transform.common.arrow_streams import is_complete_file
from pycytominer_transform.common.destination import LocalFolder, storage_errors, sync, sync_all, temporary_folder
from pycytominer_transform.common.ending import removed_last
from pycytominer_transform.common.errors import FailedPartsError, PctError
from pycytominer_transform.common.folder_lock import locked_folder
from pycytominer_transform.common.manifest import Manifest, Step, part_name
from pycytominer_transform.common.manifest_files import MANIFEST_FILE, read_manifest_beside, write_manifest_beside
from pycytominer_transform.common.place import Place
from pycytominer_transform.common.reporting import count, logger
from pycytominer_transform.common.temporary_names import (
    TEMPORARY_SUFFIX,
    called_at_end,
    discard,
    remove_dead,
    remove_leftovers,
)
from pycytominer_transform.common.written import is_noted

_PROFILES = "profiles"
_FOLDERS = ("manifests", "bundles", _PROFILES)
_SUFFIX = ".pct-work"


@dataclass(frozen=True)
class WorkDir:
    """A folder with the manifest of a source, and for each part its own manifest, its bundle and its profiles.

    Attributes
    ----------
    outdated : set of int
        Parts found there that were made from other files or by other options, and so are made again.
    """

    path: Path
    outdated: set[int] = field(default_factory=set)

    @property
    def manifest(self) -> Path:
        """The manifest of the whole source."""
        return self.path / MANIFEST_FILE

    def prepare(self, parts: Iterable[int] = ()) -> None:
        """Make the folders for the parts, and remove those that an earlier run cut otherwise."""
        with storage_errors(self.path):
            for name in _FOLDERS:
                (self.path / name).mkdir(exist_ok=True)
            sync(self.path)
        wanted = {part_name(part) for part in parts}
        for name in sorted(set(os.listdir(self.path / _PROFILES)) - wanted):
            discard(self.path / _PROFILES / name)

    def empty(self) -> None:
        """Remove the parts, and all that leads to them."""
        for name in _FOLDERS:
            discard(self.path / name)

    def report_outdated(self) -> None:
        """Say how many parts are made again because what they are made from or how has changed."""
        if number := len(self.outdated):
            were, are = ("was", "it is") if number == 1 else ("were", "they are")
            told = "%s %s made from other files or by other options before; %s made again"
            logger.info(told, count(number, "part"), were, are)

    def remove_interrupted(self) -> None:
        """Remove what processes that were killed had begun here; they hold no lock on it any more."""
        for folder in (self.path, *(self.path / name for name in _FOLDERS)):
            with suppress(FileNotFoundError):
                for path in [entry.path for entry in os.scandir(folder) if entry.name.endswith(TEMPORARY_SUFFIX)]:
                    remove_dead(Path(path))

    def manifest_of(self, manifest: Manifest, part: int) -> Path:
        """Write the manifest of one part, so that reading it costs the same however many parts there are."""
        folder = self.path / "manifests" / part_name(part)
        with storage_errors(folder):
            folder.mkdir(exist_ok=True)
            write_manifest_beside(manifest.only_parts([part]), LocalFolder(folder))
        return folder

    def bundle_of(self, part: int) -> Path:
        """Give the place of one part's bundle."""
        return self.path / "bundles" / part_name(part)

    def profiles_of(self, part: int) -> Path:
        """Give the place of one part's profiles."""
        return self.path / _PROFILES / part_name(part)

    def has_profiles(self, part: int) -> bool:
        """Say whether a part's profiles are there, whatever they were made of."""
        return (self.profiles_of(part) / MANIFEST_FILE).is_file()

    def finished_counts(self, part: int, wanted: Manifest, steps: Sequence[Step]) -> dict[str, Any] | None:
        """Give the counts of a part that an earlier run finished.

        Parameters
        ----------
        part : int
            Its number.
        wanted : Manifest
            What the manifest beside its profiles must say: the same files with the same fingerprints, the same columns.
        steps : sequence of Step
            The tools, versions and options that must have made it.

        Returns
        -------
        dict or None
            What its join counted; None where it is to be made, again or for the first time.
        """
        place = self.profiles_of(part)
        if not self.has_profiles(part):
            return None
        try:
            before = read_manifest_beside(place)
        except PctError:
            return None
        made_by = [(step.tool, step.version, step.options) for step in before.provenance]
        same_steps = made_by == [(step.tool, step.version, step.options) for step in steps]
        if not same_steps or replace(before, provenance=()) != replace(wanted, provenance=()):
            logger.debug("part %d was made from other files or by other options before", part)
            self.outdated.add(part)
            return None
        if not is_complete_file(place / f"{part_name(part)}.arrow"):
            logger.debug("part %d is not complete in %s", part, place)
            return None
        return before.provenance[-1].counts


@contextmanager
def work_stem(output: Place) -> Iterator[Path]:
    """Give the path that work dirs are named after and lie beside: the output's, or a temporary one for the cloud.

    What lies beside a temporary one stays, if anything does when the block ends.
    """
    if isinstance(output, Path):
        yield output
        return
    folder = Path(tempfile.mkdtemp(prefix="pct-flow-"))

    def remove() -> None:
        with suppress(OSError):
            folder.rmdir()

    with called_at_end(remove):
        try:
            yield folder / output.name
        finally:
            remove()


@contextmanager
def open_work_dir(path: str, *, output: Path, keep: bool) -> Iterator[WorkDir]:
    """Open the user's work dir, or without one a folder beside the output that goes when the block ends.

    Parameters
    ----------
    path : str
        The user's; what is finished stays in it when the block fails. Empty for none.
    output : Path
        What the work leads to.
    keep : bool
        Leave everything there although all went well.

    Raises
    ------
    WorkDirInUseError
        Another process works in the user's.
    """
    if not path:
        with _own_folder(output, keep=keep) as folder:
            yield WorkDir(folder)
        return
    work = WorkDir(_path_in(path, output.name))
    remove_leftovers(work.path)
    with ExitStack() as stack:
        stack.enter_context(locked_folder(work.path))
        work.remove_interrupted()
        try:
            yield work
        except BaseException:
            work.remove_interrupted()
            raise
        if keep:
            # A Dask worker that was lost may have left something, though its parts are made.
            work.remove_interrupted()
            return
        # Who is killed now has an output, but has not said so: the note in the work dir goes last of all.
        work.empty()
        removed_last(work.path, stack.pop_all())


def leads_to_output(path: str, output: Place) -> bool:
    """Say whether the user's work dir is one that a run has left when it wrote that output."""
    return bool(path) and is_noted(_path_in(path, output.name))


def _path_in(path: str, name: str) -> Path:
    # A folder of our own inside: the user's may hold anything, a manifest.arrow or profiles/ among it.
    return Path(os.path.abspath(path)) / f"{name}{_SUFFIX}"


@contextmanager
def _own_folder(output: Path, *, keep: bool) -> Iterator[Path]:
    lasting = output.absolute().with_name(f"{output.name}{_SUFFIX}")
    with temporary_folder(output, keep=keep) as folder:
        try:
            yield folder
        except FailedPartsError:
            # Some parts may have taken hours; the next run finds them by --work-dir.
            WorkDir(folder).remove_interrupted()
            _keep_parts(folder, lasting)
            raise
        if keep:
            WorkDir(folder).remove_interrupted()
            _keep_parts(folder, lasting)
            logger.info("the work is kept in %s", lasting)


def _keep_parts(folder: Path, lasting: Path) -> None:
    """Give a work dir its lasting name; where an earlier one has it, add the finished parts to that."""
    profiles = folder / _PROFILES
    if not profiles.is_dir() or not any(profiles.iterdir()):
        return
    # Nobody waited for the disk when they were written: who was killed then would have lost them anyhow.
    sync_all(profiles)
    try:
        os.rename(folder, lasting)
    except OSError:
        with locked_folder(lasting):
            (lasting / _PROFILES).mkdir(exist_ok=True)
            for part in profiles.iterdir():
                discard(lasting / _PROFILES / part.name)
                os.rename(part, lasting / _PROFILES / part.name)
        discard(folder)
