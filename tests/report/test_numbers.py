"""Every number of a report is what `csv` and `sqlite3` find in the source."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from converting import run_shell
from oracle_report import Expected, expected_of_csv, expected_of_sqlite, expected_z
from plates import Plate, write_csv
from plates_sqlite import SqliteStyle, write_sqlite
from report_sources import telling_source
from running import run

WELLS = ("A05", "A20")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the telling source."""
    return telling_source(tmp_path_factory.mktemp("report") / "plate")


@pytest.fixture(scope="module")
def expected(source: Path) -> Expected:
    """Give what a report must say of it."""
    return expected_of_csv(source)


@pytest.fixture(scope="module")
def staged(source: Path) -> Path:
    """Give the folder in which its profiles lie."""
    folder = source.parent
    run("discover", source, "-o", folder / "m", "--part-size", "8kB").done()
    run("extract", folder / "m", "-o", folder / "b").done()
    run("join", folder / "b", "-o", folder / "p").done()
    return folder


def made_in_each_way(staged: Path, way: str) -> Path:
    """Write the profiles in some way that lays them out otherwise, and give the output."""
    output = staged / f"{way}.parquet"
    if output.exists():
        return output
    if way == "one file":
        run("write", staged / "p", "-o", output).done()
    elif way == "many row groups":
        run("write", staged / "p", "-o", output, "--row-group-rows", "37").done()
    elif way == "a file per part":
        output = staged / "by part"
        run("write", staged / "p", "-o", output).done()
    elif way == "a flow's files":
        output = staged / "flow"
        run("flow", staged / "plate", "-o", output, "--part-size", "8kB").done()
    elif way == "float32":
        run("extract", staged / "m", "-o", staged / "b32", "--float32").done()
        run("join", staged / "b32", "-o", staged / "p32").done()
        run("write", staged / "p32", "-o", output).done()
    return output


def reported(output: Path, *more: object) -> dict[str, Any]:
    """Give the report on an output as JSON has it."""
    file = output.parent / "report.json"
    run("report", output, *more, "-o", file, "--overwrite").done()
    made: dict[str, Any] = json.loads(file.read_text())
    return made


WAYS = ("one file", "many row groups", "a file per part", "a flow's files", "float32")


@pytest.fixture(scope="module", params=WAYS)
def report(request: pytest.FixtureRequest, staged: Path) -> dict[str, Any]:
    """Give the report on the output, laid out in each way."""
    return reported(made_in_each_way(staged, request.param))


def wells_of(report: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(plate["name"], well["name"]): well for plate in report["plates"] for well in plate["wells"]}


def test_the_wells_are_those_of_the_oracle(report: dict[str, Any], expected: Expected) -> None:
    wells = wells_of(report)
    assert wells.keys() == expected.image_sets.keys()
    assert report["rows"] == expected.rows == report["totals"]["cells"]["total"]
    for key, well in wells.items():
        assert well["cells"] == expected.cells[key], key
        assert well["image_sets"] == expected.with_cells[key], key
        assert well["image_sets_read"] == expected.image_sets[key], key
        assert well["image_sets_without_objects"] == expected.without_objects[key], key
        assert well["nulls"] == expected.nulls[key], key
        assert well["sites"] == dict(expected.sites[key]), key
        assert well["objects"] == dict(expected.objects[key]), key
        assert well["unmatched"] == {name: number for name, number in expected.unmatched[key].items() if number}, key
        assert well["without"] == dict(expected.without[key]), key
        features = len(expected.features)
        share = expected.nulls[key] / (features * expected.cells[key]) if expected.cells[key] else None
        assert well["null_share"] == (pytest.approx(share, rel=1e-12) if share is not None else None), key
        means = {name: math.fsum(areas) / len(areas) for name, areas in expected.areas[key].items() if areas}
        assert well["mean_areas"] == pytest.approx(means, rel=1e-12), key


