"""pct-flow: the four stages as one Prefect flow, from a source to Parquet.

Takes a source. Gives Parquet. Discovers once, then extracts and joins every part, on threads or on Dask, then writes.
Finished parts lie in the work dir; a second run with the same arguments takes those up that were made from the same
files by the same options.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common import commandline
from pycytominer_transform.common.cloud_uri import is_cloud
from pycytominer_transform.common.ending import end_after_all_others, ends_with
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.prefect_environment import prefect_api_configured
from pycytominer_transform.common.reporting import count, logger
from pycytominer_transform.common.running import (
    add_running_options,
    check_work_place,
    running_words,
    workers_and_threads,
)
from pycytominer_transform.common.storage_arguments import add_storage, storage_options
from pycytominer_transform.tools import discover as discovering
from pycytominer_transform.tools import extract as extracting
from pycytominer_transform.tools import join as joining
from pycytominer_transform.tools import write as writing
from pycytominer_transform.tools.flow_stages import FlowOptions, FlowSummary, Handover, Stages

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

TOOL = "pct-flow"
_BESIDE_PARTS = 430_000_000
"""Bytes of memory that Prefect, its server and the libraries take."""
_PARTS_FOR_ONE_ENCODER = 4
"""What one thread encodes while so many are read and joined: encoding takes a seventh of the time of those."""


def convert(
    *, source: str, output: str, overwrite: bool = False, tracked: bool = False, options: FlowOptions | None = None
) -> FlowSummary:
    """Convert a source to Parquet by a Prefect flow of the four stages' tasks.

    Parameters
    ----------
    source : str
        A folder or a file; a prefix or an object of a cloud store.
    output : str
        See `pycytominer_transform.tools.write.write`.
    overwrite : bool
        Replace an output that exists.
    tracked : bool
        Use the Prefect API that the environment names; otherwise a private server for the length of the run.
    options : FlowOptions, optional
        How to run the stages.

    Raises
    ------
    FailedPartsError
        Some parts failed; names each with its reason.
    PctError
        See the stages.
    """
    from pycytominer_transform.common.ahead import begun
    from pycytominer_transform.common.duckdb_connections import keeping_connections
    from pycytominer_transform.common.flow_record import BARS, FlowRecord
    from pycytominer_transform.common.libraries import import_libraries
    from pycytominer_transform.common.outputs import check_destination
    from pycytominer_transform.common.place import place_of
    from pycytominer_transform.common.prefect_artifacts import FlowArtifacts
    from pycytominer_transform.common.prefect_server import LOOPBACK, prefect_api
    from pycytominer_transform.common.progress_bars import only_these_bars
    from pycytominer_transform.common.resources import hold_no_free_memory
    from pycytominer_transform.common.work_dir import leads_to_output, open_work_dir, work_stem

    options = options or FlowOptions()
    if options.join.memory:
        hold_no_free_memory()
    if output == "-":
        raise UsageError("pct-flow writes to a path, not to standard output; use the four tools in a pipe for that")
    place = place_of(output, options.storage)
    handover = Handover.of(options, place)
    options = _resolved(options, source, handover)
    check_work_place(options, place)
    # What a killed run may have written is looked at when the source has been.
    may_be_written = leads_to_output(options.work_dir, place)
    check_destination(place, overwrite=overwrite or may_be_written, is_folder=not writing.is_one_file(place))
    verbose = logger.isEnabledFor(10)
    host = options.dask_cluster.host() if options.dask_cluster else LOOPBACK
    with (
        work_stem(place) as stem,
        open_work_dir(options.work_dir, output=stem, keep=options.keep_work) as work,
        prefect_api(tracked=tracked, verbose=verbose, host=host) as api,
        _runner(options, handover) as runner,
        keeping_connections(),
        only_these_bars(BARS),
        ExitStack() as stack,
    ):
        from prefect import flow

        import_libraries()
        record = FlowRecord(f"{source} to {output}", FlowArtifacts(tracked))
        stages = Stages(
            place_of(source, options.storage), place, overwrite, work, stem.parent, options, handover, record
        )
        if not tracked and options.runner != "dask":
            # There is nothing else to do until the private server answers.
            stages.ahead = stack.enter_context(begun(lambda: discovering.discover(**stages.discovery)))
        api.await_start()
        named = f"convert {stages.plate}".replace("{", "{{").replace("}", "}}")
        decorate = flow(
            name="pct-flow", flow_run_name=named, task_runner=runner, persist_result=False, log_prints=False,
            validate_parameters=False,
        )  # fmt: skip
        try:
            return decorate(stages.run)()
        except Exception as error:
            if stages.done is None:
                raise
            logger.log(30 if tracked else 10, "the Prefect server could not note the end of the run: %s", error)
            return stages.done


def _runner(options: FlowOptions, handover: Handover) -> AbstractContextManager[TaskRunner[Any]]:
    from pycytominer_transform.common.task_runners import require_scheduler, task_runner

    if options.dask_scheduler:
        require_scheduler(options.dask_scheduler)
    return task_runner(
        options.runner, workers=options.workers, beside=int(handover.meanwhile),
        dask_scheduler=options.dask_scheduler or None, dask_cluster=options.dask_cluster,
    )  # fmt: skip


def _resolved(options: FlowOptions, source: str, handover: Handover) -> FlowOptions:
    """Fill in the number of workers, and share the threads out among them."""
    from pycytominer_transform.common.resources import fitting_parts, usable_memory

    workers, each = workers_and_threads(options)
    # Objects are asked for many at a time, however few processors there are.
    reading = 0 if is_cloud(source) else each
    in_one_process = 1 if options.runner == "dask" else workers
    memory, part_size = options.join.memory, options.discover.part_size
    if memory:
        in_one_process, part_size = fitting_parts(memory, part_size, beside=_BESIDE_PARTS, workers=in_one_process)
        workers = workers if options.runner == "dask" else in_one_process
    # Beside the parts little is left to write with, and each row group that is being encoded takes its memory.
    encoding = max(1, workers // _PARTS_FOR_ONE_ENCODER) if handover.meanwhile else in_one_process if memory else 0
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
        write=replace(options.write, threads=options.write.threads or encoding),
    )


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of `pct-flow`."""
    parser = commandline.new_parser(TOOL, "Convert a source to Parquet: the four stages as one Prefect flow.")
    parser.add_argument("source", metavar="SOURCE", help=commandline.SOURCE_HELP)
    commandline.add_output(
        parser, "where the Parquet goes: NAME.parquet for one file, else a folder of one file per part", required=True
    )
    discovering.add_discover_options(parser)
    extracting.add_extract_options(parser)
    joining.add_join_options(parser)
    writing.add_write_options(parser)
    commandline.add_shard(parser)
    commandline.add_threads(parser)
    add_running_options(parser)
    add_storage(parser)
    commandline.add_prefect(parser)
    return parser


