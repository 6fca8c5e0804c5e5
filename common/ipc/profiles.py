"""Profiles: the joined tables of the parts, from `pct-join` to `pct-write`.

At rest a folder ``PART.arrow`` with the manifest beside. In a pipe one Arrow stream, each batch with the number of its
part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from pycytominer_transform.common.errors import DataError, SourceNotFoundError, StageEndedEarlyError
from pycytominer_transform.common.ipc.manifest_files import MANIFEST_FILE, read_manifest_beside, write_manifest_beside
from pycytominer_transform.common.ipc.next_stage import command_for
from pycytominer_transform.common.ipc.stream_reader import OpenStream, open_streams, read_streams, stream_of
from pycytominer_transform.common.ipc.stream_writer import StreamWriter, write_stream
from pycytominer_transform.common.model.manifest import Manifest, Step, part_name
from pycytominer_transform.common.model.naming import listed
from pycytominer_transform.common.model.provenance import History, steps_from_json, steps_to_json
from pycytominer_transform.common.runtime.messages import progress
from pycytominer_transform.common.storage.destination import OutputFolder, storage_errors
from pycytominer_transform.common.storage.location import Location, named_location
from pycytominer_transform.common.storage.options import StorageOptions
from pycytominer_transform.common.storage.standard_io import STANDARD, Sink

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 16_384
EXPERIMENT = "pct.experiment"
"""Key of what CellProfiler says of its run: a JSON object of texts."""


def _metadata(manifest: Manifest) -> dict[str, str]:
    """Return the metadata of the schema of profiles: their role, preset, provenance and CellProfiler's experiment."""
    provenance = steps_to_json(manifest.provenance)
    texts = {"pct.provenance": provenance, EXPERIMENT: manifest.experiment_json}
    return {"pct.role": "profiles", "pct.preset": manifest.preset.name, **texts}


@dataclass
class ProfilesFolderWriter:
    """Writes profiles into a folder, a file per part."""

    _folder: OutputFolder
    _manifest: Manifest

    def write(self, part: int, profiles: pa.Table) -> None:
        """Write one part's profiles."""
        described = profiles.replace_schema_metadata(_metadata(self._manifest))
        with self._folder.open(f"{part_name(part)}.arrow") as sink:
            write_stream(sink, described, as_file=True, part=part, batch_rows=BATCH_ROWS)

    def close(self, steps: Sequence[Step]) -> None:
        """Write the manifest beside the parts, with the steps that made them."""
        write_manifest_beside(self._manifest.with_steps(*steps), self._folder)


class ProfilesStreamWriter:
    """Writes profiles into a pipe."""

    def __init__(self, sink: BinaryIO, manifest: Manifest, schema: pa.Schema) -> None:
        self._sink = sink
        self._writer = StreamWriter(sink, schema.with_metadata(_metadata(manifest)), as_file=False)

    def write(self, part: int, profiles: pa.Table) -> None:
        """Write one part's profiles and pass them on at once."""
        self._writer.write(profiles, part=part, batch_rows=BATCH_ROWS)
        self._sink.flush()

    def close(self, steps: Sequence[Step]) -> None:
        """Write the closing record with the steps that made the profiles."""
        self._writer.close(steps=steps)


class MemoryProfiles:
    """Profiles in memory, written part by part as those at rest are.

    Not a dataclass, for Prefect looks into the fields of those.
    """

    def __init__(self, manifest: Manifest, schema: pa.Schema) -> None:
        self.manifest = manifest
        self.schema = schema
        self._parts: list[tuple[int, pa.Table]] = []

    def write(self, part: int, profiles: pa.Table) -> None:
        """Add one part's profiles."""
        self._parts.append((part, profiles))

    def close(self, steps: Sequence[Step]) -> None:
        """Add the steps that made the profiles to their provenance."""
        self.manifest = self.manifest.with_steps(*steps)

    def stream(self) -> OpenStream:
        """Return the profiles as a stream that is being read."""
        batches = ((batch, part) for part, table in self._parts for batch in table.to_batches(max_chunksize=BATCH_ROWS))
        return stream_of(batches, self.schema.with_metadata(_metadata(self.manifest)), "profiles in memory")

    def clear(self) -> None:
        """Forget the tables."""
        self._parts.clear()


