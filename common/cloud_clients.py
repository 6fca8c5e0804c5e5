"""Making cloudpathlib's clients of the options that all tools have; they find credentials as their providers do."""

from __future__ import annotations

import inspect
from typing import Any

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.storage_options import StorageOptions

_WORDS = {"true": True, "false": False, "none": None}


def client_arguments(client: type, options: StorageOptions, named: dict[str, Any]) -> dict[str, Any]:
    """Give the arguments of a client: those that have an option of their own, and the user's further ones.

    Parameters
    ----------
    client : type
        A client class of cloudpathlib.
    named : dict
        What the options of their own say, by the client's word; empty ones are left out.

    Raises
    ------
    UsageError
        The client has no such argument.
    """
    known = [name for name in inspect.signature(client.__init__).parameters if name != "self"]  # type: ignore[misc]
    given = {name: value for name, value in named.items() if value}
    for name, text in options.client_options:
        if name not in known:
            raise UsageError(
                f"--storage-option {name}: {client.__name__} has no such argument; it has {', '.join(known)}"
            )
        given[name] = _WORDS.get(text.lower(), text)
    return given


def refuse_options(provider: str, **given: object) -> None:
    """Refuse options that a provider has no meaning for.

    Raises
    ------
    UsageError
        One of them was given.
    """
    for name, value in given.items():
        if value:
            raise UsageError(f"--{name.replace('_', '-')} means nothing to {provider}")
