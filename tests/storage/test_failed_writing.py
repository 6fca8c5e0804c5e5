"""Whatever ends the writing of an output in a cloud store, nothing is left of it, nor an unfinished upload."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cloud_gcs import GCS
from cloud_s3 import S3
from cloud_servers import Bucket, Server
from converting import differences, run
from fault_kinds import ALWAYS, Changed, Cut, ErrorInside, Fault, Hang, Kind, Refused, Reset
from fault_proxy import FaultProxy, Request, Where
from gcs_conditions import conditions
from plates import Plate, write_csv
from pycytominer_transform.common.storage.cloud import cloud_destination, credentials, object_store
from pycytominer_transform.common.storage.cloud.object_store import PART_BYTES, forget_stores
from pycytominer_transform.tools import extract, join, write

pytestmark = [pytest.mark.usefixtures("short_waits"), pytest.mark.endurance]

PLATE = Plate(folders=2, cells=12, features=4)
MAINS = {"extract": extract.main, "join": join.main, "write": write.main}
INPUT = {"extract": "m.arrow", "join": "bundle", "write": "profiles", "flow": "plate"}
MADE = {"extract": "bundle", "join": "profiles", "write": "out.parquet", "flow": "out.parquet"}
FAULTS: dict[str, Fault] = {
    "reset": Reset(),
    "done, answer lost": Reset(after=0),
    "cut off": Cut(),
    "busy": Refused(Kind.SLOW_DOWN),
    "out of order": Refused(Kind.INTERNAL),
}


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a plate and what each stage makes of it on the disk."""
    folder = tmp_path_factory.mktemp("staged")
    write_csv(PLATE, folder / "plate")
    run("discover", folder / "plate", "-o", folder / "m.arrow", "--part-size", "1")
    run("extract", folder / "m.arrow", "-o", folder / "bundle")
    run("join", folder / "bundle", "-o", folder / "profiles")
    run("write", folder / "profiles", "-o", folder / "out.parquet")
    return folder


