"""What goes wrong with a request passes unnoticed where it can, and else ends in one clear line, with nothing left."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest
from cloud_servers import Bucket, Server
from converting import Convert, differences, run
from fault_kinds import ALWAYS, Changed, Cut, Fault, Hang, Kind, Refused, Reset
from fault_proxy import FaultProxy, Request, Where
from plates import Plate, write_csv
from pycytominer_transform.common.storage.cloud.object_store import forget_stores
from pycytominer_transform.tools import discover, extract

pytestmark = pytest.mark.usefixtures("short_waits")

TRANSIENT = {
    "reset": Reset(),
    "reset in mid-object": Reset(after=0.5),
    "cut off": Cut(),
    "busy": Refused(Kind.SLOW_DOWN),
    "too many": Refused(Kind.TOO_MANY),
    "out of order": Refused(Kind.INTERNAL),
}
LASTING = {
    Kind.FORBIDDEN: "no permission",
    Kind.EXPIRED: "credentials",
    Kind.GONE: "",
}
PLATE = Plate(folders=2, cells=4, features=3)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a small plate on the disk."""
    return write_csv(PLATE, tmp_path_factory.mktemp("made") / "plate")


@pytest.fixture
def stored(plate: Path, bucket: Bucket) -> Bucket:
    """Give a bucket with the plate in it."""
    bucket.upload_tree(plate, "plate")
    return bucket


@contextmanager
def failing(server: Server, faults: dict[Where, Fault], monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Point the tools at a proxy that lets requests go wrong."""
    with FaultProxy(server, faults) as proxy:
        for name, text in proxy.environment.items():
            monkeypatch.setenv(name, text)
        forget_stores()
        yield proxy
    forget_stores()


def first_time() -> Where:
    """Choose every request the first time that it comes."""
    seen: set[tuple[str, str, str]] = set()

    def is_new(request: Request) -> bool:
        key = (request.method, request.target, request.headers.get("range", ""))
        if key in seen:
            return False
        seen.add(key)
        return True

    return is_new


def about(key: str) -> Where:
    """Choose the requests for an object, by whatever client; with no key, those for a list."""

    def is_about(request: Request) -> bool:
        target = unquote(request.target)
        return target.partition("?")[0].endswith(key) if key else "prefix=" in target

    return is_about


@pytest.mark.endurance
@pytest.mark.parametrize("name", TRANSIENT)
def test_every_request_fails_once(
    name: str, stored: Bucket, plate: Path, convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = TRANSIENT[name]
    always = type(fault)(**{**vars(fault), "times": ALWAYS})
    with failing(stored.server, {first_time(): always}, monkeypatch) as proxy:
        assert differences(convert(plate), convert(f"{stored.url}/plate")) == []
        struck = [request for request in proxy.requests if request.fault]
    files = 4 * PLATE.folders
    assert len(struck) >= files


def test_an_answer_that_never_comes(
    stored: Bucket, plate: Path, convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pycytominer_transform.common.storage.cloud.object_store.READ_SECONDS", 1)
    with failing(stored.server, {3: Hang(), 6: Hang(after=0.5)}, monkeypatch) as proxy:
        assert differences(convert(plate), convert(f"{stored.url}/plate")) == []
        assert sum(bool(request.fault) for request in proxy.requests) == 2


def test_what_is_tried_again_is_said(
    stored: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with failing(stored.server, {about(""): Refused(Kind.SLOW_DOWN, times=1)}, monkeypatch) as proxy:
        assert discover.main([f"{stored.url}/plate", "-o", str(tmp_path / "m.arrow"), "-v"]) == 0
    assert any(request.fault for request in proxy.requests), proxy.requests
    said = capsys.readouterr().err
    # gcsfs, which tries again itself, does not say after which time.
    told = "a request failed; trying again" if stored.server.scheme == "gs" else r"trying again in [\d.]+ s \(1 of 4\)"
    assert re.search(told, said)


def test_a_server_that_stays_busy_is_given_up(
    stored: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def all_requests(_: Request) -> bool:
        return True

    with failing(stored.server, {all_requests: Refused(Kind.SLOW_DOWN, times=ALWAYS)}, monkeypatch) as proxy:
        assert discover.main([f"{stored.url}/plate", "-o", str(tmp_path / "m.arrow")]) == 1
        assert len(proxy.requests) <= 10
    said = capsys.readouterr().err
    assert re.search("tried [56] times", said)
    assert len(said.splitlines()) == 1


@pytest.mark.endurance
def test_what_lasts_ends_the_run_in_one_line_at_whichever_request(
    stored: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("discover", f"{stored.url}/plate", "-o", tmp_path / "good.arrow")
    for key, kind in zip(("", *stored.keys()), itertools.cycle(LASTING), strict=False):
        with failing(stored.server, {about(key): Refused(kind, times=ALWAYS)}, monkeypatch):
            discovered = discover.main([f"{stored.url}/plate", "-o", str(tmp_path / "m.arrow"), "-q"])
            extracted = extract.main([str(tmp_path / "good.arrow"), "-o", str(tmp_path / "bundle"), "-q"])
        said = capsys.readouterr().err.splitlines()
        assert (discovered, extracted) == (1, 1 if key else 0), (key, kind, said)
        assert len(said) == discovered + extracted
        assert all(LASTING[kind] in line and stored.url in line for line in said)
        assert sorted(path.name for path in tmp_path.iterdir() if path.name != "bundle") == ["good.arrow", "home"]
        assert (tmp_path / "bundle").exists() == (not extracted)
        shutil.rmtree(tmp_path / "bundle", ignore_errors=True)


def test_an_object_replaced_while_it_is_looked_at(
    stored: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = next(key for key in stored.keys() if key.endswith("Nuclei.csv"))
    other = stored.get(key).replace(b"1", b"3")

    def is_victim(request: Request) -> bool:
        return request.method == "GET" and "Nuclei.csv" in request.target

    with failing(stored.server, {is_victim: Changed(lambda: stored.put(key, other))}, monkeypatch):
        assert discover.main([f"{stored.url}/plate", "-o", str(tmp_path / "m.arrow"), "-q"]) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert key in said
    assert "pct-discover" in said
