"""What CellProfiler says of its run, small enough to travel with the data."""

from __future__ import annotations

from collections.abc import Mapping

_MOST_CHARACTERS = 64_000


def bounded(entries: Mapping[str, str]) -> dict[str, str]:
    """Return the entries, the longest without their values if all together are long; lone surrogates become "?"."""
    kept: dict[str, str] = {}
    room = _MOST_CHARACTERS
    for key in sorted(entries, key=lambda key: len(key) + len(entries[key])):
        value = entries[key]
        if len(key) + len(value) > room:
            value = f"left out: {len(value)} characters"
        if len(key) + len(value) <= room:
            room -= len(key) + len(value)
            kept[key] = value
    return {_utf8(key): _utf8(kept[key]) for key in entries if key in kept}


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
