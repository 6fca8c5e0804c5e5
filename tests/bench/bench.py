"""What `make bench` runs: the tools, a bare Prefect flow, a floor and two peers, timed in turn on generated plates.

    make bench ARGS='--folders 36 288 --runs 5 --work /scratch/bench --peer'
    make bench ARGS='--folders 36 288 --runs 5 --parts 2000 --against REV'
    make bench ARGS='--workers 1,2,4,8,16 --folders 288'

Prints Markdown tables of medians and ratios on stdout. Executables are those beside the running Python.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from bench_against import compare
from bench_cases import KINDS, Options, flow, pipe, plate_of, tool
from bench_cloud import cloud_groups
from bench_floor_sqlite import extension
from bench_measure import Case, Group, Taken, run_group, table_lines
from bench_peer import install_peer
from bench_scan import as_the_peer, scans
from bench_verdicts import (
    BARE,
    CLOUD,
    DISK,
    FLOOR,
    FLOW,
    LITTLE,
    PARTS_WORKERS,
    PEER,
    PIPE,
    POLARS,
    REPORT,
    SCAN,
    Measured,
    verdict_lines,
    verdicts,
)  # fmt: skip
from bench_workers import curve_lines, curve_svg, speedups, workers_group
from plates import Plate, write_csv

TOOLS = ("pct-discover", "pct-extract", "pct-join", "pct-write", "pct-report", "pct-flow")
GROUPS = ("help", "start", "small", *KINDS, "anndata", "dask", "parts", "report", "scan", "cloud")
HERE = Path(__file__).resolve().parent
REAL = HERE.parents[2] / "shared" / "data" / "ExampleHuman"


def bare_flow() -> Case:
    """Give the flow of one empty task."""
    return Case(BARE, [sys.executable, str(HERE / "bench_bare_flow.py")])


def groups(options: Options) -> Iterator[Group]:
    """Give the groups asked for, each with its plate ready when it comes up."""
    outputs = options.work / "outputs"
    outputs.mkdir(parents=True, exist_ok=True)
    if "help" in options.groups:
        helps = [Case(f"{name} --help", f"{tool(name)} --help") for name in TOOLS]
        yield Group("Help", [Case("python -c pass", [sys.executable, "-c", "pass"]), *helps], "help")
    if "start" in options.groups:
        yield Group("Start", [start(options)], "start")
    if "small" in options.groups:
        small = REAL if REAL.is_dir() else HERE.with_name("demo") / "plate"
        cases = [pipe(small, outputs / "small-pipe.parquet"), flow(small, outputs / "small-flow.parquet"), bare_flow()]
        if options.peer:
            cases.append(options.peer.case(small, outputs / "small-peer.parquet", "csv", options.peer_runs))
        yield Group(f"Small: {small.name}", cases)
    for folders in options.folders:
        for kind in KINDS:
            if kind in options.groups:
                yield _plate_group(options, folders, kind, outputs)
    yield from _further_groups(options, outputs)


def _further_groups(options: Options, outputs: Path) -> Iterator[Group]:
    """Give the groups that are no plate on a disk converted on this machine's threads."""
    if "cloud" in options.groups:
        plate = plate_of(options, options.folders[0], "csv")

        def cases(source: Path, url: str) -> list[Case]:
            disk, cloud = (outputs / f"{source.name}.{where}.parquet" for where in ("disk", "s3"))
            return [pipe(source, disk, name=DISK), pipe(url, cloud, name=CLOUD)]

        with cloud_groups(plate, options.work, cases) as compared:
            yield from compared
    if "anndata" in options.groups:
        yield _anndata_group(options, outputs)
    if "dask" in options.groups:
        yield _dask_group(options, max(options.folders), outputs)
    if "parts" in options.groups:
        yield _parts_group(options, outputs)
    if "report" in options.groups:
        for folders in options.folders:
            yield _report_group(options, folders, outputs)


def start(options: Options) -> Case:
    """Give the join of one part without any object, which shows what a stage costs before it does anything."""
    place = options.work / "empty"
    if not place.exists():
        write_csv(Plate(folders=1, cells=1, features=options.features, empty=1.0), place / "plate")
    made = f"{tool('pct-discover')} {shlex.quote(str(place / 'plate'))} | {tool('pct-extract')} -o {place / 'bundle'}"
    if not (place / "bundle").exists():
        subprocess.run(["bash", "-o", "pipefail", "-c", made], check=True, stderr=subprocess.DEVNULL)
    out = place / "profiles"
    return Case(
        "pct-join, an empty part",
        [str(Path(sys.executable).parent / "pct-join"), str(place / "bundle"), "-o", str(out)],
        out,
    )


