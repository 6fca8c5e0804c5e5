"""`--cast` gives columns the types that were asked for, exactly, in every format; keys keep theirs."""

from __future__ import annotations

import csv
import json
import sqlite3
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from converting import Convert, Options, differences, parquet_table, run
from hypothesis import given
from hypothesis import strategies as st
from npz_files import METADATA, plate_file
from plates_sheets import Tables, measured_name, set_column, small_tables, write_sheets, write_sqlite_sheets
from plates_sqlite import SqliteStyle
from pycytominer_transform.common.extract.casting import Cast, parse_cast
from pycytominer_transform.common.model.column_types import TYPES
from pycytominer_transform.tools import extract, flow

ODD = ["0012", "1e-3", "+7", " 5", "0.10", "-0", "nan", ""]


def casts(*words: str) -> tuple[str, ...]:
    return tuple(part for word in words for part in ("--cast", word))


def odd_plate() -> dict[str, Tables]:
    """Give folders whose first measurement of nuclei is written in odd ways."""
    trees = small_tables()
    for tables in trees.values():
        set_column(tables["Nuclei"], measured_name(tables["Nuclei"]), ODD)
    return trees


def bundle_column(bundle: Path, table: str, name: str) -> pa.ChunkedArray:
    files = sorted(bundle.glob(f"part-*/{table}.arrow"))
    return pa.concat_tables(pa.ipc.open_file(path).read_all() for path in files)[name]


def extracted(source: Path, folder: Path, *words: str) -> Path:
    run("discover", source, "-o", folder / "m", "--overwrite")
    run("extract", folder / "m", "-o", folder / "b", "--overwrite", *words)
    return folder / "b"


