"""Every option that a message names: typed as it is printed, the conversion ends well."""

from __future__ import annotations

import ast
import gzip
import re
import shlex
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pycytominer_transform.common
import pycytominer_transform.tools
import pytest
from harmony_exports import object_rows, write_evaluation
from oracle_relations import add_children, renamed
from parquet_files import write_tables
from plates_sheets import SMALL, Tables, measured_name, set_column, small_tables, write_sheets, write_sqlite_sheets
from plates_sqlite import SqliteStyle
from pycytominer_transform.tools import flow_options
from running import STAGES, Ran, run

PH3 = "ph3"
Words = dict[str, list[str]]


def plate(tmp_path: Path) -> Path:
    return write_sheets(tmp_path / "plate", small_tables())


def each(change: Callable[[Tables], None]) -> Callable[[Path], Path]:
    """Make a plate of a change of each folder's tables."""

    def source(tmp_path: Path) -> Path:
        trees = small_tables()
        for tables in trees.values():
            change(tables)
        return write_sheets(tmp_path / "plate", trees)

    return source


def with_spots(tables: Tables) -> None:
    add_children(tables, "PH3", "Nuclei", [2, 0, 1])


def with_a_filter(tables: Tables) -> None:
    """Cells lead to a table that no preset knows."""
    header, *lines = tables["Cells"]
    tables["Blobs"] = [list(line) for line in tables["Cells"]]
    number = header.index("ObjectNumber")
    tables["Cells"] = [[*header, "Parent_Blobs"], *([*line, line[number]] for line in lines)]


def with_both(tables: Tables) -> None:
    with_spots(tables)
    with_a_filter(tables)


def with_second_segmentation(tables: Tables) -> None:
    tables |= renamed({"": tables}, "_Two")[""]


def with_text(tables: Tables) -> None:
    set_column(tables["Cells"], measured_name(tables["Cells"]), ["oops"])


def long_plate(values: Sequence[str], name: str) -> Callable[[Path], Path]:
    """Make a plate with a column of the first value, for longer than a sample, and at its end the other."""

    def source(tmp_path: Path) -> Path:
        trees = small_tables(replace(SMALL, folders=1, features=3, images=300, missing=0.0))
        for tables in trees.values():
            header, *lines = tables["Cells"]
            first, last = values
            tables["Cells"] = [[*header, name], *([*line, first] for line in lines[:-1]), [*lines[-1], last]]
        return write_sheets(tmp_path / "plate", trees)

    return source


def other_names(tmp_path: Path) -> Path:
    return write_sheets(tmp_path / "plate", renamed(small_tables(), "_X"))


def other_names_behind_a_prefix(tmp_path: Path) -> Path:
    trees = {
        path: {f"MyExpt_{name}": lines for name, lines in tables.items()}
        for path, tables in renamed(small_tables(), "_X").items()
    }
    return write_sheets(tmp_path / "plate", trees)


def without_images(tmp_path: Path) -> Path:
    source = other_names_behind_a_prefix(tmp_path)
    for file in [*source.rglob("MyExpt_Image.csv")]:
        file.unlink()
    return source


def children_alone(tmp_path: Path) -> Path:
    """No table that a preset knows, and one is a child of another."""
    trees = small_tables()
    for tables in trees.values():
        tables["Blobs"] = tables.pop("Nuclei")
        del tables["Cells"], tables["Cytoplasm"]
        add_children(tables, "Spots", "Blobs", [2, 1])
    return write_sheets(tmp_path / "plate", trees)


def one_without_nuclei(tmp_path: Path) -> Path:
    source = plate(tmp_path)
    next(source.rglob("Nuclei.csv")).unlink()
    return source


def one_with_spots(tmp_path: Path) -> Path:
    trees = small_tables()
    with_spots(next(iter(trees.values())))
    return write_sheets(tmp_path / "plate", trees)


def database(change: Callable[[Tables], None]) -> Callable[[Path], Path]:
    def source(tmp_path: Path) -> Path:
        tables = next(iter(small_tables(replace(SMALL, folders=1)).values()))
        change(tables)
        style = SqliteStyle("cytominer_database")
        return write_sqlite_sheets(tmp_path / "plate.sqlite", tables, style, ("1",))

    return source


