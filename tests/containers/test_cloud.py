"""Cloud storage from within the images: the flow's has what it takes, a stage's says how to get it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cloud_azure import AZURITE, azure_server
from cloud_gcs import gcs_server
from cloud_s3 import s3_server
from images import ODD_USER, PATIENCE, docker, need_images
from plates import Plate, write_csv

pytestmark = pytest.mark.containers

SERVERS = {"s3": s3_server, "gs": gcs_server, "az": azure_server}


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    need_images()


def in_image(tool: str, script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script in an image, as any user, on the network of the host, where the server listens."""
    variables = [word for name, text in environment.items() for word in ("-e", f"{name}={text}")]
    words = ["run", "--rm", "--network", "host", *ODD_USER[:-2], *variables]
    return subprocess.run(
        [docker(), *words, f"pct-{tool}", "bash", "-c", f"set -eo pipefail\n{script}"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("scheme", SERVERS)
def test_the_flow_image_reads_and_writes_all_stores(scheme: str, tmp_path: Path) -> None:
    if scheme == "az" and not AZURITE.exists():
        pytest.skip("Azurite is not there: npm could not install it")
    with SERVERS[scheme]() as server:
        bucket = server.new_bucket()
        bucket.upload_tree(write_csv(Plate(folders=2, cells=5, features=4), tmp_path / "plate"), "plate")
        source = f"{bucket.url}/plate"
        script = (
            f"pct-discover -q {source} | pct-extract -q | pct-join -q | pct-write -q -o {bucket.url}/piped.parquet\n"
            f"pct-flow -q {source} -o {bucket.url}/flowed.parquet"
        )
        done = in_image("flow", script, bucket.environment)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert bucket.get("piped.parquet") == bucket.get("flowed.parquet")


def test_a_stage_image_says_what_it_lacks() -> None:
    done = in_image("discover", "pct-discover s3://plates/plate", {})
    assert done.returncode == 2
    assert "CLOUD=with" in done.stderr
    assert len(done.stderr.splitlines()) == 1