def profiles_writer(
    sink: Sink, manifest: Manifest, schema: pa.Schema
) -> ProfilesFolderWriter | ProfilesStreamWriter | MemoryProfiles:
    """Return the writer of profiles that go to an output; see `standard_io.open_output`."""
    if sink is None:
        return MemoryProfiles(manifest, schema)
    if isinstance(sink, OutputFolder):
        return ProfilesFolderWriter(sink, manifest)
    return ProfilesStreamWriter(sink, manifest, schema)


class Joined(Protocol):
    """The part of the result of `join` that `write` reads."""

    @property
    def profiles(self) -> str | MemoryProfiles:
        """The profiles' place, or the profiles themselves."""
        ...


def is_profiles_entry(name: str) -> bool:
    """Return whether the suite wrote an entry of a folder of profiles."""
    return name == MANIFEST_FILE or (name.startswith("part-") and name.endswith(".arrow") and "/" not in name)


@dataclass
class ProfilesReader:
    """Reads profiles, or any Arrow stream, batch by batch.

    Attributes
    ----------
    schema : pyarrow.Schema
        Of all batches, without the suite's metadata.
    fingerprint : str
        Digest of the sources, tools and options that the profiles come from, for the Parquet file; or empty.
    experiment : str
        What CellProfiler says of its run, a JSON object of texts; or empty.
    """

    schema: pa.Schema
    preset: str
    _streams: Iterator[OpenStream]
    _history: History
    fingerprint: str = ""
    experiment: str = ""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The provenance; complete once the batches have been read."""
        return self._history.steps

    def batches(self) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield the batches, each with the number of its part; 1 where the stream does not say.

        Raises
        ------
        DataError
            The streams or files have different columns.
        """
        for stream in self._streams:
            if not stream.schema.equals(self.schema):
                raise DataError(f"{stream.where}: has other columns or types than the first of the files")
            for batch, part in stream.batches():
                yield batch, part or 1
            if stream.closing is not None:
                self._history.add(stream.closing.steps)


def open_profiles(
    profiles: str | Sequence[str] | Joined, stack: ExitStack, storage: StorageOptions | None = None
) -> ProfilesReader:
    """Open profiles at places, folders or files, on standard input (``-``), or in memory.

    Several folders are those that the jobs of an array made of the shares of one source; their parts come in order.

    Raises
    ------
    SourceNotFoundError
        There is no such folder, or no Arrow file in it.
    StageEndedEarlyError
        A part is missing.
    DataError
        It is Arrow, but not profiles; or several folders hold the same part.
    """
    history = History()
    places = profiles if isinstance(profiles, str | Sequence) else profiles.profiles
    if isinstance(places, MemoryProfiles):
        streams = iter([places.stream()])
    else:
        paths = [places] if isinstance(places, str) else places
        if len(paths) == 1 and (paths[0] == STANDARD or not named_location(paths[0], storage).is_dir()):
            streams = stack.enter_context(open_streams(paths[0], "profiles", storage))
        else:
            streams = _streams_of(_files_in([named_location(path, storage) for path in paths], history))
    first = next(streams)
    if first.role not in ("profiles", ""):
        where = first.where
        is_manifest = first.role == "manifest" and places in (where, [where])
        advice = f"the next stage: {command_for('manifest', where)}" if is_manifest else "pct-join makes them"
        raise DataError(f"{where} is a {first.role} of this suite, not profiles; {advice}")
    if not history.steps:
        history.add(steps_from_json(first.text("pct.provenance")))
    if repeated := [name for name, number in Counter(first.schema.names).items() if number > 1]:
        raise DataError(
            f"{first.where} has several columns named {listed(repeated)}; leave out all but one, or rename them"
        )
    preset, experiment = first.text("pct.preset"), first.text(EXPERIMENT)
    return ProfilesReader(first.schema, preset, chain([first], streams), history, experiment=experiment)


