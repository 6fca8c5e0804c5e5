"""Read the pickled dictionary of an `.npz` file without running anything that the file names.

Pickles are programs that may call anything (https://docs.python.org/3/library/pickle.html#restricting-globals). The
unpickler here resolves only the names that NumPy uses for arrays and their values, to stand-ins that store their
arguments; it imports nothing.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections.abc import Callable
from typing import Any

from pycytominer_transform.common.errors import DataError

Value = bool | int | float | str | None

_MAX_MEMO = 1 << 16
_MAX_TUPLES = 10_000
_VALUE_TYPE = re.compile(r"b1|[iu][1248]|f[248]|[US]\d+")


class _RefusedError(Exception):
    """The pickle asks for something that plain values do not need."""


class _Type:
    """Stands for a `numpy.dtype`."""

    def __init__(self, name: object, *_: object) -> None:
        self.name = str(name)
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


class _Array:
    """Stands for a `numpy.ndarray`."""

    shape: Any = None
    type: Any = None
    values: Any = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.type, _, self.values = state

    def only_value(self) -> object:
        """Return the value of an array of one; the array itself where it is another."""
        if isinstance(self.values, list):
            return self.values[0] if len(self.values) == 1 else self
        try:
            return _scalar(self.type, self.values)
        except Exception:  # A damaged array may fail in any way.
            return self


def _scalar(kind: object, stored: object = b"") -> object:
    """Return one NumPy number or text as Python's."""
    import numpy as np

    if not isinstance(kind, _Type) or not isinstance(stored, bytes) or not _VALUE_TYPE.fullmatch(kind.name):
        raise _RefusedError(f"a value of type {getattr(kind, 'name', None)!r}")
    if kind.name[0] in "US" and not stored:
        return ""
    value = np.frombuffer(stored, dtype=kind.order + kind.name).item()
    return value.decode() if isinstance(value, bytes) else value


def _encode(text: str, encoding: object = "") -> bytes:
    """Stand for `_codecs.encode`, by which the protocols of Python 2 write bytes."""
    if encoding != "latin1":
        raise _RefusedError("a text in another encoding")
    return text.encode("latin-1")


_STAND_INS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _Type,
    "numpy.ndarray": _Array,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "_codecs.encode": _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        name = f"{module_name}.{global_name}"
        if name not in _STAND_INS:
            raise _RefusedError(f"the name {name!r}")
        # A new function each time: a pickle may set its attributes.
        return lambda *arguments: _STAND_INS[name](*arguments)


def read_metadata(pickled: bytes, shown: str) -> dict[str, Value]:
    """Read a pickled dictionary of plain values, or one in an array of one object.

    Raises
    ------
    DataError
        It is damaged, holds other values, or names what could run code; the message has that name.
    """
    try:
        _check_cost(pickled)
        metadata = _Unpickler(io.BytesIO(pickled), encoding="latin1").load()
        if isinstance(metadata, _Array):
            metadata = metadata.only_value()
    except _RefusedError as error:
        raise DataError(
            f"{shown}: its metadata is a pickle that asks for {error}, which is refused: such a file may run code"
        ) from error
    except Exception as error:  # A damaged pickle may fail in any way.
        raise DataError(f"{shown}: its metadata is damaged: it is no pickle ({type(error).__name__})") from error
    if not isinstance(metadata, dict):
        raise DataError(f"{shown}: its metadata is not a dictionary")
    return {_checked_key(key, shown): _plain_value(key, value, shown) for key, value in metadata.items()}


def _check_cost(pickled: bytes) -> None:
    """Refuse operations that cost more than the file's own size.

    A large place in the memo makes Python reserve as much, and tuples nested deep enough overrun its stack. A size that
    is larger than the file is an error of `pickletools`.
    """
    tuples = 0
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > _MAX_MEMO:
            raise _RefusedError(f"{argument} places")
        tuples += operation.name.startswith("TUPLE")
        if tuples > _MAX_TUPLES:
            raise _RefusedError(f"more than {_MAX_TUPLES} tuples")


def _checked_key(key: object, shown: str) -> str:
    if not isinstance(key, str) or not key:
        raise DataError(f"{shown}: its metadata has a key that is not a text ({type(key).__name__})")
    return _checked_text(key, key, shown)


def _plain_value(key: str, value: object, shown: str) -> Value:
    if isinstance(value, _Array) and value.shape == ():
        value = value.only_value()
    if isinstance(value, str):
        return _checked_text(value, key, shown)
    if value is None or isinstance(value, bool | int | float):
        return value
    kind = type(value).__name__.strip("_").lower()
    raise DataError(f"{shown}: its metadata {key!r} is not a number or a text but {kind}")


def _checked_text(text: str, key: str, shown: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{shown}: its metadata {key!r} is not text that can be written as UTF-8") from error
    return text
