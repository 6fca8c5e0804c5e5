"""Running the tools as a shell would: in process with descriptors of their own, or as processes."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

__all__ = ["STAGES", "TOOLS", "Ran", "Staged", "entries", "environment", "main_of", "run", "run_process", "stage"]

STAGES = ("discover", "extract", "join", "write")
TOOLS = (*STAGES, "flow")
PATIENCE = 300


@dataclass(frozen=True)
class Ran:
    """How a tool ended and what it said."""

    tool: str
    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()

    @property
    def errors(self) -> list[str]:
        """The lines that say what failed."""
        return [line for line in self.lines if line.startswith(f"pct-{self.tool}: error: ")]

    def failed(self, code: int, *words: str, alone: bool = True) -> str:
        """Check that the tool ended so, in one error line that holds these words, and give that line.

        `alone` says that nothing else came to stderr; else warnings and reports may stand before the error.
        """
        assert self.code == code, self
        assert "Traceback" not in self.err, self
        assert len(self.errors) == 1, self
        assert self.lines[-1] == self.errors[0], self
        assert not alone or len(self.lines) == 1, self
        assert all(re.match(rf"pct-{self.tool}: ", line) for line in self.lines), self
        for word in words:
            assert word in self.errors[0], f"{word!r} is not in {self.errors[0]!r}"
        return self.errors[0]

    def done(self) -> Ran:
        """Check that the tool succeeded."""
        assert self.code == 0, self
        assert not self.errors, self
        return self


@dataclass(frozen=True)
class Staged:
    """A good source and what each stage makes of it, in files and as the bytes that go through a pipe."""

    folder: Path
    source: Path
    streams: Mapping[str, bytes]

    def at_rest(self, stage: str) -> Path:
        """Give what the stage before takes as a path: a manifest's file, a bundle's folder, a folder of profiles."""
        return self.folder / {"extract": "manifest.arrow", "join": "bundle", "write": "profiles"}[stage]


def main_of(tool: str) -> Callable[[Sequence[str]], int]:
    main: Callable[[Sequence[str]], int] = importlib.import_module(f"pycytominer_transform.tools.{tool}").main
    return main


@contextlib.contextmanager
def _descriptors(*files: int) -> Iterator[None]:
    """Put other files under descriptors 0, 1 and 2, and under Python's names for them."""
    kept, names = [os.dup(number) for number in range(3)], (sys.stdin, sys.stdout, sys.stderr)
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
        sys.stdin = open(0, closefd=False, encoding="utf-8")
        sys.stdout, sys.stderr = (open(n, "w", closefd=False, encoding="utf-8") for n in (1, 2))
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        sys.stdin, sys.stdout, sys.stderr = names
        for number, file in enumerate(kept):
            os.dup2(file, number)
            os.close(file)


def run(tool: str, *words: object, stdin: bytes | int = b"") -> Ran:
    """Run a tool's `main` in this process; `stdin` is what it reads, or an open descriptor."""
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
        if isinstance(stdin, bytes):
            given.write(stdin)
            given.seek(0)
        source = given.fileno() if isinstance(stdin, bytes) else stdin
        with _descriptors(source, out.fileno(), err.fileno()):
            code = main_of(tool)([str(word) for word in words])
        out.seek(0)
        err.seek(0)
        return Ran(tool, code, out.read(), err.read().decode())


def executable(tool: str) -> str:
    """Give the path of an installed tool, which lies beside the Python that runs the tests."""
    return str(Path(sys.executable).with_name(f"pct-{tool}"))


def environment(**more: str) -> dict[str, str]:
    """Give an environment in which the tools are on the path and no Prefect API is named."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return kept | {"PATH": path} | more


def run_process(tool: str, *words: object, before: Sequence[str] = (), **more: Any) -> Ran:
    """Run an installed tool as a process; `before` are words to put before the command, such as ``unshare``."""
    options: dict[str, Any] = {"env": environment(), "stdin": subprocess.DEVNULL} | more
    command = [*before, executable(tool), *map(str, words)]
    ended = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False, **options)
    return Ran(tool, ended.returncode, ended.stdout, ended.stderr.decode())


def entries(folder: Path) -> set[str]:
    """List a folder's entries, hidden ones too."""
    return {entry.name for entry in folder.iterdir()}


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def stage(source: Path, folder: Path) -> Staged:
    """Run a good source through the stages, once through files and once through pipes."""
    run("discover", source, "-o", folder / "manifest.arrow", "--part-size", "1").done()
    run("extract", folder / "manifest.arrow", "-o", folder / "bundle").done()
    run("join", folder / "bundle", "-o", folder / "profiles").done()
    streams = {"extract": run("discover", source, "--part-size", "1").done().out}
    streams["join"] = run("extract", stdin=streams["extract"]).done().out
    streams["write"] = run("join", stdin=streams["join"]).done().out
    return Staged(folder, source, streams)
