"""The four tools in a real shell pipe, with gates in it that hold the stream until a test lets it go on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from running import PATIENCE, STAGES, Ran, environment

__all__ = ["LivePipe"]


@dataclass
class LivePipe:
    """Four tools in a pipe that a shell runs in a folder; made.parquet is what the last one writes.

    A gate passes on so many bytes, tells that it has, waits for `release`, and then passes on the rest. So a test
    knows where every stage is without ever waiting for time to pass.

    Attributes
    ----------
    gates
        By stage, how many bytes pass before its input is held.
    words
        Options by stage.
    after
        What follows the last stage, such as ``| head -c 100``.
    """

    folder: Path
    source: Path
    gates: dict[str, int] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    output: str = "-o made.parquet"
    after: str = ""

    def __enter__(self) -> LivePipe:
        """Start the pipe, and wait until all four tools have."""
        for stage in self.gates:
            os.mkfifo(self.folder / f"{stage}.reached")
            os.mkfifo(self.folder / f"{stage}.go")
        for stage in STAGES:
            os.mkfifo(self.folder / f"{stage}.pid")
        (self.folder / "out").mkdir()
        self._shell = subprocess.Popen(
            ["bash", "-c", self._script(), "bash", str(self.source)], cwd=self.folder,
            env=environment(TMPDIR=str(self.folder)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.pids = {stage: int((self.folder / f"{stage}.pid").read_text()) for stage in STAGES}
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """End what is left of the pipe."""
        if self._shell.poll() is None:
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate()

    def _script(self) -> str:
        pipe = []
        for stage in STAGES:
            if stage in self.gates:
                pipe.append(f"(head -c {self.gates[stage]}; : > {stage}.reached; cat {stage}.go; exec cat) 2>/dev/null")
            first = '"$1" ' if stage == "discover" else ""
            last = self.output if stage == "write" else ""
            tool = f"pct-{stage} {first}-q {self.words.get(stage, '')} {last}"
            place = "cd out; " if stage == "write" else ""
            pipe.append(f"(echo $BASHPID > {stage}.pid; {place}exec {tool} 2> $OLDPWD/{stage}.err)")
        codes = 'echo "${PIPESTATUS[@]}"'
        return f"OLDPWD=$PWD; {' | '.join(pipe)} {self.after}; {codes}"

    def reach(self, stage: str) -> None:
        """Wait until a gate has passed on its bytes."""
        assert (self.folder / f"{stage}.reached").read_bytes() == b""

    def release(self, stage: str) -> None:
        """Let a gate pass on the rest."""
        (self.folder / f"{stage}.go").write_bytes(b"")

    def kill(self, stage: str, number: int = signal.SIGKILL) -> None:
        while number == signal.SIGTERM and not _catches(self.pids[stage], number):
            time.sleep(0.01)  # A shell still, or Python that starts.
        os.kill(self.pids[stage], number)

    def wait(self) -> dict[str, Ran]:
        """Wait until the pipe has ended; gives how each stage did."""
        said, _ = self._shell.communicate(timeout=PATIENCE)
        codes = [int(code) for code in said.split()]
        named = [name for stage in STAGES for name in ([f"gate of {stage}"] if stage in self.gates else []) + [stage]]
        code_of = dict(zip(named, codes, strict=False))
        return {stage: Ran(stage, code_of[stage], b"", (self.folder / f"{stage}.err").read_text()) for stage in STAGES}


def _catches(pid: int, number: int) -> bool:
    """Say whether a process has a handler for a signal; see proc_pid_status(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
