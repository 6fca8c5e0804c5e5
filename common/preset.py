"""Presets: what a kind of source looks like, read from a TOML file of the package or of the user."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.naming import table_prefix
from pycytominer_transform.common.path_expression import check_expression
from pycytominer_transform.common.standard_io import read_small_file
from pycytominer_transform.common.storage_options import StorageOptions, check_preset_storage

PRESET_VERSION = 1
_TEXT_SIGN = ": text"
ANY_NAME = "*"
FORMATS = ("csv", "sqlite", "npz")
_KINDS: dict[str, tuple[type, str]] = {"int": (int, "a whole number"), "bool": (bool, "true or false")}
_CHOICES = {"format": FORMATS, "column_names": ("prefixed", "kept"), "empty_text": ("kept", "null")}


@dataclass(frozen=True)
class Sign:
    """A column that a source is recognised by, written ``TABLE.COLUMN`` or ``TABLE.COLUMN: text``.

    Attributes
    ----------
    table : str
        Lower-case name of the table that has it.
    column : str
        Its name in the source, as a glob.
    is_text : bool
        Whether it must be declared as text as well.
    """

    table: str
    column: str
    is_text: bool

    @classmethod
    def read(cls, text: str) -> Sign:
        """Take a sign apart."""
        table, _, column = text.removesuffix(_TEXT_SIGN).partition(".")
        return cls(table.lower(), column, text.endswith(_TEXT_SIGN))

    def is_among(self, columns: Mapping[str, str]) -> bool:
        """Say whether it is among a table's columns, given with their declared types."""
        return any(
            fnmatch.fnmatchcase(name, self.column) and (not self.is_text or declares_text(declared))
            for name, declared in columns.items()
        )


