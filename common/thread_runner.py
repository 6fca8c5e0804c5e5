"""Prefect's thread runner, but one that an interruption ends at once."""

from __future__ import annotations

from typing import Any

from prefect.task_runners import ThreadPoolTaskRunner
from pycytominer_transform.common.ending import ends_at_once


class QuickThreadTaskRunner(ThreadPoolTaskRunner[Any]):
    """A `ThreadPoolTaskRunner` that does not wait for parts being read when the process is about to end."""

    def cancel_all(self) -> None:
        """Cancel what has not begun; wait for the rest, unless an interruption ends the process."""
        if ends_at_once() and self._executor is not None:
            for event in self._cancel_events.values():
                event.set()
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
        super().cancel_all()
