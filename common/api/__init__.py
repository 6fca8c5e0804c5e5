"""What a script imports: `import pycytominer_transform`. Heavy libraries load where they are used."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from pycytominer_transform.common.model.discovery_options import DiscoverOptions
    from pycytominer_transform.common.model.roles import Role
    from pycytominer_transform.common.storage.options import StorageOptions
    from pycytominer_transform.tools.convert import convert
    from pycytominer_transform.tools.discover import discover
    from pycytominer_transform.tools.extract import ExtractOptions, extract
    from pycytominer_transform.tools.join import JoinOptions, join
    from pycytominer_transform.tools.report import ReportOptions, report
    from pycytominer_transform.tools.write import WriteOptions, write

__all__ = [
    "DiscoverOptions", "ExtractOptions", "JoinOptions", "ReportOptions", "StorageOptions", "WriteOptions",
    "__version__", "columns", "convert", "discover", "extract", "join", "report", "write",
]  # fmt: skip

__version__: str


def columns(
    path: str | Path, role: Role | Collection[Role] | None = None, *, storage: StorageOptions | None = None
) -> list[str]:
    """List the columns of an output by their role.

    ``columns("plate.parquet", role="feature")`` is what pycytominer takes as ``features``.

    Parameters
    ----------
    path : str or Path
        A Parquet file, or a folder of them, local or in a cloud store; of a folder the first file is looked at.
    role : str or collection of str, optional
        ``identifier``, ``metadata``, ``location``, ``count``, ``image``, ``feature``, or several of them; by default
        all.
    storage : StorageOptions, optional
        How cloud storage is reached.

    Returns
    -------
    list of str
        Names, in the order of the file.

    Raises
    ------
    SourceNotFoundError, DataError
        There is no such file, or it is no Parquet.
    UsageError
        There is no such role.
    """
    from pycytominer_transform.common.write.parquet import columns_of_file

    return columns_of_file(str(path), [role] if isinstance(role, str) else role, storage)


_PLACES = {
    "discover": "tools.discover", "DiscoverOptions": "common.model.discovery_options",
    "extract": "tools.extract", "ExtractOptions": "tools.extract",
    "join": "tools.join", "JoinOptions": "tools.join",
    "write": "tools.write", "WriteOptions": "tools.write",
    "report": "tools.report", "ReportOptions": "tools.report",
    "convert": "tools.convert", "StorageOptions": "common.storage.options",
}  # fmt: skip
"""The module of each name, below this package."""


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for."""
    if name == "__version__":
        from pycytominer_transform.common.model.version import tool_version

        return tool_version()
    if name in _PLACES:
        return getattr(importlib.import_module(f"pycytominer_transform.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List what can be imported from here."""
    return sorted({*globals(), *__all__})
