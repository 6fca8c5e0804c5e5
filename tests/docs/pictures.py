"""The picture in README.md: a plate as the report of the demo draws it, light or dark as the reader prefers."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from pycytominer_transform.tools import discover, extract, join, report, write

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "tests" / "demo" / "plates"
PICTURE = ROOT / "docs" / "plate.svg"
# Of the page's styles, those of a heat map; the page sets its font elsewhere.
_RULES = re.compile(r"(?m)^(?:svg (?!\{)|\.good \.s|\.s\d > text|\.missing > |\.hatch-|\.flag|\.control > ).*$")
_FONT = "svg { font-family: system-ui, sans-serif; background: var(--card); }"


def made() -> dict[Path, str]:
    """Return the text of each picture."""
    return {PICTURE: picture(page_of_demo())}


def page_of_demo() -> str:
    """Return the report's page on the demo plates."""
    with tempfile.TemporaryDirectory() as scratch:
        names = ("manifest", "bundle", "profiles", "plate.parquet", "report.html")
        manifest, bundle, profiles, table, page = (str(Path(scratch) / name) for name in names)
        discover.discover(source=str(DEMO), output=manifest)
        extract.extract(manifest=manifest, output=bundle)
        join.join(bundle=bundle, output=profiles)
        write.write(profiles=[profiles], output=table)
        report.report(files=table, output=page)
        return Path(page).read_text(encoding="utf-8")


def picture(page: str) -> str:
    """Return the first heat map of a page as an image that stands alone, with its colours and its pattern."""
    style, _, body = page.partition("<style>")[2].partition("</style>")
    colors = style.partition("\n* {")[0]
    pattern = body.partition("<defs>")[2].partition("</defs>")[0]
    drawing = body.partition('<figure class="map good">')[2].partition("</figcaption>")[2].partition("</svg>")[0]
    start, _, inside = drawing.strip().partition(">")
    width, height = re.findall(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', start)[0]
    start = re.sub(r' style="[^"]*"', f' width="{width}" height="{height}"', start)
    rules = "\n".join([colors, *_RULES.findall(style), _FONT])
    lines = [
        start.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" class="good" ') + ">",
        f"<style>\n{rules}\n</style>",
        f"<defs>{pattern}</defs>",
        *(line.strip() for line in inside.splitlines() if line.strip()),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
