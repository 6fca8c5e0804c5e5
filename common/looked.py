"""What looking at the datasets of a source gives, whatever their format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pycytominer_transform.common.discover_options import DiscoverOptions
from pycytominer_transform.common.errors import BadDatasetError, DataError, PassingStorageError, StorageError
from pycytominer_transform.common.found import FoundSource, TableSample
from pycytominer_transform.common.naming import listed
from pycytominer_transform.common.npz_layout import NpzSample
from pycytominer_transform.common.preset import Preset
from pycytominer_transform.common.reporting import logger


@dataclass
class Looked:
    """What looking at all datasets gave.

    Attributes
    ----------
    parts : list of list of FoundSource
        The sources of each part.
    samples : dict
        By table, its columns and what a sample of their values shows.
    skipped : list of str
        For each dataset that was skipped, why.
    datasets : list of str
        The names of the others.
    prefix_of : callable
        Gives what the columns of a table begin with; nothing where they keep the names they have.
    """

    parts: list[list[FoundSource]] = field(default_factory=list)
    samples: dict[str, TableSample | NpzSample] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    prefix_of: Callable[[str], str] = lambda _: ""

    def sample(self, table: str) -> TableSample:
        """Give the sample of a table, an empty one where nothing of it has been seen."""
        found = self.samples.setdefault(table, TableSample(table))
        assert isinstance(found, TableSample)
        return found


def tables_there(preset: Preset, options: DiscoverOptions, held: Sequence[set[str]]) -> list[str]:
    """List the tables that any dataset has, which all must have then; the image table first.

    Raises
    ------
    DataError
        A compartment that was asked for is nowhere, or there is none at all.
    """
    there = set().union(*held)
    if absent := [name for name in options.compartments if name not in there]:
        raise DataError(f"no dataset has a table {listed(absent)}; --compartments names tables as the source does")
    compartments = [name for name in options.compartments or preset.compartments if name in there]
    if not compartments:
        raise DataError(f"no dataset has a table {listed(preset.compartments)}")
    for name in (preset.image, *preset.compartments):
        if name and name not in there and (name == preset.image or not options.compartments):
            logger.warning("no dataset has a table %s; the profiles will be without its columns", name)
    return [*([preset.image] if preset.image in there else []), *compartments]


@contextmanager
def bad_dataset(looked: Looked, options: DiscoverOptions, datasets: int) -> Iterator[None]:
    """Look at one dataset: a bad one is skipped and noted, or ends the run."""
    try:
        yield
    except PassingStorageError:
        raise  # The next dataset would fail alike.
    except (DataError, StorageError) as error:
        if options.on_bad_dataset == "skip":
            logger.warning("skipped: %s", error)
            looked.skipped.append(str(error))
        elif datasets > 1 and isinstance(error, BadDatasetError):
            raise BadDatasetError(f"{error}; --on-bad-dataset skip goes on without it") from error
        else:
            raise
