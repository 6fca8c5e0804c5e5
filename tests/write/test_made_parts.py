"""Profiles that are written while parts are still being made: the same file, and nothing without all of them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from converting import run
from plates import Plate, write_csv
from pycytominer_transform.common.errors import DataError, StageEndedEarlyError
from pycytominer_transform.common.made_parts import MadeParts
from pycytominer_transform.tools.write import WriteSummary, write
from waiting import wait_until

PARTS = 5


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Give a folder of profiles for each of some parts."""
    folder = tmp_path_factory.mktemp("parts")
    source = write_csv(Plate(folders=PARTS, cells=30, features=6, missing=0.1), folder / "plate")
    run("discover", source, "--part-size", "1", "-o", folder / "manifest.arrow")
    for part in range(1, PARTS + 1):
        run("extract", folder / "manifest.arrow", "--shard", f"{part}/{PARTS}", "-o", folder / f"bundle{part}")
        run("join", folder / f"bundle{part}", "-o", folder / f"profiles{part}")
    return [folder / f"profiles{part}" for part in range(1, PARTS + 1)]


class Making:
    """Makes parts one by one, and writes them meanwhile."""

    def __init__(self, profiles: list[Path], folder: Path, output: str) -> None:
        self.profiles = profiles
        self.places = {part: folder / f"part{part}" for part in range(1, len(profiles) + 1)}
        self.output = folder / output
        self.parts = MadeParts(self.places)
        self._pool = ThreadPoolExecutor(1)
        self._writing = self._pool.submit(write, profiles=self.parts, output=str(self.output))

    def make(self, part: int) -> None:
        shutil.copytree(self.profiles[part - 1], self.places[part])
        self.parts.made(part)

    @property
    def is_done(self) -> bool:
        return self._writing.done()

    def result(self) -> WriteSummary:
        return self._writing.result(timeout=30)

    def end(self) -> None:
        self.parts.give_up()
        self._pool.shutdown()


@pytest.fixture
def making(profiles: list[Path], tmp_path: Path) -> Iterator[Making]:
    made = Making(profiles, tmp_path, "out.parquet")
    yield made
    made.end()


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("part"))


def test_the_file_is_that_of_parts_made_before(making: Making, profiles: list[Path], tmp_path: Path) -> None:
    for part in (3, 1, 2, 5):
        making.make(part)
    wait_until(lambda: len(making.parts.given) == 3, "the first three")
    assert any("out.parquet" in name for name in entries(tmp_path))
    making.make(4)
    assert not making.is_done
    assert not making.output.exists()
    making.parts.complete()
    assert making.result() == write(profiles=list(map(str, profiles)), output=str(tmp_path / "before.parquet"))
    assert making.output.read_bytes() == (tmp_path / "before.parquet").read_bytes()
    assert making.parts.busy > 0


@pytest.mark.parametrize("made", [[], [1, 2], [2, 3, 4, 5], [1, 2, 3, 4, 5]])
def test_what_is_given_up_leaves_nothing(making: Making, made: list[int], tmp_path: Path) -> None:
    for part in made:
        making.make(part)
    making.parts.give_up()
    with pytest.raises(StageEndedEarlyError, match="not all parts were made"):
        making.result()
    assert entries(tmp_path) == []


def test_a_part_is_not_written_twice(making: Making, tmp_path: Path) -> None:
    for part in range(1, PARTS):
        making.make(part)
    shutil.copytree(making.profiles[1], making.places[PARTS])
    making.parts.complete()
    with pytest.raises(DataError, match=r"part 2 is in .*part2 and in .*part5"):
        making.result()
    assert entries(tmp_path) == []


def test_who_waits_is_woken_whoever_speaks(profiles: list[Path], tmp_path: Path) -> None:
    parts = MadeParts({1: tmp_path / "1", 2: tmp_path / "2"})
    given: list[Path] = []
    reader = threading.Thread(target=lambda: given.extend(parts))
    reader.start()
    parts.made(2)
    parts.made(1)
    parts.complete()
    # All of them have been made: nothing is left to give up.
    parts.give_up()
    reader.join(10)
    assert given == [tmp_path / "1", tmp_path / "2"]
    assert len(parts) == 2
