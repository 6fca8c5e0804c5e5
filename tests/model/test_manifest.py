"""The manifest says all there is to know of a source, travels, and is cut into parts and shares without loss."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from converting import differences, run
from hypothesis import given
from hypothesis import strategies as st
from plates import Plate, write_csv
from plates_sqlite import write_sqlite
from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.ipc.manifest_files import read_manifest
from pycytominer_transform.common.model.manifest import (
    MANIFEST_VERSION,
    Column,
    Manifest,
    Source,
    Step,
    TableSchema,
    manifest_from_arrow,
    manifest_to_arrow,
)
from pycytominer_transform.common.model.preset import load_preset
from pycytominer_transform.tools import extract

PLATE = Plate(folders=6, cells=8, features=6, sites=2)

texts = st.text(st.characters(codec="utf-8"), max_size=8)
numbers = st.integers(0, (1 << 63) - 1)
sources_strategy = st.builds(
    Source,
    part=st.integers(1, 9),
    dataset=texts,
    table_number=st.integers(1, 99),
    table=texts,
    path=texts.map(lambda text: text.strip("/.").replace("\0", "").replace("..", "")),
    format=st.sampled_from(["csv", "sqlite"]),
    sqlite_table=texts,
    row_ranges=st.lists(st.tuples(numbers, numbers), max_size=3).map(tuple),
    rows=st.integers(-1, 1 << 40),
    bytes=numbers,
    fingerprint=texts,
)
columns = st.builds(Column, source=texts, name=texts, type=st.sampled_from(["int64", "float64", "float32", "string"]))
steps = st.builds(
    Step,
    tool=texts,
    version=texts,
    options=st.dictionaries(texts, st.one_of(texts, numbers, st.booleans(), st.lists(numbers))),
    counts=st.dictionaries(texts, st.integers(0, 1 << 53)),
)
column_lists = st.lists(columns, min_size=1, unique_by=(lambda each: each.source, lambda each: each.name))
tables_strategy = st.lists(
    st.builds(TableSchema, table=texts, prefix=texts, columns=column_lists.map(tuple)),
    min_size=1,
    max_size=3,
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Draw a manifest whose sources are those of its tables."""
    tables = draw(tables_strategy)
    names = st.sampled_from([schema.table for schema in tables])
    sources = [
        msgspec.structs.replace(source, table=draw(names)) for source in draw(st.lists(sources_strategy, max_size=6))
    ]
    return Manifest(
        source=draw(texts),
        preset=load_preset(draw(st.sampled_from(["cellprofiler_csv", "cellprofiler_sqlite", "cytominer_database"]))),
        tables=tuple(tables),
        sources=tuple(sources),
        parts_total=draw(st.integers(0, 99)),
        datasets_total=draw(st.integers(0, 99)),
        provenance=tuple(draw(st.lists(steps, max_size=2))),
    )


@given(manifest=manifests())
def test_a_manifest_comes_back_from_arrow_as_it_went(manifest: Manifest) -> None:
    assert manifest_from_arrow(manifest_to_arrow(manifest), "here") == manifest


@given(manifest=manifests(), count=st.integers(1, 12))
def test_shares_hold_every_part_once(manifest: Manifest, count: int) -> None:
    shares = [manifest.shard(index, count) for index in range(1, count + 1)]
    assert sorted(part for share in shares for part in share.parts) == manifest.parts
    for share in shares:
        assert share.sources == tuple(source for source in manifest.sources if source.part in share.parts)
    assert max(len(share.parts) for share in shares) - min(len(share.parts) for share in shares) <= 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.replace_schema_metadata({}), "is not a manifest"),
        (lambda table: table.drop_columns(["bytes"]), "other columns"),
        (
            lambda table: with_json(table, f'"version":{MANIFEST_VERSION}', '"version":99'),
            "of version 99; this program knows",
        ),
        (lambda table: with_json(table, '"version":1', '"version":99'), "preset version 99"),
        (lambda table: with_json(table, '"parts_total"', '"parts_in_all"'), "unknown field `parts_in_all`"),
        (lambda table: with_json(table, '"type":"float64"', '"type":"decimal"'), "'decimal' - at `\\$.tables"),
        (lambda table: with_json(table, '"datasets_total":1', '"datasets_total":"1"'), "at `\\$.datasets_total`"),
        (lambda table: with_column(table, "path", "/etc/passwd"), "leads out of the source"),
        (lambda table: with_column(table, "path", "a/../../b"), "leads out of the source"),
        (lambda table: with_column(table, "format", "xlsx"), "'xlsx' - at `\\$\\[0\\].format`"),
        (lambda table: with_column(table, "table", "golgi"), "unknown table"),
        (
            lambda table: with_json(table, '"cell_id_columns":["Metadata_Plate"', '"cell_id_columns":["Plate"'),
            "cell IDs",
        ),
        (
            lambda table: with_json(table, '"source":"ImageNumber","name"', '"source":"ObjectNumber","name"'),
            "has two columns of one name",
        ),
        (lambda table: with_column(table, "bytes", -2), "Expected `int` >= 0 - at `\\$\\[0\\].bytes`"),
        (lambda table: with_column(table, "part", 0), "Expected `int` >= 1 - at `\\$\\[0\\].part`"),
        (lambda table: with_column(table, "bytes", None), "Expected `int`, got `null` - at `\\$\\[0\\].bytes`"),
    ],
)
def test_another_manifest_is_refused(change: object, said: str, tmp_path: Path) -> None:
    table = manifest_to_arrow(discovered(write_csv(replace(PLATE, folders=1), tmp_path / "tree"), tmp_path / "m"))
    with pytest.raises(DataError, match=said):
        manifest_from_arrow(change(table), "m")  # type: ignore[operator]


