"""The first rows of a CSV file, taken apart in two ways that must agree."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycytominer_transform.common.formats.csv.head import _rows


@given(st.text(alphabet="a1 ,;\"'\t\r\n\x0b\x0c\x1c\x85\u2028\ufeffü", max_size=60), st.sampled_from(",;"))
def test_rows_are_those_that_csv_gives(text: str, delimiter: str) -> None:
    def parse() -> list[list[str]]:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]

    try:
        wanted = parse()
    except csv.Error:
        with pytest.raises(csv.Error):
            _rows(text, delimiter)
    else:
        assert _rows(text, delimiter) == wanted
