"""Metadata from the paths of datasets (``BR00117001/A01-1``)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.model.column_types import SampledColumn
from pycytominer_transform.common.model.manifest import Column, PathValues
from pycytominer_transform.common.model.naming import listed
from pycytominer_transform.common.model.options import search_regex
from pycytominer_transform.common.model.path_expression import NONE, column_of
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.runtime.messages import count, logger
from pycytominer_transform.common.storage.location import Location


def path_values(
    root: Location, datasets: Sequence[str], preset: Preset, expression: str, known: Collection[str] = ()
) -> dict[str, PathValues]:
    """Return metadata from the paths of datasets.

    Parameters
    ----------
    root : Location
        The source, absolute.
    datasets : sequence of str
        Relative to it; ``.`` is the source itself.
    expression : str
        The user's regular expression, searched in the dataset's whole path; ``none`` to take nothing; empty for the
        preset's own expressions, which see the source's name and what follows, and which all datasets must fit.
    known : collection of str
        Columns that the preset's own expressions need not give.

    Returns
    -------
    dict
        Names and values by dataset, without the datasets that do not fit.

    Raises
    ------
    DataError
        No dataset fits the user's expression.
    """
    if expression == NONE:
        return {}
    if expression:
        return _by_user_expression(root, datasets, expression)
    for preset_expression in preset.path_metadata:
        matches = _matches(root.name, datasets, preset_expression)
        if matches and len(matches) == len(datasets):
            values = {name: tuple(pair for pair in pairs if pair[0] not in known) for name, pairs in matches.items()}
            if columns := list(dict.fromkeys(column for pairs in values.values() for column, _ in pairs)):
                logger.info("took %s from the paths of the datasets", listed(columns))
            return values
        if matches:
            logger.info(
                "only %d of %s have metadata in their paths, so none were taken; --path-metadata says where they are",
                len(matches), count(len(datasets), "dataset"),
            )  # fmt: skip
    return {}


def path_columns(values: Iterable[PathValues], preset: Preset) -> tuple[Column, ...]:
    """Return the columns of path metadata, with types decided as for other metadata."""
    samples: dict[str, SampledColumn] = {}
    for pairs in values:
        for name, text in pairs:
            samples.setdefault(name, SampledColumn(name)).see(text)
    return tuple(
        Column("", name, "string" if preset.is_text(name) else sample.decide(), "metadata")
        for name, sample in samples.items()
    )


def _by_user_expression(root: Location, datasets: Sequence[str], expression: str) -> dict[str, PathValues]:
    matches = _matches(root.as_posix(), datasets, expression)
    if not matches:
        first = _path_of(root.as_posix(), datasets[0])
        raise DataError(f"--path-metadata fits the path of no dataset; the first is {first}")
    if len(matches) < len(datasets):
        others = [name for name in datasets if name not in matches]
        logger.warning(
            "--path-metadata does not fit the paths of %s, whose metadata will be null: %s",
            count(len(others), "dataset"), listed(others),
        )  # fmt: skip
    return matches


def _matches(place: str, datasets: Sequence[str], expression: str) -> dict[str, PathValues]:
    """Return the values of the named groups for the datasets whose paths match."""
    matches = {}
    for dataset in datasets:
        path = _path_of(place, dataset)
        # An expression may have been written for the files in a folder: PLATE/WELL-SITE/.
        if (match := search_regex(expression, path) or search_regex(expression, f"{path}/")) is not None:
            matches[dataset] = tuple((column_of(name), text) for name, text in match.groupdict().items() if text)
    return matches


def _path_of(place: str, dataset: str) -> str:
    return place if dataset == "." else f"{place}/{dataset}"
