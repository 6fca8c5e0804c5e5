"""Looking at all datasets of CSV files, and cutting them into parts."""

from __future__ import annotations

from collections.abc import Sequence

from pycytominer_transform.common import csv_layout
from pycytominer_transform.common.discover_options import DiscoverOptions
from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.looked import Looked, bad_dataset, tables_there
from pycytominer_transform.common.naming import listed
from pycytominer_transform.common.other_tables import csv_object_tables, other_tables_hint, say_passed_over
from pycytominer_transform.common.place import Place
from pycytominer_transform.common.preset import Preset
from pycytominer_transform.common.reporting import count, logger, progress
from pycytominer_transform.common.staged_again import is_left_out, staged_again
from pycytominer_transform.common.tree import Folder


def look_at_csv(root: Place, tree: Sequence[Folder], preset: Preset, options: DiscoverOptions) -> Looked:
    """Look at the CSV files of a source.

    Raises
    ------
    DataError
        There are none, or a dataset is bad and none may be skipped.
    """
    compartments = options.compartments or preset.compartments
    if preset.is_single_table:
        datasets, others = csv_layout.find_single_tables(root, tree, preset)
        if others and datasets:
            logger.warning("passed over %s of another kind: %s", count(len(others), "CSV file"), listed(others))
    else:
        datasets = csv_layout.find_csv_datasets(tree, preset, compartments)
        if preset.header_rows > 1:
            csv_layout.only_labelled(root, datasets, preset)
    if not datasets:
        wanted = "has the columns" if preset.is_single_table else "is named after a table"
        names = [sign.column for sign in preset.signs] if preset.is_single_table else [*compartments]
        hint = "" if options.compartments else other_tables_hint(root, tree, [preset])
        raise DataError(f"{root}: no CSV file {wanted} {listed(names)}{hint and f', but {hint}'}")
    whole = [dataset for dataset in datasets if csv_layout.has_compartments(dataset, preset)]
    tables = tables_there(preset, options, [set(dataset.files) for dataset in whole])
    if not options.compartments and not preset.is_single_table and preset.header_rows == 1:
        first = next(folder for folder in tree if folder.relative == whole[0].name)
        say_passed_over(csv_object_tables(root, first, preset), tables, preset)
    again = staged_again(
        root, {d.name: {file: table != preset.image for table, file in d.files.items()} for d in whole}
    )
    looked = Looked()
    filled = options.part_size
    for number, dataset in enumerate(csv_layout.ahead(root, datasets, tables), start=1):
        progress("looking at datasets", number, len(datasets))
        with bad_dataset(looked, options, len(datasets)):
            if is_left_out(again.get(dataset.name)):
                continue
            if not csv_layout.has_compartments(dataset, preset) and not csv_layout.lacks_compartments(
                root, dataset, preset, tables
            ):
                continue
            found = csv_layout.read_csv_dataset(root, dataset, preset, tables, looked.sample)
            if filled >= options.part_size:
                looked.parts.append([])
                filled = 0
            looked.parts[-1].extend(found)
            looked.datasets.append(dataset.name)
            filled += sum(csv_layout.part_bytes(root, source) for source in found)
    looked.prefix_of = lambda table: csv_layout.prefix_of(datasets, table, preset)
    return looked
