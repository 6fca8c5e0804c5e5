"""The documents name files that exist, and every package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick
ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "containers").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    names = re.findall(r"`((?:common|tools|containers|tests|\.ci)/[\w./]*)`", page.read_text())
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^):#]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_package_is_on_the_page_of_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = [path.parent.name for path in (ROOT / "common").glob("*/__init__.py")]
    assert [name for name in packages if f"`common/{name}/`" not in text] == []


def test_the_layers_of_the_import_check_are_all_packages() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = settings["contracts"]
    layers = {name.rpartition(".")[2] for layer in contract["layers"] for name in layer.split(" | ")}
    modules = {path.parent.name for path in (ROOT / "common").glob("*/__init__.py")}
    assert layers == modules | {"errors", "tools"}
