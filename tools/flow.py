"""pct-flow: the four stages as one Prefect flow, from a source to Parquet.

Takes a source. Gives Parquet. Discovers once, then extracts and joins every part, on threads or on Dask, then writes.
Finished parts lie in the work dir; a second run with the same arguments takes those up that were made from the same
files by the same options.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common import commandline
from pycytominer_transform.common.discover_options import DiscoverOptions
from pycytominer_transform.common.errors import FailedPartsError, UsageError
from pycytominer_transform.common.prefect_environment import prefect_api_configured
from pycytominer_transform.common.reporting import count, logger, progress
from pycytominer_transform.tools import discover as discovering
from pycytominer_transform.tools import extract as extracting
from pycytominer_transform.tools import join as joining
from pycytominer_transform.tools import write as writing

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture
    from pycytominer_transform.common.dask_cluster import DaskCluster
    from pycytominer_transform.common.manifest import Manifest
    from pycytominer_transform.common.task_runners import RunnerKind
    from pycytominer_transform.common.work_dir import WorkDir

TOOL = "pct-flow"
_IN_FLIGHT_PER_WORKER = 4
_BESIDE_PARTS = 300_000_000
"""Bytes of memory that Prefect, its server and the libraries take."""


@dataclass(frozen=True, kw_only=True)
class FlowOptions:
    """How `pct-flow` runs the stages.

    Attributes
    ----------
    discover, extract, join, write
        The options of the stages.
    runner : {'concurrent', 'dask', 'sequential'}
        Threads of this process, Dask workers, or one part after the other.
    workers : int
        Parts to work on at once; 0 for as many as there are processors to use.
    dask_scheduler : str
        Address of a running scheduler; empty for a local cluster of `workers` processes.
    dask_cluster : DaskCluster, optional
        Batch jobs to submit as Dask workers instead.
    work_dir : str
        Where the parts lie until they are written; empty for a folder beside the output that is removed at the end.
    keep_work : bool
        Keep the work dir although all went well.
    """

    discover: DiscoverOptions = field(default_factory=DiscoverOptions)
    extract: extracting.ExtractOptions = field(default_factory=extracting.ExtractOptions)
    join: joining.JoinOptions = field(default_factory=joining.JoinOptions)
    write: writing.WriteOptions = field(default_factory=writing.WriteOptions)
    runner: RunnerKind = "concurrent"
    workers: int = 0
    dask_scheduler: str = ""
    dask_cluster: DaskCluster | None = None
    work_dir: str = ""
    keep_work: bool = False


@dataclass(frozen=True)
class FlowSummary:
    """What the flow did: parts, those of them that an earlier run had finished, and what was found, joined, written."""

    parts: int
    taken_up: int
    discovered: discovering.DiscoverSummary
    joined: joining.JoinSummary
    written: writing.WriteSummary


def convert(
    *, source: str, output: str, overwrite: bool = False, tracked: bool = False, options: FlowOptions | None = None
) -> FlowSummary:
    """Convert a source to Parquet by a Prefect flow of the four stages' tasks.

    Parameters
    ----------
    source : str
        A folder or a file.
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
    from pycytominer_transform.common.destination import check_destination
    from pycytominer_transform.common.prefect_server import LOOPBACK, prefect_api
    from pycytominer_transform.common.work_dir import open_work_dir

    options = _resolved(options or FlowOptions())
    if output == "-":
        raise UsageError("pct-flow writes to a path, not to standard output; use the four tools in a pipe for that")
    check_destination(Path(output), overwrite=overwrite)
    verbose = logger.isEnabledFor(10)
    host = options.dask_cluster.host() if options.dask_cluster else LOOPBACK
    with (
        open_work_dir(options.work_dir, output=Path(output), keep=options.keep_work) as work,
        prefect_api(tracked=tracked, verbose=verbose, host=host),
    ):
        from prefect import flow
        from pycytominer_transform.common.task_runners import require_scheduler, task_runner

        if options.dask_scheduler:
            require_scheduler(options.dask_scheduler)
        runner = task_runner(
            options.runner, workers=options.workers, dask_scheduler=options.dask_scheduler or None,
            dask_cluster=options.dask_cluster,
        )  # fmt: skip
        stages = _Stages(os.path.abspath(source), os.path.abspath(output), overwrite, work, options)
        named = f"convert {stages.plate}".replace("{", "{{").replace("}", "}}")
        decorate = flow(
            name="pct-flow", flow_run_name=named, task_runner=runner, persist_result=False, log_prints=False,
            validate_parameters=False,
        )  # fmt: skip
        return decorate(stages.run)()


