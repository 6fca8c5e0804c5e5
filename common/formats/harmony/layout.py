"""What lies in a source of Harmony exports: evaluations, each a folder with a list of objects for every population."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pycytominer_transform.common.errors import (
    BadDatasetError,
    DataError,
    StorageError,
    TransientStorageError,
    UsageError,
    describe_os_error,
)
from pycytominer_transform.common.formats.csv.head import FIRST_BYTES
from pycytominer_transform.common.formats.harmony.columns import (
    COLUMN,
    FIELD,
    IMAGE_SET,
    OBJECT,
    ROW,
    WELL_SOURCE,
    ObjectListSample,
    well_of,
)
from pycytominer_transform.common.formats.harmony.head import ObjectListHead, is_object_list, read_head, with_points
from pycytominer_transform.common.formats.harmony.image_sets import ImageSet, Runs, cut_into_parts, find_runs
from pycytominer_transform.common.formats.other_tables import ObjectTable, related_tables
from pycytominer_transform.common.formats.protocol import Layout
from pycytominer_transform.common.formats.source_layout import DatasetTable, SourceLayout
from pycytominer_transform.common.model.discovery_options import DiscoverOptions
from pycytominer_transform.common.model.naming import PLATE, listed
from pycytominer_transform.common.model.options import did_you_mean
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.runtime.messages import logger, progress
from pycytominer_transform.common.storage.location import Location
from pycytominer_transform.common.storage.repeated_datasets import find_repeated, is_repeated
from pycytominer_transform.common.storage.tree import Folder, checked_name

_BEGIN, _END = "objects_population - ", ".txt"
_PLATE_RESULTS = "plateresults.txt"


class HarmonyLayout(Layout):
    """Folders with a file for each population of objects, or one such file."""

    own_files = (f"{_BEGIN}*{_END}",)
    unread_files = (
        (_PLATE_RESULTS, "Harmony's results per well; export the list of objects of a population as well"),
        (f"{_BEGIN}*{_END}.gz", "a packed list of objects of Harmony; unpack it"),
    )

    def fits(self, root: Location, tree: Sequence[Folder], preset: Preset, compartments: Sequence[str]) -> bool:
        """Return whether a file has the name, or the source is a file that begins as a list of objects does."""
        if root.is_dir():
            return any(_is_object_list(name) for folder in tree for name in folder.files)
        if _is_object_list(root.name):
            return True
        # A file that cannot be read may be of any kind.
        with suppress(OSError), root.open("rb") as file:
            return is_object_list(file)
        return False

    def lone_file_fault(self, file: Location) -> str:
        """Return nothing: a lone file of this kind fits."""
        return ""

    def survey(self, root: Location, tree: Sequence[Folder], preset: Preset, options: DiscoverOptions) -> SourceLayout:
        """Find the rows of each image set, and cut all evaluations into parts; see `Layout.survey`."""
        evaluations = _find_evaluations(root, tree)
        tables = _choose_tables(evaluations, preset, options)
        _report_unread(tree)
        names = {table: next((e.population(table) for e in evaluations if table in e.files), table) for table in tables}
        samples = {table: ObjectListSample(table, names[table]) for table in tables}
        layout = SourceLayout(samples=dict(samples), prefix_of=names.__getitem__)
        files = {e.name: {file: True for table, file in e.files.items() if table in tables} for e in evaluations}
        repeated = find_repeated(root, files)
        for number, evaluation in enumerate(evaluations, start=1):
            progress("looking at datasets", number, len(evaluations))
            with layout.dataset(options, len(evaluations)):
                if not is_repeated(evaluation.name, repeated):
                    _add(layout, evaluation, samples, options)
        return layout


layout = HarmonyLayout()


@dataclass
class _Evaluation:
    """One folder of lists of objects, or one list; a dataset.

    Attributes
    ----------
    files : dict
        By table, the file relative to the source; ``.`` if that is the source.
    heads : dict
        By table, the file's head, if it could be read.
    faults : dict
        By table, why the file cannot be read.
    """

    root: Location
    name: str
    files: dict[str, str] = field(default_factory=dict)
    heads: dict[str, ObjectListHead] = field(default_factory=dict)
    faults: dict[str, DataError | StorageError] = field(default_factory=dict)

    def shown(self, table: str) -> str:
        """Return the name of a table's file in messages."""
        return self.name if self.files[table] == "." else self.files[table]

    def population(self, table: str) -> str:
        """Return the name of a population as the file writes it."""
        return _population(self.heads.get(table), PurePosixPath(self.shown(table)).name)

    def add(self, relative: str) -> None:
        """Add a file, with its head or its fault."""
        name = PurePosixPath(relative).name if relative != "." else self.root.name
        head, fault = None, None
        try:
            path = self.root / relative
            if not path.is_file() and path.exists():
                raise BadDatasetError(f"{relative}: is no regular file")
            with path.open("rb") as file:
                head = read_head(file, relative if relative != "." else name)
            _check_columns(head, relative if relative != "." else name)
        except TransientStorageError:
            raise
        except (DataError, StorageError) as error:
            fault = error
        except OSError as error:
            fault = describe_os_error(error, f"read {self.root / relative}")
        table = _population(head, name).lower()
        if table in self.files:
            fault = BadDatasetError(
                f"{self.files[table]} and {relative} are both the population {table}; put those of one evaluation into "
                "a folder of its own"
            )
        self.files[table] = relative
        if head:
            self.heads[table] = head
        if fault:
            self.faults[table] = fault

    def columns(self, tables: Iterable[str]) -> dict[str, ObjectTable]:
        """Return some of the tables with their columns."""
        return {
            table: ObjectTable(
                PurePosixPath(self.shown(table)).name, frozenset(map(str.lower, self.heads[table].columns))
            )
            for table in tables
            if table in self.heads
        }


