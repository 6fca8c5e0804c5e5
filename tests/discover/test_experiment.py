"""What CellProfiler says of its run travels to every output: `pct.experiment`."""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from converting import Convert, run
from hypothesis import given
from hypothesis import strategies as st
from plates import Plate, write_csv
from plates_sqlite import SqliteStyle, write_sqlite
from pycytominer_transform.common.discover.experiment import bounded
from pycytominer_transform.common.ipc.manifest_files import read_manifest

PLATE = Plate(folders=3, cells=3, features=2)
PIPELINE = 'CellProfiler Pipeline: http://www.cellprofiler.org\nVersion:5\n\n    Name:"µ, quoted"\n'
ENTRIES = {"CellProfiler_Version": "4.2.6", "Metadata_Tags": '["ImageNumber"]', "Pipeline_Pipeline": PIPELINE}


def write_experiment(path: Path, entries: dict[str, str]) -> Path:
    """Write a file as ExportToSpreadsheet does."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("Key", "Value"), *entries.items()])
    return path


def in_parquet(path: Path) -> dict[str, str] | None:
    """Return what a Parquet file says of the experiment."""
    text = pq.read_metadata(path).metadata.get(b"pct.experiment")
    return None if text is None else json.loads(text)


def first_folder(plate: Path) -> Path:
    """Return the folder of the first dataset."""
    return min(path.parent for path in plate.rglob("Image.csv"))


def test_every_output_has_it(tmp_path: Path) -> None:
    plate = write_csv(PLATE, tmp_path / "plate")
    for folder in {path.parent for path in plate.rglob("Image.csv")}:
        own = ENTRIES if folder == first_folder(plate) else {"CellProfiler_Version": "other"}
        write_experiment(folder / "Experiment.csv", own)
    run("discover", plate, "-o", tmp_path / "m", "--part-size", "1")
    run("extract", tmp_path / "m", "-o", tmp_path / "b")
    run("join", tmp_path / "b", "-o", tmp_path / "p")
    run("write", tmp_path / "p", "-o", tmp_path / "x.parquet")
    run("write", tmp_path / "p", "-o", tmp_path / "x.arrow")
    run("write", tmp_path / "x.arrow", "-o", tmp_path / "again.parquet")
    run("write", tmp_path / "p", "-o", tmp_path / "folder/")
    run("write", tmp_path / "b", "--per-table", tmp_path / "tables")
    files = [tmp_path / "x.parquet", tmp_path / "again.parquet", *(tmp_path / "folder").iterdir()]
    files += (tmp_path / "tables").iterdir()
    assert len(files) > 5
    for file in files:
        assert in_parquet(file) == ENTRIES, file


def test_the_flow_writes_it_too(tmp_path: Path) -> None:
    plate = write_csv(PLATE, tmp_path / "plate")
    write_experiment(first_folder(plate) / "Experiment.csv", ENTRIES)
    assert in_parquet(Convert(tmp_path)(plate, "concurrent")) == ENTRIES


@pytest.mark.parametrize("name", ["MyExpt_Experiment.csv", "experiment.csv", "Experiment.csv.gz"])
def test_files_named_otherwise(tmp_path: Path, name: str) -> None:
    plate = write_csv(PLATE, tmp_path / "plate")
    folder = first_folder(plate)
    if name.startswith("MyExpt_"):
        for file in list(plate.rglob("*.csv")):
            file.rename(file.with_name(f"MyExpt_{file.name}"))
    path = write_experiment(folder / name.removesuffix(".gz"), ENTRIES)
    if name.endswith(".gz"):
        (folder / name).write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    run("discover", plate, "-o", tmp_path / "m")
    assert dict(read_manifest(str(tmp_path / "m")).experiment) == ENTRIES


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("Experiment.csv", b""),
        ("Experiment.csv", b"\0\xff" * 1000),
        ("Experiment.csv", b"Key,Value\nonly one\na,b,c\n"),
        ("Experiment.csv.gz", b"no gzip"),
        ("Experiment.csv.gz", gzip.compress(b"a" * 10_000_000)),
    ],
)
def test_a_damaged_file_is_no_fault_of_the_source(tmp_path: Path, name: str, content: bytes) -> None:
    plate = write_csv(PLATE, tmp_path / "plate")
    (first_folder(plate) / name).write_bytes(content)
    run("discover", plate, "-o", tmp_path / "m")
    manifest = read_manifest(str(tmp_path / "m"))
    assert manifest.datasets_total == 3
    assert all(set(key) <= {"\0", "\ufffd"} for key, _ in manifest.experiment)


@pytest.mark.parametrize("prefix", ["", "MyExpt_"])
def test_tables_of_export_to_database(tmp_path: Path, prefix: str) -> None:
    file = tmp_path / "plate.sqlite"
    write_sqlite(PLATE, file, SqliteStyle("cellprofiler_sqlite"))
    with sqlite3.connect(file) as database:
        for (name,) in (
            database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() if prefix else ()
        ):
            database.execute(f'ALTER TABLE "{name}" RENAME TO "{prefix}{name}"')
        database.execute(f"CREATE TABLE {prefix}Per_Experiment (CellProfiler_Version TEXT, Pipeline_Pipeline TEXT)")
        database.execute(f"INSERT INTO {prefix}Per_Experiment VALUES (?, ?)", ["4.2.6", PIPELINE])
        database.execute("CREATE TABLE Experiment_Properties (experiment_id, object_name, field, value)")
        database.execute("INSERT INTO Experiment_Properties VALUES (1, 'Cells', 'plate_id', 'P1')")
    database.close()
    run("discover", file, "-o", tmp_path / "m")
    expected = {"CellProfiler_Version": "4.2.6", "Pipeline_Pipeline": PIPELINE, "Cells.plate_id": "P1"}
    assert dict(read_manifest(str(tmp_path / "m")).experiment) == expected


@given(entries=st.dictionaries(st.text(), st.text()), size=st.integers(0, 200_000))
def test_its_size_is_bounded(entries: dict[str, str], size: int) -> None:
    kept = bounded({"long": "x" * size, **entries})
    assert sum(map(len, (*kept, *kept.values()))) <= 64_000
    json.dumps(kept).encode()
    assert "\ud800" not in "".join(kept.values())
    if size > 64_000 and "long" not in entries:
        assert kept["long"] == f"left out: {size} characters"
        assert {key: value for key, value in kept.items() if key != "long"} == entries
