"""Trying again what may pass: the one place that says how often, and how long to wait."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from pycytominer_transform.common.errors import PassingStorageError
from pycytominer_transform.common.reporting import logger

R = TypeVar("R")

_TRIES = 5
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 8.0


def retried(call: Callable[[], R]) -> R:
    """Call until it does not fail for a passing reason, five times at most, with longer and longer pauses.

    Raises
    ------
    PassingStorageError
        It failed so each time; the last one's words.
    """
    for attempt in range(1, _TRIES):
        try:
            return call()
        except PassingStorageError as error:
            wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (attempt - 1)) * random.uniform(0.5, 1)
            logger.debug("%s; trying again in %.1f s (%d of %d)", error, wait, attempt, _TRIES - 1)
            time.sleep(wait)
    try:
        return call()
    except PassingStorageError as error:
        raise PassingStorageError(f"{error} (tried {_TRIES} times)") from error


def asked_again(doing: str, error: Exception) -> None:
    """Say that what a fast client could not do is asked of the provider's own; its words may hold a signed URL."""
    logger.debug("cannot %s at the first try (%s); asking again at once", doing, type(error).__name__)
