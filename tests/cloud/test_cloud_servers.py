"""The servers themselves: they store, list and forget, know what is unfinished, and end with the test run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cloud_processes import answers
from cloud_servers import Bucket


def test_objects_are_stored_listed_and_removed(bucket: Bucket) -> None:
    assert bucket.put("a/ b+ö%/1.csv", b"one") == f"{bucket.url}/a/ b+ö%/1.csv"
    bucket.put("b.csv", b"")
    assert bucket.keys() == ["a/ b+ö%/1.csv", "b.csv"]
    assert (bucket.get("a/ b+ö%/1.csv"), bucket.get("b.csv")) == (b"one", b"")
    bucket.put("b.csv", b"two")
    bucket.delete("a/ b+ö%/1.csv")
    assert (bucket.keys(), bucket.get("b.csv")) == (["b.csv"], b"two")


def test_a_folder_is_stored_as_it_is(bucket: Bucket, tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / "tree" / str(number)).mkdir(parents=True)
        (tmp_path / "tree" / str(number) / "Cells.csv").write_text(str(number))
    assert bucket.upload_tree(tmp_path / "tree", "x/y/") == f"{bucket.url}/x/y/"
    assert bucket.keys("x/y/1/") == ["x/y/1/Cells.csv"]
    assert len(bucket.keys()) == 40
    assert bucket.get("x/y/17/Cells.csv") == b"17"


def test_buckets_share_nothing(bucket: Bucket) -> None:
    bucket.put("a", b"")
    assert bucket.server.new_bucket().keys() == []


STAY = """
import sys, time
from cloud_s3 import s3_server
with s3_server() as server:
    server.new_bucket().put("a", b"b" * 1000)
    print(server.origin, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_ends_with_the_run_that_is_killed(tmp_path: Path, how: signal.Signals) -> None:
    path = os.pathsep.join(sys.path)
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": path}
    run = subprocess.Popen([sys.executable, "-c", STAY], env=environment, stdout=subprocess.PIPE, text=True)
    assert run.stdout
    origin = run.stdout.readline().strip()
    (folder,) = tmp_path.glob("pct-cloud-*")
    assert answers(origin)
    run.send_signal(how)
    run.communicate()
    deadline = time.monotonic() + 60
    while answers(origin) or folder.exists():
        assert time.monotonic() < deadline, f"{origin} is still there"
        time.sleep(0.05)
