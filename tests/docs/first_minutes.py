"""Run the first five minutes of README.md exactly as they are written, in a fresh clone; needs only Python.

`python3 tests/docs/first_minutes.py` in the clone, which must not have been set up. What the commands write is removed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from shell_session import printed_by

CLONE = Path(__file__).resolve().parents[2]


def blocks(text: str) -> list[str]:
    """Return the blocks of commands, with their marks and outputs."""
    section = text.partition("## The first five minutes\n")[2].partition("\n## ")[0]
    found = re.finditer(r"(?:<!-- run -->\n)?```sh\n.*?```(?:\n\n```text\n.*?```)?", section, re.DOTALL)
    return [match[0] for match in found]


def main() -> None:
    """Run the commands, and show what they print."""
    text = (CLONE / "README.md").read_text(encoding="utf-8")
    commands = [block.partition("```sh\n")[2].partition("```")[0] for block in blocks(text)]
    before = {*CLONE.iterdir()}
    for command, printed in zip(commands, printed_by(commands, CLONE, os.environ["PATH"]), strict=True):
        print(f"{command}{printed}")
    for path in {*CLONE.iterdir()} - before:
        if path.suffix in (".parquet", ".html", ".txt"):
            path.unlink()


if __name__ == "__main__":
    main()
