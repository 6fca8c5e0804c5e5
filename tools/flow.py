"""pct-flow: the four stages as one Prefect flow, from a source to Parquet.

Takes a source. Gives Parquet. Discovers once, then extracts and joins every part, on threads or on Dask, then writes.
Finished parts lie in the work dir; a second run with the same arguments takes those up that were made from the same
files by the same options.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common import commandline
from pycytominer_transform.common.cloud_uri import is_cloud
from pycytominer_transform.common.discover_options import DiscoverOptions
from pycytominer_transform.common.ending import end_after_all_others, ends_with
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.prefect_environment import prefect_api_configured
from pycytominer_transform.common.reporting import count, logger
from pycytominer_transform.common.running import (
    RunningOptions,
    add_running_options,
    check_work_place,
    running_words,
    workers_and_threads,
)
from pycytominer_transform.common.storage_arguments import add_storage, storage_options
from pycytominer_transform.common.storage_options import StorageOptions
from pycytominer_transform.tools import discover as discovering
from pycytominer_transform.tools import extract as extracting
from pycytominer_transform.tools import join as joining
from pycytominer_transform.tools import write as writing

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner
    from pycytominer_transform.common.flow_record import FlowRecord
    from pycytominer_transform.common.flow_tally import FlowTally
    from pycytominer_transform.common.made_parts import MadeParts
    from pycytominer_transform.common.manifest import Manifest, Step
    from pycytominer_transform.common.place import Place
    from pycytominer_transform.common.work_dir import WorkDir
    from pycytominer_transform.common.written import Writing, Written

TOOL = "pct-flow"
_BESIDE_PARTS = 430_000_000
"""Bytes of memory that Prefect, its server and the libraries take."""
_PARTS_TO_RELEASE = 100
"""After so many parts what the C library keeps is given back: of pieces between others it keeps more and more."""


@dataclass(frozen=True, kw_only=True)
class FlowOptions(RunningOptions):
    """How `pct-flow` runs the stages.

    Attributes
    ----------
    discover, extract, join, write
        The options of the stages.
    storage : StorageOptions
        How cloud storage is reached.
    """

    discover: DiscoverOptions = field(default_factory=DiscoverOptions)
    extract: extracting.ExtractOptions = field(default_factory=extracting.ExtractOptions)
    join: joining.JoinOptions = field(default_factory=joining.JoinOptions)
    write: writing.WriteOptions = field(default_factory=writing.WriteOptions)
    storage: StorageOptions = field(default_factory=StorageOptions)


@dataclass(frozen=True)
class FlowSummary:
    """What the flow did: its figures, and what was found, joined and written."""

    tally: FlowTally
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
    options = _resolved(options, source)
    if output == "-":
        raise UsageError("pct-flow writes to a path, not to standard output; use the four tools in a pipe for that")
    place = place_of(output, options.storage)
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
        _runner(options) as runner,
        keeping_connections(),
    ):
        from prefect import flow

        import_libraries()
        api.await_start()
        record = FlowRecord(f"{source} to {output}", FlowArtifacts(tracked))
        stages = _Stages(place_of(source, options.storage), place, overwrite, work, stem.parent, options, record)
        named = f"convert {stages.plate}".replace("{", "{{").replace("}", "}}")
        decorate = flow(
            name="pct-flow", flow_run_name=named, task_runner=runner, persist_result=False, log_prints=False,
            validate_parameters=False,
        )  # fmt: skip
        with only_these_bars(BARS):
            try:
                return decorate(stages.run)()
            except Exception as error:
                if stages.done is None:
                    raise
                logger.log(30 if tracked else 10, "the Prefect server could not note the end of the run: %s", error)
                return stages.done


def _runner(options: FlowOptions) -> AbstractContextManager[TaskRunner[Any]]:
    from pycytominer_transform.common.task_runners import require_scheduler, task_runner

    if options.dask_scheduler:
        require_scheduler(options.dask_scheduler)
    return task_runner(
        options.runner, workers=options.workers, beside=int(_writes_meanwhile(options)),
        dask_scheduler=options.dask_scheduler or None, dask_cluster=options.dask_cluster,
    )  # fmt: skip


def _writes_meanwhile(options: FlowOptions) -> bool:
    """Say whether parts are written while others are made: not on other machines, nor where memory is short."""
    return options.runner == "concurrent" and not options.join.memory


@dataclass
class _Part:
    """One part on its way."""

    extracted: PrefectFuture[extracting.ExtractSummary]
    joined: PrefectFuture[joining.JoinSummary]

    def result(self) -> tuple[extracting.ExtractSummary, joining.JoinSummary]:
        from pycytominer_transform.common.task_runners import forget_runs

        try:
            # In this order: the join of a part that was not extracted only says that it could not begin.
            return self.extracted.result(), self.joined.result()
        finally:
            forget_runs(self.extracted, self.joined)


@dataclass
class _Stages:
    """The flow itself: which tasks are submitted in which order, and what becomes of their results.

    Attributes
    ----------
    done : FlowSummary, optional
        What it did, once the output is there: whatever the Prefect server says after that, it is no failure.
    """

    source: Place
    output: Place
    overwrite: bool
    work: WorkDir
    work_kept_in: Path
    options: FlowOptions
    record: FlowRecord
    done: FlowSummary | None = None
    _made: MadeParts | None = None

    @property
    def _keeps_bundles(self) -> bool:
        """Whether the extract and the join of a part are in this process, and nobody else wants what is between."""
        return self.options.runner != "dask" and not self.options.keep_work

    @property
    def plate(self) -> str:
        """The source's name, which the runs' names begin with."""
        return self.source.name or str(self.source)

    def run(self) -> FlowSummary:
        from pycytominer_transform.common.manifest_files import read_manifest
        from pycytominer_transform.common.outputs import refuse_among_sources

        with self.record.tally.timed("all"):
            discovered = self._discover()
            manifest = read_manifest(str(self.work.manifest))
            refuse_among_sources(self.output, manifest)
            if (before := self._written_before(manifest)) is not None:
                written = self._take_up(manifest, before)
            else:
                self.work.prepare(manifest.parts)
                written = self._make(manifest)
        self.record.end()
        platemap = self.options.join.platemap
        joined = joining.JoinSummary(len(manifest.parts), self.record.counts, platemap.labels if platemap else ())
        self.done = FlowSummary(self.record.tally, discovered, joined, written)
        return self.done

    def _discover(self) -> discovering.DiscoverSummary:
        from pycytominer_transform.common.part_runs import attempt_name, result_of

        with self.record.tally.timed("discover"):
            return result_of(
                lambda attempt: discovering.discover_task.submit(
                    run_name=attempt_name(f"discover {self.plate}", attempt), source=str(self.source),
                    output=str(self.work.manifest), overwrite=True, options=self.options.discover,
                    storage=self.options.storage,
                ),
                self.options.retries,
            )  # fmt: skip

    def _make(self, manifest: Manifest) -> writing.WriteSummary:
        """Extract, join and write all parts."""
        from pycytominer_transform.common.made_parts import MadeParts

        if not _writes_meanwhile(self.options):
            self._work_on(manifest)
            return self._write(manifest)
        self._made = MadeParts({part: self.work.profiles_of(part) for part in manifest.parts})
        # It has its thread before the first part does.
        begun = self._submit_write(manifest, 0, self._made)
        try:
            self._work_on(manifest)
            return self._write(manifest, begun)
        finally:
            self._made.give_up()

    def _work_on(self, manifest: Manifest) -> None:
        """Extract and join all parts."""
        from pycytominer_transform.common.kept_bundles import forget_bundles
        from pycytominer_transform.common.part_runs import IN_FLIGHT_PER_WORKER, PartRuns
        from pycytominer_transform.common.resources import release_memory

        tally = self.record.tally
        tally.parts = len(manifest.parts)
        runs = PartRuns(
            begin=lambda part, attempt: self._submit(manifest, part, attempt),
            collect=lambda part, made: self._collect(manifest, part, *made),
            in_flight=self.options.workers * IN_FLIGHT_PER_WORKER,
            retries=self.options.retries,
            max_failures=self.options.max_failures,
        )
        try:
            runs.run(part for part in manifest.parts if not self._is_finished(manifest, part))
        finally:
            forget_bundles(self.work.path)
        tally.failed, tally.retried = len(runs.failures), runs.retried
        self.work.report_outdated()
        if runs.failures:
            place = self.options.work_dir or self.work_kept_in
            raise self.record.failure(runs, go_on=f"--work-dir {place}")
        # Parts need more than row groups do.
        release_memory()

    def _submit(self, manifest: Manifest, part: int, attempt: int) -> _Part:
        from pycytominer_transform.common.part_runs import attempt_name

        named = attempt_name(f"{self.plate} part {part} of {manifest.parts_total}", attempt)
        bundle = self.work.bundle_of(part)
        extracted = extracting.extract_task.submit(
            run_name=f"extract {named}",
            manifest=str(self.work.manifest_of(manifest, part)),
            output=str(bundle),
            overwrite=True,
            keep=self._keeps_bundles,
            options=self.options.extract,
            storage=self.options.storage,
        )
        joined = joining.join_task.submit(
            run_name=f"join {named}", wait_for=[extracted], bundle=str(bundle), output=str(self.work.profiles_of(part)),
            overwrite=True, options=self.options.join, storage=self.options.storage,
        )  # fmt: skip
        return _Part(extracted, joined)

    def _collect(
        self, manifest: Manifest, part: int, extracted: extracting.ExtractSummary, joined: joining.JoinSummary
    ) -> None:
        from pycytominer_transform.common.resources import release_memory

        if extracted.nulled or extracted.disagreements.counts:
            extracting.report(extracted)
        read = sum(source.bytes for source in manifest.sources_of(part))
        self.record.done(part, joined.counts, read=read, extract=extracted.seconds, join=joined.seconds)
        if self._made is not None:
            self._made.made(part)
        if not self._keeps_bundles and not self.options.keep_work:
            shutil.rmtree(self.work.bundle_of(part), ignore_errors=True)
        if self.record.tally.done % _PARTS_TO_RELEASE == 0:
            release_memory()

    def _steps(self, manifest: Manifest) -> list[Step]:
        """Give the steps that make a part, without their counts."""
        from pycytominer_transform.common.provenance import new_step

        return [
            *manifest.provenance,
            new_step(extracting.TOOL, extracting.result_options(self.options.extract), {}),
            new_step(joining.TOOL, joining.result_options(self.options.join), {}),
        ]

    def _is_finished(self, manifest: Manifest, part: int) -> bool:
        """Say whether an earlier run made this part, and add its counts if so."""
        if not self.work.has_profiles(part):
            return False
        wanted = extracting.prepared(manifest.only_parts([part]), self.options.extract)
        counts = self.work.finished_counts(part, wanted, self._steps(manifest))
        if counts is not None:
            self.record.taken_up(counts)
            if self._made is not None:
                self._made.made(part)
        return counts is not None

    def _writing(self, manifest: Manifest) -> Writing:
        """Describe what is written once all parts are made."""
        from pycytominer_transform.common.provenance import new_step
        from pycytominer_transform.common.written import Writing

        last = new_step(writing.TOOL, writing.result_options(self.options.write), {})
        return Writing.of(self.work.manifest, [*self._steps(manifest), last], self.record.counts)

    def _written_before(self, manifest: Manifest) -> Written | None:
        """Give what a run wrote that was killed before its end."""
        from pycytominer_transform.common.written import forget_writing, is_noted, written_before

        if not self.overwrite and is_noted(self.work.path):
            is_folder = not writing.is_one_file(self.output)
            found = written_before(self.work.path, self.output, self._writing(manifest), is_folder=is_folder)
            if found is not None:
                return found
        forget_writing(self.work.path)
        return None

    def _take_up(self, manifest: Manifest, before: Written) -> writing.WriteSummary:
        """Take note of an output that an earlier run finished."""
        logger.info("%s was finished by a run that was interrupted at its end", self.output)
        self.record.all_taken_up(len(manifest.parts), before.counts)
        return writing.WriteSummary(before.files, before.rows, before.columns, before.bytes)

    def _write(
        self, manifest: Manifest, begun: PrefectFuture[writing.WriteSummary] | None = None
    ) -> writing.WriteSummary:
        """Write the parts, all of which are made; or finish the writing that was begun."""
        from pycytominer_transform.common.part_runs import result_of
        from pycytominer_transform.common.written import note_writing

        if not self.overwrite:
            note_writing(self.work.path, self._writing(manifest))
        if self._made is not None:
            self._made.complete()
        with self.record.tally.timed("write"):
            written = result_of(
                lambda attempt: begun if begun and not attempt else self._submit_write(manifest, attempt),
                self.options.retries,
            )
        if self._made is not None:
            self.record.tally.spend("write", self._made.busy)
        self.record.tally.bytes_written = written.bytes
        return written

    def _submit_write(
        self, manifest: Manifest, attempt: int, made: MadeParts | None = None
    ) -> PrefectFuture[writing.WriteSummary]:
        from pycytominer_transform.common.part_runs import attempt_name

        return writing.write_task.submit(
            run_name=attempt_name(f"write {self.output.name}", attempt),
            profiles=made if made is not None else [str(self.work.profiles_of(part)) for part in manifest.parts],
            output=str(self.output),
            overwrite=self.overwrite,
            options=self.options.write,
            storage=self.options.storage,
        )


def _resolved(options: FlowOptions, source: str) -> FlowOptions:
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
        write=replace(options.write, threads=options.write.threads or (in_one_process if memory else 0)),
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
