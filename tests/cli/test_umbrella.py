"""`pct COMMAND` is the tool of that command, and shells complete its options."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from pycytominer_transform.tools import umbrella
from running import environment, run

PCT = str(Path(sys.executable).with_name("pct"))


@pytest.mark.parametrize("command", umbrella.COMMANDS)
def test_a_command_is_its_tool(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert umbrella.main([command, "--help"]) == 0
    assert capsys.readouterr().out == run(umbrella.COMMANDS[command], "--help").done().out.decode()


@pytest.mark.quick
def test_it_runs_as_a_process() -> None:
    ran = subprocess.run([PCT, "convert", "--version"], capture_output=True, text=True, env=environment(), check=True)
    assert ran.stdout == f"pct-flow {version('pycytominer-transform')}\n"
    ran = subprocess.run([PCT, "join", "--threads", "0"], capture_output=True, text=True, env=environment())
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("pct-join: error: argument --threads")


@pytest.mark.parametrize("words", [[], ["dicsover"], ["completion"], ["completion", "cmd"]])
def test_wrong_words_are_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert umbrella.main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("pct: error: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("shell", umbrella.SHELLS)
@pytest.mark.quick
def test_completion_is_a_script_for_the_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert umbrella.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for name in ("pct", "pct-flow", "pct-discover", "pct-extract", "pct-join", "pct-write", "pct-report"):
        assert name in script.split() or f"--command {name} " in script


def offered(line: str, folder: Path) -> set[str]:
    """Return what the tool on a command line offers a shell at the line's end."""
    answer = folder / "answer"
    program = str(Path(sys.executable).with_name(line.split()[0]))
    variables = {
        "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9", "IFS": "\013",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "_ARGCOMPLETE_IFS": "\013",
    }  # fmt: skip
    subprocess.run([program], env=environment(**variables), cwd=folder, check=True, capture_output=True)
    return {word.strip() for word in answer.read_text().split("\013")}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pct ", {"convert", "discover", "extract", "join", "write", "report", "completion"}),
        ("pct completion ", {"bash", "zsh", "fish"}),
        ("pct convert --dask", {"--dask-scheduler", "--dask-cluster"}),
        ("pct-flow plate -o x.parquet --runner ", {"concurrent", "dask", "sequential"}),
        ("pct-join --unmatched ", {"drop", "keep"}),
        ("pct-write in/", {"in/profiles"}),
    ],
)
def test_what_a_shell_offers(line: str, words: set[str], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "profiles").touch()
    assert offered(line, tmp_path) >= words


@pytest.mark.skipif(os.system("command -v bash > /dev/null") != 0, reason="bash is not installed")
def test_bash_takes_the_script() -> None:
    script = f'eval "$({PCT} completion bash)"; complete -p pct-flow'
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment(), check=True)
    assert "pct-flow" in ran.stdout
