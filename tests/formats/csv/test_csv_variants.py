"""CSV files come gzipped, with semicolons, with a byte order mark or in capitals, and give the same as plain ones."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pyarrow.csv
import pytest
from converting import Convert, Options, differences, run
from hypothesis import given
from hypothesis import strategies as st
from plates_sheets import SMALL, Tables, column_place, measured_name, set_column, small_tables
from pycytominer_transform.common.formats.csv.file_names import csv_stem
from pycytominer_transform.common.formats.csv.head import delimiter_of
from pycytominer_transform.common.ipc.manifest_files import read_manifest, write_manifest
from pycytominer_transform.common.model.manifest import Manifest
from pycytominer_transform.common.storage.location import LocalLocation
from pycytominer_transform.tools import discover, extract

BOM = b"\xef\xbb\xbf"
Variant = Callable[[Path, list[list[str]]], None]


def as_bytes(lines: list[list[str]], delimiter: str = ",", end: str = "\n") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(lines)
    return text.getvalue().encode()


def plain(path: Path, lines: list[list[str]]) -> None:
    path.write_bytes(as_bytes(lines))


def packed(path: Path, lines: list[list[str]]) -> None:
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(as_bytes(lines)))


def packed_in_members(path: Path, lines: list[list[str]]) -> None:
    whole = as_bytes(lines)
    half = len(whole) // 2
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(whole[:half]) + gzip.compress(whole[half:]))


def capitals_packed(path: Path, lines: list[list[str]]) -> None:
    path.with_name(path.stem.upper() + ".CSV.GZ").write_bytes(gzip.compress(as_bytes(lines, ";", "\r\n")))


def semicolons(path: Path, lines: list[list[str]]) -> None:
    path.write_bytes(as_bytes(lines, ";"))


def marked(path: Path, lines: list[list[str]]) -> None:
    path.write_bytes(BOM + as_bytes(lines, ";", "\r\n"))


def marked_packed(path: Path, lines: list[list[str]]) -> None:
    packed_bytes = gzip.compress(BOM + as_bytes(lines))
    path.with_name(path.name + ".gz").write_bytes(packed_bytes)


def all_quoted(path: Path, lines: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";", lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(lines)
    path.write_bytes(BOM + text.getvalue().encode())


def by_turns(path: Path, lines: list[list[str]]) -> None:
    variants = [plain, packed, semicolons, marked, capitals_packed]
    variants[sum(path.as_posix().encode()) % len(variants)](path, lines)


VARIANTS: list[Variant] = [
    packed, packed_in_members, capitals_packed, semicolons, marked, marked_packed, all_quoted, by_turns,
]  # fmt: skip


def write_tree(out: Path, trees: dict[str, Tables], variant: Variant) -> Path:
    for folder, tables in trees.items():
        (out / folder).mkdir(parents=True)
        for name, lines in tables.items():
            variant(out / folder / f"{name}.csv", lines)
    return out


def awkward_tables() -> dict[str, Tables]:
    """Give tables with semicolons, commas, quotes and line ends in names and values."""
    trees = small_tables(replace(SMALL, cells=9, missing=0.1))
    for tables in trees.values():
        for name in ("Cells", "Nuclei"):
            header = tables[name][0]
            header[column_place(tables[name], measured_name(tables[name], 0))] = 'AreaShape_"a;b;c;d;e;f;g;h;i;j;k;l"'
            header[column_place(tables[name], measured_name(tables[name], 0))] = "AreaShape_x, y; z,,,,;;;;"
        set_column(tables["Image"], "FileName_DNA", ['a;b,"c"\nd.tif'])
        set_column(tables["Image"], "Metadata_Well", ["A;01"])
    return trees


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: str(variant.__name__))
def test_every_variant_gives_the_same_as_plain_files(variant: Variant, tmp_path: Path, convert: Convert) -> None:
    expected = convert(write_tree(tmp_path / "plain" / "source", awkward_tables(), plain))
    given_ = convert(write_tree(tmp_path / "other" / "source", awkward_tables(), variant))
    assert differences(expected, given_) == []


def test_a_bad_value_in_a_packed_file_is_named_by_its_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], convert: Convert
) -> None:
    trees = small_tables()
    lines = trees[min(trees)]["Cells"]
    column = measured_name(lines, 0)
    set_column(lines, column, [lines[1][column_place(lines, column)], "wrong"])
    source = write_tree(tmp_path / "source", trees, capitals_packed)
    run("discover", source, "-o", tmp_path / "m")
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "b")]) == 1
    assert f"CELLS.CSV.GZ, row 3, column {column!r}: 'wrong' is not a number" in capsys.readouterr().err
    convert(source, options=Options(extract=("--on-bad-value", "null")))


@pytest.mark.parametrize("stage", ["discover", "extract"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda content: content[: len(content) // 2], "the gzip file is cut off"),
        (lambda content: content[:-8] + b"\0" * 8, "is damaged, or not a gzip file"),
        (lambda content: content[:-3], "the gzip file is cut off"),
        (lambda _: b"", "the gzip file is cut off"),
        (lambda _: b"ImageNumber,ObjectNumber\n1,1\n", "is damaged, or not a gzip file"),
        (lambda content: gzip.compress(gzip.decompress(content)[:-9]), "cut off"),
        (lambda content: gzip.compress(gzip.decompress(content)[:-1]), "the last row has no line end"),
        (lambda content: gzip.compress(gzip.decompress(content) + b"\0\n"), "NUL"),
    ],
)
def test_a_spoilt_packed_file_is_one_clear_line(
    stage: str, spoil: Callable[[bytes], bytes], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_tree(tmp_path / "source", small_tables(replace(SMALL, cells=40)), packed)
    victim = min(source.rglob("Cells.csv.gz"))
    if stage == "discover":
        victim.write_bytes(spoil(victim.read_bytes()))
    code = discover.main([str(source), "-o", str(tmp_path / "m")])
    if code == 0:
        manifest = read_manifest(str(tmp_path / "m"))
        if stage == "extract":
            victim.write_bytes(spoil(victim.read_bytes()))
            write_with_new_fingerprints(manifest, source, tmp_path / "m")
        code = extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "b")])
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert code == 1
    assert len(lines) == 1
    assert said in lines[0]
    assert "Cells.csv.gz" in lines[0]
    assert not (tmp_path / "b").exists()


def write_with_new_fingerprints(manifest: Manifest, source: Path, out: Path) -> None:
    """Write a manifest again as if the files had been as they are now when pct-discover looked at them."""
    sources = tuple(
        msgspec.structs.replace(s, fingerprint=LocalLocation(source, s.path).fingerprint()[1]) for s in manifest.sources
    )
    with out.open("wb") as file:
        write_manifest(msgspec.structs.replace(manifest, sources=sources), file, as_file=True)


def test_a_packed_file_is_recorded_as_it_lies_there(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", small_tables(replace(SMALL, cells=60)), packed)
    run("discover", source, "-o", tmp_path / "m")
    for found in read_manifest(str(tmp_path / "m")).sources:
        status = (source / found.path).stat()
        assert (found.bytes, found.fingerprint) == (status.st_size, f"{status.st_size}-{status.st_mtime_ns}")


def test_parts_are_cut_by_what_packed_files_hold(tmp_path: Path) -> None:
    trees = small_tables(replace(SMALL, cells=60, folders=6))
    for variant, name in ((plain, "plain"), (packed, "packed")):
        write_tree(tmp_path / name, trees, variant)
        run("discover", tmp_path / name, "-o", tmp_path / f"{name}.m", "--part-size", "50kB")
    one, other = (read_manifest(str(tmp_path / f"{name}.m")) for name in ("plain", "packed"))
    assert 1 < len(one.parts) == len(other.parts)
    assert [s.part for s in one.sources] == [s.part for s in other.sources]


def test_a_file_that_inflates_too_far_is_refused_with_the_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_tree(tmp_path / "source", small_tables(), packed)
    victim = min(source.rglob("Nuclei.csv.gz"))
    row = gzip.decompress(victim.read_bytes()).splitlines(keepends=True)
    victim.write_bytes(gzip.compress(row[0] + row[1] * 200_000))
    run("discover", source, "-o", tmp_path / "m")
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "b"), "--max-inflate", "1MB"]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(lines) == 1
    assert "Nuclei.csv.gz: inflates to more than 1.0 MB (1000000 bytes)" in lines[0]
    assert "--max-inflate" in lines[0]
    assert not (tmp_path / "b").exists()
    run("extract", tmp_path / "m", "-o", tmp_path / "b", "--max-inflate", "1GB")


def test_a_table_that_is_there_plain_and_packed_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_tree(tmp_path / "source", small_tables(replace(SMALL, folders=1)), plain)
    file = next(source.rglob("Cells.csv"))
    file.with_name("cells.csv.gz").write_bytes(gzip.compress(file.read_bytes()))
    assert discover.main([str(source), "-o", str(tmp_path / "m")]) == 1
    assert "are both the table cells" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "stem"),
    [("Cells.csv", "Cells"), ("CELLS.CSV", "CELLS"), ("Cells.csv.gz", "Cells"), ("c.Csv.GZ", "c"), ("a.b.csv", "a.b"),
     ("cells.gz", None), ("cells.tsv", "cells"), ("cells.TXT.gz", "cells"), ("cells.doc", None),
     ("cells.csv.bz2", None), (".csv", "")],
)  # fmt: skip
def test_csv_files_are_known_by_their_ends(name: str, stem: str | None) -> None:
    assert csv_stem(name) == stem


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1, max_size=12)


@given(st.lists(names, unique=True, max_size=8), st.sampled_from(",;"))
def test_the_delimiter_is_never_guessed_wrong(others: list[str], delimiter: str) -> None:
    known = ("ImageNumber", "ObjectNumber")
    header = as_bytes([[*others[:3], *known, *others[3:]], ["1"]], delimiter)
    assert delimiter_of(header, known) == delimiter
    assert delimiter_of(BOM + header, known) == delimiter


def test_the_real_files_packed_give_the_same(one_of_the_data: Path, tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "ExampleHuman"
    source.mkdir()
    for path in (one_of_the_data / "ExampleHuman").glob("*.csv"):
        (source / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert differences(convert(one_of_the_data / "ExampleHuman"), convert(source, "pipe")) == []


def test_arrow_is_what_reads(tmp_path: Path) -> None:
    """Exceptions of our own pass through Arrow's reader unchanged, which the refusals above rely on."""

    class Failing(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _buffer: object) -> int:
            raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        pyarrow.csv.read_csv(Failing())
