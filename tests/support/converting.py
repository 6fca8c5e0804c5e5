"""From a source to Parquet in all the ways there are: in process by files, streams or a flow; in a shell by pipes.

A way is ``files``, ``streams``, or a mixture such as ``|>|`` (one sign for each of the three links between the four
stages: a stream or a file); ``pipe``, where the stages are processes that run at once; or one of pct-flow's runners.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pycytominer_transform.tools import discover, extract, join, write
from running import Ran
from running import run as run_tool

__all__ = [
    "MIXTURES",
    "RUNNERS",
    "Convert",
    "Options",
    "differences",
    "parquet_table",
    "row_groups",
    "run",
    "run_shell",
]

STAGES = ("discover", "extract", "join", "write")
MIXTURES = ("||>", "|>|", "|>>", ">||", ">|>", ">>|")
RUNNERS = ("sequential", "concurrent", "dask")
_WAYS = {"streams": "|||", "files": ">>>"}
_MAINS = {"discover": discover.main, "extract": extract.main, "join": join.main, "write": write.main}
_PATIENCE = 240


@dataclass(frozen=True)
class Options:
    """Further words on the command lines of the stages; pct-flow gets all of them."""

    discover: Sequence[str] = ()
    extract: Sequence[str] = ()
    join: Sequence[str] = ()
    write: Sequence[str] = ()

    def of(self, stage: str) -> list[str]:
        """Give the words of one stage."""
        words: Sequence[str] = getattr(self, stage)
        return list(words)


def run(stage: str, *words: str | Path) -> None:
    """Run a stage in process, and fail the test where it does not exit 0."""
    code = _MAINS[stage]([*map(str, words), "--quiet"])
    assert code == 0, f"pct-{stage} {shlex.join(map(str, words))} exited {code}"


def run_shell(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a shell in which the tools are found and any stage's failure fails the pipe."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    words = ["bash", "-c", f"set -eo pipefail\n{script}"]
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=_PATIENCE)


@dataclass
class Convert:
    """Converts sources below a folder of its own; each call makes a Parquet file of its own."""

    folder: Path
    _made: list[Path] = field(default_factory=list)

    def __call__(self, source: Path | str, how: str = "files", options: Options | None = None) -> Path:
        """Convert a source and give the Parquet file."""
        work = self.folder / f"{len(self._made):03d}"
        work.mkdir(parents=True)
        self._made.append(work)
        chosen = options or Options()
        if how == "pipe":
            _by_pipe(source, work, chosen)
        elif how in RUNNERS:
            _by_flow(source, work, how, chosen)
        else:
            _in_process(source, work, _WAYS.get(how, how), chosen)
        return work / "out.parquet"


def _in_process(source: Path | str, work: Path, links: str, options: Options) -> None:
    """Run the stages one after the other; a stream's bytes are the next stage's standard input."""
    places = dict(zip(STAGES, ("manifest.arrow", "bundle", "profiles", "out.parquet"), strict=True))
    given: list[Path | str] = [source]
    stream = b""
    for stage, link in zip(STAGES, f"{links}>", strict=True):
        output = ["-o", work / places[stage]] if link == ">" else []
        stream = _quiet(run_tool(stage, *given, *output, "--quiet", *options.of(stage), stdin=stream))
        assert bool(stream) == (link == "|")
        given = [work / places[stage]] if link == ">" else []


def _by_pipe(source: Path | str, work: Path, options: Options) -> None:
    tools = (shlex.join([f"pct-{stage}", "-q", *options.of(stage)]) for stage in STAGES[1:])
    script = (
        " | ".join(
            [
                shlex.join(["pct-discover", "-q", str(source), *options.discover]),
                *tools,
            ]
        )
        + " -o out.parquet"
    )
    done = run_shell(script, work)
    assert done.returncode == 0, f"{script}\n{done.stderr}"
    assert done.stdout == ""
    assert all(": warning: " in line for line in done.stderr.splitlines()), done.stderr


def _by_flow(source: Path | str, work: Path, runner: str, options: Options) -> None:
    words = [word for stage in STAGES for word in options.of(stage)]
    assert _quiet(run_tool("flow", source, "-o", work / "out.parquet", "--runner", runner, "--quiet", *words)) == b""


def _quiet(ran: Ran) -> bytes:
    """Return the output of a tool that succeeded and told no more than warnings, which are shown."""
    sys.stderr.write(ran.done().err)
    assert all(": warning: " in line for line in ran.lines), ran
    return ran.out


def parquet_table(path: Path) -> pa.Table:
    """Read a Parquet file as it stands, without looking for partitions in its path."""
    with pq.ParquetFile(path) as file:
        return file.read()


def row_groups(path: Path) -> list[tuple[int, ...]]:
    """Give, for each row group, its rows and the bytes of each of its columns."""
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        return [
            (group.num_rows, *(group.column(i).total_uncompressed_size for i in range(group.num_columns)))
            for group in groups
        ]


def differences(left: Path, right: Path) -> list[str]:
    """List what differs between two Parquet files: columns, types, rows, any bit of any value, row groups."""
    one, other = parquet_table(left), parquet_table(right)
    if not one.schema.equals(other.schema):
        return [f"schemas: {one.schema.to_string()} | {other.schema.to_string()}"]
    if one.num_rows != other.num_rows:
        return [f"rows: {one.num_rows} | {other.num_rows}"]
    pairs = zip(one.column_names, one.columns, other.columns, strict=True)
    found = [f"column {name}" for name, a, b in pairs if not _bits(a).equals(_bits(b))]
    return found or ([] if row_groups(left) == row_groups(right) else ["row groups"])


def _bits(column: pa.ChunkedArray) -> Any:
    array = column.combine_chunks()
    return array.view(pa.int64()) if pa.types.is_float64(array.type) else array
