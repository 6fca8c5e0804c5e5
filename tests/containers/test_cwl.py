"""The CWL workflow gives what the pipe gives, with the executables and with the images."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from converting import Convert, Options
from engines import CONTAINERS, DEMO, STAGES, engine, run
from images import need_images
from plates import Plate
from plates_sqlite import SqliteStyle, write_sqlite

pytestmark = pytest.mark.containers

CWL = CONTAINERS / "cwl"
PARTS = ["--part-size", "1"]


@pytest.fixture(params=["executables", "docker"])
def words(request: pytest.FixtureRequest) -> list[str]:
    """Give the beginning of a command line that runs the tools in one way or the other."""
    cwltool = engine("cwltool")
    if request.param == "executables":
        return [cwltool, "--no-container"]
    need_images()
    return [cwltool, "--strict-memory-limit", "--strict-cpu-limit"]


def inputs(folder: Path, source: Path, **more: object) -> Path:
    """Write an inputs file as convert.yaml has it."""
    kind = "Directory" if source.is_dir() else "File"
    given = {"source": {"class": kind, "path": str(source)}, "part_size": "1", "output": "plate.parquet"}
    path = folder / "inputs.json"
    path.write_text(json.dumps(given | {"threads": 1} | more))
    return path


def test_the_workflow_gives_what_the_pipe_gives(words: list[str], tmp_path: Path, convert: Convert) -> None:
    given = inputs(tmp_path, DEMO, shards=[1, 2], memory="500MB", join_options=["--unmatched", "keep"])
    ended = run([*words, "--outdir", "made", CWL / "convert.cwl", given], tmp_path)
    assert ended.returncode == 0, ended.stdout
    wanted = convert(DEMO, "pipe", Options(discover=PARTS, join=["--unmatched", "keep"]))
    assert (tmp_path / "made" / "plate.parquet").read_bytes() == wanted.read_bytes()
    assert "</html>" in (tmp_path / "made" / "report.html").read_text()


def test_a_source_that_is_one_file(words: list[str], tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "plate.sqlite"
    write_sqlite(Plate(folders=3, cells=10, features=5), source, SqliteStyle("cellprofiler_sqlite"))
    ended = run([*words, "--outdir", "made", CWL / "convert.cwl", inputs(tmp_path, source, shards=[1, 2])], tmp_path)
    assert ended.returncode == 0, ended.stdout
    wanted = convert(source, "pipe", Options(discover=PARTS))
    assert (tmp_path / "made" / "plate.parquet").read_bytes() == wanted.read_bytes()


def test_a_folder_of_files_by_part_with_a_platemap(tmp_path: Path) -> None:
    (tmp_path / "dose.csv").write_text("Well,Metadata_Dose\nA01,1\n")
    platemap = {"class": "File", "path": str(tmp_path / "dose.csv")}
    given = inputs(tmp_path, DEMO, output="by-part", platemap=platemap)
    ended = run([engine("cwltool"), "--no-container", "--outdir", "made", CWL / "convert.cwl", given], tmp_path)
    assert ended.returncode == 0, ended.stdout
    parts = list((tmp_path / "made" / "by-part").glob("part-*.parquet"))
    assert len(parts) == 6
    assert all("Metadata_Dose" in pq.read_schema(part).names for part in parts)


@pytest.mark.parametrize(
    ("shards", "said"), [([1, 1], "several folders must be shares of one source"), ([1, 3], "3/2")]
)
def test_shares_that_do_not_make_a_whole_are_refused(shards: list[int], said: str, tmp_path: Path) -> None:
    given = inputs(tmp_path, DEMO, shards=shards)
    ended = run([engine("cwltool"), "--no-container", "--outdir", "made", CWL / "convert.cwl", given], tmp_path)
    assert ended.returncode != 0
    assert said in ended.stdout
    assert not (tmp_path / "made" / "plate.parquet").exists()


@pytest.mark.parametrize("name", ["convert", *(f"pct-{stage}" for stage in (*STAGES, "report"))])
def test_the_files_are_valid(name: str, tmp_path: Path) -> None:
    ended = run([engine("cwltool"), "--validate", CWL / f"{name}.cwl"], tmp_path)
    assert ended.returncode == 0, ended.stdout
    assert "warning" not in ended.stdout.lower(), ended.stdout


def test_the_example_inputs_are_those_of_the_workflow(tmp_path: Path) -> None:
    example = (CWL / "convert.yaml").read_text().replace("path: plate}", f"path: {DEMO}}}")
    (tmp_path / "convert.yaml").write_text(example)
    ended = run([engine("cwltool"), "--no-container", CWL / "convert.cwl", "convert.yaml"], tmp_path)
    assert ended.returncode == 0, ended.stdout
    assert (tmp_path / "plate.parquet").exists()