def declares_text(declared: str) -> bool:
    """Say whether the declared type of an SQLite column is text (https://www.sqlite.org/datatype3.html, 3.1)."""
    return any(word in declared.upper() for word in ("CHAR", "CLOB", "TEXT"))


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What a kind of source looks like: its tables, its identifying columns, how the tables join.

    Column patterns may hold ``{table}``, ``{parent}``, ``{compartment}`` and ``{anchor}``, which stand for tables'
    names with a capital; ``table_name`` may hold ``{table}``, matched in any letter case. With the ``table_name`` ``*``
    every file that has the signs is a dataset of its own with one table, and nothing is joined: there is one
    compartment and no table of images.

    Attributes
    ----------
    recognised_by : tuple of str
        Columns without which a source is not recognised as this kind, as `Sign` reads them.
    precedence : int
        Of several presets that a source looks like, the one with the highest is chosen.
    unprefixed : tuple of str
        Columns that are named without their table's name (``Image_Metadata_Well`` -> ``Metadata_Well``), where that
        name is free.
    column_names : {'prefixed', 'kept'}
        Whether columns are named after their table, or keep the names they have.
    whole_numbers : tuple of str
        Columns that are whole numbers, as globs, where no value in the sample is otherwise.
    yes_or_no : tuple of str
        Columns that say yes or no, as globs, where no value in the sample is otherwise.
    empty_text : {'kept', 'null'}
        What an empty field is in a column of text.
    path_metadata : tuple of str
        Regular expressions whose named groups find metadata in the paths of datasets, beginning with the source's name;
        the first that fits all of them is used.
    header_rows : int
        2 where the CSV file named ``table_name`` holds all compartments, a row above the names saying whose each is.
    no_sign_request, endpoint_url, profile, storage_options
        How cloud storage is reached where the command line does not say; see `StorageOptions`. No credentials: a preset
        goes into the manifest.
    """

    version: int = PRESET_VERSION
    name: str
    title: str
    format: Literal["csv", "sqlite", "npz"]
    table_name: str = "{table}"
    image: str = "image"
    compartments: tuple[str, ...]
    anchors: tuple[str, ...] = ()
    image_number: str = "ImageNumber"
    object_number: str = "ObjectNumber"
    table_number: str = ""
    parent: str = "Parent_{parent}"
    identifying: tuple[str, ...] = ()
    image_columns: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    recognised_by: tuple[str, ...] = ()
    precedence: int = 0
    unprefixed: tuple[str, ...] = ()
    column_names: Literal["prefixed", "kept"] = "prefixed"
    whole_numbers: tuple[str, ...] = ()
    yes_or_no: tuple[str, ...] = ()
    empty_text: Literal["kept", "null"] = "kept"
    path_metadata: tuple[str, ...] = ()
    header_rows: int = 1
    no_sign_request: bool = False
    endpoint_url: str = ""
    profile: str = ""
    storage_options: tuple[str, ...] = ()

    @property
    def is_single_table(self) -> bool:
        """Whether every file is a dataset with one table of rows, so that there is nothing to join."""
        return self.table_name == ANY_NAME

    @property
    def signs(self) -> list[Sign]:
        """The columns that a source is recognised by."""
        return [Sign.read(text) for text in self.recognised_by]

    def table_of(self, name: str, tables: Sequence[str]) -> str | None:
        """Say which of the tables a file's stem or an SQLite table's name stands for.

        In SQLite an experiment's name may stand before a name that begins with ``Per_``, as ExportToDatabase writes it.
        """
        before = "(?:.*_)?" if self.table_name.lower().startswith("per_") else ""
        for table in tables:
            pattern = before + re.escape(self.table_name.replace("{table}", table))
            if re.fullmatch(pattern, name, re.IGNORECASE):
                return table
        return None

    def tables_of(self, name: str, tables: Sequence[str]) -> list[str]:
        """List the tables that a CSV file's stem stands for: one, or all compartments where files are combined."""
        if self.header_rows == 1:
            table = self.table_of(name, tables)
            return [] if table is None else [table]
        if name.lower() == self.image.lower():
            return [self.image]
        return [table for table in tables if table != self.image] if name.lower() == self.table_name.lower() else []

    def object_number_of(self, prefix: str) -> str:
        """Name the source column that numbers the objects of a table."""
        return self.object_number.replace("{table}", prefix)

    def parent_column(self, prefix: str, parent: str) -> str:
        """Name the source column that holds, for an object of one table, the number of its parent in another."""
        return self.parent.replace("{table}", prefix).replace("{parent}", table_prefix(parent))

    def anchor_of(self, compartments: Sequence[str]) -> str:
        """Choose the anchor among the compartments at hand: the first that the preset prefers, else the first."""
        return next((name for name in self.anchors if name in compartments), compartments[0])

    def is_identifying(self, column: str, compartments: Sequence[str]) -> bool:
        """Say whether a source column identifies rather than measures."""
        anchor = table_prefix(self.anchor_of(compartments)) if compartments else ""
        # A parent's number identifies whether or not its compartment was asked for.
        named = dict.fromkeys((*compartments, *self.compartments))
        for pattern in self.identifying:
            for compartment in named if "{compartment}" in pattern else ("",):
                name = pattern.replace("{anchor}", anchor).replace("{compartment}", table_prefix(compartment))
                if column.lower() == name.lower():
                    return True
        return False

    def is_image_column(self, column: str) -> bool:
        """Say whether a source column of the image table goes beside every cell by default."""
        return any(fnmatch.fnmatchcase(column, pattern) for pattern in self.image_columns)

    def is_whole(self, column: str) -> bool:
        """Say whether a source column is to be whole numbers."""
        return any(fnmatch.fnmatchcase(column, pattern) for pattern in self.whole_numbers)

    def is_yes_or_no(self, column: str) -> bool:
        """Say whether a source column is to say yes or no."""
        return any(fnmatch.fnmatchcase(column, pattern) for pattern in self.yes_or_no)

    def is_text(self, column: str) -> bool:
        """Say whether a source column is text whatever its values look like."""
        return any(fnmatch.fnmatchcase(column, pattern) for pattern in self.text)


def preset_names() -> list[str]:
    """List the presets of the package by name."""
    return sorted(path.stem for path in _packaged_folder().glob("*.toml"))


def preset_text(name: str) -> str:
    """Give the file of a preset of the package, comments and all.

    Raises
    ------
    UsageError
        There is no such preset.
    """
    if name not in preset_names():
        raise UsageError(f"no preset is named {name!r}; there are {', '.join(preset_names())}")
    return (_packaged_folder() / f"{name}.toml").read_text(encoding="utf-8")