def with_json(table: pa.Table, old: str, new: str) -> pa.Table:
    text = table.schema.metadata[b"pct.manifest"].decode()
    assert old in text
    return table.replace_schema_metadata({**table.schema.metadata, b"pct.manifest": text.replace(old, new).encode()})


def with_column(table: pa.Table, name: str, value: object) -> pa.Table:
    rows = [row | {name: value} for row in table.to_pylist()]
    return pa.Table.from_pylist(rows, table.schema)


def discovered(source: Path, place: Path, *words: str) -> Manifest:
    run("discover", source, "-o", place, "--overwrite", *words)
    return read_manifest(str(place))


def test_a_manifest_describes_every_file_by_its_relative_path(tmp_path: Path) -> None:
    tree = write_csv(PLATE, tmp_path / "tree")
    manifest = discovered(tree, tmp_path / "m")
    assert manifest.source == str(tree)
    assert {source.path for source in manifest.sources} == {str(p.relative_to(tree)) for p in tree.rglob("*.csv")}
    assert (manifest.datasets_total, manifest.parts_total) == (6, 1)
    for source in manifest.sources:
        status = (tree / source.path).stat()
        assert (source.bytes, source.fingerprint) == (status.st_size, f"{status.st_size}-{status.st_mtime_ns}")
        assert source.dataset == str(Path(source.path).parent)
    datasets = sorted({source.dataset for source in manifest.sources})
    assert [dict((s.dataset, s.table_number) for s in manifest.sources)[name] for name in datasets] == [*range(1, 7)]


@pytest.mark.parametrize("size", ["1", "10kB", "25kB", "1GB"])
def test_a_part_is_the_fewest_neighbouring_folders_that_fill_it(tmp_path: Path, size: str) -> None:
    manifest = discovered(write_csv(PLATE, tmp_path / "tree"), tmp_path / "m", "--part-size", size)
    wanted = {"1": 1, "10kB": 10_000, "25kB": 25_000, "1GB": 10**9}[size]
    parts = {part: manifest.sources_of(part) for part in manifest.parts}
    assert manifest.parts == [*range(1, manifest.parts_total + 1)]
    datasets = [sorted({source.dataset for source in sources}) for sources in parts.values()]
    assert [name for names in datasets for name in names] == sorted({source.dataset for source in manifest.sources})
    for number, sources in parts.items():
        by_dataset = {name: sum(s.bytes for s in sources if s.dataset == name) for name in datasets[number - 1]}
        filled = sum(by_dataset.values())
        assert filled >= wanted or number == manifest.parts_total
        assert filled - by_dataset[datasets[number - 1][-1]] < wanted


def test_shares_by_the_option_are_those_of_the_manifest(tmp_path: Path) -> None:
    tree = write_csv(PLATE, tmp_path / "tree")
    whole = discovered(tree, tmp_path / "m", "--part-size", "1")
    shares = [discovered(tree, tmp_path / f"m{i}", "--part-size", "1", "--shard", f"{i}/4") for i in range(1, 5)]
    assert [share.parts for share in shares] == [[1, 5], [2, 6], [3], [4]]
    assert all(share.parts_total == whole.parts_total == 6 for share in shares)
    assert all(share.tables == whole.tables and share.datasets_total == 6 for share in shares)


def test_more_shares_than_parts_leave_some_with_nothing_to_do(tmp_path: Path) -> None:
    tree = write_csv(replace(PLATE, folders=2), tmp_path / "tree")
    run("discover", tree, "-o", tmp_path / "m", "--part-size", "1", "--shard", "5/5")
    run("extract", tmp_path / "m", "-o", tmp_path / "b")
    run("join", tmp_path / "b", "-o", tmp_path / "p")
    assert read_manifest(str(tmp_path / "p")).parts == []


@pytest.mark.parametrize("kind", ["tree", "file", "folder of files"])
def test_a_source_that_was_moved_is_found_by_the_source_option(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "here" / ("plate.sqlite" if kind == "file" else "tree")
    place.parent.mkdir()
    if kind == "tree":
        write_csv(PLATE, place)
    else:
        folder = place if kind == "folder of files" else place.parent
        folder.mkdir(exist_ok=True)
        write_sqlite(PLATE, folder / "plate.sqlite")
    run("discover", place, "-o", tmp_path / "m")
    run("extract", tmp_path / "m", "-o", tmp_path / "before")
    moved = tmp_path / "there" / place.name
    shutil.move(place.parent, moved.parent)
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "nowhere")]) == 1
    assert not (tmp_path / "nowhere").exists()
    run("extract", tmp_path / "m", "-o", tmp_path / "after", "--source", moved)
    for name in ("before", "after"):
        run("join", tmp_path / name, "-o", tmp_path / f"{name}-profiles")
        run("write", tmp_path / f"{name}-profiles", "-o", tmp_path / f"{name}.parquet")
    assert differences(tmp_path / "before.parquet", tmp_path / "after.parquet") == []


def test_a_folder_of_staged_links_is_as_good_as_the_source(tmp_path: Path) -> None:
    tree = write_csv(PLATE, tmp_path / "tree")
    run("discover", tree, "-o", tmp_path / "m")
    for file in tree.rglob("*.csv"):
        link = tmp_path / "staged" / file.relative_to(tree)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    run("extract", tmp_path / "m", "-o", tmp_path / "b", "--source", tmp_path / "staged")
    assert read_manifest(str(tmp_path / "b")).parts == [1]
