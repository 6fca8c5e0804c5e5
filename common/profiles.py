"""Profiles: the joined tables of the parts, as `pct-join` gives them and `pct-write` takes them.

At rest a folder ``PART.arrow`` with the manifest beside; in a pipe one Arrow stream, each batch with the number of its
part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, BinaryIO

from pycytominer_transform.common.arrow_streams import OpenStream, StreamWriter, read_streams
from pycytominer_transform.common.errors import DataError, SourceNotFoundError, StageEndedEarlyError
from pycytominer_transform.common.manifest import Manifest, Step, part_name
from pycytominer_transform.common.manifest_files import MANIFEST_FILE, read_manifest_beside, write_manifest_beside
from pycytominer_transform.common.place import Place, entry_names, named_place
from pycytominer_transform.common.provenance import merged_steps, steps_from_json, steps_to_json
from pycytominer_transform.common.reporting import progress
from pycytominer_transform.common.standard_io import STANDARD, open_input, reading
from pycytominer_transform.common.storage_options import StorageOptions

if TYPE_CHECKING:
    import pyarrow as pa
    from pycytominer_transform.common.destination import OutputFolder

BATCH_ROWS = 16_384


def described_schema(schema: pa.Schema, manifest: Manifest, steps: Sequence[Step]) -> pa.Schema:
    """Add to a schema of profiles what they are and where they come from."""
    return schema.with_metadata(
        {"pct.role": "profiles", "pct.preset": manifest.preset.name, "pct.provenance": steps_to_json(steps)}
    )


class ProfilesFolderWriter:
    """Writes profiles into a folder, a file per part."""

    def __init__(self, folder: OutputFolder, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest

    def write(self, part: int, profiles: pa.Table) -> None:
        """Write one part's profiles."""
        schema = described_schema(profiles.schema, self._manifest, self._manifest.provenance)
        with self._folder.open(f"{part_name(part)}.arrow") as sink:
            writer = StreamWriter(sink, schema, as_file=True)
            writer.write(profiles, part=part, batch_rows=BATCH_ROWS)
            writer.close()

    def close(self, steps: Sequence[Step]) -> None:
        """Write the manifest beside the parts, with the steps that made them."""
        manifest = self._manifest
        for step in steps:
            manifest = manifest.with_step(step)
        write_manifest_beside(manifest, self._folder)


class ProfilesStreamWriter:
    """Writes profiles into a pipe."""

    def __init__(self, sink: BinaryIO, manifest: Manifest, schema: pa.Schema) -> None:
        self._sink = sink
        described = described_schema(schema, manifest, manifest.provenance)
        self._writer = StreamWriter(sink, described, as_file=False)

    def write(self, part: int, profiles: pa.Table) -> None:
        """Write one part's profiles and pass them on at once."""
        self._writer.write(profiles, part=part, batch_rows=BATCH_ROWS)
        self._sink.flush()

    def close(self, steps: Sequence[Step]) -> None:
        """Write the closing record with the steps that made the profiles."""
        self._writer.close(steps=[asdict(step) for step in steps])


def is_profiles_entry(name: str) -> bool:
    """Say whether an entry of a folder of profiles is one that was written here."""
    return name == MANIFEST_FILE or (name.startswith("part-") and name.endswith(".arrow") and "/" not in name)


