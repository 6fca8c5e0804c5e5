"""Find the datasets of a source by its file names, where each table is a file: the same for CSV and Parquet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeVar

from pycytominer_transform.common.errors import BadDatasetError
from pycytominer_transform.common.formats.table_names import export_name, is_chosen
from pycytominer_transform.common.model.naming import listed
from pycytominer_transform.common.storage.location import Location
from pycytominer_transform.common.storage.tree import Folder, checked_name

Exports = dict[str, dict[str, list[str]]]
"""By the prefix of the files' names, for each table the names that may hold it."""
_Dataset = TypeVar("_Dataset", bound="FolderDataset")


@dataclass
class FolderDataset:
    """One folder of tables, some files of one with a prefix, or one file with a table of its own.

    Attributes
    ----------
    files : dict
        By table, its file relative to the source; ``.`` if that is the source.
    fault : str
        Why the dataset cannot be read; empty if it can.
    prefix : str
        What stands before the tables' names in those of the files, such as ``MyExpt_``.
    """

    root: Location
    name: str
    files: dict[str, str] = field(default_factory=dict)
    fault: str = ""
    prefix: str = ""

    def shown(self, table: str) -> str:
        """Return the name of a table's file in messages."""
        return self.name if self.files[table] == "." else self.files[table]

    def check_files(self, tables: Collection[str]) -> None:
        """Check that it has each of some tables, and has it once.

        Raises
        ------
        BadDatasetError
            A table is missing or there twice.
        """
        if self.fault:
            raise BadDatasetError(self.fault)
        if missing := [table for table in tables if table not in self.files]:
            there = listed(sorted(PurePosixPath(path).name for path in self.files.values()))
            raise BadDatasetError(f"dataset {self.name}: no table {listed(missing)} (there is {there})")


def find_folder_datasets(
    folders: Sequence[Folder], exports_of: Callable[[Sequence[str]], Exports],
    make: Callable[[str, dict[str, str], str, str], _Dataset], prefix: str = "",
) -> list[_Dataset]:  # fmt: skip
    """Find the datasets of a tree; a folder holds several where its files have several prefixes.

    Parameters
    ----------
    exports_of : callable
        Groups the names of a folder's files.
    make : callable
        Makes a dataset of its name, files, fault and prefix.
    prefix : str
        Take only the files whose names begin with this; empty for all.
    """
    datasets = []
    taken = {folder.relative for folder in folders}
    for folder in folders:
        exports = exports_of(folder.files)
        for before, candidates in exports.items():
            if not is_chosen(before, prefix):
                continue
            name = folder.relative
            if len(exports) > 1 and before:
                name = export_name(folder.relative, before, taken)
                taken.add(name)
            files = {table: checked_name(folder.path_of(names[0])) for table, names in candidates.items()}
            faults = [
                f"{folder.relative}: {' and '.join(names)} are both the table {table}"
                for table, names in candidates.items()
                if len(names) > 1
            ]
            datasets.append(make(name, files, faults[-1] if faults else "", before))
    return datasets
