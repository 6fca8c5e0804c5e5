"""A preset of the user's own works like those of the package, and what is wrong with it is said by its key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from converting import Convert, Options, parquet_table
from oracle import LAYOUTS, Layout, compare, profiles
from plates import Plate, write_csv
from plates_awkward import AWKWARD
from plates_sheets import SMALL, small_tables, write_sheets
from pycytominer_transform.common.model.preset import FORMATS, load_preset, preset_names
from pycytominer_transform.tools import discover

pytestmark = pytest.mark.quick
PACKAGED = Path(discover.__file__).parent.parent / "common" / "model" / "presets" / "cellprofiler_csv.toml"


def layout_of(*names: str, anchor: str) -> Layout:
    """Give the oracle's layout of CSV folders with other compartments."""
    tables = {name: name.capitalize() for name in ("image", *names)}
    return replace(LAYOUTS["cellprofiler_csv"], tables=tables, anchor=anchor)


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        ("cellprofiler_csv", "four_folders"),
        ("cellprofiler_sqlite", "sqlite_shuffled"),
        ("pycytominer", "sqlite_shuffled"),
        ("cytominer_database", "cytominer_text"),
        ("cell_health", "cytominer_text"),
        ("jump", "cytominer_text"),
    ],
)
def test_a_copy_of_a_packaged_preset_gives_the_same(name: str, sample: str, tmp_path: Path, convert: Convert) -> None:
    (tmp_path / "source").mkdir()
    source = AWKWARD[sample].write(tmp_path / "source")
    copy = tmp_path / "own.toml"
    copy.write_bytes(PACKAGED.with_name(f"{name}.toml").read_bytes())
    by_name, by_path = (convert(source, options=Options(discover=("--preset", p))) for p in (name, str(copy)))
    assert parquet_table(by_name).num_rows > 0
    assert parquet_table(by_name).equals(parquet_table(by_path))


def test_a_preset_of_ones_own_renames_tables_and_keys(tmp_path: Path, convert: Convert) -> None:
    trees = small_tables(replace(SMALL, cells=9, missing=0.1))
    renamed = {"ImageNumber": "Bild", "ObjectNumber": "Nr", "Parent_Cells": "Von_Cells", "Parent_Nuclei": "Von_Nuclei"}
    for tables in trees.values():
        for lines in tables.values():
            lines[0] = [renamed.get(name, name) for name in lines[0]]
    named = {path: {f"run7-{name}": lines for name, lines in tables.items()} for path, tables in trees.items()}
    source = write_sheets(tmp_path / "source", named)
    text = PACKAGED.read_text()
    for old, new in {
        "Parent_": "Von_",
        "ObjectNumber": "Nr",
        "ImageNumber": "Bild",
        '"{table}"': '"Run7-{table}"',
    }.items():
        text = text.replace(old, new)
    (tmp_path / "own.toml").write_text(text)
    table = parquet_table(convert(source, options=Options(discover=("--preset", str(tmp_path / "own.toml")))))
    plain = write_sheets(tmp_path / "plain", small_tables(replace(SMALL, cells=9, missing=0.1)))
    assert table.num_rows == len(profiles(plain)) > 10
    assert {"Metadata_Cytoplasm_Von_Cells", "Metadata_Cells_Von_Nuclei"} <= set(table.column_names)
    expected = parquet_table(convert(plain))
    measured = [name for name in expected.column_names if "AreaShape" in name]
    assert table.select(measured).equals(expected.select(measured))


