"""The Prefect flow of `pct-flow`: discover once, extract and join every part, write; see `tools.flow` for its options.

To be imported as `pycytominer_transform.tools.flow.convert`, called from a script, served or deployed.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner
from pycytominer_transform.common.errors import FailedPartsError
from pycytominer_transform.common.extract.report import check_left_out, report_left_out
from pycytominer_transform.common.flow.part_runs import PartRuns, Tasks, result_of
from pycytominer_transform.common.flow.prefect_environment import is_private, prefect_api_configured
from pycytominer_transform.common.flow.report import BARS, FlowArtifacts, Progress
from pycytominer_transform.common.flow.resume import (
    Finished,
    fingerprint,
    finished_file,
    finished_part,
    finished_profiles,
)
from pycytominer_transform.common.flow.work_dir import WorkDir, open_work_dir
from pycytominer_transform.common.ipc.manifest_files import read_manifest, write_manifest
from pycytominer_transform.common.join.report import JoinSummary
from pycytominer_transform.common.model.manifest import Manifest, Step, part_name
from pycytominer_transform.common.model.options import recorded_options
from pycytominer_transform.common.model.provenance import new_step
from pycytominer_transform.common.runtime.messages import count, logger
from pycytominer_transform.common.runtime.progress_bars import only_these_bars
from pycytominer_transform.common.runtime.resources import release_memory
from pycytominer_transform.common.runtime.signals import interruptions_raise_again
from pycytominer_transform.common.storage.destination import move_folder, storage_errors
from pycytominer_transform.common.storage.location import LocalLocation, location_of, refuse_among_sources
from pycytominer_transform.common.write.outputs import PARQUET_FOLDER, output_kind
from pycytominer_transform.tools import discover, extract, join, report, write
from pycytominer_transform.tools.flow import FlowSummary, Job, flow_runner, prepare

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner

_PARTS_TO_RELEASE = 100
"""Parts after which free memory is returned to the system; else the C library keeps more and more of it."""
_summaries: ContextVar[list[FlowSummary]] = ContextVar("summaries")


def _run_name() -> str:
    return f"convert {Path(str(flow_run.parameters['source'])).name or flow_run.parameters['source']}"


@flow(name="pct-flow", flow_run_name=_run_name, persist_result=False)
def convert(source: str, output: str, options: dict[str, Any] | None = None) -> FlowSummary:
    """Convert a source to Parquet or AnnData.

    Parameters
    ----------
    source : str
        A folder or a file; a prefix or an object of a cloud store.
    output : str
        ``NAME.parquet`` for one file, ``NAME.h5ad`` or ``NAME.zarr`` for AnnData, else a folder of one Parquet file per
        part; a path, or in ``s3://``, ``gs://``, ``az://``.
    options : dict, optional
        What `pct-flow` takes on its command line, by the options' names: ``{"part_size": "64MB", "float32": True,
        "cast": ["Metadata_Plate=string"], "overwrite": True}``.

    Raises
    ------
    FailedPartsError
        Some parts failed; names each with its reason.
    PctError
        See the stages.
    """
    job = prepare(source, output, options or {})
    context = FlowRunContext.get()
    if job.options.runner == "dask" and context and isinstance(context.task_runner, ThreadPoolTaskRunner):
        with flow_runner(job) as runner:
            return convert.with_options(task_runner=runner)(source, output, options)
    work_dir = open_work_dir(job.options.work_dir, job.output, is_folder=job.moves_parts, keep=job.options.keep_work)
    with interruptions_raise_again(), work_dir as work, only_these_bars(BARS):
        summary = _convert(job, work)
    _note(summary)
    return summary


def _note(summary: FlowSummary) -> None:
    """Record the summary for `run_convert`; not in the flow itself, which Dask pickles and the variable cannot be."""
    _summaries.get([]).append(summary)


def run_convert(runner: TaskRunner[Any], source: str, output: str, options: dict[str, Any]) -> FlowSummary:
    """Run the flow on a task runner; a complete output counts even if the server cannot record the end of the run.

    Raises
    ------
    PctError
        See `convert`.
    """
    finished: list[FlowSummary] = []
    token = _summaries.set(finished)
    try:
        return convert.with_options(task_runner=runner)(source, output, options)
    except Exception as error:
        if not finished:
            raise
        level = logging.DEBUG if is_private() else logging.WARNING
        logger.log(level, "the Prefect server could not record the end of the run: %s", error)
        return finished[0]
    finally:
        _summaries.reset(token)


def _convert(job: Job, work: WorkDir) -> FlowSummary:
    """Run the parts that an earlier run has not finished, then write the output."""
    options = job.options
    tasks = Tasks(options.retries, on_threads=options.runner != "dask")
    progress = Progress(FlowArtifacts(prefect_api_configured(no_prefect=False)))
    figures = progress.figures
    title = f"{job.source} to {job.output}"
    with figures.timed("all"):
        with figures.timed("discover"):
            discovered = result_of(
                tasks.submit(
                    discover.discover_task, f"discover {job.source.name or job.source}", source=str(job.source),
                    output=str(work.manifest), overwrite=True, options=options.discover, storage=options.storage,
                )
            )  # fmt: skip
        manifest = read_manifest(str(work.manifest))
        refuse_among_sources(job.output, manifest)
        passed_over = join.passed_over_columns(manifest, options.join, job.inputs)
        figures.parts = len(manifest.parts)
        parts = _Parts(job, work, manifest, _steps(job, manifest), tasks, progress)
        written = _finished_output(parts)
        if written is None:
            work.prepare(manifest.parts)
            runs = PartRuns(parts.submit, parts.collect, job.parts_at_once, options.max_failures)
            try:
                runs.run(part for part in manifest.parts if not parts.resume(part))
            finally:
                figures.failed, figures.retried = len(runs.failures), len(tasks.retried)
            parts.report_remade()
            if runs.failures:
                progress.artifacts.summary(figures.markdown(title))
                figures.report()
                report_left_out(progress.left_out)
                raise FailedPartsError(runs.describe(figures.parts, figures.done + figures.resumed))
            check_left_out(manifest, progress.left_out)
            release_memory()
            written = _move_parts(parts) if job.moves_parts else _write_file(parts)
        reported = _report(parts) if options.report else None
    figures.bytes_written = written.bytes
    progress.artifacts.summary(figures.markdown(title))
    joined = JoinSummary(figures.parts, progress.counts, job.inputs.entries, passed_over)
    return FlowSummary(figures, discovered, joined, written, progress.left_out, reported)


def _steps(job: Job, manifest: Manifest) -> list[Step]:
    """Return the steps that make the output, without their counts."""
    options = job.options
    return [
        *manifest.provenance,
        new_step(extract.TOOL, recorded_options(options.extract), {}),
        new_step(join.TOOL, join.recorded(options.join, job.inputs), {}),
        new_step(write.TOOL, recorded_options(options.write), {}),
    ]


@dataclass
class _Parts:
    """The parts of one run: finds the finished ones, submits the others, and counts their results."""

    job: Job
    work: WorkDir
    manifest: Manifest
    steps: list[Step]
    tasks: Tasks
    progress: Progress
    remade: int = 0
    joins: list[PrefectFuture[Any]] = field(default_factory=list)
    written: list[write.WriteSummary] = field(default_factory=list)

    @property
    def on_threads(self) -> bool:
        """Whether tasks pass tables on in memory; Dask tasks pass paths."""
        return self.job.options.runner != "dask"

    def finished(self, part: int, folder: LocalLocation) -> Finished | None:
        """Return a part that an earlier run of the same files, tools and options finished in a folder, else None."""
        manifest = extract.prepared(self.manifest.only_parts([part]), self.job.options.extract)
        if self.job.moves_parts:
            return finished_part(folder / f"{part_name(part)}.parquet", fingerprint(manifest, self.steps))
        return finished_profiles(folder / part_name(part), manifest, self.steps[:-1])

    def resume(self, part: int) -> bool:
        """Return whether an earlier run finished this part, and count it if so."""
        place = self.work.parquet(part) if self.job.moves_parts else self.work.profiles(part)
        if not place.exists():
            return False
        finished = self.finished(part, LocalLocation(self.work.parts))
        if finished is None or finished.left_out:
            # A file that could not be read in the earlier run may be readable now.
            self.remade += finished is None
            return False
        self.written.append(_summary_of(finished))
        self.progress.resume(finished.counts)
        return True

    def report_remade(self) -> None:
        """Log how many parts of an earlier run could not be used."""
        if number := self.remade:
            logger.info("made again: %s of other files or options, or incomplete", count(number, "finished part"))

    def submit(self, part: int) -> list[PrefectFuture[Any]]:
        """Submit the tasks of one part: on threads each returns its tables to the next, on Dask their path."""
        job, work, options = self.job, self.work, self.job.options
        name = f"part {part} of {self.manifest.parts_total}"
        extracted = self.tasks.submit(
            extract.extract_task, f"extract {name}", manifest=self._manifest_of(part), overwrite=True, sync=False,
            output=None if self.on_threads else str(work.exchange(part, "bundle")),
            options=options.extract, storage=options.storage,
        )  # fmt: skip
        profiles: str | None = str(work.profiles(part))
        if job.moves_parts:
            profiles = None if self.on_threads else str(work.exchange(part, "profiles"))
        joined = self.tasks.submit(
            join.join_task, f"join {name}", bundle=extracted, output=profiles, overwrite=True,
            sync=work.is_lasting and not job.moves_parts, options=options.join, storage=options.storage,
        )  # fmt: skip
        if not job.moves_parts:
            self.joins.append(joined)
            return [extracted, joined]
        prepared = extract.prepared(self.manifest.only_parts([part]), options.extract)
        written = self.tasks.submit(
            write.write_task, f"write {name}", profiles=joined, output=str(work.parquet(part)), overwrite=True,
            fingerprint=fingerprint(prepared, self.steps), options=options.write, storage=options.storage,
        )  # fmt: skip
        return [extracted, joined, written]

    def _manifest_of(self, part: int) -> Manifest | str:
        manifest = self.manifest.only_parts([part])
        if self.on_threads:
            return manifest
        path = self.work.exchange(part, "manifest.arrow")
        with storage_errors(path), path.open("wb") as file:
            write_manifest(manifest, file, as_file=True)
        return str(path)

    def collect(self, part: int, results: list[Any]) -> None:
        """Count a part that is done."""
        extracted, joined, *written = results
        if extracted.nulled or extracted.blank_rows or extracted.disagreements.counts:
            replace(extracted, left_out={}).report()
        self.progress.leave_out(extracted.left_out)
        figures = self.progress.figures
        for stage, result in zip(("extract", "join", "write"), results, strict=False):
            figures.spend(stage, result.seconds)
        self.written += written
        bytes_read = sum(source.bytes for source in self.manifest.sources_of(part))
        self.progress.finish(part, joined.counts, sum(result.seconds for result in results), bytes_read)
        if self.on_threads:
            # Prefect's objects refer to each other in cycles, so they keep a result until Python looks for such.
            for tables in (extracted.bundle, joined.profiles):
                if not isinstance(tables, str):
                    tables.clear()
        else:
            self.work.clear_exchange(part)
        if figures.done % _PARTS_TO_RELEASE == 0:
            release_memory()


def _finished_output(parts: _Parts) -> write.WriteSummary | None:
    """Return the summary of the output, if a run that was killed at its end has finished it."""
    job, manifest = parts.job, parts.manifest
    rewrites = job.options.overwrite and not job.moves_parts
    if not job.resumes or rewrites or not job.output.exists():
        return None
    # For one file the parts are in the work dir, which is removed only after the output has its name.
    folder = LocalLocation(str(job.output) if job.moves_parts else parts.work.parts)
    finished = [one for part in manifest.parts if (one := parts.finished(part, folder)) is not None]
    is_complete = len(finished) == len(manifest.parts)
    if is_complete and not job.moves_parts:
        file = finished_file(job.output, finished, parts.steps)
        is_complete, finished = file is not None, [file] if file else []
    if not is_complete:
        job.refuse_existing_output()
        return None
    logger.info("%s was finished by a run that was interrupted at its end", job.output)
    for one in finished:
        parts.progress.resume(one.counts)
        parts.progress.leave_out(one.left_out)
    parts.progress.figures.resumed = len(manifest.parts)
    return _added([_summary_of(one) for one in finished])


def _write_file(parts: _Parts) -> write.WriteSummary:
    """Write the parts' profiles to one file, in their order, by one task."""
    job, options = parts.job, parts.job.options
    output = f"{job.output}{'/' if output_kind(job.output).is_by_part else ''}"
    with parts.progress.figures.timed("write"):
        return result_of(
            parts.tasks.submit(
                # States rather than futures: a lost Dask worker takes the results of its futures with it.
                write.write_task, f"write {job.output.name}", wait_for=[join.state for join in parts.joins],
                profiles=[str(parts.work.profiles(part)) for part in parts.manifest.parts],
                output=output, overwrite=options.overwrite, options=options.write, storage=options.storage,
            )
        )  # fmt: skip


