"""Write the median of each feature in each well: `python well_medians.py plate.parquet wells.parquet`."""

from __future__ import annotations

import sys

import duckdb
from pycytominer_transform import columns

cells, wells = sys.argv[1:]
features = columns(cells, role="feature")
medians = ", ".join(f'median("{name}") AS "{name}"' for name in features)
query = f"SELECT Metadata_Plate, Metadata_Well, {medians} FROM read_parquet($cells) GROUP BY ALL ORDER BY ALL"
duckdb.sql(query, params={"cells": cells}).write_parquet(wells)
