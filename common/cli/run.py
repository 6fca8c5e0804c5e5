"""The wrapper in which every tool runs: arguments, signals, and one line and an exit code for each way to end."""

from __future__ import annotations

import argparse
import errno
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common import errors
from pycytominer_transform.common.cli.parser import complete, options_from
from pycytominer_transform.common.flow.prefect_environment import prefect_api_configured
from pycytominer_transform.common.runtime.messages import clear_progress, logger, set_up_reporting
from pycytominer_transform.common.runtime.pandas_import import prevent_pandas_import
from pycytominer_transform.common.runtime.signals import (
    clean_up_and_exit,
    describe_interruption,
    exits_at_once,
    interruption_behind,
    interruptions_raise,
    own_process,
)
from pycytominer_transform.common.runtime.terminal import ErrorStream
from pycytominer_transform.common.storage.options import StorageOptions

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pycytominer_transform.common.flow.stage_task import StageTask


def run_stage(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, task: StageTask[Any],
    options: type[DataclassInstance], *, reads: str, named_after: str = "",
) -> int:  # fmt: skip
    """Parse the arguments of a stage, run its task, log the summary, and return the exit code.

    Parameters
    ----------
    options
        The dataclass of the stage's options.
    reads
        Name of the argument, of the parser and of the task, with the stage's input.
    named_after
        Name of the argument after which the task's run is named on a Prefect server; by default the input.
    """

    def body(args: argparse.Namespace) -> int:
        name = getattr(args, named_after or reads)
        summary = task.run(
            tracked=prefect_api_configured(no_prefect=args.no_prefect),
            run_name=f"{task.name} {Path(name).name or name}",
            output=args.output,
            overwrite=args.overwrite,
            options=options_from(args, options),
            storage=options_from(args, StorageOptions),
            **{reads: getattr(args, reads)},
        )
        summary.report()
        return 0

    return run(parser, argv, body)


def run(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, body: Callable[[argparse.Namespace], int],
    complete_words: Callable[[Sequence[str]], Sequence[str]] = lambda words: words,
) -> int:  # fmt: skip
    """Parse the arguments, run the tool, and return its exit code; every error becomes one line.

    Parameters
    ----------
    argv
        The arguments; None for those of this process, which then belongs to the tool and may exit at once.
    complete_words
        Adds arguments that stand in a file; may raise `UsageError`.
    """
    if argv is None:
        own_process()
        prevent_pandas_import()
    complete(parser)
    try:
        args = parser.parse_args(_words(parser, sys.argv[1:] if argv is None else argv, complete_words))
    except SystemExit as error:
        return _flushed(int(error.code or 0))
    set_up_reporting(parser.prog, quiet=args.quiet, verbose=args.verbose, log_format=args.log_format)
    with interruptions_raise(timeout=args.timeout, report=partial(_report, tool=parser.prog)):
        try:
            if not getattr(args, "dry_run", False):
                _remove_leftovers(args)
            return body(args)
        except BaseException as error:
            clear_progress()
            code = _report(interruption_behind(error) or error, parser.prog)
            if exits_at_once():
                clean_up_and_exit(code)
            return code
        finally:
            clear_progress()


def _words(
    parser: argparse.ArgumentParser, words: Sequence[str], complete_words: Callable[[Sequence[str]], Sequence[str]]
) -> Sequence[str]:
    """Return the completed words; what is wrong with their file is wrong usage."""
    try:
        return complete_words(words)
    except errors.PctError as error:
        parser.error(str(error))


def _remove_leftovers(args: argparse.Namespace) -> None:
    """Remove the temporary files of a killed run with the same output."""
    from pycytominer_transform.common.storage.standard_io import STANDARD
    from pycytominer_transform.common.storage.temporary_names import remove_leftovers
    from pycytominer_transform.common.storage.uri import is_cloud

    output = str(getattr(args, "per_table", None) or getattr(args, "output", STANDARD))
    if output != STANDARD and not is_cloud(output):
        remove_leftovers(Path(output))


def _report(error: BaseException, tool: str) -> int:
    """Log an error in one line and return the exit code for it."""
    if isinstance(error, errors.PctError):
        logger.error(str(error), exc_info=None)
        logger.debug("".join(traceback.format_exception(error)).replace("\n", " | "))
        return error.exit_code
    if isinstance(error, (KeyboardInterrupt, errors.TerminatedError)):
        message, code = describe_interruption(error)
        logger.error(message)
        return code
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        # Else Python complains at its end that it cannot write the rest of its buffer.
        _silence_stdout()
        return errors.EXIT_CLOSED_PIPE
    if isinstance(error, MemoryError):
        logger.error("out of memory; make the parts smaller with pct-discover --part-size")
        return errors.EXIT_DATA
    if isinstance(error, OSError) and error.errno is not None:
        named = f" {error.filename}" if error.filename else ""
        logger.error(f"the system refused{named}: {error.strerror}")
        return errors.EXIT_DATA
    if not isinstance(error, Exception):
        raise error
    ErrorStream().write("".join(traceback.format_exception(error)))
    logger.error(f"this is a defect of {tool}, not of your data; please report it with the lines above")
    return errors.EXIT_DEFECT


def _flushed(code: int) -> int:
    """Flush standard output and return the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _silence_stdout()
        return errors.EXIT_CLOSED_PIPE if isinstance(error, BrokenPipeError) else errors.EXIT_DATA
    return code


def _silence_stdout() -> None:
    import os

    with Path(os.devnull).open("wb") as nothing:
        try:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
        except (OSError, ValueError, AttributeError):
            return
