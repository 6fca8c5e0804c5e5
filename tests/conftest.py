"""Fixtures of all test folders: the real files, the ways to convert a source, and one Prefect server."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from converting import Convert
from examples import examples
from figures import REAL, REAL_DATA, REAL_DATA_IS_THERE, TWINS, Figures
from filelock import FileLock
from hypothesis import HealthCheck, settings
from one_server import OneServer
from pycytominer_transform.common.flow import prefect_server
from pycytominer_transform.common.runtime.messages import logger
from twins import write_twins

# A shell that starts the tests in the background has them ignore Ctrl-C, and nohup the end of a terminal; the tools
# that they start would ignore both as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# On a busy machine nothing here says anything by its speed; in CI Hypothesis draws the same examples every time.
settings.register_profile(
    "pct",
    derandomize=bool(os.environ.get("CI")),
    deadline=None,
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("pct")


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the real files' twins, which the first process of a run makes for all."""
    here = tmp_path_factory.getbasetemp()
    folder = (here.parent if os.environ.get("PYTEST_XDIST_WORKER") else here) / "twins"
    with FileLock(folder.with_name("twins.lock")):
        if not folder.exists():
            write_twins(folder.with_name("twins.part")).rename(folder)
    return folder


@pytest.fixture(params=["twins", "real"] if REAL_DATA_IS_THERE else ["twins"])
def shared_data(request: pytest.FixtureRequest, twins: Path) -> Path:
    """Give a folder of measurement files: the twins, and the real ones as well where they are there."""
    return REAL_DATA if request.param == "real" else twins


@pytest.fixture
def one_of_the_data(twins: Path) -> Path:
    """Give the real files where they are there, else the twins: for tests of how bytes travel, where one will do."""
    return REAL_DATA if REAL_DATA_IS_THERE else twins


@pytest.fixture
def figures(shared_data: Path) -> Figures:
    """Give what is known of the measurement files."""
    return REAL if shared_data == REAL_DATA else TWINS


@pytest.fixture
def convert(tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """Give `converting.Convert`, which takes a source to a Parquet file in one of several ways."""
    return Convert(tmp_path_factory.mktemp("converted"))


@pytest.fixture(autouse=True)
def _no_prefect_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a Prefect API that the developer's shell names out of the tests."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.fixture(scope="session")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneServer]:
    """Give the Prefect server of all flows in this process."""
    server = OneServer(tmp_path_factory.mktemp("prefect"))
    yield server
    server.end()


@pytest.fixture(autouse=True)
def _one_server(one_server: OneServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_server, "private_prefect_server", one_server.serving)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """Give what the suite's logger says, also after a tool's `main` has sent its lines to stderr alone."""
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level("DEBUG", logger.name)
    return caplog


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in a line each where the real files were missing, and which tests were left out."""
    if not REAL_DATA_IS_THERE:
        terminalreporter.write_line(f"real files not found ({REAL_DATA}); their generated twins were tested instead")
    if terminalreporter.config.getoption("-m") == "not containers and not endurance":
        there = "" if shutil.which("docker") else " (there is no docker here)"
        terminalreporter.write_line("the tests that take longest were left out; make test-endurance")
        terminalreporter.write_line(f"tests of images and workflow engines were left out; make test-containers{there}")
