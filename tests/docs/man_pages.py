"""The manual pages in docs/man/, made from the parsers; the wheel installs them."""

from __future__ import annotations

from pathlib import Path

from argparse_manpage.manpage import Manpage
from pycytominer_transform.common.cli.parser import EXIT_CODES, Parser
from pycytominer_transform.common.model.version import documents_address, tool_version
from pycytominer_transform.tools import discover, extract, flow_options, join, report, umbrella, write

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "man"
PARSERS = (discover, extract, flow_options, join, report, umbrella, write)


def page(parser: Parser) -> str:
    """Return the manual page of a tool."""
    codes = EXIT_CODES.partition("\n")[2].rstrip()
    examples = "\n".join(f"  {example}" for example in parser.examples)
    parser._manpage = [  # type: ignore[attr-defined]
        {"heading": heading, "content": f".nf\n{text}\n.fi".replace("\\", "\\\\").replace("-", "\\-")}
        for heading, text in (("examples", examples), ("exit status", codes), ("documents", documents_address()))
    ]
    # Without a date, so that the same parser gives the same page.
    settings = {"project_name": "pycytominer-transform", "version": tool_version(), "date": " "}
    settings |= {"manual_title": "Cell profiles", "description": (parser.description or "").partition("\n")[0]}
    return str(Manpage(parser, settings))


def made() -> dict[Path, str]:
    """Return the text of each manual page."""
    return {FOLDER / f"{parser.prog}.1": page(parser) for parser in (each.build_parser() for each in PARSERS)}