@dataclass
class _Part:
    """One part on its way."""

    extracted: PrefectFuture[extracting.ExtractSummary]
    joined: PrefectFuture[joining.JoinSummary]

    def result(self) -> tuple[extracting.ExtractSummary, joining.JoinSummary]:
        # In this order: the join of a part that was not extracted only says that it could not begin.
        return self.extracted.result(), self.joined.result()


@dataclass
class _Stages:
    """The flow itself: which tasks are submitted in which order, and what becomes of their results."""

    source: str
    output: str
    overwrite: bool
    work: WorkDir
    options: FlowOptions
    counts: dict[str, Any] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    taken_up: int = 0

    @property
    def plate(self) -> str:
        """The source's name, which the runs' names begin with."""
        return Path(self.source).name or self.source

    def run(self) -> FlowSummary:
        from pycytominer_transform.common.destination import refuse_among_sources
        from pycytominer_transform.common.manifest_files import read_manifest

        discovered = discovering.discover_task.submit(
            run_name=f"discover {self.plate}", source=self.source, output=str(self.work.manifest),
            overwrite=True, options=self.options.discover,
        ).result()  # fmt: skip
        manifest = read_manifest(str(self.work.manifest))
        refuse_among_sources(Path(self.output), manifest.files())
        self.work.prepare()
        self._work_on(manifest)
        if self.failures:
            self._fail(len(manifest.parts))
        profiles = [str(self.work.profiles_of(part)) for part in manifest.parts]
        written = writing.write_task.submit(
            run_name=f"write {Path(self.output).name}", profiles=profiles, output=self.output,
            overwrite=self.overwrite, options=self.options.write,
        ).result()  # fmt: skip
        platemap = self.options.join.platemap
        joined = joining.JoinSummary(len(manifest.parts), self.counts, platemap.labels if platemap else ())
        return FlowSummary(len(manifest.parts), self.taken_up, discovered, joined, written)

    def _work_on(self, manifest: Manifest) -> None:
        """Extract and join all parts, a few in flight at a time; one that fails leaves the others alone."""
        from pycytominer_transform.common.task_runners import outcomes

        in_flight = self.options.workers * _IN_FLIGHT_PER_WORKER
        for done, (part, outcome) in enumerate(outcomes(self._begun(manifest), in_flight=in_flight), 1):
            self._collect(part, outcome)
            progress("converting parts", self.taken_up + done, len(manifest.parts))

    def _begun(self, manifest: Manifest) -> Iterator[tuple[int, _Part]]:
        """Submit the parts that no earlier run has finished, each when it is asked for."""
        for part in manifest.parts:
            if self._is_finished(manifest, part):
                self.taken_up += 1
            else:
                yield part, self._submit(manifest, part)

    def _submit(self, manifest: Manifest, part: int) -> _Part:
        named = f"{self.plate} part {part} of {manifest.parts_total}"
        bundle = self.work.bundle_of(part)
        extracted = extracting.extract_task.submit(
            run_name=f"extract {named}",
            manifest=str(self.work.manifest_of(manifest, part)),
            output=str(bundle),
            overwrite=True,
            options=self.options.extract,
        )
        joined = joining.join_task.submit(
            run_name=f"join {named}", wait_for=[extracted], bundle=str(bundle), output=str(self.work.profiles_of(part)),
            overwrite=True, options=self.options.join,
        )  # fmt: skip
        return _Part(extracted, joined)

    def _collect(self, part: int, outcome: tuple[extracting.ExtractSummary, joining.JoinSummary] | Exception) -> None:
        from pycytominer_transform.common.provenance import added_counts

        if isinstance(outcome, UsageError):
            raise outcome  # It is the same for all parts.
        if isinstance(outcome, Exception):
            self.failures[part] = str(outcome) or type(outcome).__name__
            logger.error("part %d failed: %s", part, self.failures[part])
            return
        extracted, joined = outcome
        if extracted.nulled or extracted.disagreements.counts:
            extracting.report(extracted)
        self.counts = added_counts(self.counts, joined.counts)
        if not self.options.keep_work:
            shutil.rmtree(self.work.bundle_of(part), ignore_errors=True)

    def _is_finished(self, manifest: Manifest, part: int) -> bool:
        """Say whether an earlier run made this part, and add its counts if so."""
        from pycytominer_transform.common.provenance import added_counts, new_step

        wanted = extracting.prepared(manifest.only_parts([part]), self.options.extract)
        steps = [
            *manifest.provenance,
            new_step(extracting.TOOL, extracting.result_options(self.options.extract), {}),
            new_step(joining.TOOL, joining.result_options(self.options.join), {}),
        ]
        counts = self.work.finished_counts(part, wanted, steps)
        self.counts = added_counts(self.counts, counts or {})
        return counts is not None

    def _fail(self, parts: int) -> None:
        reasons = "; ".join(f"part {part}: {reason}" for part, reason in sorted(self.failures.items()))
        kept = ""
        if len(self.failures) < parts:
            place = self.options.work_dir or Path(self.output).parent
            kept = f"; the others are kept, go on with --work-dir {place}"
        raise FailedPartsError(f"{len(self.failures)} of {count(parts, 'part')} failed{kept}: {reasons}")


