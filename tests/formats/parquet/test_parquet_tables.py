"""Parquet files of compartments: every object comes out once, as from the same tables in CSV."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from converting import Convert, Options, differences, parquet_table, run
from oracle import compare, profiles
from parquet_files import write_tables
from plates import Plate, write_csv
from pycytominer_transform.common.ipc.manifest_files import read_manifest
from running import run as run_tool

PLATE = Plate(folders=3, cells=12, features=9, missing=0.1, sites=2)
COMPARTMENTS = ("Cells", "Cytoplasm", "Nuclei")


@pytest.mark.quick
@pytest.mark.parametrize(
    "name", ["{table}.parquet", "MyExpt_{table}.parquet", "{table}.PARQUET"], ids=["plain", "prefix", "capitals"]
)
def test_folders_of_tables_are_what_csv_folders_are(name: str, tmp_path: Path, convert: Convert) -> None:
    tree = write_csv(PLATE, tmp_path / "csv" / "plate")
    source = write_tables(tree, tmp_path / "parquet" / "plate", name)
    assert compare(profiles(tree), convert(source)) == []


def test_names_in_lower_case_and_an_image_table_that_is_absent(tmp_path: Path, convert: Convert) -> None:
    tree = write_csv(PLATE, tmp_path / "csv")
    source = write_tables(tree, tmp_path / "source")
    for path in sorted(source.rglob("*.parquet")):
        path.rename(path.with_name(f"_{path.name.lower()}"))
    for path in sorted(source.rglob("*.parquet")):
        path.rename(path.with_name(path.name[1:]))
    assert parquet_table(convert(source)).num_rows == len(profiles(tree))
    for path in source.rglob("image.parquet"):
        path.unlink()
    assert not any(name.startswith("Image_") for name in parquet_table(convert(source)).column_names)


@pytest.mark.parametrize("how", ["files", "streams", "pipe", "sequential", "concurrent"])
def test_all_ways_give_the_same_rows(how: str, tmp_path: Path, convert: Convert) -> None:
    source = _one_dataset(tmp_path, images=7)
    whole = convert(source)
    assert parquet_table(whole).num_rows > 50
    for size in ("1", "20kB"):
        assert differences(whole, convert(source, how, Options(discover=("--part-size", size)))) == []


@pytest.mark.parametrize("order", ["sorted", "shuffled", "interleaved"])
def test_rows_in_any_order_and_row_groups_of_any_size(order: str, tmp_path: Path, convert: Convert) -> None:
    source = _one_dataset(tmp_path, images=7)
    whole = convert(source)
    for path in source.glob("*.parquet"):
        table = pq.read_table(path)
        rows = list(range(table.num_rows))
        if order == "interleaved":
            rows.sort(key=lambda row: (row % 5, row))
        elif order == "shuffled":
            rows.sort(key=lambda row: (row * 7919) % 10007)
        pq.write_table(table.take(rows), path, row_group_size=11, data_page_size=100)
    out = convert(source, options=Options(discover=("--part-size", "1")))
    assert differences(whole, out) == []
    run("discover", source, "-o", tmp_path / "m", "--part-size", "1")
    assert read_manifest(str(tmp_path / "m")).parts_total == 7


def test_a_part_reads_its_own_rows(tmp_path: Path) -> None:
    """The ranges are those of whole image sets, in every table."""
    source = _one_dataset(tmp_path, images=6)
    run("discover", source, "-o", tmp_path / "m", "--part-size", "1")
    manifest = read_manifest(str(tmp_path / "m"))
    for part in manifest.parts:
        images = set()
        for one in manifest.sources_of(part):
            numbers = pq.read_table(source / one.path, columns=["ImageNumber"])["ImageNumber"].to_pylist()
            images |= {numbers[row] for first, last in one.row_ranges for row in range(first, last + 1)}
        assert len(images) == 1


@pytest.mark.parametrize("made_of", ["csv", "cellprofiler_sqlite", "cytominer_database"])
def test_tables_that_pct_write_wrote(made_of: str, tmp_path: Path, convert: Convert) -> None:
    """What comes out is what the source itself gives; the dataset's former name stands beside the new one."""
    from plates_sqlite import SqliteStyle, write_sqlite

    source = (
        write_csv(PLATE, tmp_path / "csv")
        if made_of == "csv"
        else write_sqlite(PLATE, tmp_path / "plate.sqlite", SqliteStyle(made_of))  # type: ignore[arg-type]
    )
    run("discover", source, "-o", tmp_path / "m")
    run("extract", tmp_path / "m", "-o", tmp_path / "bundle")
    run("write", tmp_path / "bundle", "--per-table", tmp_path / "tables")
    expected = parquet_table(convert(source))
    out = parquet_table(convert(tmp_path / "tables", options=Options(discover=("--part-size", "1"))))
    assert out["Metadata_Original_Dataset"].equals(expected["Metadata_Dataset"])
    for name in expected.column_names:
        if name != "Metadata_Dataset":
            assert out[name].equals(expected[name]), name
            assert out.field(name).metadata == expected.field(name).metadata


