"""Presets that share a layout are told apart by columns, and name theirs as their users know them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from converting import Convert, Options, parquet_table
from oracle import compare, profiles
from plates import Plate
from plates_sqlite import SqliteStyle, quoted, write_sqlite
from pycytominer_transform.common.model.preset import packaged_presets
from pycytominer_transform.tools import discover

PLATE = Plate(folders=6, cells=9, features=5, sites=3, missing=0.1)
CYTOMINER = SqliteStyle("cytominer_database", order="interleaved")
TEXT = SqliteStyle("cytominer_database", table_number="text")
JUMP = {"Image_Metadata_Plate": "Metadata_Plate", "Image_Metadata_Well": "Metadata_Well"}
ILLUMINATED = {"Image_FileName_DNA": "Image_FileName_OrigDNA", "Image_FileName_ER": "Image_FileName_IllumER"}


def written(out: Path, style: SqliteStyle, renamed: Mapping[str, str] | None = None, plate: Plate = PLATE) -> Path:
    """Write a plate, with some columns of the image table named otherwise and a row beside the site."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_sqlite(plate, out, style)
    connection = sqlite3.connect(out)
    with connection:
        if renamed:
            connection.execute('ALTER TABLE "Image" ADD COLUMN "Image_Metadata_Row" BIGINT')
            connection.execute("""UPDATE "Image" SET "Image_Metadata_Row" = ImageNumber + 7""")
        for old, new in (renamed or {}).items():
            connection.execute(f'ALTER TABLE "Image" RENAME COLUMN {quoted(old)} TO {quoted(new)}')
    connection.close()
    return out


