"""Small random sources give exactly what the independent oracle gives, however they are cut and read."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from converting import Convert, Options
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Choices, compare, profiles
from plates_sheets import Tables
from random_trees import SqliteLayout, sqlite_layouts, trees, write_sqlite_tree, write_tree


@dataclass(frozen=True)
class Asked:
    """What the user asks for, and on how many threads and in what parts it is done."""

    unmatched: Literal["drop", "keep"] = "drop"
    columns: Literal["union", "intersection"] = "union"
    all_image_columns: bool = False
    part_size: str = "64MB"
    threads: str = "2"

    @property
    def choices(self) -> Choices:
        every = ".*" if self.all_image_columns else None
        return Choices(unmatched=self.unmatched, columns=self.columns, image_columns=every)

    @property
    def options(self) -> Options:
        image = ("--image-columns", "all") if self.all_image_columns else ()
        return Options(
            discover=("--columns", self.columns, "--part-size", self.part_size),
            extract=("--threads", self.threads),
            join=("--unmatched", self.unmatched, "--threads", self.threads, *image),
        )


asked = st.builds(
    Asked,
    unmatched=st.sampled_from(["drop", "keep", "keep"]),
    columns=st.sampled_from(["union", "union", "intersection"]),
    all_image_columns=st.booleans(),
    part_size=st.sampled_from(["1", "200", "64MB"]),
    threads=st.sampled_from(["1", "4"]),
)


def check(source: Path, layout: str, wanted: Asked, work: Path) -> None:
    rows = profiles(source, layout, wanted.choices)
    assert compare(rows, Convert(work / "converted")(source, options=wanted.options)) == []


@given(tree=trees(), wanted=asked)
@settings(max_examples=examples(45))
def test_a_random_tree_of_folders(tree: dict[str, Tables], wanted: Asked) -> None:
    with tempfile.TemporaryDirectory() as work:
        check(write_tree(tree, Path(work) / "source"), "cellprofiler_csv", wanted, Path(work))


@given(tree=trees(), layout=sqlite_layouts(), wanted=asked)
@settings(max_examples=examples(45))
def test_a_random_sqlite_file(tree: dict[str, Tables], layout: SqliteLayout, wanted: Asked) -> None:
    with tempfile.TemporaryDirectory() as work:
        source = write_sqlite_tree(tree, Path(work) / "plate.sqlite", layout)
        check(source, layout.kind, wanted, Path(work))
