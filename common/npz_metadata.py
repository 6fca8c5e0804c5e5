"""Reading the pickled dictionary of an `.npz` file without running anything that the file names.

Python's pickles are programs: they may call whatever can be imported
(https://docs.python.org/3/library/pickle.html#restricting-globals). Here they get stand-ins for the few names of NumPy
that arrays and their numbers are written with, which hold what they are given and do nothing; no other name is
resolved, and nothing is imported.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from collections.abc import Callable
from typing import Any

from pycytominer_transform.common.errors import DataError

Value = bool | int | float | str | None

_MOST_MEMO = 1 << 16
_MOST_TUPLES = 10_000
_PLAIN = frozenset(
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT "
    "BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE BINUNICODE SHORT_BINUNICODE "
    "BINUNICODE8 EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM "
    "SETITEMS GLOBAL STACK_GLOBAL REDUCE BUILD GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE".split()
)
_FORMATS = {
    "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "f2": "e",
    "f4": "f", "f8": "d",
}  # fmt: skip


class _RefusedError(Exception):
    """The pickle names something that it must not have."""


class _Global:
    """What a pickle may call in the place of one of NumPy's names; a pickle cannot change it."""

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *given: Any) -> Any:
        return self._make(*given)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)

    def __setstate__(self, state: object) -> None:
        raise _RefusedError("a state for a name of NumPy")


class _Type:
    """Stands for a `numpy.dtype`: its letter and width, and which of its bytes comes first."""

    __slots__ = ("letters", "order")

    def __init__(self, letters: str, *_: object) -> None:
        self.letters = letters if isinstance(letters, str) else ""
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


class _Array:
    """Stands for a `numpy.ndarray`: its shape, its type, and its values as they were pickled."""

    __slots__ = ("kind", "shape", "values")

    def __init__(self, *_: object) -> None:
        self.shape: Any = None
        self.kind: Any = None
        self.values: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.kind, _, self.values = state


def _scalar(kind: object, stored: object = b"") -> object:
    """Give one NumPy number or text as Python's."""
    if not isinstance(kind, _Type):
        raise _RefusedError("a number of no type")
    if kind.letters in _FORMATS and isinstance(stored, bytes):
        return struct.unpack(kind.order + _FORMATS[kind.letters], stored)[0]
    if kind.letters[:1] == "U" and isinstance(stored, bytes):
        return stored.decode("utf-32-be" if kind.order == ">" else "utf-32-le").rstrip("\0")
    if kind.letters[:1] == "S" and isinstance(stored, bytes):
        return stored.rstrip(b"\0").decode()
    raise _RefusedError(f"a value of type {kind.letters!r}")


def _only_value(held: _Array) -> object:
    """Give the one value of an array of no dimensions; the array itself where it is another."""
    if isinstance(held.values, list):
        return held.values[0] if len(held.values) == 1 else held
    try:
        return _scalar(held.kind, held.values)
    except (_RefusedError, struct.error, ValueError):
        return held


def _encode(text: object, encoding: object = "") -> bytes:
    """Stand for `_codecs.encode`, by which Python 2's protocol writes bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError("a text in another encoding")
    return text.encode("latin-1")


_ADMITTED: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _Type,
    "numpy.ndarray": _Array,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "_codecs.encode": _encode,
}


class _Unpickler(pickle.Unpickler):
    """Resolves no name but those above, and those to stand-ins."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        name = f"{module_name}.{global_name}"
        if name not in _ADMITTED:
            raise _RefusedError(f"the name {name!r}")
        return _Global(_ADMITTED[name])


def read_metadata(pickled: bytes, shown: str) -> dict[str, Value]:
    """Read a pickled dictionary of plain values, or one in an array of one object.

    Raises
    ------
    DataError
        It is damaged, holds other values, or names what could run code; the message has that name.
    """
    try:
        _check_operations(pickled)
        found = _Unpickler(io.BytesIO(pickled), encoding="latin1").load()
    except _RefusedError as error:
        raise DataError(
            f"{shown}: its metadata is a pickle that asks for {error}, which is refused: such a file may run code"
        ) from error
    except Exception as error:  # A damaged pickle may fail in any way.
        raise DataError(f"{shown}: its metadata is damaged: it is no pickle ({type(error).__name__})") from error
    if isinstance(found, _Array):
        found = _only_value(found)
    if not isinstance(found, dict):
        raise DataError(f"{shown}: its metadata is not a dictionary")
    return {_key(key, shown): _value(key, value, shown) for key, value in found.items()}


def _check_operations(pickled: bytes) -> None:
    """Refuse operations that plain data do not need, and those that cost more than the file's own size.

    A large place in the memo makes Python reserve as much, and tuples nested deep enough overrun its stack.
    """
    tuples = 0
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name not in _PLAIN:
            raise _RefusedError(f"the operation {operation.name}")
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > _MOST_MEMO:
            raise _RefusedError(f"{argument} places")
        tuples += operation.name.startswith("TUPLE")
        if tuples > _MOST_TUPLES:
            raise _RefusedError(f"more than {_MOST_TUPLES} tuples")


def _key(key: object, shown: str) -> str:
    if not isinstance(key, str) or not key:
        raise DataError(f"{shown}: its metadata has a key that is not a text ({type(key).__name__})")
    return _checked(key, key, shown)


def _value(key: str, value: object, shown: str) -> Value:
    if isinstance(value, _Array) and value.shape == ():
        value = _only_value(value)
    if isinstance(value, str):
        return _checked(value, key, shown)
    if value is None or isinstance(value, bool | int | float):
        return value
    raise DataError(
        f"{shown}: its metadata {key!r} is not a number or a text but {type(value).__name__.strip('_').lower()}"
    )


def _checked(text: str, key: str, shown: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{shown}: its metadata {key!r} is not text that can be written as UTF-8") from error
    return text