def evaluation(*names: str, parents: Sequence[str] = ()) -> Callable[[Path], Path]:
    """Make a source of Harmony's, with these populations, of which the first leads to others."""

    def source(tmp_path: Path) -> Path:
        lists = [object_rows(name, parents=parents if name == names[0] else ()) for name in names]
        write_evaluation(tmp_path / "screen", lists)
        return tmp_path / "screen"

    return source


def evaluation_with_a_code(tmp_path: Path) -> Path:
    """Make an annotation of numbers until the last row, far from all beginnings."""

    def annotate(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["Compound"] = "7"
        rows[-1]["Compound"] = "0012"

    write_evaluation(tmp_path / "screen", [object_rows("Nuclei", cells=300, features=30).changed(annotate)])
    return tmp_path / "screen"


def experiment_without_images(tmp_path: Path) -> Path:
    tables = next(iter(small_tables(replace(SMALL, folders=1)).values()))
    file = write_sqlite_sheets(tmp_path / "plate.sqlite", tables, SqliteStyle())
    with closing(sqlite3.connect(file)) as connection, connection:
        for name in tables:
            connection.execute(f"ALTER TABLE Per_{name} RENAME TO One_Per_{name}")
        connection.execute("CREATE TABLE Two_Per_Cells AS SELECT * FROM One_Per_Cells")
    return file


def two_kinds(tmp_path: Path) -> Path:
    """Put the database of another plate into a plate's folder."""
    database(lambda _: None)(tmp_path).rename(plate(tmp_path) / "other.sqlite")
    return tmp_path / "plate"


def packed(tmp_path: Path) -> Path:
    source = plate(tmp_path)
    for file in [*source.rglob("Cells.csv")]:
        Path(f"{file}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    return source


def parquet_tables(tmp_path: Path) -> Path:
    return write_tables(plate(tmp_path), tmp_path / "tables")


@dataclass(frozen=True)
class Case:
    """A conversion that says something, and where in its words the advice stands.

    Attributes
    ----------
    says
        Pattern of the message; its group ``advice`` is what to type.
    values
        What to give to options that the advice names without a value.
    """

    source: Callable[[Path], Path]
    says: str
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


TAKES = r"; (?P<advice>\S.*) takes? (it|them)( too)?$"
CASES = {
    "a bad value": Case(each(with_text), r"correct it, or give (?P<advice>--on-bad-value null)"),
    "a bad value in SQLite": Case(database(with_text), r"correct it, or give (?P<advice>--on-bad-value null)"),
    "a fraction among counts": Case(
        long_plate(("2", "2.5"), "Children_Foci_Count"), r"correct it, or give (?P<advice>--cast [^;]*)"
    ),
    "a code among whole numbers": Case(
        long_plate(("12", "0012"), "Metadata_Batch"), r"in a column of numbers; give (?P<advice>--[^;]*)"
    ),
    "a code among numbers of Harmony": Case(
        evaluation_with_a_code, r"in a column of numbers; give (?P<advice>--[^;]*)"
    ),
    "a population that nothing relates": Case(
        evaluation("Nuclei", "Spots"), r"leave out spots with (?P<advice>(pct-discover )?--compartments nuclei),"
    ),
    "populations that no preset names": Case(
        evaluation("Blobs B", "Blobs", parents=["Blobs"]), r"whose objects the rows are with (?P<advice>--anchor .*)$"
    ),
    "a bad dataset": Case(one_without_nuclei, r"; (?P<advice>--on-bad-dataset skip) goes on without it"),
    "a table that the cells lead to": Case(each(with_a_filter), f"passed over the table blobs .*{TAKES}"),
    "a child table": Case(each(with_spots), f"passed over the table ph3 .*{TAKES}"),
    "a child table in SQLite": Case(database(with_spots), f"passed over the table ph3 .*{TAKES}"),
    "both": Case(
        each(with_both), f"passed over the tables .*{TAKES}"
    ),
    "a second segmentation": Case(
        each(with_second_segmentation),
        r"nothing relates to the others; (?P<advice>\S.*) takes them instead$",
    ),
    "tables of other names": Case(other_names, r"take them with (?P<advice>--comp.*)$"),
    "tables of other names behind a prefix": Case(other_names_behind_a_prefix, r"take them with (?P<advice>--comp.*)$"),
    "tables behind a prefix without images": Case(without_images, r"take them with (?P<advice>--comp.*)$"),
    "a child table of other names": Case(children_alone, r"take them with (?P<advice>.*)$"),
    "several children": Case(
        each(with_spots), r"make one row of them with (?P<advice>--aggregate-children mean) or count",
        {"discover": ["--compartments", "cells,cytoplasm,nuclei,ph3"]},
    ),
    "several children, counted": Case(
        each(with_spots), r"make one row of them with (?P<advice>--aggregate-children) mean or count",
        {"discover": ["--compartments", "cells,cytoplasm,nuclei,ph3"]}, {"--aggregate-children": "count"},
    ),
    "several children, left out": Case(
        each(with_spots), r"or leave them out with (?P<advice>(pct-discover )?--compartments [^;]*)",
        {"discover": ["--compartments", "cells,cytoplasm,nuclei,ph3"]},
    ),
    "an unrelated table": Case(
        each(with_second_segmentation), r"take the others alone with (?P<advice>(pct-discover )?--compartments \S*),",
        {"discover": ["--compartments", "cells,cytoplasm,nuclei,cells_two", "--anchor", "cytoplasm"]},
    ),
    "two kinds in one folder": Case(two_kinds, r"choose one with (?P<advice>--preset cellprofiler_csv) or --preset"),
    "the other kind": Case(two_kinds, r"choose one with .* or (?P<advice>--preset .*)$"),
    "a platemap's column that the profiles have": Case(
        plate, r"or match by it with (?P<advice>--platemap-on [^;]*)",
        {"join": ["--platemap", "{folder}/plates.csv"]},
    ),
    "a platemap of several plates": Case(
        plate, r"name further keys with (?P<advice>--platemap-on), such as plate,well",
        {"join": ["--platemap", "{folder}/twice.csv"]}, {"--platemap-on": "plate,well"},
    ),
    "a platemap without wells": Case(
        plate, r"say which it is with (?P<advice>--platemap-on), such as hole=well",
        {"join": ["--platemap", "{folder}/holes.csv"]}, {"--platemap-on": "hole=well"},
    ),
    "columns of images": Case(plate, r"passed over: .*; (?P<advice>--image-columns all) takes them"),
    "much in a packed file": Case(
        packed, r"allow more with (?P<advice>(pct-extract )?--max-inflate)", {"extract": ["--max-inflate", "100"]},
        {"--max-inflate": "1GB"},
    ),
    "much in a part of Parquet": Case(
        parquet_tables, r"inflates to more than .* allow more with (?P<advice>(pct-extract )?--max-inflate)",
        {"extract": ["--max-inflate", "10"]}, {"--max-inflate": "1GB"},
    ),
    "an experiment without images": Case(
        experiment_without_images, r"not both an image table and objects; take only such with (?P<advice>--prefix .*)$"
    ),
    "a platemap's key": Case(
        plate, r"give (?P<advice>--image-columns '[^']*')",
        {"join": ["--platemap", "{folder}/map.csv", "--platemap-on", "Image_Group_Number"]},
    ),
}  # fmt: skip


def options_in(advice: str, tool: str, values: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each option of an advice with its value, and the tool to give it to."""
    option: list[str] = []
    for word in [*shlex.split(advice), "and"]:
        if word in ("and", "or") or word.startswith(("--", "pct-")):
            if option:
                yield tool, option if len(option) > 1 or option[0] not in values else [*option, values[option[0]]]
            option = [word] if word.startswith("--") else []
            tool = word.removeprefix("pct-") if word.startswith("pct-") else tool
        else:
            option.append(word)


def stages(source: Path, out: Path, words: Mapping[str, Sequence[str]]) -> list[Ran]:
    """Run the four tools one after the other, up to the first that fails."""
    out.mkdir()
    places = [source, *(out / name for name in ("manifest.arrow", "bundle", "profiles", "made.parquet"))]
    ended: list[Ran] = []
    for stage, before, after in zip(STAGES, places, places[1:], strict=False):
        ended.append(run(stage, before, "-o", after, *words.get(stage, ())))
        if ended[-1].code:
            break
    return ended


def advised(ended: Sequence[Ran], case: Case) -> tuple[str, str]:
    """Return what the tools say, and which of them."""
    found = [
        (match["advice"], ran.tool) for ran in ended for line in ran.lines if (match := re.search(case.says, line))
    ]
    assert found, [ran.lines for ran in ended]
    return found[0]


def words_of(case: Case, folder: Path) -> Words:
    (folder / "plates.csv").write_text("well,plate,Dose\nA01,P1,1\n")
    (folder / "twice.csv").write_text("plate,well,Dose\nP1,A01,1\nP2,A01,2\n")
    (folder / "holes.csv").write_text("hole,Dose\nA01,1\n")
    (folder / "map.csv").write_text("Image_Group_Number,Dose\n1,0.5\n2,1\n")
    return {stage: [word.replace("{folder}", str(folder)) for word in words] for stage, words in case.words.items()}


@pytest.mark.parametrize("case", CASES)
def test_what_a_stage_advises(case: str, tmp_path: Path) -> None:
    source, words = CASES[case].source(tmp_path), words_of(CASES[case], tmp_path)
    advice, tool = advised(stages(source, tmp_path / "before", words), CASES[case])
    for stage, option in options_in(advice, tool, CASES[case].values):
        words[stage] = [*words.get(stage, []), *option]
    after = stages(source, tmp_path / "after", words)
    assert [ran.code for ran in after] == [0, 0, 0, 0], after[-1]
    if "image-columns all" not in advice:
        assert not any(re.search(CASES[case].says, line) for ran in after for line in ran.lines)


@pytest.mark.prefect
@pytest.mark.parametrize("case", CASES)
def test_what_the_flow_advises_are_its_own_options(case: str, tmp_path: Path) -> None:
    """That following them helps is shown above; the flow's stages are the same."""
    source, words = CASES[case].source(tmp_path), words_of(CASES[case], tmp_path)
    given = [str(source), *(word for stage in STAGES for word in words.get(stage, ()))]
    ran = run("flow", *given, "-o", tmp_path / "before.parquet")
    advice, _ = advised([ran], CASES[case])
    assert not re.search(r"pct-(discover|extract|join|write)", ran.err), ran.err
    for tool, option in options_in(advice, "flow", CASES[case].values):
        assert tool == "flow"
        given += option
    flow_options.flow_options(flow_options.build_parser().parse_args([*given, "-o", "after.parquet"]))


def test_a_table_that_not_all_datasets_have_is_named_without_advice(tmp_path: Path) -> None:
    ran = run("discover", one_with_spots(tmp_path), "-o", tmp_path / "manifest").done()
    assert "pct-discover: passed over the table ph3 (PH3.csv), which not all datasets have" in ran.lines
    assert "--" not in ran.err


@pytest.mark.parametrize("stage", STAGES)
def test_an_output_that_exists(stage: str, tmp_path: Path) -> None:
    assert stages(plate(tmp_path), tmp_path / "out", {})[-1].code == 0
    places = [tmp_path / "plate", *(tmp_path / "out" / name for name in ("manifest.arrow", "bundle", "profiles"))]
    output = [*places[1:], tmp_path / "out" / "made.parquet"][STAGES.index(stage)]
    words = [places[STAGES.index(stage)], "-o", output]
    line = run(stage, *words, "-q").failed(1, "exists already")
    run(stage, *words, re.findall("; give (--[a-z]+) to replace it", line)[0]).done()


def test_a_source_that_moved(tmp_path: Path) -> None:
    source = plate(tmp_path)
    run("discover", source, "-o", tmp_path / "manifest").done()
    source.rename(tmp_path / "elsewhere")
    line = run("extract", tmp_path / "manifest", "-q", "-o", tmp_path / "bundle").failed(1, "says where it lies now")
    option = re.findall("; (--[a-z]+) says", line)[0]
    run("extract", tmp_path / "manifest", "-o", tmp_path / "bundle", option, tmp_path / "elsewhere").done()


@pytest.mark.parametrize(
    ("tool", "place", "command"),
    [
        ("join", "manifest.arrow", "pct-extract manifest.arrow -o bundle"),
        ("write", "manifest.arrow", "pct-extract manifest.arrow -o bundle"),
        ("discover", "manifest.arrow", "pct-extract {folder}/manifest.arrow -o bundle"),
        ("flow", "manifest.arrow", "pct-extract {folder}/manifest.arrow -o bundle"),
        ("write", "in/bundle", "pct-join in/bundle -o profiles"),
        ("discover", "in/bundle", "pct-join {folder}/in/bundle -o profiles"),
        ("flow", "in/bundle", "pct-join {folder}/in/bundle -o profiles"),
        ("join", "in/profiles", "pct-write in/profiles -o plate.parquet"),
        ("join", "in/profiles/part-000001.arrow", "pct-write in/profiles/part-000001.arrow -o plate.parquet"),
        ("flow", "in/profiles", "pct-write {folder}/in/profiles -o plate.parquet"),
        ("extract", "the plate", "pct-discover 'the plate' -o manifest.arrow"),
        ("join", "the plate", "pct-discover 'the plate' -o manifest.arrow"),
        ("write", "the plate", "pct-discover 'the plate' -o manifest.arrow"),
        ("extract", "plate.sqlite", "pct-discover plate.sqlite -o manifest.arrow"),
    ],
)
def test_the_input_of_another_stage(
    tool: str, place: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plate(tmp_path).rename("the plate")
    database(lambda _: None)(tmp_path)
    assert stages(Path("the plate"), Path("in"), {})[-1].code == 0
    Path("in/manifest.arrow").rename("manifest.arrow")
    line = run(tool, place, "-o", "out", "-q").failed(1, place)
    expected = command.replace("{folder}", str(tmp_path))
    assert line.endswith(f": {expected}")
    advised_tool, *words = shlex.split(expected)
    if words[-1] == "manifest.arrow":
        Path("manifest.arrow").unlink()
    run(advised_tool.removeprefix("pct-"), *words).done()


@pytest.mark.parametrize("tool", ["write", "flow"])
@pytest.mark.parametrize("name", ["x.h5", "x.csv", "x.csv.gz", "y/x.v2"])
def test_an_output_of_another_kind(tool: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("y").mkdir()
    assert stages(plate(tmp_path), tmp_path / "in", {})[-1].code == 0
    place = tmp_path / "plate" if tool == "flow" else tmp_path / "in" / "profiles"
    line = run(tool, place, "-q", "-o", name).failed(2, "only in .parquet, .pq, .arrow, .h5ad or .zarr")
    assert not Path(name).exists()
    match = re.search("; give (.*) for one file, or (.*) for a folder of one file per part$", line)
    assert match
    for output in match.groups():
        run(tool, place, "-o", output).done()
    assert Path(match[1]).is_file()
    assert [file.name for file in Path(match[2]).iterdir()] == ["part-000001.parquet"]
    run(tool, place, "-q", "-o", "z.parquet/").failed(2, "give z.parquet for one file, or z/ for a folder")
    run(tool, place, "-o", name, "--overwrite").done()


def test_a_number_too_large_for_anndata(tmp_path: Path) -> None:
    with pa.ipc.new_file(tmp_path / "in.arrow", pa.schema({"Cells_x": pa.float64()})) as writer:
        writer.write_table(pa.table({"Cells_x": [1e300]}))
    words = [tmp_path / "in.arrow", "-q", "-o", tmp_path / "x.h5ad"]
    line = run("write", *words).failed(1, "Cells_x: a number is too large for float32")
    assert line.endswith("; give --x-dtype float64")
    run("write", *words, "--x-dtype", "float64").done()


def test_tables_into_a_folder(tmp_path: Path) -> None:
    assert stages(plate(tmp_path), tmp_path / "in", {})[-1].code == 0
    words = ("write", tmp_path / "in" / "bundle", "-q", "--per-table")
    line = run(*words, tmp_path / "x.parquet").failed(2, "--per-table names a folder: give ")
    run(*words, line.partition("; ")[0].partition(": give ")[2]).done()
    assert (tmp_path / "x" / "cells.parquet").is_file()


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "y/x.h5ad"])
@pytest.mark.parametrize("stage", ["discover", "extract", "join"])
def test_an_output_that_another_stage_makes(
    stage: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("y").mkdir()
    assert stages(plate(tmp_path), tmp_path / "in", {})[-1].code == 0
    place = tmp_path / {"extract": "in/manifest.arrow", "join": "in/bundle"}.get(stage, "plate")
    line = run(stage, place, "-q", "-o", name).failed(2, f"{name}: ", "give ")
    assert not Path(name).exists()
    outputs = re.findall(r"; give (\S+?)(?:, or (\S+) for a folder of this name)?$", line)[0]
    for output in filter(None, outputs):
        run(stage, place, "-o", output).done()
        assert Path(output).is_file() == (stage == "discover")
    run(stage, place, "-o", "z.v2").done()


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["discover", "--preset", "cellprofiler-csv"], "cellprofiler_csv"),
        (["discover", "--compartments", "cels,nuclei"], "cells"),
        (["discover", "--anchor", "cel"], "cells"),
        (["extract", "--cast", "Metadta_Plate=string"], "Metadata_Plate"),
        (["join", "--image-columns", "Image_Cuont_Cells"], "Image_Count_Cells"),
        (["join", "--unmached", "keep"], "--unmatched"),
        (["flow", "--unmached", "keep"], "--unmatched"),
        (["write", "--hlep"], "--help"),
    ],
)
def test_what_is_misspelt(words: list[str], meant: str, tmp_path: Path) -> None:
    tool, *misspelt = words
    assert stages(plate(tmp_path), tmp_path / "in", {})[-1].code == 0
    place = {"extract": "in/manifest.arrow", "join": "in/bundle", "write": "in/profiles"}.get(tool, "plate")
    ran = run(tool, tmp_path / place, "-o", tmp_path / "out", *misspelt)
    assert ran.code in (1, 2)
    assert re.search(f"; did you mean {meant}[?](; see |$)", ran.lines[-1]), ran
    # A wrong option is named before an argument that is missing.
    if tool == "flow":
        assert "--unmached" in run(tool, *misspelt).lines[-1]


def test_options_that_go_without_another(tmp_path: Path) -> None:
    source = plate(tmp_path)
    words = [source, "-o", tmp_path / "out.parquet", "-q"]
    line = run("flow", *words, "--aggregate-children", "mean").failed(2, "leave it out", alone=False)
    assert "--aggregate-children has nothing to do" in line
    run("flow", *words).done()
    run("flow", source, "-o", "x.parquet", "--dask-scheduler", "tcp://x:1").failed(2, "--runner dask")
    run("flow", source, "-o", "x.parquet", "--platemap-on", "well").failed(2, "--platemap-on goes with --platemap")


NOT_TYPED = {
    "--fail-if": "only repeats what was given", "--report": "tests/report/test_tool.py",
    "--no-sign-request": "of a store; tests/storage/test_credentials.py", "--profile": "of a store",
    "--storage-option": "of a store", "--cache-dir": "of a store", "--client-options": "of a store",
    "--no-prefect": "tests/flow/test_prefect.py", "--dask-cluster": "tests/flow/test_dask_cluster.py",
    "--work-dir": "tests/flow/test_flow.py and test_work_dir.py", "--max-failures": "only repeats what was given",
    "--part-size": "of want of memory", "--memory": "of want of memory", "--help": "tests/contract/test_contract.py",
    "--float32": "declared", "--path-metadata": "needs an expression; tests/discover/test_path_metadata.py",
    "--sql": "needs a query; tests/join/test_sql.py",
    "--anchor": "only repeats what was given", "--set": "only repeats what was given",
    "--counts": "only repeats what was given",
    "--drop": "only repeats what was given",
    "--only": "only repeats what was given",
    "--platemap": "tests/join/test_platemap.py", "--dask-scheduler": "tests/flow/test_flow.py",
    "--runner": "tests/flow/test_flow.py", "--workers": "tests/flow/test_dask_cluster.py",
    "--source": "found in its message, above", "--overwrite": "found in its message, above",
}  # fmt: skip


def test_no_message_names_an_option_that_is_not_followed_here() -> None:
    named: set[str] = set()
    for package in (pycytominer_transform.common, pycytominer_transform.tools):
        for file in Path(package.__path__[0]).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                # Messages are sentences; a flag alone declares an option.
                if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and is_logged(node)):
                    texts = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)]
                    named.update(
                        re.findall("--[a-z][a-z-]+", " ".join(text for text in texts if isinstance(text, str)))
                    )
    followed = set(re.findall("--[a-z][a-z-]+", Path(__file__).read_text().partition("NOT_TYPED")[0]))
    assert named - followed - NOT_TYPED.keys() == set()


def is_logged(call: ast.Call) -> bool:
    return (
        isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "logger"
    )
