"""How `pct-discover` looks at a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DEFAULT_PART_SIZE = 64_000_000


@dataclass(frozen=True, kw_only=True)
class DiscoverOptions:
    """How `pct-discover` looks at a source.

    Attributes
    ----------
    preset : str
        Name of a preset, or path of a TOML file; empty to recognise it from the source.
    compartments : tuple of str
        The compartments to take; empty for the preset's.
    anchor : str
        The compartment whose objects the rows of the profiles are; empty for the preset's choice.
    part_size : int
        Bytes of source per part; a part always holds whole datasets (CSV) or image sets (SQLite).
    shard : (int, int)
        Keep every N-th part beginning with the I-th.
    columns : {'union', 'intersection'}
        What to do with columns that only some files of a table have.
    path_metadata : str
        Regular expression whose named groups are metadata in the datasets' paths; ``none`` to take nothing from there;
        empty for what the preset recognises.
    on_bad_dataset : {'fail', 'skip'}
        What to do with a dataset that lacks a table or cannot be read.
    """

    preset: str = ""
    compartments: tuple[str, ...] = ()
    anchor: str = ""
    part_size: int = DEFAULT_PART_SIZE
    shard: tuple[int, int] = (1, 1)
    path_metadata: str = ""
    columns: Literal["union", "intersection"] = "union"
    on_bad_dataset: Literal["fail", "skip"] = "fail"
