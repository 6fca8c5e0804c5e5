"""pct-write takes profiles and any Arrow, and its Parquet says where it comes from."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from converting import parquet_table, run, run_shell
from hypothesis import given
from hypothesis import strategies as st
from plates import Plate, write_csv
from pycytominer_transform.common.write.parquet import group_rows, row_bytes
from pycytominer_transform.tools import write

PLATE = Plate(folders=4, cells=40, features=8, sites=2, missing=0.1, nan_share=0.1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a tree of four folders."""
    return write_csv(PLATE, tmp_path_factory.mktemp("source") / "tree")


@pytest.fixture(scope="module")
def profiles(source: Path) -> Path:
    """Give the profiles of four parts."""
    return joined(source, source.parent / "whole")


def joined(source: Path, folder: Path, *, shard: str = "1/1") -> Path:
    folder.mkdir()
    run("discover", source, "-o", folder / "m", "--part-size", "1")
    run("extract", folder / "m", "-o", folder / "b", "--shard", shard)
    run("join", folder / "b", "-o", folder / "p")
    return folder / "p"


def rows_of_parts(profiles: Path) -> list[int]:
    files = sorted(path for path in profiles.iterdir() if path.name != "manifest.arrow")
    return [pa.ipc.open_file(path).read_all().num_rows for path in files]


def steps_of(path: Path) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = json.loads(pq.read_metadata(path).metadata[b"pct.provenance"])
    return steps


@pytest.mark.quick
def test_the_history_of_all_stages_with_right_counts_is_in_the_file(
    profiles: Path, source: Path, tmp_path: Path
) -> None:
    run("write", profiles, "-o", tmp_path / "out.parquet")
    steps = steps_of(tmp_path / "out.parquet")
    assert [step["tool"] for step in steps] == ["pct-discover", "pct-extract", "pct-join", "pct-write"]
    assert len({step["version"] for step in steps}) == 1
    by_hand = {
        name.lower(): sum(len(path.read_text().splitlines()) - 1 for path in source.rglob(f"{name}.csv"))
        for name in ("Image", "Cells", "Cytoplasm", "Nuclei")
    }
    written = sum(rows_of_parts(profiles))
    assert steps[0]["counts"] == {"datasets": 4, "parts": 4, "datasets_skipped": 0}
    assert steps[1]["counts"] == {"rows": by_hand, "made_null": {}, "null_words": {}}
    assert steps[2]["counts"]["joined"] == steps[3]["counts"]["rows"] == written
    assert steps[2]["counts"]["rows"] == by_hand
    assert steps[2]["counts"]["dropped"] == by_hand["cytoplasm"] - written > 0
    assert pq.read_metadata(tmp_path / "out.parquet").metadata[b"pct.preset"] == b"cellprofiler_csv"


