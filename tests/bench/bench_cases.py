"""The commands that are timed, and the generated plates that they convert."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from bench_measure import Case
from bench_peer import Peer
from bench_verdicts import FLOW, PIPE
from plates import Plate, write_csv
from plates_sqlite import SqliteStyle, write_sqlite

__all__ = ["KINDS", "Options", "flow", "pipe", "plate_of", "tool"]

KINDS = ("csv", "cellprofiler_sqlite", "cytominer_database")


@dataclass(frozen=True)
class Options:
    """What the command line asks for; `peer_runs` caps the peer's runs, which take minutes."""

    work: Path
    folders: tuple[int, ...]
    cells: int
    features: int
    runs: int
    groups: tuple[str, ...]
    peer: Peer | None
    peer_runs: int
    parts: int = 1000


BESIDE = Path(sys.executable).parent


def tool(name: str, folder: Path = BESIDE) -> str:
    """Path of an executable, by default beside the running Python, as a shell word."""
    return shlex.quote(str(folder / name))


def pipe(source: Path | str, out: Path, *, name: str = PIPE, folder: Path = BESIDE) -> Case:
    """Give the four-tool pipe on a source, as a user types it."""
    stages = [f"{tool('pct-discover', folder)} {shlex.quote(str(source))}", tool("pct-extract", folder)]
    stages += [tool("pct-join", folder), f"{tool('pct-write', folder)} -o {shlex.quote(str(out))}"]
    return Case(name, " | ".join(stages), out)


def flow(source: Path, out: Path, *, words: str = "", name: str = FLOW, folder: Path = BESIDE) -> Case:
    """Give `pct-flow` on a source, with a private Prefect server of its own, and further words."""
    command = f"{tool('pct-flow', folder)} {shlex.quote(str(source))} -o {shlex.quote(str(out))} {words}"
    return Case(name, command.rstrip(), out)


def plate_of(options: Options, folders: int, kind: str) -> Path:
    """Give the generated plate of that size and kind, making it if the work folder has none with the same parameters.

    Image sets are numbered through: the peer multiplies rows where folders repeat their image numbers.
    """
    plate = Plate(folders=folders, cells=options.cells, features=options.features, from_one=False)
    source = options.work / f"{kind}-{folders}x{options.cells}x{options.features}"
    source = source if kind == "csv" else source.with_suffix(".sqlite")
    made = options.work / f"{source.name}.made"
    if made.exists() and made.read_text() == repr(asdict(plate)):
        return source
    if source.exists():
        raise SystemExit(f"bench.py: {source} is there but was made otherwise or not to its end; remove it")
    print(f"making {source}", file=sys.stderr)
    if kind == "cellprofiler_sqlite":
        write_sqlite(plate, source, SqliteStyle("cellprofiler_sqlite"))
    elif kind == "cytominer_database":
        write_sqlite(plate, source, SqliteStyle("cytominer_database", index=True))
    else:
        write_csv(plate, source)
    made.write_text(repr(asdict(plate)))
    return source
