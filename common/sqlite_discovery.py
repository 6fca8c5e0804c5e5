"""Looking at all SQLite files of a source, and cutting them into parts."""

from __future__ import annotations

from collections.abc import Sequence

from pycytominer_transform.common import sqlite_layout
from pycytominer_transform.common.discover_options import DiscoverOptions
from pycytominer_transform.common.errors import BadDatasetError, DataError
from pycytominer_transform.common.looked import Looked, bad_dataset, tables_there
from pycytominer_transform.common.naming import listed
from pycytominer_transform.common.other_tables import say_passed_over, sqlite_object_tables
from pycytominer_transform.common.place import Place, local_path
from pycytominer_transform.common.preset import Preset
from pycytominer_transform.common.reporting import logger, progress
from pycytominer_transform.common.sqlite_files import SUFFIXES, find_sqlite_files, is_of_another_kind
from pycytominer_transform.common.staged_again import is_left_out, staged_again
from pycytominer_transform.common.tree import Folder, resolve


def look_at_sqlite(root: Place, tree: Sequence[Folder], preset: Preset, options: DiscoverOptions) -> Looked:
    """Look at the SQLite files of a source.

    Raises
    ------
    DataError
        There are none, or a dataset is bad and none may be skipped.
    """
    compartments = options.compartments or preset.compartments
    files = find_sqlite_files(root, tree)
    if not files:
        raise DataError(f"{root}: no SQLite file in it (looked for names that end in {listed(SUFFIXES)})")
    looked = Looked()
    held: dict[str, set[str]] = {}
    again = staged_again(root, {relative: {relative: True} for relative in files})
    for relative in files:
        with bad_dataset(looked, options, len(files)):
            if is_left_out(again.get(relative)):
                continue
            place = resolve(root, relative)
            if place.exists() and not place.is_file():
                raise BadDatasetError(f"{relative}: is no regular file")
            # Other programs call their files so too, such as Thumbs.db; what is empty may be a copy that failed.
            may_be_foreign = root.is_dir() and not relative.lower().endswith((".sqlite", ".sqlite3"))
            if may_be_foreign and is_of_another_kind(place):
                logger.info("%s is not SQLite; passed over", relative)
                continue
            path = local_path(place)
            shown = sqlite_layout.shown_name(path, relative)
            there = set(sqlite_layout.sqlite_tables(path, shown, preset, [preset.image, *compartments]))
            if may_be_foreign and not there:
                logger.info("%s holds no table of the preset %s; passed over", relative, preset.name)
                continue
            held[relative] = there
    tables = tables_there(preset, options, list(held.values()))
    if not options.compartments:
        first = next(iter(held))
        say_passed_over(sqlite_object_tables(local_path(resolve(root, first)), first, preset), tables, preset)
    for number, relative in enumerate(held, start=1):
        progress("looking at files", number, len(held))
        with bad_dataset(looked, options, len(files)):
            looked.parts += sqlite_layout.read_sqlite_dataset(
                resolve(root, relative), relative, preset, tables, options.part_size, looked.sample
            )
            looked.datasets.append(relative)
    name_of = {source.table: source.sqlite_table for part in reversed(looked.parts) for source in part}
    looked.prefix_of = lambda table: sqlite_layout.prefix_of(name_of.get(table, ""), table, preset)
    return looked
