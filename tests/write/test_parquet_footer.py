"""What a footer says of a row group, moved: places alone change, and what is no such struct is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycytominer_transform.common.parquet_footer import GroupMover, varint


def struct(*fields: tuple[int, int, bytes]) -> bytes:
    """Write a Thrift struct of fields: step from the number before, kind, value."""
    return b"".join(bytes([step << 4 | kind]) + value for step, kind, value in fields) + b"\0"


def number(value: int) -> bytes:
    return varint(2 * value)


def described(page: int, dictionary: int, start: int) -> bytes:
    """Write a row group of one column with a value of each kind that Thrift knows."""
    statistics = struct((1, 8, b"\x02ab"), (6, 1, b""), (1, 2, b""))
    encodings, names, truths = b"\x25" + number(300) + number(3), b"\x18\x03\x16\x00\x19", b"\x31\1\2\1"
    many = b"\xf3" + varint(20) + bytes(20)
    meta_data = struct(
        (1, 5, number(5)), (1, 9, encodings), (1, 9, names), (1, 4, number(7)), (1, 6, number(1 << 40)),
        (1, 3, b"\x7f"), (1, 7, b"\x26" * 8), (1, 10, truths), (1, 6, number(page)), (2, 6, number(dictionary)),
        (1, 12, statistics), (1, 9, many), (2, 5, number(page)),
    )  # fmt: skip
    chunk = struct((2, 6, number(0)), (1, 12, meta_data))
    return struct((1, 9, b"\x1c" + chunk), (1, 6, number(99)), (1, 6, number(page)), (2, 6, number(start)))


def moved(group: bytes, by: int) -> bytes:
    return GroupMover().moved(group, by)


@given(st.integers(1, 1 << 50), st.integers(1, 1 << 50), st.integers(1, 1 << 50), st.integers(0, 1 << 50))
def test_places_alone_are_moved(page: int, dictionary: int, start: int, by: int) -> None:
    before = described(page, dictionary, start)
    # The numbers of rows and of bytes, and of fields that are no place, happen to be as large.
    after = described(page + by, dictionary + by, start + by).replace(
        b"\x16" + number(99) + b"\x16" + number(page + by), b"\x16" + number(99) + b"\x16" + number(page)
    )
    assert moved(before, by) == after.replace(b"\x25" + number(page + by) + b"\0", b"\x25" + number(page) + b"\0")


@given(st.lists(st.tuples(*[st.integers(0, 1 << 50)] * 4, st.booleans()), max_size=5))
def test_what_was_moved_before_makes_no_difference(groups: list[tuple[int, int, int, int, bool]]) -> None:
    mover = GroupMover()
    for page, dictionary, start, by, has_text in groups:
        group = described(page, dictionary, start)
        if has_text:
            # Of another length than the statistics of the others.
            group = group.replace(b"\x18\x02ab", b"\x18\x03abc")
        assert mover.moved(group, by) == moved(group, by)


def test_of_many_shapes_not_all_are_kept() -> None:
    mover = GroupMover()
    for length in range(1_200):
        group = described(4, 9, 4).replace(b"\x18\x02ab", b"\x18" + varint(length) + b"a" * length)
        assert mover.moved(group, 7) == moved(group, 7)


@pytest.mark.parametrize("is_learnt", [False, True])
@pytest.mark.parametrize("cut", range(len(described(4, 9, 4))))
def test_what_is_cut_off_is_refused(cut: int, is_learnt: bool) -> None:
    mover = GroupMover()
    if is_learnt:
        mover.moved(described(4, 9, 4), 1)
    with pytest.raises(ValueError, match="description of a row group"):
        mover.moved(described(4, 9, 4)[:cut], 1)


@pytest.mark.parametrize("more", [b"\0", b"\x16\2\0"])
def test_what_is_longer_is_refused(more: bytes) -> None:
    with pytest.raises(ValueError, match="longer"):
        moved(described(4, 9, 4) + more, 1)


@pytest.mark.parametrize("strange", [b"\x2d\0", b"\x1d\0", b"\x06\2\2\0"])
def test_kinds_and_orders_that_are_not_known_are_refused(strange: bytes) -> None:
    with pytest.raises(ValueError, match="not known"):
        moved(strange, 1)
