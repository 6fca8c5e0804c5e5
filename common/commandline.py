"""What the command lines of all tools share: option groups, exit codes, signals, messages."""

from __future__ import annotations

import argparse
import errno
import re
import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import NoReturn

from pycytominer_transform.common import errors
from pycytominer_transform.common.casting import Cast
from pycytominer_transform.common.column_types import TYPES
from pycytominer_transform.common.ending import ends_at_once, interruption_in, interruptions_raise, leave, take_process
from pycytominer_transform.common.reporting import logger, set_up_reporting, shown
from pycytominer_transform.common.version import tool_version

SOURCE_HELP = "a folder of measurement files, or an SQLite file; or such in s3://, gs:// or az://"
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the words, rather than all that they could have been."""

    def error(self, message: str) -> NoReturn:
        self.exit(errors.EXIT_USAGE, f"{self.prog}: error: {shown(message)}; see {self.prog} --help\n")


class _Without(MetaPathFinder):
    """Keeps modules that a tool has no use for out of a process that is the tool's alone.

    DuckDB and Arrow import pandas and numpy where they are installed, to see whether they were given some of theirs;
    that takes longer than joining a part.
    """

    def __init__(self, modules: Collection[str]) -> None:
        self._modules = modules

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Refuse these modules, and leave all others to the finders that follow."""
        if fullname in self._modules:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


class _Version(argparse.Action):
    """Prints the version; looks it up only when asked, since that takes longer than all else in ``--help``."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        with suppress(BrokenPipeError):
            print(f"{parser.prog} {tool_version()}")
        parser.exit()


def new_parser(prog: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """Make a tool's parser with the options that all tools have."""
    parser = _Parser(
        prog=prog, description=description, epilog=epilog, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    group = parser.add_argument_group("messages")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but warnings and errors")
    group.add_argument("-v", "--verbose", action="store_true", help="say more: what is read, the SQL that is run")
    group.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="how messages are written (%(default)s)"
    )
    group.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    return parser


def add_input(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the INPUT argument of a stage that reads what another stage wrote."""
    parser.add_argument("input", metavar="INPUT", nargs="?", default="-", help=f"{what}; - or nothing: standard input")


def add_output(parser: argparse.ArgumentParser, what: str, *, required: bool = False) -> None:
    """Add ``-o`` and ``--overwrite``."""
    default = "; a path, or in s3://, gs://, az://" + ("" if required else "; without it, standard output")
    parser.add_argument(
        "-o", "--output", metavar="PATH", default=None if required else "-", required=required, help=what + default
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists already")


def add_shard(parser: argparse.ArgumentParser) -> None:
    """Add ``--shard``, by which the jobs of an array share the parts."""
    parser.add_argument(
        "--shard",
        metavar="I/N",
        type=shard,
        default=(1, 1),
        help="take only every N-th part, beginning with the I-th (from 1)",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``."""
    parser.add_argument(
        "--threads",
        metavar="N",
        type=positive,
        default=0,
        help="threads to use (default: the processors this process may use)",
    )


def add_prefect(parser: argparse.ArgumentParser) -> None:
    """Add ``--no-prefect``."""
    parser.add_argument(
        "--no-prefect", action="store_true", help="do not report to the Prefect API that PREFECT_API_URL names"
    )


def positive(text: str) -> int:
    """Parse a whole number above zero."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def whole(text: str) -> int:
    """Parse a whole number, 0 or more."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def byte_size(text: str) -> int:
    """Parse a size in bytes, such as ``64MB``, ``1.5GB`` or ``2GiB``."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", text, re.IGNORECASE | re.ASCII)
    size = int(float(match[1]) * _UNITS[(match[2] or "").lower()]) if match else 0
    if size < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write 64MB, 1.5GB or 2GiB")
    return size


def shard(text: str) -> tuple[int, int]:
    """Parse ``I/N``, the I-th of N shares."""
    match = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a share; write I/N with I from 1 to N, such as 3/24")
    return int(match[1]), int(match[2])


def name_list(text: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",")))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of names such as cells,nuclei")
    return names


def regex(text: str) -> str:
    """Check a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from error
    return text


def cast(text: str) -> Cast:
    """Parse ``COLUMN_REGEX=TYPE``."""
    pattern, _, kind = text.rpartition("=")
    if not pattern:
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN_REGEX=TYPE, such as Metadata_Plate=string")
    for known in TYPES:
        if kind == known:
            return Cast(regex(pattern), known)
    raise argparse.ArgumentTypeError(f"{text!r}: {kind!r} is not a type; there are {', '.join(TYPES)}")


def run(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, body: Callable[[argparse.Namespace], int],
    *, without: Collection[str] = ("numpy", "pandas"),
) -> int:  # fmt: skip
    """Parse the words, run the tool, and turn whatever happens into one line and an exit code.

    Parameters
    ----------
    without
        Modules that are not to be imported, though they may be installed, where the process is the tool's alone.

    Returns
    -------
    int
        See design.md, "Exit codes and messages".
    """
    if argv is None:
        sys.meta_path.insert(0, _Without(without))
        take_process()
    try:
        args = parser.parse_args(argv)
    except SystemExit as error:
        return _flushed(int(error.code or 0))
    set_up_reporting(parser.prog, quiet=args.quiet, verbose=args.verbose, log_format=args.log_format)
    with interruptions_raise():
        try:
            _remove_leftovers(args)
            return body(args)
        except BaseException as error:
            code = _report(interruption_in(error) or error, parser.prog)
            if ends_at_once():
                leave(code)
            return code


def _remove_leftovers(args: argparse.Namespace) -> None:
    """Remove what a killed run left behind while it made the same output."""
    from pycytominer_transform.common.cloud_uri import is_cloud
    from pycytominer_transform.common.standard_io import STANDARD
    from pycytominer_transform.common.temporary_names import remove_leftovers

    output = getattr(args, "output", STANDARD)
    if output != STANDARD and not is_cloud(output):
        remove_leftovers(Path(output))


def _report(error: BaseException, tool: str) -> int:
    """Say in one line what ended the tool, and give its exit code."""
    if isinstance(error, errors.PctError):
        logger.error(str(error), exc_info=None)
        logger.debug("".join(traceback.format_exception(error)).replace("\n", " | "))
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        logger.error("interrupted; nothing was left under the output's name")
        return errors.EXIT_INTERRUPTED
    if isinstance(error, errors.TerminatedError):
        logger.error("terminated; nothing was left under the output's name")
        return errors.EXIT_TERMINATED
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        # Keep the interpreter from complaining about what is still in its own buffer.
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
    if sys.stderr is not None:
        sys.stderr.write("".join(traceback.format_exception(error)))
    logger.error(f"this is a defect of {tool}, not of your data; please report it with the lines above")
    return errors.EXIT_DEFECT


def _flushed(code: int) -> int:
    """Send off what was printed; whoever left without reading it had enough."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return errors.EXIT_CLOSED_PIPE
    return code


def _silence_stdout() -> None:
    import os

    with Path(os.devnull).open("wb") as nothing:
        try:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
        except (OSError, ValueError, AttributeError):
            return
