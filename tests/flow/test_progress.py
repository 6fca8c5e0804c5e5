"""Bars on a terminal, and what a Prefect server shows of a flow that cannot be shown."""

from __future__ import annotations

import io
import re
import sys
import time

import pytest
from pycytominer_transform.common import progress_bars
from pycytominer_transform.common.prefect_artifacts import FlowArtifacts
from pycytominer_transform.common.progress_bars import duration, only_these_bars, progress
from pycytominer_transform.common.reporting import logger, set_up_reporting


class Terminal(io.StringIO):
    """A terminal that can be looked at."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """Give the lines that stand there after all that was written."""
        lines, at = [""], 0
        for code, number, text in re.findall(r"\x1b\[(\d*)([A-Z])|([^\x1b])", self.getvalue()):
            if number == "F":
                at -= int(code)
            elif number == "K":
                lines[at] = ""
            elif number == "J":
                del lines[at + 1 :]
                lines[at] = ""
            elif text == "\n":
                at += 1
                if at == len(lines):
                    lines.append("")
            else:
                assert text, number
                lines[at] += text
        return lines[:-1]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give a clock that stands still until it is set."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def look(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Be at a terminal; not a fixture, for pytest sets stderr anew after those."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress_bars, "_terminal", progress_bars._Terminal())
    set_up_reporting("pct-flow", quiet=False, verbose=False, log_format="text")
    return screen


BARS = {"looking at files": "discover", "extract": "extract", "join": "join"}


def test_a_bar_for_each_stage_with_parts_rows_and_time_left(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    terminal = look(monkeypatch)
    with only_these_bars(BARS):
        progress("looking at files", 8, 8)
        clock[0] += 5
        progress("extract", 10, 100, taken_up=10)
        clock[0] += 30
        progress("extract", 25, 100, rows=12345, taken_up=10)
        progress("joining parts", 1, 1)
        assert terminal.screen() == [
            f"discover  [{'#' * 24}] 8/8  ",
            f"extract   [{'#' * 6}{'-' * 18}] 25/100  12,345 rows  2:30 left",
            f"join      [{'-' * 24}]  ",
        ]
        logger.warning("a folder lacks Nuclei.csv")
        assert terminal.screen() == ["pct-flow: warning: a folder lacks Nuclei.csv"]
        clock[0] += 1
        progress("extract", 100, 100, rows=50000, taken_up=10)
        assert [line.split()[0] for line in terminal.screen()] == ["pct-flow:", "discover", "extract", "join"]
        assert terminal.screen()[2] == f"extract   [{'#' * 24}] 100/100  50,000 rows  "
    assert terminal.screen() == ["pct-flow: warning: a folder lacks Nuclei.csv"]


def test_a_tool_of_its_own_has_one_bar(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    terminal = look(monkeypatch)
    progress("joining parts", 1, 3)
    clock[0] += 60
    progress("joining parts", 2, 3)
    assert terminal.screen() == [f"joining parts [{'#' * 16}{'-' * 8}] 2/3  1:00 left"]


def test_bars_are_drawn_at_most_ten_times_a_second(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    terminal = look(monkeypatch)
    for done in range(1, 1000):
        progress("joining parts", done, 1000)
        clock[0] += 0.001
    assert terminal.getvalue().count("\n") == 10


@pytest.mark.parametrize(
    ("quiet", "log_format", "term"), [(True, "text", "xterm"), (False, "json", "xterm"), (False, "text", "dumb")]
)
def test_no_bars_where_nobody_wants_them(
    quiet: bool, log_format: str, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = look(monkeypatch)
    monkeypatch.setenv("TERM", term)
    set_up_reporting("pct-flow", quiet=quiet, verbose=False, log_format="json" if log_format == "json" else "text")
    progress("joining parts", 1, 1)
    assert terminal.getvalue() == ""


def test_no_bars_where_stderr_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    set_up_reporting("pct-flow", quiet=False, verbose=False, log_format="text")
    progress("joining parts", 1, 1)
    assert pipe.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "written"), [(0.4, "0:00"), (61, "1:01"), (3599.7, "1:00:00"), (86461, "24:01:01")]
)
def test_times(seconds: float, written: str) -> None:
    assert duration(seconds) == written


@pytest.mark.prefect
def test_a_server_that_takes_no_artifact_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, told: pytest.LogCaptureFixture
) -> None:
    from prefect import artifacts

    asked: list[object] = []

    def refuse(*words: object, **more: object) -> None:
        asked.append(words)
        raise ConnectionError("no answer")

    for name in ("create_progress_artifact", "update_progress_artifact", "create_markdown_artifact"):
        monkeypatch.setattr(artifacts, name, refuse)
    shown = FlowArtifacts(wanted=True)
    shown.progress(1, 2)
    shown.progress(2, 2)
    shown.summary("# done")
    FlowArtifacts(wanted=False).summary("# done")
    assert asked == [(50.0,)]
    assert "the Prefect server takes no artifact: no answer" in told.text
