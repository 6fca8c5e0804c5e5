"""The Conda recipe requires what the package requires, and builds as far as that goes without a channel."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from engines import CONTAINERS, ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

pytestmark = pytest.mark.containers

RECIPE = CONTAINERS / "conda" / "recipe.yaml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Packages that Conda's channels have under another name than Python's index.
NAMES = {"duckdb": "python-duckdb", "xxhash": "python-xxhash"}
# What the extras of a requirement bring, which Conda's packages do not have.
EXTRAS = {"google-cloud-storage"}


def recipe() -> Any:
    return pytest.importorskip("yaml").safe_load(RECIPE.read_text())


def test_the_recipe_requires_what_the_package_requires() -> None:
    wanted = {"python": SpecifierSet(PROJECT["requires-python"])}
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        wanted[NAMES.get(requirement.name, requirement.name)] = requirement.specifier
    pairs = (line.partition(" ") for line in recipe()["requirements"]["run"])
    found = {name: SpecifierSet(versions) for name, _, versions in pairs if name not in EXTRAS}
    assert found == wanted


def test_the_recipe_builds_with_this_python_in_the_place_of_a_channels(tmp_path: Path) -> None:
    rattler_build = pytest.importorskip("rattler_build")
    text = RECIPE.read_text().replace("path: ../..", f"path: {ROOT}").replace("noarch: python", "noarch: generic")
    # No channel: nothing can be required to build, nor be there for the tests of the package.
    text = re.sub(r"(?s)  host:\n.*?(?=  run:\n)", "", text)
    text = re.sub(r"(?s)tests:\n.*?(?=about:\n)", "", text)
    assert text.count("script: python -m pip install . ") == 1
    text = text.replace(
        "script: python -m pip install . ", f"script: {shlex.quote(sys.executable)} -m pip install . --prefix $PREFIX "
    )
    (tmp_path / "recipe.yaml").write_text(text)
    stage = rattler_build.Stage0Recipe.from_file(str(tmp_path / "recipe.yaml"))
    (built,) = stage.run_build(channels=[], output_dir=str(tmp_path / "out"))
    (path,) = built.packages
    package = rattler_build.Package.from_file(path)
    files = {str(file) for file in package.files}
    assert (package.name, str(package.version)) == (PROJECT["name"], PROJECT["version"])
    assert {f"bin/{name}" for name in PROJECT["scripts"]} <= files
    assert "share/man/man1/pct.1" in files
    assert any(file.endswith("pycytominer_transform/common/report/forms/page.html") for file in files)
    assert len(package.depends) == len(recipe()["requirements"]["run"])
