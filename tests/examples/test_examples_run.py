"""The scripts in examples/ do what they say, on the demo plate."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from running import PATIENCE, environment

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "tests" / "demo" / "plate"
EXAMPLES = {"convert_plates.py", "stages.py", "well_medians.py"}


def run(name: str, *words: object) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, words)]
    # Prefect's own temporary server has 20 s to start, which a busy machine may not give it.
    patient = environment(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=str(PATIENCE))
    ran = subprocess.run(command, capture_output=True, text=True, timeout=3 * PATIENCE, env=patient)
    assert ran.returncode == 0, ran
    return ran.stdout


def test_all_examples_are_run_here() -> None:
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == EXAMPLES


def test_the_stages_and_the_medians_of_wells(tmp_path: Path) -> None:
    told = run("stages.py", DEMO, tmp_path)
    assert told.splitlines() == [
        "24 files in 1 parts", "0 cells lack their image", "4 cells lack their cells", "1 cells lack their nuclei",
        "116 rows, 58 columns",
    ]  # fmt: skip
    run("well_medians.py", tmp_path / "plate.parquet", tmp_path / "wells.parquet")
    values = defaultdict(list)
    name = "Nuclei_AreaShape_Area"
    for row in pq.read_table(tmp_path / "plate.parquet", columns=["Metadata_Well", name]).to_pylist():
        if row[name] is not None:
            values[row["Metadata_Well"]].append(row[name])
    expected = {well: statistics.median(areas) for well, areas in values.items()}
    wells = pq.read_table(tmp_path / "wells.parquet").to_pylist()
    assert {row["Metadata_Well"]: row[name] for row in wells} == expected
    assert len(expected) == 3


@pytest.mark.endurance
@pytest.mark.prefect
def test_every_plate_of_a_folder(tmp_path: Path) -> None:
    shutil.copytree(DEMO, tmp_path / "screen" / "a")
    (tmp_path / "tables").mkdir()
    assert "a: 111 cells" in run("convert_plates.py", tmp_path / "screen", tmp_path / "tables")
    assert pq.read_metadata(tmp_path / "tables" / "a.parquet").num_rows == 111
