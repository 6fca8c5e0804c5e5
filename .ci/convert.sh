#!/usr/bin/env bash
# Converts the demo plate with the tools in a folder, `convert.sh BIN`, by pipe and by flow, and compares the two outputs.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
PATH="$1:$PATH"
pct-discover -q tests/demo/plate | pct-extract -q | pct-join -q | pct-write -q -o "$scratch/pipe.parquet"
pct-flow -q tests/demo/plate -o "$scratch/flow.parquet"
python - "$scratch" <<'PYTHON'
import sys
from importlib.metadata import version
import pyarrow.parquet as pq

piped, flowed = (pq.read_table(f"{sys.argv[1]}/{name}.parquet") for name in ("pipe", "flow"))
assert piped.num_rows and piped.equals(flowed), "the pipe and the flow differ"
versions = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "pyarrow", "numpy", "prefect"))
print(f"{versions}: {piped.num_rows} rows x {piped.num_columns} columns, the same by pipe and by flow")
PYTHON
