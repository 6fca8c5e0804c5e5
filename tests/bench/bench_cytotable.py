"""One conversion by CytoTable, run with the Python of its own environment: `bench_cytotable.py SOURCE OUT KIND`."""

from __future__ import annotations

import sys

PRESETS = {
    "csv": "cellprofiler_csv",
    "cellprofiler_sqlite": "cellprofiler_sqlite",
    "cytominer_database": "cell-health-cellprofiler-to-cytominer-database",
}


def main(argv: list[str]) -> int:
    """Convert SOURCE to OUT, a Parquet file."""
    import cytotable

    source, out, kind = argv
    cytotable.convert(
        source_path=source,
        dest_path=out,
        dest_datatype="parquet",
        source_datatype="csv" if kind == "csv" else "sqlite",
        preset=PRESETS[kind],
    )
    return 0


# CytoTable starts worker processes that import this file anew.
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
