"""The stages of `pct-flow` in their order: which tasks are submitted when, and what becomes of their results."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pycytominer_transform.common.discover_options import DiscoverOptions
from pycytominer_transform.common.errors import FailedPartsError, PctError, StorageError
from pycytominer_transform.common.holding import Hold
from pycytominer_transform.common.reporting import logger
from pycytominer_transform.common.running import RunningOptions
from pycytominer_transform.common.storage_options import StorageOptions
from pycytominer_transform.tools import discover as discovering
from pycytominer_transform.tools import extract as extracting
from pycytominer_transform.tools import join as joining
from pycytominer_transform.tools import write as writing

if TYPE_CHECKING:
    from prefect.futures import PrefectConcurrentFuture, PrefectFuture
    from pycytominer_transform.common.ahead import Ahead
    from pycytominer_transform.common.flow_record import FlowRecord
    from pycytominer_transform.common.flow_tally import FlowTally
    from pycytominer_transform.common.made_parts import MadeParts
    from pycytominer_transform.common.manifest import Manifest, Step
    from pycytominer_transform.common.place import Place
    from pycytominer_transform.common.work_dir import WorkDir
    from pycytominer_transform.common.written import Writing, Written

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


@dataclass(frozen=True)
class Handover:
    """How stages hand a part to each other, and which of them go on at the same time.

    Attributes
    ----------
    bundles, profiles : Hold
        How long they have to last. A bundle is kept in memory if the extract and the join are in this process and
        nobody else wants what is between; profiles, as far as there is room, if no later run will look for a file.
    meanwhile : bool
        Parts are written while others are made: not where those are on other machines, nor where memory is short, nor
        into a file for each part, which says what was done with all.
    """

    bundles: Hold
    profiles: Hold
    meanwhile: bool

    @classmethod
    def of(cls, options: FlowOptions, output: Place) -> Handover:
        """Choose, by what the user asked for, for an output."""
        meanwhile = options.runner == "concurrent" and not options.join.memory and writing.is_one_file(output)
        if options.keep_work:
            return cls("lasting", "lasting", meanwhile)
        bundles: Hold = "passing" if options.runner == "dask" else "kept"
        if options.work_dir:
            return cls(bundles, "lasting", meanwhile)
        # What is written into the cloud cannot be read back, should the profiles be wanted after all.
        return cls(bundles, "kept" if meanwhile and isinstance(output, Path) else "passing", meanwhile)


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


@dataclass(frozen=True)
class _Meanwhile:
    """Parts that are written while others are made: which are there, and the task that writes them."""

    parts: MadeParts
    task: PrefectConcurrentFuture[writing.WriteSummary]

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will be written, be it for a fault."""
        return bool(self.task.wrapped_future.done())


