"""Many flows and many single tools at once, with one home and one folder of temporary files for all of them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from torture_checks import content

__all__ = ["Together", "prefect_server", "waiting_for_locks"]

PATIENCE = 900
STAGES = {"discover": "plate", "extract": "manifest.arrow", "join": "bundle", "write": "profiles"}


@dataclass
class Together:
    """Processes that run at once below a folder; `complaints` says what was wrong.

    Attributes
    ----------
    waited
        Processes that the kernel had wait for another's lock.
    """

    folder: Path
    source: Path
    url: str = ""
    complaints: list[str] = field(default_factory=list)
    waited: set[int] = field(default_factory=set)
    seconds: float = 0.0

    def run(self, flows: int, tools: int) -> None:
        """Start so many `pct-flow` and so many single tools, a quarter of them of each kind, and wait for all."""
        for name in ("home", "tmp", "out"):
            (self.folder / name).mkdir(parents=True)
        self._stage()
        began = time.monotonic()
        running = [self._start("flow", self.source, f"{number}.parquet") for number in range(flows)]
        for number in range(tools):
            stage = list(STAGES)[number % len(STAGES)]
            made = {"discover": f"{number}.arrow", "write": f"{number}-written"}.get(stage, f"{number}.{stage}")
            running.append(self._start(stage, self.folder / STAGES[stage], made))
        processes = {process.pid: process for process, _ in running}
        while any(process.poll() is None for process in processes.values()):
            self.waited |= waiting_for_locks() & processes.keys()
            if time.monotonic() - began > PATIENCE:
                self.complaints.append(f"some are at work for {PATIENCE} s")
                for process in processes.values():
                    process.kill()
            time.sleep(0.01)
        self.seconds = time.monotonic() - began
        for process, said in running:
            told = [line for line in said.read_text().splitlines() if ": warning: " not in line]
            if process.returncode or told:
                self.complaints.append(f"{said.name} ended with {process.returncode}: {' / '.join(told[-3:])}")
        if self.waited:
            self.complaints.append(f"{len(self.waited)} processes waited for a lock")
        self._compare()

    def _stage(self) -> None:
        """Make what the later stages take."""
        (self.folder / "plate").symlink_to(self.source)
        before = self.source
        for stage, taken in list(STAGES.items())[1:]:
            tool = {"extract": "discover", "join": "extract", "write": "join"}[stage]
            words = [_executable(tool), str(before), "-q", "-o", str(self.folder / taken)]
            subprocess.run(words, check=True, env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True)
            before = self.folder / taken

    def _start(self, tool: str, source: Path, made: str) -> tuple[subprocess.Popen[bytes], Path]:
        said = self.folder / f"{tool}-{made}.said"
        with said.open("wb") as told:
            process = subprocess.Popen(
                [_executable(tool), str(source), "-q", "-o", str(self.folder / "out" / made)], stdout=told, stderr=told,
                stdin=subprocess.DEVNULL, cwd=self.folder, env=self._environment(),
            )  # fmt: skip
        return process, said

    def _environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_")}
        named = {"PREFECT_API_URL": self.url} if self.url else {}
        return kept | named | {"HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp")}

    def _compare(self) -> None:
        """See that all made the same, and that nothing else is left."""
        for suffix in (".parquet", ".arrow", ".extract", ".join", "-written"):
            made = sorted((self.folder / "out").glob(f"*{suffix}"))
            if made and any(content(path) != content(made[0]) for path in made[1:]):
                self.complaints.append(f"not all *{suffix} are alike")
        hidden = [path.name for path in (self.folder / "out").glob(".*")]
        left = {name: os.listdir(self.folder / name) for name in ("tmp", "home")}
        # The database that private servers begin with is kept for the next run, complete or not at all.
        kept = [
            str(path.relative_to(self.folder / "home"))
            for path in (self.folder / "home").rglob("*.*")
            if path.is_file()
        ]
        database = re.compile(r"\.cache/pycytominer-transform/prefect-[0-9.]+\.db")
        if left["home"] == [".cache"] and all(map(database.fullmatch, kept)):
            left["home"] = []
        # A server that somebody named is told of runs with what Prefect keeps in its home.
        if hidden or left["tmp"] or (left["home"] and not self.url):
            self.complaints.append(f"left behind: {left} {hidden}")


@contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    """Run a `prefect server start` with its home in a folder; gives its address."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_")}
    settings = {"PREFECT_HOME": str(folder), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_UI_ENABLED": "false"}
    with (folder / "said").open("wb") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port],
            env=kept | settings, stdout=told, stderr=told, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE
        while not _answers(int(port)):
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError((folder / "said").read_text())
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/api"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health") as answer:
        return bool(answer.status == 200)
    return False


def waiting_for_locks() -> set[int]:
    """List the processes that wait for a lock of another's, by the kernel's own list."""
    found = set()
    with suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            # 12: -> FLOCK  ADVISORY  WRITE 4711 00:30:99 0 EOF
            words = line.split()
            if len(words) > 5 and words[1] == "->":
                found.add(int(words[5]))
    return found


def _executable(tool: str) -> str:
    return str(Path(sys.executable).with_name(f"pct-{tool}"))
