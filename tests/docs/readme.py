"""The parts of README.md that are made, not written: option tables, the preset to start from, outputs of the examples.

`python tests/docs/readme.py` says whether they are as they should be; `--write` writes them anew.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from pycytominer_transform.common.model import preset
from pycytominer_transform.tools import discover, extract, flow_options, join, report, write

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
TOOLS: tuple[tuple[Callable[[], argparse.ArgumentParser], str, str], ...] = (
    (discover.build_parser, "a source", "a manifest; on a terminal, a table to read"),
    (extract.build_parser, "a manifest", "a bundle: the tables of every part"),
    (join.build_parser, "a bundle", "profiles: one row per single cell"),
    (write.build_parser, "profiles, or any Arrow", "Parquet: one file, or one per part; or AnnData"),
    (report.build_parser, "Parquet from pct-write or pct-flow", "a report: a page, JSON, a table of wells, or text"),
    (flow_options.build_parser, "a source", "Parquet or AnnData, by all of the above in one Prefect flow"),
)
COMMON = {"-h", "-q", "-v", "--log-format", "--version", "-o", "--overwrite", "--no-prefect", "--shard", "--threads"}


def option_tables() -> str:
    """Write what the tools take and give, and the options of each; those that several have stand once."""
    parsers = [make() for make, _, _ in TOOLS]
    lines = ["| tool | takes | gives |", "| --- | --- | --- |"]
    lines += [f"| `{p.prog}` | {takes} | {gives} |" for p, (_, takes, gives) in zip(parsers, TOOLS, strict=True)]
    lines += ["", "| option | of | meaning |", "| --- | --- | --- |"]
    rows: dict[tuple[str, str], list[str]] = {}
    for parser in parsers:
        for action in parser._actions:
            name = ", ".join(action.option_strings) or str(action.metavar)
            if action.option_strings and action.nargs != 0:
                name += f" {action.metavar or '|'.join(map(str, action.choices or ()))}"
            meaning = (action.help or "").replace("%(default)s", str(action.default)).replace("|", "\\|")
            rows.setdefault((name.replace("|", "\\|"), meaning), []).append(parser.prog.removeprefix("pct-"))
    for (name, meaning), tools in rows.items():
        lines.append(f"| `{name}` | {'all' if len(tools) == len(TOOLS) else ', '.join(tools)} | {meaning} |")
    return "\n".join(lines)


def starting_preset() -> str:
    """Give the packaged preset that a user's own is best made from."""
    path = Path(preset.__file__).parent / "presets" / "cellprofiler_csv.toml"
    return f"```toml\n{path.read_text(encoding='utf-8')}```"


def run_example(block: str, kind: str, folder: Path) -> str:
    """Run one example in a folder that holds the demo plates, and give it with what it printed."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120"}
    environment.pop("PREFECT_API_URL", None)
    if kind == "python":
        printed = _run([sys.executable, "-c", block], folder, environment)
        return f"```python\n{block}```\n\n```text\n{printed}```"
    lines = []
    for command in (line[2:] for line in block.splitlines() if line.startswith("$ ")):
        lines.append(f"$ {command}\n{_run(['bash', '-c', 'set -o pipefail; ' + command], folder, environment)}")
    return f"```console\n{''.join(lines)}```"


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"an example of the README fails: {command[-1]}\n{ran.stdout}{ran.stderr}")
    # The stages of a pipe speak as each is ready; in the order of the stages they can be read, and compared.
    said = sorted(ran.stderr.splitlines(keepends=True), key=_stage)
    return (ran.stdout + "".join(said)).replace(f"{folder}/", "")


def _stage(line: str) -> int:
    return next((place for place, (make, _, _) in enumerate(TOOLS) if line.startswith(f"{make().prog}:")), 0)


def made(text: str) -> str:
    """Give the README with all its made parts made anew."""
    for name, content in (("tools", option_tables()), ("preset", starting_preset())):
        text = re.sub(
            rf"<!-- {name} -->.*?<!-- /{name} -->",
            lambda _, name=name, content=content: f"<!-- {name} -->\n{content}\n<!-- /{name} -->",  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(ROOT / "tests" / "demo" / "plates", Path(scratch) / "plates")
        pattern = re.compile(r"<!-- run -->\n```(console|python)\n(.*?)```(?:\n\n```text\n.*?```)?", re.DOTALL)
        return pattern.sub(lambda found: f"<!-- run -->\n{run_example(found[2], found[1], Path(scratch))}", text)


def without_times(text: str) -> str:
    """Leave out what is another time in every run."""
    return re.sub(r"(?m)^pct-flow: time: .*$", "", text)


def main(argv: list[str] | None = None) -> int:
    """Check README.md, or write its made parts anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write them anew")
    args = parser.parse_args(argv)
    before = README.read_text(encoding="utf-8")
    after = made(before)
    if without_times(before) == without_times(after):
        return 0
    if args.write:
        README.write_text(after, encoding="utf-8")
    else:
        print("README.md is not what the tools say now; run `make readme`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
