"""A terminal of a test's own: a real one (a pty) to run processes on, and the lines that are left on its screen."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import termios
import threading
from collections.abc import Sequence
from typing import Any

_SEQUENCE = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|(.)", re.DOTALL)


def screen(text: str) -> list[str]:
    """Return the lines that stand on a terminal after a text was written to it, without blanks at their ends."""
    lines, row, column = [""], 0, 0
    for number, code, character in _SEQUENCE.findall(text):
        if code == "A":
            row = max(0, row - int(number or 1))
        elif code == "K":
            lines[row] = "" if number == "2" else lines[row][:column]
        elif character == "\r":
            column = 0
        elif character == "\n":
            row, column = row + 1, 0
            lines += [""] * (row == len(lines))
        elif character:
            lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1 :]
            column += 1
        else:
            assert code in "mhl", code
    return [line.rstrip() for line in lines if line.strip()]


class TerminalRun:
    """A process that runs on a pseudo-terminal, its standard streams included, until `wait`."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 200))
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        self.process = subprocess.Popen(command, start_new_session=True, **(streams | options))
        os.close(theirs)
        self._text = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 1 << 16)
            except OSError:  # Nobody has the terminal open any more.
                return
            if not piece:
                return
            self._text += piece

    def wait(self, timeout: float) -> tuple[int, str]:
        """Return the exit code and all that was written to the terminal."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        os.close(self._ours)
        return code, self._text.decode()
