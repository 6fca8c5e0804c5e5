"""The options of `pct-discover`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pycytominer_transform.common.model.options import byte_size, name_list, option, shard_option
from pycytominer_transform.common.model.path_expression import constant, path_expression

DEFAULT_PART_SIZE = 64_000_000


@dataclass(frozen=True, kw_only=True)
class DiscoverOptions:
    """How `pct-discover` reads a source; empty means the preset's choice."""

    preset: str = field(
        default="",
        metadata=option("kind of source (default: recognised from it)", metavar="NAME|FILE.toml"),
    )
    compartments: tuple[str, ...] = field(
        default=(),
        metadata=option("compartments to take (default: the preset's)", metavar="A,B,C", parse=name_list),
    )
    prefix: str = field(
        default="",
        metadata=option(
            "take only CSV files, or SQLite tables, whose names begin with this, such as MyExpt_ (default: all)",
            metavar="TEXT",
        ),
    )
    anchor: str = field(
        default="",
        metadata=option(
            "the compartment that profiles have a row per object of (default: the preset's choice)", metavar="NAME"
        ),
    )
    path_metadata: str = field(
        default="",
        metadata=option(
            "metadata in the datasets' paths, as named groups: '(?P<Plate>[^/]+)/(?P<Well>[^/]+)-(?P<Site>[^/]+)$'; "
            "none to ignore paths (default: PLATE/WELL-SITE and analysis/PLATE-WELL-SITE are recognised)",
            metavar="REGEX", parse=path_expression,
        ),
    )  # fmt: skip
    set: tuple[str, ...] = field(
        default=(),
        metadata=option(
            "add a column with this value in every row, such as Metadata_Plate=BR00117001; may be given several times",
            metavar="COLUMN=VALUE", parse=constant, repeatable=True,
        ),
    )  # fmt: skip
    part_size: int = field(
        default=DEFAULT_PART_SIZE,
        metadata=option("bytes of source per part (default: 64MB)", metavar="SIZE", parse=byte_size),
    )
    columns: Literal["union", "intersection"] = field(
        default="union",
        metadata=option(
            "what to do with columns that only some files have: null where absent, or leave out (default: %(default)s)"
        ),
    )
    on_bad_dataset: Literal["fail", "skip"] = field(
        default="fail",
        metadata=option(
            "what to do with a dataset that lacks a table or cannot be read; later stages do the same (default: "
            "%(default)s)"
        ),
    )
    shard: tuple[int, int] = field(default=(1, 1), metadata=shard_option(recorded=True))
