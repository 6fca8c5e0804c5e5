"""Every command and option that README.md and the guides give as an example, typed as written, ends well."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from converting import Convert, Options
from oracle_relations import add_children, renamed
from plates_sheets import SMALL, set_column, small_tables, write_sheets
from pycytominer_transform.tools import discover, extract, flow, join

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    *sorted((ROOT / "docs" / "explanation").glob("*.md")),
]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
MAINS = {"pct-discover": discover.main, "pct-extract": extract.main, "pct-flow": flow.main, "pct-join": join.main}
COMMANDS = [line for line in re.findall(r"(?m)^pct-[a-z]+ .*$", TEXT) if not re.search("://|: | [|] ", line)]
PARSERS = {"discover": discover.build_parser(), "extract": extract.build_parser(), "join": join.build_parser()}
OPTIONS = re.findall(
    r"`(--(?:set|path-metadata|platemap-on|unmatched|columns|on-bad-\w+|aggregate-children) [^`]+)`", TEXT
)
PLATEMAP = "plate\twell\tdose\nBR00117001\tA01\t5\n"


@pytest.fixture
def plates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the sources that the examples name, and go to their folder."""
    monkeypatch.chdir(tmp_path)
    (tables,) = small_tables(replace(SMALL, folders=1)).values()
    header, *lines = tables["Image"]
    tables["Image"] = [[*header, "Metadata_Barcode"], *([*line, "BR00117001"] for line in lines)]
    set_column(tables["Image"], "Metadata_Plate", ["BR00117001"])
    set_column(tables["Image"], "Metadata_Well", ["A01"])
    write_sheets(tmp_path / "BR00117001", {".": tables})
    tables |= renamed({"": tables}, "_Cellpose3")[""]
    add_children(tables, "PH3", "Nuclei", [2, 0, 1])
    write_sheets(tmp_path / "plate", {"BR00117001_A01": tables})
    batch = tmp_path / "metadata" / "platemaps" / "2021_04_26_Batch1"
    (batch / "platemap").mkdir(parents=True)
    (batch / "barcode_platemap.csv").write_text("Assay_Plate_Barcode,Plate_Map_Name\nBR00117001,a\n")
    (batch / "platemap" / "a.txt").write_text("well_position\tdose\nA01\t5\n")
    (tmp_path / "platemap.txt").write_text(PLATEMAP)
    assert discover.main(["plate", "-q", "-o", "manifest.arrow"]) == 0
    return tmp_path


@pytest.mark.prefect
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("plates")
def test_a_command(command: str) -> None:
    tool, *words = shlex.split(command)
    assert MAINS[tool]([*words, "-q"]) == 0
    assert Path(words[words.index("-o") + 1]).exists()


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option(option: str, plates: Path, convert: Convert) -> None:
    words = shlex.split(option)
    tool = next(tool for tool, parser in PARSERS.items() if words[0] in parser.flags)
    given = {tool: words}
    if words[0] == "--platemap-on":
        given["join"] += ["--platemap", str(plates / "platemap.txt")]
    if words[0] == "--aggregate-children":
        given["discover"] = ["--compartments", "cells,cytoplasm,nuclei,ph3"]
    assert convert(plates / "plate", options=Options(**given)).is_file()


def test_examples_are_found() -> None:
    assert len(COMMANDS) >= 6
    assert {option.split()[0] for option in OPTIONS} >= {"--set", "--path-metadata", "--platemap-on"}