def flow_options(args: argparse.Namespace) -> FlowOptions:
    """Make the options of parsed words."""
    return FlowOptions(
        discover=discovering.discover_options(args),
        extract=extracting.ExtractOptions(
            float32=args.float32,
            casts=tuple(args.cast),
            on_bad_value=args.on_bad_value,
            threads=args.threads,
            max_inflate=args.max_inflate,
        ),
        join=joining.join_options(args),
        write=writing.write_options(args),
        storage=storage_options(args),
        **running_words(args),
    )


def report(summary: FlowSummary, output: str) -> None:
    """Say what was found, joined and written."""
    tally = summary.tally
    if tally.taken_up:
        logger.info("%s of %d were finished already", count(tally.taken_up, "part"), tally.parts)
    discovering.report(summary.discovered)
    joining.report(summary.joined)
    writing.report(summary.written, output)
    tally.report()


def main(argv: Sequence[str] | None = None) -> int:
    """Run `pct-flow`; gives its exit code."""

    def body(args: argparse.Namespace) -> int:
        summary = convert(
            source=args.source,
            output=args.output,
            overwrite=args.overwrite,
            tracked=prefect_api_configured(no_prefect=args.no_prefect),
            options=flow_options(args),
        )
        report(summary, args.output)
        return 0

    if argv is None:
        end_after_all_others()
    code = commandline.run(build_parser(), argv, body, without=("pandas",))
    ends_with(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