def _move_parts(parts: _Parts) -> write.WriteSummary:
    """Rename the folder of finished parts to the output."""
    assert isinstance(parts.job.output, Path)
    overwrite, is_ours = parts.job.options.overwrite, PARQUET_FOLDER.is_own_entry
    move_folder(parts.work.parts, parts.job.output, overwrite=overwrite, is_ours=is_ours)
    return _added(parts.written)


def _report(parts: _Parts) -> report.ReportSummary:
    """Write the report on the output, by a task of its own."""
    job, options = parts.job, parts.job.options
    with parts.progress.figures.timed("report"):
        summary: report.ReportSummary = result_of(
            parts.tasks.submit(
                report.report_task, f"report on {job.output.name}", files=str(job.output), source=str(job.source),
                output=str(location_of(options.report, options.storage)), overwrite=job.overwrites_report,
                storage=options.storage,
            )
        )  # fmt: skip
    return replace(summary, output=options.report)


def _summary_of(finished: Finished) -> write.WriteSummary:
    return write.WriteSummary(1, finished.rows, finished.columns, finished.bytes)


def _added(written: list[write.WriteSummary]) -> write.WriteSummary:
    rows, size = (sum(getattr(one, name) for one in written) for name in ("rows", "bytes"))
    return replace(written[0], files=len(written), rows=rows, bytes=size)
