"""The libraries that the parts of a flow are made with, imported ahead of the first part."""

from __future__ import annotations

import importlib

_LIBRARIES = (
    "prefect.flow_engine",
    "prefect.task_engine",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.json",
    "pyarrow.parquet",
    "duckdb",
)


def import_libraries() -> None:
    """Import them, at a time at which a processor would have nothing to do."""
    for name in _LIBRARIES:
        importlib.import_module(name)
