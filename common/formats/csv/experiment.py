"""``Experiment.csv``, in which CellProfiler writes what it knows of its run: its version, its pipeline, more."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Sequence
from contextlib import suppress

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.formats.csv.file_names import csv_stem, experiment_prefixes
from pycytominer_transform.common.formats.csv.files import csv_rows, open_csv
from pycytominer_transform.common.formats.source_layout import SourceLayout
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.storage.location import Location
from pycytominer_transform.common.storage.tree import Folder

_MOST_BYTES = 1 << 20
"""Read of the file; a pipeline has some 50 kB."""


def read_experiment(root: Location, tree: Sequence[Folder], layout: SourceLayout, preset: Preset) -> dict[str, str]:
    """Return the keys and values of the first dataset that has such a file; empty if none has, or it cannot be read."""
    folders = dict.fromkeys(posixpath.dirname(table.path) or "." for part in layout.parts for table in part)
    by_name = {folder.relative: folder for folder in tree}
    for folder in (by_name[name] for name in folders if name in by_name):
        names = {f"{prefix}experiment".lower() for prefix in ("", *experiment_prefixes(folder.files, preset))}
        for name in folder.files:
            if (csv_stem(name) or "").lower() in names:
                # Nobody asked for it, so a damaged one is no fault of the dataset.
                with suppress(DataError, OSError, csv.Error):
                    return _entries(root / folder.path_of(name), name)
    return {}


def _entries(file: Location, name: str) -> dict[str, str]:
    with open_csv(file, name, max_inflate=_MOST_BYTES) as opened:
        text = opened.read(_MOST_BYTES).decode("utf-8-sig", "replace")
    rows = csv_rows(io.StringIO(text, newline=""), ",")
    return {row[0]: row[1] for row in rows if len(row) == 2 and row != ["Key", "Value"]}
