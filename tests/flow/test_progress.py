"""Bars on a terminal, and what a Prefect server shows of a flow that cannot be shown."""

from __future__ import annotations

import io
import re
import sys
import threading
from collections.abc import Iterator

import pytest
from pycytominer_transform.common.flow.report import FlowArtifacts
from pycytominer_transform.common.runtime import progress_bars, terminal
from pycytominer_transform.common.runtime.messages import logger, set_up_reporting
from pycytominer_transform.common.runtime.progress_bars import clear_progress, duration, only_these_bars, progress
from terminals import screen


class Terminal(io.StringIO):
    """A terminal that can be looked at."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """Return the lines that stand there, once the bars have been drawn anew."""
        display = progress_bars._bars._display
        if display is not None:
            display.refresh()
        return screen(self.getvalue())


@pytest.fixture(autouse=True)
def _bars(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    bars = progress_bars._Bars()
    monkeypatch.setattr(progress_bars, "_bars", bars)
    monkeypatch.setattr(terminal, "_is_pipe", lambda _descriptor: False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    yield
    bars.clear()


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Be at a terminal; not a fixture, for pytest sets stderr anew after those."""
    opened = Terminal()
    monkeypatch.setattr(sys, "stderr", opened)
    set_up_reporting("pct-flow", quiet=False, verbose=False, log_format="text")
    return opened


BARS = {"looking at files": "discover", "extract": "extract", "join": "join"}


def behind_bars(lines: list[str]) -> dict[str, str]:
    """Return what stands behind each bar, by the bar's name."""
    return {line.split()[0]: re.sub(r"^\w+ +[━╸╺]* *", "", line) for line in lines}


def test_a_bar_for_each_stage_with_parts_and_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_terminal(monkeypatch)
    with only_these_bars(BARS):
        progress("looking at files", 8, 8)
        progress("extract", 10, 100)
        progress("extract", 25, 100, rows=12345)
        progress("joining parts", 1, 1)
        after = behind_bars(opened.lines())
        assert list(after) == ["discover", "extract", "join"]
        assert after["discover"].startswith("8/8 ")
        assert after["extract"].startswith("25/100  12,345 rows ")
        assert "/" not in after["join"]
        logger.warning("a folder lacks Nuclei.csv")
        progress("join", 1, 100)
        lines = opened.lines()
        assert lines[0] == "pct-flow: warning: a folder lacks Nuclei.csv"
        assert behind_bars(lines[1:])["join"].startswith("1/100 ")
    assert opened.lines() == ["pct-flow: warning: a folder lacks Nuclei.csv"]


def test_a_tool_of_its_own_has_one_bar_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_terminal(monkeypatch)
    progress("joining parts", 1, 3)
    assert [line.split()[:2] for line in opened.lines()] == [["joining", "parts"]]
    progress("joining parts", 3, 3)
    assert opened.lines() == []


def test_no_message_is_lost_among_bars_of_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_terminal(monkeypatch)

    def work(number: int) -> None:
        for done in range(1, 100):
            progress("joining parts", done, 100 + number)
            logger.info("thread %d, part %d", number, done)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clear_progress()
    expected = {f"pct-flow: thread {number}, part {done}" for number in range(4) for done in range(1, 100)}
    assert set(opened.lines()) == expected


@pytest.mark.parametrize("failure", [OSError(5, "Input/output error"), ValueError("I/O operation on closed file")])
def test_a_terminal_that_is_gone_is_no_error(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_terminal(monkeypatch)

    def refuse(_text: str) -> int:
        raise failure

    monkeypatch.setattr(opened, "write", refuse)
    with only_these_bars(BARS):
        progress("extract", 1, 2)
        logger.warning("a folder lacks Nuclei.csv")


@pytest.mark.parametrize(
    ("quiet", "log_format", "term"), [(True, "text", "xterm"), (False, "json", "xterm"), (False, "text", "dumb")]
)
def test_no_bars_where_nobody_wants_them(
    quiet: bool, log_format: str, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_terminal(monkeypatch)
    monkeypatch.setenv("TERM", term)
    set_up_reporting("pct-flow", quiet=quiet, verbose=False, log_format="json" if log_format == "json" else "text")
    progress("joining parts", 1, 2)
    assert opened.getvalue() == ""


def test_no_bars_where_stderr_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    set_up_reporting("pct-flow", quiet=False, verbose=False, log_format="text")
    progress("joining parts", 1, 2)
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
    shown = FlowArtifacts(is_enabled=True)
    shown.progress(1, 2)
    shown.progress(2, 2)
    shown.summary("# done")
    FlowArtifacts(is_enabled=False).summary("# done")
    assert asked == [(50.0,)]
    assert "the Prefect server refused an artifact: no answer" in told.text
