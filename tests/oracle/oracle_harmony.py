"""What must come out of Harmony exports, read with nothing but `csv`."""

from __future__ import annotations

import csv
import io
import string
from pathlib import Path

__all__ = ["Row", "expected_rows", "read_list"]

Row = dict[str, str | float | None]

NUMBERED = {
    "Row": "Metadata_Row", "Column": "Metadata_Column", "Plane": "Metadata_Plane", "Timepoint": "Metadata_Timepoint",
    "Field": "Metadata_Site", "Object No": "Metadata_ObjectNumber",
}  # fmt: skip
PLACES = ("X", "Y", "Bounding Box", "Position X [µm]", "Position Y [µm]")
TEXTS = ("Bounding Box", "Compound", "Cell Type")
KEYS = ["Metadata_Dataset", *list(NUMBERED.values())]


def read_list(path: Path) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Give the head of a file, and its rows: a text for each column that has a name."""
    raw = path.read_bytes()
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if raw.startswith(mark):
            text = raw.decode(encoding)
            break
    else:
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = raw.decode("cp1252")
    for damaged in ("Âµ", "¬µ"):
        text = text.replace(damaged, "µ")
    lines = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t"))
    at = lines.index(["[Data]"])
    head = {line[0]: line[1] for line in lines[:at] if len(line) > 1}
    header, *rows = (line for line in lines[at + 1 :] if line)
    return head, [{name: text for name, text in zip(header, row, strict=True) if name} for row in rows if any(row)]


def expected_rows(source: Path, population: str, *, comma: bool = False) -> list[Row]:
    """Give the rows of a population in all evaluations below a source, sorted by dataset and key."""
    rows = []
    for path in source.rglob(f"Objects_Population - {population}.txt"):
        head, lines = read_list(path)
        for line in lines:
            row: Row = {
                "Metadata_Dataset": str(path.parent.relative_to(source)),
                "Metadata_Plate": head["Plate Name"],
                "Metadata_Well": f"{string.ascii_uppercase[int(line['Row']) - 1]}{int(line['Column']):02d}",
            }
            for name, text in line.items():
                row[final_name(name, population)] = value(name, text, comma=comma)
            rows.append(row)
    return sorted(rows, key=lambda row: [row[name] for name in KEYS])


def final_name(name: str, population: str) -> str:
    if name in NUMBERED:
        return NUMBERED[name]
    if name.startswith(f"{population} - Object No in "):
        return f"Metadata_{name.replace(' - ', '_', 1)}"
    if name in PLACES:
        return f"{population}_{name}"
    if name.startswith(f"{population} - "):
        return name.replace(" - ", "_", 1)
    return f"Metadata_{name}"


def value(name: str, text: str, *, comma: bool) -> str | float | None:
    if text in ("", "NaN"):
        return None
    if name in TEXTS:
        return text
    return float(text.replace(",", ".") if comma else text)
