"""Time commands side by side and print what they took.

Compared cases run in turn (A B C, A B C, ...), so that a machine that slows down slows all of them alike.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Case", "Group", "Taken", "run_group", "table_lines"]

LAUNCHER = Path(__file__).with_name("bench_launch.py")


@dataclass(frozen=True)
class Case:
    """One thing to time.

    Attributes
    ----------
    command
        A program and its arguments, or a shell line (a str) that bash runs with `pipefail`.
    output
        What it writes; removed before each run.
    most_runs
        Run it no more often than this, however many runs the others get; for cases that take minutes.
    counts_rows
        Count the rows of what it wrote, to be compared with the other cases'.
    tells_seconds
        It ends with a line of JSON that says how long each of its stages took; they become notes.
    """

    name: str
    command: Sequence[str] | str
    output: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    most_runs: int | None = None
    counts_rows: bool = True
    tells_seconds: bool = False


@dataclass
class Group:
    """Cases that are compared; ratios are to the first that works.

    Attributes
    ----------
    kind, folders
        What is compared, and on how large a plate (or in how many parts), for who judges the figures.
    """

    title: str
    cases: list[Case]
    kind: str = ""
    folders: int = 0


@dataclass
class Taken:
    """What one case's runs took: whole wall and processor seconds, MB of its largest process, rows it wrote.

    Attributes
    ----------
    notes
        Other figures, by name.
    """

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    rows: int | None = None
    failure: str = ""
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Median wall seconds; not a number when it never ran to its end."""
        return statistics.median(self.wall) if self.wall else float("nan")


def run_group(group: Group, runs: int) -> dict[str, Taken]:
    """Run the group's cases in turn; a case that fails is not run again."""
    taken = {case.name: Taken() for case in group.cases}
    for turn in range(runs):
        for case in group.cases:
            result = taken[case.name]
            if result.failure or (case.most_runs is not None and turn >= case.most_runs):
                continue
            if sys.stderr.isatty():
                print(f"\r\x1b[K{group.title}: {case.name}, run {turn + 1} of {runs}", end="", file=sys.stderr)
            _run(case, result)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    return taken


def table_lines(group: Group, taken: Mapping[str, Taken]) -> list[str]:
    """Write a group's results as the lines of a Markdown table."""
    first = next((result.seconds for result in taken.values() if result.wall), float("nan"))
    lines = [
        f"### {group.title}",
        "",
        "| case | runs | median s | fastest s | slowest s | ratio | processor s | largest process MB | rows |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, result in taken.items():
        if result.failure:
            lines.append(f"| {name} | {len(result.wall)} | failed: {result.failure} | | | | | | |")
            continue
        cells = [
            str(len(result.wall)),
            f"{result.seconds:.2f}",
            f"{min(result.wall):.2f}",
            f"{max(result.wall):.2f}",
            f"{result.seconds / first:.2f}",
            f"{statistics.median(result.processor):.2f}",
            f"{statistics.median(result.megabytes):.0f}",
            "" if result.rows is None else str(result.rows),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _run(case: Case, result: Taken) -> None:
    if case.output is not None:
        _remove(case.output)
    command = ["bash", "-o", "pipefail", "-c", case.command] if isinstance(case.command, str) else list(case.command)
    with tempfile.TemporaryDirectory(prefix="pct-bench-") as folder:
        figures_path, complaint_path = Path(folder, "figures.json"), Path(folder, "stderr")
        launch = [sys.executable, "-I", "-S", str(LAUNCHER), str(figures_path), *command]
        environment = {**os.environ, **case.environment}
        with complaint_path.open("wb") as complaint:
            subprocess.run(launch, check=True, stderr=complaint, cwd=case.folder, env=environment)
        figures = json.loads(figures_path.read_text())
        said = complaint_path.read_text(errors="replace").strip().splitlines() or ["said nothing"]
    if figures["exit"]:
        result.failure = f"exit {figures['exit']}: {' / '.join(said[-3:])}".replace("|", "\\|")
        return
    result.wall.append(figures["wall"])
    result.processor.append(figures["processor"])
    result.megabytes.append(figures["megabytes"])
    if case.tells_seconds:
        lines = map(json.loads, reversed(said))
        result.notes |= next(line["seconds"] for line in lines if isinstance(line.get("seconds"), dict))
    if case.output is not None and case.counts_rows:
        result.rows = _rows(case.output)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _rows(path: Path) -> int:
    import pyarrow.parquet

    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    return sum(pyarrow.parquet.ParquetFile(file).metadata.num_rows for file in files)
