"""Working through the parts of a flow: a few at a time, some of them again, and no further once too many failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pycytominer_transform.common.errors import PctError, StorageError, UsageError
from pycytominer_transform.common.reporting import count, logger
from pycytominer_transform.common.task_runners import Submitted, is_passing_here, outcomes, reason_of

R = TypeVar("R")

IN_FLIGHT_PER_WORKER = 4
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


def attempt_name(name: str, attempt: int) -> str:
    """Name a run after its work, and after how often that was tried before."""
    return f"{name}, attempt {attempt + 1}" if attempt else name


def pause_before(attempt: int) -> float:
    """Give the seconds to wait before parts are tried again: 1, 4, 16, then 60."""
    return min(_FIRST_PAUSE * 4.0 ** (attempt - 1), _LONGEST_PAUSE)


@dataclass
class PartRuns(Generic[R]):
    """Works through parts; one that fails leaves the others alone.

    Those that failed for a passing reason are tried again when all others have been, which gives the reason time.

    Attributes
    ----------
    begin : callable
        Submits a part: its number, and how often it was tried before.
    collect : callable
        Takes what came of a part.
    in_flight : int
        Parts submitted and not yet collected.
    retries : int
        How often a part is tried again.
    max_failures : int, optional
        Give up when more parts than this have failed.
    failures : dict
        Why each part failed that did.
    retried : int
        Parts tried again, each as often as it was.
    given_up : bool
        Too many failed; some parts were not tried, or not to their end.
    """

    begin: Callable[[int, int], Submitted[R]]
    collect: Callable[[int, R], None]
    in_flight: int
    retries: int
    max_failures: int | None
    failures: dict[int, str] = field(default_factory=dict)
    retried: int = 0
    given_up: bool = False

    def run(self, parts: Iterable[int]) -> None:
        """Work through the parts, which are asked for as room comes up.

        Raises
        ------
        UsageError
            What a part failed with is the same for all.
        """
        again = self._round(parts, 0)
        for attempt in range(1, self.retries + 1):
            if not again or self.given_up:
                return
            pause = pause_before(attempt)
            logger.debug("trying %s again in %g s", count(len(again), "part"), pause)
            time.sleep(pause)
            self.retried += len(again)
            again = self._round(again, attempt)

    def _round(self, parts: Iterable[int], attempt: int) -> list[int]:
        again: list[int] = []
        begun = ((part, self.begin(part, attempt)) for part in parts)
        for part, outcome in outcomes(begun, in_flight=self.in_flight):
            if not isinstance(outcome, Exception):
                self.collect(part, outcome)
            elif isinstance(outcome, UsageError):
                raise outcome
            elif attempt < self.retries and is_passing_here(outcome):
                logger.debug("part %d failed for a reason that may pass: %s", part, reason_of(outcome))
                again.append(part)
            elif self._is_too_much(part, reason_of(outcome)):
                self.given_up = True
                break
        return again

    def _is_too_much(self, part: int, reason: str) -> bool:
        self.failures[part] = reason
        logger.error("part %d failed: %s", part, reason, extra={"fields": {"part": part, "outcome": "failed"}})
        return self.max_failures is not None and len(self.failures) > self.max_failures


def result_of(begin: Callable[[int], Submitted[R]], retries: int) -> R:
    """Give what comes of work, begun again as often as that if it fails for a reason that may pass.

    Raises
    ------
    StorageError
        Its Dask worker was lost each time.
    """
    for attempt in range(retries + 1):
        try:
            return begin(attempt).result()
        except Exception as error:
            if not is_passing_here(error):
                raise
            if attempt == retries:
                raise error if isinstance(error, PctError) else StorageError(reason_of(error)) from error
            pause = pause_before(attempt + 1)
            logger.debug("trying again in %g s, for this may pass: %s", pause, reason_of(error))
            time.sleep(pause)
    raise AssertionError
