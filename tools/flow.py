"""pct-flow: the four stages as one Prefect flow, from a source to Parquet or AnnData.

Takes a source. Gives Parquet or AnnData. `convert` is the flow: discovers once, then extracts and joins every part, on
threads or on Dask, then writes. The same command again goes on with the parts that an interrupted run has finished.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.cli import run as running
from pycytominer_transform.common.errors import FailedPartsError, SourceNotFoundError, UsageError
from pycytominer_transform.common.extract.report import report_left_out
from pycytominer_transform.common.flow.prefect_environment import prefect_api_configured
from pycytominer_transform.common.runtime.messages import clear_progress, count, logger, printable
from pycytominer_transform.common.storage.uri import is_cloud
from pycytominer_transform.common.write.outputs import PARQUET, output_kind
from pycytominer_transform.tools import write as writing
from pycytominer_transform.tools.flow_options import (
    TOOL,
    FlowOptions,
    build_parser,
    check_work_place,
    chosen_options,
    flow_options,
    parsed,
    with_config,
    workers_and_threads,
)

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner
    from pycytominer_transform.common.discover.report import DiscoverSummary
    from pycytominer_transform.common.flow.dask_batch_jobs import DaskCluster
    from pycytominer_transform.common.flow.report import Figures
    from pycytominer_transform.common.join.inputs import JoinInputs
    from pycytominer_transform.common.join.report import JoinSummary
    from pycytominer_transform.common.storage.location import Location
    from pycytominer_transform.tools.convert import convert
    from pycytominer_transform.tools.report import ReportSummary

__all__ = ["FlowOptions", "FlowSummary", "convert", "main"]

_BESIDE_PARTS = 430_000_000
"""Bytes of memory for Prefect, its server and the libraries."""
_DASK_PARTS_PER_WORKER = 4
"""Parts submitted to Dask for each worker, so that no worker waits for the flow."""
_TASKS_OF_A_PART = 3


def __getattr__(name: str) -> Any:
    """Import the Prefect flow when it is asked for: Prefect takes most of a second."""
    if name == "convert":
        from pycytominer_transform.tools.convert import convert

        return convert
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True)
class FlowSummary:
    """The figures of the flow, the summaries of its stages, bad datasets with their number of parts, and the report."""

    figures: Figures
    discovered: DiscoverSummary
    joined: JoinSummary
    written: writing.WriteSummary
    left_out: dict[str, int]
    reported: ReportSummary | None = None


@dataclass(frozen=True)
class Job:
    """A conversion whose options and places have been checked.

    Attributes
    ----------
    inputs : JoinInputs
        The files that the options of the join name.
    cluster : DaskCluster, optional
        Batch jobs to submit as Dask workers.
    moves_parts : bool
        The output is a folder of this machine whose files depend on one part each, so the parts' final files become it.
    resumes : bool
        There is the work dir of an earlier run.
    """

    source: Location
    output: Location
    options: FlowOptions
    inputs: JoinInputs
    cluster: DaskCluster | None
    moves_parts: bool
    resumes: bool

    @property
    def parts_at_once(self) -> int:
        """The largest number of parts that are submitted and not yet done."""
        return self.options.workers * (_DASK_PARTS_PER_WORKER if self.options.runner == "dask" else 1)

    @property
    def overwrites_report(self) -> bool:
        """Whether a report that exists is replaced: a run that was killed may have written it."""
        return self.options.overwrite or self.resumes

    def refuse_existing_output(self) -> None:
        """Refuse an output that exists and is not to be overwritten."""
        is_folder = output_kind(self.output).is_folder
        self.output.check_destination(overwrite=self.options.overwrite, is_folder=is_folder)


def prepare(source: str, output: str, options: Mapping[str, Any]) -> Job:
    """Check the options and places of a conversion, without Prefect and before anything is read.

    Raises
    ------
    UsageError, SourceNotFoundError, DestinationExistsError, StorageError
        The conversion cannot begin.
    """
    from pycytominer_transform.common.flow.dask_batch_jobs import read_dask_cluster
    from pycytominer_transform.common.flow.work_dir import lasting_work_dir
    from pycytominer_transform.common.model.preset import load_preset
    from pycytominer_transform.common.storage.location import location_of
    from pycytominer_transform.common.storage.standard_io import read_small_file

    chosen = flow_options(parsed(source, output, options))
    if output == "-":
        raise UsageError("pct-flow writes to a path, not to standard output; use the four tools in a pipe for that")
    if chosen.discover.preset:
        load_preset(chosen.discover.preset, partial(read_small_file, what="the preset", storage=chosen.storage))
    place, target = location_of(source, chosen.storage), location_of(output, chosen.storage)
    writing.check_name(output, target)
    kind = output_kind(target)
    kind.check_libraries(output)
    if isinstance(place, Path) and not place.exists():
        raise SourceNotFoundError(f"{source}: no such file or folder")
    # With counts no part is final before all are joined.
    moves_parts = isinstance(target, Path) and kind.is_by_part and not chosen.join.counts
    cluster = read_dask_cluster(chosen.dask_cluster) if chosen.dask_cluster else None
    inputs = chosen.join.read_inputs(chosen.storage)
    chosen = with_resources(replace(chosen, join=replace(chosen.join, inputs=inputs)), source, cluster)
    check_work_place(chosen, target)
    work = lasting_work_dir(chosen.work_dir, target, is_folder=moves_parts)
    job = Job(place, target, chosen, inputs, cluster, moves_parts, resumes=work is not None and work.is_dir())
    if chosen.report:
        _check_report(job, output)
    if not job.resumes:
        # A run that was killed may have finished the output; then it is compared with the source later.
        job.refuse_existing_output()
    return job


def _check_report(job: Job, output: str) -> None:
    """Refuse a report that cannot be written, or on an output that is no Parquet.

    Raises
    ------
    UsageError, DestinationExistsError, StorageError
        It has another suffix than reports have, exists, or is the output itself.
    """
    from pycytominer_transform.common.report.outputs import files_of
    from pycytominer_transform.common.storage.location import location_of

    kind = output_kind(job.output)
    if kind.suffixes != PARQUET.suffixes and not kind.is_by_part:
        bare = str(PurePosixPath(output).with_suffix(""))
        raise UsageError(f"--report reads Parquet: give -o {bare}.parquet, or leave --report out")
    for name, _ in files_of(job.options.report):
        place = location_of(name, job.options.storage)
        if str(place) == str(job.output):
            raise UsageError(f"--report {name} is the output itself; give the report another name")
        place.check_destination(overwrite=job.overwrites_report, is_folder=False)


def with_resources(options: FlowOptions, source: str, cluster: DaskCluster | None) -> FlowOptions:
    """Return the options with the number of workers, and threads and memory divided among them."""
    from pycytominer_transform.common.runtime.resources import fitting_parts, usable_memory

    workers, each = workers_and_threads(options, cluster)
    # Many objects are requested at a time, even with few processors.
    reading = 0 if is_cloud(source) else each
    in_one_process = 1 if options.runner == "dask" else workers
    memory, part_size = options.join.memory, options.discover.part_size
    if memory:
        in_one_process, part_size = fitting_parts(memory, part_size, beside=_BESIDE_PARTS, workers=in_one_process)
        workers = workers if options.runner == "dask" else in_one_process
    return replace(
        options,
        workers=workers,
        discover=replace(options.discover, part_size=part_size),
        extract=replace(options.extract, threads=options.extract.threads or reading),
        join=replace(
            options.join,
            threads=options.join.threads or each,
            memory=(memory or usable_memory() // 2) // in_one_process,
        ),
    )


def flow_runner(job: Job) -> AbstractContextManager[TaskRunner[Any]]:
    """Return the task runner of the flow; Dask workers of this machine run while the block lasts."""
    from pycytominer_transform.common.flow.task_runners import task_runner

    options = job.options
    if options.runner != "dask":
        # A thread for every task of the running parts, including those that wait for another.
        return task_runner("concurrent", workers=_TASKS_OF_A_PART * job.parts_at_once)
    return task_runner(
        "dask", workers=options.workers, dask_scheduler=options.dask_scheduler, dask_cluster=job.cluster
    )  # fmt: skip


def plan(job: Job) -> str:
    """Return what a conversion would do as a text for people: the source's tables and parts, the output, the workers.

    Raises
    ------
    PctError
        The source cannot be converted in this way, as far as `pct-discover` and the options of the later stages tell.
    """
    from pycytominer_transform.common.discover.report import PARTS_SHOWN, manifest_table
    from pycytominer_transform.common.discover.source import discover_manifest
    from pycytominer_transform.common.model.roles import chosen_columns
    from pycytominer_transform.common.storage.location import refuse_among_sources
    from pycytominer_transform.tools.extract import prepared
    from pycytominer_transform.tools.join import profiles_schema

    options = job.options
    manifest, *_ = discover_manifest(str(job.source), options.discover, options.storage)
    refuse_among_sources(job.output, manifest)
    manifest = prepared(manifest, options.extract)
    columns = chosen_columns(
        profiles_schema(manifest, options.join, job.inputs), options.write.only, options.write.drop
    )
    shown = len(manifest.parts) if logger.isEnabledFor(10) else PARTS_SHOWN
    tables = ", ".join(schema.table for schema in manifest.tables)
    workers = f"{job.cluster.workers} Dask workers" if job.cluster else f"{options.workers} at once ({options.runner})"
    lines = [
        f"output   {job.output}: {count(len(columns), 'column')}{', replaced' if options.overwrite else ''}",
        f"join     {tables}; unmatched objects: {options.join.unmatched}",
        f"parts    {len(manifest.parts)}, {workers}",
    ]
    if job.resumes:
        lines.append("resume   finished parts of an earlier run are used again where they fit")
    return f"{manifest_table(manifest, shown)}\n\n" + "\n".join(map(printable, lines))


def run(job: Job, args: argparse.Namespace, began: float) -> FlowSummary:
    """Run the flow against the Prefect API of the environment, or a private server for the length of the run.

    Parameters
    ----------
    began : float
        When the tool began, by `time.monotonic`.
    """
    from pycytominer_transform.common.flow.prefect_environment import import_libraries
    from pycytominer_transform.common.flow.prefect_server import LOOPBACK, prefect_api

    if sys.stderr is not None and sys.stderr.isatty():
        logger.info("starting Prefect")
    host = job.cluster.host() if job.cluster else LOOPBACK
    tracked = prefect_api_configured(no_prefect=args.no_prefect)
    with ExitStack() as stack:
        api = stack.enter_context(prefect_api(tracked=tracked, verbose=logger.isEnabledFor(10), host=host))
        import_libraries()
        api.await_start()
        from pycytominer_transform.tools.convert import run_convert

        runner = stack.enter_context(flow_runner(job))
        summary = run_convert(runner, args.source, args.output, chosen_options(args))
        starting = time.monotonic() - began - summary.figures.seconds["all"]
        summary.figures.spend("start", starting)
        summary.figures.spend("all", starting)
        return summary


def report(summary: FlowSummary, output: str) -> None:
    """Log the stages' summaries."""
    figures = summary.figures
    if figures.resumed:
        logger.info("%s of %d were finished already", count(figures.resumed, "part"), figures.parts)
    summary.discovered.report()
    report_left_out(summary.left_out)
    summary.joined.report()
    replace(summary.written, output=output).report()
    if summary.reported:
        summary.reported.report()
    figures.report()


def main(argv: Sequence[str] | None = None) -> int:
    """Run `pct-flow` and return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    began = time.monotonic()
    parser = build_parser()

    def body(args: argparse.Namespace) -> int:
        job = prepare(args.source, args.output, chosen_options(args))
        if args.dry_run:
            text = plan(job)
            clear_progress()
            print(text)
            return 0
        try:
            report(run(job, args, began), args.output)
        except FailedPartsError as error:
            named = ["--work-dir", error.work_dir] if error.work_dir else []
            raise FailedPartsError(f"{error}; to go on: {shlex.join([TOOL, *words, *named])}") from error
        return 0

    return running.run(parser, argv, body, complete_words=with_config)


if __name__ == "__main__":
    sys.exit(main())