def test_tables_named_as_cytotable_names_them(tmp_path: Path, convert: Convert) -> None:
    tree = write_csv(PLATE, tmp_path / "csv")
    source = write_tables(tree, tmp_path / "named", named=True)
    expected, out = parquet_table(convert(write_tables(tree, tmp_path / "plain"))), parquet_table(convert(source))
    assert expected.num_rows == out.num_rows == len(profiles(tree))
    for name in out.column_names:
        if name in expected.column_names and name != "Metadata_CellID":
            assert out[name].equals(expected[name]), name
    assert {name for name in expected.column_names if name.startswith("Cells_")} <= set(out.column_names)


def test_a_folder_with_a_source_of_another_kind_is_that_source(tmp_path: Path, convert: Convert) -> None:
    tree = write_csv(PLATE, tmp_path / "csv")
    write_tables(tree, tree, "Copy_{table}.parquet")
    shutil.copy(convert(tree), tree / "plate.parquet")
    assert compare(profiles(tree), convert(tree)) == []


def test_columns_of_some_files_are_null_elsewhere(tmp_path: Path, convert: Convert) -> None:
    source = write_tables(write_csv(PLATE, tmp_path / "csv"), tmp_path / "source")
    one, *_ = sorted(source.rglob("Cells.parquet"))
    table = pq.read_table(one)
    more = table.append_column("Marker", pa.array([f"m{row}" for row in range(table.num_rows)]))
    pq.write_table(more.drop_columns(["AreaShape_Area"]), one)
    out = parquet_table(convert(source))
    first = out["Metadata_Dataset"][0].as_py()
    rows = [row for row in out.to_pylist() if row["Metadata_Dataset"] == first]
    assert all(row["Cells_Marker"].startswith("m") and row["Cells_AreaShape_Area"] is None for row in rows)
    assert out["Cells_Marker"].null_count == out.num_rows - len(rows)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "no key", "no table"])
def test_a_bad_dataset_is_named_and_can_be_skipped(damage: str, tmp_path: Path, convert: Convert) -> None:
    source = write_tables(write_csv(PLATE, tmp_path / "csv"), tmp_path / "source")
    victim, *others = sorted(source.rglob("Nuclei.parquet"))
    content = victim.read_bytes()
    if damage == "no key":
        pq.write_table(pq.read_table(victim).drop_columns(["ObjectNumber"]), victim)
    elif damage == "no table":
        victim.unlink()
    else:
        victim.write_bytes({"cut": content[:-9], "empty": b"", "text": b"ImageNumber,ObjectNumber\n" * 9}[damage])
    name = str(victim.relative_to(source)) if damage != "no table" else f"dataset {victim.parent.relative_to(source)}"
    line = run_tool("discover", source, "-q", "-o", tmp_path / "m").failed(1, name)
    assert "--on-bad-dataset skip goes on without it" in line
    out = parquet_table(convert(source, options=Options(discover=("--on-bad-dataset", "skip"))))
    expected = {str(path.parent.relative_to(source)) for path in others}
    assert set(out["Metadata_Dataset"].to_pylist()) == expected


def test_a_page_that_is_damaged_is_noticed_by_its_checksum(tmp_path: Path, convert: Convert) -> None:
    source = write_tables(
        write_csv(PLATE, tmp_path / "csv"), tmp_path / "source",
        write_page_checksum=True, compression="none", use_dictionary=False,
    )  # fmt: skip
    victim, *_ = sorted(source.rglob("Cells.parquet"))
    content = bytearray(victim.read_bytes())
    value = pq.read_table(victim)["AreaShape_Area"].drop_null()[0]
    at = content.index(pa.array([value]).buffers()[1].to_pybytes()[:8])
    content[at] ^= 1
    victim.write_bytes(content)
    run("discover", source, "-o", tmp_path / "m")
    ran = run_tool("extract", tmp_path / "m", "-q", "-o", tmp_path / "b")
    ran.failed(1, str(victim.relative_to(source)), "CRC checksum")
    out = parquet_table(convert(source, options=Options(discover=("--on-bad-dataset", "skip"))))
    assert str(victim.parent.relative_to(source)) not in out["Metadata_Dataset"].to_pylist()


def _one_dataset(tmp_path: Path, images: int) -> Path:
    """Write a folder of tables with several image sets."""
    tree = write_csv(Plate(folders=images, cells=12, features=6, missing=0.1), tmp_path / "trees")
    source = tmp_path / "one" / "source"
    source.mkdir(parents=True)
    folders = sorted({path.parent for path in tree.rglob("Cells.csv")})
    tables = write_tables(tree, tmp_path / "tables")
    for name in ("Image", *COMPARTMENTS):
        pieces = []
        for number, folder in enumerate(folders, start=1):
            piece = pq.read_table(tables / folder.relative_to(tree) / f"{name}.parquet")
            place = piece.column_names.index("ImageNumber")
            pieces.append(piece.set_column(place, "ImageNumber", pa.array([number] * piece.num_rows)))
        pq.write_table(pa.concat_tables(pieces, promote_options="permissive"), source / f"{name}.parquet")
    return source
