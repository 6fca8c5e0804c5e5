"""Looking at all `.npz` files of a source, and grouping them into parts."""

from __future__ import annotations

from collections.abc import Sequence

from pycytominer_transform.common import npz_layout
from pycytominer_transform.common.discover_options import DiscoverOptions
from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.looked import Looked, bad_dataset
from pycytominer_transform.common.npz_file import SUFFIX
from pycytominer_transform.common.place import Place
from pycytominer_transform.common.preset import Preset
from pycytominer_transform.common.reporting import progress
from pycytominer_transform.common.staged_again import is_left_out, staged_again
from pycytominer_transform.common.tree import Folder


def look_at_npz(root: Place, tree: Sequence[Folder], preset: Preset, options: DiscoverOptions) -> Looked:
    """Look at the `.npz` files of a source.

    Raises
    ------
    DataError
        There are none, or a dataset is bad and none may be skipped.
    """
    table = preset.compartments[0]
    if any(name != table for name in options.compartments):
        raise DataError(f"there are no compartments in .npz files, only the table {table}; leave out --compartments")
    files = npz_layout.find_npz_files(root, tree)
    if not files:
        raise DataError(f"{root}: no file in it has a name that ends in {SUFFIX}")
    looked = Looked()
    looked.samples[table] = sample = npz_layout.NpzSample(table)
    again = staged_again(root, {relative: {relative: True} for relative in files})
    filled = options.part_size
    for number, relative in enumerate(npz_layout.ahead(root, files), start=1):
        progress("looking at files", number, len(files))
        with bad_dataset(looked, options, len(files)):
            if is_left_out(again.get(relative)):
                continue
            found = npz_layout.read_npz_source(root, relative, table, sample)
            if filled >= options.part_size:
                looked.parts.append([])
                filled = 0
            looked.parts[-1].append(found)
            looked.datasets.append(found.dataset)
            filled += found.bytes
    return looked
