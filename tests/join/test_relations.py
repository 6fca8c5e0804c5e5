"""Which tables there are and how they are called is free: relations follow from the columns that name parents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from converting import Convert, Options, differences, parquet_table, run
from oracle import profiles
from oracle_relations import Relation, add_children, joined_by_hand, new_name, renamed
from plates_sheets import SMALL, Line, Tables, column_place, small_tables, write_sheets, write_sqlite_sheets
from plates_sqlite import SqliteStyle
from pycytominer_transform.tools import discover, join

LOSSY = replace(SMALL, cells=12, missing=0.25)
CELLPOSE = "_Cellpose3"
SEGMENTED = ("--compartments", "cells_cellpose3,Nuclei_Cellpose3,CYTOPLASM_cellpose3")
CHILDREN_OF_CELLS = [Relation("Nuclei", "Cells", "up"), Relation("Cytoplasm", "Cells", "down")]
CHILDREN_OF_NUCLEI = [Relation("Cells", "Nuclei", "down"), Relation("Cytoplasm", "Nuclei", "down")]


def assert_joined(
    table: Any, trees: Mapping[str, Tables], anchor: str, relations: Sequence[Relation], *, keep: bool = False
) -> None:
    """Hold profiles against the join by hand: their number, and every measurement of every table."""
    wanted = [row for row in joined_by_hand(trees, anchor, relations) if keep or all(row.values())]
    given = table.to_pylist()
    assert len(given) == len(wanted) > 5
    checked = 0
    for row, by_table in zip(given, wanted, strict=True):
        for name, found in by_table.items():
            for column in next(iter(trees.values()))[name][0]:
                if f"{name}_{column}" in row:
                    expected = found[column] if found else None
                    assert row[f"{name}_{column}"] == (None if expected in (None, "nan") else float(str(expected)))
                    checked += 1
    assert checked > 10 * len(wanted)


@pytest.mark.parametrize("how", ["files", "streams", "sequential"])
def test_a_second_segmentation_is_joined_as_the_first_would_be(how: str, tmp_path: Path, convert: Convert) -> None:
    trees = small_tables(LOSSY)
    expected = profiles(write_sheets(tmp_path / "first", trees))
    source = write_sheets(tmp_path / "source", renamed(trees, CELLPOSE))
    given = parquet_table(convert(source, how, Options(discover=SEGMENTED))).to_pylist()
    assert given == [{new_name(name, CELLPOSE): value for name, value in row.items()} for row in expected]
    assert list(given[0])[:3] == ["Metadata_TableNumber", "Metadata_ImageNumber", "Metadata_ObjectNumber"]


@pytest.mark.parametrize("kind", ["cellprofiler_sqlite", "cytominer_database"])
def test_a_second_segmentation_in_sqlite(kind: Any, tmp_path: Path, convert: Convert) -> None:
    style = SqliteStyle(kind)
    trees = small_tables(replace(LOSSY, folders=1, images=3))
    numbers = ("1", "2") if kind == "cytominer_database" else ()
    files = []
    for name, tree in (("first", trees), ("second", renamed(trees, CELLPOSE))):
        file = tmp_path / name / "plate.sqlite"
        file.parent.mkdir()
        files.append(write_sqlite_sheets(file, next(iter(tree.values())), style, numbers))
    expected = parquet_table(convert(files[0])).to_pylist()
    given = parquet_table(convert(files[1], options=Options(discover=(*SEGMENTED, "--part-size", "1")))).to_pylist()
    assert len(given) > 10
    assert given == [{new_name(name, CELLPOSE): value for name, value in row.items()} for row in expected]


def test_two_segmentations_side_by_side(tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]) -> None:
    trees = small_tables(LOSSY)
    alone = write_sheets(tmp_path / "alone", trees)
    second = renamed(trees, CELLPOSE)
    both = write_sheets(tmp_path / "both", {path: {**trees[path], **second[path]} for path in trees})
    assert differences(convert(alone), convert(both)) == []
    assert "passed over the tables cells_cellpose3 (Cells_Cellpose3.csv), " in run_again(both, tmp_path, capsys)
    again = convert(write_sheets(tmp_path / "second", second), options=Options(discover=SEGMENTED))
    assert differences(again, convert(both, options=Options(discover=SEGMENTED))) == []
    said = refused(both, tmp_path, capsys, "--compartments", "cells,nuclei,cytoplasm,cells_cellpose3,nuclei_cellpose3")
    assert "nothing relates cells_cellpose3, nuclei_cellpose3 to the anchor cytoplasm" in said
    assert "'Parent_Cells_Cellpose3' that leads to cells_cellpose3" in said
    assert "--compartments" in said
    assert "--sql" in said


def run_again(source: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Discover a source and give what is said."""
    capsys.readouterr()
    assert discover.main([str(source), "-o", str(folder / "said")]) == 0
    return capsys.readouterr().err


