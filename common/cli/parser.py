"""The tools' argparse parser: options from dataclasses that declare them, and the options that every tool has."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from pycytominer_transform.common import errors
from pycytominer_transform.common.model.options import Option, declared_options, did_you_mean, positive
from pycytominer_transform.common.model.version import tool_version
from pycytominer_transform.common.runtime.messages import printable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    O = TypeVar("O", bound=DataclassInstance)  # noqa: E741

SOURCE_HELP = "a folder of measurement files, or an SQLite file; or one in s3://, gs:// or az://"
STORAGE_HEADING = "cloud storage (s3://, gs://, az://)"


class Parser(argparse.ArgumentParser):
    """Reports wrong arguments in one line: an unknown option first, then a missing argument."""

    def __init__(self, **settings: Any) -> None:
        self.flags = {"-h", "--help"}
        super().__init__(**settings)

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """Add an argument that belongs to no group."""
        action = super().add_argument(*names, **settings)
        self.flags.update(action.option_strings)
        return action

    def add_to(self, group: argparse._ArgumentGroup, *names: str, **settings: Any) -> None:
        """Add an option to a group of this parser."""
        self.flags.update(group.add_argument(*names, **settings).option_strings)

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and a one-line message."""
        self.exit(errors.EXIT_USAGE, f"{self.prog}: error: {printable(message)}; see {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse an unknown option, then parse as argparse does."""
        words = sys.argv[1:] if args is None else list(args)
        for word in words[: words.index("--")] if "--" in words else words:
            flag = word.partition("=")[0]
            # As in argparse, a word with a space in it is a value.
            if flag.startswith("--") and " " not in word and flag not in self.flags:
                self.error(f"unrecognized arguments: {flag}{did_you_mean(flag, self.flags)}")
        return super().parse_known_args(words, namespace)


class PrintAndExit(argparse.Action):
    """An option that prints a text and ends the tool; `text` makes the text of the option's value."""

    def __init__(self, *args: Any, text: Callable[[Any], str], **settings: Any) -> None:
        self.text = text
        super().__init__(*args, **settings)

    def __call__(self, parser: argparse.ArgumentParser, _namespace: object, value: object, *_: object) -> None:
        """Print the text; a value that makes no sense is wrong usage."""
        try:
            text = self.text(value)
        except errors.UsageError as error:
            parser.error(str(error))
        with suppress(OSError):
            sys.stdout.write(text)
        parser.exit()


def new_parser(prog: str, description: str) -> Parser:
    """Return a tool's parser with the options that all tools have."""
    parser = Parser(prog=prog, description=description, allow_abbrev=False)
    group = parser.add_argument_group("messages")
    parser.add_to(group, "-q", "--quiet", action="store_true", help="say nothing but warnings and errors")
    parser.add_to(group, "-v", "--verbose", action="store_true", help="say more: what is read, the SQL that is run")
    parser.add_to(
        group, "--log-format", choices=("text", "json"), default="text", help="how messages are written (%(default)s)"
    )
    parser.add_to(
        group, "--version", action=PrintAndExit, text=lambda _: f"{prog} {tool_version()}\n", nargs=0,
        help="show the version and exit",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=_parser_of(positive), default=0, help="end after so long (default: never)"
    )
    parser.add_argument(
        "--no-prefect", action="store_true", help="do not report to the Prefect API that PREFECT_API_URL names"
    )
    return parser


def add_input(parser: argparse.ArgumentParser, name: str, help: str) -> None:
    """Add the INPUT argument of a stage that reads another stage's output."""
    parser.add_argument(name, metavar="INPUT", nargs="?", default="-", help=f"{help}; - or nothing: standard input")


def add_output(parser: argparse.ArgumentParser, help: str, *, required: bool = False) -> None:
    """Add ``-o`` and ``--overwrite``."""
    help += "; a path, or in s3://, gs://, az://" + ("" if required else "; without it, standard output")
    parser.add_argument("-o", "--output", metavar="PATH", default="-", required=required, help=help)
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists already")


def add_options(parser: Parser, options: type[DataclassInstance], title: str, *, without: Collection[str] = ()) -> None:
    """Add the options that a dataclass declares; skip those that the parser has already.

    Parameters
    ----------
    title : str
        Heading of the group in the help.
    without : collection of str
        Fields to leave out.
    """
    group, types = parser.add_argument_group(title), get_type_hints(options)
    defaults = {name: field.default for name, field in options.__dataclass_fields__.items()}
    for name, flag, declared in declared_options(options):
        if name not in without and flag not in parser.flags:
            parser.add_to(group, flag, dest=name, **_arguments(declared, types[name], defaults[name]))


def options_from(args: argparse.Namespace, options: type[O], *, without: Collection[str] = ()) -> O:
    """Return the options of a dataclass from parsed arguments; a missing one has the dataclass's own default."""
    values = {name: getattr(args, name) for name, _, _ in declared_options(options) if name not in without}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return options(**{name: value for name, value in values.items() if value is not None})


def _arguments(declared: Option, kind: Any, default: Any) -> dict[str, Any]:
    if kind is bool:
        return {"help": declared.help, "action": "store_true"}
    # Argparse would parse a default that is text.
    arguments: dict[str, Any] = {
        "help": declared.help,
        "default": None if declared.parse and default == "" else default,
    }
    if get_origin(kind) is Literal:
        return arguments | {"choices": tuple(filter(None, get_args(kind)))}
    if declared.repeatable:
        arguments |= {"action": "append", "default": list(default)}
    return arguments | {"metavar": declared.metavar, "type": declared.parse and _parser_of(declared.parse)}


def _parser_of(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a parser for argparse, which puts the option's name in front of the message."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except errors.UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed
