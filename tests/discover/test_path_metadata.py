"""Metadata in the paths of datasets: recognised, or found by the user's expression; the image table's word stands."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from converting import Convert, Options, differences, parquet_table
from oracle import profiles
from plates import Plate
from plates_sheets import SMALL, Tables, set_column, small_tables, write_sheets
from plates_sqlite import SqliteStyle, write_sqlite
from pycytominer_transform.tools import discover, extract

METADATA = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]


def without_metadata(tables: Tables, names: tuple[str, ...] = ("Metadata_",)) -> Tables:
    """Take metadata out of an image table."""
    lines = tables["Image"]
    keep = [i for i, name in enumerate(lines[0]) if not name.startswith(names)]
    return tables | {"Image": [[line[i] for i in keep] for line in lines]}


def tree(out: Path, places: list[str], names: tuple[str, ...] = ("Metadata_",)) -> Path:
    """Write one folder to each place, without metadata in its image table."""
    made = small_tables(replace(SMALL, folders=len(places)))
    sheets = {place: without_metadata(tables, names) for place, tables in zip(places, made.values(), strict=True)}
    return write_sheets(out, sheets)


def rows_by_metadata(path: Path) -> Counter[tuple[object, ...]]:
    table = parquet_table(path)
    return Counter(zip(*(table[name].to_pylist() for name in METADATA), strict=True))


@pytest.mark.parametrize(
    ("source", "places", "plates"),
    [
        (".", ["BR1/A01-1", "BR1/B12-2", "BR2/A01-1"], ["BR1", "BR1", "BR2"]),
        ("BR 3", ["A01-1", "B12-2", "A01-3"], ["BR 3"] * 3),
        (".", [f"b/BR1/analysis/BR1-{place}" for place in ("A01-1", "B12-2", "P24-9")], ["BR1"] * 3),
        ("analysis", ["BR-1-x-A01-1", "BR-1-x-AB12-2", "BR-2-x-A01-9"], ["BR-1-x", "BR-1-x", "BR-2-x"]),
        (".", ["BR1/analysis/A01-1", "BR1/analysis/B12-2", "BR2/analysis/A01-1"], ["BR1", "BR1", "BR2"]),
    ],
)
def test_the_usual_layouts_are_recognised(
    tmp_path: Path, convert: Convert, source: str, places: list[str], plates: list[str]
) -> None:
    root = tree(tmp_path / "plates" / source, places)
    wells = [place.replace("/", "-").split("-")[-2] for place in places]
    sites = [int(place[-1]) for place in places]
    cells = rows_by_metadata(convert(root))
    assert set(cells) == set(zip(plates, wells, sites, strict=True))
    assert cells.total() == len(profiles(root))


def taken_from(source: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """List what is taken from the paths of a source."""
    assert discover.main([str(source), "-o", str(out)]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if " took " in line]
    return said[0].removeprefix("pct-discover: took ").split(" from ")[0].split(", ") if said else []


@pytest.mark.parametrize(
    ("places", "taken"),
    [
        (["b/analysis/BR1/analysis/BR1-A01", "b/analysis/BR1/analysis/BR1-B02"], METADATA[:2]),
        (["b/BR1/analysis/BR1", "b/BR2/analysis/BR2"], METADATA[:1]),
        (["b/CP2-SC1-03/analysis/CP2-SC1-03"], METADATA[:1]),
        (["analysis/CP2-SC1-03"], []),
        (["BR1/A00-1"], []),
        (["BR1/A49-1"], []),
        (["BR1/AG01-1"], []),
        (["BR1/AF48-1"], METADATA),
    ],
)
def test_a_well_is_one_of_a_plate(
    places: list[str], taken: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert taken_from(tree(tmp_path / "plates", places), tmp_path / "m", capsys) == taken


def test_a_folder_of_several_image_sets_is_no_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = small_tables(replace(SMALL, images=2))
    sheets = {"BR1/A01-1": without_metadata(next(iter(tables.values())))}
    assert taken_from(write_sheets(tmp_path / "plates", sheets), tmp_path / "m", capsys) == METADATA[:2]


def test_no_path_is_asked_for_what_the_image_tables_have(
    tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tree(tmp_path / "plates", ["BR1/A01-1", "BR1/A02-1"], ("Metadata_Site",))
    assert taken_from(source, tmp_path / "m", capsys) == ["Metadata_Site"]
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "b")]) == 0
    assert "differs" not in capsys.readouterr().err


@pytest.mark.parametrize("how", ["streams", "concurrent"])
def test_every_way_gives_the_same(tmp_path: Path, convert: Convert, how: str) -> None:
    source = tree(tmp_path / "BR1", ["A01-1", "A01-2", "B01-1"])
    options = Options(discover=("--part-size", "1"))
    assert differences(convert(source), convert(source, how, options)) == []


@pytest.mark.parametrize(
    "places", [["BR1/A01-1", "BR1/A01-2", "BR1/notes"], ["BR1/a/b", "x", "y"], ["analysis/A01-1", "x-A01-1/a", "z"]]
)
def test_nothing_is_taken_where_not_all_folders_are_named_so(
    tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str], places: list[str]
) -> None:
    source = tree(tmp_path / "plates", places)
    assert discover.main([str(source), "-o", str(tmp_path / "m")]) == 0
    said = capsys.readouterr().err
    assert ("only 2 of 3 datasets have metadata in their paths" in said) == (places[0] == "BR1/A01-1")
    assert "took Metadata" not in said
    assert not set(METADATA) & set(parquet_table(convert(source)).column_names)


def test_none_takes_nothing(tmp_path: Path, convert: Convert) -> None:
    source = tree(tmp_path / "BR1", ["A01-1", "A01-2"])
    table = parquet_table(convert(source, options=Options(discover=("--path-metadata", "none"))))
    assert not set(METADATA) & set(table.column_names)


@pytest.mark.parametrize("end", ["$", "/", "/?$"])
@pytest.mark.quick
def test_an_expression_of_the_users_own_sees_the_whole_path(tmp_path: Path, convert: Convert, end: str) -> None:
    source = tree(tmp_path / "screen 7" / "out", ["r01c02/f001", "r01c02/f002", "r16c24/f010"])
    expression = rf"(?P<Screen>screen \d+)/out/r(?P<Row>\d+)c(?P<Metadata_Col>\d+)/f(?P<Site>\d+){end}"
    table = parquet_table(convert(source, options=Options(discover=("--path-metadata", expression))))
    found = {name: table[f"Metadata_{name}"].to_pylist() for name in ("Screen", "Row", "Col", "Site")}
    # Numbers with leading zeros stay the texts that they are.
    wanted = [("screen 7", "01", "02", "001"), ("screen 7", "01", "02", "002"), ("screen 7", "16", "24", "010")]
    assert list(dict.fromkeys(zip(*found.values(), strict=True))) == wanted


def test_folders_that_do_not_fit_are_said_and_null(
    tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tree(tmp_path / "p", ["p1_A01", "p1_A02", "other"])
    expression = r"(?P<Plate>p\d+)_(?P<Well>\w+)$"
    assert discover.main([str(source), "-o", str(tmp_path / "m"), "--path-metadata", expression]) == 0
    assert "does not fit the paths of 1 dataset, whose metadata will be null: other" in capsys.readouterr().err
    table = parquet_table(convert(source, options=Options(discover=("--path-metadata", expression))))
    wells = zip(table["Metadata_Dataset"].to_pylist(), table["Metadata_Well"].to_pylist(), strict=True)
    assert set(wells) == {("p1_A01", "A01"), ("p1_A02", "A02"), ("other", None)}


@pytest.mark.parametrize(
    ("expression", "code", "said"),
    [
        ("(?P<Plate>nowhere)$", 1, "fits the path of no dataset; the first is"),
        ("(?P<Plate>", 2, "is not a regular expression"),
        ("[A-Z]+", 2, "names no column"),
        ("(?P<Dataset>.*)", 2, "the tools fill Metadata_Dataset themselves"),
        ("(?P<imagenumber>.*)", 2, "the tools fill Metadata_imagenumber themselves"),
    ],
)
def test_expressions_that_cannot_work_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], expression: str, code: int, said: str
) -> None:
    source = tree(tmp_path / "p", ["a", "b"])
    assert discover.main([str(source), "-o", str(tmp_path / "m"), "--path-metadata", expression]) == code
    shown = capsys.readouterr().err.splitlines()
    assert said in shown[-1]
    assert sum("error" in line for line in shown) == 1


def test_the_image_table_wins_and_disagreements_are_counted(
    tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    trees = small_tables(replace(SMALL, images=2))
    places = ["BR1/A01-1", "BR1/A02-1", "BR1/A03-1"]
    sheets = dict(zip(places, trees.values(), strict=True))
    # Another well in one folder; padding and letter case that say nothing; an empty one, which the path fills.
    for place, wells in zip(places, (["A01", "a1"], ["H12", "A02"], ["", "A03"]), strict=True):
        set_column(sheets[place]["Image"], "Metadata_Well", wells)
        set_column(sheets[place]["Image"], "Metadata_Plate", ["BR1", "BR1"])
        set_column(sheets[place]["Image"], "Metadata_Site", ["1", "1"])
    source = write_sheets(tmp_path / "plates", sheets)
    for stage, words in ((discover, [str(source)]), (extract, [str(tmp_path / "m")])):
        out = tmp_path / ("m" if stage is discover else "b")
        assert stage.main([*words, "-o", str(out)]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "differs between" in line]
    assert said == [
        "pct-extract: warning: 1 image set: Metadata_Well differs between path and image table (H12 in the table, A02 "
        "in the path of BR1/A02-1); using the table"
    ]
    assert list(rows_by_metadata(convert(source))) == [("BR1", well, 1) for well in ("A01", "a1", "H12", "A02", "A03")]


def test_the_names_of_sqlite_files_are_paths_too(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "plates"
    source.mkdir()
    for name in ("BR1", "BR2"):
        write_sqlite(
            Plate(folders=2, cells=5, features=3), source / f"{name}.sqlite", SqliteStyle("cellprofiler_sqlite")
        )
    expression = r"(?P<Barcode>[^/]+)\.sqlite$"
    table = parquet_table(convert(source, options=Options(discover=("--path-metadata", expression))))
    found = set(zip(table["Metadata_Dataset"].to_pylist(), table["Metadata_Barcode"].to_pylist(), strict=True))
    assert found == {("BR1.sqlite", "BR1"), ("BR2.sqlite", "BR2")}


def test_a_preset_may_say_where_metadata_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], convert: Convert
) -> None:
    assert discover.main(["--show-preset", "cellprofiler_csv"]) == 0
    text = capsys.readouterr().out
    place = text.index("path_metadata")
    own = tmp_path / "own.toml"
    own.write_text(f"{text[:place]}path_metadata = ['(?P<Well>[A-Z])_(?P<Site>\\d)$']\n")
    source = tree(tmp_path / "p", ["A_1", "B_2"])
    table = parquet_table(convert(source, options=Options(discover=("--preset", str(own)))))
    assert set(table["Metadata_Well"].to_pylist()) == {"A", "B"}
    own.write_text(f"{text[:place]}path_metadata = ['(A']\n")
    assert discover.main([str(source), "--preset", str(own), "-o", str(tmp_path / "m")]) == 2
    assert "'path_metadata': '(A' is not a regular expression" in capsys.readouterr().err
