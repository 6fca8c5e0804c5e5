"""Metadata that stand in the paths of datasets (``BR00117001/A01-1``), and how they compare with the image table's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pycytominer_transform.common.column_types import SampledColumn
from pycytominer_transform.common.conversion import arrow_type, number_of
from pycytominer_transform.common.disagreements import Disagreements
from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.manifest import Column, PathValues
from pycytominer_transform.common.naming import listed
from pycytominer_transform.common.path_expression import NONE, column_of
from pycytominer_transform.common.place import Place
from pycytominer_transform.common.preset import Preset
from pycytominer_transform.common.reporting import count, logger

if TYPE_CHECKING:
    import pyarrow as pa

_OPEN = frozenset({None, ""})
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


def path_values(root: Place, datasets: Sequence[str], preset: Preset, expression: str) -> dict[str, PathValues]:
    """Take metadata from the paths of datasets.

    Parameters
    ----------
    root : Place
        The source, absolute.
    datasets : sequence of str
        Relative to it; ``.`` is the source itself.
    expression : str
        The user's regular expression, searched in the dataset's whole path; ``none`` to take nothing; empty for the
        preset's own expressions, which see the source's name and what follows, and which all datasets must fit.

    Returns
    -------
    dict
        By dataset, what its path gives; without those that do not fit.

    Raises
    ------
    DataError
        No dataset fits the user's expression.
    """
    if expression == NONE:
        return {}
    if expression:
        return _by_the_user(root, datasets, expression)
    for known in preset.path_metadata:
        found = _found(root.name, datasets, known)
        if found and len(found) == len(datasets):
            logger.info("took %s from the paths of the datasets", listed([name for name, _ in found[datasets[0]]]))
            return found
        if found:
            logger.info(
                "only %d of %s have metadata in their paths, so none were taken; --path-metadata says where they are",
                len(found), count(len(datasets), "dataset"),
            )  # fmt: skip
    return {}


def path_columns(values: Iterable[PathValues], preset: Preset) -> tuple[Column, ...]:
    """Decide the types of the columns that paths give, as those of other metadata are decided."""
    samples: dict[str, SampledColumn] = {}
    for pairs in values:
        for name, text in pairs:
            samples.setdefault(name, SampledColumn(name)).see(text)
    return tuple(
        Column("", name, "string" if preset.is_text(name) else sample.decide()) for name, sample in samples.items()
    )


def typed_path_values(values: PathValues, columns: Sequence[Column]) -> dict[str, str | int | float | None]:
    """Give what a dataset's path says, by the column's name, as values of the columns' types."""
    type_of = {column.name: column for column in columns}
    return {name: _as_type(text, type_of[name]) for name, text in values}


def _by_the_user(root: Place, datasets: Sequence[str], expression: str) -> dict[str, PathValues]:
    found = _found(root.as_posix(), datasets, expression)
    if not found:
        first = _text_of(root.as_posix(), datasets[0])
        raise DataError(f"--path-metadata fits the path of no dataset; the first is {first}")
    if len(found) < len(datasets):
        others = [name for name in datasets if name not in found]
        logger.warning(
            "--path-metadata does not fit the paths of %s, whose metadata will be null: %s",
            count(len(others), "dataset"), listed(others),
        )  # fmt: skip
    return found


def _found(place: str, datasets: Sequence[str], expression: str) -> dict[str, PathValues]:
    pattern = re.compile(expression)
    found = {}
    for dataset in datasets:
        text = _text_of(place, dataset)
        # An expression may have been written for the files in a folder: PLATE/WELL-SITE/.
        if (match := pattern.search(text) or pattern.search(f"{text}/")) is not None:
            found[dataset] = tuple((column_of(name), text) for name, text in match.groupdict().items() if text)
    return found


def _text_of(place: str, dataset: str) -> str:
    return place if dataset == "." else f"{place}/{dataset}"


def merged_with_path(
    table: pa.Table, held: Mapping[str, Column], values: PathValues, dataset: str, found: Disagreements
) -> pa.Table:
    """Fill what an image table leaves open by what the path says, and count where the two disagree.

    Parameters
    ----------
    table : pyarrow.Table
        One row per image set, final column names.
    held : mapping
        By the path's column, the table's that says the same.
    values : sequence of (str, str)
        What the dataset's path says.
    """
    import pyarrow as pa

    for name, text in values:
        if name not in held:
            continue
        column = held[name]
        stored = table[column.name].to_pylist()
        others = [value for value in stored if value not in _OPEN and not _says_the_same(str(value), text)]
        if others:
            found.counts[column.name] = found.counts.get(column.name, 0) + len(others)
            found.examples.setdefault(column.name, f"{others[0]} in the table, {text} in the path of {dataset}")
        if _OPEN.isdisjoint(stored) or (value := _as_type(text, column)) is None:
            continue
        filled = pa.array([value if own in _OPEN else own for own in stored], type=arrow_type(column.type))
        table = table.set_column(table.column_names.index(column.name), column.name, filled)
    return table


def _says_the_same(own: str, text: str) -> bool:
    """Compare two texts; how numbers are padded (``A1``, ``A01``) and letter case say nothing."""
    return _ZEROS.sub("", own).casefold() == _ZEROS.sub("", text).casefold()


def _as_type(text: str, column: Column) -> str | int | float | None:
    if column.type == "string":
        return text
    try:
        return number_of(text, column.type)
    except ValueError:
        return None
