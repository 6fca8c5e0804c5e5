"""Profiles: the joined tables of the parts, as `pct-join` gives them and `pct-write` takes them.

At rest a folder ``PART.arrow`` with the manifest beside; in a pipe one Arrow stream, each batch with the number of its
part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from pycytominer_transform.common.arrow_streams import OpenStream, StreamWriter, read_streams, stream_of
from pycytominer_transform.common.errors import DataError, SourceNotFoundError
from pycytominer_transform.common.kept_profiles import KEPT_PROFILES, KeptProfiles
from pycytominer_transform.common.made_parts import GivenPart, MadeParts
from pycytominer_transform.common.manifest import Manifest, Step, part_name
from pycytominer_transform.common.manifest_files import MANIFEST_FILE, write_manifest_beside
from pycytominer_transform.common.place import Place, named_place
from pycytominer_transform.common.profiles_shares import Shares
from pycytominer_transform.common.provenance import History, steps_from_json, steps_to_json
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
        write_manifest_beside(self._manifest.with_steps(*steps), self._folder)


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
    """

    schema: pa.Schema
    preset: str
    _sources: Iterator[OpenStream]
    _before: History
    _within: History = field(default_factory=History)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The provenance; complete once the batches have been read."""
        return (*self._before.steps, *self._within.steps)

    def batches(self) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Give the batches, each with the number of its part; 1 where the stream does not say.

        Raises
        ------
        DataError
            The streams or files have different columns.
        StageEndedEarlyError
            A part that was still to be made is not.
        """
        for stream in self._sources:
            if not stream.schema.equals(self.schema):
                raise DataError(f"{stream.where}: has other columns or types than the first of the files")
            for batch, part in stream.batches():
                yield batch, part or 1
            self._within.add(steps_from_json((stream.closing or {}).get("steps", [])))


def open_profiles(
    paths: Sequence[str] | MadeParts, stack: ExitStack, storage: StorageOptions | None = None
) -> ProfilesReader:
    """Open profiles at places, folders or files, or on standard input (``-``).

    Several folders are those that the jobs of an array made of the shares of one source; their parts come in order. Of
    parts that are still being made each is waited for.

    Raises
    ------
    SourceNotFoundError
        A folder holds no Arrow file, or a part is missing among several folders.
    DataError
        It is Arrow, but something else than profiles.
    """
    shares = Shares()
    if isinstance(paths, MadeParts):
        streams = _streams_as_made(paths, shares)
    elif len(paths) == 1 and (paths[0] == STANDARD or not named_place(paths[0], storage).is_dir()):
        where = "standard input" if paths[0] == STANDARD else paths[0]
        streams = read_streams(stack.enter_context(open_input(paths[0], "profiles", storage)), where)
    else:
        files = [file for path in paths for file in shares.files_in(named_place(path, storage))]
        if not files:
            raise SourceNotFoundError(f"{paths[0]}: there are no Arrow files in it")
        shares.check()
        streams = _streams_of(sorted(files, key=lambda file: (file.name, str(file))))
    first = next(streams)
    if first.role not in ("profiles", ""):
        raise DataError(f"{first.where} is a {first.role} of this suite, not profiles; pct-join makes them")
    if not shares.history.steps:
        shares.history.add(steps_from_json(first.text("pct.provenance")))
    return ProfilesReader(first.schema, first.text("pct.preset"), chain([first], streams), shares.history)


def _streams_of(files: Sequence[Place]) -> Iterator[OpenStream]:
    for done, file in enumerate(files, start=1):
        yield from _streams_in(file)
        progress("writing parts", done, len(files))


def _streams_as_made(parts: MadeParts, shares: Shares) -> Iterator[OpenStream]:
    for done, path in enumerate(parts, start=1):
        kept = KEPT_PROFILES.take(str(path))
        streams = _streams_in_folder(path, shares) if kept is None else _kept_streams(path, kept, shares)
        rows = 0
        for stream in streams:
            yield stream
            rows += (stream.closing or {}).get("rows", 0)
        parts.given.append(GivenPart(path, rows, has_file=kept is None))
        progress("writing parts", done, len(parts))
    shares.check()


def _streams_in_folder(path: Place, shares: Shares) -> Iterator[OpenStream]:
    for file in shares.files_in(path):
        yield from _streams_in(file)


def _kept_streams(path: Place, kept: KeptProfiles, shares: Shares) -> Iterator[OpenStream]:
    shares.add(path, kept.manifest)
    schema = described_schema(kept.schema, kept.manifest, kept.manifest.provenance)
    batches = ((batch, part) for part, table in kept.parts() for batch in table.to_batches(max_chunksize=BATCH_ROWS))
    yield stream_of(batches, schema, str(path))


def _streams_in(file: Place) -> Iterator[OpenStream]:
    with reading(file), file.open("rb") as opened:
        yield from read_streams(opened, str(file))