@dataclass
class ProfilesReader:
    """Reads profiles, or any Arrow stream, batch by batch.

    Attributes
    ----------
    schema : pyarrow.Schema
        Of all batches, without the suite's metadata.
    steps : tuple of Step
        The provenance; complete once the batches have been read.
    """

    schema: pa.Schema
    preset: str
    steps: tuple[Step, ...]
    _sources: Iterator[OpenStream]

    def batches(self) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Give the batches, each with the number of its part; 1 where the stream does not say.

        Raises
        ------
        DataError
            The streams or files have different columns.
        """
        histories = [self.steps]
        for stream in self._sources:
            if not stream.schema.equals(self.schema):
                raise DataError(f"{stream.where}: has other columns or types than the first of the files")
            for batch, part in stream.batches():
                yield batch, part or 1
            histories.append(steps_from_json((stream.closing or {}).get("steps", [])))
        self.steps = (*self.steps, *merged_steps(histories[1:]))


def open_profiles(paths: Sequence[str], stack: ExitStack, storage: StorageOptions | None = None) -> ProfilesReader:
    """Open profiles at places, folders or files, or on standard input (``-``).

    Several folders are those that the jobs of an array made of the shares of one source; their parts come in order.

    Raises
    ------
    SourceNotFoundError
        A folder holds no Arrow file, or a part is missing among several folders.
    DataError
        It is Arrow, but something else than profiles.
    """
    if len(paths) == 1 and (paths[0] == STANDARD or not named_place(paths[0], storage).is_dir()):
        where = "standard input" if paths[0] == STANDARD else paths[0]
        streams = read_streams(stack.enter_context(open_input(paths[0], "profiles", storage)), where)
        history: tuple[Step, ...] = ()
    else:
        files, history = _files_in([named_place(path, storage) for path in paths])
        streams = _streams_of(files, stack)
    first = next(streams)
    if first.role not in ("profiles", ""):
        raise DataError(f"{first.where} is a {first.role} of this suite, not profiles; pct-join makes them")
    steps = history or steps_from_json(first.text("pct.provenance"))
    return ProfilesReader(first.schema, first.text("pct.preset"), steps, _chained(first, streams))


def _chained(first: OpenStream, rest: Iterator[OpenStream]) -> Iterator[OpenStream]:
    yield first
    yield from rest


def _streams_of(files: Sequence[Place], stack: ExitStack) -> Iterator[OpenStream]:
    for done, path in enumerate(files, start=1):
        with reading(path), path.open("rb") as file:
            yield from read_streams(file, str(path))
        progress("writing parts", done, len(files))


def _files_in(paths: Sequence[Place]) -> tuple[list[Place], tuple[Step, ...]]:
    found: list[Place] = []
    shares: list[_Share] = []
    for path in paths:
        if not path.is_dir():
            raise SourceNotFoundError(f"{path}: no such folder")
        names = entry_names(path)
        files = [name for name in names if name.endswith(".arrow") and "/" not in name]
        if MANIFEST_FILE in files:
            files.remove(MANIFEST_FILE)
            manifest = read_manifest_beside(path)
            shares.append(_Share(path, tuple(manifest.parts), manifest.parts_total, manifest.provenance))
            folders = {name.partition("/")[0] for name in names if "/" in name}
            if any(part_name(part) in folders for part in manifest.parts):
                raise DataError(f"{path} is a bundle, not profiles; pct-join makes them of it")
            expected = [f"{part_name(part)}.arrow" for part in manifest.parts]
            if missing := [name for name in expected if name not in set(files)]:
                raise StageEndedEarlyError(f"{path}: {missing[0]} is missing; the stage before this one ended early")
        found += [path / name for name in files]
    if not found:
        raise SourceNotFoundError(f"{paths[0]}: there are no Arrow files in it")
    if len(paths) > 1:
        _check_shares(shares)
    history = merged_steps([share.provenance for share in shares])
    return sorted(found, key=lambda file: (file.name, str(file))), history


@dataclass(frozen=True)
class _Share:
    """What is needed of one folder's manifest; of ten thousand the whole would take 400 MB."""

    path: Place
    parts: tuple[int, ...]
    parts_total: int
    provenance: tuple[Step, ...]


def _check_shares(shares: Sequence[_Share]) -> None:
    """Refuse folders that are not the shares of one source, each once: cells would be doubled or missing."""
    place_of: dict[int, Place] = {}
    wanted: set[int] = set()
    described = set()
    for share in shares:
        for part in share.parts:
            if part in place_of:
                raise DataError(
                    f"part {part} is in {place_of[part]} and in {share.path}; several folders must be shares of one "
                    "source"
                )
            place_of[part] = share.path
        index, number = next((step.options.get("shard") for step in share.provenance), None) or (1, 1)
        described.add((index, number))
        every = range(1, share.parts_total + 1)
        # Shares that pct-discover made are whole only together; those of pct-extract are shares of what it was given.
        wanted |= set(every[index - 1 :: number] if len(described) == 1 else every)
    if missing := sorted(wanted - set(place_of)):
        raise StageEndedEarlyError(
            f"{shares[0].path} and the other folders lack part {missing[0]} ({len(missing)} of {len(wanted)} parts are "
            "missing); give all shares of the source"
        )
