"""The layout of a source of `.npz` files: each is a dataset."""

from __future__ import annotations

from collections.abc import Sequence

from pycytominer_transform.common.errors import DataError, StorageError
from pycytominer_transform.common.formats.npz.archive import SUFFIX, open_npz
from pycytominer_transform.common.formats.npz.content import NpzSample, read_content
from pycytominer_transform.common.formats.protocol import Layout
from pycytominer_transform.common.formats.source_layout import DatasetTable, SourceLayout
from pycytominer_transform.common.model.discovery_options import DiscoverOptions
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.runtime.messages import progress
from pycytominer_transform.common.storage.location import Location
from pycytominer_transform.common.storage.repeated_datasets import find_repeated, is_repeated
from pycytominer_transform.common.storage.tree import Folder, checked_name

_PREFETCH_BYTES = 1 << 15
"""Bytes of a file's beginning and end: the first headers, and the list of members."""


class NpzLayout(Layout):
    """Files of one table of cells."""

    def fits(self, root: Location, tree: Sequence[Folder], preset: Preset, compartments: Sequence[str]) -> bool:
        """Return whether a file has the arrays that a preset's files are recognised by."""
        for relative in _find_files(root, tree):
            try:
                with open_npz(root / relative, relative) as npz:
                    if all(sign.column in npz for sign in preset.signs):
                        return True
            except (DataError, StorageError):
                if not root.is_dir():
                    raise
        return False

    def lone_file_fault(self, file: Location) -> str:
        """Return that an `.npz` file lacks a preset's arrays, if it is one."""
        return "has none of the arrays that a preset knows" if file.suffix.lower() == SUFFIX else ""

    def survey(self, root: Location, tree: Sequence[Folder], preset: Preset, options: DiscoverOptions) -> SourceLayout:
        """Read the headers of all files; see `Layout.survey`."""
        table = preset.compartments[0]
        if any(name != table for name in options.compartments):
            raise DataError(
                f"there are no compartments in .npz files, only the table {table}; leave out --compartments"
            )
        files = _find_files(root, tree)
        if not files:
            raise DataError(f"{root}: no file in it has a name that ends in {SUFFIX}")
        sample = NpzSample(table)
        layout = SourceLayout(samples={table: sample})
        repeated = find_repeated(root, {relative: {relative: True} for relative in files})
        with root.prefetch(files, first=_PREFETCH_BYTES, last=_PREFETCH_BYTES):
            for number, relative in enumerate(files, start=1):
                progress("looking at files", number, len(files))
                with layout.dataset(options, len(files)):
                    if not is_repeated(relative, repeated):
                        source = read_npz_source(root, relative, table, sample)
                        layout.add(source.dataset, [source], source.bytes, options.part_size)
        return layout


layout = NpzLayout()


def read_npz_source(root: Location, relative: str, table: str, sample: NpzSample) -> DatasetTable:
    """Read the headers of one file, and add its columns to a sample.

    Raises
    ------
    DataError
        It is damaged or could run code.
    """
    path = root / relative
    shown = path.name if relative == "." else relative
    with open_npz(path, shown) as npz:
        content = read_content(npz, shown)
        inflated = npz.inflated
    size, mark = path.fingerprint()
    sample.add(content)
    return DatasetTable(
        dataset=shown, table=table, path=relative, bytes=max(size, inflated), fingerprint=mark, rows=content.rows
    )


def _find_files(root: Location, tree: Sequence[Folder]) -> list[str]:
    """List the `.npz` files of a source, relative to it; ``.`` where it is one itself."""
    if not root.is_dir():
        return ["."] if root.suffix.lower() == SUFFIX else []
    names = (folder.path_of(name) for folder in tree for name in folder.files if name.lower().endswith(SUFFIX))
    return sorted(map(checked_name, names))
