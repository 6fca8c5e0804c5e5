"""Run the stages one by one, and look at what each counted: `python stages.py plate/ work/`."""

from __future__ import annotations

import sys

from pycytominer_transform import JoinOptions, discover, extract, join, write

source, work = sys.argv[1:]
found = discover(source=source, output=f"{work}/manifest.arrow")
print(f"{found.files} files in {found.parts} parts")

extract(manifest=f"{work}/manifest.arrow", output=f"{work}/bundle")

joined = join(bundle=f"{work}/bundle", output=f"{work}/profiles", options=JoinOptions(unmatched="keep"))
for table, number in joined.counts["without"].items():
    print(f"{number} cells lack their {table}")

written = write(profiles=f"{work}/profiles", output=f"{work}/plate.parquet")
print(f"{written.rows} rows, {written.columns} columns")
