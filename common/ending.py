"""How a tool that is interrupted ends at once, although its threads are still at work.

Python waits for threads, and threads that read a part cannot be stopped. So a process that is the tool's own removes
what they are making and goes. In somebody else's process, who called `main` with words of their own, they are waited
for.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pycytominer_transform.common.early_end import leave_early
from pycytominer_transform.common.errors import TerminatedError
from pycytominer_transform.common.interruption import note_interruption, noted_interruption
from pycytominer_transform.common.temporary_names import discard, end_all

_INTERRUPTIONS: dict[int, type[BaseException]] = {signal.SIGTERM: TerminatedError, signal.SIGINT: KeyboardInterrupt}


class _Process:
    is_ours = False
    has_others = False
    last: dict[Path, ExitStack] = {}  # noqa: RUF012
    code = 0


def take_process() -> None:
    """Say that the process is a tool's own."""
    _Process.is_ours = True


def end_others_first() -> None:
    """Say that this process has further ones to end before it ends itself."""
    _Process.has_others = True


def ends_at_once() -> bool:
    """Say whether an interruption is on its way up that will end the process, so that nothing need be waited for.

    Not where there are further processes, which have to be ended too.
    """
    alone = _Process.is_ours and not _Process.has_others
    return alone and interruption_in(sys.exc_info()[1]) is not None


@contextmanager
def interruptions_raise() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into exceptions, so that temporary files are removed on the way out."""
    note_interruption(None)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _raise) for number in _INTERRUPTIONS if _is_heeded(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            # From here on something may have been left.
            signal.signal(number, signal.SIG_DFL if handler is leave_early else handler)


def _is_heeded(number: int) -> bool:
    # A shell that starts a job in the background has it ignore Ctrl-C.
    return number != signal.SIGINT or signal.getsignal(number) in (signal.default_int_handler, leave_early)


def _raise(number: int, _frame: FrameType | None) -> None:
    error = _INTERRUPTIONS[number]()
    note_interruption(error)
    raise error


def interruption_in(error: BaseException | None) -> BaseException | None:
    """Find the interruption behind an error: libraries wrap one that arrives within a callback of theirs."""
    noted = noted_interruption()
    if error is None or noted is not None:
        return noted
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        if isinstance(found, (KeyboardInterrupt, TerminatedError)):
            return found
        if type(found).__name__ == "TerminationSignal":
            # Prefect's own, which it raises instead while a flow runs.
            return TerminatedError()
        found = found.__cause__ or found.__context__
    return None


def removed_last(path: Path, held: ExitStack) -> None:
    """Remove a folder when nothing else is left to do: now, or at the very end of a process that is a tool's own.

    Parameters
    ----------
    path : Path
        The folder.
    held : ExitStack
        What is closed after that, such as its lock.
    """
    if _Process.is_ours:
        _Process.last[path] = held
        return
    with held:
        discard(path)


def end_after_all_others() -> None:
    """Have what is removed last removed after whatever else is done when Python ends; to be called before anything."""
    atexit.register(_end)


def ends_with(code: int) -> None:
    """Say what the process's exit code will be."""
    _Process.code = code


def _end() -> None:
    if _Process.last:
        _flush()
        for path in _Process.last:
            discard(path)
        # From here on nothing is left that tells what was done but the exit code.
        os._exit(_Process.code)


def leave(code: int) -> NoReturn:
    """End the process with an exit code, and with it all threads; nothing half-done stays."""
    end_all()
    for path in _Process.last:
        discard(path)
    # Only a process that has used it has anything in it.
    if (cache := sys.modules.get("pycytominer_transform.common.cloud_cache")) is not None:
        cache.release_cache()
    _flush()
    os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
