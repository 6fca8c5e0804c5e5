"""Whether pandas may be imported: DuckDB and pyarrow import it where it is installed, although they need it rarely."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder


class _NoPandas(MetaPathFinder):
    """Makes the import of pandas fail, as it does where pandas is not installed."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Find nothing, and let no other finder find pandas."""
        if fullname == "pandas":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def prevent_pandas_import() -> None:
    """Make the import of pandas fail from now on; it takes half of the time of a small join."""
    sys.meta_path.insert(0, _NoPandas())


def allow_pandas_import() -> None:
    """Undo `prevent_pandas_import`, for an output that is made with pandas."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _NoPandas)]
