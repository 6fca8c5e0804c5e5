"""Column names and their order follow design.md for all names that there can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.model.naming import final_name, final_names, listed, profile_order, table_prefix

IDENTIFYING = frozenset({"ImageNumber", "ObjectNumber", "TableNumber", "Parent_Cells", "Parent_Nuclei", "Cells_Parent"})
PREFIXES = st.sampled_from(["Cells", "Cytoplasm", "Nuclei", "Image", "PH3", "Nuclei_Cellpose3"])
PIECES = st.sampled_from(
    "Cells Cytoplasm Nuclei Image PH3 Metadata Metadata_ _ Area AreaShape_Area ImageNumber ObjectNumber "
    "TableNumber Parent_Cells Parent_Nuclei Number é % \" '".split()
)
COLUMNS = st.one_of(
    st.lists(PIECES, min_size=1, max_size=4).map("".join),
    st.text(min_size=1, max_size=8),
    st.sampled_from([*IDENTIFYING]),
)


def named(column: str, prefix: str) -> str:
    return final_name(column, prefix=prefix, metadata_prefix="Image", is_identifying=IDENTIFYING.__contains__)


def all_named(columns: list[str], prefix: str) -> dict[str, str]:
    return final_names(columns, prefix=prefix, metadata_prefix="Image", is_identifying=IDENTIFYING.__contains__)


@pytest.mark.parametrize(
    ("column", "prefix", "expected"),
    [
        ("ImageNumber", "Cells", "Metadata_ImageNumber"),
        ("ImageNumber", "Image", "Metadata_ImageNumber"),
        ("ObjectNumber", "Cytoplasm", "Metadata_ObjectNumber"),
        ("TableNumber", "Nuclei", "Metadata_TableNumber"),
        ("Parent_Cells", "Cytoplasm", "Metadata_Cytoplasm_Parent_Cells"),
        ("Parent_Nuclei", "Cells", "Metadata_Cells_Parent_Nuclei"),
        ("Cells_Parent", "Cells", "Metadata_Cells_Parent"),
        ("Metadata_Well", "Image", "Metadata_Well"),
        ("Metadata_Well", "Cells", "Metadata_Well"),
        ("AreaShape_Area", "Cells", "Cells_AreaShape_Area"),
        ("Cells_AreaShape_Area", "Cells", "Cells_AreaShape_Area"),
        ("Cells_AreaShape_Area", "Nuclei", "Nuclei_Cells_AreaShape_Area"),
        ("FileName_DNA", "Image", "Image_FileName_DNA"),
        ("ImageQuality_Focus", "Image", "ImageQuality_Focus"),
        ("Number_Object_Number", "Cells", "Cells_Number_Object_Number"),
        ("Area", "PH3", "PH3_Area"),
    ],
)
def test_names_are_those_of_the_design(column: str, prefix: str, expected: str) -> None:
    assert named(column, prefix) == expected


@given(column=COLUMNS, prefix=PREFIXES)
def test_a_name_is_as_the_rules_say_word_by_word(column: str, prefix: str) -> None:
    """Written out a second time, from the text of design.md."""
    if column in IDENTIFYING:
        words = (prefix,) if column.startswith(prefix) else ()
        stays = column.startswith("Metadata_")
        plain = words or any(word in column for word in ("Image", "ObjectNumber", "TableNumber"))
        expected = column if stays else f"Metadata_{column}" if plain else f"Metadata_{prefix}_{column}"
    elif column.startswith("Metadata_"):
        expected = column
    else:
        expected = column if column.startswith(prefix) else f"{prefix}_{column}"
    assert named(column, prefix) == expected


@given(column=COLUMNS, prefix=PREFIXES)
def test_naming_a_name_again_changes_nothing(column: str, prefix: str) -> None:
    assert named(named(column, prefix), prefix) == named(column, prefix)


@given(columns=st.lists(COLUMNS, max_size=12), prefix=PREFIXES)
def test_no_two_columns_get_one_name_unless_that_is_refused(columns: list[str], prefix: str) -> None:
    finals = {column: named(column, prefix) for column in columns}
    if len(set(finals.values())) == len(finals):
        assert all_named(columns, prefix) == finals
    else:
        with pytest.raises(DataError, match="would both be named"):
            all_named(columns, prefix)


def test_a_collision_names_both_columns_and_the_table() -> None:
    with pytest.raises(DataError, match=r"table Cells: the columns 'Area' and 'Cells_Area' would both .* 'Cells_Area'"):
        all_named(["Area", "Cells_Area"], "Cells")


@given(names=st.lists(st.one_of(COLUMNS, COLUMNS.map(lambda name: named(name, "Cells"))), unique=True))
def test_columns_of_one_group_stay_in_their_order(names: list[str]) -> None:
    ordered = profile_order(names)
    assert sorted(ordered) == sorted(names)
    assert profile_order(ordered) == ordered
    for prefix in ("Image_", "Cytoplasm_", "Cells_", "Nuclei_"):
        group = [name for name in names if name.startswith(prefix) and "Metadata" not in name]
        assert [name for name in ordered if name in group] == group


@given(names=st.lists(COLUMNS, unique=True), added=COLUMNS)
def test_one_more_column_leaves_the_order_of_the_others_alone(names: list[str], added: str) -> None:
    with_added = profile_order(dict.fromkeys([*names, added]))
    assert [name for name in with_added if name != added] == [name for name in profile_order(names) if name != added]


def test_the_order_is_that_of_the_design() -> None:
    expected = [
        "Metadata_TableNumber",
        "Metadata_ImageNumber",
        "Metadata_ObjectNumber",
        "Metadata_Well",
        "Metadata_Dataset",
        "Metadata_Cytoplasm_Parent_Cells",
        "Image_FileName_DNA",
        "Image_Count_Cells",
        "Cytoplasm_AreaShape_Area",
        "Cells_Model_1",
        "Cells_Model_2",
        "Cells_Model_10",
        "Nuclei_AreaShape_Area",
        "PH3_AreaShape_Area",
        "ImageQuality_Focus",
    ]
    # Other groups first, each in its own order.
    assert profile_order([*expected[12:], *expected[6:12], *expected[3:6], *expected[2::-1]]) == expected


def test_a_table_begins_its_columns_with_a_capital() -> None:
    assert [table_prefix(name) for name in ("cells", "nuclei_cellpose3", "pH3", "")] == [
        "Cells",
        "Nuclei_cellpose3",
        "PH3",
        "",
    ]


@given(names=st.lists(st.text(alphabet="abc", min_size=1), min_size=1, max_size=20), most=st.integers(1, 8))
def test_a_long_list_says_how_many_it_leaves_out(names: list[str], most: int) -> None:
    shown = listed(names, most)
    assert shown.startswith(names[0])
    assert (f"and {len(names) - most} more" in shown) == (len(names) > most)
