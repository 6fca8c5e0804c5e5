"""pct-extract gives every part's tables with the decided names and types, and says of every stream what it holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from converting import run, run_shell
from plates import Plate, write_csv
from plates_awkward import AWKWARD
from plates_sheets import SMALL, Tables, measured_name, set_column, small_tables, write_sheets
from pycytominer_transform.common.ipc.manifest_files import read_manifest
from pycytominer_transform.tools import discover, extract

PLATE = Plate(folders=4, cells=9, features=6, sites=2, missing=0.1)
TABLES = ("image", "cells", "cytoplasm", "nuclei")
CLOSING = b"pct.closing"


def extracted(source: Path, folder: Path, *words: str, size: str = "1") -> Path:
    run("discover", source, "-o", folder / "m", "--part-size", size, "--overwrite")
    run("extract", folder / "m", "-o", folder / "bundle", *words)
    return folder / "bundle"


def table_at(path: Path) -> pa.Table:
    """Read one file as any Arrow library would."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def closing_of(reader: Any) -> dict[str, Any]:
    """Give the closing record of an open Arrow file or stream, which must be its last batch and have no rows."""
    batches = []
    if hasattr(reader, "num_record_batches"):
        batches = [reader.get_batch_with_custom_metadata(i) for i in range(reader.num_record_batches)]
    else:
        while True:
            try:
                batches.append(reader.read_next_batch_with_custom_metadata())
            except StopIteration:
                break
    marked = [i for i, item in enumerate(batches) if CLOSING in (item.custom_metadata or {})]
    assert marked == [len(batches) - 1]
    assert batches[-1].batch.num_rows == 0
    found: dict[str, Any] = json.loads(batches[-1].custom_metadata[CLOSING])
    assert found["rows"] == sum(item.batch.num_rows for item in batches)
    return found


def test_a_bundle_is_a_folder_of_plain_arrow_files_with_closing_records(tmp_path: Path) -> None:
    bundle = extracted(write_csv(PLATE, tmp_path / "source"), tmp_path)
    names = sorted(str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file())
    expected = [f"part-{part:06d}/{table}.arrow" for part in range(1, 5) for table in TABLES]
    assert names == sorted(["manifest.arrow", *expected])
    for name in names:
        with pa.memory_map(str(bundle / name)) as source:
            reader = pa.ipc.open_file(source)
            closing_of(reader)
            if name != "manifest.arrow":
                part, table = name.removesuffix(".arrow").split("/")
                said = {key.decode(): value.decode() for key, value in reader.schema.metadata.items()}
                assert (said["pct.part"], said["pct.table"]) == (str(int(part[5:])), table)


def test_a_bundle_in_a_pipe_is_streams_end_to_end_with_closing_records(tmp_path: Path) -> None:
    source = write_csv(PLATE, tmp_path / "source")
    done = run_shell(f"pct-discover -q '{source}' --part-size 1 | pct-extract -q > bundle", tmp_path)
    assert done.returncode == 0, done.stderr
    found = []
    with (tmp_path / "bundle").open("rb") as file:
        while file.peek(1):
            reader = pa.ipc.open_stream(file)
            metadata = {key.decode(): value.decode() for key, value in (reader.schema.metadata or {}).items()}
            found.append(
                (metadata["pct.role"], metadata.get("pct.part"), metadata.get("pct.table"), closing_of(reader))
            )
    expected = [
        ("table", str(part), table) for part in range(1, 5) for table in ("image", "cells", "cytoplasm", "nuclei")
    ]
    assert [entry[:3] for entry in found] == [("manifest", None, None), *expected, ("end", None, None)]
    assert (found[-1][3]["parts"], found[-1][3]["tables"]) == (4, 16)


@pytest.mark.parametrize("name", ["column_order", "no_objects", "null_words", "cytominer_two_files", "sqlite_mixed"])
def test_all_parts_have_the_schema_that_the_manifest_decided(name: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    bundle = extracted(AWKWARD[name].write(tmp_path / "source"), tmp_path)
    manifest = read_manifest(str(bundle))
    types = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}
    for schema in manifest.tables:
        wanted = pa.schema(
            [(c.name, types[c.type]) for c in (*schema.columns, *manifest.own_columns(schema))], metadata=None
        )
        found = [table_at(path).schema.remove_metadata() for path in sorted(bundle.glob(f"*/{schema.table}.arrow"))]
        assert len(found) == len(manifest.parts)
        assert all(one.equals(wanted) for one in found)


@pytest.mark.parametrize("words", [(), ("--float32",)], ids=["float64", "float32"])
def test_identifiers_and_counts_are_int64_and_text_is_string_and_all_else_is_a_float(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    bundle = extracted(write_csv(PLATE, tmp_path / "source"), tmp_path, *words, size="1GB")
    measured = pa.float32() if words else pa.float64()
    for table in TABLES:
        for field in table_at(bundle / "part-000001" / f"{table}.arrow").schema:
            whole = ("Number", "Parent_Cells", "Parent_Nuclei", "Group_Index", "Metadata_Site", "_Count")
            if field.name.startswith(("Image_FileName", "Image_PathName")) or field.name in (
                "Metadata_Plate", "Metadata_Well", "Metadata_Dataset", "Metadata_CellID",
            ):  # fmt: skip
                assert field.type == pa.string(), field
            elif field.name.endswith(whole) or "Count_" in field.name:
                assert field.type == pa.int64(), field
            else:
                assert field.type == measured, field


def with_words(words: list[str]) -> dict[str, Tables]:
    trees = small_tables(replace(SMALL, cells=12))
    for tables in list(trees.values())[1:2]:
        set_column(tables["Nuclei"], measured_name(tables["Nuclei"]), words)
    return trees


@pytest.mark.parametrize("word", ["n/a", "1,5", "0x10", "1_000", "--", "#DIV/0!", "\u0661"])
@pytest.mark.quick
def test_another_text_in_a_number_column_is_refused_by_file_row_and_column(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_sheets(tmp_path / "source", with_words(["0.5", word]))
    assert discover.main([str(source), "-o", str(tmp_path / "m")]) == 0
    capsys.readouterr()
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "bundle")]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    file = sorted(str(path.relative_to(source)) for path in source.rglob("Nuclei.csv"))[1]
    assert f"{file}, row 3, column " in said
    assert repr(word) in said
    assert not (tmp_path / "bundle").exists()


