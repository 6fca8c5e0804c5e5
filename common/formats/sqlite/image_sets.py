"""The image sets of an SQLite file: the rows that hold their objects."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from itertools import pairwise

from pycytominer_transform.common.formats.image_sets import ImageSet, ImageSetRows, Run, joined_as, with_keys
from pycytominer_transform.common.formats.sqlite.files import rowid_name
from pycytominer_transform.common.model.naming import quoted
from pycytominer_transform.common.model.preset import Preset


def find_image_sets(connection: sqlite3.Connection, name: str, columns: dict[str, str], preset: Preset) -> ImageSetRows:
    """Find the rows of each image set of a table once, so that reading a part skips the other rows."""
    number = quoted(preset.table_number) if preset.table_number in columns else "NULL"
    image, table, rowid = quoted(preset.image_number), quoted(name), rowid_name(columns)
    has_rowids = _has_rowids(connection, table, rowid)
    ends = f"min({rowid}), max({rowid})" if has_rowids else "NULL, NULL"
    query = f"SELECT {number}, {image}, count(*), {ends} FROM {table} GROUP BY 1, 2"
    spans = connection.execute(query).fetchall()
    rows_of = {(tn, im): rows for tn, im, rows, _, _ in spans}
    ordered = sorted(spans, key=lambda span: span[3]) if has_rowids else []
    runs_of: dict[ImageSet, list[Run]] = defaultdict(list)
    if all(before[4] < after[3] for before, after in pairwise(ordered)):
        runs_of |= {(tn, im): [(first, last)] for tn, im, _, first, last in ordered}
    else:
        query = (
            f"SELECT tn, im, min(r), max(r) FROM (SELECT {number} AS tn, {image} AS im, {rowid} AS r, "
            f"row_number() OVER (ORDER BY {rowid}) - "
            f"row_number() OVER (PARTITION BY {number}, {image} ORDER BY {rowid}) AS run "
            f"FROM {table}) GROUP BY tn, im, run ORDER BY 3"
        )
        for tn, im, first, last in connection.execute(query):
            runs_of[tn, im].append((first, last))
    whole_numbers = all(
        number is None or (not isinstance(number, str | bytes) and number % 1 == 0) for number, _ in rows_of
    )
    return with_keys(ImageSetRows(name, columns, rows_of, runs_of, whole_numbers), joined_as)


def _has_rowids(connection: sqlite3.Connection, name: str, rowid: str) -> bool:
    try:
        # Some versions of SQLite give the rows of a view the row number NULL, others refuse to give any.
        first = connection.execute(f"SELECT {rowid} FROM {name} LIMIT 1").fetchone()
        return first is None or first[0] is not None
    except sqlite3.OperationalError:
        return False  # A view, or a table made WITHOUT ROWID.