def _anndata_group(options: Options, outputs: Path) -> Group:
    """Give a script that writes profiles to AnnData in both ways."""
    source, profiles = plate_of(options, options.folders[0], "csv"), outputs / "profiles"
    if not profiles.exists():
        stages = [f"{tool('pct-discover')} {shlex.quote(str(source))}", tool("pct-extract")]
        stages.append(f"{tool('pct-join')} -o {shlex.quote(str(profiles))}")
        command = ["bash", "-o", "pipefail", "-c", " | ".join(stages)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    script = [sys.executable, str(HERE / "bench_anndata.py"), str(profiles), str(outputs / "anndata")]
    case = Case("pct-write and a script, .h5ad in turn", script, most_runs=1, tells_seconds=True)
    return Group(f"AnnData: {options.folders[0]} folders", [case], "anndata", options.folders[0])


def _dask_group(options: Options, folders: int, outputs: Path) -> Group:
    source = plate_of(options, folders, "csv")
    cases = []
    for workers in (1, 2):
        name = f"pct-flow, {workers} Dask worker{'s' * (workers > 1)}"
        out = outputs / f"dask-{workers}.parquet"
        cases.append(flow(source, out, words=f"--runner dask --workers {workers}", name=name))
    return Group(f"Dask: {folders} folders", cases, "dask", folders)


def _parts_group(options: Options, outputs: Path) -> Group:
    """Give a tenth of the parts, then all of them, so that what a part costs shows without what a flow costs."""
    cases = []
    words = f"--part-size 1 --workers {PARTS_WORKERS} --log-format json"
    for parts in (options.parts // 10, options.parts):
        source = plate_of(replace(options, cells=2, features=4), parts, "csv")
        out = outputs / f"parts-{parts}.parquet"
        case = flow(source, out, words=words, name=f"{parts} parts")
        cases.append(replace(case, most_runs=1, tells_seconds=True))
    return Group(f"Parts: {options.parts} of about 2 cells", cases, "parts", options.parts)


def _report_group(options: Options, folders: int, outputs: Path) -> Group:
    """Give the report of a plate's profiles, and a scan of the whole file by DuckDB."""
    source = plate_of(options, folders, "csv")
    profiles = outputs / f"{source.stem}.pipe.parquet"
    if not profiles.exists():
        run_group(Group("", [pipe(source, profiles)]), 1)
    page = outputs / f"{source.stem}.html"
    words = [str(Path(sys.executable).parent / "pct-report"), str(profiles), "-o", str(page)]
    report = Case(REPORT, words, page, counts_rows=False)
    scan = Case(SCAN, [sys.executable, str(HERE / "bench_scan_all.py"), str(profiles)])
    title = f"Report: {folders} folders, {profiles.stat().st_size / 1e6:.0f} MB of Parquet"
    return Group(title, [scan, report], "report", folders)


def scan_group(options: Options, outputs: Path) -> Measured:
    """Scan the pipe's file of the largest plate there is, and the peer's, or its rows with the peer's settings."""
    ours = max(outputs.glob("csv-*.pipe.parquet"), key=lambda path: path.stat().st_size, default=None)
    if ours is None:
        return Group("Parquet: no file of the pipe's to scan", [], ""), {}
    theirs = Path(str(ours).replace(".pipe.", ".peer."))
    if theirs.exists():
        files = {PIPE: ours, PEER: theirs}
    else:
        files = {PIPE: ours, "the peer's settings": as_the_peer(ours, outputs / "as-the-peer.parquet")}
    return Group(f"Parquet: {ours.name}", [], "scan"), scans(files, options.runs)


def _plate_group(options: Options, folders: int, kind: str, outputs: Path) -> Group:
    source = plate_of(options, folders, kind)
    size = sum(file.stat().st_size for file in [source, *source.rglob("*")] if file.is_file())
    out = outputs / f"{source.stem}"
    cases = [pipe(source, out.with_suffix(".pipe.parquet")), flow(source, out.with_suffix(".flow.parquet"))]
    if kind == "csv":
        floor_out = out.with_suffix(".floor.parquet")
        floor = [sys.executable, str(HERE / "bench_floor.py"), str(source), str(floor_out)]
        cases += [bare_flow(), Case(FLOOR, floor, floor_out)]
        cases.append(flow(source, out.with_suffix(".little.parquet"), words="--memory 500MB", name=LITTLE))
        if find_spec("polars"):
            polars_out = out.with_suffix(".polars.parquet")
            script = [sys.executable, str(HERE / "bench_polars.py"), str(source), str(polars_out)]
            cases.append(Case(POLARS, script, polars_out))
    elif extension():
        floor_out = out.with_suffix(".floor")
        floor = [sys.executable, str(HERE / "bench_floor_sqlite.py"), str(source), str(floor_out), kind]
        cases.append(Case(FLOOR, floor, floor_out, counts_rows=False))
    if options.peer:
        cases.append(options.peer.case(source, out.with_suffix(".peer.parquet"), kind, options.peer_runs))
    title = f"{kind}: {folders} folders x {options.cells} cells x 3 x {options.features} features, {size / 1e6:.0f} MB"
    return Group(title, cases, kind, folders)


def remarks(taken: dict[str, Taken]) -> Iterator[str]:
    """Say what the figures mean for the promises: same rows everywhere, and what `pct-flow` adds to the pipe."""
    rows = {result.rows for result in taken.values() if result.rows is not None}
    if len(rows) > 1:
        yield f"The cases do not agree on the number of rows: {sorted(rows)}."
    if any(name.startswith("CytoTable") for name in taken):
        yield "CytoTable's workers leave its process tree, so its memory is that of its main process alone."
    timed = {name for name, result in taken.items() if result.wall}
    if {PIPE, FLOW, BARE} <= timed:
        over = taken[FLOW].seconds - taken[PIPE].seconds
        bare = taken[BARE].seconds
        beyond = f"{over - bare:+.2f} s beyond it"
        yield f"`pct-flow` takes {over:.2f} s more than the pipe, a bare flow {bare:.2f} s: {beyond}."


def scaling(options: Options, counts: Sequence[int], svg: Path) -> int:
    """Measure the flow by numbers of workers and draw the curve; 1 if any of them failed."""
    outputs = options.work / "outputs"
    outputs.mkdir(parents=True, exist_ok=True)
    group = workers_group(options, counts, outputs)
    taken = run_group(group, options.runs)
    print("\n".join(table_lines(group, taken)))
    points = speedups(counts, taken)
    if points:
        svg.parent.mkdir(parents=True, exist_ok=True)
        svg.write_text(curve_svg(points, group.title))
        print("\n".join([*curve_lines(points), "", f"drawn in {svg}"]))
    return int(any(result.failure for result in taken.values()))


def whole_numbers(text: str) -> tuple[int, ...]:
    """Read numbers from 1, with commas between them."""
    numbers = tuple(int(number) for number in text.split(","))
    if min(numbers) < 1:
        raise ValueError
    return numbers


def build_parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = argparse.ArgumentParser(prog="bench.py", description="Time the tools on generated plates.")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep and reuse plates here; default: temporary")
    parser.add_argument("--folders", type=int, nargs="+", default=[36], metavar="N", help="sizes of plates")
    parser.add_argument("--cells", type=int, default=100, metavar="N")
    parser.add_argument("--features", type=int, default=600, metavar="N")
    parser.add_argument("--runs", type=int, default=5, metavar="N")
    parser.add_argument("--parts", type=int, default=1000, metavar="N", help="how many tiny parts (%(default)s)")
    parser.add_argument(
        "--only", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="GROUP", help=", ".join(GROUPS)
    )
    parser.add_argument(
        "--workers",
        type=whole_numbers,
        metavar="N,N,...",
        help="only measure pct-flow by so many workers, and draw the curve",
    )
    parser.add_argument(
        "--svg", type=Path, default=Path("build/workers.svg"), metavar="FILE", help="curve (%(default)s)"
    )
    parser.add_argument("--against", metavar="REV", help="compare this tree with a commit instead")
    parser.add_argument("--peer", action="store_true", help="install CytoTable and measure it side by side")
    parser.add_argument("--peer-place", type=Path, metavar="DIR", help="where to install it; default: WORK/peer")
    parser.add_argument("--peer-runs", type=int, default=1, metavar="N", help="at most so many runs of the peer")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 1 if any case failed."""
    words = build_parser().parse_args(argv)
    # A flow must bring its own server here, whatever the shell is set up for, and the tools see no folder of tests.
    os.environ.pop("PREFECT_API_URL", None)
    os.environ.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory(prefix="pct-bench-") as temporary:
        work = (words.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        peer = install_peer(words.peer_place or work / "peer") if words.peer else None
        only, folders = tuple(words.only), tuple(words.folders)
        options = Options(
            work, folders, words.cells, words.features, words.runs, only, peer, words.peer_runs, words.parts
        )
        if words.workers:
            return scaling(options, words.workers, words.svg)
        if words.against:
            return compare(options, words.against)
        measured: list[Measured] = []
        for group in groups(options):
            taken = run_group(group, options.runs)
            print("\n".join([*table_lines(group, taken), *(f"{line}\n" for line in remarks(taken))]), flush=True)
            measured.append((group, taken))
        if "scan" in only:
            measured.append(scan_group(options, work / "outputs"))
        print("\n".join(verdict_lines(verdicts(measured))))
    return int(any(result.failure for _, taken in measured for result in taken.values()))


if __name__ == "__main__":
    sys.exit(main())
