"""Whether an output that is there was written by a run of the same work that was killed before its end.

Before the output gets its name the work dir gets a note of what it is: made of which manifest, by which steps, with
which counts. An output that came to exist after that, and says the same of itself, is the one that the note speaks of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pycytominer_transform.common.cloud_place import CloudPlace
from pycytominer_transform.common.destination import complete_file
from pycytominer_transform.common.errors import DestinationExistsError, PctError
from pycytominer_transform.common.manifest import Step
from pycytominer_transform.common.outputs import check_destination
from pycytominer_transform.common.place import Place, entry_names
from pycytominer_transform.common.provenance import steps_from_json

NOTE_FILE = "writing.json"


@dataclass(frozen=True)
class Writing:
    """What is about to be written.

    Attributes
    ----------
    made_of : str
        Digest of the manifest.
    steps : list
        Tool, version and options of all that made it, the last of them the writing.
    counts : dict
        What the joins counted.
    """

    made_of: str
    steps: list[Any]
    counts: dict[str, Any]

    @classmethod
    def of(cls, manifest: Path, steps: Sequence[Step], counts: dict[str, Any]) -> Writing:
        """Describe it, in the form that JSON gives back."""
        digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
        written: Any = json.loads(json.dumps([_plain(steps), counts]))
        return cls(digest, *written)


@dataclass(frozen=True)
class Written:
    """What a run wrote that was killed before its end."""

    counts: dict[str, Any]
    files: int
    rows: int
    columns: int
    bytes: int


def note_writing(work: Path, writing: Writing) -> None:
    """Note it in the work dir."""
    with complete_file(work / NOTE_FILE, overwrite=True) as file:
        file.write(json.dumps(asdict(writing)).encode())


def forget_writing(work: Path) -> None:
    """Remove the note: from here on the work dir leads to another output."""
    (work / NOTE_FILE).unlink(missing_ok=True)


def is_noted(work: Path) -> bool:
    """Say whether something was about to be written."""
    return (work / NOTE_FILE).is_file()


def written_before(work: Path, output: Place, wanted: Writing, *, is_folder: bool) -> Written | None:
    """Give what there is under the output's name, where it is what was to be written; None where there is nothing.

    Parameters
    ----------
    work : Path
        The work dir, in which no part was made since the note.
    output : Place
        A file, or a folder of this machine; one in a cloud store is not there as a whole at once.
    wanted : Writing
        What is to be written now; its counts do not matter.
    is_folder : bool
        Whether that is a folder.

    Raises
    ------
    DestinationExistsError
        There is something else.
    """
    try:
        check_destination(output, overwrite=False, is_folder=is_folder)
    except DestinationExistsError:
        found = _as_noted(_noted(work), output, wanted)
        if found is None:
            raise
        return found
    return None


def _as_noted(noted: Writing | None, output: Place, wanted: Writing) -> Written | None:
    if noted is None or (noted.made_of, noted.steps) != (wanted.made_of, wanted.steps):
        return None
    if output.is_dir() and isinstance(output, CloudPlace):
        return None
    files = [output / name for name in entry_names(output)] if output.is_dir() else [output]
    found = [_read(file) for file in files]
    if not found or any(steps is None or not _is_of(steps, noted) for steps, _, _ in found):
        return None
    size = sum(file.stat().st_size for file in files)
    return Written(noted.counts, len(files), sum(rows for _, rows, _ in found), found[0][2], size)


def _is_of(steps: Sequence[Step], noted: Writing) -> bool:
    # The last step is the writing, the one before it the join.
    return _plain(steps) == noted.steps and steps[-2].counts == noted.counts


def _plain(steps: Sequence[Step]) -> list[Any]:
    return [[step.tool, step.version, step.options] for step in steps]


def _noted(work: Path) -> Writing | None:
    with suppress(OSError, ValueError, TypeError):
        return Writing(**json.loads((work / NOTE_FILE).read_bytes()))
    return None


def _read(file: Place) -> tuple[tuple[Step, ...] | None, int, int]:
    """Give the steps that made a Parquet file, None where it is none of ours, its rows and its columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pycytominer_transform.common.parquet import PROVENANCE_KEY

    with suppress(pa.ArrowException, OSError, PctError), file.open("rb") as opened:
        footer = pq.read_metadata(opened)
        steps = (footer.metadata or {}).get(PROVENANCE_KEY.encode())
        if steps:
            return steps_from_json(steps.decode()), footer.num_rows, footer.num_columns
    return None, 0, 0
