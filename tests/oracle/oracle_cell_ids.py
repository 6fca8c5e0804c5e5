"""The IDs of cells, for the oracle: plate, well, site and object where these identify; else dataset, image, object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from oracle_sources import Value

__all__ = ["Identity", "Place", "place_of", "with_cell_ids"]

Place = tuple[Value, Value, Value]


@dataclass(frozen=True)
class Identity:
    """What a cell is known by: its dataset and image set, the latter's plate, well and site, its own number."""

    image_set: Sequence[str]
    place: Place | None
    number: str


def place_of(image: Mapping[str, Value], path: Mapping[str, Value]) -> Place:
    """Give plate, well and site of an image set, None for what nothing says."""
    plate, well, site = (
        next((values[key] for values, key in _candidates(image, path, name) if values.get(key) not in (None, "")), None)
        for name in ("Plate", "Well", "Site")
    )
    return plate, well, site


def _candidates(
    image: Mapping[str, Value], path: Mapping[str, Value], name: str
) -> Iterable[tuple[Mapping[str, Value], str]]:
    return (image, f"Metadata_{name}"), (image, f"Image_Metadata_{name}"), (path, f"Metadata_{name}")


def with_cell_ids(
    cells: Sequence[tuple[Identity, Mapping[str, Value]]], places: Sequence[Place]
) -> list[dict[str, Value]]:
    """Give the rows with their IDs, where `places` are those of all image sets, also of those without a cell."""
    complete = all(isinstance(value, int | str) for place in places for value in place)
    by_place = complete and len(set(places)) == len(places)
    rows = []
    for identity, row in cells:
        names = identity.place if by_place and identity.place is not None else identity.image_set
        rows.append({"Metadata_CellID": ":".join([*map(_escaped, names), identity.number]), **row})
    return rows


def _escaped(value: Value) -> str:
    return str(value).replace("%", "%25").replace(":", "%3A")
