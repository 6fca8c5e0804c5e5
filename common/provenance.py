"""Who made this, how, and with what counts: the steps that travel with the data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.manifest import Step
from pycytominer_transform.common.version import tool_version


def new_step(tool: str, options: dict[str, Any], counts: dict[str, Any]) -> Step:
    """Make a tool's own entry."""
    return Step(tool=tool, version=tool_version(), options=options, counts=counts)


def steps_to_json(steps: Iterable[Step]) -> str:
    """Write steps for a schema's metadata."""
    return json.dumps([asdict(step) for step in steps])


def steps_from_json(text: str | Sequence[dict[str, Any]]) -> tuple[Step, ...]:
    """Read steps from a schema's metadata or a closing record; nothing where there are none."""
    try:
        entries = json.loads(text) if isinstance(text, str) and text else text or []
        return tuple(Step(**entry) for entry in entries if isinstance(entry, dict))
    except (TypeError, ValueError) as error:
        raise DataError(f"the provenance that came with the data is damaged ({error})") from error


class History:
    """One history of those of several parts: equal steps become one, with their counts added up.

    The parts of one source share the step that described it as a whole, so its counts are not added.
    """

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}

    @property
    def steps(self) -> tuple[Step, ...]:
        """What was done, in the order in which it was first added."""
        return tuple(self._steps.values())

    def add(self, steps: Iterable[Step]) -> None:
        """Add the history of one more part."""
        for step in steps:
            key = json.dumps([step.tool, step.version, step.options], sort_keys=True)
            before = self._steps.get(key)
            if before is None:
                self._steps[key] = step
            elif step.tool != "pct-discover":
                self._steps[key] = replace(before, counts=added_counts(before.counts, step.counts))


def added_counts(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Add up two nested dictionaries of counts."""
    result = dict(left)
    for key, value in right.items():
        if isinstance(value, dict):
            result[key] = added_counts(result.get(key, {}), value)
        else:
            result[key] = result.get(key, 0) + value
    return result
