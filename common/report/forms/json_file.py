"""The report as JSON; docs/report.md describes it."""

from __future__ import annotations

from typing import BinaryIO

import msgspec
from pycytominer_transform.common.report.contents import Report


def write_json(report: Report, sink: BinaryIO) -> None:
    """Write the report as indented JSON."""
    sink.write(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
