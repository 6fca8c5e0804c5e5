"""How a source is laid out: its datasets, their parts, and a sample of each table; the same for every kind of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from pycytominer_transform.common.errors import BadDatasetError, DataError, StorageError, TransientStorageError
from pycytominer_transform.common.model.discovery_options import DiscoverOptions
from pycytominer_transform.common.model.manifest import PathValues, TableSchema
from pycytominer_transform.common.model.naming import listed, singular
from pycytominer_transform.common.model.options import did_you_mean
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.runtime.messages import logger


@dataclass(frozen=True, kw_only=True)
class DatasetTable:
    """One readable table of one dataset; see `manifest.Source` for what the columns mean."""

    dataset: str
    table: str
    path: str
    bytes: int
    fingerprint: str
    sqlite_table: str = ""
    row_ranges: tuple[tuple[int, int], ...] = ()
    rows: int = -1


class Sample(Protocol):
    """The columns of one table over all its files, from which its schema is decided."""

    def schema(self, prefix: str, preset: Preset, compartments: Sequence[str], *, only_common: bool) -> TableSchema:
        """Decide the table's final column names and types; `only_common` leaves out what some files lack."""

    def partial_columns(self) -> dict[str, int]:
        """Count the files that have a column, for those that only some of the files have."""
        ...

    def union_warning(self) -> str | None:
        """Return a warning of the columns that will be null for some files; None if all files have the same."""

    def complete_columns(self) -> set[str]:
        """Return the columns that have a value in every row of the sample."""


@dataclass
class SourceLayout:
    """The datasets of a source, cut into parts.

    Attributes
    ----------
    parts : list of list of DatasetTable
        The tables of each part.
    samples : dict
        By table, the sample of its columns; the image table first, then the compartments.
    skipped : list of str
        For each dataset that was skipped, why.
    datasets : list of str
        The names of the others.
    has_folders_of_several_image_sets : bool
        So that a folder's name names no site.
    image_sets : dict
        By dataset, the plate, well and site of each image set as the files say them, by column; without the datasets
        whose image tables are so large that they were not read whole.
    experiment : dict
        What CellProfiler says of its run, by key, in the first dataset that has it.
    metadata : dict
        By dataset, what the heads of its files say of all of it, such as the plate.
    prefix_of : callable
        Returns the beginning of a table's final column names; empty where they keep the names they have.
    """

    parts: list[list[DatasetTable]] = field(default_factory=list)
    samples: dict[str, Sample] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    prefix_of: Callable[[str], str] = lambda _: ""
    has_folders_of_several_image_sets: bool = False
    image_sets: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    experiment: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, PathValues] = field(default_factory=dict)
    _filled: int = 0
    _notes: set[str] = field(default_factory=set)

    def add(self, dataset: str, tables: Sequence[DatasetTable], size: int, part_size: int) -> None:
        """Add a whole dataset to the last part, or to a new one where that has `part_size` bytes already."""
        if not self.parts or self._filled >= part_size:
            self.parts.append([])
            self._filled = 0
        self.parts[-1].extend(tables)
        self.datasets.append(dataset)
        self._filled += size

    def add_parts(self, dataset: str, parts: Sequence[list[DatasetTable]], part_size: int) -> None:
        """Add a dataset that was cut into parts of its own; the next dataset begins another part."""
        self.parts.extend(parts)
        self.datasets.append(dataset)
        self._filled = part_size

    def report_notes(self, notes: Iterable[str]) -> None:
        """Log notes on a dataset, each as often as they differ: many datasets have the same."""
        for note in notes:
            if note not in self._notes:
                self._notes.add(note)
                logger.info("%s", note)

    @contextmanager
    def dataset(self, options: DiscoverOptions, datasets: int) -> Iterator[None]:
        """Skip and note a dataset whose reading fails in this context, or let the error end the run."""
        try:
            yield
        except TransientStorageError:
            raise  # The next dataset would fail alike.
        except (DataError, StorageError) as error:
            if options.on_bad_dataset == "skip":
                logger.warning("skipped: %s", error)
                self.skipped.append(str(error))
            elif datasets > 1 and isinstance(error, BadDatasetError):
                raise BadDatasetError(f"{error}; --on-bad-dataset skip goes on without it") from error
            else:
                raise


def default_compartments(preset: Preset) -> list[str]:
    """List the names that a preset's compartments may have: some pipelines name them in the singular."""
    return list(dict.fromkeys((*preset.compartments, *map(singular, preset.compartments))))


def choose_tables(preset: Preset, options: DiscoverOptions, tables: Sequence[set[str]]) -> list[str]:
    """List the tables that any dataset has, which all must have then; the image table first.

    Raises
    ------
    DataError
        A compartment that was asked for is nowhere, or there is none at all.
    """
    present = set().union(*tables)
    if absent := [name for name in options.compartments if name not in present]:
        near = did_you_mean(absent[0], [*preset.compartments, *sorted(present)])
        raise DataError(
            f"no dataset has a table {listed(absent)}; --compartments names tables as the source does{near}"
        )
    asked = options.compartments or [
        singular(name) if singular(name) in present and name not in present else name for name in preset.compartments
    ]
    compartments = [name for name in asked if name in present]
    if not compartments:
        raise DataError(f"no dataset has a table {listed(preset.compartments)}")
    for name in (preset.image, *asked):
        if name and name not in present and (name == preset.image or not options.compartments):
            logger.warning("no dataset has a table %s; the profiles will be without its columns", name)
    return [*([preset.image] if preset.image in present else []), *compartments]
