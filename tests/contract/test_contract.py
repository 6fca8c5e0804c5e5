"""What all six command lines promise, whatever they do: help, versions, refusals, exit codes, one line of words."""

from __future__ import annotations

import argparse
import importlib
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import pytest
from running import PATIENCE, STAGES, TOOLS, Staged, entries, environment, executable, json_lines, run

EVERY = (*TOOLS, "report")
READERS = ("extract", "join", "write")
WANTED = {"extract": "a manifest", "join": "a bundle", "write": "profiles"}
UNARGUED = {"discover": ["."], "flow": [".", "-o", "x.parquet"], "report": ["x.parquet"]}
GARBAGE = {
    "text": b"ImageNumber,ObjectNumber\n1,1\n",
    "zeros": bytes(4096),
    "noise": bytes(range(256)) * 40,
    "one byte": b"\xff",
    "an Arrow file's first bytes": b"ARROW1\0\0",
    "a stream's first bytes": b"\xff\xff\xff\xff",
    "a message of 2 GB": b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"x" * 100,
}


def first_words(tool: str, staged: Staged) -> list[str]:
    """Give the INPUT that the tool takes."""
    return [str(staged.source if tool in UNARGUED else staged.at_rest(tool))]


def parser_of(tool: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = importlib.import_module(f"pycytominer_transform.tools.{tool}").build_parser()
    return made


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Give both ends of a terminal: the keyboard and screen, and what a program sees."""
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("tool", EVERY)
def test_help_goes_to_stdout_and_names_every_option(tool: str) -> None:
    ran = run(tool, "--help").done()
    parser = parser_of(tool)
    assert ran.err == ""
    assert ran.out.decode().startswith(f"usage: pct-{tool} ")
    for action in parser._actions:
        assert all(word in ran.out.decode() for word in action.option_strings)
        assert action.help, f"{action.dest} has no help"


@pytest.mark.parametrize("tool", EVERY)
@pytest.mark.quick
def test_version_is_that_of_the_distribution(tool: str) -> None:
    ran = run(tool, "--version").done()
    assert ran.out.decode() == f"pct-{tool} {version('pycytominer-transform')}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--no-such-option"],
        ["--log-format", "yaml"],
        ["--quie"],
    ],
)
@pytest.mark.parametrize("tool", EVERY)
def test_a_wrong_option_is_one_line(tool: str, words: list[str]) -> None:
    ran = run(tool, *UNARGUED.get(tool, []), *words)
    ran.failed(2, words[0])
    assert ran.out == b""


@pytest.mark.parametrize("tool", EVERY)
@pytest.mark.parametrize(("wrong", "meant"), [("--hlep", "--help"), ("--outptu=x", "--output"), ("--quit", "--quiet")])
def test_a_wrong_option_is_named_before_what_is_missing(tool: str, wrong: str, meant: str) -> None:
    said = run(tool, wrong).failed(2, wrong.partition("=")[0], "did you mean --")
    if meant in parser_of(tool).format_help():
        assert f"did you mean {meant}" in said


def test_a_word_that_looks_like_an_option_is_a_value_where_argparse_takes_it_for_one() -> None:
    run("join", "--image-columns", "--no such--", "--", "--no-such-file").failed(1, "--no-such-file")


@pytest.mark.parametrize("digits", [20, 400, 5000])
@pytest.mark.parametrize("tool", EVERY)
def test_numbers_and_sizes_are_bounded(tool: str, digits: int, tmp_path: Path) -> None:
    metavars = {"N": "9" * digits, "SIZE": "9" * digits, "I/N": f"{'9' * digits}/{'9' * digits}"}
    options = [action for action in parser_of(tool)._actions if action.metavar in metavars]
    assert options
    for action in options:
        words = [*UNARGUED.get(tool, []), action.option_strings[0], metavars[str(action.metavar)]]
        assert len(run(tool, *words).failed(2, action.option_strings[0], "999")) < 300


@pytest.mark.parametrize("tool", UNARGUED)
def test_no_source_is_said(tool: str) -> None:
    run(tool).failed(2, "INPUT" if tool == "report" else "SOURCE")


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("discover", ["--part-size", "0"]),
        ("discover", ["--part-size", "many"]),
        ("discover", ["--shard", "3/2"]),
        ("discover", ["--shard", "0/2"]),
        ("discover", ["--compartments", "cells,,nuclei"]),
        ("discover", ["--preset", "no_such_preset"]),
        ("extract", ["--threads", "0"]),
        ("join", ["--image-columns", "("]),
        ("join", ["--memory", "-1"]),
        ("write", ["--row-group-rows", "1.5"]),
        ("flow", ["--dask-scheduler", "tcp://nowhere:1"]),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line(tool: str, words: list[str], staged: Staged, tmp_path: Path) -> None:
    output = ["-o", str(tmp_path / ("out.parquet" if tool in ("write", "flow") else "out"))]
    run(tool, *first_words(tool, staged), *output, *words).failed(2, words[-1] if tool != "flow" else words[0])
    assert not entries(tmp_path)


@pytest.mark.parametrize("tool", READERS)
def test_a_terminal_on_stdin_is_not_read(tool: str) -> None:
    with terminal() as (_, theirs):
        run(tool, stdin=theirs).failed(2, WANTED[tool])


def on_terminal(tool: str, *words: str) -> tuple[int, str, str]:
    """Run a tool with a terminal on stdout; gives its exit code, what the screen shows and stderr."""
    with terminal() as (ours, theirs):
        ended = subprocess.run(
            [executable(tool), *words], stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE,
            env=environment(), timeout=PATIENCE, check=False,
        )  # fmt: skip
        os.set_blocking(ours, False)
        screen = b""
        with suppress(BlockingIOError):
            while True:
                screen += os.read(ours, 1 << 16)
    return ended.returncode, screen.decode(), ended.stderr.decode()


@pytest.mark.parametrize("tool", READERS)
@pytest.mark.quick
def test_a_terminal_on_stdout_gets_no_data(tool: str, staged: Staged) -> None:
    code, screen, said = on_terminal(tool, *first_words(tool, staged))
    assert (code, screen) == (2, "")
    assert re.fullmatch(rf"pct-{tool}: error: .*-o PATH.*\n", said)


def test_discover_shows_a_table_on_a_terminal(staged: Staged) -> None:
    code, screen, said = on_terminal("discover", str(staged.source), "--part-size", "1")
    assert code == 0
    assert "error" not in said
    shown = [line.split() for line in screen.splitlines()]
    assert ["preset", "cellprofiler_csv:"] in [line[:2] for line in shown]
    assert {line[0]: line[1] for line in shown if line and line[0] in ("image", "cells", "cytoplasm", "nuclei")} == {
        "image": "3", "cells": "3", "cytoplasm": "3", "nuclei": "3",
    }  # fmt: skip
    assert [line[0] for line in shown[-3:]] == ["1", "2", "3"]
    assert said.splitlines()[-1].endswith("in 3 parts")


@pytest.mark.parametrize("tool", STAGES)
@pytest.mark.quick
def test_no_such_input(tool: str, tmp_path: Path) -> None:
    gone = tmp_path / "no such place"
    ran = run(tool, gone, "-o", tmp_path / "out")
    ran.failed(1, str(gone))
    assert ran.out == b""
    assert not entries(tmp_path)


@pytest.mark.parametrize("tool", READERS)
@pytest.mark.parametrize("at_rest", [False, True])
def test_an_empty_input(tool: str, tmp_path: Path, at_rest: bool) -> None:
    empty, out = tmp_path / "empty", tmp_path / "out"
    empty.touch()
    out.mkdir()
    ran = run(tool, *([empty] if at_rest else []), "-o", out / "made")
    ran.failed(1, str(empty) if at_rest else "standard input", "ended early")
    assert not entries(out)


@pytest.mark.parametrize("tool", READERS)
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_for_input(tool: str, kind: str, tmp_path: Path) -> None:
    run(tool, "-o", tmp_path / "made", stdin=GARBAGE[kind]).failed(1, "standard input")
    assert not entries(tmp_path)


# A bundle begins with its manifest, so pct-extract may well read one.
@pytest.mark.parametrize(
    ("tool", "other"),
    [("extract", "write"), ("join", "extract"), ("join", "write"), ("write", "extract"), ("write", "join")],
)
def test_another_stages_output_for_input(tool: str, other: str, staged: Staged, tmp_path: Path) -> None:
    run(tool, "-o", tmp_path / "made", stdin=staged.streams[other]).failed(1, "standard input")
    assert not entries(tmp_path)


@pytest.mark.parametrize("tool", TOOLS)
def test_an_output_in_no_folder(tool: str, staged: Staged, tmp_path: Path) -> None:
    ran = run(tool, *first_words(tool, staged), "-o", tmp_path / "no" / "such" / "folder.parquet")
    ran.failed(1, str(tmp_path / "no" / "such"))
    assert not entries(tmp_path)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.quick
def test_an_output_that_exists(tool: str, staged: Staged, tmp_path: Path) -> None:
    there = tmp_path / "there.parquet"
    there.write_text("precious")
    run(tool, *first_words(tool, staged), "-o", there).failed(1, str(there), "--overwrite")
    assert there.read_text() == "precious"
    assert entries(tmp_path) == {"there.parquet"}


@pytest.mark.parametrize("tool", ["extract", "join", "write"])
def test_a_folder_that_holds_other_things_is_not_overwritten(tool: str, staged: Staged, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    run(tool, *first_words(tool, staged), "-o", folder).done()
    run(tool, *first_words(tool, staged), "-o", folder, "--overwrite").done()
    before = entries(folder)
    (folder / "thesis.tex").write_text("precious")
    run(tool, *first_words(tool, staged), "-o", folder, "--overwrite").failed(1, str(folder))
    assert entries(folder) == before | {"thesis.tex"}
    assert entries(tmp_path) == {"home"}


@pytest.mark.parametrize("tool", STAGES)
def test_quiet_is_silent_on_success(tool: str, staged: Staged, tmp_path: Path) -> None:
    said = run(tool, *first_words(tool, staged), "-o", tmp_path / "loud").done().err
    assert said.startswith(f"pct-{tool}: ")
    assert run(tool, *first_words(tool, staged), "-o", tmp_path / "quiet", "-q").done().err == (
        "pct-join: warning: " + said.split("warning: ")[1] if "warning: " in said else ""
    )


@pytest.mark.parametrize("tool", STAGES)
@pytest.mark.quick
def test_json_messages(tool: str, staged: Staged, tmp_path: Path) -> None:
    words = [*first_words(tool, staged), "-o", tmp_path / "made", "--log-format", "json"]
    good = json_lines(run(tool, *words).err)
    bad = json_lines(run(tool, *words).err)
    assert {line["level"] for line in good} <= {"info", "warning"}
    assert [line["level"] for line in bad] == ["error"]
    assert str(tmp_path / "made") in bad[0]["message"]
    assert {line["tool"] for line in good + bad} == {f"pct-{tool}"}
