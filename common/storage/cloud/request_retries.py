"""Retries of single requests: their number and the time between them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from pycytominer_transform.common.errors import TransientStorageError
from pycytominer_transform.common.runtime.messages import logger

R = TypeVar("R")

ATTEMPTS = 5
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 8.0


class RetriesEndedError(TransientStorageError):
    """A transient error after the last retry."""


def retried(call: Callable[[], R]) -> R:
    """Call until there is no transient error, five times at most, and return the result.

    Raises
    ------
    RetriesEndedError
        Every attempt failed; has the message of the last one.
    """
    import stamina

    # Its own message about a retry would be a second one.
    logging.getLogger("stamina").setLevel(logging.ERROR)
    attempts = stamina.retry_context(
        _is_worth_a_retry, attempts=ATTEMPTS, timeout=None, wait_initial=_FIRST_WAIT, wait_max=_LONGEST_WAIT,
        wait_jitter=_FIRST_WAIT,
    )  # fmt: skip
    try:
        for attempt in attempts:
            with attempt:
                try:
                    return call()
                except TransientStorageError as error:
                    if attempt.num < ATTEMPTS and _is_worth_a_retry(error):
                        logger.debug(
                            "%s; trying again in %.1f s (%d of %d)", error, attempt.next_wait, attempt.num, ATTEMPTS - 1
                        )
                    raise
    except RetriesEndedError:
        raise
    except TransientStorageError as error:
        raise RetriesEndedError(f"{error} (tried {ATTEMPTS} times)") from error
    raise AssertionError  # One of the attempts returned or raised.


def _is_worth_a_retry(error: Exception) -> bool:
    return isinstance(error, TransientStorageError) and not isinstance(error, RetriesEndedError)
