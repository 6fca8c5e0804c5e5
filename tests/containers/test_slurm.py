"""Slurm: the batch scripts and `--dask-cluster` on a real cluster of one node, started for the tests alone."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from services import CONTAINERS, ONE_FOLDER_A_PART, PATIENCE, ROOT, environment, plain, run, write_plate
from waiting import wait_until

pytestmark = pytest.mark.containers
SCRIPTS = CONTAINERS / "slurm"
STRANGER = str(ROOT / "tests" / "support" / "stranger.py")
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")

SETTINGS = """\
ClusterName=pct
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=32000
PartitionName=main Nodes=ALL Default=YES State=UP
"""


@dataclass
class Slurm:
    """A running cluster of one node."""

    settings: Path

    def environment(self, **more: str) -> dict[str, str]:
        return environment(SLURM_CONF=str(self.settings), **more)

    def run(self, *words: object, **more: str) -> str:
        return run(words, env=self.environment(**more), cwd=ROOT)

    def idle(self) -> bool:
        asked = subprocess.run(["sinfo", "-h", "-o", "%t"], env=self.environment(), capture_output=True, text=True)
        return asked.stdout.strip() == "idle"

    def state(self, job: str) -> str:
        """Give the states of a job, and of all tasks of an array, each once."""
        told = self.run("scontrol", "show", "job", "--oneliner", job)
        return " ".join(sorted({word[9:] for word in told.split() if word.startswith("JobState=")}))

    def finish(self, job: str) -> str:
        """Wait until a job has ended, and give its states."""
        unfinished = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING"}
        wait_until(lambda: not unfinished & set(self.state(job).split()), f"end of job {job}")
        return self.state(job)

    def submit(self, source: Path, out: Path, shares: int, **more: str) -> dict[str, str]:
        """Run submit.sh, and give the job of each stage."""
        told = self.run(SCRIPTS / "submit.sh", source, out, shares, **more)
        lines = [line.split(": job ") for line in told.splitlines()]
        return {stage.split()[0]: job.split(";")[0] for stage, job in lines}


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    if missing := [name for name in DAEMONS if shutil.which(name, path=environment()["PATH"]) is None]:
        pytest.skip(f"{missing[0]} is not there: apt-get install slurm-wlm munge")
    if os.getuid() != 0:
        pytest.skip("Slurm's daemons need root")
    # A short path, for the socket's name may have 107 letters.
    with tempfile.TemporaryDirectory(prefix="pct-slurm-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # Everybody must reach munged's socket.
        folder.chmod(0o755)
        for place in ("state", "spool"):
            (folder / place).mkdir()
        ports = [free_port(), free_port()]
        cluster = Slurm(folder / "slurm.conf")
        cluster.settings.write_text(SETTINGS.format(host=socket.gethostname(), folder=folder, ports=ports))
        processes = []
        try:
            for words in (munge_words(folder), ["slurmctld", "-D", "-c"], ["slurmd", "-D", "-c"]):
                with (folder / f"{words[0]}.log").open("wb") as log:
                    processes.append(subprocess.Popen(words, env=cluster.environment(), stdout=log, stderr=log))
                if words[0] == "munged":
                    wait_until(lambda: (folder / "munge.socket").is_socket() or ended(processes), "munged")
            wait_until(lambda: cluster.idle() or ended(processes), "idle node")
            yield cluster
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in reversed(processes):
                process.wait(30)


def ended(processes: list[subprocess.Popen[bytes]]) -> bool:
    """Fail where a daemon has ended, rather than wait for it."""
    assert [process.args for process in processes if process.poll() is not None] == []
    return False


def munge_words(folder: Path) -> list[str]:
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    places = {"key-file": key} | {f"{name}-file": folder / f"munge.{name}" for name in ("pid", "seed")}
    return ["munged", "--foreground", f"--socket={folder}/munge.socket", *(f"--{o}={p}" for o, p in places.items())]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plate(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def expected(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return plain(plate, tmp_path_factory.mktemp("plain"))


def test_one_job_makes_convert(slurm: Slurm, plate: Path, expected: bytes, tmp_path: Path) -> None:
    out, log = tmp_path / "plate1.parquet", tmp_path / "log.txt"
    job = slurm.run(
        "sbatch", "--parsable", f"--output={log}", SCRIPTS / "convert.sbatch", plate, out,
        VENV=sys.prefix, ARGS=" ".join(ONE_FOLDER_A_PART),
    ).strip()  # fmt: skip
    assert slurm.finish(job) == "COMPLETED", log.read_text()
    assert out.read_bytes() == expected
    assert {path.name for path in tmp_path.iterdir()} == {out.name, "plate1.html", log.name}


def test_array_and_gathering_job(slurm: Slurm, plate: Path, expected: bytes, tmp_path: Path) -> None:
    out = tmp_path / "plate1.parquet"
    # More shares than parts: the last one is empty.
    jobs = slurm.submit(plate, out, 6, DISCOVER_OPTIONS=" ".join(ONE_FOLDER_A_PART))
    assert list(jobs) == ["discover", "shares", "gather"]
    assert [slurm.finish(job) for job in jobs.values()] == ["COMPLETED"] * 3
    assert out.read_bytes() == expected
    assert {path.name for path in tmp_path.iterdir()} == {out.name}


def test_failed_task_is_submitted_again_alone(slurm: Slurm, expected: bytes, plate: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "plate1", tmp_path / "out.parquet"
    shutil.copytree(plate, source)
    work = tmp_path / "out.parquet.slurm-work"
    work.mkdir()
    slurm.run("pct-discover", "-q", source, "-o", work / "manifest.arrow", *ONE_FOLDER_A_PART)
    lost = sorted(source.rglob("Cells.csv"))[1]
    hidden = lost.rename(tmp_path / "Cells.csv")
    jobs = slurm.submit(source, out, 3)
    assert list(jobs) == ["shares", "gather"]
    assert slurm.finish(jobs["shares"]) == "COMPLETED FAILED"
    assert slurm.finish(jobs["gather"]) == "CANCELLED"
    assert "Cells.csv" in (work / "logs" / f"pct-share-{jobs['shares']}-2.txt").read_text()
    assert not (work / "share-2-of-3").exists()
    assert {path.name for path in work.glob("share-*")} == {"share-1-of-3", "share-3-of-3"}

    hidden.rename(lost)
    again = slurm.submit(source, out, 3)
    told = slurm.run("scontrol", "show", "job", "--oneliner", again["shares"]).split()
    assert [word for word in told if word.startswith("ArrayTaskId=")] == ["ArrayTaskId=2"]
    assert [slurm.finish(job) for job in again.values()] == ["COMPLETED"] * 2
    assert out.read_bytes() == expected


def test_flow_with_jobs_for_workers(slurm: Slurm, plate: Path, expected: bytes, tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    example = (SCRIPTS / "cluster.toml").read_text()
    settings = example.replace("jobs = 4", "jobs = 2").replace("cores = 8", "cores = 1").replace("16GB", "2GB")
    (tmp_path / "cluster.toml").write_text(settings)
    words = ["pct-flow", plate, "-o", "out.parquet", "--runner", "dask", "--dask-cluster", "cluster.toml"]
    run([*words, *ONE_FOLDER_A_PART], env=slurm.environment(), cwd=tmp_path)
    assert (tmp_path / "out.parquet").read_bytes() == expected
    said = [log.read_text() for log in (tmp_path / "slurm-logs").glob("pct-flow-*.err")]
    assert len(said) == 2
    assert any("Registered to" in text for text in said)
    wait_until(slurm.idle, "end of the workers' jobs")


def test_another_user_does_not_get_into_a_flow_with_jobs_for_workers(
    slurm: Slurm, plate: Path, expected: bytes, tmp_path: Path
) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    (tmp_path / "cluster.toml").write_text(
        'cluster = "dask_jobqueue.SLURMCluster"\n[arguments]\ncores = 1\nmemory = "2GB"\nlog_directory = "slurm-logs"\n'
    )
    words = ["pct-flow", str(plate), "-o", "out.parquet", "--runner", "dask", "--dask-cluster", "cluster.toml"]
    # Jobs wait while the partition is down, and the flow for its first worker.
    slurm.run("scontrol", "update", "PartitionName=main", "State=DOWN")
    flow = subprocess.Popen(
        [*words, *ONE_FOLDER_A_PART], env=slurm.environment(), cwd=tmp_path, stdin=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: slurm.run("squeue", "-h", "-t", "PENDING", "-o", "%A") != "", "a job of the flow")
        job = slurm.run("squeue", "-h", "-t", "PENDING", "-o", "%A").split()[0]
        script = slurm.run("scontrol", "write", "batch_script", job, "-")
        address = next(word for word in script.split() if word.startswith("tls://"))
        for place, certificate in ((address.replace("tls://", "tcp://"), "none"), (address, "own")):
            told = run([sys.executable, STRANGER, place, certificate], cwd=Path("/"))
            assert told in ("refused CommClosedError\n", "refused FatalCommClosedError\n")
        # The keys are in files that the script names, and in no text of Slurm's.
        options = script.split()
        keys = [Path(place) for option, place in pairwise(options) if option in ("--tls-key", "--tls-cert")]
        assert [path.stat().st_mode & 0o077 for path in keys] == [0, 0]
        assert "PRIVATE KEY" not in script
    finally:
        slurm.run("scontrol", "update", "PartitionName=main", "State=UP")
        assert flow.wait(PATIENCE) == 0
    assert (tmp_path / "out.parquet").read_bytes() == expected
    wait_until(slurm.idle, "end of the workers' jobs")


def test_job_that_slurm_refuses_is_named(slurm: Slurm, plate: Path, tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    (tmp_path / "cluster.toml").write_text(
        'cluster = "dask_jobqueue.SLURMCluster"\n[arguments]\ncores = 1\nmemory = "1GB"\nqueue = "nowhere"\n'
    )
    ran = subprocess.run(
        ["pct-flow", str(plate), "-o", "out.parquet", "--runner", "dask", "--dask-cluster", "cluster.toml"],
        env=slurm.environment(), cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert "SLURMCluster could not submit a job: sbatch: error: " in ran.stderr
    assert "partition" in ran.stderr
