"""The packaged preset that a source fits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.formats.other_tables import first_object_tables, other_tables_hint
from pycytominer_transform.common.formats.registry import files_for, layout_of, unread_kind
from pycytominer_transform.common.formats.sqlite.files import check_file, find_sqlite_files, is_sqlite
from pycytominer_transform.common.ipc.next_stage import command_for, kind_of_folder
from pycytominer_transform.common.model.naming import listed
from pycytominer_transform.common.model.preset import FORMATS, Preset, packaged_presets
from pycytominer_transform.common.runtime.messages import logger
from pycytominer_transform.common.storage.location import Location
from pycytominer_transform.common.storage.tree import Folder

_OTHER_KINDS = (
    (
        "*.parquet",
        "a Parquet file without a column Metadata_ImageNumber or Metadata_CellID; of several tables, give the folder",
    ),
    ("*.arrow", "an Arrow file; if it is a manifest, give it to pct-extract"),
    ("*.tif", "an image; measure it first, with CellProfiler for instance"),
    ("*.tiff", "an image; measure it first, with CellProfiler for instance"),
    ("*.png", "an image; measure it first, with CellProfiler for instance"),
    ("*.jpg", "an image; measure it first, with CellProfiler for instance"),
)
"""What a file is that no preset reads, by its lower-case name."""
_STAGES = {"manifest": "a manifest", "bundle": "a bundle", "profiles": "profiles"}


def recognise(root: Location, tree: Sequence[Folder], compartments: Sequence[str] = ()) -> tuple[Preset, Sequence[str]]:
    """Return the packaged preset that a source fits, and the compartments to take; none for the preset's.

    Parameters
    ----------
    compartments : sequence of str
        Tables to look for beside those that the presets name. Without them, where no preset knows a table, the only
        table of objects is taken.

    Raises
    ------
    DataError
        None fits, or several do.
    """
    fitting: list[Preset] = []
    for is_output in (False, True):
        kinds = [kind for kind in FORMATS if layout_of(kind).is_output == is_output] if not fitting else []
        fitting += [preset for kind in kinds for preset in _fitting_presets(root, tree, kind, compartments)]
    if len(fitting) > 1:
        names = " or ".join(f"--preset {preset.name}" for preset in fitting)
        shown = listed([preset.name for preset in fitting])
        raise DataError(f"{root}: looks like {shown}; choose one with {names}")
    if fitting:
        return fitting[0], compartments
    for preset in () if compartments else packaged_presets():
        own = files_for(preset.format, tree)
        tables = first_object_tables(layout_of(preset.format).object_tables(root, own, preset))
        if len(tables) == 1:
            logger.info("took the table %s, the only one of objects", listed([table.name for table in tables.values()]))
            return recognise(root, tree, [*tables])
        if hint := other_tables_hint(tables, preset):
            raise DataError(f"{root}: holds no table that a preset knows, but {hint}")
    raise DataError(f"{root}: {_why_none_fits(root, tree)}")


def _fitting_presets(root: Location, tree: Sequence[Folder], kind: str, compartments: Sequence[str]) -> list[Preset]:
    """Return the presets that fit, all of the highest precedence that has any."""
    presets = [preset for preset in packaged_presets() if preset.format == kind]
    own = files_for(kind, tree)
    for precedence in sorted({preset.precedence for preset in presets}, reverse=True):
        of_one = [preset for preset in presets if preset.precedence == precedence]
        if fitting := [preset for preset in of_one if layout_of(kind).fits(root, own, preset, compartments)]:
            return fitting
    return []


def _why_none_fits(root: Location, tree: Sequence[Folder]) -> str:
    files = [folder.path_of(name) for folder in tree for name in folder.files]
    if not root.is_dir():
        if not root.stat().st_size:
            return "is empty"
        if root.suffix == ".arrow":
            return f"is an Arrow file; if it is a manifest: {command_for('manifest', root)}"
        if kind := _other_kind(root.name):
            return f"is {kind}"
        if fault := next(filter(None, (layout_of(kind).lone_file_fault(root) for kind in FORMATS)), ""):
            return fault
    elif not files:
        return "there are no files in it"
    elif (kind := kind_of_folder(files)) != "source":
        return f"holds no measurements but {_STAGES[kind]}; the next stage: {command_for(kind, root)}"
    elif fault := next(filter(None, (_damage(root / file) for file in find_sqlite_files(root, tree))), ""):
        return f"holds no table that a preset knows: {fault}"
    others = [name for name in files if unread_kind(name)] or [name for name in files if _other_kind(name)]
    # Images and the like also lie beside measurements that have unknown names.
    if others and (len(others) == len(files) or unread_kind(others[0])):
        return f"holds no table that a preset knows: {others[0]} is {_other_kind(others[0])}"
    there = f"there are {listed(files, 3)}" if files else "its tables have other names"
    # No public file of these was found to write a preset for.
    others_need_one = ", as text of Columbus and MetaXpress needs" if any(map(_is_text, files)) else ""
    return (
        f"holds no table that a preset knows ({there}); see --compartments, or --preset for a preset of your "
        f"own{others_need_one}"
    )


def _is_text(name: str) -> bool:
    return name.lower().endswith((".txt", ".tsv", ".csv"))


def _damage(file: Location) -> str:
    """Return why SQLite file cannot be read; empty for a good file, and for one that is not SQLite."""
    with suppress(OSError):
        try:
            if is_sqlite(file):
                check_file(file.local_file(), file.name)
        except DataError as error:
            return str(error)
    return ""


def _other_kind(name: str) -> str:
    """Return what a file is that no preset reads; empty if its name does not say."""
    bare = PurePosixPath(name).name.lower()
    return unread_kind(bare) or next((kind for pattern, kind in _OTHER_KINDS if fnmatchcase(bare, pattern)), "")
