"""What a script imports: `import pycytominer_transform`. Heavy libraries load where they are used."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pycytominer_transform.common.model.roles import Role
    from pycytominer_transform.common.storage.options import StorageOptions

__all__ = ["__version__", "columns"]

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


def __getattr__(name: str) -> str:
    if name == "__version__":
        from pycytominer_transform.common.model.version import tool_version

        return tool_version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
