"""The version of the installed distribution, and where its documents are."""

from __future__ import annotations

from functools import cache


@cache
def tool_version() -> str:
    """Return the version; looked up only when asked, since that takes longer than all else in ``--help``."""
    from importlib.metadata import version

    return version("pycytominer-transform")


@cache
def documents_address() -> str:
    """Return the address of the documents, as pyproject.toml has it."""
    from importlib.metadata import metadata

    addresses = metadata("pycytominer-transform").get_all("Project-URL") or []
    named = dict(address.split(", ", 1) for address in addresses)
    return str(named.get("Documentation", "docs/ in the repository"))
