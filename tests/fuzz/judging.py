"""What a tool may do with any input: exit with 0, 1 or 2, say why in one line, and write to its output alone."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Sequence
from contextlib import chdir, suppress
from pathlib import Path

import pyarrow.parquet
import pyarrow.types
from oracle import compare
from oracle_sources import Value
from running import Ran, run

__all__ = ["MOST_MEMORY", "Judge"]

MOST_MEMORY = 1 << 30
"""Bytes that a process may grow by over one small input."""
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Judge:
    """Runs tools below one folder, and collects what is wrong with how they end.

    Attributes
    ----------
    folder : Path
        The case's own; the tools' outputs go to ``out`` in it.
    complaints : list of str
        What was wrong; empty for nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.cwd = folder / "cwd"
        self.out.mkdir()
        self.cwd.mkdir()
        self.complaints: list[str] = []
        self._before = self._listed()

    def run(self, tool: str, *words: object, stdin: bytes = b"") -> Ran:
        """Run a tool, judge how it ends, and give that."""
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with chdir(self.cwd):
            ran = run(tool, *words, stdin=stdin)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) << 10
        if grown > MOST_MEMORY:
            self.complaints.append(f"pct-{tool}: memory grew by {grown >> 20} MiB")
        self._judge_end(ran)
        return ran

    def convert(self, source: Path, words: dict[str, Sequence[str]] | None = None) -> Ran:
        """Run the four stages in a row up to the first that fails; give how the last one ended."""
        ran = self.run("discover", source, *(words or {}).get("discover", ()))
        for stage in ("extract", "join", "write"):
            if ran.code:
                break
            last = ["-o", self.made] if stage == "write" else []
            ran = self.run(stage, *last, *(words or {}).get(stage, ()), stdin=ran.out)
        return ran

    @property
    def made(self) -> Path:
        """Where the Parquet file goes."""
        return self.out / "made.parquet"

    def judge_cells(self, rows: list[dict[str, Value]]) -> None:
        """Compare what was written with the oracle's rows, cell by cell.

        The oracle decides types by simpler rules; where it has a text or a whole number and the tools a number, the
        numbers are compared.
        """
        table = pyarrow.parquet.ParquetFile(self.made).read()
        kinds = {field.name: field.type for field in table.schema}
        for row in rows:
            for name, value in row.items():
                kind = kinds.get(name, pyarrow.null())
                with suppress(ValueError, OverflowError):
                    if value is not None and pyarrow.types.is_floating(kind):
                        number = float(value)
                        row[name] = None if number != number else number
                    elif isinstance(value, float) and value.is_integer() and pyarrow.types.is_integer(kind):
                        row[name] = int(value)
                    elif isinstance(value, str) and pyarrow.types.is_integer(kind):
                        row[name] = None if value.lower() in ("nan", "-nan") else int(value)
        self.complaints += [f"oracle: {line}" for line in compare(rows, table, 3)]

    def judge_files(self) -> list[str]:
        """See that nothing was written but to the output, and give all that was wrong."""
        if new := sorted(self._listed() - self._before):
            self.complaints.append(f"written elsewhere: {new[:3]!r}")
        if left := sorted(name for name in os.listdir(self.out) if name.endswith(".pct-tmp")):
            self.complaints.append(f"left behind: {left!r}")
        return self.complaints

    def _judge_end(self, ran: Ran) -> None:
        who = f"pct-{ran.tool}"
        if ran.code not in (0, 1, 2):
            self.complaints.append(f"{who}: exit code {ran.code}: {ran.err[-3000:]}")
            return
        if "Traceback" in ran.err:
            self.complaints.append(f"{who}: a traceback: {ran.err[-3000:]}")
        errors = len(ran.errors)
        if errors != (1 if ran.code else 0) or (ran.code and ran.err.splitlines()[-1:] != ran.errors[-1:]):
            self.complaints.append(f"{who}: exit code {ran.code}, but {errors} error lines: {ran.err[-1000:]!r}")
        if stray := [line for line in ran.err.split("\n") if line and not line.startswith(f"{who}: ")]:
            self.complaints.append(f"{who}: a stray line: {stray[0][:300]!r}")
        if control := _CONTROLS.search(ran.err):
            self.complaints.append(f"{who}: control character {control[0]!r} in a message: {ran.err[-1000:]!r}")
        if ran.code and any(len(line) > 4000 for line in ran.errors):
            self.complaints.append(f"{who}: an error line of {max(map(len, ran.errors))} characters")

    def _listed(self) -> set[str]:
        found: set[str] = set()
        for place, folders, files in os.walk(self.folder):
            if Path(place) == self.folder and "out" in folders:
                folders.remove("out")
            found.update(os.path.join(place, name) for name in (*folders, *files))
        return found
