"""A shell that runs commands one after the other on a terminal, as a reader of the documents would."""

from __future__ import annotations

import os
import pty
import subprocess
import tempfile
from pathlib import Path

_ORDER = ("pct-discover:", "pct-extract:", "pct-join:", "pct-write:", "pct-flow:")


def printed_by(commands: list[str], folder: Path, path: str) -> list[str]:
    """Return what each command prints: what goes to the terminal, then the messages, in the order of the stages.

    Parameters
    ----------
    folder : Path
        Where the shell runs; its name is left out of what is printed.
    path : str
        The shell's `PATH`.

    Raises
    ------
    SystemExit
        A command fails.
    """
    script = "set -e -o pipefail\n" + "".join(f"{command}\nprintf '\\0'; printf '\\0' >&2\n" for command in commands)
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PREFECT_", "VIRTUAL_ENV"))}
    ours, theirs = pty.openpty()
    with tempfile.TemporaryFile() as messages:
        shell = subprocess.Popen(
            ["bash", "-c", script], cwd=folder, stdin=subprocess.DEVNULL, stdout=theirs, stderr=messages,
            env=kept | {"PATH": path, "COLUMNS": "100", "NO_COLOR": "1"},
        )  # fmt: skip
        os.close(theirs)
        terminal = _all_of(ours).decode().replace("\r\n", "\n").split("\0")
        shell.wait()
        messages.seek(0)
        told = messages.read().decode().split("\0")
    if shell.returncode:
        failed = commands[min(len(told) - 1, len(commands) - 1)]
        raise SystemExit(f"a command of the documents fails: {failed}\n{terminal[-1]}{told[-1]}")
    # The stages of a pipe speak as each is ready; in the order of the stages they can be read, and compared.
    sorted_messages = ("".join(sorted(text.splitlines(keepends=True), key=_stage)) for text in told[:-1])
    return [
        (shown + text).replace(f"{folder}/", "") for shown, text in zip(terminal[:-1], sorted_messages, strict=True)
    ]


def _all_of(terminal: int) -> bytes:
    """Read a terminal until no process has it open."""
    read = bytearray()
    while True:
        try:
            block = os.read(terminal, 1 << 16)
        except OSError:
            # Linux ends a terminal so.
            block = b""
        if not block:
            os.close(terminal)
            return bytes(read)
        read += block


def _stage(line: str) -> int:
    return next((place for place, name in enumerate(_ORDER) if line.startswith(name)), 0)
