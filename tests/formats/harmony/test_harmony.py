"""Harmony exports: every object comes out once, in every encoding and however the files are cut into parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from converting import Convert, Options, differences, parquet_table
from harmony_exports import KEYS, Population, Style, evaluation_of, object_rows, write_evaluation
from oracle_harmony import expected_rows
from pycytominer_transform.common.ipc.manifest_files import read_manifest
from running import run

OWN = {"Metadata_CellID", "Metadata_TableNumber"}
"""Columns that the tools add, and that no file has."""

ENCODINGS = {
    "UTF-8": Style(),
    "UTF-8 with a mark": Style("utf-8-sig"),
    "UTF-16": Style("utf-16"),
    "UTF-16, high bytes first": Style("utf-16-be"),
    "Windows": Style("cp1252"),
    "line ends of Unix": Style(line_end="\n"),
    "damaged on a Mac": Style(micro="¬µ"),
    "damaged on Windows": Style(micro="Âµ"),
    "no tab at the end of lines": Style(last_tab=False),
    "decimal commas": Style(comma=True),
    "decimal commas in UTF-16": Style("utf-16", comma=True),
}


def check(out: Path, source: Path, population: str = "Nuclei", *, comma: bool = False) -> None:
    """Compare every value of an output with the oracle's, in the oracle's order."""
    given, expected = parquet_table(out).to_pylist(), expected_rows(source, population, comma=comma)
    assert len(given) == len(expected) > 0
    for one, other in zip(given, expected, strict=True):
        assert {name: value for name, value in one.items() if name not in OWN} == other
    ids = [row["Metadata_CellID"] for row in given]
    assert None not in ids
    assert len(set(ids)) == len(ids)


def stripped(population: Population, *names: str) -> Population:
    """Leave columns out."""
    return replace(population, columns=tuple(name for name in population.header if name not in names))


@pytest.mark.parametrize("style", ENCODINGS)
def test_every_encoding(style: str, tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    write_evaluation(source, [object_rows("Nuclei")], ENCODINGS[style])
    for size in ("64MB", "400"):
        out = convert(source, options=Options(discover=("--part-size", size)))
        check(out, source, comma=ENCODINGS[style].comma)


@pytest.mark.parametrize("how", ["files", "streams", "pipe", "sequential", "concurrent"])
def test_all_ways_give_the_same_rows(how: str, tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    wells = [(row, column) for row in (2, 27) for column in (12, 3)]
    nuclei = object_rows("Nuclei", wells=wells, fields=(6, 1, 3), timepoints=(0, -1), planes=(1, 2), cells=4)
    write_evaluation(source, [nuclei])
    # In the order of time, then wells, so that the rows of a well lie apart.
    later = object_rows("Nuclei", seed=1, wells=wells, fields=(2, 1), timepoints=(2, 0, 1), cells=4)
    by_time = later.changed(lambda rows: rows.sort(key=lambda row: (int(row["Timepoint"]), int(row["Field"]))))
    write_evaluation(source, [by_time], name=evaluation_of(evaluation=2))
    whole = convert(source)
    check_rows(whole, source)
    for size in ("1", "1500", "7000"):
        assert differences(whole, convert(source, how, Options(discover=("--part-size", size)))) == []


def check_rows(out: Path, source: Path) -> None:
    """As `check`, with wells beyond Z."""
    given = parquet_table(out).to_pylist()
    assert {row["Metadata_Well"] for row in given if row["Metadata_Row"] == 27} == {"AA03", "AA12"}
    expected = expected_rows_of_many(source)
    assert [{name: row[name] for name in other} for row, other in zip(given, expected, strict=True)] == expected
    assert len({row["Metadata_CellID"] for row in given}) == len(given)


def expected_rows_of_many(source: Path) -> list[dict[str, object]]:
    from oracle_harmony import KEYS as ORDER
    from oracle_harmony import final_name, read_list, value

    rows: list[dict[str, object]] = []
    for path in source.rglob("*.txt"):
        for line in read_list(path)[1]:
            row: dict[str, object] = {"Metadata_Dataset": str(path.parent.relative_to(source))}
            rows.append(row | {final_name(n, "Nuclei"): value(n, text, comma=False) for n, text in line.items()})
    return sorted(rows, key=lambda row: [row[name] for name in ORDER])


@pytest.mark.parametrize("size", ["1", "900", "4000"])
def test_parts_are_ranges_of_rows_that_cover_the_file_once(size: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    nuclei = object_rows("Nuclei", wells=[(1, c) for c in range(1, 9)], fields=(3, 1, 2))
    (file,) = write_evaluation(source, [nuclei]).iterdir()
    run("discover", source, "-o", tmp_path / "manifest", "--part-size", size).done()
    sources = read_manifest(str(tmp_path / "manifest")).sources
    content = file.read_bytes()
    ranges = sorted(run for each in sources for run in each.row_ranges)
    assert ranges[0][0] == content.index(b"[Data]") + len(content[content.index(b"[Data]") :].split(b"\r\n")[1]) + 10
    assert ranges[-1][1] == len(content) - 1
    assert all(before[1] + 1 == after[0] for before, after in pairwise(ranges))
    for each in sources:
        texts = [content[first : last + 1] for first, last in each.row_ranges]
        assert each.bytes == sum(map(len, texts))
        assert each.rows == sum(text.count(b"\n") for text in texts)
        # No part is larger than asked for by more than one image set, here three rows.
        assert each.bytes <= int(size) + 3 * max(map(len, content.splitlines(keepends=True)))
    image_sets = [
        {
            tuple(line.split("\t")[:5])
            for first, last in each.row_ranges
            for line in content[first:last].decode().split("\n")
        }
        for each in sources
    ]
    assert sum(map(len, image_sets)) == len(set().union(*image_sets)) == 24


def test_several_plates_and_evaluations_in_one_tree(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    places = [("PLATE1", 1, 1), ("PLATE1", 1, 2), ("0012", 2, 1), ("PLATE 3: b", 1, 10)]
    for seed, (plate, measurement, evaluation) in enumerate(places):
        name = evaluation_of(plate, measurement, evaluation)
        write_evaluation(source, [object_rows("Nuclei", seed=seed)], list(ENCODINGS.values())[seed], name=name)
    for size in ("1", "3000", "64MB"):
        check(convert(source, options=Options(discover=("--part-size", size))), source)


def test_ids_are_plate_well_site_and_object_where_these_tell_all_images_apart(tmp_path: Path, convert: Convert) -> None:
    for plate in ("A", "B"):
        write_evaluation(tmp_path / "one", [object_rows("Nuclei", cells=1)], name=evaluation_of(plate))
    ids = parquet_table(convert(tmp_path / "one"))["Metadata_CellID"].to_pylist()
    assert ids == [f"{plate}:{well}:{site}:1" for plate in "AB" for well in ("B03", "B04") for site in (1, 2)]
    write_evaluation(tmp_path / "two", [object_rows("Nuclei", cells=1, timepoints=(0, 1), wells=[(2, 3)])])
    ids = parquet_table(convert(tmp_path / "two"))["Metadata_CellID"].to_pylist()
    assert ids == [f"{evaluation_of()}:2:3:1:{time}:{site}:1" for time in (0, 1) for site in (1, 2)]


def test_one_file_is_a_source_whatever_its_name(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    (file,) = write_evaluation(source, [object_rows("Nuclei Selected")]).iterdir()
    expected = parquet_table(convert(source)).drop_columns("Metadata_Dataset")
    alone = parquet_table(convert(file))
    assert alone["Metadata_Dataset"].unique().to_pylist() == ["Objects_Population - Nuclei Selected.txt"]
    assert alone.drop_columns("Metadata_Dataset").equals(expected)
    renamed = file.rename(tmp_path / "my nuclei.txt")
    assert parquet_table(convert(renamed)).drop_columns("Metadata_Dataset").equals(expected)


@pytest.mark.parametrize("absent", [("Plane",), ("Timepoint", "Plane"), ("Field",), ("Compound", "Concentration")])
def test_columns_that_an_export_lacks(absent: Sequence[str], tmp_path: Path, convert: Convert) -> None:
    fields = (1,) if "Field" in absent else (2, 1)
    source = tmp_path / "source"
    write_evaluation(source, [stripped(object_rows("Nuclei", fields=fields), *absent)])
    given = parquet_table(convert(source, options=Options(discover=("--part-size", "1")))).to_pylist()
    names = {"Field": "Metadata_Site"}
    assert not {names.get(name, f"Metadata_{name}") for name in absent} & given[0].keys()
    write_evaluation(tmp_path / "whole", [object_rows("Nuclei", fields=fields)])
    expected = expected_rows(tmp_path / "whole", "Nuclei")
    for row, whole in zip(given, expected, strict=True):
        assert {n: v for n, v in row.items() if n not in OWN} == {n: whole[n] for n in row if n not in OWN}


def test_an_evaluation_without_planes_beside_one_with_them(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    both = [object_rows("Nuclei", parents=["Cells"]), object_rows("Cells", parents=["Nuclei"])]
    write_evaluation(source, both)
    write_evaluation(source, [stripped(each, "Plane") for each in both], name=evaluation_of("PLATE2"))
    rows = parquet_table(convert(source)).to_pylist()
    assert [row["Metadata_Plane"] for row in rows] == [1] * 12 + [None] * 12


def test_lists_without_an_object(tmp_path: Path, convert: Convert) -> None:
    nuclei, cells = object_rows("Nuclei"), object_rows("Cells", parents=["Nuclei"])
    empty = [replace(each, rows=(), columns=each.header) for each in (nuclei, cells)]
    source = tmp_path / "source"
    write_evaluation(source, [nuclei, empty[1]])
    write_evaluation(source, empty, name=evaluation_of(evaluation=2))
    write_evaluation(source, [nuclei, cells], Style("utf-16"), name=evaluation_of(evaluation=3))
    for size in ("1", "64MB"):
        rows = parquet_table(convert(source, options=Options(discover=("--part-size", size)))).to_pylist()
        assert [row["Metadata_Dataset"] for row in rows] == [evaluation_of(evaluation=3)] * 12
        table = parquet_table(convert(source, options=Options(discover=("--anchor", "nuclei", "--part-size", size))))
        assert table.num_rows == 12
    write_evaluation(tmp_path / "nothing", empty[:1])
    table = parquet_table(convert(tmp_path / "nothing"))
    assert table.num_rows == 0
    assert table.column_names == parquet_table(convert(write_evaluation(tmp_path / "one", [nuclei]))).column_names


def test_texts_of_annotations_stay_as_they_are_written(tmp_path: Path, convert: Convert) -> None:
    def annotate(rows: list[dict[str, str]]) -> None:
        for row in rows:
            first = row["Column"] == "3"
            row |= {"Compound": "0012" if first else "7", "Concentration": "" if first else "2.50", "Plate": "p"}

    nuclei = object_rows("Nuclei").changed(annotate)
    header = [*nuclei.header]
    header.insert(header.index("Compound"), "Plate")
    source = tmp_path / "source"
    write_evaluation(source, [replace(nuclei, columns=tuple(header))])
    table = parquet_table(convert(source))
    assert table["Metadata_Compound"].to_pylist() == ["0012"] * 6 + ["7"] * 6
    assert table["Metadata_Concentration"].to_pylist() == [None] * 6 + [2.5] * 6
    # The plate is the one in the head, and what the user calls so stands beside it.
    assert table["Metadata_Plate"].unique().to_pylist() == ["PLATE1"]
    assert table["Metadata_Annotation_Plate"].unique().to_pylist() == ["p"]


def test_an_annotation_that_only_the_last_well_has(tmp_path: Path, convert: Convert) -> None:
    """Types are decided from the first row of every well, not from the beginning of the file alone."""

    def annotate(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["Compound"] = "DMSO" if row["Column"] == "12" else ""

    wells = [(1, column) for column in range(1, 13)]
    nuclei = object_rows("Nuclei", wells=wells, cells=40, features=60).changed(annotate)
    source = tmp_path / "source"
    write_evaluation(source, [nuclei])
    assert next(source.rglob("*.txt")).stat().st_size > 3 * 65536
    check(convert(source), source)


def test_roles_and_units(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    write_evaluation(source, [object_rows("Nuclei", parents=["Cells"])], Style(micro="¬µ"))
    schema = pq.read_schema(convert(source))
    said = {
        field.name: (field.metadata[b"pct.column_role"].decode(), field.metadata.get(b"pct.unit", b"").decode())
        for field in schema
    }
    assert {name: roles for name, roles in said.items() if name.startswith("Nuclei_")} == {
        "Nuclei_X": ("location", ""), "Nuclei_Y": ("location", ""), "Nuclei_Bounding Box": ("location", ""),
        "Nuclei_Position X [µm]": ("location", "µm"), "Nuclei_Position Y [µm]": ("location", "µm"),
        "Nuclei_Nuclei Area [µm²]": ("feature", "µm²"), "Nuclei_Intensity Nuclei Ch0 Mean": ("feature", ""),
        "Nuclei_Intensity Nuclei Ch1 Mean": ("feature", ""),
    }  # fmt: skip
    assert said["Metadata_ObjectNumber"] == said["Metadata_Nuclei_Object No in Cells"] == ("identifier", "")
    keys = ["Metadata_Plate", "Metadata_Well", *(f"Metadata_{name}" for name in KEYS[:4]), "Metadata_Site"]
    assert {said[name] for name in (*keys, "Metadata_Compound", "Metadata_Concentration")} == {("metadata", "")}


def test_places_in_anndata(tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    source = tmp_path / "source"
    write_evaluation(source, [object_rows("Nuclei")])
    run("flow", source, "-q", "-o", tmp_path / "x.h5ad").done()
    cells, rows = anndata.read_h5ad(tmp_path / "x.h5ad"), expected_rows(source, "Nuclei")
    assert cells.obsm["spatial"].tolist() == [[row["Nuclei_X"], row["Nuclei_Y"]] for row in rows]
    assert list(cells.var_names) == [f"Nuclei_{name}" for name in ("Nuclei Area [µm²]", *INTENSITIES)]


INTENSITIES = ("Intensity Nuclei Ch0 Mean", "Intensity Nuclei Ch1 Mean")


def test_results_per_well_are_named_and_passed_over(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "source"
    folder = write_evaluation(source, [object_rows("Nuclei")])
    expected = convert(source)
    (folder / "PlateResults.txt").write_text("Database Name\tHarmony\n\n[Data]\nRow\tColumn\t\n2\t3\t\n")
    (folder / "indexfile.txt").write_text("Row\tColumn\n")
    assert differences(expected, convert(source)) == []
    ran = run("discover", source, "-o", tmp_path / "manifest").done()
    assert f"passed over {evaluation_of()}/PlateResults.txt: results per well, not per object" in ran.err
    next(folder.glob("Objects*")).unlink()
    for place in (source, folder / "PlateResults.txt"):
        line = run("discover", place, "-q", "-o", tmp_path / "other").failed(1, "PlateResults.txt")
        assert line.endswith("is Harmony's results per well; export the list of objects of a population as well")


def test_an_export_beside_files_of_cellprofiler(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_evaluation(source, [object_rows("Nuclei")])
    (source / "Nuclei.csv").write_text("ImageNumber,ObjectNumber,AreaShape_Area\n1,1,2\n")
    line = run("discover", source, "-q", "-o", tmp_path / "manifest").failed(1, "looks like cellprofiler_csv, harmony")
    assert line.endswith("choose one with --preset cellprofiler_csv or --preset harmony")
    for preset, rows in (("cellprofiler_csv", -1), ("harmony", 12)):
        run("discover", source, "-o", tmp_path / preset, "--preset", preset).done()
        assert [each.rows for each in read_manifest(str(tmp_path / preset)).sources] == [rows]