GOOD = 'name = "n"\ntitle = "t"\nformat = "csv"\ncompartments = ["cells"]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "is not TOML"),
        (GOOD + 'colour = "red"\n', "unknown key 'colour'; a preset has version, name"),
        (GOOD.replace('"t"', '""'), "length >= 1 - at `$.title`"),
        ('name = "n"\n', "missing required field `title`"),
        (GOOD.replace('["cells"]', '"cells"'), "Expected `array`, got `str` - at `$.compartments`"),
        (GOOD.replace('["cells"]', "[1]"), "Expected `str`, got `int` - at `$.compartments[0]`"),
        (GOOD.replace('["cells"]', "[]"), "length >= 1 - at `$.compartments`"),
        (GOOD.replace('"csv"', '"xlsx"'), f"format is 'xlsx'; it may be {' or '.join(FORMATS)}"),
        (GOOD + "version = 7\n", "preset version 7; this program knows version 1"),
        (GOOD + 'version = "1"\n', "Expected `int`, got `str` - at `$.version`"),
        (GOOD + "image_number = 3\n", "Expected `str`, got `int` - at `$.image_number`"),
        (GOOD + 'table_name = "cells"\n', "'table_name' must hold {table}"),
        (b"\xff\xfe", "is not TOML"),
    ],
)
def test_what_is_wrong_with_a_preset_is_said(
    text: str | bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    source = write_csv(replace(SMALL, folders=1), tmp_path / "source")
    words = [str(source), "--preset", str(tmp_path / "own.toml"), "-o", str(tmp_path / "m")]
    assert discover.main(words) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(errors) == 1
    assert said in errors[0]
    assert "own.toml" in errors[0]
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("name", ["no_such_preset", "no/such/file.toml", "nothing.toml"])
def test_a_preset_that_is_not_there_is_a_fault_of_the_command_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert discover.main([str(tmp_path), "--preset", name, "-o", str(tmp_path / "m")]) == 2
    assert name in capsys.readouterr().err


def test_the_preset_is_recognised_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("four_folders", "sqlite_two_files", "cytominer_two_files", "sqlite_mixed"):
        (tmp_path / name).mkdir()
        source = AWKWARD[name].write(tmp_path / name)
        assert discover.main([str(source), "-o", str(tmp_path / f"{name}.arrow")]) == 0
        assert f"preset {AWKWARD[name].layout}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("compartments", "anchor"),
    [
        ("cytoplasm,cells,nuclei", "cytoplasm"),
        ("nuclei,cytoplasm", "cytoplasm"),
        ("cells,nuclei", "cells"),
        ("Nuclei , CELLS", "cells"),
        ("cells", "cells"),
        ("nuclei", "nuclei"),
    ],
)
def test_the_anchor_is_the_first_of_the_compartments_that_leads_to_the_others(
    compartments: str, anchor: str, tmp_path: Path, convert: Convert
) -> None:
    source = write_csv(Plate(folders=3, cells=12, features=5, missing=0.2, sites=2), tmp_path / "source")
    names = [name.strip().lower() for name in compartments.split(",")]
    rows = profiles(source, layout_of(*names, anchor=anchor))
    assert len(rows) > 20
    assert compare(rows, convert(source, options=Options(discover=("--compartments", compartments)))) == []


def test_a_source_without_cytoplasm_is_joined_on_its_cells(
    tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_csv(Plate(folders=3, cells=12, features=5, missing=0.2, sites=2), tmp_path / "source")
    for file in source.rglob("Cytoplasm.csv"):
        file.unlink()
    assert compare(profiles(source, layout_of("cells", "nuclei", anchor="cells")), convert(source)) == []
    assert "no dataset has a table cytoplasm" in capsys.readouterr().err


def test_a_compartment_of_the_users_own_joins_by_its_parent_column(tmp_path: Path, convert: Convert) -> None:
    trees = small_tables(replace(SMALL, cells=9, missing=0.1))
    for tables in trees.values():
        header, *lines = tables["Nuclei"]
        tables["PH3"] = [list(header), *([*line] for line in lines[::2])]
        parent = tables["Cytoplasm"][0].index("Parent_Nuclei")
        for line in tables["Cytoplasm"]:
            line.append("Parent_PH3" if line is tables["Cytoplasm"][0] else line[parent])
    source = write_sheets(tmp_path / "source", trees)
    options = Options(discover=("--compartments", "cytoplasm,cells,nuclei,ph3"), join=("--unmatched", "keep"))
    rows = parquet_table(convert(source, options=options)).to_pylist()
    assert "PH3_AreaShape_BoundingBoxArea" in rows[0] or any(name.startswith("PH3_") for name in rows[0])
    for row in rows:
        for name, value in row.items():
            if name.startswith("PH3_") and value is not None:
                assert value == row[name.replace("PH3_", "Nuclei_")]
    lacking = [row for row in rows if row["PH3_Number_Object_Number"] is None]
    assert 0 < len(lacking) < len(rows)


@pytest.mark.parametrize(
    ("names", "code", "said"),
    [
        ("cells,golgi", 1, "no dataset has a table golgi"),
        ("cells,,nuclei", 2, "is not a list of names"),
    ],
)
def test_compartments_that_are_not_there(
    names: str, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_csv(replace(SMALL, folders=1), tmp_path / "source")
    assert discover.main([str(source), "--compartments", names, "-o", str(tmp_path / "m")]) == code
    assert said in capsys.readouterr().err


def test_every_packaged_preset_has_its_files_name() -> None:
    assert {"cellprofiler_csv", "cellprofiler_sqlite", "cytominer_database"} <= set(preset_names())
    assert [load_preset(name).name for name in preset_names()] == preset_names()