def _is_object_list(name: str) -> bool:
    return name.lower().startswith(_BEGIN) and name.lower().endswith(_END)


def _population(head: ObjectListHead | None, name: str) -> str:
    """Return the name of a file's population: that in its head, else in its own name."""
    stem = name[len(_BEGIN) :] if name.lower().startswith(_BEGIN) else name
    return (head.population if head else "") or stem[: -len(_END)] or stem


def _check_columns(head: ObjectListHead, shown: str) -> None:
    if missing := [name for name in (ROW, COLUMN, OBJECT) if name not in head.columns]:
        raise BadDatasetError(f"{shown}: no column {listed(missing)} in the header; is it a list of objects?")


def _find_evaluations(root: Location, tree: Sequence[Folder]) -> list[_Evaluation]:
    """Find the datasets of a source, and read the heads of their files.

    Raises
    ------
    DataError
        There are none.
    """
    if not root.is_dir():
        alone = _Evaluation(root, checked_name(root.name))
        alone.add(".")
        return [alone]
    names = {
        folder.relative: [checked_name(folder.path_of(name)) for name in folder.files if _is_object_list(name)]
        for folder in tree
    }
    evaluations = []
    with root.prefetch([name for some in names.values() for name in some], first=FIRST_BYTES, last=1):
        for folder, files in names.items():
            if files:
                evaluations.append(_Evaluation(root, folder))
                for relative in files:
                    evaluations[-1].add(relative)
    if not evaluations:
        raise DataError(f"{root}: no file in it is named as lists of objects are, 'Objects_Population - Nuclei.txt'")
    return evaluations


def _report_unread(tree: Sequence[Folder]) -> None:
    unread = [folder.path_of(name) for folder in tree for name in folder.files if name.lower() == _PLATE_RESULTS]
    if unread:
        logger.info("passed over %s: results per well, not per object", listed(unread))


def _choose_tables(evaluations: Sequence[_Evaluation], preset: Preset, options: DiscoverOptions) -> list[str]:
    """List the tables to take: those that the user names, else all that belong to the anchor's.

    Raises
    ------
    DataError
        One that the user names is nowhere.
    UsageError
        There are several populations, and it is not clear which one rows are for, or how others belong to it.
    """
    present = list(dict.fromkeys(table for evaluation in evaluations for table in evaluation.files))
    if options.compartments:
        if absent := [name for name in options.compartments if name not in present]:
            raise DataError(
                f"no dataset has a population {listed(absent)}; there are {listed(present)}"
                f"{did_you_mean(absent[0], present)}"
            )
        return list(options.compartments)
    anchor = _anchor(present, preset, options)
    everywhere = [table for table in present if all(table in e.files for e in evaluations if anchor in e.files)]
    if others := [table for table in present if table not in everywhere and table != anchor]:
        logger.info("passed over the populations %s, which not all datasets have", listed(others))
    columns: dict[str, ObjectTable] = {}
    for evaluation in evaluations:
        for table, found in evaluation.columns(everywhere).items():
            known = columns.get(table, found)
            columns[table] = ObjectTable(found.name, known.columns | found.columns)
    upwards, children = related_tables(columns, anchor, preset)
    # Where no file of the anchor can be read, that is the fault to report.
    if unrelated := [table for table in columns if upwards and table not in (*upwards, *children)]:
        _refuse_unrelated(anchor, unrelated, [*upwards, *children], preset)
    return [anchor, *(table for table in everywhere if table != anchor)]