def test_the_history_is_the_same_by_pipe_and_of_shares(profiles: Path, source: Path, tmp_path: Path) -> None:
    run("write", profiles, "-o", tmp_path / "files.parquet")
    done = run_shell(
        f"pct-discover -q --part-size 1 '{source}' | pct-extract -q | pct-join -q | pct-write -q > pipe.parquet",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    shares = [joined(source, tmp_path / str(i), shard=f"{i}/2") for i in (1, 2)]
    run("write", *shares, "-o", tmp_path / "shares.parquet")
    expected = steps_of(tmp_path / "files.parquet")
    assert steps_of(tmp_path / "pipe.parquet") == expected
    assert steps_of(tmp_path / "shares.parquet") == expected


@pytest.mark.quick
def test_a_folder_gets_one_file_for_each_part(profiles: Path, tmp_path: Path) -> None:
    run("write", profiles, "-o", tmp_path / "plate")
    run("write", profiles, "-o", tmp_path / "plate.parquet")
    files = sorted((tmp_path / "plate").iterdir())
    assert [path.name for path in files] == [f"part-{part:06d}.parquet" for part in range(1, 5)]
    assert [pq.read_metadata(path).num_rows for path in files] == rows_of_parts(profiles)
    whole = parquet_table(tmp_path / "plate.parquet").replace_schema_metadata()
    tables = [parquet_table(path).replace_schema_metadata() for path in files]
    assert pa.concat_tables(tables).equals(whole)
    for path, rows in zip(files, rows_of_parts(profiles), strict=True):
        steps = steps_of(path)
        assert [step["tool"] for step in steps] == ["pct-discover", "pct-extract", "pct-join", "pct-write"]
        assert steps[-1]["counts"] == {"rows": rows}


def test_a_folder_is_one_dataset_to_other_readers(profiles: Path, tmp_path: Path) -> None:
    import duckdb

    run("write", profiles, "-o", tmp_path / "plate")
    counted = duckdb.execute("SELECT count(*) FROM read_parquet(?)", [f"{tmp_path}/plate/*.parquet"]).fetchone()
    assert counted == (sum(rows_of_parts(profiles)),)


@pytest.mark.parametrize("case", ["twice", "one lacks", "no folder"])
def test_folders_that_are_not_all_shares_once_are_refused(
    case: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shares = [joined(source, tmp_path / str(i), shard=f"{i}/3") for i in (1, 2, 3)]
    given = {"twice": [*shares, shares[1]], "one lacks": [shares[0], shares[2]], "no folder": [*shares, tmp_path / "x"]}
    said = {"twice": "part 2 is in", "one lacks": "lack part 2 (1 of 4 parts", "no folder": "no such folder"}
    capsys.readouterr()
    assert write.main([*map(str, given[case]), "-o", str(tmp_path / "out.parquet")]) == 1
    assert said[case] in capsys.readouterr().err
    assert not (tmp_path / "out.parquet").exists()


def test_shares_that_pct_discover_made_are_whole_only_together(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = []
    for i in (1, 2, 3):
        run("discover", source, "-o", tmp_path / f"m{i}", "--part-size", "1", "--shard", f"{i}/3")
        run("extract", tmp_path / f"m{i}", "-o", tmp_path / f"b{i}")
        run("join", tmp_path / f"b{i}", "-o", tmp_path / f"p{i}")
        places.append(str(tmp_path / f"p{i}"))
    assert write.main([places[0], places[2], "-o", str(tmp_path / "some.parquet")]) == 1
    assert "lack part 2" in capsys.readouterr().err
    run("write", *places, "-o", tmp_path / "all.parquet")
    assert steps_of(tmp_path / "all.parquet")[-1]["counts"]["rows"] == parquet_table(tmp_path / "all.parquet").num_rows


def test_a_part_that_is_missing_from_its_folder_is_noticed(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = joined(source, tmp_path / "w")
    (place / "part-000003.arrow").unlink()
    assert write.main([str(place), "-o", str(tmp_path / "out.parquet")]) == 1
    assert "part-000003.arrow is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "codec"),
    [("zstd", "ZSTD"), ("snappy", "SNAPPY"), ("gzip", "GZIP"), ("lz4", "LZ4"), ("none", "UNCOMPRESSED")],
)
def test_the_codec_is_the_one_asked_for(name: str, codec: str, profiles: Path, tmp_path: Path) -> None:
    run("write", profiles, "-o", tmp_path / "out.parquet", "--compression", name)
    group = pq.read_metadata(tmp_path / "out.parquet").row_group(0)
    assert {group.column(i).compression for i in range(group.num_columns)} == {codec}
    run("write", profiles, "-o", tmp_path / "usual.parquet")
    assert parquet_table(tmp_path / "out.parquet").equals(parquet_table(tmp_path / "usual.parquet"))
    usual = pq.read_metadata(tmp_path / "usual.parquet").row_group(0)
    assert {usual.column(i).compression for i in range(usual.num_columns)} == {"LZ4"}


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_the_bytes_are_the_same_each_time(compression: str, profiles: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    for out in (first, second):
        run("write", profiles, "-o", out, "--compression", compression, "--row-group-rows", "10")
    assert pq.read_metadata(first).num_row_groups > 10
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("rows", [1, 7, 50, 10_000])
def test_row_groups_have_the_rows_asked_for(rows: int, profiles: Path, tmp_path: Path) -> None:
    run("write", profiles, "-o", tmp_path / "out.parquet", "--row-group-rows", str(rows))
    metadata = pq.read_metadata(tmp_path / "out.parquet")
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sum(sizes) == sum(rows_of_parts(profiles))
    assert set(sizes[:-1]) <= {rows}
    assert 0 < sizes[-1] <= rows


@pytest.mark.parametrize("float32", [False, True])
def test_measurements_are_split_by_bytes_and_all_else_has_dictionaries(
    float32: bool, source: Path, tmp_path: Path
) -> None:
    run("discover", source, "-o", tmp_path / "m")
    run("extract", tmp_path / "m", "-o", tmp_path / "b", *["--float32"] * float32)
    run("join", tmp_path / "b", "-o", tmp_path / "p")
    run("write", tmp_path / "p", "-o", tmp_path / "out.parquet")
    file = pq.ParquetFile(tmp_path / "out.parquet")
    group = file.metadata.row_group(0)
    assert pa.types.is_floating(file.schema_arrow.field("Cells_AreaShape_Area").type)
    for place, field in enumerate(file.schema_arrow):
        encodings = set(group.column(place).encodings)
        wanted = {"BYTE_STREAM_SPLIT"} if pa.types.is_floating(field.type) else {"RLE_DICTIONARY"}
        assert encodings & {"BYTE_STREAM_SPLIT", "RLE_DICTIONARY"} == wanted, field.name


def test_every_column_has_statistics_that_are_right(profiles: Path, tmp_path: Path) -> None:
    run("write", profiles, "-o", tmp_path / "out.parquet")
    table, group = parquet_table(tmp_path / "out.parquet"), pq.read_metadata(tmp_path / "out.parquet").row_group(0)
    for i, name in enumerate(table.column_names):
        statistics = group.column(i).statistics
        values = [value for value in table[name].to_pylist() if value is not None]
        assert statistics.null_count == table[name].null_count
        assert (statistics.min, statistics.max) == (min(values), max(values))
    assert any(column.null_count for column in table.columns)


types = st.sampled_from([pa.int64(), pa.float64(), pa.float32(), pa.string(), pa.bool_(), pa.list_(pa.int64())])


@given(kinds=st.lists(types, max_size=4000), before=st.integers(0, 1 << 32))
def test_row_groups_grow_with_the_file_from_4_to_256_mb_of_values(kinds: list[pa.DataType], before: int) -> None:
    schema = pa.schema([(str(i), kind) for i, kind in enumerate(kinds)])
    size = sum(kind.bit_width // 8 if pa.types.is_primitive(kind) else 32 for kind in kinds)
    each = row_bytes(schema)
    for rows, least in ((group_rows(each, 0), 4_000_000), (group_rows(each, 1 << 40), 256_000_000)):
        assert 4096 <= rows <= 1 << 20
        if 4096 < rows < 1 << 20:
            assert rows * size <= least < (rows + 1) * size
    first, most = group_rows(each, 0), group_rows(each, 1 << 40)
    assert group_rows(each, before) == min(max(first, before // 32), most)


@pytest.mark.endurance
def test_row_groups_of_a_growing_file(tmp_path: Path) -> None:
    rows = 300_000
    wide = pa.table({f"Cells_{i}": pa.array([float(i)] * rows) for i in range(150)})
    with pa.ipc.new_file(tmp_path / "wide.arrow", wide.schema) as writer:
        writer.write_table(wide, max_chunksize=777)
    run("write", tmp_path / "wide.arrow", "-o", tmp_path / "out.parquet")
    metadata = pq.read_metadata(tmp_path / "out.parquet")
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sum(sizes) == rows
    assert sizes[:32] == [4096] * 32
    for number, size in enumerate(sizes[:-1]):
        assert size == max(4096, sum(sizes[:number]) // 32)
    assert parquet_table(tmp_path / "out.parquet").equals(wide)


FOREIGN = pa.table(
    {
        "n": pa.array([1, None, 3], pa.int16()),
        "s": pa.array(["a", None, "ü"]).dictionary_encode(),
        "t": pa.array([datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)] * 3, pa.timestamp("us", "UTC")),
        "l": [[1.0, None], [], None],
        "d": [{"a": 1, "b": "x"}] * 3,
        "big": pa.array(["x", "y", None], pa.large_string()),
    }
)


def foreign(path: Path, kind: str, tables: list[pa.Table]) -> Path:
    schema = tables[0].schema
    with path.open("wb") as sink:
        make = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
        with make(sink, schema) as writer:
            for table in tables:
                writer.write_table(table)
    return path


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("how", ["path", "stdin"])
@pytest.mark.parametrize("batches", [0, 1, 3])
def test_any_arrow_is_written(kind: str, how: str, batches: int, tmp_path: Path) -> None:
    tables = [FOREIGN] * batches or [FOREIGN.slice(0, 0)]
    place = foreign(tmp_path / "in.arrow", kind, tables)
    if how == "path":
        run("write", place, "-o", tmp_path / "out.parquet")
    else:
        done = run_shell("pct-write -q -o out.parquet < in.arrow", tmp_path)
        assert done.returncode == 0, done.stderr
    given = parquet_table(tmp_path / "out.parquet")
    assert given.replace_schema_metadata().cast(FOREIGN.schema).equals(pa.concat_tables(tables))
    (step,) = steps_of(tmp_path / "out.parquet")
    assert (step["tool"], step["counts"]) == ("pct-write", {"rows": 3 * batches})


def test_foreign_arrow_goes_into_a_folder_as_one_part(tmp_path: Path) -> None:
    run("write", foreign(tmp_path / "in.arrow", "stream", [FOREIGN, FOREIGN]), "-o", tmp_path / "out")
    (file,) = (tmp_path / "out").iterdir()
    assert parquet_table(file).num_rows == 6


def test_a_folder_of_foreign_files_is_one_table(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i in (2, 1, 3):
        foreign(tmp_path / "in" / f"{i}.arrow", "file", [pa.table({"i": [i]})])
    run("write", tmp_path / "in", "-o", tmp_path / "out.parquet")
    assert parquet_table(tmp_path / "out.parquet")["i"].to_pylist() == [1, 2, 3]


@pytest.mark.parametrize("stage", ["m", "b/manifest.arrow", "b/part-000001/cells.arrow"])
def test_what_another_stage_makes_is_no_profiles(
    stage: str, profiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write.main([str(profiles.parent / stage), "-o", str(tmp_path / "out.parquet")]) == 1
    assert "not profiles; " in capsys.readouterr().err
    assert not (tmp_path / "out.parquet").exists()


def test_a_plate_without_any_cell_has_all_columns(tmp_path: Path) -> None:
    tree = write_csv(replace(PLATE, empty=1.0), tmp_path / "tree")
    place = joined(tree, tmp_path / "w")
    run("write", place, "-o", tmp_path / "out.parquet")
    run("write", place, "-o", tmp_path / "out")
    for table in (parquet_table(tmp_path / "out.parquet"), parquet_table(next((tmp_path / "out").iterdir()))):
        assert table.num_rows == 0
        assert {"Metadata_ObjectNumber", "Cells_AreaShape_Area", "Image_FileName_DNA"} & set(table.column_names)


def test_a_type_that_parquet_lacks_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pa.table({"x": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
    with pa.OSFile(str(tmp_path / "foreign.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert write.main([str(tmp_path / "foreign.arrow"), "-o", str(tmp_path / "out.parquet")]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "month_day_nano_interval" in told[0]
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.arrow"]