def refused(source: Path, folder: Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    """Give what pct-join says when it refuses what pct-discover found with these options."""
    run("discover", source, "-o", folder / "m", "--overwrite", *words)
    run("extract", folder / "m", "-o", folder / "b", "--overwrite")
    capsys.readouterr()
    assert join.main([str(folder / "b"), "-o", str(folder / "p")]) == code
    assert not (folder / "p").exists()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("unmatched", ["drop", "keep"])
@pytest.mark.parametrize(
    ("anchor", "relations"), [("Cells", CHILDREN_OF_CELLS), ("nuclei", CHILDREN_OF_NUCLEI)], ids=["cells", "nuclei"]
)
def test_another_anchor(
    anchor: str, relations: list[Relation], unmatched: str, tmp_path: Path, convert: Convert
) -> None:
    trees = small_tables(LOSSY)
    source = write_sheets(tmp_path / "source", trees)
    options = Options(discover=("--anchor", anchor), join=("--unmatched", unmatched))
    made = convert(source, options=options)
    assert_joined(parquet_table(made), trees, anchor.capitalize(), relations, keep=unmatched == "keep")
    in_parts = Options(discover=("--anchor", anchor, "--part-size", "1"), join=options.join)
    for how in ("streams", "sequential"):
        assert differences(made, convert(source, how, in_parts)) == []


def test_columns_are_named_after_the_anchor(tmp_path: Path, convert: Convert) -> None:
    tables = next(iter(small_tables(replace(SMALL, folders=1)).values()))
    source = write_sqlite_sheets(tmp_path / "plate.sqlite", tables, SqliteStyle("cytominer_database"), ["1"])
    names = parquet_table(convert(source, options=Options(discover=("--anchor", "cells")))).column_names
    assert "Metadata_Cells_Parent_Nuclei" in names
    assert "Metadata_Cytoplasm_Parent_Nuclei" not in names


@pytest.mark.parametrize("anchor", ["golgi", "image", "Nuclei"])
def test_an_anchor_that_is_not_taken(anchor: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_sheets(tmp_path / "source", small_tables())
    words = [str(source), "-o", str(tmp_path / "m"), "-q", "--compartments", "cells,cytoplasm", "--anchor", anchor]
    assert discover.main(words) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"pct-discover: error: --anchor {anchor} is none of the compartments taken: cells, cytoplasm"
    ]


def with_organoids(trees: dict[str, Tables]) -> dict[str, Tables]:
    """Put the nuclei into organoids, three in each; one organoid is lost."""
    for tables in trees.values():
        header, *lines = tables["Nuclei"]
        place = column_place(tables["Nuclei"], "ObjectNumber")
        header.append("Parent_Organoids")
        for line in lines:
            line.append(str(1 + (int(line[place]) - 1) // 3))
        organoids = range(2, 2 + len(lines) // 3)
        made: list[Line] = [["ImageNumber", "ObjectNumber", "AreaShape_Area", "AreaShape_Extent"]]
        tables["Organoids"] = made + [["1", str(number), str(number / 7), "1.5"] for number in organoids]
    return trees


def test_a_grandparent_is_reached_through_the_parent(tmp_path: Path, convert: Convert) -> None:
    trees = with_organoids(small_tables(LOSSY))
    source = write_sheets(tmp_path / "source", trees)
    options = Options(discover=("--compartments", "organoids,cells,nuclei"), join=("--unmatched", "keep"))
    relations = [Relation("Nuclei", "Cells", "up"), Relation("Organoids", "Nuclei", "up")]
    table = parquet_table(convert(source, options=options))
    assert_joined(table, trees, "Cells", relations, keep=True)
    assert 0 < table["Organoids_AreaShape_Area"].null_count < table.num_rows
    dropped = parquet_table(convert(source, options=replace(options, join=())))
    assert_joined(dropped, trees, "Cells", relations)


def test_the_shortest_way_is_taken(tmp_path: Path, convert: Convert) -> None:
    trees = with_organoids(small_tables(LOSSY))
    for tables in trees.values():
        for line in tables["Cells"]:
            line.append("Parent_Organoids" if line is tables["Cells"][0] else "2")
    relations = [Relation("Nuclei", "Cells", "up"), Relation("Organoids", "Cells", "up")]
    options = Options(discover=("--compartments", "nuclei,organoids,cells"))
    assert_joined(
        parquet_table(convert(write_sheets(tmp_path / "source", trees), options=options)), trees, "Cells", relations
    )


def test_nuclei_alone(tmp_path: Path, convert: Convert) -> None:
    trees = small_tables(LOSSY)
    for tables in trees.values():
        del tables["Cells"], tables["Cytoplasm"]
    assert_joined(parquet_table(convert(write_sheets(tmp_path / "source", trees))), trees, "Nuclei", [])


def children_of_a_child(tables: Tables) -> None:
    add_children(tables, "PH3", "Nuclei", [1])
    add_children(tables, "Foci", "PH3", [1])


def several_children(tables: Tables) -> None:
    add_children(tables, "PH3", "Nuclei", [0, 1, 2])


@pytest.mark.parametrize(
    ("change", "taken", "code", "said"),
    [
        (children_of_a_child, "ph3,foci", 2, ["foci is a child of ph3 by Metadata_Foci_Parent_PH3", "--sql"]),
        (
            several_children, "ph3", 1,
            [
                "table ph3 holds 2 objects of one of nuclei (", "Metadata_Dataset ", "Metadata_ImageNumber 1, ",
                "object Metadata_ObjectNumber 3)", "--aggregate-children mean or count", "--sql", "--compartments",
            ],
        ),
    ],
)  # fmt: skip
def test_what_would_multiply_cells_is_refused(
    change: Callable[[Tables], None], taken: str, code: int, said: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    trees = small_tables()
    for tables in trees.values():
        change(tables)
    source = write_sheets(tmp_path / "source", trees)
    line = refused(source, tmp_path, capsys, "--compartments", f"cells,nuclei,cytoplasm,{taken}", code=code)
    assert [word for word in said if word not in line] == []


def test_children_of_which_no_parent_has_several_are_joined(tmp_path: Path, convert: Convert) -> None:
    trees = small_tables(LOSSY)
    for tables in trees.values():
        add_children(tables, "PH3", "Nuclei", [1, 0])
        # Objects without a parent, or with one that is lost, are no siblings of each other.
        tables["PH3"] += [["1", "901", "1", "1", "0"], ["1", "902", "1", "1", "99"], ["1", "903", "1", "1", "99"]]
    source = write_sheets(tmp_path / "source", trees)
    relations = [
        Relation("Cells", "Cytoplasm", "up"),
        Relation("Nuclei", "Cytoplasm", "up"),
        Relation("PH3", "Nuclei", "down"),
    ]
    options = Options(discover=("--compartments", "cells,nuclei,cytoplasm,ph3"), join=("--unmatched", "keep"))
    assert_joined(parquet_table(convert(source, options=options)), trees, "Cytoplasm", relations, keep=True)


def test_a_child_that_is_there_twice_is_a_duplicate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees = small_tables()
    for tables in trees.values():
        add_children(tables, "PH3", "Nuclei", [1])
        tables["PH3"].append([*tables["PH3"][1]])
    source = write_sheets(tmp_path / "source", trees)
    assert "table ph3 holds" in refused(source, tmp_path, capsys, "--compartments", "nuclei,ph3", code=1)


def test_the_sql_that_is_run_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees = small_tables()
    for tables in trees.values():
        add_children(tables, "PH3", "Nuclei", [2])
    run(
        "discover", write_sheets(tmp_path / "source", trees), "-o", tmp_path / "m", "--compartments", "cells,nuclei,ph3"
    )
    run("extract", tmp_path / "m", "-o", tmp_path / "b")
    capsys.readouterr()
    words = [str(tmp_path / "b"), "-o", str(tmp_path / "p"), "-v", "--aggregate-children", "count"]
    assert join.main(words) == 0
    said = capsys.readouterr().err
    assert 'pct-join: FROM "cells"\n' in said
    assert 'pct-join: LEFT JOIN "nuclei" ON ' in said
    assert '"nuclei"."Metadata_ObjectNumber" = "cells"."Metadata_Cells_Parent_Nuclei" AND' in said
    assert '"ph3"."Metadata_PH3_Parent_Nuclei" = "nuclei"."Metadata_ObjectNumber" AND' in said
