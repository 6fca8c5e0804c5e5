"""The tools' argparse parser: options from dataclasses that declare them, and the options that every tool has."""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from pycytominer_transform.common import errors
from pycytominer_transform.common.model.options import Option, declared_options, did_you_mean, positive
from pycytominer_transform.common.model.version import documents_address, tool_version
from pycytominer_transform.common.runtime.messages import printable
from pycytominer_transform.common.storage.options import StorageOptions

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    O = TypeVar("O", bound=DataclassInstance)  # noqa: E741

SOURCE_HELP = "a folder of measurement files, or an SQLite file; or one in s3://, gs:// or az://"
STORAGE_HEADING = "cloud storage (s3://, gs://, az://)"
EXIT_CODES = """\
exit codes:
  0    done
  1    the data or the storage is at fault
  2    the command line is at fault
  70   a defect of this tool; please report it
  130  interrupted (Ctrl-C); 143: terminated; 141: the reader of the pipe left
"""


class Parser(argparse.ArgumentParser):
    """Has a short help and a full one; reports wrong arguments in one line: an unknown option, then a missing argument.

    Attributes
    ----------
    examples : sequence of str
        Commands for the short help.
    common : collection of str
        Flags for the short help.
    lists_presets : bool
        The full help ends with the presets.
    """

    def __init__(
        self,
        *,
        examples: Sequence[str] = (),
        common: Collection[str] = (),
        lists_presets: bool = False,
        **settings: Any,
    ) -> None:
        self.flags: set[str] = set()
        self.examples = examples
        self.common = common
        self.lists_presets = lists_presets
        super().__init__(
            add_help=False, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings
        )

    def short_help(self, _: object = None) -> str:
        """Return one screen: the purpose, examples, and the options that most people need."""
        formatter = argparse.RawDescriptionHelpFormatter(self.prog, max_help_position=28)
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        formatter.add_text("\n".join(["examples:", *(f"  {command}" for command in self.examples)]))
        formatter.start_section("common options")
        for action in self._actions:
            if set(action.option_strings) & {*self.common, "-h"}:
                brief = copy(action)
                # Up to what only the full help says.
                brief.help = re.split(r"; |: | \(", action.help or "")[0]
                formatter.add_argument(brief)
        formatter.end_section()
        formatter.add_text(f"All options, exit codes, documents: {self.prog} --help")
        return formatter.format_help()

    def format_help(self) -> str:
        """Return the full help: every option, the presets, the exit codes, and the documents' address."""
        presets = _presets_of_help() if self.lists_presets else ""
        return f"{super().format_help()}\n{presets}{EXIT_CODES}\ndocuments: {documents_address()}\n"

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """Add an argument that belongs to no group."""
        action = super().add_argument(*names, **settings)
        self.flags.update(action.option_strings)
        return action

    def add_to(self, group: argparse._ArgumentGroup | Parser, *names: str, **settings: Any) -> None:
        """Add an option to a group of this parser."""
        self.flags.update(group.add_argument(*names, **settings).option_strings)

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and a one-line message."""
        self.exit(errors.EXIT_USAGE, f"{self.prog}: error: {printable(message)}; see {self.prog} --help\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Exit with a message on stderr, if anybody can read it: in Python 3.11 argparse fails where nobody can."""
        if message and sys.stderr is not None:
            with suppress(OSError):
                sys.stderr.write(message)
        sys.exit(status)

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


def new_parser(prog: str, description: str, *, usage: str = "", **settings: Any) -> Parser:
    """Return a tool's parser with its two kinds of help.

    Parameters
    ----------
    usage : str
        The arguments that a call cannot go without.
    settings
        See `Parser`.
    """
    parser = Parser(
        prog=prog, description=description, usage=f"%(prog)s {usage} [options]".replace("  ", " "), **settings
    )
    parser.add_argument(
        "-h", action=PrintAndExit, text=parser.short_help, nargs=0, help="show a short help, on one screen, and exit"
    )
    parser.add_argument(
        "--help", action=PrintAndExit, text=lambda _: parser.format_help(), nargs=0, help="show all options and exit"
    )
    return parser