@pytest.fixture(params=["s3_server", "moto_server"])
def s3_like(request: pytest.FixtureRequest, no_cloud: None, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Give a bucket of each server that lists unfinished uploads as S3 does."""
    server: S3 = request.getfixturevalue(request.param)
    for name, text in server.environment.items():
        monkeypatch.setenv(name, text)
    return server.new_bucket()


@pytest.fixture(params=["at once", "in parts"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have objects written in one request each, as small ones are, and in parts, as large ones; with short waits."""
    monkeypatch.setattr(credentials, "FIRST_WAIT", timedelta(milliseconds=5))
    if request.param == "in parts":
        monkeypatch.setattr(object_store, "SINGLE_BYTES", -1)


# A process has its own limit, which `_way` does not change.
OWN_PROCESS = pytest.mark.parametrize("_way", ["at once"], indirect=True)


@contextmanager
def failing(server: Server, faults: dict[Where, Fault], monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Point the tools at a proxy that lets requests go wrong."""
    with FaultProxy(server, faults) as proxy:
        for name, text in proxy.environment.items():
            monkeypatch.setenv(name, text)
        forget_stores()
        yield proxy
    forget_stores()


def left(bucket: Bucket) -> tuple[list[str], list[str]]:
    """List the objects, and the uploads that were neither completed nor aborted."""
    return bucket.keys(), bucket.open_uploads()


def is_part(request: Request) -> bool:
    """Whether it sends content: all of an object, or a part."""
    return request.method == "PUT"


def is_completion(request: Request) -> bool:
    """Whether the object is visible after it."""
    at_once = request.method == "PUT" and "partNumber" not in request.target
    return at_once or (request.method == "POST" and "uploadId=" in request.target)


def is_deletion(request: Request) -> bool:
    return request.method == "POST" and request.target.endswith("?delete")


def words_of(tool: str, staged: Path, bucket: Bucket) -> list[str]:
    return [str(staged / INPUT[tool]), "-o", f"{bucket.url}/{MADE[tool]}", "-q"]


@pytest.mark.parametrize("tool", ["join", "write"])
def test_bad_input_in_the_middle(tool: str, staged: Path, s3_like: Bucket, tmp_path: Path) -> None:
    given = tmp_path / "given"
    for path in (staged / INPUT[tool]).rglob("*.arrow"):
        copy = given / path.relative_to(staged / INPUT[tool])
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        is_last = "part-000002" in str(path) and "image" not in path.name
        copy.write_bytes(content[: len(content) // 2] if is_last else content)
    assert MAINS[tool]([str(given), *words_of(tool, staged, s3_like)[1:]]) == 1
    assert left(s3_like) == ([], [])


def test_bad_input_leaves_no_object_in_any_store(staged: Path, bucket: Bucket) -> None:
    content = (staged / "profiles" / "part-000001.arrow").read_bytes()
    bucket.put("cut.arrow", content[: len(content) // 2])
    for name in ("out.parquet", "out"):
        assert write.main([f"{bucket.url}/cut.arrow", "-o", f"{bucket.url}/{name}", "-q"]) == 1
    assert bucket.keys() == ["cut.arrow"]


@pytest.mark.parametrize("tool", MAINS)
@pytest.mark.parametrize("kind", [Kind.FORBIDDEN, Kind.EXPIRED, Kind.INTERNAL])
def test_a_part_that_is_never_taken(
    tool: str, kind: Kind, staged: Path, s3_like: Bucket, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with failing(s3_like.server, {is_part: Refused(kind, times=ALWAYS)}, monkeypatch):
        assert MAINS[tool](words_of(tool, staged, s3_like)) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert f"cannot write {s3_like.url}/" in said
    assert left(s3_like) == ([], [])


@pytest.mark.parametrize("tool", MAINS)
def test_an_upload_that_cannot_be_completed(
    tool: str, staged: Path, s3_like: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    last = 0 if tool == "write" else 1
    seen: set[str] = set()

    def is_late(request: Request) -> bool:
        if is_completion(request):
            seen.add(request.target)
        return is_completion(request) and len(seen) > last

    with failing(s3_like.server, {is_late: Refused(Kind.FORBIDDEN, times=ALWAYS)}, monkeypatch):
        assert MAINS[tool](words_of(tool, staged, s3_like)) == 1
    assert "no permission" in capsys.readouterr().err
    assert left(s3_like) == ([], [])


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(3), RuntimeError("a defect")])
def test_a_thread_that_ends(
    error: BaseException, staged: Path, s3_like: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cloud_destination.OutputObjects, "_pieces", ended)
    if isinstance(error, SystemExit):
        with pytest.raises(SystemExit):
            write.main(words_of("write", staged, s3_like))
    else:
        assert write.main(words_of("write", staged, s3_like)) == (70 if isinstance(error, RuntimeError) else 1)
    assert left(s3_like) == ([], [])


def first_time() -> Callable[[Request], bool]:
    """Choose every request the first time that it comes."""
    seen: set[tuple[str, str, str]] = set()

    def is_new(request: Request) -> bool:
        # An upload that is begun anew has another name, which makes each of its requests a new one.
        key = (request.method, request.target, request.headers.get("range", ""))
        is_known = key in seen
        seen.add(key)
        return not is_known

    return is_new


@pytest.mark.parametrize("name", FAULTS)
def test_every_request_fails_once(
    name: str, staged: Path, s3_like: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    fault = FAULTS[name]
    always = type(fault)(**{**vars(fault), "times": ALWAYS})
    with failing(s3_like.server, {first_time(): always}, monkeypatch) as proxy:
        for tool in ("extract", "join", "write"):
            assert MAINS[tool]([*words_of(tool, staged, s3_like), "--overwrite"]) == 0
        assert sum(bool(request.fault) for request in proxy.requests) > 20
    (tmp_path / "out.parquet").write_bytes(s3_like.get("out.parquet"))
    assert differences(staged / "out.parquet", tmp_path / "out.parquet") == []
    # What was begun without an answer holds no parts, and obstore has no way to ask for it.
    if name not in ("done, answer lost", "cut off"):
        assert s3_like.open_uploads() == []


@pytest.fixture
def gcs(gcs_server: GCS, no_cloud: None, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Give a bucket of Google Cloud Storage."""
    for name, text in gcs_server.environment.items():
        monkeypatch.setenv(name, text)
    return gcs_server.new_bucket()


@pytest.mark.parametrize("name", FAULTS)
def test_every_request_fails_once_at_google(
    name: str, staged: Path, gcs: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    always = type(FAULTS[name])(**{**vars(FAULTS[name]), "times": ALWAYS})
    with failing(gcs.server, {first_time(): always}, monkeypatch) as proxy:
        for tool in MAINS:
            assert MAINS[tool](words_of(tool, staged, gcs)) == 0
        assert sum(bool(request.fault) for request in proxy.requests) > 10
    (tmp_path / "out.parquet").write_bytes(gcs.get("out.parquet"))
    assert differences(staged / "out.parquet", tmp_path / "out.parquet") == []


def test_an_upload_that_fails_is_removed_at_google(
    staged: Path, gcs: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(object_store, "SINGLE_BYTES", -1)

    def is_part(request: Request) -> bool:
        return request.method == "POST" and "upload_id=" in request.target

    with failing(gcs.server, {is_part: Refused(Kind.FORBIDDEN, times=ALWAYS)}, monkeypatch) as proxy:
        assert write.main(words_of("write", staged, gcs)) == 1
        begun = {request.target.partition("upload_id=")[2] for request in proxy.requests if is_part(request)}
        removed = {
            request.target.partition("upload_id=")[2] for request in proxy.requests if request.method == "DELETE"
        }
    assert "no permission" in capsys.readouterr().err
    assert begun
    assert begun <= removed
    assert gcs.keys() == []


def test_somebody_else_was_faster_at_google(
    staged: Path, gcs: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def is_last(request: Request) -> bool:
        if object_store.SINGLE_BYTES < 0:
            # The upload that shows whether one may write is removed.
            return request.method == "DELETE"
        return request.method == "POST" and "uploadType=multipart" in request.target

    theirs = Changed(lambda: gcs.put("out.parquet", b"theirs"))
    with failing(gcs.server, {is_last: theirs, **conditions()}, monkeypatch):
        assert write.main(words_of("write", staged, gcs)) == 1
    assert f"{gcs.url}/out.parquet was created by another process" in capsys.readouterr().err
    assert gcs.get("out.parquet") == b"theirs"


@pytest.mark.parametrize("fault", [Reset(after=0), ErrorInside(), Hang(after=0)])
def test_a_completion_of_which_nothing_is_heard(
    fault: Fault, staged: Path, s3_like: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "READ_SECONDS", 1)
    with failing(s3_like.server, {is_completion: fault}, monkeypatch) as proxy:
        assert write.main(words_of("write", staged, s3_like)) == 0
        assert any(request.fault for request in proxy.requests)
    assert left(s3_like) == (["out.parquet"], [])


@pytest.mark.parametrize("tool", MAINS)
def test_somebody_else_was_faster(
    tool: str, staged: Path, s3_like: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = {"extract": "bundle/part-000002/cells.arrow", "join": "profiles/part-000002.arrow"}.get(
        tool, "out.parquet"
    )

    def is_last_look(request: Request) -> bool:
        """Whether nothing is asked after it but to make the object visible: obstore completes parts unconditionally."""
        method = "HEAD" if object_store.SINGLE_BYTES < 0 else "PUT"
        return request.method == method and request.target.endswith(theirs)

    # Before any work is done, the output is looked for as well.
    is_checked = itertools.count(-1 if tool == "write" and object_store.SINGLE_BYTES < 0 else 0)

    def is_late(request: Request) -> bool:
        return is_last_look(request) and next(is_checked) >= 0

    with failing(s3_like.server, {is_late: Changed(lambda: s3_like.put(theirs, b"theirs"))}, monkeypatch):
        assert MAINS[tool](words_of(tool, staged, s3_like)) == 1
    assert f"{s3_like.url}/{theirs} was created by another process" in capsys.readouterr().err
    assert left(s3_like) == ([theirs], [])
    assert s3_like.get(theirs) == b"theirs"


@pytest.mark.parametrize("tool", ["extract", "join"])
def test_a_folder_that_cannot_be_replaced_is_no_mixture(
    tool: str, staged: Path, s3_like: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_of(tool, staged, s3_like)
    assert MAINS[tool](words) == 0
    before = s3_like.keys()
    # Without the right to delete, nothing has begun; without that to write, the old manifest is gone already.
    for where, kept in ((is_deletion, before), (is_part, [])):
        with failing(s3_like.server, {where: Refused(Kind.FORBIDDEN, times=ALWAYS)}, monkeypatch):
            assert MAINS[tool]([*words, "--overwrite"]) == 1
        assert left(s3_like) == (kept, [])
    assert f"what was in {s3_like.url}/{MADE[tool]} before is gone" in capsys.readouterr().err


@OWN_PROCESS
@pytest.mark.parametrize(
    ("tool", "number"), [*((tool, signal.SIGTERM) for tool in (*MAINS, "flow")), ("write", signal.SIGINT)]
)
def test_a_tool_that_is_ended(
    tool: str, number: signal.Signals, staged: Path, s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes: list[subprocess.Popen[str]] = []

    def end() -> None:
        """Let the part arrive when the tool is ending, which waits for it; later ones a store may keep.

        Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html
        """
        processes[0].send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            processes[0].wait(timeout=1)

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    script = f"import sys; from pycytominer_transform.tools.{tool} import main; sys.exit(main())"
    with failing(s3.server, {is_part: Changed(end)}, monkeypatch) as proxy:
        command = [sys.executable, "-c", script, *words_of(tool, staged, s3)]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        said = processes[0].communicate(timeout=300)[1]
        assert any(request.fault for request in proxy.requests)
    assert processes[0].returncode == 128 + number, said
    assert "nothing was left under the output's name" in said
    assert left(s3) == ([], [])
    assert not list(tmp_path.glob("pct-flow-*"))


WRITES = """
import resource, sys
from pycytominer_transform.common.storage.location import location_of
def write(name, pieces):
    with location_of(f"{sys.argv[1]}/{name}").complete_file(overwrite=False) as file:
        for number in range(pieces):
            file.write(number.to_bytes(4, "big") * (1 << 16))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(write("small", 1), write("large", 1200))
"""


@OWN_PROCESS
def test_a_large_output_holds_no_more_than_its_parts(s3: Bucket) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WRITES, s3.url], capture_output=True, text=True, check=True, timeout=300
    )
    unit = 1 << 10 if sys.platform == "linux" else 1
    before, after = (int(text) * unit for text in ended.stdout.split())
    # Parts on their way, the one that is read, and what the allocator leaves unused of another two.
    assert after - before < 7 * PART_BYTES
    assert len(s3.get("large")) == 1200 << 18
    assert s3.get("large")[-4:] == (1199).to_bytes(4, "big")