def _resolved(options: FlowOptions) -> FlowOptions:
    """Fill in the number of workers, and share the threads out among them."""
    from pycytominer_transform.common.resources import fitting_parts, usable_memory, usable_threads

    if options.dask_scheduler and options.runner != "dask":
        raise UsageError("--dask-scheduler goes with --runner dask")
    if options.dask_cluster:
        if options.runner != "dask" or options.dask_scheduler or options.workers:
            raise UsageError("--dask-cluster goes with --runner dask, without --dask-scheduler and --workers")
        options = replace(options, workers=options.dask_cluster.workers)
    # On a cluster each worker has a processor of its own, whatever this machine has.
    threads = options.dask_cluster.workers if options.dask_cluster else usable_threads()
    workers = 1 if options.runner == "sequential" else options.workers or threads
    memory, part_size = options.join.memory, options.discover.part_size
    if memory:
        at_once = 1 if options.runner == "dask" else workers  # In each process.
        at_once, part_size = fitting_parts(memory, part_size, beside=_BESIDE_PARTS, workers=at_once)
        workers = workers if options.runner == "dask" else at_once
    each = options.extract.threads or max(1, threads // workers)
    return replace(
        options,
        workers=workers,
        discover=replace(options.discover, part_size=part_size),
        extract=replace(options.extract, threads=each),
        join=replace(
            options.join,
            threads=options.join.threads or max(1, threads // workers),
            memory=(memory or usable_memory() // 2) // (1 if options.runner == "dask" else workers),
        ),
    )


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of `pct-flow`."""
    parser = commandline.new_parser(TOOL, "Convert a source to Parquet: the four stages as one Prefect flow.")
    parser.add_argument("source", metavar="SOURCE", help="a folder of measurement files, or an SQLite file")
    commandline.add_output(
        parser, "where the Parquet goes: NAME.parquet for one file, else a folder of one file per part", required=True
    )
    discovering.add_discover_options(parser)
    extracting.add_extract_options(parser)
    joining.add_join_options(parser)
    writing.add_write_options(parser)
    commandline.add_shard(parser)
    commandline.add_threads(parser)
    group = parser.add_argument_group("running")
    group.add_argument(
        "--runner", choices=("concurrent", "dask", "sequential"), default="concurrent",
        help="threads of this process, Dask workers, or one part after the other (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--workers", metavar="N", type=commandline.positive, default=0,
        help="parts to work on at once (default: the processors this process may use)",
    )  # fmt: skip
    group.add_argument(
        "--dask-scheduler", metavar="ADDRESS", default="", help="a running Dask scheduler, such as tcp://node7:8786"
    )
    group.add_argument(
        "--dask-cluster", metavar="FILE", default="",
        help="a TOML file that says which batch jobs to submit as Dask workers, such as Slurm's",
    )  # fmt: skip
    group.add_argument(
        "--work-dir", metavar="DIR", default="",
        help="where finished parts lie; a second run goes on from there (default: beside the output, then removed)",
    )  # fmt: skip
    group.add_argument("--keep-work", action="store_true", help="keep the work dir although all went well")
    commandline.add_prefect(parser)
    return parser


def flow_options(args: argparse.Namespace) -> FlowOptions:
    """Make the options of parsed words."""
    from pycytominer_transform.common.dask_cluster import read_dask_cluster

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
        runner=args.runner,
        workers=args.workers,
        dask_scheduler=args.dask_scheduler,
        dask_cluster=read_dask_cluster(args.dask_cluster) if args.dask_cluster else None,
        work_dir=args.work_dir,
        keep_work=args.keep_work,
    )


def report(summary: FlowSummary, output: str) -> None:
    """Say what was found, joined and written."""
    if summary.taken_up:
        logger.info("%s of %d were finished already", count(summary.taken_up, "part"), summary.parts)
    discovering.report(summary.discovered)
    joining.report(summary.joined)
    writing.report(summary.written, output)


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

    return commandline.run(build_parser(), argv, body, without=("pandas",))


if __name__ == "__main__":
    sys.exit(main())
