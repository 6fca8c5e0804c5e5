"""Signals, clean-up and exit of the process.

SIGINT, SIGTERM and SIGHUP raise an exception in the main thread, so that `with` blocks clean up. Python would then wait
for the other threads, and a thread that reads a part cannot be stopped. A tool's own process therefore calls the
functions that are registered here and exits without waiting. A process that called `main` with arguments is not the
tool's own: it waits for its threads.

Import nothing heavy here: a tool handles signals before Python imports the rest.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import FileIO
from types import FrameType
from typing import Any, NoReturn

from pycytominer_transform.common.errors import EXIT_DATA, HangUpError, TerminatedError, TimedOutError

_EXCEPTIONS: dict[int, type[BaseException]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: TerminatedError,
    signal.SIGHUP: HangUpError,
}
_VERBS = {
    KeyboardInterrupt: "interrupted",
    TerminatedError: "terminated",
    HangUpError: "the terminal was closed",
    TimedOutError: "not done within the time of --timeout",
}
_PATIENCE = 1.0
"""Seconds in which the main thread must have noticed a signal; a query in SQLite or DuckDB may never."""
_CLEAN_UP_SECONDS = 30
"""Seconds in which it must then have cleaned up; if a library swallowed the exception, it never begins to."""


class _Process:
    tool = ""
    belongs_to_tool = False
    has_children = False
    # The signals that `interruptions_raise` handles.
    handled: tuple[int, ...] = ()
    # The last exception that a signal handler raised.
    interruption: BaseException | None = None
    # Whether Python ignored it, since it arose in a callback.
    is_swallowed = False
    is_exiting = False
    cleanups: dict[object, Callable[[], None]] = {}  # noqa: RUF012
    interrupts: dict[object, Callable[[], None]] = {}  # noqa: RUF012
    lock = threading.Lock()


def start_process(tool: str) -> None:
    """Until `interruptions_raise`, let a signal end the process at once with a one-line message."""
    _Process.tool = tool
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Else the next file to be opened would take the number of the closed standard stream.
            os.open(os.devnull, os.O_RDWR)
    for number in _EXCEPTIONS:
        if _is_default(number):
            signal.signal(number, _exit_while_starting)


def own_process() -> None:
    """Mark the process as the tool's own: an interruption ends it without waiting for its threads."""
    _Process.belongs_to_tool = True


def end_process() -> None:
    """Restore the default signal handlers, and flush stderr so that a failure cannot change the exit code."""
    for number in _EXCEPTIONS:
        if signal.getsignal(number) is _exit_while_starting:
            signal.signal(number, signal.SIG_DFL)
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except (OSError, ValueError):
        # Python would exit with 120 when it cannot write the rest of the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def describe_interruption(error: BaseException) -> tuple[str, int]:
    """Return the message and the exit code of an interruption: 128 plus the number of the signal, or 1 for a timeout.

    Workflow engines run a job again that ends with more than 128, which would take as long once more.
    """
    number = next((number for number, kind in _EXCEPTIONS.items() if type(error) is kind), signal.SIGTERM)
    kind, code = (TimedOutError, EXIT_DATA) if type(error) is TimedOutError else (_EXCEPTIONS[number], 128 + number)
    return f"{_VERBS[kind]}; nothing was left under the output's name", code


def _exit_while_starting(number: int, _frame: FrameType | None) -> None:
    message, code = describe_interruption(_EXCEPTIONS[number]())
    with suppress(OSError):
        os.write(2, f"{_Process.tool}: error: {message}\n".encode())
    os._exit(code)


def _is_default(number: int) -> bool:
    # `nohup` lets a process ignore SIGHUP, and a shell lets its background jobs ignore SIGINT.
    return signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler, _exit_while_starting)


@contextmanager
def interruptions_raise(*, timeout: float = 0, report: Callable[[BaseException], int] | None = None) -> Iterator[None]:
    """Turn signals into exceptions within the block; does nothing outside the main thread.

    Parameters
    ----------
    timeout
        Seconds after which `TimedOutError` is raised; 0 for never.
    report
        Logs an interruption and returns its exit code; for one that the main thread does not notice.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = [number for number in _EXCEPTIONS if number == signal.SIGTERM or _is_default(number)]
    handled += [signal.SIGALRM] if timeout else []
    before = {number: signal.signal(number, _raise) for number in handled}
    _Process.handled = tuple(handled)
    watched = _watch(report) if report and _Process.belongs_to_tool else None
    show_ignored = sys.unraisablehook
    if watched is not None:
        sys.unraisablehook = partial(_note_if_swallowed, show_ignored)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = show_ignored
        if watched is not None:
            signal.set_wakeup_fd(-1)
            os.close(watched)
        _Process.interruption, _Process.is_swallowed, _Process.handled = None, False, ()
        for number, handler in before.items():
            # The message of an early exit says that there is no output; now there may be one.
            signal.signal(number, signal.SIG_DFL if handler is _exit_while_starting else handler)


@contextmanager
def interruptions_raise_again() -> Iterator[None]:
    """Handle signals as `interruptions_raise` does in a block of a library that put its own handlers in their place.

    Prefect does so with SIGTERM while a flow runs. Python ignores exceptions that arise in some callbacks, such as the
    garbage collector's, so that now and then Prefect's is lost; ours are raised again.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, _raise) for number in _Process.handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _kind(number: int) -> type[BaseException]:
    return _EXCEPTIONS.get(number, TimedOutError)