def add_general_options(parser: Parser) -> None:
    """Add the options that all tools have, after those of the tool's own."""
    group = parser.add_argument_group("messages")
    parser.add_to(group, "-q", "--quiet", action="store_true", help="say nothing but warnings and errors")
    parser.add_to(group, "-v", "--verbose", action="store_true", help="say more: what is read, the SQL that is run")
    parser.add_to(
        group, "--log-format", choices=("text", "json"), default="text",
        help="how messages are written (default: %(default)s)",
    )  # fmt: skip
    add_version(parser, group)
    parser.add_to(
        group, "--timeout", metavar="SECONDS", type=_parser_of(positive), default=0,
        help="end after so long (default: never)",
    )  # fmt: skip
    group = parser.add_argument_group("Prefect", "more in the documents: How-to guides, Prefect")
    parser.add_to(
        group, "--no-prefect", action="store_true", help="do not report to the Prefect API that PREFECT_API_URL names"
    )
    add_options(
        parser, StorageOptions, STORAGE_HEADING, description="more in the documents: How-to guides, Cloud storage"
    )


def add_version(parser: Parser, group: argparse._ArgumentGroup | Parser) -> None:
    """Add ``--version`` to a group of a parser, or to the parser itself."""
    parser.add_to(
        group, "--version", action=PrintAndExit, text=lambda _: f"{parser.prog} {tool_version()}\n", nargs=0,
        help="show the version and exit",
    )  # fmt: skip


def complete(parser: argparse.ArgumentParser) -> None:
    """Print the words that a shell offers for a started command line and exit, if it is a shell that asks."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)


def add_input(parser: argparse.ArgumentParser, name: str, help: str) -> None:
    """Add the INPUT argument of a stage that reads another stage's output."""
    parser.add_argument(name, metavar="INPUT", nargs="?", default="-", help=f"{help}; - or nothing: standard input")


def add_output(parser: argparse.ArgumentParser, help: str, *, required: bool = False) -> None:
    """Add ``-o`` and ``--overwrite``."""
    help += "; a path, or in s3://, gs://, az://" + ("" if required else "; without it, standard output")
    parser.add_argument("-o", "--output", metavar="PATH", default="-", required=required, help=help)
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists already")


def add_options(
    parser: Parser,
    options: type[DataclassInstance],
    title: str,
    *,
    without: Collection[str] = (),
    description: str = "",
) -> None:
    """Add the options that a dataclass declares; skip those that the parser has already.

    Parameters
    ----------
    title : str
        Heading of the group in the help.
    without : collection of str
        Fields to leave out.
    description : str
        A line below the heading.
    """
    group, types = parser.add_argument_group(title, description or None), get_type_hints(options)
    defaults = {name: field.default for name, field in options.__dataclass_fields__.items()}
    for name, flag, declared in declared_options(options):
        if name not in without and flag not in parser.flags:
            parser.add_to(group, flag, dest=name, **_arguments(declared, types[name], defaults[name]))


def options_from(args: argparse.Namespace, options: type[O], *, without: Collection[str] = ()) -> O:
    """Return the options of a dataclass from parsed arguments; a missing one has the dataclass's own default."""
    values = {name: getattr(args, name) for name, _, _ in declared_options(options) if name not in without}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return options(**{name: value for name, value in values.items() if value is not None})


def _presets_of_help() -> str:
    from pycytominer_transform.common.model.preset import packaged_presets

    presets = packaged_presets()
    widest = max(len(preset.name) for preset in presets)
    lines = (
        textwrap.fill(f"  {preset.name:<{widest}}  {preset.title}", 80, subsequent_indent=" " * (widest + 4))
        for preset in presets
    )
    return "\n".join(["presets:", *lines, "", ""])


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
