"""What the provenance of an output says: its steps added up, counts by well, notices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

from pycytominer_transform.common.model.naming import well_name
from pycytominer_transform.common.model.provenance import History, Step, added_counts, steps_to_json
from pycytominer_transform.common.report.contents import Notice

_LABEL = re.compile(r"((?:[^/\\]|\\.)*)/(.*)", re.DOTALL)


def steps_of_files(provenance: Iterable[tuple[str, tuple[Step, ...], int]]) -> tuple[Step, ...]:
    """Return the steps that made several files, with the sums of their counts.

    Files of one folder may each have the counts of their own part, or all of them the counts of the whole run. The
    second are counted once: the join's number of cells says which it is.

    Parameters
    ----------
    provenance : iterable of tuple
        For each file its preset, its steps and its rows.
    """
    groups: dict[str, tuple[tuple[Step, ...], int, int]] = {}
    for _, steps, rows in provenance:
        before = tuple(step for step in steps if step.tool != "pct-write")
        key = steps_to_json(before)
        _, files, total = groups.get(key, (before, 0, 0))
        groups[key] = (before, files + 1, total + rows)
    history = History()
    for steps, files, rows in groups.values():
        joined = next((step.counts.get("joined", 0) for step in steps if step.tool == "pct-join"), 0)
        # As often as the cells of the files hold those of the join.
        times = max(1, min(files, rows // joined)) if joined else 1
        for _ in range(times):
            history.add(steps)
    written = [step for _, steps, _ in provenance for step in steps if step.tool == "pct-write"]
    history.add(written)
    return history.steps


def counts_of(steps: Iterable[Step], tool: str) -> dict[str, Any]:
    """Return the counts of a tool; empty if it took no part. Of several, with other options or sources, the sums."""
    return reduce(added_counts, (step.counts for step in steps if step.tool == tool), {})


def sources_of(steps: Iterable[Step]) -> list[str]:
    """Return the names of the sources that an output was made from, without the folders that they lie in."""
    named = (step.options.get("source") for step in steps if step.tool == "pct-discover")
    return [*dict.fromkeys(str(name) for name in named if name)]


def by_well(counts: Mapping[str, int], *, has_plates: bool) -> dict[tuple[str, str], int]:
    """Return counts by plate and well, from counts by a label such as ``BR00117001/A01``."""
    found: dict[tuple[str, str], int] = {}
    for label, number in counts.items():
        match = _LABEL.fullmatch(label) if has_plates else None
        plate, well = (match[1], match[2]) if match else ("", label)
        key = (_without_escapes(plate), well_name(_without_escapes(well) if has_plates else well))
        found[key] = found.get(key, 0) + number
    return found


def notices_of(steps: Sequence[Step]) -> tuple[Notice, ...]:
    """Return what the steps recorded that a reader should know, in the order of the tools."""
    discovered, extracted, joined = (counts_of(steps, f"pct-{tool}") for tool in ("discover", "extract", "join"))
    platemap = joined.get("platemap", {})
    found: list[tuple[str, Mapping[str, int]]] = [
        ("dataset skipped", discovered.get("skipped", {})),
        ("files that have a column that others lack", discovered.get("partial_columns", {})),
        ("dataset left out", extracted.get("datasets_left_out", {})),
        ("dataset left out by the join", joined.get("left_out", {})),
        ("image sets whose path and image table disagree", extracted.get("path_disagreements", {})),
        ("texts made null in a number column", extracted.get("made_null", {})),
        ("words for no value made null", extracted.get("null_words", {})),
        ("rows without any value dropped", {"": extracted.get("blank_rows_dropped", 0)}),
        ("objects numbered 0", joined.get("numbered_zero", {})),
        ("cells without a platemap entry", platemap.get("without_entry", {})),
        ("cells of a plate without a map", platemap.get("without_map", {})),
        ("cells without a well for the platemap", {"": platemap.get("without_well", 0)}),
        ("objects dropped for want of a partner", {"": joined.get("dropped", 0)}),
    ]
    return tuple(
        Notice(kind=kind, subject=subject, number=number)
        for kind, counts in found
        for subject, number in counts.items()
        if number
    )


def _without_escapes(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
