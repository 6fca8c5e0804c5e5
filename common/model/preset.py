"""Presets: descriptions of kinds of sources, read from TOML files of the package or of the user."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.model.naming import IMAGE_NUMBER, table_prefix
from pycytominer_transform.common.model.options import did_you_mean
from pycytominer_transform.common.model.path_expression import check_expression
from pycytominer_transform.common.model.roles import ROLES, Role, unit_in_name

PRESET_VERSION = 1
_TEXT_SIGN = ": text"
ANY_NAME = "*"
Format = Literal["csv", "harmony", "npz", "parquet", "sqlite"]
"""The kinds of files: each is a package of this name in `common.formats`."""
FORMATS: tuple[Format, ...] = get_args(Format)
_CHOICES = {"format": FORMATS, "column_names": ("prefixed", "kept"), "empty_text": ("kept", "null")}
_NotEmpty = Annotated[str, msgspec.Meta(min_length=1)]


@dataclass(frozen=True)
class Sign:
    """A column that a source is recognised by, written ``TABLE.COLUMN`` or ``TABLE.COLUMN: text``.

    Attributes
    ----------
    table : str
        Lower-case name of the table that has it.
    column : str
        Its name in the source, as a glob; with ``|`` between them several, of which one is enough.
    is_text : bool
        Whether it must be declared as text as well.
    """

    table: str
    column: str
    is_text: bool

    @classmethod
    def read(cls, text: str) -> Sign:
        """Parse a sign."""
        table, _, column = text.removesuffix(_TEXT_SIGN).partition(".")
        return cls(table.lower(), column, text.endswith(_TEXT_SIGN))

    def is_among(self, columns: Mapping[str, str]) -> bool:
        """Return whether it is among a table's columns, given with their declared types."""
        return any(
            any(fnmatch.fnmatchcase(name, column) for column in self.column.split("|"))
            and (not self.is_text or declares_text(declared))
            for name, declared in columns.items()
        )


def declares_text(declared: str) -> bool:
    """Return whether the declared type of an SQLite column is text (https://www.sqlite.org/datatype3.html, 3.1)."""
    return any(word in declared.upper() for word in ("CHAR", "CLOB", "TEXT"))


