"""Which table a CSV file holds, by its name: ``Cells.csv``, ``MyExpt_Cells.csv``, ``Cell.txt``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pycytominer_transform.common.formats.table_names import Matcher, only_exports, table_matcher
from pycytominer_transform.common.model.preset import Preset

SUFFIXES = (".csv", ".tsv", ".txt")
"""In the order of preference, where a folder has a table in several."""
PACKED = ".gz"

Export = dict[str, list[str]]
"""The files of one export by table; more than one where it is not clear which of them holds the table."""


def csv_stem(name: str) -> str | None:
    """Return a CSV file's name without its suffix, in any letter case; None for other files."""
    suffix = _suffix_of(name)
    return name[: len(name.lower().removesuffix(PACKED)) - len(suffix)] if suffix else None


def is_csv_name(name: str) -> bool:
    """Return whether a name is one that no other kind of file has: a ``.txt`` may hold anything."""
    return _suffix_of(name) not in ("", ".txt")


def _suffix_of(name: str) -> str:
    lower = name.lower().removesuffix(PACKED)
    return next((suffix for suffix in SUFFIXES if lower.endswith(suffix)), "")


def find_exports(names: Sequence[str], match: Matcher, image: str) -> dict[str, Export]:
    """Group the files of a folder by the prefix before the name of a table.

    Parameters
    ----------
    match : callable
        See `table_names.table_matcher`.
    image : str
        The name of the image table.

    Returns
    -------
    dict
        By prefix, the files of each export, see `only_exports`.
    """
    exports: dict[str, Export] = {}
    for suffix in SUFFIXES:
        seen: dict[str, Export] = {}
        for name in (name for name in names if _suffix_of(name) == suffix):
            prefix, tables = match(csv_stem(name) or "")
            for table in tables:
                seen.setdefault(prefix, {}).setdefault(table, []).append(name)
        for prefix, files in seen.items():
            exports[prefix] = files | exports.get(prefix, {})
    return only_exports(exports, image)


def experiment_prefixes(names: Iterable[str], preset: Preset) -> list[str]:
    """List what stands before the name of the image table in a folder's files; the longest first."""
    match = table_matcher(preset, [preset.image])
    matches = [match(stem) for stem in map(csv_stem, names) if stem is not None]
    return sorted({prefix for prefix, tables in matches if tables}, key=len, reverse=True)
