"""Snakemake runs the workflow with executables and with containers, and goes on after a kill where it was."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from converting import Convert, Options
from engines import CONTAINERS, DEMO, PATIENCE, engine, environment, run
from images import docker, need_images

pytestmark = pytest.mark.containers

SNAKEFILE = CONTAINERS / "snakemake" / "Snakefile"
PARTS = ["--part-size", "1"]
PLATEMAP = "Well,Metadata_Dose\nA01,1\nA02,2\nA03,3\n"


@dataclass(frozen=True)
class Job:
    """The workflow in a folder of its own, with two shares."""

    folder: Path
    container: str
    settings: tuple[str, ...] = ()

    @property
    def output(self) -> Path:
        return self.folder / "plate.parquet"

    def words(self, *more: str) -> list[str]:
        given = [
            f"source={DEMO}",
            "output=plate.parquet",
            "part_size=1",
            "shards=2",
            f"container={self.container}",
            *self.settings,
        ]
        return [engine("snakemake"), "-s", str(SNAKEFILE), "--cores", "1", *more, "--config", *given]

    def run(self, *more: str) -> str:
        """Run it to its end and give what Snakemake said."""
        ended = run(self.words("--show-failed-logs", *more), self.folder)
        assert ended.returncode == 0, ended.stdout
        return ended.stdout


@pytest.fixture(params=["", "docker"], ids=["executables", "docker"])
def container(request: pytest.FixtureRequest) -> str:
    """Give the way the tools run."""
    engine("snakemake")
    if request.param:
        need_images()
    return str(request.param)


def test_the_workflow_gives_what_the_pipe_gives(container: str, tmp_path: Path, convert: Convert) -> None:
    platemap = tmp_path / "maps" / "dose.csv"
    platemap.parent.mkdir()
    platemap.write_text(PLATEMAP)
    job = Job(tmp_path, container, (f"platemap={platemap}",))
    said = job.run()
    wanted = convert(DEMO, "pipe", Options(discover=PARTS, join=["--platemap", str(platemap)]))
    assert job.output.read_bytes() == wanted.read_bytes()
    warnings = [line for line in said.splitlines() if line.startswith("pct-join: warning: ")]
    assert sum(int(re.findall(r"(\d+) objects? dropped", line)[0]) for line in warnings) == 5
    assert "pct-join: cells: " not in said
    assert not (tmp_path / "work" / "plate" / "bundle").exists()
    assert "Nothing to be done" in job.run()
    # Snakemake's own report takes the plate's.
    job.run("--report", "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as report:
        assert [name for name in report.namelist() if name.endswith("plate.html")], report.namelist()


def test_several_plates_in_one_run(tmp_path: Path, convert: Convert) -> None:
    platemap = tmp_path / "dose.csv"
    platemap.write_text(PLATEMAP)
    sheet = tmp_path / "plates.csv"
    sheet.write_text(f"plate,source,platemap\none,{DEMO},{platemap}\ntwo,{DEMO},\n")
    job = Job(tmp_path, "", (f"samplesheet={sheet}", "output=results/{plate}.parquet", "shards=1"))
    said = job.run()
    assert said.count("pct-join: warning: ") >= 2
    for plate, words in (("one", ["--platemap", str(platemap)]), ("two", [])):
        wanted = convert(DEMO, "pipe", Options(discover=PARTS, join=words))
        assert (tmp_path / "results" / f"{plate}.parquet").read_bytes() == wanted.read_bytes()
        assert (tmp_path / "results" / f"{plate}.html").stat().st_size
    platemap.write_text(PLATEMAP.replace("A01,1", "A01,7"))
    again = run(job.words("--dry-run"), tmp_path).stdout
    assert (again.count("rule join:"), again.count("wildcards: plate=two")) == (1, 0)


@pytest.mark.parametrize(
    ("rows", "output", "said"),
    [
        ("one,a,\none,b,\n", "{plate}.parquet", "two rows are of the plate one"),
        (",a,\n", "{plate}.parquet", "every row needs a plate and a source"),
        ("one,a,\n", "plate.parquet", "output has to name {plate}"),
    ],
)
def test_a_samplesheet_that_cannot_be_meant_is_refused(rows: str, output: str, said: str, tmp_path: Path) -> None:
    sheet = tmp_path / "plates.csv"
    sheet.write_text(f"plate,source,platemap\n{rows}")
    job = Job(tmp_path, "", (f"samplesheet={sheet}", f"output={output}"))
    ended = run(job.words(), tmp_path)
    assert ended.returncode != 0
    assert said in ended.stdout


def test_the_workflow_runs_in_charliecloud(tmp_path: Path, convert: Convert) -> None:
    job = Job(tmp_path, "charliecloud", (f"image={_unpacked_image(tmp_path / 'image')}",))
    job.run()
    assert job.output.read_bytes() == convert(DEMO, "pipe", Options(discover=PARTS)).read_bytes()


def test_another_option_is_taken_and_only_what_follows_from_it_made_again(tmp_path: Path, convert: Convert) -> None:
    engine("snakemake")
    Job(tmp_path, "").run()
    changed = Job(tmp_path, "", ("join=--unmatched keep",))
    said = changed.run()
    assert "rule discover" not in said
    wanted = convert(DEMO, "pipe", Options(discover=PARTS, join=["--unmatched", "keep"]))
    assert changed.output.read_bytes() == wanted.read_bytes()


def test_a_killed_run_goes_on_where_it_was(container: str, tmp_path: Path, convert: Convert) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    platemap = maps / "platemap.csv"
    os.mkfifo(platemap)
    job = Job(tmp_path, container, (f"join=--platemap {platemap}", f'mounts=["{maps}"]'))
    log = tmp_path / "killed.txt"
    # Somebody who is about to write the platemap: pct-join waits for it, also after Snakemake is gone.
    writer = _killed_while_joining(job, platemap, log)
    try:
        before = (tmp_path / "work" / "plate" / "manifest.arrow").stat()
        assert not job.output.exists()
        (maps / "whole.csv").write_text(PLATEMAP)
        (maps / "whole.csv").replace(platemap)
        if container:
            assert _containers(tmp_path), "the killed run's container should still wait for its platemap"
        assert run([*job.words("--unlock")], tmp_path).returncode == 0
        said = job.run("--rerun-incomplete")
    finally:
        os.close(writer)
    after = (tmp_path / "work" / "plate" / "manifest.arrow").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    # What the kill found half extracted is made again, not what was being joined.
    joined = _shards("join", log.read_text())
    assert joined
    assert not joined & _shards("extract", said)
    assert _shards("join", said) == {"1", "2"}
    wanted = convert(DEMO, "pipe", Options(discover=PARTS, join=["--platemap", str(platemap)]))
    assert job.output.read_bytes() == wanted.read_bytes()
    assert not _containers(tmp_path)


def _shards(rule: str, said: str) -> set[str]:
    """List the shares for which a run of Snakemake began a rule."""
    return set(re.findall(rf"rule {rule}:.*?wildcards: plate=\S+, shard=(\d+)", said, re.DOTALL))


def _unpacked_image(folder: Path) -> Path:
    """Unpack the image that holds all tools as Charliecloud takes it, or skip."""
    if not all(map(shutil.which, ("ch-run", "ch-convert"))):
        pytest.skip("charliecloud is not there: apt-get install charliecloud-runtime charliecloud-builders")
    engine("snakemake")
    need_images()
    unpacked = run(["ch-convert", "-i", "docker", "-o", "dir", "pct-flow:latest", folder], folder.parent)
    assert unpacked.returncode == 0, unpacked.stdout
    if run(["ch-run", folder, "--", "true"], folder).returncode:
        pytest.skip("ch-run may not make user namespaces here")
    return folder


def _killed_while_joining(job: Job, platemap: Path, log: Path) -> int:
    """Start the workflow and kill it when a pct-join runs; gives the open end of the pipe that it reads from."""
    with log.open("w") as said:
        running = subprocess.Popen(
            job.words(), cwd=job.folder, env=environment(), stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            start_new_session=True,
        )  # fmt: skip

    def release_when_it_ends() -> None:
        with suppress(subprocess.TimeoutExpired):
            running.wait(PATIENCE)
        with suppress(OSError):
            os.close(os.open(platemap, os.O_RDONLY | os.O_NONBLOCK))

    watcher = threading.Thread(target=release_when_it_ends, daemon=True)
    watcher.start()
    writer = os.open(platemap, os.O_WRONLY)
    assert running.poll() is None, log.read_text()
    os.killpg(running.pid, signal.SIGKILL)
    watcher.join(PATIENCE)
    return writer


def _containers(folder: Path) -> list[str]:
    """List the running containers that see a folder."""
    words = [docker(), "ps", "--quiet", "--filter", f"volume={folder / 'work'}"]
    return run(words, folder).stdout.split()
