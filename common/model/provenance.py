"""Provenance: the steps that made the data, with versions, options and counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.model.version import tool_version

T = TypeVar("T")
if TYPE_CHECKING:
    Options = dict[str, Any]
    Counts = dict[str, Any]
else:
    # What is read is checked by these: nothing is nested deeper, and sums of counts fit into 64 bits.
    _Plain = str | int | float | bool | None
    _Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    Options = dict[str, _Plain | list[_Plain]]
    Counts = dict[str, _Count | dict[str, _Count | dict[str, _Count]]]


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tool's entry in the provenance.

    Attributes
    ----------
    tool : str
        Its name, ``pct-join``.
    version : str
        Its version.
    options : dict
        The options that change the result, by name.
    counts : dict
        What it counted: rows of each table, rows joined, rows without a partner.
    """

    tool: str
    version: str
    options: Options
    counts: Counts

    @property
    def tool_and_version(self) -> str:
        """The tool and its version, ``pct-join 0.1.0``."""
        return f"{self.tool} {self.version}"


def new_step(tool: str, options: dict[str, Any], counts: dict[str, Any]) -> Step:
    """Return a tool's own entry."""
    return Step(tool=tool, version=tool_version(), options=options, counts=counts)


def to_json(value: object) -> str:
    """Return a manifest, steps or plain values as JSON.

    Raises
    ------
    DataError
        A path in it is not UTF-8.
    """
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError as error:
        raise DataError(f"{error.object!r} is not UTF-8; rename it") from error


def steps_to_json(steps: Iterable[Step]) -> str:
    """Return steps as JSON for a schema's metadata."""
    return to_json(list(steps))


def from_json(text: str | bytes, kind: type[T], what: str) -> T:
    """Return the value of a type that JSON from a file or a stream holds; `what` names it in messages.

    Raises
    ------
    DataError
        The text is something else.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DataError(f"{what} is damaged, or was not written by this program ({str(error)[:200]})") from error


def steps_from_json(text: str | bytes) -> tuple[Step, ...]:
    """Return the steps that a schema's metadata hold; none if the text is empty.

    Raises
    ------
    DataError
        The text is something else.
    """
    return from_json(text, tuple[Step, ...], "the provenance that came with the data") if text else ()


class History:
    """The common history of several parts: equal steps become one, with the sum of their counts.

    The step of `pct-discover` describes the whole source, so its counts are not added.
    """

    def __init__(self) -> None:
        self._steps: dict[bytes, Step] = {}

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps, in the order in which they were first added."""
        return tuple(self._steps.values())

    def add(self, steps: Iterable[Step]) -> None:
        """Add the history of one more part."""
        for step in steps:
            key = msgspec.json.encode([step.tool, step.version, step.options], order="sorted")
            before = self._steps.get(key)
            if before is None:
                self._steps[key] = step
            elif step.tool != "pct-discover":
                self._steps[key] = msgspec.structs.replace(before, counts=added_counts(before.counts, step.counts))


def added_counts(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Add up two nested dictionaries of counts.

    Raises
    ------
    DataError
        What is a number in one is a dictionary in the other.
    """
    result = dict(left)
    for key, value in right.items():
        before = result.get(key, type(value)())
        if isinstance(before, dict) is not isinstance(value, dict):
            raise DataError(f"the provenance that came with the data is damaged: its counts of {key!r} differ in kind")
        result[key] = added_counts(before, value) if isinstance(value, dict) else before + value
    return result
