"""What can go wrong with one request on its way to an object storage server and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fault_answers import Answer, Kind, error_inside, refusal

__all__ = [
    "ALWAYS",
    "Changed",
    "Cut",
    "ErrorInside",
    "Exchange",
    "Fault",
    "Hang",
    "Kind",
    "Refused",
    "Request",
    "Reset",
]

ALWAYS = math.inf


@dataclass
class Request:
    """A request as the proxy saw it.

    Attributes
    ----------
    number
        Counted from 1, in the order of arrival.
    target
        Path and query, as sent.
    headers
        By name in lower case.
    status
        What the client was answered; None if it was not, or not yet.
    fault
        The class of the fault that befell it, or nothing.
    """

    number: int
    method: str
    target: str
    headers: dict[str, str]
    status: int | None = None
    fault: str = ""


class Exchange(Protocol):
    """One request and what can be done with it."""

    @property
    def scheme(self) -> str:
        """The provider: `s3`, `gs` or `az`."""

    @property
    def seen(self) -> Request:
        """The request."""

    @property
    def body(self) -> bytes | None:
        """What the client sent with its request, once that is read."""

    def ask(self, target: str) -> Answer:
        """Ask the server something else, and give its answer."""

    def forward(self) -> Answer:
        """Ask the server, and give its answer."""

    def send(self, answer: Answer, share: float = 1) -> None:
        """Send the client an answer, or a share of its body, and of an empty share no head either."""

    def read(self) -> None:
        """Read what the client sends with its request."""

    def reset(self) -> None:
        """Break the connection as if the other machine were gone."""

    def close(self) -> None:
        """End the connection in good order."""

    def hang(self) -> None:
        """Do nothing until the client gives up."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong with a request, and with as many of its repetitions as `times` says beyond one."""

    times: float = 1

    def serve(self, exchange: Exchange) -> None:
        """Do with a request what the fault says."""
        raise NotImplementedError


@dataclass(frozen=True)
class Reset(Fault):
    """The connection breaks before the server hears of the request, or after a share (0 to 1) of the answer's body.

    After 0, or where the answer has no body, the client hears nothing although the server has done what it should.
    """

    after: float | None = None

    def serve(self, exchange: Exchange) -> None:
        if self.after is not None:
            exchange.send(exchange.forward(), self.after)
        exchange.reset()


@dataclass(frozen=True)
class Cut(Fault):
    """The connection ends in good order after a share of the answer's body, which is shorter than it said."""

    after: float = 0.5

    def serve(self, exchange: Exchange) -> None:
        exchange.send(exchange.forward(), self.after)
        exchange.close()


@dataclass(frozen=True)
class Hang(Fault):
    """Nothing more comes: no answer at all, to a request the server has not heard of, or a share of its body."""

    after: float | None = None

    def serve(self, exchange: Exchange) -> None:
        if self.after is None:
            exchange.read()
        else:
            exchange.send(exchange.forward(), self.after)
        exchange.hang()


@dataclass(frozen=True)
class Refused(Fault):
    """The provider refuses the request in its own words."""

    kind: Kind

    def serve(self, exchange: Exchange) -> None:
        exchange.read()
        exchange.send(refusal(exchange.scheme, self.kind, exchange.seen.target))


@dataclass(frozen=True)
class ErrorInside(Fault):
    """S3 answers 200 and then an error, without having done what it was asked to."""

    def serve(self, exchange: Exchange) -> None:
        exchange.read()
        exchange.send(error_inside(Kind.INTERNAL))


@dataclass(frozen=True)
class Changed(Fault):
    """Somebody does something, such as replacing the object, just before the server hears of the request."""

    by: Callable[[], object]

    def serve(self, exchange: Exchange) -> None:
        self.by()
        exchange.send(exchange.forward())
