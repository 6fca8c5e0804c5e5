"""Small CSV files of one header are read together; that gives what reading them one by one gives, odd or not."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from converting import run
from plates_sheets import small_tables, write_sheets
from pycytominer_transform.common.extract.part_reader import PartReader
from pycytominer_transform.common.formats.csv import concatenation, table_reader
from pycytominer_transform.common.formats.csv import reader as csv_reader
from pycytominer_transform.common.formats.csv.table_reader import CsvTableReader
from pycytominer_transform.common.ipc.bundle import open_bundle
from pycytominer_transform.common.model.manifest import Source
from pycytominer_transform.tools import extract

Change = Callable[[bytes], bytes]


def line(number: int, change: Change) -> Change:
    """Give a change of one line of a file, counted from 0."""

    def changed(content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        lines[number] = change(lines[number])
        return b"".join(lines)

    return changed


def last_field(text: bytes) -> Change:
    return line(-1, lambda row: row.rstrip(b"\n").rpartition(b",")[0] + b"," + text + b"\n")


def without_last_column(content: bytes) -> bytes:
    return b"".join(row.rpartition(b",")[0] + b"\n" for row in content.splitlines())


CHANGES: dict[str, Change] = {
    "none": lambda content: content,
    "windows line ends": lambda content: content.replace(b"\n", b"\r\n"),
    "old line ends": lambda content: content.replace(b"\n", b"\r"),
    "one old line end": line(1, lambda row: row.replace(b"\n", b"\r")),
    "windows ends in part": line(1, lambda row: row.replace(b"\n", b"\r\n")),
    "byte order mark": lambda content: b"\xef\xbb\xbf" + content,
    "semicolons": lambda content: content.replace(b",", b";"),
    "empty line": line(1, lambda row: b"\n" + row),
    "empty lines at the end": lambda content: content + b"\n\n",
    "empty first line": lambda content: b"\n" + content,
    "mark and empty first line": lambda content: b"\xef\xbb\xbf\n" + content,
    "line of commas": line(1, lambda row: b"," * row.count(b",") + b"\n" + row),
    "header alone": lambda content: content.splitlines(keepends=True)[0],
    "header without an end": lambda content: content.splitlines()[0],
    "nothing": lambda _: b"",
    "quotes": last_field(b'"1.5"'),
    "an open quote": last_field(b'"1.5'),
    "a quote within": last_field(b'1"5'),
    "column missing": without_last_column,
    "column twice as far": line(0, lambda row: row.replace(b"AreaShape", b"OtherShape")),
    "no last line end": lambda content: content[:-1],
    "NUL byte": last_field(b"1\x005"),
    "hexadecimal": last_field(b"0x10"),
    "word": last_field(b"oops"),
    "too large": last_field(b"1e999"),
    "blanks": last_field(b" 1.5 "),
    "no value": last_field(b"nan"),
    "one field less": line(-1, lambda row: row.rpartition(b",")[0] + b"\n"),
    "one field more": line(-1, lambda row: row.rstrip(b"\n") + b",1\n"),
    "not UTF-8": last_field(b"\xff"),
    "cut off": lambda content: content[: len(content) * 2 // 3],
    "object number with a point": line(-1, lambda row: re.sub(rb"^(\d+),(\d+)", rb"\1,\2.0", row)),
}


@pytest.fixture(autouse=True)
def _changes_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files change behind pct-discover's back, which would refuse most of these itself."""
    monkeypatch.setattr(PartReader, "_check_unchanged", lambda *_: None)


@pytest.fixture(params=["Cells", "Image"])
def table(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def extracted(
    manifest: Path, out: Path, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, dict[str, pa.Table]]:
    code = extract.main([str(manifest), "-o", str(out), "--threads", "1", *words])
    said = capsys.readouterr().err
    if code:
        return code, said, {}
    with open_bundle(str(out), None) as reader:
        ((_, tables),) = reader.parts()
        return code, said, tables


@pytest.mark.parametrize("on_bad_value", ["fail", "null"])
@pytest.mark.parametrize("where", ["first", "second", "all"])
@pytest.mark.parametrize("change", CHANGES)
def test_as_one_by_one(
    change: str, where: str, on_bad_value: str, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_sheets(tmp_path / "plate", small_tables())
    run("discover", source, "-o", tmp_path / "manifest.arrow")
    files = sorted(source.rglob(f"{table}.csv"))
    for path in {"first": files[:1], "second": files[1:2], "all": files}[where]:
        path.write_bytes(CHANGES[change](path.read_bytes()))
    words = ("--on-bad-value", on_bad_value)
    together = extracted(tmp_path / "manifest.arrow", tmp_path / "together", capsys, *words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_reader, "MOST_TOGETHER", 0)
        alone = extracted(tmp_path / "manifest.arrow", tmp_path / "alone", capsys, *words)
    assert together[:2] == alone[:2]
    assert {name: found.to_pydict() for name, found in together[2].items()} == {
        name: found.to_pydict() for name, found in alone[2].items()
    }


def test_they_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_sheets(tmp_path / "plate", small_tables())
    run("discover", source, "-o", tmp_path / "manifest.arrow")
    monkeypatch.setattr(CsvTableReader, "read", lambda *_: pytest.fail("a file was read alone"))
    run("extract", tmp_path / "manifest.arrow", "-o", tmp_path / "bundle", "--threads", "1")


def test_no_more_than_memory_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_sheets(tmp_path / "plate", small_tables())
    run("discover", source, "-o", tmp_path / "manifest.arrow")
    sizes = [path.stat().st_size for path in source.rglob("Cells.csv")]
    taken: list[int] = []
    concatenate = concatenation.concatenate

    def seen(paths: list[Path]) -> object:
        taken.append(sum(path.stat().st_size for path in paths))
        return concatenate(paths)

    monkeypatch.setattr(table_reader, "concatenate", seen)
    monkeypatch.setattr(csv_reader, "MOST_TOGETHER", 2 * max(sizes))
    run("extract", tmp_path / "manifest.arrow", "-o", tmp_path / "bundle", "--threads", "1")
    assert taken
    assert max(taken) <= 2 * max(sizes)


def test_a_gzipped_file_is_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_sheets(tmp_path / "plate", small_tables())
    second = sorted(source.rglob("Cells.csv"))[1]
    second.with_name("Cells.csv.gz").write_bytes(gzip.compress(second.read_bytes()))
    second.unlink()
    run("discover", source, "-o", tmp_path / "manifest.arrow")
    groups: list[list[str]] = []
    read = PartReader._read

    def seen(self: PartReader, sources: list[Source]) -> object:
        groups.append([source.path for source in sources])
        return read(self, sources)

    monkeypatch.setattr(PartReader, "_read", seen)
    run("extract", tmp_path / "manifest.arrow", "-o", tmp_path / "bundle", "--threads", "1")
    packed = [group for group in groups if any(path.endswith(".gz") for path in group)]
    assert [len(group) for group in packed] == [1]
