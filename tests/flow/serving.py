"""Real servers for the tests: Prefect's, Dask's scheduler and worker, and processes that are waited for and ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycytominer_transform.common.flow.prefect_environment import HOME_PREFIX
from waiting import wait_until

HERE = Path(__file__).parent
PATIENCE = 800
_PAGE = 200


def group_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def end_group(process: subprocess.Popen[Any]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@dataclass
class Jobs:
    """Starts jobs of `prefect_jobs` with a temporary directory and an environment of their own."""

    folder: Path

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_")}
        path = os.pathsep.join(filter(None, [str(HERE), str(HERE.with_name("support")), os.environ.get("PYTHONPATH")]))
        # A home that cannot be written to: nothing may depend on ~/.prefect. But a database that is migrated already.
        cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
        ours = {"PYTHONPATH": path, "TMPDIR": str(self.folder), "HOME": "/nonexistent", "XDG_CACHE_HOME": cache}
        return kept | ours | more

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "prefect_jobs", *arguments],
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            start_new_session=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Wait for a job that must succeed, say nothing but its result, and leave nothing behind."""
        try:
            out, err = process.communicate(timeout=PATIENCE)
            assert (process.returncode, err) == (0, "")
            wait_until(lambda: group_gone(process.pid), "end of all child processes")
        finally:
            end_group(process)
        result: dict[str, Any] = json.loads(out)
        return result

    def run(self, *arguments: str, **more: str) -> dict[str, Any]:
        return self.finish(self.start(*arguments, **more))

    def homes(self) -> list[Path]:
        return list(self.folder.glob(f"{HOME_PREFIX}*"))


@dataclass
class Server:
    """A running Prefect server."""

    url: str

    def ask(self, what: str) -> list[dict[str, Any]]:
        """List all records of a kind; a server answers with at most 200 at a time."""
        found: list[dict[str, Any]] = []
        while True:
            body = json.dumps({"offset": len(found), "limit": _PAGE}).encode()
            request = urllib.request.Request(f"{self.url}/{what}/filter", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request) as answer:
                page = json.load(answer)
            found += page
            if len(page) < _PAGE:
                return found

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health") as answer:
                return bool(answer.status == 200)
        except urllib.error.URLError:
            return False
