"""The parts of the documents that are made from the code: options, presets, columns, the manifest, errors."""

from __future__ import annotations

import argparse
import inspect
import re
import tempfile
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
from pycytominer_transform.common import errors
from pycytominer_transform.common.cli.parser import Parser
from pycytominer_transform.common.model import manifest, preset, provenance
from pycytominer_transform.common.model.roles import role_of_field
from pycytominer_transform.tools import discover, extract, flow_options, join, report, write

DEMO = Path(__file__).resolve().parents[1] / "demo" / "plate"
TOOLS: tuple[tuple[Callable[[], Parser], str, str], ...] = (
    (discover.build_parser, "a source", "a manifest; on a terminal, a table to read"),
    (extract.build_parser, "a manifest", "a bundle: the tables of every part"),
    (join.build_parser, "a bundle", "profiles: one row per single cell"),
    (write.build_parser, "profiles, or any Arrow", "Parquet: one file, or one per part; or AnnData"),
    (report.build_parser, "Parquet from pct-write or pct-flow", "a report: a page, JSON, a table of wells, or text"),
    (flow_options.build_parser, "a source", "Parquet or AnnData, by all of the above in one Prefect flow"),
)
_OF_ALL = ("messages", "Prefect", "cloud storage (s3://, gs://, az://)")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    names = list(head)
    lines = [names, ["---"] * len(names), *escaped]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tools() -> str:
    """Write what each tool takes and gives."""
    return _table(("tool", "takes", "gives"), ((f"`{make().prog}`", takes, gives) for make, takes, gives in TOOLS))


def options() -> str:
    """Write the options of every tool by groups; those of all tools stand once, at the end."""
    parsers = [make() for make, _, _ in TOOLS]
    sections = [tools()]
    for parser in parsers:
        sections.append(f"## {parser.prog}")
        sections += [part for group in parser._action_groups if (part := _group(group, heading="###"))]
    sections.append("## Options of all tools")
    of_all = [group for group in parsers[0]._action_groups if group.title in _OF_ALL]
    sections += [_group(group, heading="###", also_of_all=True) for group in of_all]
    return "\n\n".join(sections)


def _group(group: argparse._ArgumentGroup, *, heading: str, also_of_all: bool = False) -> str:
    actions = [action for action in group._group_actions if not {"-h", "--help"} & set(action.option_strings)]
    if not actions or (group.title in _OF_ALL and not also_of_all):
        return ""
    rows = []
    for action in actions:
        name = ", ".join(action.option_strings) or str(action.metavar)
        if action.option_strings and action.nargs != 0:
            name += f" {action.metavar or '|'.join(map(str, action.choices or ()))}"
        rows.append((f"`{name}`", (action.help or "").replace("%(default)s", str(action.default))))
    titled = {"positional arguments": "Input", "options": "Output"}.get(str(group.title), str(group.title).capitalize())
    return f"{heading} {titled}\n\n{_table(('option', 'meaning'), rows)}"


def starting_preset() -> str:
    """Write the packaged preset that a user's own is best made from."""
    return f"```toml\n{preset.preset_text('cellprofiler_csv')}```"


def presets() -> str:
    """Write the main keys of each packaged preset."""
    rows = []
    for one in preset.packaged_presets():
        listed = (one.compartments, one.anchors, one.recognised_by)
        words = [", ".join(f"`{word}`" for word in words) for words in listed]
        rows.append((f"`{one.name}`", one.format, f"`{one.table_name}`", *words, str(one.precedence)))
    head = ("preset", "`format`", "`table_name`", "`compartments`", "`anchors`", "`recognised_by`", "`precedence`")
    return _table(head, rows)


def fields_of(kind: type[msgspec.Struct]) -> str:
    """Write the fields of a type with what its docstring says of each."""
    meanings = dict(attributes(inspect.getdoc(kind) or ""))
    hints = typing.get_type_hints(kind)
    rows = []
    for one in msgspec.structs.fields(kind):
        default = "" if one.required else f"`{_plain(one)!r}`"
        rows.append((f"`{one.name}`", _type_name(hints[one.name]), default, meanings[one.name]))
    return _table(("name", "type", "default", "meaning"), rows)


def _plain(field: msgspec.structs.FieldInfo) -> Any:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return value if isinstance(value, (str, int, float, bool, tuple, type(None))) else type(value).__name__


def _type_name(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(hint))
    plain = typing.get_origin(hint) in (None, dict)
    return re.sub(r"[\w.]+\.(\w+)", r"\1", getattr(hint, "__name__", str(hint)) if plain else str(hint))


def attributes(docstring: str) -> Iterable[tuple[str, str]]:
    """Yield the name and the meaning of each entry of a docstring's section Attributes."""
    section = docstring.partition("Attributes\n----------\n")[2]
    for names, text in re.findall(r"(?m)^(\w[\w, ]*?)(?: : .*)?\n((?:    .*\n?)+)", f"{section}\n"):
        for name in names.split(", "):
            yield name, re.sub(r"``|`", "`", " ".join(text.split()))


def error_tree() -> str:
    """Write every error with its exit code and meaning."""
    rows = []
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.PctError):
            meaning = (inspect.getdoc(kind) or "").partition("\n")[0].replace("``", "`")
            rows.append((f"`{name}`", str(kind.exit_code), meaning))
    return _table(("error", "exit code", "meaning"), rows)


def columns() -> str:
    """Write the columns of the demo plate's output."""
    with tempfile.TemporaryDirectory() as scratch:
        places = [str(Path(scratch) / name) for name in ("manifest", "bundle", "profiles", "plate.parquet")]
        discover.discover(source=str(DEMO), output=places[0])
        extract.extract(manifest=places[0], output=places[1])
        join.join(bundle=places[1], output=places[2])
        write.write(profiles=[places[2]], output=places[3])
        schema = pq.read_schema(places[3])
    return _table(("column", "type", "role"), ((f"`{f.name}`", str(f.type), role_of_field(f)) for f in schema))


PARTS: dict[str, Callable[[], str]] = {
    "tools": tools,
    "options": options,
    "preset": starting_preset,
    "presets": presets,
    "preset-keys": lambda: fields_of(preset.Preset),
    "columns": columns,
    "manifest-rows": lambda: fields_of(manifest.Source),
    "manifest": lambda: fields_of(manifest.Manifest),
    "step": lambda: fields_of(provenance.Step),
    "errors": error_tree,
}
