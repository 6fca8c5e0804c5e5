"""What a Prefect server shows of a flow beside its runs: how far it is, and what it did in the end.

Only for people who look at a page: nothing that goes wrong with it concerns the flow.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycytominer_transform.common.reporting import logger

if TYPE_CHECKING:
    from uuid import UUID

_SECONDS_BETWEEN = 2.0


@dataclass
class FlowArtifacts:
    """The artifacts of one flow run.

    Attributes
    ----------
    wanted : bool
        There is a server that somebody may look at; after the first failure it is left alone.
    """

    wanted: bool
    _progress: UUID | None = None
    _last: float = 0.0

    def progress(self, done: int, total: int) -> None:
        """Show how many parts are done; at most every two seconds."""
        now = time.monotonic()
        if not self.wanted or (now - self._last < _SECONDS_BETWEEN and done < total):
            return
        self._last = now
        percent = 100.0 * done / max(total, 1)
        with self._left_alone_after_a_failure():
            from prefect.artifacts import create_progress_artifact, update_progress_artifact

            if self._progress is None:
                made: UUID = create_progress_artifact(percent, key="pct-flow-parts", description=f"{total} parts")  # type: ignore[assignment]  # declared for coroutines too
                self._progress = made
            else:
                update_progress_artifact(self._progress, percent)

    def summary(self, markdown: str) -> None:
        """Show what the flow did."""
        if self.wanted:
            with self._left_alone_after_a_failure():
                from prefect.artifacts import create_markdown_artifact

                create_markdown_artifact(markdown, key="pct-flow-summary")

    @contextmanager
    def _left_alone_after_a_failure(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.wanted = False
            logger.debug("the Prefect server takes no artifact: %s", error)
