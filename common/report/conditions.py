"""Conditions of ``--fail-if``: a figure's name, a comparison, a number, such as ``wells.missing > 4``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.model.options import did_you_mean

_CONDITION = re.compile(r"\s*([a-z_]+\.[a-z_]+)\s*(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)?)\s*")
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """A comparison of one of a report's totals with a number."""

    text: str
    section: str
    figure: str
    comparison: str
    number: float


def parse_condition(text: str) -> Condition:
    """Parse a condition.

    Raises
    ------
    UsageError
        It is none.
    """
    match = _CONDITION.fullmatch(text)
    if not match:
        raise UsageError(f"{text!r} is no condition; write a figure, a comparison and a number: 'wells.missing > 4'")
    section, _, figure = match[1].partition(".")
    return Condition(f"{match[1]} {match[2]} {match[3]}", section, figure, match[2], float(match[3]))


def condition_text(text: str) -> str:
    """Check a condition, for an option."""
    return parse_condition(text).text


def check_figures(conditions: Sequence[Condition], totals: Mapping[str, Mapping[str, float]]) -> None:
    """Refuse a condition on a figure that reports do not have.

    Raises
    ------
    UsageError
        There is no such figure.
    """
    names = [f"{section}.{figure}" for section, figures in totals.items() for figure in figures]
    for condition in conditions:
        name = f"{condition.section}.{condition.figure}"
        if name not in names:
            near = did_you_mean(name, names)
            raise UsageError(
                f"--fail-if {condition.text}: there is no figure {name}{near or '; there are ' + ', '.join(names)}"
            )


def failures(conditions: Sequence[Condition], totals: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return for each condition that is true what it says and what the figure is."""
    found = []
    for condition in conditions:
        value = totals[condition.section][condition.figure]
        if _COMPARISONS[condition.comparison](value, condition.number):
            found.append(f"{condition.text} (it is {value:g})")
    return found