def test_missing_wells_and_sites(report: dict[str, Any], expected: Expected) -> None:
    (plate,) = report["plates"]
    assert (plate["rows"], plate["columns"]) == (16, 24)
    found = {name for _, name in expected.image_sets}
    everywhere = [f"{row}{column:02d}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)]
    assert plate["missing"] == [name for name in everywhere if name not in found]
    assert set(WELLS) <= set(plate["missing"])
    sites = {site for counts in expected.sites.values() for site in counts}
    assert plate["sites"] == sorted(sites)
    missing = 0
    for key, well in wells_of(report).items():
        assert well["sites_missing"] == sorted(sites - expected.sites[key].keys()), key
        doubled = [site for site, number in expected.image_sets_of_site[key].items() if number > 1]
        assert well["sites_doubled"] == doubled, key
        without_cells = expected.image_sets[key] - expected.with_cells[key]
        missing += max(0, len(sites - expected.sites[key].keys()) - without_cells)
    assert report["totals"]["sites"]["missing"] == missing >= 1
    assert report["totals"]["sites"]["doubled"] == 1
    assert report["totals"]["wells"]["missing"] == 384 - len(found)


def test_tables_of_objects(report: dict[str, Any], expected: Expected) -> None:
    tables = {table["table"]: table for table in report["tables"]}
    assert tables.keys() == {"image", "cells", "cytoplasm", "nuclei"}
    for name in ("cells", "cytoplasm", "nuclei"):
        rows = sum(counts[name] for counts in expected.objects.values())
        unmatched = sum(counts[name] for counts in expected.unmatched.values())
        assert (tables[name]["rows"], tables[name]["unmatched"]) == (rows, unmatched)
        assert tables[name]["joined"] == rows - unmatched == expected.rows
    for name in ("cells", "nuclei"):
        assert tables[name]["without"] == sum(counts[name] for counts in expected.without.values()) > 0
    objects = report["totals"]["objects"]
    assert objects["unmatched"] == sum(sum(counts.values()) for counts in expected.unmatched.values())
    assert objects["dropped"] == sum(counts["cytoplasm"] for counts in expected.objects.values()) - expected.rows


def faults_of(values: list[float | None]) -> list[str]:
    there = [value for value in values if value is not None]
    share = 1 - len(there) / len(values)
    faults = ["all null"] if not there else ["mostly null"] if share >= 0.5 else []
    faults += ["infinite"] if any(map(math.isinf, there)) else []
    return faults + (["constant"] if there and min(there) == max(there) else [])


def test_features(report: dict[str, Any], expected: Expected) -> None:
    features = {feature["name"]: feature for feature in report["features"]}
    assert features.keys() == expected.features.keys()
    for name, values in expected.features.items():
        there = [value for value in values if value is not None]
        feature = features[name]
        assert feature["nulls"] == len(values) - len(there), name
        assert feature["null_share"] == pytest.approx(feature["nulls"] / len(values)), name
        assert feature["infinite"] == sum(map(math.isinf, there)), name
        finite = [value for value in there if math.isfinite(value)]
        for key, bound in (("minimum", min(finite, default=None)), ("maximum", max(finite, default=None))):
            assert feature[key] == (pytest.approx(bound, rel=1e-6) if bound is not None else None), name
        assert feature["faults"] == faults_of(values), name
    totals = report["totals"]["features"]
    for fault in ("all null", "mostly null", "infinite", "constant"):
        number = sum(fault in faults_of(values) for values in expected.features.values())
        assert totals[fault.replace(" ", "_")] == number == 1, fault
    assert totals["null_share"] == pytest.approx(
        sum(expected.nulls.values()) / (expected.rows * len(expected.features))
    )
    groups = {(each["compartment"], each["module"], each["channel"]): each for each in report["feature_groups"]}
    assert sum(group["features"] for group in groups.values()) == len(features)
    assert groups["Cells", "Intensity", "DNA"]["faulty"] == 1


def test_outliers_by_robust_z(report: dict[str, Any], expected: Expected) -> None:
    wells = wells_of(report)
    measures = {"cells": {key[1]: float(expected.cells[key]) for key in wells}}
    for compartment in ("Cells", "Cytoplasm", "Nuclei"):
        measures[f"area.{compartment}"] = {
            key[1]: math.fsum(areas[compartment]) / len(areas[compartment])
            for key, areas in expected.areas.items()
            if areas[compartment]
        }
    for measure, values in measures.items():
        scores = expected_z(values)
        assert scores
        for (_, name), well in wells.items():
            if name in scores:
                assert well["robust_z"][measure] == pytest.approx(scores[name]), (measure, name)
                assert (measure in well["outlier_of"]) == (abs(scores[name]) >= 3.5), (measure, name)
    outliers = sum(bool(well["outlier_of"]) for well in wells.values())
    assert report["totals"]["wells"]["outliers"] == outliers


def test_distributions(report: dict[str, Any], expected: Expected) -> None:
    histograms = {histogram["name"]: histogram for histogram in report["histograms"]}
    values: dict[str, list[float]] = {
        "cells per well": [float(expected.cells[key]) for key in expected.image_sets],
        "cells per site": [float(number) for counts in expected.sites.values() for number in counts.values()],
    }
    for compartment in ("Cells", "Cytoplasm", "Nuclei"):
        values[f"area of {compartment} in pixels"] = [
            area for areas in expected.areas.values() for area in areas[compartment]
        ]
    assert histograms.keys() == values.keys()
    for name, each in values.items():
        edges, counts = histograms[name]["edges"], histograms[name]["counts"]
        counted = [sum(first <= value < last for value in each) for first, last in itertools.pairwise(edges)]
        assert counts == counted, name
        assert sum(counts) == len(each), name


def test_a_table_of_the_wells(staged: Path, expected: Expected) -> None:
    output = made_in_each_way(staged, "one file")
    run("report", output, "-o", staged / "wells.parquet", "--overwrite").done()
    rows = pq.read_table(staged / "wells.parquet").to_pylist()
    assert len(rows) == 384
    for row in rows:
        key = (row["plate"], row["well"])
        assert row["is_missing"] == (key not in expected.image_sets)
        assert row["well"] == f"{chr(64 + row['row'])}{row['column']:02d}"
        assert row["cells"] == expected.cells[key]
        if not row["is_missing"]:
            for table in ("cells", "cytoplasm", "nuclei"):
                assert row[f"objects_{table}"] == expected.objects[key][table]
                assert row[f"unmatched_{table}"] == expected.unmatched[key][table]
            assert row["nulls"] == expected.nulls[key]


def test_a_database(tmp_path: Path) -> None:
    plate = Plate(folders=12, cells=10, features=16, sites=3, missing=0.2, empty=0.2, nan_share=0.2, seed=3)
    source = write_sqlite(plate, tmp_path / "plate.sqlite", SqliteStyle("cytominer_database"))
    expected = expected_of_sqlite(source)
    script = f"pct-discover -q --part-size 4kB {source} | pct-extract -q | pct-join -q | pct-write -q -o out.parquet"
    assert run_shell(script, tmp_path).returncode == 0
    report = reported(tmp_path / "out.parquet")
    for key, well in wells_of(report).items():
        assert well["cells"] == expected.cells[key]
        assert well["image_sets_read"] == expected.image_sets[key]
        assert well["image_sets_without_objects"] == expected.without_objects[key]
        assert well["objects"] == {name: number for name, number in expected.objects[key].items() if number}
        assert well["unmatched"] == {name: number for name, number in expected.unmatched[key].items() if number}
        assert well["nulls"] == expected.nulls[key]
    assert report["rows"] == expected.rows > 0


@pytest.mark.endurance
def test_several_plates_are_reported_together(staged: Path, expected: Expected, tmp_path: Path) -> None:
    other = Plate(folders=4, cells=6, features=24, sites=2, seed=11)
    run("flow", write_csv(other, tmp_path / "other"), "-o", tmp_path / "o.parquet", "--set", "Metadata_Batch=2").done()
    first = made_in_each_way(staged, "one file")
    report = reported(first, tmp_path / "o.parquet")
    assert report["source"] == "plate, other"
    more = expected_of_csv(tmp_path / "other")
    assert report["rows"] == expected.rows + more.rows
    for key, well in wells_of(report).items():
        assert well["cells"] == expected.cells[key] + more.cells[key]
        assert well["nulls"] == expected.nulls[key] + more.nulls[key]
    partial = [notice for notice in report["notices"] if notice["kind"] == "column that only some of the files have"]
    assert ("Metadata_Batch", 1) in [(notice["subject"], notice["number"]) for notice in partial]