def _streams_of(files: Sequence[Location]) -> Iterator[OpenStream]:
    for done, file in enumerate(files, start=1):
        with storage_errors(file, "read"), file.open("rb") as opened:
            yield from read_streams(opened, str(file))
        progress("writing parts", done, len(files))


class _Share(NamedTuple):
    """The needed fields of one folder's manifest; ten thousand whole manifests would take 400 MB."""

    folder: Location
    parts: Sequence[int]
    parts_total: int
    shard: tuple[int, int]


def _files_in(folders: Sequence[Location], history: History) -> list[Location]:
    """Return the Arrow files of folders, by their names, and add what made them to a history."""
    files: list[Location] = []
    shares: list[_Share] = []
    for folder in folders:
        if not folder.is_dir():
            raise SourceNotFoundError(f"{folder}: no such folder")
        names = folder.entry_names()
        if MANIFEST_FILE in names:
            manifest = read_manifest_beside(folder)
            _check_names(folder, manifest, names)
            shares.append(_Share(folder, tuple(manifest.parts), manifest.parts_total, _shard_of(manifest)))
            history.add(manifest.provenance)
        files += [
            folder / name for name in names if name.endswith(".arrow") and "/" not in name and name != MANIFEST_FILE
        ]
    if not files:
        raise SourceNotFoundError(
            f"{folders[0]}: there are no Arrow files in it; if it holds measurements: "
            f"{command_for('source', folders[0])}"
        )
    if len(folders) > 1:
        _check_shares(shares)
    return sorted(files, key=lambda file: (file.name, str(file)))


def _shard_of(manifest: Manifest) -> tuple[int, int]:
    """Return the share of its source that `pct-discover` was told to take."""
    match next((step.options.get("shard") for step in manifest.provenance), None):
        case [int() as index, int() as number] if 1 <= index <= number:
            return index, number
    return 1, 1


def _check_names(folder: Location, manifest: Manifest, names: Sequence[str]) -> None:
    """Refuse a bundle, and a folder that lacks one of its parts."""
    folders = {name.partition("/")[0] for name in names if "/" in name}
    if any(part_name(part) in folders for part in manifest.parts):
        raise DataError(f"{folder} is a bundle, not profiles; the next stage: {command_for('bundle', folder)}")
    files = set(names)
    for name in (f"{part_name(part)}.arrow" for part in manifest.parts):
        if name not in files:
            raise StageEndedEarlyError(f"{folder}: {name} is missing; the stage before this one ended early")


def _check_shares(shares: Sequence[_Share]) -> None:
    """Refuse folders that are not the shares of one source, each once: cells would be doubled or missing."""
    folder_of: dict[int, Location] = {}
    for share in shares:
        for part in share.parts:
            if part in folder_of:
                raise DataError(
                    f"part {part} is in {folder_of[part]} and in {share.folder}; several folders must be shares of "
                    "one source"
                )
            folder_of[part] = share.folder
    # Shares that pct-discover made are whole only together; pct-extract's are shares of what it was given.
    is_one_shard = len({share.shard for share in shares}) == 1
    index, number = shares[0].shard if is_one_shard else (1, 1)
    # Not a set: a damaged manifest may say any number.
    expected = range(index, max(share.parts_total for share in shares) + 1, number)
    missing = len(expected) - sum(part in expected for part in folder_of)
    if missing:
        first = next(part for part in expected if part not in folder_of)
        raise StageEndedEarlyError(
            f"{shares[0].folder} and the other folders lack part {first} ({missing} of {len(expected)} parts are "
            "missing); give all shares of the source"
        )
