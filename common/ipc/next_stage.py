"""The kind of a place (source, manifest, bundle or profiles), and the command that takes it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

MANIFEST_FILE = "manifest.arrow"
_COMMANDS = {
    "source": f"pct-discover {{}} -o {MANIFEST_FILE}",
    "manifest": "pct-extract {} -o bundle",
    "bundle": "pct-join {} -o profiles",
    "profiles": "pct-write {} -o plate.parquet",
}


def command_for(kind: str, place: object) -> str:
    """Return the command that takes a place of a kind, for a message."""
    return _COMMANDS[kind].format(shlex.quote(str(place)))


def kind_of_folder(names: Iterable[str]) -> str:
    """Return the kind of a folder with these files; one without a manifest is a source."""
    files = set(names)
    if MANIFEST_FILE not in files:
        return "source"
    parts = {"/" in name for name in files if re.match(r"part-\d+[./]", name)}
    return "manifest" if not parts else "bundle" if True in parts else "profiles"