def recognised(source: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert discover.main([str(source), "-o", str(source.parent / "m"), "--overwrite"]) == 0
    return capsys.readouterr().err.split("(preset ")[1].split(")")[0]


@pytest.mark.parametrize(
    ("style", "renamed", "preset"),
    [
        (CYTOMINER, {}, "cytominer_database"),
        (TEXT, {}, "cytominer_database"),
        (CYTOMINER, JUMP, "jump"),
        (TEXT, JUMP, "jump"),
        (TEXT, JUMP | ILLUMINATED, "jump"),
        (TEXT, ILLUMINATED, "cell_health"),
        (CYTOMINER, ILLUMINATED, "cytominer_database"),
        (CYTOMINER, {"Image_Metadata_Plate": "Metadata_Plate"}, "cytominer_database"),
        (SqliteStyle("cellprofiler_sqlite"), {}, "cellprofiler_sqlite"),
    ],
)
@pytest.mark.quick
def test_presets_of_one_layout_are_told_apart_by_columns(
    style: SqliteStyle, renamed: dict[str, str], preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recognised(written(tmp_path / "plate.sqlite", style, renamed), capsys) == preset


def test_presets_that_may_fit_one_source_differ_in_precedence() -> None:
    layouts = Counter((p.format, p.table_name, p.precedence) for p in packaged_presets() if p.format == "sqlite")
    assert set(layouts.values()) == {1}


def test_the_real_file_is_cell_health(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = shared_data / "cell_health"
    assert discover.main([str(source), "-o", str(tmp_path / "m")]) == 0
    assert "(preset cell_health)" in capsys.readouterr().err


def rows_of(path: Path) -> list[dict[str, Any]]:
    return list(parquet_table(path).to_pylist())


@pytest.mark.parametrize("style", [CYTOMINER, TEXT])
@pytest.mark.quick
def test_a_jump_plate_gives_every_cell_once_with_plate_well_site_and_row(
    style: SqliteStyle, tmp_path: Path, convert: Convert
) -> None:
    source = written(tmp_path / "j" / "BR1.sqlite", style, JUMP)
    same = written(tmp_path / "c" / "BR1.sqlite", style)
    cells = rows_of(convert(source))
    by_hand = profiles(same, "cytominer_database")
    assert len(cells) == len(by_hand) > 30
    keys = {(c["Metadata_TableNumber"], c["Metadata_ImageNumber"], c["Metadata_ObjectNumber"]) for c in cells}
    assert len(keys) == len(cells)
    assert {c["Metadata_ImageNumber"] for c in cells} == {1}
    plain = parquet_table(convert(same, options=Options(join=("--image-columns", "Metadata_Site")))).to_pylist()
    for cell, other in zip(cells, plain, strict=True):
        assert cell["Metadata_Plate"] == other["Image_Metadata_Plate"]
        assert cell["Metadata_Well"] == other["Image_Metadata_Well"]
        assert cell["Image_Metadata_Site"] == other["Image_Metadata_Site"]
        assert cell["Image_Metadata_Row"] == 8
        assert cell["Metadata_ObjectNumber"] == other["Cytoplasm_ObjectNumber"]
        shared = cell.keys() & other.keys()
        assert {name: cell[name] for name in shared} == {name: other[name] for name in shared}
        assert len(shared) > 20


def test_two_jump_plates_are_told_apart_by_their_files(tmp_path: Path, convert: Convert) -> None:
    for seed in (1, 2):
        plate = Plate(folders=4, cells=9, features=5, seed=seed)
        written(tmp_path / "source" / f"p{seed}" / f"BR{seed}.sqlite", CYTOMINER, JUMP, plate)
    cells = rows_of(convert(tmp_path / "source", options=Options(discover=("--part-size", "10kB"))))
    names = ("Metadata_Dataset", "Metadata_TableNumber", "Metadata_ImageNumber", "Metadata_ObjectNumber")
    assert len({tuple(cell[name] for name in names) for cell in cells}) == len(cells) > 40
    assert {cell["Metadata_Dataset"] for cell in cells} == {"p1/BR1.sqlite", "p2/BR2.sqlite"}


def test_a_jump_plate_without_columns_of_its_own_names_is_named_alike(tmp_path: Path, convert: Convert) -> None:
    source = written(tmp_path / "BR1.sqlite", CYTOMINER, {"Image_FileName_DNA": "Image_FileName_X"})
    names = parquet_table(convert(source, options=Options(discover=("--preset", "jump")))).column_names
    assert {"Metadata_Plate", "Metadata_Well", "Image_Metadata_Site", "Image_Metadata_Row"} <= set(names)
    assert not {"Image_Metadata_Plate", "Image_Metadata_Well"} & set(names)


@pytest.mark.quick
def test_pycytominer_names_object_numbers_and_parents_metadata(tmp_path: Path, convert: Convert) -> None:
    source = written(tmp_path / "plate.sqlite", SqliteStyle("cellprofiler_sqlite", order="shuffled"))
    plain = parquet_table(convert(source))
    named = parquet_table(convert(source, options=Options(discover=("--preset", "pycytominer"))))
    new = {"Cytoplasm_Parent_Cells", "Cytoplasm_Parent_Nuclei"}
    new |= {"Cells_Number_Object_Number", "Nuclei_Number_Object_Number"}
    assert new <= set(plain.column_names)
    assert sorted(f"Metadata_{n}" if n in new else n for n in plain.column_names) == sorted(named.column_names)
    for name in plain.column_names:
        assert plain[name].equals(named[f"Metadata_{name}" if name in new else name]), name


def test_a_source_that_names_them_metadata_itself_is_recognised_and_gives_the_same(
    tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path / "plate.sqlite", SqliteStyle("cellprofiler_sqlite"))
    expected = parquet_table(convert(source, options=Options(discover=("--preset", "pycytominer"))))
    by_hand = profiles(source, "cellprofiler_sqlite")
    assert compare(by_hand, convert(source)) == []
    connection = sqlite3.connect(source)
    with connection:
        for table in ("Cells", "Cytoplasm", "Nuclei"):
            names = [row[1] for row in connection.execute(f'PRAGMA table_info("Per_{table}")')]
            for name in names:
                if "_Parent_" in name or name.endswith("Number_Object_Number"):
                    connection.execute(
                        f'ALTER TABLE "Per_{table}" RENAME COLUMN {quoted(name)} TO {quoted("Metadata_" + name)}'
                    )
    connection.close()
    capsys.readouterr()
    assert recognised(source, capsys) == "pycytominer"
    given = parquet_table(convert(source))
    assert given.num_rows == expected.num_rows == len(by_hand)
    shared = [name for name in expected.column_names if name in given.column_names]
    assert len(shared) > len(expected.column_names) - 3
    assert given.select(shared).equals(expected.select(shared))


@pytest.mark.parametrize("sign", ["Metadata_Plate", "picture.Metadata_Plate", "image.", ".x"])
def test_a_sign_that_names_no_table_is_refused(sign: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own.toml"
    own.write_text(f'name = "n"\ntitle = "t"\nformat = "csv"\ncompartments = ["cells"]\nrecognised_by = ["{sign}"]\n')
    assert discover.main([str(tmp_path), "--preset", str(own), "-o", str(tmp_path / "m")]) == 2
    said = capsys.readouterr().err
    assert f"'recognised_by' holds {sign!r}" in said
    assert "TABLE may be image, cells" in said
