"""The walk of a source tree: links are followed, and each folder is listed once."""

from __future__ import annotations

import random
from pathlib import Path

from pycytominer_transform.common.storage.location import LocalLocation
from pycytominer_transform.common.storage.tree import Folder


def test_of_many_links_to_a_folder_the_first_by_name_counts(tmp_path: Path) -> None:
    """Links within linked folders too; a cycle ends."""
    for name in ("root", "one", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "Cells.csv").touch()
    (tmp_path / "one" / "back").symlink_to(tmp_path / "root")
    (tmp_path / "one" / "inner").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "Nuclei.csv").touch()
    numbers = list(range(3_000))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        (tmp_path / "root" / f"link{number:04}").symlink_to(tmp_path / ("one" if number % 2 else "other"))
    assert LocalLocation(tmp_path, "root").walk() == [
        Folder(".", ()),
        Folder("link0000", ("Nuclei.csv",)),
        Folder("link0001", ("Cells.csv",)),
    ]


def test_a_folder_in_the_tree_counts_by_its_own_place(tmp_path: Path) -> None:
    (tmp_path / "plate").mkdir()
    (tmp_path / "plate" / "Cells.csv").touch()
    (tmp_path / "a_link").symlink_to(tmp_path / "plate")
    assert LocalLocation(tmp_path).walk() == [Folder(".", ()), Folder("plate", ("Cells.csv",))]
