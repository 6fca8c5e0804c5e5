"""The parts of README.md and docs/ that are made, not written: tables from the code, and what the examples print.

`python tests/docs/readme.py` says whether they are as they should be; `--write` writes them anew. In a page

- `<!-- NAME -->` ... `<!-- /NAME -->` holds a part of `pages_parts.PARTS`;
- `<!-- run -->` before a block of `sh`, `console` or `python` runs it; the block `text` after it is what it prints.

The blocks of a page run in one shell, one after the other: those of README.md in a copy of the repository, others in a
folder with the demo plate.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import first_minutes
import man_pages
import pictures
from page_parts import PARTS
from shell_session import printed_by

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
COPIED = ("Makefile", "pyproject.toml", "constraints.txt")
# Without a mark, a block of sh in README.md runs too, and what it prints is not shown.
_BLOCK = re.compile(r"(<!-- run -->\n)?```(console|sh|python)\n(.*?)```(?:\n\n```text\n.*?```)?", re.DOTALL)
_TIMES = re.compile(r"(?m)^pct-flow: time: .*$")


def runs(page: Path, block: re.Match[str]) -> bool:
    """Return whether a block of a page is run."""
    return bool(block[1]) or (page == README and block[0] in first_minutes.blocks(block.string))


def commands(block: re.Match[str]) -> Iterator[str]:
    """Yield what a shell is given for a block, one after the other."""
    if block[2] == "python":
        yield f"python -c {shlex.quote(block[3])}"
    elif block[2] == "sh":
        yield block[3].rstrip("\n")
    else:
        yield from (line[2:] for line in block[3].splitlines() if line.startswith("$ "))


def with_output(block: re.Match[str], printed: list[str]) -> str:
    """Return a block with what its commands print."""
    if not block[1]:
        return block[0]
    if block[2] == "console":
        shown = "".join(f"$ {command}\n{text}" for command, text in zip(commands(block), printed, strict=True))
        return f"<!-- run -->\n```console\n{shown}```"
    output = f"\n\n```text\n{''.join(printed)}```" if any(printed) else ""
    return f"<!-- run -->\n```{block[2]}\n{block[3]}```{output}"


def copy_of_repository(folder: Path) -> Path:
    """Copy what the README's commands use; its `.venv` is that of this Python, so that nothing is installed."""
    copy = folder / "pycytominer-transform"
    shutil.copytree(ROOT / "tests" / "demo", copy / "tests" / "demo")
    for name in COPIED:
        shutil.copy(ROOT / name, copy)
    installed = Path(sys.executable).parents[1]
    (copy / ".venv").mkdir()
    for entry in installed.iterdir():
        if not entry.name.startswith(".installed"):
            (copy / ".venv" / entry.name).symlink_to(entry)
    (copy / ".venv" / ".installed").touch()
    return copy


def made(page: Path) -> str:
    """Return a page with all its made parts made anew."""
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"<!-- /([a-z-]+) -->", text):
        before, _, rest = text.partition(f"<!-- {name} -->")
        text = f"{before}<!-- {name} -->\n{PARTS[name]()}\n<!-- /{name} -->{rest.partition(f'<!-- /{name} -->')[2]}"
    blocks = [block for block in _BLOCK.finditer(text) if runs(page, block)]
    if not blocks:
        return text
    with tempfile.TemporaryDirectory() as scratch:
        place = copy_of_repository(Path(scratch)) if page == README else Path(scratch)
        if page != README:
            shutil.copytree(ROOT / "tests" / "demo" / "plate", place / "plate")
        own = str(Path(sys.executable).parent)
        others = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder != own]
        # The README's reader has no tools on the path, and puts them there.
        path = os.pathsep.join(others if page == README else [own, *others])
        printed = iter(printed_by([command for block in blocks for command in commands(block)], place, path))
        outputs = {block.start(): [next(printed) for _ in commands(block)] for block in blocks}
    return _BLOCK.sub(lambda block: with_output(block, outputs.get(block.start(), [])), text)


def without_times(text: str) -> str:
    """Leave out what is another time in every run."""
    return _TIMES.sub("", text)


def main(argv: list[str] | None = None) -> int:
    """Check the pages, or write their made parts anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write them anew")
    parser.add_argument("pages", nargs="*", type=Path, help="only these (default: all, manuals, pictures)")
    args = parser.parse_args(argv)
    texts = {page.resolve(): made(page.resolve()) for page in args.pages or PAGES}
    texts |= {} if args.pages else man_pages.made() | pictures.made()
    stale = []
    for page, text in texts.items():
        before = page.read_text(encoding="utf-8") if page.exists() else ""
        if without_times(before) != without_times(text):
            stale.append(page)
            if args.write:
                page.parent.mkdir(exist_ok=True)
                page.write_text(text, encoding="utf-8")
    if stale and not args.write:
        print(f"not what the tools say now: {', '.join(map(str, stale))}; run `make readme`", file=sys.stderr)
    return int(bool(stale) and not args.write)


if __name__ == "__main__":
    sys.exit(main())
