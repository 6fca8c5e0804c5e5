"""The images: small, complete, for any user, without network; what they make is what the tools make outside."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow
import pytest
from images import ODD_USER, PATIENCE, TOOLS, container, docker, need_images
from npz_files import plate_file
from plates import Plate
from plates import main as write_plate
from plates_sqlite import SqliteStyle, write_sqlite
from pycytominer_transform.common.model.version import tool_version

pytestmark = pytest.mark.containers

VERSION = tool_version()

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "tests" / "demo" / "plate"
STAGE_BYTES, FLOW_BYTES = 350_000_000, 700_000_000


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    need_images()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Give a folder that anybody may write to."""
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(0o777)
    for parent in folder.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    return folder


def said(*words: str) -> str:
    return subprocess.run([docker(), *words], check=True, capture_output=True, text=True, timeout=PATIENCE).stdout


def in_image(tool: str, script: str, *options: str) -> str:
    return said("run", "--rm", *options, f"pct-{tool}", "bash", "-c", script)


def shell(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    words = ["bash", "-c", f"set -eo pipefail\n{script}"]
    return subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def outside(source: Path, out: Path) -> bytes:
    """Convert a source by the tools of this Python."""
    path = out.parent / "outside.parquet"
    done = shell(f"pct-discover -q {source} | pct-extract -q | pct-join -q | pct-write -q -o {path}", out)
    assert done.returncode == 0, done.stderr
    return path.read_bytes()


def csv_source(folder: Path) -> Path:
    write_plate([str(folder / "plate"), "--folders", "4", "--cells", "20", "--features", "12"])
    return folder / "plate"


def sqlite_source(folder: Path) -> Path:
    write_sqlite(Plate(folders=4, cells=20, features=9), folder / "plate.sqlite", SqliteStyle("cellprofiler_sqlite"))
    return folder / "plate.sqlite"


def npz_source(folder: Path) -> Path:
    for name in ("a", "b"):
        plate_file(folder / "npz" / f"{name}.npz", [[1.5, 2.0], [0.25, -1.0]], [[1.0, 2.0], [3.0, 4.0]])
    return folder / "npz"


SOURCES: dict[str, Callable[[Path], Path]] = {
    "csv": csv_source, "sqlite": sqlite_source, "npz": npz_source, "demo": lambda _: DEMO
}  # fmt: skip


@pytest.mark.parametrize("kind", SOURCES)
def test_a_pipe_of_containers_writes_the_same_bytes(kind: str, tmp_path: Path, out: Path) -> None:
    source = SOURCES[kind](tmp_path)
    place = (source if source.is_dir() else source.parent, "ro")
    stages = [
        container("discover", source, "-q", mounts=[place]), container("extract", "-q", mounts=[place]),
        container("join", "-q"), container("write", "-q", "-o", out / "plate.parquet", mounts=[(out, "rw")]),
    ]  # fmt: skip
    done = shell(" | ".join(map(shlex.join, stages)), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (out / "plate.parquet").read_bytes() == outside(source, out)
    assert sorted(path.name for path in out.iterdir()) == ["plate.parquet"]


@pytest.mark.parametrize("kind", ["csv", "sqlite"])
def test_the_flow_in_a_container_writes_the_same_bytes(kind: str, tmp_path: Path, out: Path) -> None:
    source = SOURCES[kind](tmp_path)
    place = (source if source.is_dir() else source.parent, "ro")
    command = container("flow", source, "-q", "-o", out / "plate.parquet", mounts=[place, (out, "rw")])
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (out / "plate.parquet").read_bytes() == outside(source, out)
    assert sorted(path.name for path in out.iterdir()) == ["plate.parquet"]


@pytest.mark.parametrize("tool", TOOLS)
def test_an_image_shows_its_tools_help_and_has_what_engines_need(tool: str) -> None:
    config = json.loads(said("image", "inspect", f"pct-{tool}"))[0]["Config"]
    assert not config.get("Entrypoint")
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == f"pct-{tool}"
    assert labels["org.opencontainers.image.version"] == VERSION
    assert all(labels[f"org.opencontainers.image.{name}"] for name in ("description", "licenses", "revision"))
    assert said("run", "--rm", f"pct-{tool}").startswith(f"usage: pct-{tool}")
    version = in_image(tool, f"command -v bash ps > /dev/null && ps -o comm= -p $$ && pct-{tool} --version", *ODD_USER)
    assert version.splitlines() == ["bash", f"pct-{tool} {VERSION}"]
    scripts = in_image(tool, "cd /opt/pct/bin && ls -d pct-*").split()
    assert scripts == (sorted(f"pct-{name}" for name in (*TOOLS, "report")) if tool == "flow" else [f"pct-{tool}"])
    assert in_image(tool, "find /opt ! -perm -o=r ! -type l -o -type d ! -perm -o=x") == ""


@pytest.mark.parametrize("tool", TOOLS)
def test_an_image_is_small(tool: str) -> None:
    size = int(said("image", "inspect", "--format", "{{.Size}}", f"pct-{tool}"))
    assert size < (FLOW_BYTES if tool == "flow" else STAGE_BYTES)


def test_images_share_their_layers() -> None:
    layers = [
        json.loads(said("image", "inspect", "--format", "{{json .RootFS.Layers}}", f"pct-{tool}")) for tool in TOOLS
    ]
    shared = set(layers[0]).intersection(*layers)
    # The base, ps where the base lacks it, and Python's packages that all have.
    assert len(shared) >= 2
    # The flow's alone has seven: NumPy, what extracting, joining, Prefect, Dask and cloud storage take, and the tools.
    assert all(len(set(own) - shared) <= 5 + 2 * (tool == "flow") for own, tool in zip(layers, TOOLS, strict=True))


@pytest.mark.parametrize("tool", TOOLS)
def test_a_bill_of_materials_lists_what_is_in_the_image(tool: str) -> None:
    script = ROOT / "containers" / "bill_of_materials.py"
    environment = os.environ | {"DOCKER": docker()}
    words = [sys.executable, str(script), f"pct-{tool}"]
    bill = json.loads(subprocess.run(words, check=True, capture_output=True, env=environment, timeout=PATIENCE).stdout)
    found = {part["name"].lower(): part["version"] for part in bill["components"]}
    assert (bill["bomFormat"], bill["metadata"]["component"]["version"]) == ("CycloneDX", VERSION)
    assert found["pyarrow"] == pyarrow.__version__
    assert {"pycytominer-transform", "bash", "procps"} <= set(found)
    assert ("duckdb" in found, "adbc-driver-sqlite" in found, "prefect" in found, "dask" in found) == {
        "discover": (False, False, False, False), "extract": (False, True, False, False),
        "join": (True, False, False, False), "write": (False, False, False, False), "flow": (True, True, True, True),
    }[tool]  # fmt: skip
    assert all(part["purl"].startswith(("pkg:pypi/", "pkg:deb/debian/")) for part in bill["components"])


@pytest.fixture
def waiting(out: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start `pct-write` in a container whose input does not end, once it has begun to write."""
    started: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(*options: str) -> subprocess.Popen[bytes]:
        stages = f"pct-discover -q {DEMO} | pct-extract -q | pct-join -q -o {out.parent}/profiles"
        assert shell(stages, out).returncode == 0
        stream = shell(f"pct-discover -q {DEMO} | pct-extract -q | pct-join -q > {out.parent}/stream", out)
        assert stream.returncode == 0
        words = container("write", "-o", out / "plate.parquet", mounts=[(out, "rw")], options=[*ODD_USER, *options])
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append((words[words.index("--name") + 1], process))
        assert process.stdin is not None
        process.stdin.write((out.parent / "stream").read_bytes()[:-4000])
        process.stdin.flush()
        deadline = time.monotonic() + PATIENCE
        while not any(path.name.endswith(".pct-tmp") for path in out.iterdir()):
            assert process.poll() is None, "the container ended"
            assert time.monotonic() < deadline, "it never began to write"
            os.sched_yield()
        return process

    yield start
    for name, process in started:
        subprocess.run([docker(), "rm", "--force", name], capture_output=True, timeout=PATIENCE, check=False)
        process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_container_and_it_cleans_up(
    waiting: Callable[..., subprocess.Popen[bytes]], out: Path, number: signal.Signals, code: int
) -> None:
    process = waiting()
    # The client passes signals on; as the first process of a container, a program without a handler would go on.
    process.send_signal(number)
    assert process.wait(timeout=9) == code
    assert list(out.iterdir()) == []


def test_stage_images_with_prefect_report_to_a_server(tmp_path: Path) -> None:
    base = json.loads(said("image", "inspect", "pct-join"))[0]["Config"]["Labels"]["org.opencontainers.image.base.name"]
    choices = {"BASE_IMAGE": base, "PREFECT": "with", "TOOLS": "join", "TAG": "prefect-test", "KEEP_WHEELS": "yes"}
    built = subprocess.run(
        [ROOT / "containers" / "build.sh"], env=os.environ | choices | {"PYTHON": sys.executable}, capture_output=True,
        text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    assert shell(f"pct-discover -q {DEMO} | pct-extract -q > bundle", tmp_path).returncode == 0
    server = f"pct-test-server-{os.getpid()}"
    serve = "prefect server start --host 127.0.0.1 --port 4200"
    said(
        "run", "--detach", "--rm", "--name", server, "--tmpfs", "/tmp", "--env", "PREFECT_HOME=/tmp/prefect",
        "pct-flow", "bash", "-c", serve,
    )  # fmt: skip
    try:
        ask = "import sys, urllib.request as r; print(r.urlopen(r.Request(sys.argv[1], sys.argv[2].encode() or None,"
        ask += " {'Content-Type': 'application/json'}), timeout=2).read().decode())"
        api = "http://127.0.0.1:4200/api"

        def asked(place: str, body: str = "") -> str:
            words = ["exec", server, "/opt/pct/bin/python3", "-c", ask, f"{api}/{place}", body]
            return subprocess.run([docker(), *words], capture_output=True, text=True, timeout=PATIENCE).stdout

        deadline = time.monotonic() + PATIENCE
        while "true" not in asked("health"):
            assert time.monotonic() < deadline, said("logs", server)
        options = [*ODD_USER[:-1], f"container:{server}", "--env", f"PREFECT_API_URL={api}"]
        command = container("join", options=options)
        command[command.index("pct-join")] = "pct-join:prefect-test"
        with (tmp_path / "bundle").open("rb") as bundle:
            done = subprocess.run(command, stdin=bundle, capture_output=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert shell("pct-join -q < bundle > plain", tmp_path).returncode == 0
        assert done.stdout == (tmp_path / "plain").read_bytes()
        runs = json.loads(asked("task_runs/filter", "{}"))
        assert [(run["name"], run["state_name"]) for run in runs] == [("join -", "Completed")]
    finally:
        subprocess.run([docker(), "rm", "--force", server], capture_output=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize("tool", ["discover", "join"])
def test_a_server_that_cannot_be_reported_to_is_said_in_a_line(tool: str) -> None:
    command = container(tool, "/nowhere", options=[*ODD_USER, "--env", "PREFECT_API_URL=http://127.0.0.1:9/api"])
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "--no-prefect" in done.stderr
