"""README.md and the pages in docs/ are what the tools say: tables, presets, and the outputs of their examples."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import first_minutes
import man_pages
import pictures
import pytest
import readme

SVG = "{http://www.w3.org/2000/svg}"
MADE = [page for page in readme.PAGES if re.search(r"<!-- (run|/[a-z-]+) -->", page.read_text(encoding="utf-8"))]


@pytest.mark.prefect
@pytest.mark.parametrize("page", MADE, ids=lambda page: str(page.relative_to(readme.ROOT)))
def test_a_page_is_what_the_tools_say(page: Path) -> None:
    assert readme.main([str(page)]) == 0


def test_the_manual_pages_are_those_of_the_parsers() -> None:
    made = man_pages.made()
    assert {page: page.read_text(encoding="utf-8") for page in made} == made
    assert {page.name for page in man_pages.FOLDER.iterdir()} == {page.name for page in made}


def test_the_picture_is_the_plate_of_the_report() -> None:
    made = pictures.made()
    assert {path: path.read_text(encoding="utf-8") for path in made} == made
    assert "](docs/plate.svg)" in readme.README.read_text(encoding="utf-8")
    drawn = ElementTree.fromstring(made[pictures.PICTURE])
    wells = [group for group in drawn.iter(f"{SVG}g") if group.find(f"{SVG}rect") is not None]
    assert len(wells) == 96
    assert sum(group.get("class") == "missing" for group in wells) == 2
    for element in drawn.iter():
        assert not [value for value in element.attrib.values() if value.startswith(("http", "//", "data:"))]


def test_all_that_the_readme_has_a_new_user_type_is_run() -> None:
    text = readme.README.read_text(encoding="utf-8")
    commands = "".join(first_minutes.blocks(text))
    for name in ("make setup", "export PATH=", "pct discover", "| pct-write -o", "pct convert", "duckdb", "columns("):
        assert name in commands
    assert len(text.split()) < 2000
    assert text.count("<!-- run -->") >= 5