class ColumnRoles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For each role the columns that have it whatever their names say: their final names, as globs."""

    identifier: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    location: tuple[str, ...] = ()
    count: tuple[str, ...] = ()
    image: tuple[str, ...] = ()
    feature: tuple[str, ...] = ()


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of source: its tables, its identifying columns, how the tables join.

    Column patterns may hold ``{table}``, ``{parent}``, ``{compartment}`` and ``{anchor}``, which stand for tables'
    names with a capital; ``table_name`` may hold ``{table}``, matched in any letter case. With the ``table_name`` ``*``
    every file that has the signs is a dataset of its own with one table, and nothing is joined: there is one
    compartment and no table of images.

    Attributes
    ----------
    version : int
        The version of this form, 1.
    name, title : str
        The name for ``--preset``, and a line for people.
    format : {'csv', 'sqlite', 'npz', 'harmony', 'parquet'}
        The kind of files.
    table_name : str
        How a table is named in the source; ``*`` for one table in each file.
    image : str
        The table of image sets; empty if there is none.
    compartments : tuple of str
        The tables of objects.
    anchors : tuple of str
        The first of these that exists is the anchor: the output has a row per object of it.
    image_number, object_number, table_number : str
        The columns that number images, objects and, within a file, datasets.
    parent : str
        The column with the number of the object that an object belongs to.
    image_set : tuple of str
        Final names of the columns that tell the image sets of a dataset apart; tables are joined on those they have.
    identifying : tuple of str
        Columns that identify rather than measure; they are named ``Metadata_...`` in the output.
    image_columns : tuple of str
        Columns of the image table that go beside every cell, as globs.
    text : tuple of str
        Columns that are text although their values may look like numbers, as globs.
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
    copies : tuple of str
        ``NEW=COLUMN``: columns of profiles to copy under another name, unless that exists; wells are copied to
        ``Metadata_Well`` in the form ``A01``.
    roles : ColumnRoles
        Roles of columns, in place of those that follow from their names.
    units : tuple of str
        ``UNIT=COLUMN``: units of columns whose names do not end in one; final names, as globs.
    empty_text : {'kept', 'null'}
        What an empty field is in a column of text.
    path_metadata : tuple of str
        Regular expressions whose named groups find metadata in the paths of datasets, beginning with the source's name;
        the first that fits all of them is used.
    header_rows : int
        2 where the CSV file named ``table_name`` (``object|data``: one of several names) holds all compartments, a row
        above the names saying whose each is.
    object_table : str
        The name, in place of a compartment's, of the SQLite table that holds all compartments side by side, where they
        have no tables of their own (``object`` for ``Per_Object``); empty if there is none.
    no_sign_request, endpoint_url, profile, storage_options
        How to reach cloud storage, for options that the command line leaves out; see `storage.options`. No credentials:
        a preset goes into the manifest.
    """

    version: int = PRESET_VERSION
    name: _NotEmpty
    title: _NotEmpty
    format: Format
    table_name: str = "{table}"
    image: str = "image"
    compartments: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    anchors: tuple[str, ...] = ()
    image_number: str = "ImageNumber"
    image_set: tuple[str, ...] = (IMAGE_NUMBER,)
    object_number: str = "ObjectNumber"
    table_number: str = ""
    parent: str = "Parent_{parent}"
    identifying: tuple[str, ...] = ()
    image_columns: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    recognised_by: tuple[str, ...] = ()
    precedence: int = 0
    unprefixed: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    column_names: Literal["prefixed", "kept"] = "prefixed"
    whole_numbers: tuple[str, ...] = ()
    yes_or_no: tuple[str, ...] = ()
    roles: ColumnRoles = ColumnRoles()
    units: tuple[str, ...] = ()
    empty_text: Literal["kept", "null"] = "kept"
    path_metadata: tuple[str, ...] = ()
    header_rows: int = 1
    object_table: str = ""
    no_sign_request: bool = False
    endpoint_url: str = ""
    profile: str = ""
    storage_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values that contradict each other."""
        if self.version != PRESET_VERSION:
            raise UsageError(f"preset version {self.version}; this program knows version {PRESET_VERSION}")
        msgspec.structs.force_setattr(self, "compartments", tuple(map(str.lower, self.compartments)))
        self._check_table_name()
        for expression in self.path_metadata:
            try:
                check_expression(expression)
            except UsageError as error:
                raise UsageError(f"'path_metadata': {error}") from error
        tables = [self.image, *self.compartments]
        for text, sign in zip(self.recognised_by, self.signs, strict=True):
            if not sign.column or sign.table not in map(str.lower, tables):
                raise UsageError(
                    f"'recognised_by' holds {text!r}; write TABLE.COLUMN or TABLE.COLUMN{_TEXT_SIGN}, where TABLE may "
                    f"be {', '.join(tables)}"
                )

    def _check_table_name(self) -> None:
        if self.is_single_table:
            if len(self.compartments) != 1 or self.image:
                raise UsageError(
                    f"with 'table_name' {ANY_NAME!r} there is one table: 'compartments' must name one, and 'image' be "
                    "empty"
                )
            if not self.recognised_by:
                raise UsageError(f"with 'table_name' {ANY_NAME!r} 'recognised_by' must name a column of all files")
        elif self.header_rows not in (1, 2):
            raise UsageError(f"header_rows is {self.header_rows}; it may be 1 or 2")
        elif self.header_rows == 1 and "{table}" not in self.table_name:
            raise UsageError(f"'table_name' must hold {{table}}, or be {ANY_NAME!r}")

    @property
    def is_single_table(self) -> bool:
        """Whether every file is a dataset with one table of rows, so that there is nothing to join."""
        return self.table_name == ANY_NAME

    @property
    def signs(self) -> list[Sign]:
        """The columns that a source is recognised by."""
        return [Sign.read(text) for text in self.recognised_by]

    @property
    def has_prefixed_columns(self) -> bool:
        """Whether columns begin with their table's name in the source (``Cells_Parent_Nuclei``)."""
        return self.parent.startswith("{table}_")

    def names_of(self, table: str) -> list[str]:
        """List the names that a table's file, or SQLite table, may have, in any letter case."""
        if self.header_rows > 1 and table == self.image:
            return [table]
        return [name.replace("{table}", table) for name in self.table_name.split("|")]

    def is_object_table(self, name: str) -> bool:
        """Return whether an SQLite table holds all compartments side by side, by its name."""
        return bool(self.object_table) and name.lower().endswith(self.names_of(self.object_table)[0].lower())

    def object_number_of(self, prefix: str) -> str:
        """Return the source column that numbers the objects of a table."""
        return self.object_number.replace("{table}", prefix)

    def parent_column(self, prefix: str, parent: str) -> str:
        """Return the source column that holds, for an object of one table, the number of its parent in another."""
        return self.parent.replace("{table}", prefix).replace("{parent}", table_prefix(parent))

    def anchor_of(self, compartments: Sequence[str]) -> str:
        """Return the anchor of these compartments: the first that the preset prefers, else the first."""
        return next((name for name in self.anchors if name in compartments), compartments[0])

    def is_identifying(self, column: str, compartments: Sequence[str]) -> bool:
        """Return whether a source column identifies rather than measures."""
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
        """Return whether a source column of the image table goes beside every cell by default."""
        return _fits(column, self.image_columns)

    def is_whole(self, column: str) -> bool:
        """Return whether a source column is to be whole numbers."""
        return _fits(column, self.whole_numbers)

    def is_yes_or_no(self, column: str) -> bool:
        """Return whether a source column is to say yes or no."""
        return _fits(column, self.yes_or_no)

    def role_of(self, name: str) -> Role | None:
        """Return the role that the preset gives a column by its final name, else None."""
        for role in ROLES:
            if _fits(name, getattr(self.roles, role)):
                return role
        return None

    def unit_of(self, name: str) -> str:
        """Return the unit that the preset, else a column's final name, says; empty if neither does."""
        units = (unit.partition("=") for unit in self.units)
        return next((unit for unit, _, pattern in units if _fits(name, (pattern,))), "") or unit_in_name(name)

    def is_text(self, column: str) -> bool:
        """Return whether a source column is text regardless of its values."""
        return _fits(column, self.text)


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def preset_names() -> list[str]:
    """List the presets of the package by name."""
    return sorted(path.stem for path in _packaged_folder().glob("*.toml"))


