"""The content of DeepProfiler's `.npz` files: their arrays, the metadata of their image, and the columns of a source.

Source: https://cytomining.github.io/DeepProfiler-handbook (the member ``features``, the dictionary ``metadata``, the
centres of the cells, in pixels, as ``locations``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.formats.npz.archive import ArrayHeader, NpzFile
from pycytominer_transform.common.formats.npz.safe_pickle import Value, read_metadata
from pycytominer_transform.common.formats.samples import refuse_own_names
from pycytominer_transform.common.model.column_types import ColumnType
from pycytominer_transform.common.model.manifest import Column, TableSchema
from pycytominer_transform.common.model.naming import listed
from pycytominer_transform.common.model.preset import Preset

SOURCE = "Metadata_NPZSource"
LOCATIONS = ("Location_Center_X", "Location_Center_Y")

_MAX_FEATURES = 1 << 17
_MODEL = "Metadata_Model"
_NO_MODEL = "DP"


@dataclass(frozen=True)
class NpzContent:
    """The content of an `.npz` file by its headers and its metadata.

    Attributes
    ----------
    rows : int
        How many cells there are.
    feature_names : list of str
        Named after the model: ``efficientnet_1`` and so on, ``DP_1`` where no model is named.
    location_names : tuple of str
        The centre's columns, and those of further coordinates by their places: ``Location_3``. Empty where the file has
        no locations.
    """

    rows: int
    feature_names: list[str]
    location_names: tuple[str, ...]
    metadata: dict[str, Value]


def read_content(npz: NpzFile, name: str) -> NpzContent:
    """Read the headers of a file's arrays, and its metadata.

    Parameters
    ----------
    name : str
        The file's name, which goes into the column `SOURCE`.

    Raises
    ------
    DataError
        It is damaged, its arrays do not fit each other, or it could run code.
    """
    metadata: dict[str, Value] = {SOURCE: name}
    if "metadata" in npz:
        stored = read_metadata(npz.pickled("metadata"), npz.shown)
        if SOURCE in stored:
            raise DataError(f"{npz.shown}: its metadata has a key {SOURCE!r}, which is where the file's own name goes")
        metadata |= stored
    features = _table_header(npz, "features")
    rows, width = features.shape if len(features.shape) == 2 else (0, 0)
    if width > _MAX_FEATURES:
        raise DataError(f"{npz.shown}: says it has {width} features a cell, more than {_MAX_FEATURES}")
    if rows and not width:
        raise DataError(f"{npz.shown}: says it has {rows} cells without any feature; it is damaged")
    location_names = _location_names(npz, rows) if "locations" in npz else ()
    model = metadata.get(_MODEL)
    feature_names = [f"{_NO_MODEL if model in (None, '') else model}_{place}" for place in range(1, width + 1)]
    locations = {*LOCATIONS, *location_names}
    if repeated := {*metadata, *locations} & set(feature_names) or set(metadata) & locations:
        raise DataError(f"{npz.shown}: two columns would be named {min(repeated)!r}; one is from its metadata")
    return NpzContent(rows, feature_names, location_names, metadata)


def _location_names(npz: NpzFile, rows: int) -> tuple[str, ...]:
    header = _table_header(npz, "locations")
    height, width = header.shape if len(header.shape) == 2 else (0, 0)
    if (height != rows or not len(LOCATIONS) <= width <= _MAX_FEATURES) and (rows or header.bytes):
        raise DataError(f"{npz.shown}: locations of shape {header.shape} where there are {rows} cells")
    return (*LOCATIONS, *(f"Location_{place}" for place in range(len(LOCATIONS) + 1, width + 1)))


def _table_header(npz: NpzFile, name: str) -> ArrayHeader:
    header = npz.header(name)
    if header.dtype.hasobject:
        raise DataError(f"{npz.shown}: its member {name} is a pickled object, which is refused: it may run code")
    # An image without cells may have an array of no shape at all.
    if len(header.shape) != 2 and 0 not in header.shape:
        raise DataError(f"{npz.shown}: its member {name} has the shape {header.shape}, not one row per cell")
    return header


@dataclass
class NpzSample:
    """The columns of all files of a source, and the types of their metadata.

    Attributes
    ----------
    metadata : dict
        For each key the types that its values call for.
    locations, features : dict
        The names of the coordinates and of the features, in the order they were met.
    files_with : Counter
        For each column, how many files have it.
    """

    table: str
    files: int = 0
    metadata: dict[str, set[ColumnType]] = field(default_factory=dict)
    locations: dict[str, None] = field(default_factory=lambda: dict.fromkeys(LOCATIONS))
    features: dict[str, None] = field(default_factory=dict)
    files_with: Counter[str] = field(default_factory=Counter)

    def add(self, content: NpzContent) -> None:
        """Add the columns of one file."""
        self.files += 1
        for key, value in content.metadata.items():
            self.metadata.setdefault(key, set()).update(() if value is None else (_type_of(value),))
        self.features |= dict.fromkeys(content.feature_names)
        self.files_with.update((*content.metadata, *content.feature_names))
        self.locations |= dict.fromkeys(content.location_names)
        self.files_with.update(content.location_names)

    def schema(self, prefix: str, preset: Preset, compartments: Sequence[str], *, only_common: bool) -> TableSchema:
        """Decide the columns and their types; names are the files' own, and there are no compartments.

        Raises
        ------
        DataError
            A column is metadata in one file and a feature or a location in another, or has the name of one that the
            tools add.
        """
        fewest = self.files if only_common else 1
        metadata, numbers = (
            [name for name in names if self.files_with[name] >= fewest]
            for names in (self.metadata, (*self.locations, *self.features))
        )
        if conflicts := set(metadata) & {*numbers, *self.locations}:
            raise DataError(f"{min(conflicts)!r} is metadata in some files and a feature in others; rename one of them")
        columns = [
            Column(key, key, "string" if preset.is_text(key) else _common_type(self.metadata[key]), "metadata")
            for key in metadata
        ]
        columns += [
            Column(name, name, "float64", "location" if name in self.locations else "feature") for name in numbers
        ]
        refuse_own_names(self.table, {column.source: column.name for column in columns})
        return TableSchema(self.table, prefix, tuple(columns))

    def complete_columns(self) -> set[str]:
        """Return none: the metadata of such files are not taken from paths."""
        return set()

    def partial_columns(self) -> dict[str, int]:
        """Count the files that have a column, for those that only some of the files have."""
        columns = dict.fromkeys((*self.metadata, *self.features, *self.locations))
        return {name: self.files_with[name] for name in columns if 0 < self.files_with[name] < self.files}

    def union_warning(self) -> str | None:
        """Return a warning of the columns that will be null for some files; None if all files have the same."""
        partial = list(self.partial_columns())
        if not partial:
            return None
        return f"{len(partial)} columns are not in all of {self.files} files and null there: {listed(partial, 20)}"


def _type_of(value: bool | float | str) -> ColumnType:
    if isinstance(value, float):
        return "float64"
    is_whole = not isinstance(value, bool | str) and -(1 << 63) <= value < 1 << 63
    return "int64" if is_whole else "string"


def _common_type(types: set[ColumnType]) -> ColumnType:
    if "string" in types or not types:
        return "string"
    return "float64" if "float64" in types else "int64"
