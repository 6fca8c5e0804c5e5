"""Types are decided from all rows of image tables and from the first rows of the others; nothing is lost by that."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from converting import Convert, parquet_table, run
from hypothesis import example, given
from hypothesis import strategies as st
from oracle import compare, profiles
from plates_sheets import SMALL, Tables, set_column, small_tables, write_sheets
from pycytominer_transform.common.model.column_types import SampledColumn
from pycytominer_transform.tools import extract

FIRST_ROWS = 1400


def long_folder() -> dict[str, Tables]:
    """Give one folder with so many image sets that no table fits into the first bytes that are looked at."""
    return small_tables(replace(SMALL, folders=1, cells=1, features=3, images=1500, missing=0.0))


@pytest.mark.parametrize(
    ("first", "late", "kind"),
    [
        ("12", "0012", pa.string()),
        ("12", "A01", pa.string()),
        ("5", "12345678901234567890", pa.string()),
        ("5.5", "12345678901234567890", pa.string()),
        ("1", "2", pa.int64()),
        ("1", "2.5", pa.float64()),
        ("", "7", pa.int64()),
    ],
)
def test_late_rows_of_an_image_table_count_for_the_type_of_metadata(
    first: str, late: str, kind: pa.DataType, tmp_path: Path, convert: Convert
) -> None:
    trees = long_folder()
    (tables,) = trees.values()
    set_column(tables["Image"], "Metadata_Well", [first] * FIRST_ROWS + [late] * 100)
    source = write_sheets(tmp_path / "source", trees)
    table = parquet_table(convert(source))
    (name,) = [name for name in table.column_names if name.endswith("Metadata_Well")]
    assert table.schema.field(name).type == kind
    assert compare(profiles(source), table) == []


@pytest.mark.parametrize("late", ["G1", "1_000"])
def test_a_late_text_in_a_number_column_of_a_compartment_is_refused_and_not_lost(
    late: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trees = long_folder()
    (tables,) = trees.values()
    last = len(tables["Cells"])
    for row, line in enumerate(tables["Cells"], start=1):
        line.append(late if row == last else "1" if row > 1 else "Math_Score")
    source = write_sheets(tmp_path / "source", trees)
    run("discover", source, "-o", tmp_path / "m")
    capsys.readouterr()
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "b")]) == 1
    assert f"Cells.csv, row {last}, column 'Math_Score': {late!r} is not" in capsys.readouterr().err


plain = st.one_of(st.integers(-(10**17), 10**17).map(str), st.integers(0, 99).map(lambda n: f"{n}.5"))
texts = st.sampled_from(["A01", "0012", "x", "12345678901234567890"])
values = st.lists(st.one_of(plain, plain, st.sampled_from(["", "nan"]), texts), max_size=8)


@given(values=values, name=st.sampled_from(["Metadata_Well", "Math_X", "Parent_X", "FileName_X", "AreaShape_X"]))
@example(values=["12345678901234567", "1.5"], name="Metadata_Well")
def test_the_type_does_not_depend_on_the_order_of_the_rows(values: list[str], name: str) -> None:
    kinds = []
    for order in (values, values[::-1], sorted(values)):
        column = SampledColumn(name)
        for value in order:
            column.see(value)
        kinds.append(column.decide())
    assert len(set(kinds)) == 1
    if name == "Metadata_Well" and kinds[0] in ("int64", "float64"):
        shown = int if kinds[0] == "int64" else float
        lost = [value for value in values if value not in ("", "nan") and Decimal(repr(shown(value))) != Decimal(value)]
        assert lost == []