def refused(source: Path, folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    run("discover", source, "-o", folder / "m", "--overwrite")
    capsys.readouterr()
    code = extract.main([str(folder / "m"), "-o", str(folder / "b"), *words])
    assert not (folder / "b").exists()
    return code, capsys.readouterr().err


@pytest.mark.parametrize("how", ["streams", "concurrent"])
@pytest.mark.quick
def test_a_csv_s_text_arrives_as_it_stands_in_the_file(how: str, tmp_path: Path, convert: Convert) -> None:
    trees = odd_plate()
    source = write_sheets(tmp_path / "source", trees)
    name = measured_name(next(iter(trees.values()))["Nuclei"])
    options = Options(discover=("--part-size", "1"), extract=casts(f"^Nuclei_{name}$=string"))
    made = convert(source, how, options)
    texts = parquet_table(made)[f"Nuclei_{name}"]
    assert texts.type == pa.string()
    place = next(iter(trees.values()))["Nuclei"][0].index(name)
    standing = [line[place] for tables in trees.values() for line in tables["Nuclei"][1:]]
    assert sorted(texts.to_pylist()) == sorted(standing)
    assert set(ODD[:5]) <= set(standing)
    assert differences(made, convert(source, "files", options)) == []
    step = json.loads(parquet_table(made).schema.metadata[b"pct.provenance"])[1]
    assert step["options"]["cast"] == [f"^Nuclei_{name}$=string"]


def test_image_columns_and_names_of_the_source_are_found_and_the_last_cast_counts(
    tmp_path: Path, convert: Convert
) -> None:
    source = write_sheets(tmp_path / "source", small_tables())
    words = ("--float32", *casts("AreaShape=string", "^AreaShape_=float64", "Metadata_Site=string", "^Height_=string"))
    table = parquet_table(convert(source, options=Options(extract=words, join=("--image-columns", "all"))))
    plain = parquet_table(convert(source, options=Options(join=("--image-columns", "all"))))
    areas = [name for name in table.column_names if "_AreaShape_" in name]
    assert areas
    for name in areas:
        assert table[name].equals(plain[name])
    assert table["Metadata_Site"].to_pylist() == list(map(str, plain["Metadata_Site"].to_pylist()))
    assert set(table["Image_Height_DNA"].to_pylist()) == {"1080"}
    others = [f for f in table.schema if f.name.startswith("Nuclei_") and f.name not in areas]
    assert pa.float32() in {f.type for f in others}
    assert pa.float64() not in {f.type for f in others}


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("Nuclei_AreaShap_Aera", "did you mean Nuclei_AreaShape_Area?"),
        ("ImageNumber", "Metadata_ImageNumber numbers images or objects"),
        ("Cytoplasm_Parent_Cells$", "numbers images or objects"),
    ],
)
def test_patterns_that_find_nothing_to_cast_are_refused(
    pattern: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_sheets(tmp_path / "source", small_tables())
    code, err = refused(source, tmp_path, capsys, *casts(f"{pattern}=string"))
    assert code == 2
    assert f"--cast {pattern}=string: " in err
    assert said in err
    assert len(err.splitlines()) == 1
    words = [str(source), "-o", str(tmp_path / "o.parquet"), *casts(f"{pattern}=string"), "--quiet"]
    assert flow.main(words) == 2
    assert said in capsys.readouterr().err


def test_keys_among_what_is_found_keep_their_types(tmp_path: Path, convert: Convert) -> None:
    source = write_sheets(tmp_path / "source", small_tables())
    plain, table = (parquet_table(convert(source, options=Options(extract=w))) for w in ((), casts("=.*=x|.=string")))
    changed = {f.name for f in table.schema if f.type != plain.schema.field(f.name).type}
    kept = {f.name for f in table.schema} - changed
    assert {f.type for f in table.schema if f.name in changed} == {pa.string()}
    assert {n for n in kept if plain.schema.field(n).type != pa.string()} == {
        "Metadata_TableNumber", "Metadata_ImageNumber", "Metadata_ObjectNumber",
        "Metadata_Cytoplasm_Parent_Cells", "Metadata_Cytoplasm_Parent_Nuclei", "Metadata_Cells_Parent_Nuclei",
    }  # fmt: skip
    assert table.num_rows == plain.num_rows


@pytest.mark.parametrize("tool", [extract, flow], ids=["extract", "flow"])
@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("A=int", "'int' is not a type; there are int64, float64, float32, string, bool"),
        ("(=int64", "'(' is not a regular expression"),
        ("int64", "'int64' is not COLUMN_REGEX=TYPE"),
        ("=int64", "'=int64' is not COLUMN_REGEX=TYPE"),
    ],
)
def test_words_that_are_no_cast_are_a_fault_of_the_command_line(
    tool: Any, word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main(["nowhere", "-o", "nowhere.parquet", "--cast", word]) == 2
    assert said in capsys.readouterr().err


@given(st.from_regex(r"[A-Za-z_=.]+", fullmatch=True), st.sampled_from(TYPES))
def test_what_stands_before_the_last_equals_sign_is_the_pattern(pattern: str, kind: Any) -> None:
    assert parse_cast(f"{pattern}={kind}") == Cast(pattern, kind)
    assert str(parse_cast(f"{pattern}={kind}")) == f"{pattern}={kind}"


def test_whole_numbers_may_be_written_as_fractions_and_others_are_bad_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trees = small_tables()
    first = next(iter(trees.values()))["Nuclei"]
    name = measured_name(first)
    for tables in trees.values():
        set_column(tables["Nuclei"], name, ["3.0", "-1e2", "7", "nan", "", "9007199254740993"] + ["1.000"] * 99)
    wanted = [3, -100, 7, None, None, 9007199254740993]
    words = casts(f"Nuclei_{name}=int64")
    given = bundle_column(
        extracted(write_sheets(tmp_path / "source", trees), tmp_path, *words), "nuclei", f"Nuclei_{name}"
    )
    assert given.type == pa.int64()
    assert given.to_pylist()[:6] == wanted
    set_column(first, name, ["3.5"])
    source = write_sheets(tmp_path / "again", trees)
    (tmp_path / "b").rename(tmp_path / "before")
    code, err = refused(source, tmp_path, capsys, *words)
    assert (code, len(err.splitlines())) == (1, 1)
    assert "Nuclei.csv, row 2, " in err
    assert "'3.5' is not a whole number" in err
    nulled = extracted(source, tmp_path, *words, "--on-bad-value", "null")
    assert bundle_column(nulled, "nuclei", f"Nuclei_{name}").to_pylist()[:6] == [None, *wanted[1:]]
    assert f"made 1 value null that were no numbers: {name} (1)" in capsys.readouterr().err


def test_metadata_that_was_asked_for_as_numbers_is_numbers(tmp_path: Path, convert: Convert) -> None:
    trees = small_tables()
    for number, tables in enumerate(trees.values()):
        set_column(tables["Image"], "Metadata_Plate", [["0012", "7.0", "1"][number]])
        set_column(tables["Image"], "Metadata_Site", [["1", "0", "Yes"][number]])
    source = write_sheets(tmp_path / "source", trees)
    table = parquet_table(convert(source, options=Options(extract=casts("Metadata_Plate=int64", "Metadata_Site=bool"))))
    assert table.schema.field("Metadata_Plate").type == pa.int64()
    pairs = zip(table["Metadata_Plate"].to_pylist(), table["Metadata_Site"].to_pylist(), strict=True)
    assert set(pairs) == {(12, True), (7, False), (1, True)}


def test_combined_files_are_cast_as_separate_ones_are(tmp_path: Path, shared_data: Path) -> None:
    for kind in ("object", "cells"):
        place = tmp_path / kind / "source" / "1"
        place.mkdir(parents=True)
        for name in ("image", "object") if kind == "object" else ("image", "Cells", "Cytoplasm", "Nuclei"):
            (place / f"{name}.csv").write_bytes((shared_data / "data_a" / "1" / f"{name}.csv").read_bytes())
    with (shared_data / "data_a" / "1" / "Cells.csv").open() as file:
        wanted = [row["AreaShape_Area"] for row in csv.DictReader(file)]
    for kind in ("object", "cells"):
        bundle = extracted(tmp_path / kind / "source", tmp_path / kind, *casts("Cells_AreaShape_Area$=string"))
        given = bundle_column(bundle, "cells", "Cells_AreaShape_Area").to_pylist()
        assert given == wanted, kind


def sqlite_plate(folder: Path, values: Mapping[str, list[Any]]) -> Path:
    """Write a folder as SQLite whose nuclei have one more column, with these values from the first row on."""
    source = write_sqlite_sheets(
        folder / "plate.sqlite", next(iter(small_tables().values())), SqliteStyle("cytominer_database"), ["1"]
    )
    connection = sqlite3.connect(source)
    with connection:
        for name, listed in values.items():
            connection.execute(f"ALTER TABLE Nuclei ADD COLUMN {name}")
            rows = [row[0] for row in connection.execute("SELECT rowid FROM Nuclei ORDER BY rowid")]
            pairs = zip(listed, rows, strict=False)
            connection.executemany(f"UPDATE Nuclei SET {name} = ? WHERE rowid = ?", list(pairs))
    connection.close()
    return source


@pytest.fixture(params=["driver", "python"])
def log(request: pytest.FixtureRequest) -> Any:
    """Give what makes a file be read by one of the two readers: one with a write-ahead log is read by Python alone."""
    held = []

    def prepare(source: Path) -> Path:
        if request.param == "python":
            connection = sqlite3.connect(source, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE more (x)")
            held.append(connection)
            assert source.with_name(f"{source.name}-wal").stat().st_size
        return source

    yield prepare
    for connection in held:
        connection.close()


def test_sqlite_values_are_cast_exactly(log: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reals = [0.1 + 0.2, 1.0, None, 1e300, -5e-324]
    source = sqlite_plate(
        tmp_path, {"Nuclei_XA": reals, "Nuclei_XB": [1, 0, None, "Yes", "nan"], "Nuclei_XC": [3, "4.0"]}
    )
    words = casts("Nuclei_XA=string", "Nuclei_XB=bool", "Nuclei_XC=int64", "Image_Metadata_Site=float32")
    bundle = extracted(log(source), tmp_path, *words)
    assert bundle_column(bundle, "nuclei", "Nuclei_XA").to_pylist()[:5] == [
        None if v is None else repr(v) for v in reals
    ]
    assert bundle_column(bundle, "nuclei", "Nuclei_XB").to_pylist()[:5] == [True, False, None, True, None]
    given = bundle_column(bundle, "nuclei", "Nuclei_XC")
    assert (given.type, given.to_pylist()[:2]) == (pa.int64(), [3, 4])
    assert bundle_column(bundle, "image", "Image_Metadata_Site").type == pa.float32()


@pytest.mark.parametrize(("value", "kind"), [(2, "bool"), (0.5, "bool"), (0.5, "int64"), ("x", "float64")])
def test_sqlite_values_that_do_not_fit_are_named(
    value: Any, kind: str, log: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = log(sqlite_plate(tmp_path, {"Nuclei_XA": [1, value]}))
    code, err = refused(source, tmp_path, capsys, *casts(f"Nuclei_XA={kind}"))
    assert (code, len(err.splitlines())) == (1, 1)
    assert f"row 2, column 'Nuclei_XA': {value!r} is not" in err
    bundle = extracted(source, tmp_path, *casts(f"Nuclei_XA={kind}"), "--on-bad-value", "null")
    given = bundle_column(bundle, "nuclei", "Nuclei_XA")
    assert (given.to_pylist()[:2], str(given.type)) == ([1, None], kind.replace("float64", "double"))


def single(value: float) -> float:
    """Give the number that a 32-bit float keeps of one."""
    kept: float = struct.unpack("f", struct.pack("f", value))[0]
    return kept


@pytest.mark.parametrize("by_column", [False, True])
def test_arrays_and_metadata_of_npz_files_are_cast(
    by_column: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [[0.1, 2.0, 1.0], [float("nan"), -3.0, 0.0], [7.5, 4.0, 1.0]]
    source = tmp_path / "source"
    plate_file(source / "a.npz", rows, [[1.5, 2.5]] * 3, {**METADATA, "Metadata_Site": 5, "Depth": 1.5})
    words = casts(
        "efficientnet_1=string", "efficientnet_2=int64", "efficientnet_3=bool", "Metadata_Site=string",
        "Metadata_Plate=int64", "Location_Center_X=string",
    )  # fmt: skip
    bundle = extracted(source, tmp_path, *words)
    columns = {
        "efficientnet_1": [repr(single(0.1)), None, "7.5"], "efficientnet_2": [2, -3, 4],
        "efficientnet_3": [True, False, True], "Metadata_Site": ["5"] * 3, "Metadata_Plate": [12] * 3,
        "Location_Center_X": ["1.5"] * 3, "Location_Center_Y": [2.5] * 3,
    }  # fmt: skip
    for name, wanted in columns.items():
        assert bundle_column(bundle, "cells", name).to_pylist() == wanted, name
    (tmp_path / "b").rename(tmp_path / "before")
    for pattern, said in (
        ("efficientnet_1", "row 1, column 'efficientnet_1': 0.1"),
        ("Depth", "row 1, column 'Depth': 1.5"),
    ):
        code, err = refused(source, tmp_path, capsys, *casts(f"{pattern}=int64"))
        assert (code, len(err.splitlines())) == (1, 1)
        assert said in err
    bundle = extracted(source, tmp_path, *casts("Depth=int64"), "--on-bad-value", "null")
    assert bundle_column(bundle, "cells", "Depth").null_count == 3
    assert "Depth (3)" in capsys.readouterr().err


def test_columns_of_in_carta_are_cast(tmp_path: Path, shared_data: Path) -> None:
    bundle = extracted(
        shared_data / "in_carta", tmp_path, *casts("^OBJECT ID$=string", "^Row$=string", "Slice Indicator=string")
    )
    wanted: dict[str, list[str]] = {"OBJECT ID": [], "Slice Indicator": []}
    for path in sorted((shared_data / "in_carta").iterdir()):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                for name, texts in wanted.items():
                    texts.append(row[name])
    for name, texts in wanted.items():
        assert bundle_column(bundle, "objects", name).to_pylist() == texts


def test_a_part_of_other_casts_is_made_again(tmp_path: Path) -> None:
    source = write_sheets(tmp_path / "source", small_tables())
    words = [str(source), "-o", str(tmp_path / "o.parquet"), "--part-size", "1", "--quiet", "--overwrite"]
    words += ["--work-dir", str(tmp_path / "work"), "--keep-work", "--runner", "sequential"]
    assert flow.main(words) == 0
    assert flow.main([*words, *casts("Metadata_Site=string")]) == 0
    assert parquet_table(tmp_path / "o.parquet").schema.field("Metadata_Site").type == pa.string()


def test_metadata_of_paths_are_cast_as_columns_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees = {f"p{number}/0{number}": tables for number, tables in enumerate(small_tables().values())}
    for tables in trees.values():
        place = tables["Image"][0].index("Metadata_Plate")
        tables["Image"] = [line[:place] + line[place + 1 :] for line in tables["Image"]]
    source = write_sheets(tmp_path / "source", trees)
    (source / "p2" / "02").rename(source / "p2" / "2.5")
    expression = ("--path-metadata", "(?P<Plate>p[0-9])/(?P<Run>[0-9.]+)$")
    run("discover", source, "-o", tmp_path / "m", *expression)
    wanted = {"float64": [0.0, 1.0, 2.5], "float32": [0.0, 1.0, 2.5], "string": ["00", "01", "2.5"]}
    for kind, values in wanted.items():
        run("extract", tmp_path / "m", "-o", tmp_path / kind, *casts(f"Metadata_Run={kind}"))
        given = bundle_column(tmp_path / kind, "cells", "Metadata_Run")
        assert str(given.type) == {"float64": "double", "float32": "float"}.get(kind, kind)
        assert sorted(set(given.to_pylist())) == values
    capsys.readouterr()
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "b"), *casts("Metadata_Plate=bool")]) == 2
    assert "--cast: Metadata_Plate is 'p0' by the path of p0/00, no bool" in capsys.readouterr().err
