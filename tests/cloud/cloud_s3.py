"""S3 servers for tests: SeaweedFS, and moto for what that lacks."""

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
# More than any test run makes buckets, each of which takes a few.
VOLUMES = 5000


class S3(Server):
    """A running S3 server."""

    scheme = "s3"

    def __init__(self, origin: str, key_id: str, secret: str) -> None:
        super().__init__(origin)
        self.key_id = key_id
        self.secrets = (secret,)
        self.client = self.client_at(origin)

    def client_at(self, origin: str) -> Any:
        """Give boto3's client with this server's keys for an address of it; it may be shared by threads."""
        config = Config(
            s3={"addressing_style": "path"}, max_pool_connections=UPLOAD_THREADS, retries={"total_max_attempts": 1}
        )
        # A session of its own: making clients from the default one is not safe in threads.
        return boto3.session.Session().client(
            "s3", endpoint_url=origin, region_name=REGION, config=config,
            aws_access_key_id=self.key_id, aws_secret_access_key=self.secrets[0],
        )  # fmt: skip

    def environment_at(self, origin: str) -> dict[str, str]:
        anonymous = {"AWS_ENDPOINT_URL_S3": origin, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"}
        return anonymous | {KEY_ID: self.key_id, SECRET: self.secrets[0]}

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
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def get(self, bucket: str, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def delete(self, bucket: str, key: str) -> None:
        self.client.delete_object(Bucket=bucket, Key=key)

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from (one["Key"] for one in page.get("Contents", []))

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


class Moto(S3):
    """A running moto server: many of Amazon's interfaces at one endpoint, none of them durable."""


def new_keys() -> tuple[str, str]:
    """Give an access key's identifier and its secret."""
    return "AKIA" + secrets.token_hex(8).upper(), secrets.token_hex(20)


def weed_command(ports: Sequence[int], folder: Path) -> list[object]:
    """Give the command of SeaweedFS with all that it listens on at these ports, or off."""
    names = ("master", "volume", "filer", "s3", "admin")
    http = [f"-{name}.port={port}" for name, port in zip(names, ports, strict=False)]
    grpc = [f"-{name}.port.grpc={port}" for name, port in zip(names, ports[len(names) :], strict=True)]
    return [
        script("weed"), "mini", f"-dir={folder}", f"-ip={HOST}", f"-ip.bind={HOST}", *http, *grpc,
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-admin.ui=false", "-webdav=false", "-master.telemetry=false",
        f"-filer.localSocket={folder}/filer.sock", f"-s3.localSocket={folder}/s3.sock", f"-volume.max={VOLUMES}",
    ]  # fmt: skip


@contextlib.contextmanager
def weed() -> Iterator[S3]:
    """Run SeaweedFS once."""
    ports = free_ports(10)
    server = S3(f"http://{HOST}:{ports[3]}", *new_keys())
    with running(lambda folder: weed_command(ports, folder), server.stores, server.environment):
        yield server


def s3_server() -> AbstractContextManager[S3]:
    """Run SeaweedFS, which checks keys and signatures."""
    return retried(weed)


@contextlib.contextmanager
def moto() -> Iterator[Moto]:
    """Run moto once."""
    (port,) = free_ports(1)
    server = Moto(f"http://{HOST}:{port}", *new_keys())
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", port]
    with running(lambda _: command, lambda: answers(server.endpoint), {}):
        yield server


def moto_server() -> AbstractContextManager[Moto]:
    """Run moto, which checks keys only once `Moto.check_permissions` says so, and never a signature."""
    return retried(moto)
