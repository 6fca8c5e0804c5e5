"""Where a flow's parts lie between the stages, and which of them an earlier run has finished."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pycytominer_transform.common.destination import temporary_folder
from pycytominer_transform.common.errors import FailedPartsError, PctError, describe_os_error
from pycytominer_transform.common.manifest import Manifest, Step, part_name
from pycytominer_transform.common.manifest_files import MANIFEST_FILE, read_manifest_beside, write_manifest_beside
from pycytominer_transform.common.reporting import logger

_FOLDERS = ("manifests", "bundles", "profiles")
_SUFFIX = ".pct-work"


@dataclass(frozen=True)
class WorkDir:
    """A folder with the manifest of a source, and for each part its own manifest, its bundle and its profiles."""

    path: Path

    @property
    def manifest(self) -> Path:
        """The manifest of the whole source."""
        return self.path / MANIFEST_FILE

    def prepare(self) -> None:
        """Make the folders for the parts."""
        for name in _FOLDERS:
            (self.path / name).mkdir(exist_ok=True)

    def manifest_of(self, manifest: Manifest, part: int) -> Path:
        """Write the manifest of one part, so that reading it costs the same however many parts there are."""
        folder = self.path / "manifests" / part_name(part)
        folder.mkdir(exist_ok=True)
        write_manifest_beside(manifest.only_parts([part]), folder)
        return folder

    def bundle_of(self, part: int) -> Path:
        """Give the place of one part's bundle."""
        return self.path / "bundles" / part_name(part)

    def profiles_of(self, part: int) -> Path:
        """Give the place of one part's profiles."""
        return self.path / "profiles" / part_name(part)

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
        if not (self.profiles_of(part) / MANIFEST_FILE).is_file():
            return None
        try:
            before = read_manifest_beside(self.profiles_of(part))
        except PctError:
            return None
        made_by = [(step.tool, step.version, step.options) for step in before.provenance]
        same_steps = made_by == [(step.tool, step.version, step.options) for step in steps]
        if not same_steps or replace(before, provenance=()) != replace(wanted, provenance=()):
            logger.info("part %d was made from other files or by other options before; it is made again", part)
            return None
        return before.provenance[-1].counts


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
    """
    lasting = output.absolute().with_name(f"{output.name}{_SUFFIX}")
    if not path:
        with temporary_folder(output, keep=keep) as folder:
            try:
                yield WorkDir(folder)
            except FailedPartsError:
                # Some parts may have taken hours; the next run finds them by --work-dir.
                if any((folder / "profiles").iterdir()) and not lasting.exists():
                    os.rename(folder, lasting)
                raise
            if keep and not lasting.exists():
                os.rename(folder, lasting)
                logger.info("the work is kept in %s", lasting)
        return
    # A folder of our own inside: the user's may hold anything, a manifest.arrow or profiles/ among it.
    work = WorkDir(Path(os.path.abspath(path)) / f"{output.name}{_SUFFIX}")
    try:
        work.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise describe_os_error(error, f"make the work dir {path}") from error
    yield work
    if not keep:
        shutil.rmtree(work.path, ignore_errors=True)