@dataclass
class Stages:
    """The flow itself: which tasks are submitted in which order, and what becomes of their results.

    Attributes
    ----------
    work_kept_in : Path
        Where the work stays if parts fail and the user named no place.
    ahead : Ahead, optional
        The discovery, where that was begun before the flow.
    done : FlowSummary, optional
        What it did, once the output is there: whatever the Prefect server says after that, it is no failure.
    """

    source: Place
    output: Place
    overwrite: bool
    work: WorkDir
    work_kept_in: Path
    options: FlowOptions
    handover: Handover
    record: FlowRecord
    ahead: Ahead[discovering.DiscoverSummary] | None = None
    done: FlowSummary | None = None
    _meanwhile: _Meanwhile | None = None

    @property
    def plate(self) -> str:
        """The source's name, which the runs' names begin with."""
        return self.source.name or str(self.source)

    def run(self) -> FlowSummary:
        """Do all that is left to be done."""
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

        if self.ahead is not None:
            for stage in ("discover", "all"):
                self.record.tally.spend(stage, self.ahead.seconds)
        with self.record.tally.timed("discover"):
            return result_of(
                lambda attempt: discovering.discover_task.submit(
                    run_name=attempt_name(f"discover {self.plate}", attempt),
                    **self.discovery,
                    ahead=None if attempt else self.ahead,
                ),
                self.options.retries,
            )

    @property
    def discovery(self) -> dict[str, Any]:
        """What the discovery is called with."""
        return {
            "source": str(self.source),
            "output": str(self.work.manifest),
            "overwrite": True,
            "options": self.options.discover,
            "storage": self.options.storage,
        }

    def _make(self, manifest: Manifest) -> writing.WriteSummary:
        """Extract, join and write all parts."""
        from pycytominer_transform.common.part_runs import pause_before
        from pycytominer_transform.common.task_runners import is_passing_here

        if not self.handover.meanwhile:
            self._work_on(manifest)
            return self._write(manifest)
        try:
            return self._make_and_write(manifest)
        except StorageError as error:
            may_pass = is_passing_here(error) and self.options.retries
            at_writing = self._meanwhile is not None and self._meanwhile.has_ended
            if not (self.handover.profiles == "kept" and at_writing and may_pass):
                raise
            # What it had taken is nowhere else.
            logger.warning("%s; this may pass, so all parts are made again", error)
        time.sleep(pause_before(1))
        self.handover = replace(self.handover, profiles="passing")
        self.record.begin_again()
        return self._make_and_write(manifest)

    def _make_and_write(self, manifest: Manifest) -> writing.WriteSummary:
        """Write all parts while they are made."""
        from pycytominer_transform.common.kept_profiles import KEPT_PROFILES
        from pycytominer_transform.common.made_parts import MadeParts

        made = MadeParts({part: self.work.profiles_of(part) for part in manifest.parts})
        # It has its thread before the first part does.
        task = cast("PrefectConcurrentFuture[writing.WriteSummary]", self._submit_write(manifest, 0, made))
        self._meanwhile = _Meanwhile(made, task)
        try:
            self._work_on(manifest)
            return self._write(manifest)
        except FailedPartsError:
            if self.handover.profiles == "kept":
                self._return_profiles(self._meanwhile)
            raise
        finally:
            made.give_up()
            KEPT_PROFILES.forget(self.work.path)

    @staticmethod
    def _return_profiles(meanwhile: _Meanwhile) -> None:
        """Have the profiles of the parts that did not fail written where a later run finds them."""
        from pycytominer_transform.common.made_parts import PartsWantedBackError
        from pycytominer_transform.common.returned_profiles import return_kept

        meanwhile.parts.give_up(wanted_back=True)
        try:
            with suppress(PartsWantedBackError):
                meanwhile.task.result()
            return_kept(meanwhile.parts.places)
        except PctError as error:
            logger.warning("not all finished parts could be kept: %s", error)

    def _work_on(self, manifest: Manifest) -> None:
        """Extract and join all parts."""
        from pycytominer_transform.common.kept_bundles import KEPT_BUNDLES
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
            KEPT_BUNDLES.forget(self.work.path)
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
            hold=self.handover.bundles,
            options=self.options.extract,
            storage=self.options.storage,
        )
        joined = joining.join_task.submit(
            run_name=f"join {named}", wait_for=[extracted], bundle=str(bundle), output=str(self.work.profiles_of(part)),
            overwrite=True, hold=self.handover.profiles, options=self.options.join, storage=self.options.storage,
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
        if self._meanwhile is not None:
            self._meanwhile.parts.made(part)
            self._heed(self._meanwhile)
        if self.handover.bundles == "passing":
            shutil.rmtree(self.work.bundle_of(part), ignore_errors=True)
        if self.record.tally.done % _PARTS_TO_RELEASE == 0:
            release_memory()

    def _heed(self, meanwhile: _Meanwhile) -> None:
        """Go no further where the output cannot be written, unless that may pass and the profiles have files."""
        from pycytominer_transform.common.task_runners import is_passing_here

        if meanwhile.has_ended:
            try:
                meanwhile.task.result()
            except Exception as error:
                if self.handover.profiles == "kept" or not is_passing_here(error):
                    raise

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
            if self._meanwhile is not None:
                self._meanwhile.parts.made(part)
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

    def _write(self, manifest: Manifest) -> writing.WriteSummary:
        """Write the parts, all of which are made; or finish the writing that was begun."""
        from pycytominer_transform.common.part_runs import result_of
        from pycytominer_transform.common.written import note_writing

        if not self.overwrite:
            note_writing(self.work.path, self._writing(manifest))
        meanwhile = self._meanwhile
        if meanwhile is not None:
            meanwhile.parts.complete()
        with self.record.tally.timed("write"):
            written = result_of(
                lambda attempt: meanwhile.task if meanwhile and not attempt else self._submit_write(manifest, attempt),
                0 if self.handover.profiles == "kept" else self.options.retries,
            )
        if meanwhile is not None:
            self.record.tally.spend("write", meanwhile.parts.busy)
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
