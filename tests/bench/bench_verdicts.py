"""The promises of speed and memory, each beside what was measured, and whether it is kept."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from bench_measure import Group, Taken

__all__ = [
    "BARE",
    "CLOUD",
    "DISK",
    "FLOOR",
    "FLOW",
    "LITTLE",
    "PARTS_WORKERS",
    "PEER",
    "PIPE",
    "POLARS",
    "REPORT",
    "SCAN",
    "Measured",
    "Verdict",
    "verdict_lines",
    "verdicts",
]

PIPE, FLOW, BARE, FLOOR = "pipe of four tools", "pct-flow", "bare Prefect flow", "floor"
DISK, CLOUD = "from the disk", "from S3 on loopback"
LITTLE, PEER, POLARS = "pct-flow --memory 500MB", "CytoTable 1.2.6", "expert's script with polars"
REPORT, SCAN = "pct-report", "DuckDB's scan of all columns"
LARGE = 288
PARTS_WORKERS = 2

Measured = tuple[Group, Mapping[str, Taken]]


@dataclass(frozen=True)
class Verdict:
    """One promise; `kept` is None where it could not be measured, and `measured` says why."""

    what: str
    target: str
    measured: str
    kept: bool | None


def verdict_lines(found: Iterable[Verdict]) -> list[str]:
    """Write verdicts as the lines of a Markdown table."""
    words = {True: "kept", False: "**not kept**", None: "not measured"}
    lines = ["### Promises", "", "| what | target | measured | |", "| --- | --- | --- | --- |"]
    return [*lines, *(f"| {v.what} | {v.target} | {v.measured} | {words[v.kept]} |" for v in found), ""]


def verdicts(measured: Sequence[Measured]) -> Iterator[Verdict]:
    """Judge all promises by what was measured."""
    for group, taken in measured:
        judge = _JUDGES.get(group.kind)
        if judge:
            yield from judge(group, taken)
    yield from _over_sizes([(group, taken) for group, taken in measured if group.kind == "csv"])
    for kind, what in _ROWS.items():
        if not any(group.kind == kind for group, _ in measured):
            yield Verdict(what, "", f"group {kind} was left out", None)


def _at_most(what: str, most: float, value: float | None, unit: str = "", detail: str = "") -> Verdict:
    if value is None:
        return Verdict(what, f"at most {most:g}{unit}", detail or "a case is missing or failed", None)
    return Verdict(what, f"at most {most:g}{unit}", f"{value:.2f}{unit}{detail}", value <= most)


def _at_least(what: str, least: float, value: float | None, detail: str = "") -> Verdict:
    if value is None:
        return Verdict(what, f"at least {least:g} times", detail or "a case is missing or failed", None)
    return Verdict(what, f"at least {least:g} times", f"{value:.2f} times{detail}", value >= least)


def _ratio(taken: Mapping[str, Taken], over: str, under: str) -> float | None:
    if not all(name in taken and taken[name].wall for name in (over, under)):
        return None
    return taken[over].seconds / taken[under].seconds


def _processor(taken: Mapping[str, Taken], over: str, under: str) -> str:
    if _ratio(taken, over, under) is None:
        return ""
    ratio = statistics.median(taken[over].processor) / statistics.median(taken[under].processor)
    return f" (processor time {ratio:.2f})"


def _judge_help(group: Group, taken: Mapping[str, Taken]) -> Iterator[Verdict]:
    slowest = max((result.seconds for name, result in taken.items() if name.startswith("pct-")), default=None)
    yield _at_most("--help, the slowest tool", 0.15, slowest, " s")


def _judge_start(group: Group, taken: Mapping[str, Taken]) -> Iterator[Verdict]:
    seconds = [result.seconds for result in taken.values() if result.wall]
    yield _at_most("pct-join on an empty part", 0.4, seconds[0] if seconds else None, " s")


def _judge_csv(group: Group, taken: Mapping[str, Taken]) -> Iterator[Verdict]:
    where = f"CSV, {group.folders} folders"
    no_peer = "" if PEER in taken else "no peer: --peer installs it"
    if group.folders < LARGE:
        yield _at_least(f"{where}: pipe, faster than CytoTable", 30, _ratio(taken, PEER, PIPE), no_peer)
        yield _at_least(f"{where}: pct-flow, faster than CytoTable", 9, _ratio(taken, PEER, FLOW), no_peer)
    else:
        processor = _processor(taken, PIPE, FLOOR)
        yield _at_most(f"{where}: pipe over floor", 1.3, _ratio(taken, PIPE, FLOOR), "", processor)
    if group.folders >= LARGE and POLARS in taken and taken[POLARS].wall and taken[PIPE].wall:
        yield _at_most(f"{where}: pipe over a script with polars", 1, _ratio(taken, PIPE, POLARS))
        memory = _megabytes(taken[PIPE]) / _megabytes(taken[POLARS])
        yield _at_most(f"{where}: largest process of the pipe over the script's", 0.25, memory)
    if all(name in taken and taken[name].wall for name in (PIPE, FLOW, BARE)):
        over = taken[FLOW].seconds - taken[PIPE].seconds - taken[BARE].seconds
        yield _at_most(f"{where}: pct-flow over the pipe, less a bare flow", 2, over, " s")
    for name, most in ((PIPE, 1000), (FLOW, 1000), (LITTLE, 500)):
        if name in taken and taken[name].megabytes:
            yield _at_most(f"{where}: {name}, largest process", most, _megabytes(taken[name]), " MB")


def _judge_sqlite(group: Group, taken: Mapping[str, Taken]) -> Iterator[Verdict]:
    where = f"{group.kind}, {group.folders} folders"
    if group.folders < LARGE:
        no_peer = "" if PEER in taken else "no peer: --peer installs it"
        yield _at_least(f"{where}: pipe, faster than CytoTable", 8, _ratio(taken, PEER, PIPE), no_peer)
    else:
        lacking = "" if FLOOR in taken else "duckdb-extension-sqlite-scanner is not installed"
        detail = _processor(taken, PIPE, FLOOR) or lacking
        yield _at_most(f"{where}: pipe over DuckDB's plain scan", 1.5, _ratio(taken, PIPE, FLOOR), "", detail)


def _judge_dask(group: Group, taken: Mapping[str, Taken]) -> Iterator[Verdict]:
    one, two = (f"pct-flow, {workers} Dask worker{'s' * (workers > 1)}" for workers in (1, 2))
    yield _at_least(f"Dask, {group.folders} folders: two workers faster than one", 1.7, _ratio(taken, one, two))


def _judge_parts(group: Group, taken: Mapping[str, Taken]) -> Iterator[Verdict]:
    few, many = (result for result in taken.values())
    fewer, more = group.folders // 10, group.folders
    done = bool(few.wall and many.wall)
    each, scheduling = None, None
    if done:
        each = 1000 * (many.seconds - few.seconds) / (more - fewer)
        # What the two tools say that they took, a worker's share of it.
        tools = sum(many.notes[stage] - few.notes[stage] for stage in ("extract", "join")) / PARTS_WORKERS
        scheduling = each - 1000 * tools / (more - fewer)
    detail = f", with its reading and joining {each:.0f}" if each is not None else ""
    yield _at_most(f"{more} tiny parts: scheduling one more costs", 30, scheduling, " ms", detail)
    growth = _megabytes(many) / _megabytes(few) if done else None
    yield _at_most(f"{more} tiny parts: largest process, over that at {fewer}", 1.2, growth)


def _judge_anndata(group: Group, taken: Mapping[str, Taken]) -> Iterator[Verdict]:
    (notes,) = (result.notes for result in taken.values())
    ratio = notes["suite"] / notes["script"] if notes else None
    yield _at_most(f"AnnData, {group.folders} folders: over a script with the table in memory", 1.3, ratio)


def _judge_scan(group: Group, taken: Mapping[str, Taken]) -> Iterator[Verdict]:
    ours, theirs = list(taken.items())
    for what in ("size", "one column", "one well"):
        values = [result.notes.get(what) for _, result in (ours, theirs)]
        ratio = values[0] / values[1] if values[0] and values[1] else None
        yield _at_most(f"Parquet, {what}: ours over {theirs[0]}", 1, ratio)


def _judge_report(group: Group, taken: Mapping[str, Taken]) -> Iterator[Verdict]:
    where = f"report, {group.folders} folders"
    done = bool(taken[REPORT].wall)
    if group.folders <= LARGE:
        yield _at_most(f"{where}: time", 3, taken[REPORT].seconds if done else None, " s")
    else:
        processor = _processor(taken, REPORT, SCAN)
        yield _at_most(f"{where}: over a scan by DuckDB", 0.3, _ratio(taken, REPORT, SCAN), "", processor)
    yield _at_most(f"{where}: largest process", 500, _megabytes(taken[REPORT]) if done else None, " MB")


def _judge_cloud(most: float, group: Group, taken: Mapping[str, Taken]) -> Iterator[Verdict]:
    processor = _processor(taken, CLOUD, DISK)
    yield _at_most(f"{group.title}: over the disk", most, _ratio(taken, CLOUD, DISK), "", processor)


def _over_sizes(measured: Sequence[Measured]) -> Iterator[Verdict]:
    """Judge what grows with the plate, between the sizes that were measured."""
    for (small, little), (large, much) in pairwise(measured):
        times = large.folders / small.folders
        if times <= 1:
            continue
        where = f"CSV, {small.folders} to {large.folders} folders"
        done = bool(little[PIPE].wall and much[PIPE].wall)
        growth = much[PIPE].seconds / little[PIPE].seconds if done else None
        yield _at_most(f"{where}: time of the pipe", round(times * 1.05, 2), growth, " times")
        if small.folders >= LARGE:
            memory = _megabytes(much[PIPE]) / _megabytes(little[PIPE]) if done else None
            yield _at_most(f"{where}: largest process of the pipe", 1.2, memory, " times")


def _megabytes(result: Taken) -> float:
    return statistics.median(result.megabytes)


_JUDGES: dict[str, Callable[[Group, Mapping[str, Taken]], Iterator[Verdict]]] = {
    "help": _judge_help,
    "start": _judge_start,
    "csv": _judge_csv,
    "cellprofiler_sqlite": _judge_sqlite,
    "cytominer_database": _judge_sqlite,
    "dask": _judge_dask,
    "parts": _judge_parts,
    "anndata": _judge_anndata,
    "scan": _judge_scan,
    "report": _judge_report,
    "cloud": partial(_judge_cloud, 1.5),
    "cloud-small": partial(_judge_cloud, 2),
}
_ROWS = {
    "help": "--help", "start": "start of a stage", "csv": "CSV", "cellprofiler_sqlite": "SQLite",
    "cytominer_database": "SQLite with a TableNumber", "dask": "Dask", "parts": "many parts", "scan": "Parquet",
    "anndata": "AnnData", "report": "a report",
    "cloud": "S3 on loopback", "cloud-small": "small objects in S3",
}  # fmt: skip
