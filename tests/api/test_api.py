"""`import pycytominer_transform` gives the stages as functions, and loads heavy libraries only when one is used."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import version

import pycytominer_transform
import pytest

pytestmark = pytest.mark.quick


def test_every_name_is_there() -> None:
    assert pycytominer_transform.__version__ == version("pycytominer-transform")
    for name in pycytominer_transform.__all__:
        assert getattr(pycytominer_transform, name)
    assert set(pycytominer_transform.__all__) <= set(dir(pycytominer_transform))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pycytominer_transform.nothing


@pytest.mark.parametrize("name", ["discover", "extract", "join", "write", "convert"])
def test_a_function_is_that_of_its_tool(name: str) -> None:
    assert getattr(pycytominer_transform, name) is getattr(
        importlib.import_module(f"pycytominer_transform.tools.{name}"), name
    )


def test_the_import_loads_nothing_heavy() -> None:
    script = "import sys, pycytominer_transform as p; p.__version__; p.discover; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pyarrow", "prefect", "duckdb", "numpy", "pandas"} & set(loaded)
