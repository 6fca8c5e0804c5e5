"""A report on Parquet in a store, written there: the same as of the same files on a disk."""

from __future__ import annotations

import json
from pathlib import Path

from cloud_servers import Bucket
from plates import Plate, write_csv
from running import run


def test_a_report_on_objects_is_that_on_files(bucket: Bucket, tmp_path: Path) -> None:
    run("flow", write_csv(Plate(folders=4, cells=8, features=12, sites=2), tmp_path / "plate"), "-o", tmp_path / "out",
        "--part-size", "1").done()  # fmt: skip
    for file in (tmp_path / "out").iterdir():
        bucket.put(f"profiles/out/{file.name}", file.read_bytes())
    run("report", tmp_path / "out", "-o", tmp_path / "r.json").done()
    run("report", f"{bucket.url}/profiles/out", "-o", f"{bucket.url}/reports/r.json").done()
    of_files, of_objects = json.loads((tmp_path / "r.json").read_text()), json.loads(bucket.get("reports/r.json"))
    assert len(of_files["files"]) == 4
    for key in of_files.keys() - {"command", "files"}:
        assert of_objects[key] == of_files[key], key
    assert [file["rows"] for file in of_objects["files"]] == [file["rows"] for file in of_files["files"]]
    run("report", f"{bucket.url}/profiles/out", "-o", f"{bucket.url}/reports/r.html").done()
    assert bucket.get("reports/r.html").lstrip().startswith(b"<!DOCTYPE html>")
    run("report", f"{bucket.url}/profiles/none").failed(1, "profiles/none")
