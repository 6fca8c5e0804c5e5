"""The kinds of outputs, found by the name's suffix; each is written by one module, imported when it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from pycytominer_transform.common.errors import UsageError

if TYPE_CHECKING:
    from pycytominer_transform.common.ipc.profiles import ProfilesReader
    from pycytominer_transform.common.storage.destination import OutputFolder
    from pycytominer_transform.common.storage.location import Location

_HERE = __name__.rpartition(".")[0]


class Description(NamedTuple):
    """The figures of an output that is there, and its provenance as JSON."""

    provenance: bytes
    rows: int
    columns: int


@dataclass(frozen=True)
class OutputKind:
    """A kind of output.

    Attributes
    ----------
    suffixes : tuple of str
        Endings of its names.
    module : str
        The module beside this one that writes it. It has `write_file` or `write_folder`, and `description`, which
        returns the `Description` of an output of this machine; for a folder `is_own_entry`.
    is_folder : bool
        Whether it is a folder of files, or a prefix of objects.
    is_by_part : bool
        Whether each file of the folder holds one part.
    libraries : tuple of str
        What must be installed, by the extra of the same name as the first.
    """

    suffixes: tuple[str, ...]
    module: str
    is_folder: bool = False
    is_by_part: bool = False
    libraries: tuple[str, ...] = ()

    def check_libraries(self, output: str) -> None:
        """Refuse an output whose libraries are not installed.

        Raises
        ------
        UsageError
            One is missing.
        """
        if missing := [name for name in self.libraries if find_spec(name) is None]:
            raise UsageError(
                f"{output}: {', '.join(missing)} must be installed for it: "
                f"pip install 'pycytominer-transform[{self.libraries[0]}]'"
            )

    def is_own_entry(self, name: str) -> bool:
        """Return whether the suite writes an entry of this name into such a folder."""
        return bool(self._module.is_own_entry(name))

    def write(self, reader: ProfilesReader, place: BinaryIO | OutputFolder, settings: dict[str, Any]) -> int:
        """Write all profiles and return the number of rows."""
        write = self._module.write_folder if self.is_folder else self._module.write_file
        rows: int = write(reader, place, settings)
        return rows

    def description(self, output: Location) -> Description | None:
        """Return the figures and the provenance of an output; None if it is damaged, or of something else."""
        description: Description | None = self._module.description(output)
        return description

    @property
    def _module(self) -> Any:
        return import_module(f"{_HERE}.{self.module}")


_ANNDATA = ("anndata", "h5py", "zarr")
PARQUET = OutputKind((".parquet", ".pq"), "parquet")
PARQUET_FOLDER = OutputKind((), "parquet", is_folder=True, is_by_part=True)
_KINDS = (
    PARQUET,
    OutputKind((".arrow",), "arrow_file"),
    OutputKind((".h5ad",), "anndata_file", libraries=_ANNDATA),
    OutputKind((".zarr",), "anndata_file", is_folder=True, libraries=_ANNDATA),
)
SUFFIXES = tuple(suffix for kind in _KINDS for suffix in kind.suffixes)
"""The endings of all names that are not those of a folder of Parquet files."""


def output_kind(output: Location) -> OutputKind:
    """Return the kind of an output by its name; a folder of Parquet files if nothing else fits."""
    for kind in _KINDS:
        if output.name.lower().endswith(kind.suffixes) and (kind.is_folder or not output.is_dir()):
            return kind
    return PARQUET_FOLDER
