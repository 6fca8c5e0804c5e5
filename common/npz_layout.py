"""What lies in a tree of `.npz` files: their cells, their columns, and what their metadata are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pycytominer_transform.common.column_types import ColumnType
from pycytominer_transform.common.errors import DataError, StorageError
from pycytominer_transform.common.found import FoundSource, refuse_own_names
from pycytominer_transform.common.manifest import Column, TableSchema
from pycytominer_transform.common.naming import listed
from pycytominer_transform.common.npz_file import SUFFIX, open_npz
from pycytominer_transform.common.npz_metadata import Value
from pycytominer_transform.common.npz_reader import LOCATIONS, NpzContent, look_into
from pycytominer_transform.common.place import Place, looking_ahead
from pycytominer_transform.common.preset import Preset
from pycytominer_transform.common.tree import Folder, checked_name, fingerprint, resolve

_LOOKED_AT = 1 << 15


@dataclass
class NpzSample:
    """The columns of all files, and the types of their metadata.

    Attributes
    ----------
    metadata : dict
        For each key the types that its values call for.
    features : dict
        For each feature's name, in the order they were met, how many files have it.
    files_with : dict
        The same for the keys of the metadata.
    """

    table: str
    files: int = 0
    located: int = 0
    metadata: dict[str, set[ColumnType]] = field(default_factory=dict)
    features: dict[str, int] = field(default_factory=dict)
    files_with: dict[str, int] = field(default_factory=dict)

    def add(self, content: NpzContent) -> None:
        """Take one file into account."""
        self.files += 1
        self.located += content.locations is not None
        for key, value in content.metadata.items():
            kinds = self.metadata.setdefault(key, set())
            if value is not None:
                kinds.add(_type_of(value))
            self.files_with[key] = self.files_with.get(key, 0) + 1
        for name in content.feature_names:
            self.features[name] = self.features.get(name, 0) + 1

    def schema(self, prefix: str, preset: Preset, compartments: Sequence[str], *, only_common: bool) -> TableSchema:
        """Decide the columns and their types; names are the files' own, and there are no compartments.

        Raises
        ------
        DataError
            What is metadata in one file is a feature or a location in another, or a column has the name of one that
            the tools add.
        """
        located = LOCATIONS if (self.located == self.files if only_common else self.located) else ()
        keys = [key for key in self.metadata if not only_common or self.files_with[key] == self.files]
        features = [name for name in self.features if not only_common or self.features[name] == self.files]
        if taken := set(keys) & {*features, *LOCATIONS}:
            raise DataError(f"{min(taken)!r} is metadata in some files and a feature in others; rename one of them")
        columns = [
            Column(key, key, "string" if preset.is_text(key) else _common_type(self.metadata[key])) for key in keys
        ]
        columns += [Column(name, name, "float64") for name in (*located, *features)]
        refuse_own_names(self.table, {column.source: column.name for column in columns})
        return TableSchema(self.table, prefix, tuple(columns))

    def union_warning(self) -> str | None:
        """Say what will be null for some files, None where all have the same."""
        partial = [name for name, files in (self.files_with | self.features).items() if files < self.files]
        partial += LOCATIONS if 0 < self.located < self.files else ()
        if not partial:
            return None
        return f"{len(partial)} columns are not in all of {self.files} files and null there: {listed(partial, 20)}"


def find_npz_files(root: Place, tree: Sequence[Folder]) -> list[str]:
    """List the `.npz` files of a source, relative to it; ``.`` where it is one itself."""
    if not root.is_dir():
        return ["."] if root.suffix.lower() == SUFFIX else []
    names = (folder.path_of(name) for folder in tree for name in folder.files if name.lower().endswith(SUFFIX))
    return sorted(map(checked_name, names))


def ahead(root: Place, files: Sequence[str]) -> Iterator[str]:
    """Give files one by one, the next ones' headers and lists of members asked for where they come from afar."""
    with looking_ahead(root, files, first=_LOOKED_AT, last=_LOOKED_AT):
        yield from files


def any_fits(root: Place, tree: Sequence[Folder], preset: Preset) -> bool:
    """Say whether a source has a file with the arrays that a preset's files are recognised by."""
    for relative in find_npz_files(root, tree):
        try:
            with open_npz(resolve(root, relative), relative) as npz:
                if all(sign.column in npz for sign in preset.signs):
                    return True
        except (DataError, StorageError):
            if not root.is_dir():
                raise
    return False


def read_npz_source(root: Place, relative: str, table: str, sample: NpzSample) -> FoundSource:
    """Look into one file.

    Raises
    ------
    DataError
        It is damaged or could run code.
    """
    path = resolve(root, relative)
    shown = path.name if relative == "." else relative
    with open_npz(path, shown) as npz:
        content = look_into(npz, shown)
        inflated = npz.inflated
    size, mark = fingerprint(path)
    sample.add(content)
    return FoundSource(
        dataset=shown, table=table, path=relative, bytes=max(size, inflated), fingerprint=mark, rows=content.rows
    )


def _type_of(value: Value) -> ColumnType:
    if isinstance(value, bool | str):
        return "string"
    if isinstance(value, int):
        return "int64" if -(1 << 63) <= value < 1 << 63 else "string"
    return "float64"


def _common_type(kinds: set[ColumnType]) -> ColumnType:
    if "string" in kinds or not kinds:
        return "string"
    return "float64" if "float64" in kinds else "int64"
