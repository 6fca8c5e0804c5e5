"""A dataclass's declared fields become argparse options, and come back as the dataclass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycytominer_transform.common.cli.parser import add_options, new_parser, options_from
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.model.options import (
    byte_size,
    name_list,
    option,
    positive,
    recorded_options,
    shard,
    whole,
)


@dataclass(frozen=True, kw_only=True)
class Options:
    switch: bool = field(default=False, metadata=option("a switch"))
    kind: Literal["", "one", "two"] = field(default="", metadata=option("a choice"))
    number: int = field(default=3, metadata=option("a number", metavar="N", parse=whole, recorded=False))
    names: tuple[str, ...] = field(default=(), metadata=option("names", parse=name_list))
    pairs: tuple[int, ...] = field(
        default=(), metadata=option("may be repeated", flag="--pair", parse=whole, repeatable=True)
    )
    limit: int | None = field(default=None, metadata=option("a limit", parse=whole))
    inner: str = "no option"


def parsed(*words: str) -> Options:
    parser = new_parser("pct-test", "")
    add_options(parser, Options, "all")
    add_options(parser, Options, "those that are there already are not added again")
    return options_from(parser.parse_args(words), Options)


def test_what_is_not_given_has_the_dataclass_s_defaults() -> None:
    assert parsed() == Options()


def test_every_kind_of_field_is_parsed() -> None:
    words = "--switch --kind two --number 0 --names b,A,b --pair 2 --pair 1 --limit 0".split()
    assert parsed(*words) == Options(switch=True, kind="two", number=0, names=("b", "a"), pairs=(2, 1), limit=0)


@pytest.mark.parametrize("words", [["--kind", ""], ["--number", "-1"], ["--names", "a,,b"], ["--limit", "x"]])
def test_a_value_that_does_not_fit_is_named_with_its_option(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed(*words)
    assert f"error: argument {words[0]}: " in capsys.readouterr().err


def test_provenance_records_what_changes_the_result_as_json_has_it() -> None:
    recorded = recorded_options(Options(names=("a",), number=7))
    assert recorded == {"switch": False, "kind": "", "names": ["a"], "pairs": [], "limit": None}


@given(st.text(), st.sampled_from([positive, whole, byte_size, shard, name_list]))
def test_any_text_is_parsed_or_refused(text: str, parse: Callable[[str], object]) -> None:
    with suppress(UsageError):
        parse(text)


@given(st.integers(1, 10**18), st.sampled_from(["", "b", "B"]))
def test_sizes_in_bytes(number: int, unit: str) -> None:
    assert byte_size(f"{number}{unit}") == pytest.approx(number, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "size"), [("64MB", 64_000_000), ("1.5GB", 1_500_000_000), ("2GiB", 2 << 30), (" 1 k ", 1000)]
)
def test_sizes_with_units(text: str, size: int) -> None:
    assert byte_size(text) == size
