"""Options declared once: a dataclass field carries its help, its flag, its parser, and whether provenance records it.

`common.cli.parser` makes argparse options of such a dataclass and reads them back; `recorded_options` gives what
provenance says of them. Every value is plain (text, number, switch or a tuple of them), so that it can be stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.errors import UsageError

if TYPE_CHECKING:
    import regex as regex_library
    from _typeshed import DataclassInstance

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_MAX_COUNT = 10**9
_MAX_BYTES = 10**18
_QUOTED_LENGTH = 60
_SEARCH_SECONDS = 5.0


@dataclass(frozen=True)
class Option:
    """The command-line side of one field; see `option`."""

    help: str
    flag: str
    metavar: str | None
    parse: Callable[[str], Any] | None
    repeatable: bool
    recorded: bool


def option(
    help: str, *, flag: str = "", metavar: str | None = None, parse: Callable[[str], Any] | None = None,
    repeatable: bool = False, recorded: bool = True,
) -> dict[str, Option]:  # fmt: skip
    """Declare a dataclass field as a command-line option, as the ``metadata`` of `dataclasses.field`.

    Parameters
    ----------
    help : str
        One line of help; may hold ``%(default)s``.
    flag : str
        By default the field's name with hyphens. A ``bool`` is a switch; a ``Literal`` gives its values as choices.
    metavar : str, optional
        The value's name in the help.
    parse : callable, optional
        Makes the value of a text, or raises `UsageError`.
    repeatable : bool
        May be given several times; the field is a tuple.
    recorded : bool
        Whether it changes the result, so that provenance records it.
    """
    return {"option": Option(help, flag, metavar, parse, repeatable, recorded)}


def declared_options(options: DataclassInstance | type[DataclassInstance]) -> Iterator[tuple[str, str, Option]]:
    """Yield the name, flag and declaration of every field that is an option."""
    for field in fields(options):
        if (declared := field.metadata.get("option")) is not None:
            yield field.name, declared.flag or f"--{field.name.replace('_', '-')}", declared


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return a suggestion to end an error message with; empty if no known word is close."""
    from difflib import get_close_matches

    return "".join(f"; did you mean {match}?" for match in get_close_matches(word, known, n=1, cutoff=0.7))


def recorded_options(options: DataclassInstance) -> dict[str, Any]:
    """Return the options that change the result, by field, as provenance's JSON has them."""
    values = {name: getattr(options, name) for name, _, declared in declared_options(options) if declared.recorded}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def positive(text: str) -> int:
    """Parse a whole number from 1 to 10**9."""
    number = whole(text)
    if number < 1:
        raise UsageError(f"{_quoted(text)} is not a whole number above 0")
    return number


def whole(text: str) -> int:
    """Parse a whole number from 0 to 10**9."""
    if not re.fullmatch(r"\d+", text, re.ASCII):
        raise UsageError(f"{_quoted(text)} is not a whole number")
    if len(text.lstrip("0")) > len(str(_MAX_COUNT)) or int(text) > _MAX_COUNT:
        raise UsageError(f"{_quoted(text)} is more than {_MAX_COUNT:,}")
    return int(text)


def byte_size(text: str) -> int:
    """Parse a size in bytes, such as ``64MB``, ``1.5GB`` or ``2GiB``; at most 10**18."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", text, re.IGNORECASE | re.ASCII)
    size = float(match[1]) * _UNITS[(match[2] or "").lower()] if match else 0
    if size < 1:
        raise UsageError(f"{_quoted(text)} is not a size; write 64MB, 1.5GB or 2GiB")
    if size > _MAX_BYTES:
        raise UsageError(f"{_quoted(text)} is more than {_MAX_BYTES // 10**12:,}TB")
    return int(size)


def shard(text: str) -> tuple[int, int]:
    """Parse ``I/N``, the I-th of N shares."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"{_quoted(text)} is not a share; write I/N with I from 1 to N, such as 3/24")
    return int(match[1]), int(match[2])


def name_list(text: str) -> tuple[str, ...]:
    """Parse names separated by commas into lower case."""
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",")))
    if not all(names):
        raise UsageError(f"{_quoted(text)} is not a list of names such as cells,nuclei")
    return names


def regex(text: str) -> str:
    """Check a regular expression."""
    compiled_regex(text)
    return text


def compiled_regex(text: str) -> regex_library.Pattern[str]:
    """Return a user's regular expression, to be searched by `search_regex`.

    Raises
    ------
    UsageError
        It is none.
    """
    import regex as regex_library

    try:
        return regex_library.compile(text)
    except (regex_library.error, OverflowError, RecursionError, MemoryError) as error:
        raise UsageError(f"{text!r} is not a regular expression: {error}") from error


def search_regex(pattern: str, text: str) -> regex_library.Match[str] | None:
    """Search a text for a user's regular expression, which may come from somebody else.

    Raises
    ------
    UsageError
        It is none, or takes too long: some expressions need a time that doubles with each letter.
    """
    try:
        return compiled_regex(pattern).search(text, timeout=_SEARCH_SECONDS)
    except TimeoutError as error:
        raise UsageError(
            f"the regular expression {pattern!r} takes more than {_SEARCH_SECONDS:g} s for {_quoted(text)}; write it "
            "without a repetition within a repetition"
        ) from error


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTED_LENGTH else f"{text[:_QUOTED_LENGTH]}...")


def shard_option(*, recorded: bool = False) -> dict[str, Option]:
    """Declare ``--shard``, by which the jobs of an array share the parts."""
    help_ = "take only every N-th part, beginning with the I-th (from 1)"
    return option(help_, metavar="I/N", parse=shard, recorded=recorded)


def threads_option() -> dict[str, Option]:
    """Declare ``--threads``; 0 stands for as many as the process may use."""
    help_ = "threads to use (default: the processors this process may use)"
    return option(help_, metavar="N", parse=positive, recorded=False)
