"""Exports of Harmony in every encoding, with whatever a test wants to put into a field."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

__all__ = ["ANNOTATIONS", "KEYS", "Population", "Style", "evaluation_of", "object_rows", "write_evaluation"]

KEYS = ("Row", "Column", "Plane", "Timepoint", "Field")
PLACES = ("X", "Y", "Bounding Box", "Position X [µm]", "Position Y [µm]")
ANNOTATIONS = ("Compound", "Concentration", "Cell Type")

Line = dict[str, str]


@dataclass(frozen=True)
class Style:
    """How files are written.

    Attributes
    ----------
    encoding : str
        Python's name; utf-16 and utf-8-sig write a mark.
    micro : str
        What stands for µ.
    comma : bool
        Whether numbers have commas.
    last_tab : bool
        Whether lines end in a tab.
    """

    encoding: str = "utf-8"
    line_end: str = "\r\n"
    micro: str = "µ"
    comma: bool = False
    last_tab: bool = True

    def encoded(self, text: str) -> bytes:
        if self.encoding == "utf-16-be":
            return b"\xfe\xff" + text.encode(self.encoding)
        return text.encode(self.encoding)


@dataclass(frozen=True)
class Population:
    """One population of an evaluation, with the rows of its file, a text for each column."""

    name: str
    rows: Sequence[Line]
    columns: tuple[str, ...] = field(default=())

    @property
    def header(self) -> tuple[str, ...]:
        return self.columns or tuple(self.rows[0])

    def changed(self, change: Callable[[list[Line]], None]) -> Population:
        """Give a copy whose rows a test has changed."""
        rows = [dict(row) for row in self.rows]
        change(rows)
        return replace(self, rows=rows, columns=self.header)


@dataclass(frozen=True)
class _Plate:
    """Which images there are, and what is in them; `fields` in the order of the file."""

    seed: int = 0
    wells: Sequence[tuple[int, int]] = ((2, 3), (2, 4))
    fields: Sequence[int] = (2, 1)
    timepoints: Sequence[int] = (0,)
    planes: Sequence[int] = (1,)
    cells: int = 3
    features: int = 3
    parents: Sequence[str] = ()

    def images(self) -> Iterator[tuple[int, Line]]:
        """Give the place of the well, and the keys, of every image."""
        for place, well in enumerate(self.wells):
            for rest in product(self.planes, self.timepoints, self.fields):
                yield place, dict(zip(KEYS, map(str, (*well, *rest)), strict=True))


def object_rows(name: str, **plate: Any) -> Population:
    """Give a population: numbers of six digits, some fields empty or NaN, annotations per well.

    Objects of each of the `parents` are numbered the other way round. The other words are those of `_Plate`.
    """
    of = _Plate(**plate)
    numbers = random.Random(f"{name} {of.seed}")
    names = [f"{name} - {name} Area [µm²]", *(f"{name} - Intensity {name} Ch{i} Mean" for i in range(of.features - 1))]
    rows = []
    for place, keys in of.images():
        for number in range(1, of.cells + 1):
            x, y = numbers.randrange(9, 900), numbers.randrange(9, 900)
            line = keys | {"Object No": str(number), "X": str(x), "Y": str(y)}
            line["Bounding Box"] = f"[{x - 5},{y - 5},{x + 5},{y + 5}]"
            line |= {position: f"{numbers.uniform(-300, 300):.6g}" for position in PLACES[3:]}
            line |= zip(ANNOTATIONS, ("" if place == 1 else f"CP-{place:04d}", "0.5", "HeLa"), strict=True)
            line |= {f"{name} - Object No in {parent}": str(of.cells + 1 - number) for parent in of.parents}
            line |= {feature: f"{numbers.uniform(10, 5000):.6g}" for feature in names}
            if number == 2:
                line[names[-1]] = numbers.choice(["", "NaN"])
            rows.append(line)
    return Population(name, rows)


def evaluation_of(plate: str = "PLATE1", measurement: int = 1, evaluation: int = 1) -> str:
    return f"{plate}__2026-01-02T12_38_08-Measurement {measurement}/Evaluation{evaluation}"


def write_evaluation(out: Path, populations: Iterable[Population], style: Style | None = None, name: str = "") -> Path:
    """Write the files of one evaluation below a folder, and return their folder.

    Parameters
    ----------
    name : str
        The folder of the evaluation, see `evaluation_of`; the plate's name begins it.
    """
    style, name = style or Style(), name or evaluation_of()
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    for population in populations:
        path = folder / f"Objects_Population - {population.name}.txt"
        path.write_bytes(style.encoded(_text(population, style, name)))
    return folder


def _text(population: Population, style: Style, name: str) -> str:
    plate, _, rest = name.partition("__")
    head = {
        "Database Name": "Harmony", "Database Link": "", "Evaluation Signature": "0123", "Plate Name": plate,
        "Measurement": rest.partition("-Measurement ")[2].partition("/")[0], "Evaluation": name.rpartition("/")[2],
        "Population": f"Population - {population.name}",
    }  # fmt: skip
    lines = ["\t".join(pair) for pair in head.items()] + ["", "[Data]"]
    end = "\t" if style.last_tab else ""
    lines.append("\t".join(population.header).replace("µ", style.micro) + end)
    lines += ["\t".join(_field(row[name], style) for name in population.header) + end for row in population.rows]
    return "".join(f"{line}{style.line_end}" for line in lines)


def _field(text: str, style: Style) -> str:
    return text.replace(".", ",") if style.comma and re.fullmatch(r"-?[0-9]+\.[0-9]+(e.*)?", text) else text
