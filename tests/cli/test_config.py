"""`pct-flow --config FILE.toml`: the options of a file, by their names; an option that is typed wins."""

from __future__ import annotations

from pathlib import Path

import pytest
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.tools import flow_options
from running import run

pytestmark = pytest.mark.quick
SETTINGS = """
output = "plate.parquet"
workers = 2
float32 = true
counts = false
compartments = ["cells", "nuclei"]
cast = ["Metadata_Plate=string"]
part_size = "32MB"
max-failures = 0
"""


def options(folder: Path, text: str, *words: str) -> flow_options.FlowOptions:
    (folder / "plate.toml").write_text(text)
    given = ["--config", str(folder / "plate.toml"), *words]
    return flow_options.flow_options(flow_options.build_parser().parse_args(flow_options.with_config(given)))


def test_options_of_every_kind(tmp_path: Path) -> None:
    found = options(tmp_path, SETTINGS, "plate")
    assert (found.workers, found.max_failures, found.discover.part_size) == (2, 0, 32_000_000)
    assert (found.extract.float32, found.join.counts) == (True, False)
    assert (found.discover.compartments, found.extract.cast) == (("cells", "nuclei"), ("Metadata_Plate=string",))


def test_a_typed_option_wins_and_a_repeatable_one_is_added(tmp_path: Path) -> None:
    found = options(tmp_path, SETTINGS, "plate", "--workers", "5", "--cast", "Metadata_Well=string")
    assert found.workers == 5
    assert found.extract.cast == ("Metadata_Plate=string", "Metadata_Well=string")


def test_the_equals_sign_is_taken_too(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("workers = 3")
    assert flow_options.with_config([f"--config={tmp_path / 'x.toml'}", "p"])[0] == "--workers=3"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("worker = 2", "has no option worker; did you mean workers?"),
        ("config = 'other.toml'", "has no option config"),
        ("workers = {a = 1}", "workers must be a text"),
        ("workers =", "are not TOML"),
        ("\udcff", "are not TOML"),
    ],
)
def test_what_is_wrong_with_the_file_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(text.encode(errors="surrogateescape"))
    line = run("flow", "plate", "-o", "x.parquet", "--config", tmp_path / "bad.toml").failed(2, said)
    assert f"error: {tmp_path / 'bad.toml'}: " in line


def test_a_value_that_makes_no_sense(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("workers = 0")
    run("flow", "plate", "-o", "x.parquet", "--config", tmp_path / "bad.toml").failed(2, "--workers", "above 0")
    run("flow", "plate", "-o", "x.parquet", "--config", tmp_path / "none.toml").failed(2, "none.toml")


def test_a_prefect_flow_takes_neither_a_file_nor_a_dry_run() -> None:
    for name, value in (("config", "x.toml"), ("dry_run", True)):
        with pytest.raises(UsageError, match="unrecognized"):
            flow_options.parsed("plate", "x.parquet", {name: value})
