"""Real measurement files give what a peer makes of them, by name and value, and what a join by hand gives."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from converting import Convert, Options, parquet_table
from figures import Figures
from oracle import compare, profiles
from pycytominer_transform.common.model.preset import preset_text

Cell = tuple[bool, bool, Any]


def plain(value: Any) -> Any:
    """Make one value of what the peer and the tools write differently: no value at all."""
    return None if isinstance(value, float) and math.isnan(value) else value


def sqlite_file(shared_data: Path) -> Path:
    [path] = (shared_data / "cell_health").glob("*.sqlite")
    return path


def rows_by_key(table: Any, keys: list[str]) -> dict[tuple[Any, ...], dict[str, Any]]:
    rows = [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()]
    by_key = {tuple(row[key] for key in keys): row for row in rows}
    assert len(by_key) == table.num_rows, "the keys do not tell the rows apart"
    return by_key


def value_differences(expected: Any, actual: Any, keys: list[str]) -> list[str]:
    """List the cells that differ; types and row order are not compared, numbers must be equal to the last bit."""
    wanted, given = rows_by_key(expected, keys), rows_by_key(actual, keys)
    if wanted.keys() != given.keys():
        return [f"rows {sorted(wanted.keys() ^ given.keys())}"]
    return [
        f"{key} {name}: {given[key][name]!r}, expected {value!r}"
        for key, row in wanted.items()
        for name, value in row.items()
        if given[key][name] != value
    ]


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("ExampleHuman", ["Metadata_ImageNumber", "Metadata_ObjectNumber"]),
        ("cell_health", ["Metadata_TableNumber", "Metadata_ImageNumber", "Metadata_Cytoplasm_Parent_Cells"]),
    ],
)
def test_a_real_source_gives_what_the_peer_makes_of_it(
    shared_data: Path, figures: Figures, convert: Convert, name: str, keys: list[str]
) -> None:
    wanted = pq.read_table(shared_data / "expected" / f"{name}.parquet")
    source = sqlite_file(shared_data) if name == "cell_health" else shared_data / name
    given = parquet_table(convert(source))
    shape = {"ExampleHuman": figures.example_human, "cell_health": figures.cell_health}[name]
    assert (given.num_rows, len(wanted.column_names)) == shape
    # The peer takes no metadata but plate and well, and does not name the source.
    more = set(given.column_names) - set(wanted.column_names)
    assert (
        more
        == {"Metadata_Dataset"} | {name for name in given.column_names if re.match("(Image_)?Metadata_", name)} & more
    )
    assert set(wanted.column_names) <= set(given.column_names)
    assert value_differences(wanted, given, keys) == []


def test_the_comparison_with_the_peer_notices_one_changed_value(shared_data: Path) -> None:
    table = pq.read_table(shared_data / "expected" / "ExampleHuman.parquet")
    column = table.column_names.index("Nuclei_AreaShape_Area")
    values = table.column(column).to_pylist()
    values[7] += 1
    changed = table.set_column(column, table.column_names[column], [values])
    keys = ["Metadata_ImageNumber", "Metadata_ObjectNumber"]
    assert len(value_differences(table, changed, keys)) == 1


@pytest.mark.parametrize("how", ["files", "pipe"])
def test_example_human_is_what_a_join_by_hand_gives(shared_data: Path, convert: Convert, how: str) -> None:
    source = shared_data / "ExampleHuman"
    assert compare(profiles(source), convert(source, how)) == []


def test_cell_health_is_what_a_join_by_hand_gives(shared_data: Path, tmp_path: Path, convert: Convert) -> None:
    source = sqlite_file(shared_data)
    # The same without the copies of three columns under the names that other tools know.
    plain = tmp_path / "plain.toml"
    plain.write_text(re.sub("(?m)^copies = .*$", "", preset_text("cell_health")))
    expected = convert(source, options=Options(discover=("--preset", str(plain))))
    assert compare(profiles(source, "cytominer_database"), expected) == []
    given, without = parquet_table(convert(source)), parquet_table(expected)
    assert set(given.column_names) - set(without.column_names) == {"Metadata_Plate", "Metadata_Well", "Metadata_Site"}
    assert (
        given.select(without.column_names).replace_schema_metadata(None).equals(without.replace_schema_metadata(None))
    )
    for name in ("Plate", "Well", "Site"):
        assert given[f"Metadata_{name}"].equals(given[f"Image_Metadata_{name}"])


def test_two_folders_without_file_names_give_the_rows_of_a_join_by_hand(
    shared_data: Path, figures: Figures, convert: Convert
) -> None:
    source = shared_data / "data_a"
    rows = profiles(source)
    given = parquet_table(convert(source))
    cells = figures.cells_per_folder
    assert len(rows) == given.num_rows == 2 * cells
    assert compare(rows, given) == []
    assert given["Metadata_Dataset"].to_pylist() == ["1"] * cells + ["2"] * cells
