"""The short help fits on one screen and its examples parse; the full help names presets, exit codes and documents."""

from __future__ import annotations

import importlib
import re
import shlex
from importlib.metadata import metadata

import pytest
from pycytominer_transform.common.cli.parser import Parser
from pycytominer_transform.common.model.preset import packaged_presets
from running import TOOLS as MAIN_TOOLS
from running import run

pytestmark = pytest.mark.quick
TOOLS = (*MAIN_TOOLS, "report")
ROWS, COLUMNS = 30, 80


def parser_of(tool: str) -> Parser:
    made: Parser = importlib.import_module(f"pycytominer_transform.tools.{tool}").build_parser()
    return made


@pytest.mark.parametrize("tool", [*TOOLS, "umbrella"])
def test_the_short_help_is_one_screen(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    lines = parser_of(tool).short_help().splitlines()
    assert len(lines) <= ROWS
    assert max(map(len, lines)) <= COLUMNS
    assert len(parser_of(tool).examples) == 3


@pytest.mark.parametrize("tool", TOOLS)
def test_h_is_short_and_names_the_full_help(tool: str) -> None:
    said = run(tool, "-h").done().out.decode()
    assert said.startswith(f"usage: pct-{tool} ")
    assert said.endswith(f"documents: pct-{tool} --help\n")
    assert "--endpoint-url" not in said


@pytest.mark.parametrize("tool", TOOLS)
def test_examples_are_commands_that_the_tools_take(tool: str) -> None:
    for example in parser_of(tool).examples:
        for command in example.split(" | "):
            words = shlex.split(re.split(r"  +", command)[0])
            parser_of(words[0].removeprefix("pct-")).parse_args(words[1:])


@pytest.mark.parametrize("tool", TOOLS)
def test_the_full_help_says_where_to_read_on(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    said = run(tool, "--help").done().out.decode()
    addresses = dict(line.split(", ") for line in metadata("pycytominer-transform").get_all("Project-URL") or [])
    assert said.endswith(f"documents: {addresses['Documentation']}\n")
    assert re.findall(r"(?m)^  (\d+) ", said.partition("exit codes:")[2]) == ["0", "1", "2", "70", "130"]
    before = said.partition("exit codes:")[0]
    listed = re.findall(r"(?m)^  (\w+) ", before.rpartition("\npresets:\n")[2]) if "\npresets:\n" in before else []
    assert listed == ([preset.name for preset in packaged_presets()] if tool in ("discover", "flow") else [])
    assert max(map(len, said.splitlines())) <= COLUMNS


@pytest.mark.parametrize("tool", TOOLS)
def test_defaults_have_one_form(tool: str) -> None:
    for action in parser_of(tool)._actions:
        if action.default not in (None, False, "", "-", 0, [], ["-"], (), "==SUPPRESS=="):
            assert "(default: " in str(action.help) or action.default in ((1, 1),), action.option_strings


def test_a_stage_explains_itself_alone() -> None:
    assert "pct-flow" not in run("join", "--help").done().out.decode()
