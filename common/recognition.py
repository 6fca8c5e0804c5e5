"""Which packaged preset a source looks like."""

from __future__ import annotations

from collections.abc import Sequence

from pycytominer_transform.common import csv_layout, npz_layout, sqlite_layout
from pycytominer_transform.common.csv_files import csv_stem
from pycytominer_transform.common.errors import DataError, StorageError
from pycytominer_transform.common.naming import listed
from pycytominer_transform.common.other_tables import other_tables_hint
from pycytominer_transform.common.place import Place, local_path
from pycytominer_transform.common.preset import FORMATS, Preset, packaged_presets
from pycytominer_transform.common.sqlite_files import find_sqlite_files, is_sqlite
from pycytominer_transform.common.tree import Folder, resolve


def recognise(root: Place, tree: Sequence[Folder], compartments: Sequence[str] = ()) -> Preset:
    """Choose the packaged preset that a source looks like.

    Parameters
    ----------
    compartments : sequence of str
        Tables to look for beside those that the presets name.

    Raises
    ------
    DataError
        None fits, or several do.
    """
    if not root.is_dir() and not is_sqlite(root):
        if fitting := [preset for preset in packaged_presets() if preset.is_single_table and _fits(root, tree, preset)]:
            return fitting[0]
        kind = "is a CSV file; give the folder it lies in" if csv_stem(root.name) is not None else "is not SQLite"
        raise DataError(f"{root}: {'is empty' if not root.stat().st_size else kind}")
    fitting = [preset for kind in FORMATS for preset in _fitting_of_format(root, tree, kind, compartments)]
    if len(fitting) > 1:
        raise DataError(f"{root}: looks like {listed([preset.name for preset in fitting])}; choose one with --preset")
    if not fitting:
        files = [folder.path_of(name) for folder in tree for name in folder.files]
        if root.is_dir() and not files:
            raise DataError(f"{root}: there are no files in it")
        if hint := other_tables_hint(root, tree, packaged_presets()):
            raise DataError(f"{root}: holds no table that a preset knows, but {hint}")
        there = f"there are {listed(files, 3)}" if files else "its tables have other names"
        raise DataError(f"{root}: holds no table that a preset knows ({there}); see --preset and --compartments")
    return fitting[0]


def _fitting_of_format(root: Place, tree: Sequence[Folder], kind: str, compartments: Sequence[str]) -> list[Preset]:
    """List the presets of the highest precedence that fit; those of a lower one are not even looked at then."""
    presets = [preset for preset in packaged_presets() if preset.format == kind]
    for precedence in sorted({preset.precedence for preset in presets}, reverse=True):
        of_one = [preset for preset in presets if preset.precedence == precedence]
        fitting = [preset for preset in of_one if _fits(root, tree, preset, compartments)]
        if fitting:
            return fitting
    return []


def _fits(root: Place, tree: Sequence[Folder], preset: Preset, more: Sequence[str] = ()) -> bool:
    if preset.format == "npz":
        return npz_layout.any_fits(root, tree, preset)
    if preset.format == "csv" and preset.is_single_table:
        return csv_layout.any_single_table(root, tree, preset)
    compartments = list(dict.fromkeys((*preset.compartments, *more)))
    if preset.format == "csv":
        return root.is_dir() and bool(csv_layout.find_csv_datasets(tree, preset, compartments))
    wanted = [preset.image, *compartments]
    for relative in find_sqlite_files(root, tree):
        place = resolve(root, relative)
        if not place.is_file():
            continue
        try:
            path = local_path(place)
            shown = sqlite_layout.shown_name(path, relative)
            held = sqlite_layout.sqlite_tables(path, shown, preset, wanted)
            if len(held) > 1 and sqlite_layout.has_signs(path, shown, preset, held):
                return True
        except (DataError, StorageError):
            if not root.is_dir():
                raise
    return False