def test_bad_values_made_null_are_counted_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees = with_words(["0.5", "oops", "nan", "oops", "x"])
    source = write_sheets(tmp_path / "source", trees)
    run("discover", source, "-o", tmp_path / "m", "--part-size", "1")
    capsys.readouterr()
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "bundle"), "--on-bad-value", "null"]) == 0
    column = measured_name(next(iter(trees.values()))["Nuclei"])
    assert f"made 3 values null that were no numbers: {column} (3)" in capsys.readouterr().err
    values = table_at(tmp_path / "bundle" / "part-000002" / "nuclei.arrow")[f"Nuclei_{column}"].to_pylist()
    assert values[:5] == [0.5, None, None, None, None]
    assert None not in values[5:]
    step = read_manifest(str(tmp_path / "bundle")).provenance[-1]
    assert (step.tool, step.counts["made_null"]) == ("pct-extract", {column: 3})


@pytest.mark.parametrize("number", ["9223372036854775808", "1.5", "1e400"])
def test_a_number_that_is_no_whole_64_bit_one_is_no_object_number(
    number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trees = small_tables(replace(SMALL, folders=1))
    tables = next(iter(trees.values()))
    set_column(tables["Cells"], "Parent_Nuclei", ["1", number])
    source = write_sheets(tmp_path / "source", trees)
    run("discover", source, "-o", tmp_path / "m")
    code = extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "bundle")])
    if code == 0:
        stored = table_at(tmp_path / "bundle" / "part-000001" / "cells.arrow")["Metadata_Cells_Parent_Nuclei"]
        assert stored.to_pylist()[1] == float(number)
    else:
        assert (code, repr(number) in capsys.readouterr().err) == (1, True)


@pytest.mark.parametrize("how", ["longer", "same size", "gone"])
@pytest.mark.quick
def test_a_source_that_changed_since_it_was_described_is_refused(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_csv(PLATE, tmp_path / "source")
    run("discover", source, "-o", tmp_path / "m")
    file = sorted(source.rglob("Nuclei.csv"))[2]
    content = file.read_bytes()
    file.unlink()
    if how != "gone":
        file.write_bytes(content if how == "same size" else content + content.splitlines(keepends=True)[-1])
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "bundle")]) == 1
    assert str(file.relative_to(source)) in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_row_counts_of_every_table_are_in_the_provenance(tmp_path: Path) -> None:
    source = write_csv(PLATE, tmp_path / "source")
    bundle = extracted(source, tmp_path, size="20kB")
    by_hand = {
        table: sum(len(path.read_text().splitlines()) - 1 for path in source.rglob(f"{table.capitalize()}.csv"))
        for table in TABLES
    }
    step = read_manifest(str(bundle)).provenance[-1]
    assert (step.tool, step.counts["rows"]) == ("pct-extract", by_hand)
    assert min(by_hand.values()) > 0


def with_barcodes(folder: Path) -> Path:
    """Write folders whose cells have a barcode, a plain number but for one beyond what discovery looks at."""
    trees = small_tables(replace(SMALL, cells=900, features=20))
    for index, tables in enumerate(trees.values()):
        rows = tables["Cells"]
        codes = ["12"] * (len(rows) - 1)
        if index == 0:
            codes[-1] = "0012"
        rows[:] = [[*row, code] for row, code in zip(rows, ["Metadata_Barcode", *codes], strict=True)]
    return write_sheets(folder, trees)


def test_metadata_never_loses_its_zeros_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plate").mkdir()
    source = with_barcodes(tmp_path / "plate")
    (tmp_path / "out").mkdir()
    run("discover", source, "-o", tmp_path / "m")
    capsys.readouterr()
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "out" / "bundle")]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "'0012' would not stay as it is" in told[0]
    assert "column 'Metadata_Barcode'" in told[0]
    assert list((tmp_path / "out").iterdir()) == []
    # As the message says: a preset that names the column.
    packaged = Path(discover.__file__).parents[1] / "common" / "model" / "presets" / "cellprofiler_csv.toml"
    preset = tmp_path / "mine.toml"
    preset.write_text(packaged.read_text().replace("text = []", 'text = ["Metadata_Barcode"]'))
    run("discover", source, "-o", tmp_path / "m", "--preset", preset, "--overwrite")
    run("extract", tmp_path / "m", "-o", tmp_path / "bundle")
    codes = table_at(tmp_path / "bundle" / "part-000001" / "cells.arrow")["Metadata_Barcode"].to_pylist()
    assert codes.count("0012") == 1
    assert set(codes) == {"12", "0012"}