def preset_text(name: str) -> str:
    """Return the text of a preset of the package, with its comments.

    Raises
    ------
    UsageError
        There is no such preset.
    """
    if name not in preset_names():
        near = did_you_mean(name, preset_names())
        raise UsageError(f"no preset is named {name!r}; there are {', '.join(preset_names())}{near}")
    return (_packaged_folder() / f"{name}.toml").read_text(encoding="utf-8")


def load_preset(name_or_path: str, read: Callable[[str], bytes] | None = None) -> Preset:
    """Load a preset of the package by its name, or one of the user's by its path.

    Parameters
    ----------
    name_or_path : str
        A path ends in ``.toml`` or holds a slash.
    read : callable, optional
        Reads the file at a path or URI; by default only paths are read.

    Raises
    ------
    UsageError
        There is no such preset, or the file is not one; the message names the key and what it may hold.
    """
    path = str(_packaged_folder() / f"{name_or_path}.toml")
    if name_or_path.endswith(".toml") or "/" in name_or_path:
        path = name_or_path
    elif not Path(path).is_file():
        near = did_you_mean(name_or_path, preset_names())
        raise UsageError(
            f"no preset is named {name_or_path!r}; there are {', '.join(preset_names())}, or give a .toml file{near}"
        )
    keys = parse_toml(read(path) if read else Path(path).read_bytes(), f"the preset {path}")
    if unknown := sorted(set(keys) - set(Preset.__struct_fields__)):
        raise UsageError(f"{path}: unknown key {unknown[0]!r}; a preset has {', '.join(Preset.__struct_fields__)}")
    for key, allowed in _CHOICES.items():
        if keys.get(key, allowed[0]) not in allowed:
            raise UsageError(f"{path}: {key} is {keys[key]!r}; it may be {' or '.join(allowed)}")
    try:
        return msgspec.convert(keys, Preset)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}") from error


def parse_toml(content: bytes, what: str) -> dict[str, Any]:
    """Return the keys of a TOML file; `what` names it in messages.

    Raises
    ------
    UsageError
        It is not TOML.
    """
    try:
        return msgspec.toml.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError) as error:
        raise UsageError(f"{what} is not TOML: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{what} is not TOML: nested too deep") from error


@cache
def packaged_presets() -> tuple[Preset, ...]:
    """Load all presets of the package."""
    return tuple(load_preset(name) for name in preset_names())


def _packaged_folder() -> Path:
    return Path(__file__).parent / "presets"
