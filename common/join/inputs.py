"""The files that options of `pct-join` name: a query and a platemap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.errors import UsageError

if TYPE_CHECKING:
    from pycytominer_transform.common.join.platemap_entries import Platemap
    from pycytominer_transform.common.storage.options import StorageOptions


@dataclass(frozen=True)
class JoinInputs:
    """The user's query and platemap, if any."""

    query: str = ""
    platemap: Platemap | None = None

    @property
    def entries(self) -> tuple[str, ...]:
        """The labels of the platemap's wells in messages and counts."""
        return self.platemap.labels if self.platemap else ()

    def recorded(self) -> dict[str, Any]:
        """Return the entries for provenance."""
        platemap = self.platemap
        return {
            "sql": self.query,
            "platemap": platemap.fingerprint if platemap else "",
            "platemap_entries": len(platemap.entries) if platemap else 0,
            "platemap_on": [f"{key.column}={key.profiles}" for key in platemap.keys] if platemap else [],
        }


def read_join_inputs(*, sql: str, platemap: str, platemap_on: str, storage: StorageOptions | None = None) -> JoinInputs:
    """Read the files; an empty path stands for none.

    Raises
    ------
    UsageError
        A file cannot be read, or there is no SQL in it.
    DataError
        See `pycytominer_transform.common.join.platemap_entries.read_platemap`.
    """
    from pycytominer_transform.common.join.platemap_entries import read_platemap

    if platemap_on and not platemap:
        raise UsageError("--platemap-on goes with --platemap")
    keys = [key.strip() for key in platemap_on.split(",")] if platemap_on else []
    return JoinInputs(
        _read_query(sql, storage) if sql else "", read_platemap(platemap, keys, storage) if platemap else None
    )


def _read_query(path: str, storage: StorageOptions | None) -> str:
    from pycytominer_transform.common.storage.standard_io import read_small_file

    try:
        query = read_small_file(path, "the SQL in", storage).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read the SQL in {path}: {error}") from error
    if not query.strip():
        raise UsageError(f"there is no SQL in {path}")
    return query
