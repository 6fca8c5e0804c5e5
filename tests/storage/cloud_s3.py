"""S3 servers for tests: SeaweedFS, and moto for what that lacks (see `cloud_servers`)."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from cloud_processes import HOST, answers, free_ports, retried, running, script
from cloud_servers import UPLOAD_THREADS, Server

__all__ = ["S3", "moto_server", "s3_server"]

REGION = "us-east-1"
KEY_ID = "AWS_ACCESS_KEY_ID"
SECRET = "AWS_SECRET_ACCESS_KEY"
WEED_PARTS = ("master", "volume", "filer", "s3", "admin")
# Each bucket takes one or more.
VOLUMES = 5000


class S3(Server):
    """A running S3 server."""

    scheme = "s3"

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self.key_id, self.reader_id = (f"AKIA{secrets.token_hex(8).upper()}" for _ in range(2))
        self.secrets = (secrets.token_hex(20), secrets.token_hex(20))
        self.client = self.connect()

    def connect(self) -> Any:
        config = Config(
            s3={"addressing_style": "path"}, max_pool_connections=UPLOAD_THREADS, retries={"total_max_attempts": 1}
        )
        # A session of its own: making clients from the default one is not safe in threads.
        return boto3.session.Session().client(
            "s3", endpoint_url=self.origin, region_name=REGION, config=config,
            aws_access_key_id=self.key_id, aws_secret_access_key=self.secrets[0],
        )  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        anonymous = {
            "AWS_ENDPOINT_URL_S3": self.origin,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        return anonymous | {KEY_ID: self.key_id, SECRET: self.secrets[0]}

    @property
    def reader_environment(self) -> dict[str, str]:
        return self.environment | {KEY_ID: self.reader_id, SECRET: self.secrets[1]}

    @property
    def wrong_environment(self) -> dict[str, str]:
        return self.environment | {SECRET: secrets.token_hex(20)}

    @property
    def anonymous_environment(self) -> dict[str, str]:
        return {name: text for name, text in self.environment.items() if name not in (KEY_ID, SECRET)}

    def make_bucket(self, name: str, *, public: bool) -> None:
        self.client.create_bucket(Bucket=name)
        if public:
            allowed = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"]}
            statement = allowed | {"Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]}
            policy = {"Version": "2012-10-17", "Statement": [statement]}
            self.client.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))

    def put(self, bucket: str, key: str, content: bytes) -> None:
        # What S3 itself calls an object that comes without a type. SeaweedFS would guess text/plain of a CSV, keep it
        # compressed, and inflate a megabyte for each read of four bytes.
        self.client.put_object(Bucket=bucket, Key=key, Body=content, ContentType="binary/octet-stream")

    def get(self, bucket: str, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def delete(self, bucket: str, key: str) -> None:
        self.client.delete_object(Bucket=bucket, Key=key)

    def versions(self, bucket: str, prefix: str) -> Iterator[tuple[str, str | None]]:
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from ((one["Key"], one["ETag"]) for one in page.get("Contents", []))

    def open_uploads(self, bucket: str) -> list[str]:
        pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
        return [one["Key"] for page in pages for one in page.get("Uploads", [])]

    def stores(self) -> bool:
        """Whether an object can be stored: a server may answer before it can."""
        try:
            self.client.create_bucket(Bucket="ready")
            self.put("ready", "ready", b"ready")
            self.client.delete_object(Bucket="ready", Key="ready")
            self.client.delete_bucket(Bucket="ready")
        except (BotoCoreError, ClientError):
            return False
        return True


def weed_identities(server: S3) -> str:
    """Give SeaweedFS's list of who may do what: one key pair may do everything, the other reads and lists."""
    actions = [["Admin", "Read", "Write", "List", "Tagging"], ["Read", "List"]]
    keys = zip((server.key_id, server.reader_id), server.secrets, actions, strict=True)
    identities = [
        {"name": key_id, "credentials": [{"accessKey": key_id, "secretKey": secret}], "actions": allowed}
        for key_id, secret, allowed in keys
    ]
    return json.dumps({"identities": identities})


def weed_command(server: S3, ports: Sequence[int], folder: Path) -> list[object]:
    """Give the command of SeaweedFS with all that it listens on at these ports, or off."""
    identities = folder / "identities.json"
    identities.write_text(weed_identities(server))
    http = [f"-{name}.port={port}" for name, port in zip(WEED_PARTS, ports, strict=False)]
    grpc = [f"-{name}.port.grpc={port}" for name, port in zip(WEED_PARTS, ports[len(WEED_PARTS) :], strict=True)]
    return [
        script("weed"), "mini", f"-dir={folder}", f"-ip={HOST}", f"-ip.bind={HOST}", *http, *grpc,
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-admin.ui=false", "-webdav=false", "-master.telemetry=false",
        f"-s3.config={identities}", "-s3.autoCreateBucket=false", f"-volume.max={VOLUMES}",
        # In its folder; a whole path may be longer than a socket's can be.
        "-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock",
    ]  # fmt: skip


@contextlib.contextmanager
def weed() -> Iterator[S3]:
    """Run SeaweedFS once."""
    ports = free_ports(2 * len(WEED_PARTS))
    server = S3(f"http://{HOST}:{ports[WEED_PARTS.index('s3')]}")
    # A bucket begins with one volume, not with seven.
    growth = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
    grpc = zip(WEED_PARTS, ports[len(WEED_PARTS) :], strict=True)
    sockets = [f"/tmp/seaweedfs-{part}-grpc-{port}.sock" for part, port in grpc]
    with running(lambda folder: weed_command(server, ports, folder), server.stores, growth, sockets):
        yield server


def s3_server() -> AbstractContextManager[S3]:
    """Run SeaweedFS, which checks keys and signatures."""
    return retried(weed)


@contextlib.contextmanager
def moto() -> Iterator[S3]:
    """Run moto once."""
    (port,) = free_ports(1)
    server = S3(f"http://{HOST}:{port}")
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", port]
    with running(lambda _: command, lambda: answers(server.endpoint), {}):
        yield server


def moto_server() -> AbstractContextManager[S3]:
    """Run moto, which takes any keys."""
    return retried(moto)
