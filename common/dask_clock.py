"""A clock for Dask that never jumps.

Dask's event loops wait until times of the system's clock. When that is set back by an hour, messages to the workers
and from them lie for that hour; when it is set forward, whatever was to be waited for seems to have failed. Workers of
our own take this clock up as they start, see `dask_worker`.
"""

from __future__ import annotations

import sys
import time
from typing import Any

_ahead = time.time() - time.monotonic()


def steady_time() -> float:
    """Give the seconds since 1970 by a clock that is set once, when the process begins."""
    return _ahead + time.monotonic()


def go_steady() -> None:
    """Have Dask, and Tornado below it, go by `steady_time` in this process."""
    import distributed.metrics
    from tornado.ioloop import IOLoop

    jumping = distributed.metrics.time
    if jumping is steady_time:
        return
    # Its modules have taken the function by name, and each keeps it as its own.
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "distributed" and getattr(module, "time", None) is jumping:
            module.time = steady_time  # type: ignore[attr-defined]
    loops: Any = IOLoop
    loops.time = lambda _loop: steady_time()
