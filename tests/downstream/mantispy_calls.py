"""Let mantispy validate AnnData outputs; for an environment with mantispy, see .ci/ranges.sh.

Give files or stores: ``python mantispy_calls.py plate.h5ad plate.zarr``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def read(path: str) -> Any:
    """Read a file or a store."""
    import anndata

    return anndata.read_zarr(path) if path.endswith(".zarr") else anndata.read_h5ad(path)


def main(paths: list[str]) -> int:
    """Validate each output, and return how many are not valid."""
    from mantispy.io import validate

    reports = {path: validate(read(path)) for path in paths}
    for path, report in reports.items():
        print(f"mantispy on {Path(path).name}: {report}", file=sys.stdout if report.ok else sys.stderr)
    return sum(not report.ok for report in reports.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
