"""`--dask-cluster FILE`: what such a file may say. Jobs are submitted for real in tests/containers/test_slurm.py."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from plates import Plate, write_csv
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.flow.dask_batch_jobs import CLUSTERS, read_dask_cluster
from pycytominer_transform.tools import flow
from serving import PATIENCE, Jobs, end_group

CLUSTER = 'cluster = "dask_jobqueue.SLURMCluster"'
ARGUMENTS = '[arguments]\ncores = 2\nmemory = "1GB"'
PACKAGED = Path(__file__).parents[2] / "containers" / "slurm" / "cluster.toml"


def written(folder: Path, *lines: str) -> str:
    path = folder / "cluster.toml"
    path.write_text("\n".join(lines))
    return str(path)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["jobs = "], "is not TOML"),
        (["workers = 2", CLUSTER], "unknown key 'workers'; a cluster has cluster, jobs, timeout, arguments"),
        (["jobs = 2"], "cluster is ''; it may be dask_jobqueue. and one of HTCondorCluster, "),
        (['cluster = "os.system"'], "cluster is 'os.system'"),
        (['cluster = "dask_jobqueue.core.Job"'], "cluster is 'dask_jobqueue.core.Job'"),
        (["cluster = []"], "cluster is []"),
        ([CLUSTER, "jobs = 0"], "jobs is 0; it must be a whole number above 0"),
        ([CLUSTER, "jobs = true"], "jobs is True"),
        ([CLUSTER, "timeout = 0"], "timeout is 0; it must be a number of seconds above 0"),
        ([CLUSTER, 'timeout = "1h"'], "timeout is '1h'; it must be a number of seconds above 0"),
        ([CLUSTER, "timeout = true"], "timeout is True"),
        ([CLUSTER, "arguments = 3"], "arguments must be a table"),
    ],
)
def test_keys_are_checked(tmp_path: Path, lines: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=r"cluster\.toml") as raised:
        read_dask_cluster(written(tmp_path, *lines))
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([ARGUMENTS, 'walltim = "1:00"'], "unknown argument 'walltim'; SLURMCluster has account, "),
        ([ARGUMENTS, 'name = "mine"'], "unknown argument 'name'"),
        (
            ["[arguments]", "cores = 2"],
            "SLURMCluster refuses its arguments: You must specify how much cores and memory",
        ),
        (["[arguments]", 'cores = "2"'], "cores is '2'; it must be a whole number above 0"),
        ([ARGUMENTS, "processes = 0"], "processes is 0"),
        ([ARGUMENTS, 'worker_extra_args = "--lifetime"'], "worker_extra_args must be a list of strings"),
        ([ARGUMENTS, "scheduler_options = 1"], "scheduler_options must be a table"),
        (["[arguments]", "cores = 2", 'memory = "much"'], "SLURMCluster refuses its arguments: "),
    ],
)
def test_arguments_are_those_of_the_class(tmp_path: Path, lines: list[str], told: str) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    with pytest.raises(UsageError, match=r"cluster\.toml") as raised:
        read_dask_cluster(written(tmp_path, CLUSTER, *lines))
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_classes_are_those_that_there_are() -> None:
    jobqueue = pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    there = {name for name in vars(jobqueue) if name.endswith("Cluster")} - {"JobQueueCluster"}
    assert set(CLUSTERS) == there


def test_the_example_lacks_only_a_batch_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    words = [str(tmp_path), "-o", "out.parquet", "--runner", "dask", "--dask-cluster", str(PACKAGED)]
    assert flow.main(words) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].endswith("there is no sbatch here, by which SLURMCluster submits jobs; run where that is")


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(UsageError, match=r"pip install 'pycytominer-transform\[slurm\]'"):
        read_dask_cluster(written(tmp_path, CLUSTER, ARGUMENTS))


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plate = str(write_csv(Plate(folders=1, cells=2, features=2), tmp_path / "plate"))
    assert flow.main([plate, "-o", "out.parquet", "--runner", "dask", "--dask-cluster", "nowhere.toml"]) == 2
    assert (
        capsys.readouterr().err == "pct-flow: error: cannot read the cluster nowhere.toml: No such file or directory\n"
    )


@pytest.mark.endurance
@pytest.mark.prefect
def test_a_signal_ends_the_wait_for_jobs(jobs: Jobs, tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    # A batch system that takes jobs and never begins them.
    for command in ("sbatch", "scancel"):
        (tmp_path / command).write_text("#!/bin/sh\necho Submitted batch job 7\n")
        (tmp_path / command).chmod(0o755)
    plate = write_csv(Plate(folders=1, cells=2, features=2), tmp_path / "plate")
    cluster = written(tmp_path, CLUSTER, ARGUMENTS)
    words = [str(plate), "-o", str(tmp_path / "out.parquet"), "--runner", "dask", "--dask-cluster", cluster]
    environment = jobs.environment()
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "pct-flow"), *words],
        env=environment | {"PATH": f"{tmp_path}:{environment['PATH']}"}, cwd=tmp_path, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert "submitted 1 job (7) as Dask workers" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=PATIENCE)[1]
    finally:
        end_group(process)
    assert process.returncode == 143, told
    assert told == "pct-flow: error: terminated; nothing was left under the output's name\n"
    assert not [path for path in tmp_path.iterdir() if "out.parquet" in path.name]
