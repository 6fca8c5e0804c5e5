"""Credentials are found in all the usual places, and are nowhere to be seen afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from cloud_azure import Azure
from cloud_s3 import S3
from cloud_servers import Bucket, Server
from plates import Plate, write_csv
from pycytominer_transform.common.storage.cloud.object_store import forget_stores
from pycytominer_transform.common.storage.options import StorageOptions, client_arguments
from pycytominer_transform.common.storage.uri import SCHEMES
from pycytominer_transform.tools import discover, extract, flow, join, write

PLATE = Plate(folders=2, cells=4, features=3)
SERVERS = ("s3_server", "azure_server")
SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING")


@pytest.fixture(params=SERVERS)
def guarded(request: pytest.FixtureRequest, no_cloud: None, tmp_path: Path) -> Bucket:
    """Give a bucket with a plate, of a server that looks at credentials."""
    server: Server = request.getfixturevalue(request.param)
    bucket = server.new_bucket()
    bucket.upload_tree(write_csv(PLATE, tmp_path / "made"), "plate")
    return bucket


def convert(bucket: Bucket, folder: Path, *words: str) -> list[int]:
    """Run all tools, each as talkative as it can be, and give their exit codes."""
    places = [f"{bucket.url}/plate", *(str(folder / name) for name in ("m.arrow", "bundle", "profiles", "p.parquet"))]
    tools = (discover.main, extract.main, join.main, write.main)
    codes = [
        main([before, "-o", after, "-v", "--log-format", "json", *words])
        for main, before, after in zip(tools, places, places[1:], strict=False)
    ]
    return [*codes, flow.main([places[0], "-o", f"{bucket.url}/out.parquet", "-v", "--keep-work", *words])]


def assert_nowhere(secrets: Sequence[str], said: str, folder: Path) -> None:
    assert secrets
    for secret in secrets:
        assert secret not in said
        for path in folder.rglob("*"):
            assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_those_of_the_environment(
    guarded: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, text in guarded.environment.items():
        monkeypatch.setenv(name, text)
    (tmp_path / "out").mkdir()
    assert convert(guarded, tmp_path / "out") == [0] * 5
    (tmp_path / "out" / "object").write_bytes(guarded.get("out.parquet"))
    assert_nowhere(guarded.server.secrets, capfd.readouterr().err, tmp_path / "out")


def _as_options(bucket: Bucket) -> list[str]:
    """Give the same credentials as words of the command line."""
    environment = bucket.environment
    if isinstance(bucket.server, Azure):
        return ["--storage-option", f"connection_string={environment['AZURE_STORAGE_CONNECTION_STRING']}"]
    return [
        *("--storage-option", f"aws_access_key_id={environment['AWS_ACCESS_KEY_ID']}"),
        *("--storage-option", f"aws_secret_access_key={environment['AWS_SECRET_ACCESS_KEY']}"),
        *("--endpoint-url", environment["AWS_ENDPOINT_URL_S3"]),
    ]


def test_those_of_the_command_line(
    guarded: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    (tmp_path / "out").mkdir()
    assert convert(guarded, tmp_path / "out", *_as_options(guarded)) == [0] * 5
    assert_nowhere(guarded.server.secrets, capfd.readouterr().err, tmp_path / "out")


def test_those_of_a_profile(s3_server: S3, no_cloud: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3_server.new_bucket()
    bucket.upload_tree(write_csv(PLATE, tmp_path / "made"), "plate")
    known = bucket.environment
    files = tmp_path / "home" / ".aws"
    files.mkdir()
    (files / "credentials").write_text(
        f"[lab]\naws_access_key_id = {known['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {known['AWS_SECRET_ACCESS_KEY']}\n"
    )
    (files / "config").write_text(f"[profile lab]\nregion = us-east-1\nendpoint_url = {known['AWS_ENDPOINT_URL_S3']}\n")
    (tmp_path / "out").mkdir()
    assert convert(bucket, tmp_path / "out", "--profile", "lab") == [0] * 5
    assert discover.main([f"{bucket.url}/plate", "-o", str(tmp_path / "m.arrow"), "--profile", "none"]) == 2


def test_wrong_ones(
    guarded: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = guarded.server.wrong_environment
    for name, text in wrong.items():
        monkeypatch.setenv(name, text)
    assert discover.main([f"{guarded.url}/plate", "-o", str(tmp_path / "m.arrow"), "-v"]) == 1
    said = capfd.readouterr().err
    # Azurite says of a wrong key what Azure says of one that may not.
    assert "credentials are not accepted" in said or "no permission (AuthorizationFailure)" in said
    assert "trying again" not in said
    hidden = [text for name, text in wrong.items() if name in SECRET_VARIABLES]
    assert_nowhere([*hidden, *guarded.server.secrets], said, tmp_path / "home")


def test_none(
    guarded: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, text in guarded.server.anonymous_environment.items():
        monkeypatch.setenv(name, text)
    assert discover.main([f"{guarded.url}/plate", "-o", str(tmp_path / "m.arrow"), "-q"]) == 1
    said = capfd.readouterr().err
    assert "there are no credentials" in said or "no account is named" in said
    assert "--no-sign-request" in said
    assert len(said.splitlines()) == 1


def test_public_buckets_need_none(
    object_store: Server, no_cloud: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = object_store.new_bucket(public=True)
    bucket.upload_tree(write_csv(PLATE, tmp_path / "made"), "plate")
    for name, text in object_store.anonymous_environment.items():
        monkeypatch.setenv(name, text)
    more = ["--endpoint-url", object_store.endpoint] if isinstance(object_store, Azure) else []
    words = ["--no-sign-request", *more]
    manifest = str(tmp_path / "m.arrow")
    assert discover.main([f"{bucket.url}/plate", "-o", manifest, *words]) == 0
    assert extract.main([manifest, "-o", str(tmp_path / "bundle"), *words]) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--endpoint-url", "https://me:hunter2@example.org"],
        ["--storage-option", "hunter2"],
        ["--storage-option", "no_such_argument=hunter2"],
    ],
)
def test_words_that_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert discover.main(["s3://plates/x", *words]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "line", ['storage_options = ["aws_secret_access_key=hunter2"]', 'endpoint_url = "https://me:hunter2@example.org"']
)
def test_presets_hold_none(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert discover.main(["--show-preset", "cellprofiler_csv"]) == 0
    (tmp_path / "own.toml").write_text(f"{capsys.readouterr().out}\n{line}\n")
    assert discover.main(["s3://plates/x", "--preset", str(tmp_path / "own.toml")]) == 2
    assert "hunter2" not in capsys.readouterr().err


def test_presets_say_how_a_store_is_reached(
    s3_server: S3, no_cloud: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = s3_server.new_bucket(public=True)
    bucket.upload_tree(write_csv(PLATE, tmp_path / "made"), "plate")
    assert discover.main(["--show-preset", "cellprofiler_csv"]) == 0
    lines = f'no_sign_request = true\nendpoint_url = "{s3_server.origin}"\n'
    (tmp_path / "own.toml").write_text(f"{capsys.readouterr().out}\n{lines}")
    manifest = str(tmp_path / "m.arrow")
    assert discover.main([f"{bucket.url}/plate", "-o", manifest, "--preset", str(tmp_path / "own.toml")]) == 0
    forget_stores()
    # The manifest says it to the next tool.
    assert extract.main([manifest, "-o", str(tmp_path / "bundle")]) == 0


def test_arguments_are_those_of_cloudpathlib() -> None:
    assert (
        client_arguments("s3")
        == (
            "aws_access_key_id aws_secret_access_key aws_session_token no_sign_request profile_name endpoint_url "
            "addressing_style"
        ).split()
    )
    assert client_arguments("gs") == ["application_credentials", "project"]
    assert client_arguments("az") == ["account_url", "credential", "connection_string"]


def test_options_do_not_show_them() -> None:
    assert "hunter2" not in repr(StorageOptions(client_options=(("aws_secret_access_key", "hunter2"),)))


@pytest.mark.parametrize("more", [{}, {"AWS_PROFILE": "default"}], ids=["alone", "beside a profile"])
def test_credentials_of_the_environment_come_before_those_of_a_file(
    more: dict[str, str], s3: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    s3.upload_tree(write_csv(PLATE, tmp_path / "made"), "plate")
    (tmp_path / "home" / ".aws").mkdir()
    (tmp_path / "home" / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = x\naws_secret_access_key = y\n"
    )
    for name, text in more.items():
        monkeypatch.setenv(name, text)
    assert discover.main(["-q", f"{s3.url}/plate", "-o", str(tmp_path / "m.arrow")]) == 0


LIBRARIES = """
import sys
from pycytominer_transform.tools.discover import main
code = main(sys.argv[1:])
print(code, *sorted({"boto3", "cloudpathlib", "gcsfs", "obstore"} & set(sys.modules)))
"""


def test_local_runs_import_no_library_of_the_cloud(tmp_path: Path) -> None:
    plate = write_csv(PLATE, tmp_path / "made")
    words = ["-q", str(plate), "-o", str(tmp_path / "m.arrow")]
    ended = subprocess.run([sys.executable, "-c", LIBRARIES, *words], capture_output=True, text=True, check=False)
    assert (ended.stdout.strip(), ended.stderr) == ("0", "")


def test_s3_imports_no_library_of_other_stores(s3: Bucket, tmp_path: Path) -> None:
    place = s3.upload_tree(write_csv(PLATE, tmp_path / "made"), "plate")
    words = ["-q", place, "-o", str(tmp_path / "m.arrow")]
    ended = subprocess.run([sys.executable, "-c", LIBRARIES, *words], capture_output=True, text=True, check=False)
    assert (ended.stdout.strip(), ended.stderr) == ("0 boto3 obstore", "")


def test_schemes_are_those_of_cloudpathlib() -> None:
    from cloudpathlib import AzureBlobPath, GSPath, S3Path

    assert [f"{scheme}://" for scheme in SCHEMES] == [kind.cloud_prefix for kind in (S3Path, GSPath, AzureBlobPath)]