def load_preset(name_or_path: str, storage: StorageOptions | None = None) -> Preset:
    """Load a preset of the package by its name, or one of the user's by its path.

    Raises
    ------
    UsageError
        There is no such preset, or the file is not one; the message names the key and what it may hold.
    """
    import tomllib

    path = str(_packaged_folder() / f"{name_or_path}.toml")
    if name_or_path.endswith(".toml") or "/" in name_or_path:
        path = name_or_path
    elif not Path(path).is_file():
        raise UsageError(
            f"no preset is named {name_or_path!r}; there are {', '.join(preset_names())}, or give a .toml file"
        )
    try:
        keys = tomllib.loads(read_small_file(path, "the preset", storage).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the preset {path} is not TOML: {error}") from error
    except RecursionError as error:
        raise UsageError(f"the preset {path} is nested too deep") from error
    return preset_from_keys(keys, path)


def packaged_presets() -> list[Preset]:
    """Load all presets of the package."""
    return [load_preset(name) for name in preset_names()]


def preset_from_keys(keys: dict[str, Any], where: str) -> Preset:
    """Check the keys of a preset file, or of a manifest's preset, and make a preset of them."""
    known = {field.name: str(field.type) for field in fields(Preset)}
    if unknown := sorted(set(keys) - set(known)):
        raise UsageError(f"{where}: unknown key {unknown[0]!r}; a preset has {', '.join(known)}")
    checked: dict[str, Any] = {}
    for key, value in keys.items():
        if known[key].startswith("tuple"):
            if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
                raise UsageError(f'{where}: {key!r} must be a list of strings, such as ["cells", "nuclei"]')
            checked[key] = tuple(value)
        elif type(value) is not _KINDS.get(known[key], (str, ""))[0]:
            raise UsageError(f"{where}: {key!r} must be {_KINDS.get(known[key], (str, 'a string'))[1]}")
        else:
            checked[key] = value
    if missing := [key for key in ("name", "title", "format", "compartments") if not checked.get(key)]:
        raise UsageError(f"{where}: the key {missing[0]!r} is missing or empty")
    _check_values(checked, where)
    checked["compartments"] = tuple(name.lower() for name in checked["compartments"])
    return Preset(**checked)


def _check_values(checked: dict[str, Any], where: str) -> None:
    """Check the values of a preset's keys that may not hold just any text."""
    if checked.get("version", PRESET_VERSION) != PRESET_VERSION:
        raise UsageError(f"{where}: preset version {checked['version']}; this program knows version {PRESET_VERSION}")
    for key, allowed in _CHOICES.items():
        if checked.get(key, allowed[0]) not in allowed:
            raise UsageError(f"{where}: {key} is {checked[key]!r}; it may be {' or '.join(allowed)}")
    if checked.get("table_name") == ANY_NAME:
        _check_single_table(checked, where)
    elif checked.get("header_rows", 1) not in (1, 2):
        raise UsageError(f"{where}: header_rows is {checked['header_rows']}; it may be 1 or 2")
    elif checked.get("header_rows", 1) == 1 and "{table}" not in checked.get("table_name", "{table}"):
        raise UsageError(f"{where}: 'table_name' must hold {{table}}, or be {ANY_NAME!r}")
    check_preset_storage(checked.get("endpoint_url", ""), checked.get("storage_options", ()), where)
    for expression in checked.get("path_metadata", ()):
        _check_path_metadata(expression, where)
    tables = [checked.get("image", "image"), *checked["compartments"]]
    for text in checked.get("recognised_by", ()):
        sign = Sign.read(text)
        if not sign.column or sign.table not in map(str.lower, tables):
            raise UsageError(
                f"{where}: 'recognised_by' holds {text!r}; write TABLE.COLUMN or TABLE.COLUMN{_TEXT_SIGN}, where TABLE "
                f"may be {', '.join(tables)}"
            )


def _check_path_metadata(expression: str, where: str) -> None:
    try:
        check_expression(expression)
    except UsageError as error:
        raise UsageError(f"{where}: 'path_metadata': {error}") from error


def _check_single_table(checked: dict[str, Any], where: str) -> None:
    """Check the keys of a preset whose files have one table each."""
    if len(checked["compartments"]) != 1 or checked.get("image", "image"):
        raise UsageError(
            f"{where}: with 'table_name' {ANY_NAME!r} there is one table: 'compartments' must name one, and 'image' be "
            "empty"
        )
    if not checked.get("recognised_by"):
        raise UsageError(f"{where}: with 'table_name' {ANY_NAME!r} 'recognised_by' must name a column of all files")


def _packaged_folder() -> Path:
    return Path(__file__).parent / "presets"
