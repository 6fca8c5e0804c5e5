"""Whatever way a source is converted, the same columns, rows and row groups come out, to the last bit."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from converting import MIXTURES, Convert, Options, differences, parquet_table, row_groups, run, run_shell
from plates import Plate, write_csv
from plates_sqlite import SqliteStyle, write_sqlite

PLATE = Plate(folders=5, cells=25, features=10, missing=0.1, nan_share=0.1, sites=2, images=2)
# Row groups that end within parts, so that they would differ if they followed the parts.
SMALL_GROUPS = ("--row-group-rows", "37")
SPLIT = ("--part-size", "1")
PARTS = 5

KINDS = ("csv", "cellprofiler_sqlite", "cytominer_database")


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give one plate as a tree of folders and as files of both SQLite kinds."""
    folder = tmp_path_factory.mktemp("sources")
    return {
        "csv": write_csv(PLATE, folder / "tree"),
        "cellprofiler_sqlite": write_sqlite(
            PLATE, folder / "cp.sqlite", SqliteStyle("cellprofiler_sqlite", order="shuffled")
        ),
        "cytominer_database": write_sqlite(
            PLATE, folder / "cd.sqlite", SqliteStyle("cytominer_database", order="interleaved", table_number="text")
        ),
    }


@pytest.fixture(scope="session")
def references(sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give what each source becomes by files, in one part, on one thread."""
    convert = Convert(tmp_path_factory.mktemp("references"))
    one = Options(discover=("--part-size", "1TB"), extract=("--threads", "1"), join=("--threads", "1"))
    return {kind: convert(source, options=replace(one, write=SMALL_GROUPS)) for kind, source in sources.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_has_rows_and_several_row_groups(references: dict[str, Path], kind: str) -> None:
    groups = row_groups(references[kind])
    assert len(groups) > PARTS
    assert {group[0] for group in groups[:-1]} == {37}


def test_the_comparison_notices_another_order_of_rows(
    references: dict[str, Path], sources: dict[str, Path], tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    table = parquet_table(references["csv"])
    pq.write_table(table.take([*range(table.num_rows - 2), table.num_rows - 1, table.num_rows - 2]), tmp_path / "x")
    assert "column Metadata_ObjectNumber" in differences(references["csv"], tmp_path / "x")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("size", ["1", "40kB", "1TB"])
def test_parts_and_threads(
    sources: dict[str, Path], references: dict[str, Path], convert: Convert, kind: str, threads: str, size: str
) -> None:
    many = ("--threads", threads)
    options = Options(discover=("--part-size", size), extract=many, join=many, write=SMALL_GROUPS)
    assert differences(references[kind], convert(sources[kind], options=options)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.quick
def test_the_pipe(sources: dict[str, Path], references: dict[str, Path], convert: Convert, kind: str) -> None:
    options = Options(discover=SPLIT, write=SMALL_GROUPS)
    piped = convert(sources[kind], "pipe", options)
    assert differences(references[kind], piped) == []
    assert piped.read_bytes() == convert(sources[kind], "files", options).read_bytes()


@pytest.mark.parametrize("links", MIXTURES)
def test_any_mixture_of_streams_and_files_gives_the_same_bytes(
    sources: dict[str, Path], convert: Convert, links: str
) -> None:
    options = Options(discover=SPLIT, write=SMALL_GROUPS)
    mixed = convert(sources["csv"], links, options)
    assert mixed.read_bytes() == convert(sources["csv"], "files", options).read_bytes()


def test_streams_kept_in_files_are_inputs_like_any_other(
    sources: dict[str, Path], references: dict[str, Path], tmp_path: Path
) -> None:
    script = (
        f"pct-discover -q --part-size 1 '{sources['csv']}' > m\npct-extract -q m > b\npct-join -q < b > p\n"
        "pct-write -q p --row-group-rows 37 > out.parquet"
    )
    done = run_shell(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert differences(references["csv"], tmp_path / "out.parquet") == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", ["discover", "extract"])
def test_shards_joined_into_one(
    sources: dict[str, Path], references: dict[str, Path], tmp_path: Path, kind: str, stage: str
) -> None:
    profiles = []
    for share in (1, 2, 3):
        shard = ("--shard", f"{share}/3")
        place = tmp_path / str(share)
        place.mkdir()
        run("discover", sources[kind], "-o", place / "m", *SPLIT, *(shard if stage == "discover" else ()))
        run("extract", place / "m", "-o", place / "b", *(shard if stage == "extract" else ()))
        run("join", place / "b", "-o", place / "p")
        profiles.append(place / "p")
    # In an order that is not that of the parts.
    run("write", profiles[2], profiles[0], profiles[1], "-o", tmp_path / "out.parquet", *SMALL_GROUPS)
    assert differences(references[kind], tmp_path / "out.parquet") == []


@pytest.mark.parametrize(
    "runner",
    ["sequential", pytest.param("concurrent", marks=pytest.mark.quick), pytest.param("dask", marks=pytest.mark.dask)],
)
@pytest.mark.prefect
def test_pct_flow_on_each_runner(
    sources: dict[str, Path], references: dict[str, Path], convert: Convert, runner: str, tmp_path: Path
) -> None:
    """As a process with a Prefect server of its own; other tests run flows in their own process."""
    workers = () if runner == "sequential" else ("--workers", "4" if runner == "concurrent" else "2")
    words = ["--runner", runner, *SPLIT, *workers, *SMALL_GROUPS]
    done = run_shell(f"pct-flow -q '{sources['csv']}' -o out.parquet {shlex.join(words)}", tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert differences(references["csv"], tmp_path / "out.parquet") == []
    plain = convert(sources["csv"], options=Options(discover=SPLIT, write=SMALL_GROUPS))
    assert (tmp_path / "out.parquet").read_bytes() == plain.read_bytes()
