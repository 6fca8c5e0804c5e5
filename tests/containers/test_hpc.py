"""The image under Charliecloud, as an ordinary user without any rights."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pycytominer_transform.common.model.version import tool_version
from services import CONTAINERS, ONE_FOLDER_A_PART, PATIENCE, environment, plain, run, write_plate

pytestmark = pytest.mark.containers
DOCKER = shutil.which("docker", path="/usr/bin") or "docker"
NOBODY = 65534
DEFINITION = CONTAINERS / "hpc" / "pct-flow.def"
VERSION = tool_version()


@dataclass
class User:
    """Somebody who may do nothing special, with a folder, and the image unpacked in it."""

    home: Path

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script in a shell that finds the wrappers and none of this machine's own tools."""
        who = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
        env = environment(PATH=f"{self.home}/pct/bin:/usr/bin:/bin", HOME="/nonexistent")
        env.pop("USER", None)
        return subprocess.run(
            [*(who if os.getuid() == 0 else []), "bash", "-c", f"set -eo pipefail; {script}"], cwd=self.home, env=env,
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    if shutil.which("ch-run") is None:
        pytest.skip("Charliecloud is not there: apt-get install charliecloud")
    if subprocess.run([DOCKER, "image", "inspect", "pct-flow:latest"], capture_output=True, check=False).returncode:
        pytest.skip("Docker does not run, or has no image pct-flow: make images")
    # Not below /tmp, which Charliecloud shows its containers anyway.
    with tempfile.TemporaryDirectory(prefix="pct-hpc-", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        home = Path(name)
        write_plate(home)
        container = run([DOCKER, "create", "pct-flow:latest"]).strip()
        try:
            run([DOCKER, "export", "-o", home / "pct-flow.tar", container])
        finally:
            run([DOCKER, "rm", container])
        run(["chmod", "a+r", home / "pct-flow.tar"])
        if os.getuid() == 0:
            run(["chown", "-R", f"{NOBODY}:{NOBODY}", home])
        made = User(home)
        unpacked = made.run(f"'{CONTAINERS}/hpc/charliecloud.sh' pct-flow.tar pct /var/tmp")
        if "Permission denied" in unpacked.stderr:
            # The clone lies where only its owner may look.
            script = Path(shutil.copy(CONTAINERS / "hpc" / "charliecloud.sh", home))
            unpacked = made.run(f"'{script}' pct-flow.tar pct /var/tmp")
        assert unpacked.returncode == 0, unpacked.stderr
        yield made


@pytest.fixture(scope="module")
def expected(user: User, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return plain(user.home / "plate1", tmp_path_factory.mktemp("plain"))


def test_tools_pipe_into_each_other(user: User, expected: bytes) -> None:
    ran = user.run(
        "pct-discover -q plate1 --part-size 1 | pct-extract -q | pct-join -q | pct-write -q -o piped.parquet"
    )
    assert ran.returncode == 0, ran.stderr
    assert (user.home / "piped.parquet").read_bytes() == expected


def test_flow(user: User, expected: bytes) -> None:
    ran = user.run(f"pct-flow plate1 -o flow.parquet {' '.join(ONE_FOLDER_A_PART)}")
    assert ran.returncode == 0, ran.stderr
    assert (user.home / "flow.parquet").read_bytes() == expected
    assert all(line.startswith("pct-flow: ") for line in ran.stderr.splitlines()), ran.stderr


def section(name: str) -> str:
    """Give the text of a section of Apptainer's definition."""
    _, _, rest = DEFINITION.read_text().partition(f"\n%{name}\n")
    return rest.partition("\n%")[0]


def test_apptainers_definition_is_of_the_saved_image() -> None:
    header = dict(line.split(": ") for line in DEFINITION.read_text().split("\n%")[0].splitlines() if line[0] != "#")
    assert header == {"Bootstrap": "docker-archive", "From": "pct-flow.tar"}
    for name in ("runscript", "test", "help"):
        assert section(name).strip(), name


def test_apptainers_scripts_run_in_the_image(user: User, expected: bytes) -> None:
    # Apptainer itself was not at hand: the image runs its scripts by sh, as Apptainer would.
    for name in ("runscript", "test"):
        (user.home / f"{name}.sh").write_text(section(name))
    in_image = "sed 's/-- pct-flow/-- sh \"$script\"/' pct/bin/pct-flow > in-image; export script; bash in-image"
    ran = user.run(f"script=test.sh; {in_image}")
    assert (ran.returncode, ran.stdout) == (0, f"pct {VERSION}\n"), ran.stderr
    ran = user.run(f"script=runscript.sh; {in_image} convert plate1 -o run.parquet {' '.join(ONE_FOLDER_A_PART)}")
    assert ran.returncode == 0, ran.stderr
    assert (user.home / "run.parquet").read_bytes() == expected


def test_failures_come_through(user: User) -> None:
    ran = user.run("pct-discover nowhere -o m.arrow")
    assert (ran.returncode, ran.stderr) == (1, "pct-discover: error: nowhere: no such file or folder\n")
    outside = user.run("cd /srv; pct-discover .")
    assert outside.returncode != 0


def test_image_stays_as_it_is(user: User) -> None:
    ran = user.run("sed 's/-- pct-flow.*/-- touch \\/opt\\/pct\\/mine/' pct/bin/pct-flow > look; bash look")
    assert ran.returncode != 0
    assert "Read-only file system" in ran.stderr
