"""Several populations of one evaluation: related by a column, or refused with the ways out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from converting import Convert, Options, differences, parquet_table
from harmony_exports import Population, evaluation_of, object_rows, write_evaluation
from oracle_harmony import KEYS, Row, expected_rows
from running import run

IMAGE = KEYS[:-1]
NUMBER = "Metadata_ObjectNumber"
WAYS = ("files", "streams", "concurrent")


def by_key(rows: Sequence[Row], number: str = NUMBER) -> dict[tuple[Any, ...], Row]:
    return {(*(row[name] for name in IMAGE), row[number]): row for row in rows}


def beside(row: Row, partner: Row) -> Row:
    """Give a row with its partner's columns behind its own."""
    return row | {name: value for name, value in partner.items() if name not in row}


def given_rows(out: Path) -> list[dict[str, Any]]:
    own = ("Metadata_CellID", "Metadata_TableNumber")
    rows: list[dict[str, Any]] = parquet_table(out).to_pylist()
    return [{name: value for name, value in row.items() if name not in own} for row in rows]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("size", ["1", "64MB"])
def test_a_population_that_leads_to_another(how: str, size: str, tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    # The files list the images in another order.
    cells = object_rows("Cells", parents=["Nuclei Selected"], timepoints=(1, 0))
    nuclei = object_rows("Nuclei Selected", timepoints=(0, 1), fields=(1, 2))
    for evaluation in (1, 2):
        write_evaluation(source, [cells, nuclei], name=evaluation_of(evaluation=evaluation))
    given = given_rows(convert(source, how, Options(discover=("--part-size", size))))
    partners = by_key(expected_rows(source, "Nuclei Selected"))
    anchors = expected_rows(source, "Cells")
    parents = by_key(anchors, "Metadata_Cells_Object No in Nuclei Selected")
    assert parents.keys() == partners.keys()
    expected = [
        beside(row, partners[(*(row[k] for k in IMAGE), row["Metadata_Cells_Object No in Nuclei Selected"])])
        for row in anchors
    ]
    assert given == expected


def spots(source: Path) -> Population:
    """Write nuclei, of which one has no spot and the others have one to three; a spot lies in none."""
    nuclei = object_rows("Nuclei", cells=4)

    def relate(rows: list[dict[str, str]]) -> None:
        for row in rows:
            number = int(row["Object No"])
            row["Spots - Object No in Nuclei"] = "NaN" if number == 6 else "1" if number < 4 else str(number - 2)

    population = object_rows("Spots", cells=6, parents=["Nuclei"]).changed(relate)
    write_evaluation(source, [nuclei, population])
    return population


@pytest.mark.parametrize("how", WAYS)
def test_children_are_refused_with_the_ways_out_and_averaged(how: str, tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    spots(source)
    ran = run("flow", source, "-q", "-o", tmp_path / "refused.parquet")
    line = ran.failed(1, "table spots holds 3 objects of one of nuclei", "which would multiply cells")
    assert "--aggregate-children mean or count" in line
    assert "--compartments nuclei" in line
    given = given_rows(convert(source, how, Options(join=("--aggregate-children", "mean"))))
    children: dict[tuple[Any, ...], list[Row]] = {}
    for row in expected_rows(source, "Spots"):
        children.setdefault((*(row[k] for k in IMAGE), row["Metadata_Spots_Object No in Nuclei"]), []).append(row)
    nuclei = expected_rows(source, "Nuclei")
    assert (
        [row["Spots_Count"] for row in given]
        == [len(children.get(key, ())) for key in by_key(nuclei)]
        == [3, 1, 1, 0] * 4
    )
    for row, key in zip(given, by_key(nuclei), strict=True):
        for name in ("X", "Spots Area [µm²]", "Intensity Spots Ch1 Mean"):
            values: list[Any] = [c[f"Spots_{name}"] for c in children.get(key, ()) if c[f"Spots_{name}"] is not None]
            wanted = mean(values) if values else None
            assert row[f"Spots_Mean_{name}"] == (wanted if wanted is None else pytest.approx(wanted, rel=1e-15))


def test_the_anchor_of_the_user(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    spots(source)
    given = given_rows(convert(source, options=Options(discover=("--anchor", "spots"), join=("--unmatched", "keep"))))
    partners = by_key(expected_rows(source, "Nuclei"))
    anchors = expected_rows(source, "Spots")
    for row, own in zip(given, anchors, strict=True):
        assert {name: row[name] for name in own} == own
        partner = partners.get((*(row[k] for k in IMAGE), row["Metadata_Spots_Object No in Nuclei"]))
        assert row["Nuclei_Nuclei Area [µm²]"] == (partner["Nuclei_Nuclei Area [µm²]"] if partner else None)


def test_the_one_population_of_any_name_is_the_anchor(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    write_evaluation(source, [object_rows("594 Perox. (b)", parents=["Cyto"])])
    assert given_rows(convert(source)) == expected_rows(source, "594 Perox. (b)")


def test_where_the_preset_names_none_of_several_the_anchor_is_asked_for(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    write_evaluation(source, [object_rows("Cyto Selected", parents=["Debris"]), object_rows("Debris")])
    line = run("discover", source, "-q", "-o", tmp_path / "m").failed(2, "the populations cyto selected, debris")
    option = shlex.split(line.partition("with ")[2])
    assert option == ["--anchor", "cyto selected"]
    assert len(given_rows(convert(source, options=Options(discover=option)))) == 12
    near = run("discover", source, "-q", "-o", tmp_path / "m", "--anchor", "cyto selectd").failed(2, "none of")
    assert near.endswith("did you mean cyto selected?")


def test_unrelated_populations_are_refused_with_the_ways_out(tmp_path: Path, convert: Convert) -> None:
    source, alone = tmp_path / "source", tmp_path / "alone"
    nuclei = object_rows("Nuclei")
    write_evaluation(source, [nuclei, object_rows("Spots", cells=2), object_rows("Cells", cells=1)])
    write_evaluation(alone, [nuclei])
    for tool in ("discover", "flow"):
        line = run(tool, source, "-q", "-o", tmp_path / "refused").failed(2, "nothing relates nuclei, spots to cells")
        assert "no column 'cells - Object No in Nuclei' or 'nuclei - Object No in Cells'" in line
    ways = re.findall(r"--compartments (\S+?),? ", line)
    assert ways == ["cells", "cells,nuclei,spots"]
    options = Options(discover=("--compartments", "nuclei"))
    assert differences(convert(alone), convert(source, options=options)) == []
    (tmp_path / "own.sql").write_text(
        "SELECT n.*, (SELECT count(*) FROM spots s WHERE (s.Metadata_Row, s.Metadata_Column, s.Metadata_Site) = "
        "(n.Metadata_Row, n.Metadata_Column, n.Metadata_Site)) AS Spots_Count FROM nuclei n"
    )
    own = Options(discover=("--compartments", ways[1], "--anchor", "nuclei"), join=("--sql", str(tmp_path / "own.sql")))
    assert parquet_table(convert(source, options=own))["Spots_Count"].to_pylist() == [2] * 12


def test_a_population_that_not_all_evaluations_have_is_passed_over_and_named(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    write_evaluation(source, [object_rows("Nuclei"), object_rows("Spots")])
    write_evaluation(source, [object_rows("Nuclei", seed=1)], name=evaluation_of("PLATE2"))
    ran = run("discover", source, "-o", tmp_path / "m").done()
    assert "passed over the populations spots, which not all datasets have" in ran.err
    assert given_rows(convert(source)) == expected_rows(source, "Nuclei")


def test_an_evaluation_without_the_anchor(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    write_evaluation(source, [object_rows("Nuclei")])
    write_evaluation(source, [object_rows("Spots")], name=evaluation_of("PLATE2"))
    words = [source, "-q", "-o", tmp_path / "m"]
    line = run("discover", *words).failed(1, "PLATE2", "no population nuclei (there is Objects_Population - Spots.txt)")
    assert line.endswith("; --on-bad-dataset skip goes on without it")
    rows = given_rows(convert(source, options=Options(discover=("--on-bad-dataset", "skip"))))
    assert [row["Metadata_Plate"] for row in rows] == ["PLATE1"] * 12


def test_a_name_that_no_population_has(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_evaluation(source, [object_rows("Nuclei")])
    words = ("discover", source, "-q", "-o", tmp_path / "m")
    line = run(*words, "--compartments", "nucle").failed(1, "no dataset has a population nucle; there are nuclei")
    assert line.endswith("did you mean nuclei?")
    run(*words, "--anchor", "cells").failed(2, "--anchor cells is none of the populations: nuclei")
    assert run(*words, "--compartments", "Nuclei").done()
