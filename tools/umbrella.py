"""pct: one name for all tools, `pct convert` for `pct-flow`, and the completion of their options in a shell.

Takes a command and its words, and gives what that tool gives.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from pycytominer_transform.common.cli.parser import Parser, add_version, complete, new_parser
from pycytominer_transform.common.runtime.signals import start_process

TOOL = "pct"
COMMANDS = {"convert": "flow"} | {tool: tool for tool in ("discover", "extract", "join", "write", "report")}
"""The tool that each command runs."""
SHELLS = ("bash", "zsh", "fish")
_MEANINGS = """\
commands:
  convert      a source to Parquet or AnnData, in one step (pct-flow)
  discover     a source to a manifest, or a table on a terminal (pct-discover)
  extract      a manifest to a bundle of tables (pct-extract)
  join         a bundle to profiles, a row per cell (pct-join)
  write        profiles to Parquet or AnnData (pct-write)
  report       Parquet to a page that shows what came out (pct-report)
  completion   completion of options by Tab, for bash, zsh or fish

`pct COMMAND -h` shows a command's own help."""


def build_parser() -> Parser:
    """Return the parser of `pct`."""
    parser = new_parser(
        TOOL, f"Turn measurements of microscope images into one table, with a row per cell.\n\n{_MEANINGS}",
        usage="COMMAND",
        examples=(
            "pct discover plate",
            "pct convert plate -o plate.parquet",
            'eval "$(pct completion bash)"    complete options by Tab, in this shell',
        ),
    )  # fmt: skip
    add_version(parser, parser)
    parser.add_argument("command", metavar="COMMAND", choices=(*COMMANDS, "completion"), help="one of the above")
    parser.add_argument("shell", metavar="SHELL", nargs="?", choices=SHELLS, help="with completion: bash, zsh or fish")
    return parser


def completion(shell: str) -> str:
    """Return the script by which a shell completes the words of `pct` and of each tool."""
    from argcomplete.shell_integration import shellcode

    code: str = shellcode([TOOL, *(f"pct-{tool}" for tool in COMMANDS.values())], shell=shell)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run `pct` and return the exit code of the tool."""
    words = sys.argv[1:] if argv is None else list(argv)
    if "_ARGCOMPLETE" in os.environ:
        _complete_command()
    if words and words[0] in COMMANDS:
        tool = COMMANDS[words[0]]
        module = importlib.import_module(f"pycytominer_transform.tools.{tool}")
        if argv is None:
            sys.argv[:] = [f"pct-{tool}", *words[1:]]
            start_process(f"pct-{tool}")
        code: int = module.main(None if argv is None else words[1:])
        return code
    parser = build_parser()
    try:
        args = parser.parse_args(words)
        if args.shell is None:
            parser.error("give a shell: pct completion bash, zsh or fish")
    except SystemExit as error:
        return int(error.code or 0)
    with suppress(BrokenPipeError):
        print(completion(args.shell), flush=True)
    return 0


def _complete_command() -> None:
    """Complete a command's own options, or the commands; see argcomplete for the variables."""
    typed = os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT", "0"))].split(" ")
    if len(typed) > 2 and typed[1] in COMMANDS:
        os.environ["_ARGCOMPLETE"] = "2"
        module = importlib.import_module(f"pycytominer_transform.tools.{COMMANDS[typed[1]]}")
        complete(module.build_parser())
    complete(build_parser())


if __name__ == "__main__":
    sys.exit(main())
