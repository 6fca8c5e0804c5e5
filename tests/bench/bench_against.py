"""`make bench ARGS='--against REV'`: this tree and another commit, timed in turn on the same plates.

Each is installed into a virtual environment of its own that sees the libraries of the running Python, so that both use
the same versions. What the two wrote is compared value by value.
"""

from __future__ import annotations

import io
import shutil
import statistics
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from bench_cases import KINDS, Options, flow, pipe, plate_of
from bench_cloud import cloud_groups
from bench_measure import Case, Group, Taken, run_group, table_lines
from bench_verdicts import PARTS_WORKERS, Verdict, verdict_lines

__all__ = ["compare", "first_difference"]

ROOT = Path(__file__).resolve().parents[2]
THIS, FAILED = "this tree", "a case failed"
PACKAGED = ("common", "tools", "docs", "pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True)
class Bounds:
    """How many times the other commit's figures this tree's may be; None where nothing is promised."""

    wall: float | None = None
    processor: float | None = None
    memory: float | None = 1.3
    milliseconds_a_part: float | None = None


@dataclass(frozen=True)
class Build:
    """One version of the tools, and the folder of its executables."""

    name: str
    folder: Path


@dataclass(frozen=True)
class Comparison:
    """The same command of both versions; the first case is the other commit's."""

    group: Group
    bounds: Bounds


def compare(options: Options, rev: str) -> int:
    """Compare this tree with a commit; 1 if a bound is not kept."""
    found: list[Verdict] = []
    for comparison in comparisons(options, install_builds(rev, options.work / "builds")):
        taken = run_group(comparison.group, options.runs)
        print("\n".join(table_lines(comparison.group, taken)), flush=True)
        found += comparison_verdicts(comparison, taken)
    print("\n".join(verdict_lines(found)))
    return int(any(verdict.kept is False or verdict.measured == FAILED for verdict in found))


def comparisons(options: Options, builds: list[Build]) -> Iterator[Comparison]:
    """Give what is promised to be as fast as at another commit, each with its plate ready when it comes up."""
    outputs = options.work / "against"
    outputs.mkdir(parents=True, exist_ok=True)

    def both(title: str, source: Path | str, how: Callable[..., Case], folders: int = 0, **more: Any) -> Group:
        outs = [outputs / f"{build.folder.parents[1].name}.parquet" for build in builds]
        pairs = zip(builds, outs, strict=True)
        return Group(title, [how(source, out, name=b.name, folder=b.folder, **more) for b, out in pairs], "", folders)

    if "small" in options.groups:
        yield Comparison(both("demo plate, pct-flow", ROOT / "tests" / "demo" / "plate", flow), Bounds(1.5))
    for folders in options.folders:
        for kind in KINDS:
            if kind in options.groups:
                source = plate_of(options, folders, kind)
                yield Comparison(both(f"{kind}, {folders} folders, pipe", source, pipe), Bounds(1.15, 1.1))
                if kind == "csv":
                    yield Comparison(both(f"{kind}, {folders} folders, pct-flow", source, flow), Bounds(1.2))
    if "parts" in options.groups:
        source = plate_of(replace(options, cells=2, features=4), options.parts, "csv")
        words = f"--part-size 1 --workers {PARTS_WORKERS}"
        group = both(f"{options.parts} tiny parts, pct-flow", source, flow, options.parts, words=words)
        yield Comparison(group, Bounds(milliseconds_a_part=40))
    if "cloud" in options.groups:
        plate = plate_of(options, options.folders[0], "csv")
        with cloud_groups(plate, options.work, lambda _, url: both("", url, pipe).cases) as groups:
            for group in groups:
                yield Comparison(replace(group, title=f"{group.title}, from S3 on loopback, pipe"), Bounds(1.3))


def install_builds(rev: str, place: Path) -> list[Build]:
    """Install the other commit, then this tree, below a folder.

    Raises
    ------
    subprocess.CalledProcessError
        There is no such commit, or it cannot be installed; what was said is on stderr.
    """
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", f"{rev}^{{commit}}"], check=True, stdout=subprocess.PIPE
    ).stdout.decode().strip()  # fmt: skip
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], check=True, stdout=subprocess.PIPE).stdout
    trees = [place / "other", place / "this"]
    for tree in trees:
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(trees[0], filter="data")
    for name in PACKAGED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, trees[1] / name)
    return [Build(name, _install(tree)) for name, tree in zip((commit, THIS), trees, strict=True)]


def _install(tree: Path) -> Path:
    """Install a tree without its libraries, and return the folder of its executables."""
    print(f"installing {tree}", file=sys.stderr)
    venv = tree / ".venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = venv / "bin" / "python"
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", str(tree)]
    subprocess.run([str(python), *install], check=True, stdout=sys.stderr)
    # Paths of a .pth file come after the environment's own, and the .pth files within them are not read.
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text("\n".join(libraries) + "\n")
    return python.parent


def comparison_verdicts(comparison: Comparison, taken: Mapping[str, Taken]) -> Iterator[Verdict]:
    """Judge this tree's medians by the other commit's, and compare what both wrote."""
    group, bounds = comparison.group, comparison.bounds
    other, this = (taken[case.name] for case in group.cases)
    if not (other.wall and this.wall):
        yield Verdict(group.title, "", FAILED, None)
        return
    figures = [
        ("wall", bounds.wall, other.wall, this.wall),
        ("processor", bounds.processor, other.processor, this.processor),
    ]
    figures.append(("largest process", bounds.memory, other.megabytes, this.megabytes))
    for what, most, before, after in figures:
        if most:
            ratio = statistics.median(after) / statistics.median(before)
            yield Verdict(f"{group.title}: {what}", f"at most {most:g} times", f"{ratio:.2f} times", ratio <= most)
    if bounds.milliseconds_a_part:
        each = 1000 * this.seconds / group.folders
        most = bounds.milliseconds_a_part
        yield Verdict(
            f"{group.title}: a part, with all that a flow costs", f"at most {most:g} ms", f"{each:.1f} ms", each <= most
        )
    before_output, after_output = (case.output for case in group.cases)
    if before_output and after_output:
        difference = first_difference(before_output, after_output)
        yield Verdict(f"{group.title}: outputs", "equal by value", difference or "equal", not difference)


def first_difference(one: Path, other: Path) -> str:
    """Return the first difference of the columns that an older Parquet file has; empty if there is none."""
    schemas = [pq.read_schema(path).remove_metadata() for path in (one, other)]
    fields = [[(field.name, str(field.type)) for field in schema] for schema in schemas]
    known = set(fields[0])
    if fields[0] != [field for field in fields[1] if field in known]:
        return f"the columns differ: {sorted(known - set(fields[1]))[:5] or 'in their order'}"
    for name, _ in fields[0]:
        columns = [_bits(pq.read_table(path, columns=[name])[name]) for path in (one, other)]
        if not columns[0].equals(columns[1]):
            return f"column {name} differs"
    return ""


def _bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return floating point numbers as the integers of the same bits, so that NaN equals NaN and 0.0 is not -0.0."""
    if not pa.types.is_floating(column.type):
        return column
    width = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[column.type.bit_width]
    return pa.chunked_array([chunk.view(width) for chunk in column.chunks], width)
