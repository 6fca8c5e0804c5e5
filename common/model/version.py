"""The version of the installed distribution."""

from __future__ import annotations

from functools import cache


@cache
def tool_version() -> str:
    """Return the version; looked up only when asked, since that takes longer than all else in ``--help``."""
    from importlib.metadata import version

    return version("pycytominer-transform")
