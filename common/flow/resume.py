"""Parts and outputs that an earlier run finished, recognised by their source files, tools and options."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from pycytominer_transform.common.errors import PctError
from pycytominer_transform.common.ipc.manifest_files import read_manifest_beside
from pycytominer_transform.common.ipc.stream_reader import is_whole_file
from pycytominer_transform.common.model.manifest import Manifest, Step, part_name
from pycytominer_transform.common.model.provenance import added_counts, steps_from_json
from pycytominer_transform.common.storage.location import LocalLocation, Location
from pycytominer_transform.common.write.outputs import Description, output_kind


@dataclass(frozen=True)
class Finished:
    """The counts and figures of a part or an output that an earlier run finished.

    Attributes
    ----------
    counts : dict
        The counts of its joins.
    left_out : dict
        By bad dataset, the number of parts without it.
    rows, columns, bytes : int
        Of the Parquet files; 0 for profiles.
    """

    counts: dict[str, Any]
    left_out: dict[str, int]
    rows: int = 0
    columns: int = 0
    bytes: int = 0


def fingerprint(manifest: Manifest, steps: Sequence[Step]) -> str:
    """Return the digest of all that decides a part's content: source files with fingerprints, tools, options."""
    made_of = (replace(manifest, provenance=()), _tools(steps))
    return hashlib.sha256(repr(made_of).encode()).hexdigest()


def finished_profiles(folder: Path, manifest: Manifest, steps: Sequence[Step]) -> Finished | None:
    """Return the counts of a part that an earlier run finished from the same files with the same options, else None.

    Parameters
    ----------
    folder : Path
        The folder of the part's profiles.
    manifest : Manifest
        Must equal the manifest beside the profiles: the same files, fingerprints and columns.
    steps : sequence of Step
        The tools, versions and options that must have made them.
    """
    with suppress(PctError):
        before = read_manifest_beside(LocalLocation(folder))
        is_same = _tools(before.provenance) == _tools(steps)
        is_same = is_same and replace(before, provenance=()) == replace(manifest, provenance=())
        files = [LocalLocation(folder / f"{part_name(part)}.arrow") for part in manifest.parts]
        # All of it is read: a disk may have lost or changed some since.
        if is_same and all(is_whole_file(file, "profiles") for file in files):
            return Finished(before.provenance[-1].counts, _left_out(before.provenance))
    return None


def finished_part(file: Location, digest: str) -> Finished | None:
    """Return the counts and figures of a part's Parquet file with this fingerprint, else None."""
    from pycytominer_transform.common.write.parquet import FINGERPRINT_KEY, described

    return _finished(file, described(file, lambda metadata: metadata.get(FINGERPRINT_KEY.encode()) == digest.encode()))


def finished_file(file: Location, parts: Sequence[Finished], steps: Sequence[Step]) -> Finished | None:
    """Return the counts and figures of the output that holds all of these parts, else None.

    Parameters
    ----------
    file : Location
        The output.
    parts : sequence of Finished
        The finished profiles that it must have been made of.
    steps : sequence of Step
        The tools, versions and options that must have made it.
    """
    finished = _finished(file, output_kind(file).description(file), steps)
    counts = reduce(added_counts, (part.counts for part in parts))
    return finished if finished and finished.counts == counts else None


def _finished(file: Location, description: Description | None, steps: Sequence[Step] = ()) -> Finished | None:
    """Return the counts and figures of an output, if it is there and made by these steps, or any if none are given."""
    with suppress(IndexError, PctError):
        made_by = steps_from_json(description.provenance) if description else ()
        if description and (not steps or _tools(made_by) == _tools(steps)):
            # The last step is the writing, the one before it the join.
            return Finished(
                made_by[-2].counts, _left_out(made_by), description.rows, description.columns, sum(file.sizes())
            )
    return None


def _left_out(steps: Sequence[Step]) -> dict[str, int]:
    return reduce(added_counts, (step.counts.get("datasets_left_out", {}) for step in steps), {})


def _tools(steps: Sequence[Step]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(step.tool, step.version, step.options) for step in steps]
