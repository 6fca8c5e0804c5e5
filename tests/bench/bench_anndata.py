"""Writing an `.h5ad` file: `write` from profiles, and a script with AnnData that has the whole table in memory already.

As a program: `python tests/bench/bench_anndata.py PROFILES FOLDER`. Ends with a line of JSON, to stderr, that gives the
median seconds of both, in turn.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anndata
import pandas as pd
import pyarrow as pa
from pycytominer_transform.common.model.roles import role_of_field
from pycytominer_transform.tools.write import write

RUNS = 3


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    began = time.monotonic()
    call()
    return time.monotonic() - began


def main(argv: list[str]) -> int:
    """Write both files, in turn."""
    profiles, folder = map(Path, argv)
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.concat_tables([pa.ipc.open_file(path).read_all() for path in sorted(profiles.glob("part-*.arrow"))])
    features = [field.name for field in table.schema if role_of_field(field) == "feature"]
    frame = table.to_pandas()
    frame.index = frame.index.astype(str)

    def script() -> None:
        values = frame[features].to_numpy(dtype="float32")
        cells = anndata.AnnData(values, obs=frame.drop(columns=features), var=pd.DataFrame(index=features))
        cells.write_h5ad(folder / "script.h5ad")

    def suite() -> None:
        write(profiles=str(profiles), output=str(folder / "suite.h5ad"), overwrite=True)

    taken = [(seconds(script), seconds(suite)) for _ in range(RUNS)]
    medians = [statistics.median(column) for column in zip(*taken, strict=True)]
    print(json.dumps({"seconds": {"script": medians[0], "suite": medians[1]}}), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