def _raise(number: int, _frame: FrameType | None) -> None:
    _Process.interruption = _kind(number)()
    raise _Process.interruption


def _note_if_swallowed(show: Callable[[sys.UnraisableHookArgs], Any], ignored: sys.UnraisableHookArgs) -> None:
    """Note that Python ignored an interruption, instead of showing it; show other exceptions that it ignored."""
    if ignored.exc_value is not None and ignored.exc_value is _Process.interruption:
        _Process.is_swallowed = True
    else:
        show(ignored)


def _watch(report: Callable[[BaseException], int]) -> int:
    """End the process after a signal that does not end the main thread; return the descriptor that ends the watch.

    Python runs handlers of signals in the main thread alone, between two of its own steps. A query without end in
    SQLite or DuckDB takes no such step. And DuckDB goes on with its query after some exceptions in its callbacks.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def watch() -> None:
        with open(reader, "rb", buffering=0) as signals:
            while number := signals.read(1):
                handled = number[0] == signal.SIGALRM or number[0] in _EXCEPTIONS
                if not handled or signal.getsignal(number[0]) is not _raise:
                    continue
                if _is_readable(signals, _PATIENCE):
                    continue
                if _Process.interruption is None or not _ends(signals, number[0]):
                    clean_up_and_exit(report(_kind(number[0])()))

    threading.Thread(target=watch, name="pct-signals", daemon=True).start()
    return writer


def _ends(signals: FileIO, number: int) -> bool:
    """Return whether the main thread ends in time.

    A signal whose exception Python ignored is sent again, and a query that runs on is interrupted.
    """
    for _ in range(_CLEAN_UP_SECONDS):
        if _Process.is_swallowed:
            _Process.is_swallowed = False
            os.kill(os.getpid(), number)
        for interrupt in list(_Process.interrupts.values()):
            with suppress(Exception):  # It may have ended just now.
                interrupt()
        if _is_readable(signals, 1):
            return True
    return False


def _is_readable(signals: FileIO, seconds: float) -> bool:
    """Return whether the watch ends, or a further signal arrives, in that time."""
    return bool(select.select([signals], [], [], seconds)[0])


@contextmanager
def interruptible(interrupt: Callable[[], None]) -> Iterator[None]:
    """Call a function from another thread, every second, if the block goes on after a signal."""
    key = object()
    _Process.interrupts[key] = interrupt
    try:
        yield
    finally:
        del _Process.interrupts[key]


def raise_if_interrupted() -> None:
    """Raise the interruption again if a library swallowed it.

    The exception of a signal handler arises wherever Python is at the time. DuckDB ignores exceptions in some of its
    callbacks, and so loses one interruption in 25.
    """
    if _Process.interruption is not None and threading.current_thread() is threading.main_thread():
        raise _Process.interruption


def interruption_behind(error: BaseException | None) -> BaseException | None:
    """Return the interruption that caused an error, or None; libraries wrap one that arrives in a callback."""
    seen: set[int] = set()
    while error is not None and _Process.interruption is None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, (KeyboardInterrupt, TerminatedError)):
            return error
        if type(error).__name__ == "TerminationSignal":
            # Prefect's exception for SIGTERM while a flow runs.
            return TerminatedError()
        error = error.__cause__ or error.__context__
    return _Process.interruption


@contextmanager
def cleanup(call: Callable[[], None]) -> Iterator[None]:
    """Register a function to call if the process exits while a thread is in this block."""
    key = object()
    with _Process.lock:
        _refuse_while_exiting()
        _Process.cleanups[key] = call
    try:
        yield
    finally:
        _Process.cleanups.pop(key, None)


def on_exit(call: Callable[[], None]) -> Callable[[], None]:
    """Register a function to call when the process ends, normally or by an interruption; also a decorator."""
    _Process.cleanups[call] = call
    return atexit.register(call)


@contextmanager
def committing() -> Iterator[None]:
    """Delay an exit until the block has renamed an output; raise `TerminatedError` if the process already exits."""
    raise_if_interrupted()
    with _Process.lock:
        _refuse_while_exiting()
        yield


def _refuse_while_exiting() -> None:
    if _Process.is_exiting:
        raise TerminatedError


def run_cleanups() -> None:
    """Call all registered functions; from then on no thread can register another or commit an output."""
    with _Process.lock:
        _Process.is_exiting = True
    for call in list(_Process.cleanups.values()):
        call()


def exits_at_once() -> bool:
    """Return whether the current exception is an interruption that ends the process without its threads."""
    alone = _Process.belongs_to_tool and not _Process.has_children
    return alone and interruption_behind(sys.exc_info()[1]) is not None


def wait_for_children() -> None:
    """Make an interruption end this process normally, because it has to end its child processes first."""
    _Process.has_children = True


def clean_up_and_exit(code: int) -> NoReturn:
    """Remove incomplete outputs, then end the process with all its threads."""
    if threading.current_thread() is threading.main_thread():
        for number in _EXCEPTIONS:
            signal.signal(number, signal.SIG_IGN)
    run_cleanups()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)