def _anchor(present: Sequence[str], preset: Preset, options: DiscoverOptions) -> str:
    anchor = options.anchor.lower()
    if anchor and anchor not in present:
        raise UsageError(
            f"--anchor {options.anchor} is none of the populations: {', '.join(present)}{did_you_mean(anchor, present)}"
        )
    named = [name for name in preset.anchors if name in present]
    if not anchor and not named and len(present) > 1:
        raise UsageError(
            f"there are the populations {listed(present)}; say whose objects the rows are with "
            f"--anchor {shlex.quote(present[0])}"
        )
    return anchor or next(iter(named), present[0])


def _refuse_unrelated(anchor: str, unrelated: Sequence[str], related: Sequence[str], preset: Preset) -> None:
    one = unrelated[0]
    every = shlex.quote(",".join((*related, *unrelated)))
    raise UsageError(
        f"nothing relates {listed(unrelated)} to {anchor}: there is no column {preset.parent_column(anchor, one)!r} or "
        f"{preset.parent_column(one, anchor)!r}; leave out {listed(unrelated)} with pct-discover --compartments "
        f"{shlex.quote(','.join(related))}, or take pct-discover --compartments {every} and join them by a query of "
        "your own with --sql"
    )


def _add(
    layout: SourceLayout, evaluation: _Evaluation, samples: Mapping[str, ObjectListSample], options: DiscoverOptions
) -> None:
    """Add an evaluation to a layout.

    Raises
    ------
    BadDatasetError
        A table is missing, damaged, or of another plate.
    """
    if missing := [table for table in samples if table not in evaluation.files]:
        there = listed([PurePosixPath(evaluation.shown(table)).name for table in evaluation.files])
        raise BadDatasetError(f"dataset {evaluation.name}: no population {listed(missing)} (there is {there})")
    if faults := [evaluation.faults[table] for table in samples if table in evaluation.faults]:
        raise faults[0]
    heads = {table: evaluation.heads[table] for table in samples}
    plates = sorted({head.properties.get("Plate Name", "") for head in heads.values()})
    if len(plates) > 1:
        raise BadDatasetError(f"dataset {evaluation.name}: its files are of several plates, {listed(plates)}")
    runs, marks = {}, {}
    for table in samples:
        path, shown = evaluation.root / evaluation.files[table], evaluation.shown(table)
        try:
            with path.open("rb") as file:
                runs[table] = find_runs(file, heads[table], shown)
        except OSError as error:
            raise describe_os_error(error, f"read {path}") from error
        marks[table] = path.fingerprint()[1]
    for table, sample in samples.items():
        _sample(sample, heads[table], runs[table])
        layout.report_notes(f"table {table}: {note}" for note in heads[table].sample.notes)
    parts = [
        [
            DatasetTable(
                dataset=evaluation.name, table=table, path=evaluation.files[table], bytes=rows.bytes,
                fingerprint=marks[table], row_ranges=rows.ranges, rows=rows.rows,
            )
            for table, rows in part.items()
        ]
        for part in cut_into_parts(runs, options.part_size)
    ]  # fmt: skip
    if len(parts) == 1:
        layout.add(evaluation.name, parts[0], sum(table.bytes for table in parts[0]), options.part_size)
    else:
        layout.add_parts(evaluation.name, parts, options.part_size)
    layout.metadata[evaluation.name] = tuple((PLATE, plate) for plate in plates if plate)
    layout.image_sets[evaluation.name] = list(map(_described, {i for each in runs.values() for i in each.image_sets}))


def _sample(sample: ObjectListSample, head: ObjectListHead, runs: Runs) -> None:
    """Add the first rows of a file, and the first of each well, to a table's sample."""
    places = [head.columns.index(name) for name in head.sample.header]
    rows = [*head.sample.sample, *([fields[place] for place in places] for fields in runs.sample)]
    sample.add(head.sample.header, map(with_points, rows) if head.sample.decimal_point == "," else rows)


def _described(image_set: ImageSet) -> dict[str, str]:
    """Return the well and the site of an image set by their columns."""
    numbers = dict(zip(IMAGE_SET, image_set, strict=True))
    return {WELL_SOURCE: well_of(numbers[ROW], numbers[COLUMN]), FIELD: str(numbers[FIELD])}
