"""Sources that no preset reads: the message names what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from pycytominer_transform.tools import discover
from running import run


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Evaluation1/PlateResults.txt", "is Harmony's results per well; export the list of objects"),
        ("Objects_Population - Nuclei.txt.gz", "is a packed list of objects of Harmony; unpack it"),
        ("plate.parquet", "is a Parquet file"),
        ("table.arrow", "is an Arrow file; if it is a manifest"),
        ("r01c01f01.TIFF", "is an image; measure it first"),
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_other_kinds_of_files_are_named(
    name: str, words: str, alone: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "source" / name
    file.parent.mkdir(parents=True)
    file.write_text("anything\tat all\n")
    source = file if alone else tmp_path / "source"
    assert discover.main([str(source), "-q", "-o", str(tmp_path / "manifest")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert file.name in line


def test_programs_whose_text_no_preset_reads_are_named(tmp_path: Path) -> None:
    for name, says in (("Cell table.txt", True), ("results.dat", False)):
        source = tmp_path / name.partition(".")[0]
        source.mkdir()
        (source / name).write_text("Well\tArea\nA01\t1\n")
        line = run("discover", source, "-q", "-o", tmp_path / "manifest").failed(1, "see --compartments, or --preset")
        assert line.endswith("of your own, as text of Columbus and MetaXpress needs") == says
