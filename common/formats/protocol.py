"""The interface of a file format: `Layout` describes a source, `Reader` reads it.

The package ``formats/KIND`` has a module ``layout`` with an instance `layout`, and a module ``reader`` with a class
`reader`. They inherit the default methods from these Protocols.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from pycytominer_transform.common.formats.other_tables import ObjectTable
from pycytominer_transform.common.formats.source_layout import SourceLayout
from pycytominer_transform.common.model.conversion import BadValues
from pycytominer_transform.common.model.discovery_options import DiscoverOptions
from pycytominer_transform.common.model.manifest import Manifest, Source
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.storage.location import Location
from pycytominer_transform.common.storage.tree import Folder

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT_MAX_INFLATE = 64 << 30
"""Bytes that one compressed file may inflate to."""


class Layout(Protocol):
    """What lies in a source, which is a folder with its tree or one file.

    Attributes
    ----------
    own_files : tuple of str
        Names of files that no other kind has, as globs in lower case; the layouts of the others do not see them.
    unread_files : tuple of (str, str)
        Such names of files that lie beside these and are not read, each with what it is.
    is_output : bool
        Whether such files may be what became of a source, so that they are none where a source of another kind is.
    """

    own_files: tuple[str, ...] = ()
    unread_files: tuple[tuple[str, str], ...] = ()
    is_output: bool = False

    @abstractmethod
    def fits(self, root: Location, tree: Sequence[Folder], preset: Preset, compartments: Sequence[str]) -> bool:
        """Return whether a source looks like a preset of this kind.

        Parameters
        ----------
        compartments : sequence of str
            Tables to look for beside those that the preset names.
        """

    @abstractmethod
    def lone_file_fault(self, file: Location) -> str:
        """Return what is wrong with a lone file that fits no preset; empty if it is of another kind."""

    @abstractmethod
    def survey(self, root: Location, tree: Sequence[Folder], preset: Preset, options: DiscoverOptions) -> SourceLayout:
        """Cut all datasets into parts, and sample their tables.

        Raises
        ------
        DataError
            There are none, or a dataset is bad and none may be skipped.
        """

    def object_tables(self, root: Location, tree: Sequence[Folder], preset: Preset) -> Iterator[dict[str, ObjectTable]]:
        """Yield, for one folder or file after the other, its tables of objects by compartment.

        Of a source whose tables no preset knows, the only one is taken; of several there is a hint to these.
        """
        yield from ()


class Reader(Protocol):
    """Reads the sources of one manifest, on several threads at once.

    Parameters
    ----------
    manifest : Manifest
        The columns to return, and their types.
    max_inflate : int
        Bytes that a compressed file may inflate to.
    """

    @abstractmethod
    def __init__(self, manifest: Manifest, max_inflate: int) -> None: ...

    @abstractmethod
    def read(self, source: Source, file: Location, shown: str, bad: BadValues) -> pa.Table:
        """Read one source.

        Parameters
        ----------
        shown : str
            The file's name in messages.
        bad : BadValues
            What to do with values that do not fit their column.

        Returns
        -------
        pyarrow.Table
            One row per row of the source, final column names, the types and the order of the table's schema; columns
            that the source lacks are null.

        Raises
        ------
        DataError, StorageError
            The file is damaged or cannot be read.
        BadValueError
            A value does not fit its column; names row and column.
        SourceChangedError
            It has other rows than when `pct-discover` read it.
        """

    def batches(self, sources: Sequence[Source], threads: int) -> list[list[Source]]:
        """Group the local sources of a part into batches, each of one table, to be read by one thread each."""
        return [[source] for source in sources]

    def read_together(self, sources: Sequence[Source], files: Sequence[Location]) -> tuple[pa.Table, list[int]] | None:
        """Read a batch of several sources as one table.

        Returns
        -------
        tuple of (pyarrow.Table, list of int) or None
            The sources' rows below each other, see `read`, and how many each has; None to read them one by one.
        """
        return None
