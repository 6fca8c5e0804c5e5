"""Files that repeat the version or the needs of pyproject.toml have the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REPEATED = {
    "CITATION.cff": r"(?m)^version: (\S+)$",
    "containers/conda/recipe.yaml": r'(?m)^  version: "(\S+)"$',
    "docs/man/pct.1": r"pycytominer\\-transform (\S+)\"",
    "CHANGELOG.md": r"(?m)^## (\S+) ",
} | {
    f"containers/nextflow/modules/pct/{tool}/{name}": pattern
    for tool in ("discover", "extract", "join", "write")
    for name, pattern in (("main.nf", r'container "pct-\w+:(\S+)"'), ("environment.yml", r"transform==(\S+)"))
}
CONDA_NAMES = {"duckdb": "python-duckdb", "xxhash": "python-xxhash", "cloudpathlib[s3,gs]": "cloudpathlib"}
"""Names of conda-forge that differ from those of the Python index."""


@pytest.mark.parametrize("name", REPEATED)
def test_a_file_has_the_version_of_the_project(name: str) -> None:
    found = re.findall(REPEATED[name], (ROOT / name).read_text())
    assert found
    assert found[0] == PROJECT["version"]


def test_the_conda_recipe_has_the_needs_of_the_project() -> None:
    section = (ROOT / "containers" / "conda" / "recipe.yaml").read_text().partition("  run:\n")[2].partition("\n\n")[0]
    recipe = dict(line.removeprefix("    - ").split(" ", 1) for line in section.splitlines())
    needs: dict[str, str] = dict(re.findall(r"(?m)^([\w\[\],-]+?)([<>=].*)$", "\n".join(PROJECT["dependencies"])))
    declared = {CONDA_NAMES.get(name, name): bounds for name, bounds in needs.items()}
    assert {name: recipe.get(name) for name in declared} == declared
    assert recipe["python"] == PROJECT["requires-python"]
