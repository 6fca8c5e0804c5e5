"""Fuzz the tools: odd and spoilt inputs, made by a seed, each of which they must survive and answer in one line.

    python tests/fuzz/run.py --seconds 600 [csv sqlite npz parquet stages words]
    python tests/fuzz/run.py --replay FINDING

Every target runs in a process of its own, since a defect may well end it: with little memory, at the lowest priority,
watched for input on which it hangs. What is found lies in the folder of findings, each input with what was wrong.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import ModuleType

HERE = Path(__file__).resolve().parent
TARGETS = ("csv", "sqlite", "npz", "parquet", "stages", "words")

_BATCH = 200
_PATIENCE = 60
_MEMORY = 8 << 30
_MOST_ALIKE = 3


def target_module(target: str) -> ModuleType:
    """Give a target's module: `make` writes an input into a folder, `check` lists what is wrong with its conversion."""
    for folder in (HERE, *(HERE.with_name(name) for name in ("contract", "inputs", "oracle", "support"))):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    return importlib.import_module(f"fuzz_{target}")


def examine(target: str, seed: str, folder: Path) -> list[str]:
    """Make the input of a seed in a new folder, and list what is wrong with its conversion."""
    module = target_module(target)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "seed.txt").write_text(f"{target} {seed}\n")
    module.make(Random(seed), folder)
    complaints: list[str] = module.check(folder)
    return complaints


def run_batch(target: str, seed: str, count: int, work: Path, findings: Path) -> int:
    """Examine some inputs in this process; `done` in the folder of work tells which one is at hand."""
    os.nice(19)
    # The tools are run with another descriptor 2.
    faulthandler.enable(os.fdopen(os.dup(2), "w"))
    os.environ["TMPDIR"] = str(work / "tmp")
    os.environ.pop("PREFECT_API_URL", None)
    (work / "tmp").mkdir(exist_ok=True)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(count):
        note_done(work, number)
        complaints = examine(target, f"{seed}/{number}", work / "case")
        if complaints:
            keep(target, work / "case", complaints, findings)
    note_done(work, count)
    return 0


def note_done(work: Path, number: int) -> None:
    """Note how many inputs of a batch are done; the process may be killed, and its note read, at any moment."""
    (work / "done.new").write_text(str(number))
    (work / "done.new").rename(work / "done")


def keep(target: str, case: Path, complaints: list[str], findings: Path) -> None:
    """Keep an input with what was wrong, unless enough of its like are there."""
    last = complaints[0].strip().splitlines()
    alike = re.sub(r"[^A-Za-z]+", "-", (last[0] + " " + last[-2] if len(last) > 2 else last[0])[:160])[:100].strip("-")
    for number in range(1, _MOST_ALIKE + 1):
        place = findings / f"{target}-{alike}-{number}"
        if not place.exists():
            if case.exists():
                shutil.copytree(case, place, symlinks=True)
            else:
                place.mkdir(parents=True)
            (place / "complaints.txt").write_text("\n".join(complaints) + "\n", errors="replace")
            print(f"FOUND {place.name}", flush=True)
            return


def campaign(target: str, seconds: float, seed: str, place: Path) -> tuple[int, float]:
    """Fuzz one target for a while, batch after batch; gives the inputs and the seconds."""
    started, total, batch = time.monotonic(), 0, 0
    work = place / f"work-{target}"
    while time.monotonic() - started < seconds:
        batch += 1
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        words = ["--batch", target, "--seed", f"{seed}/{batch}", "--work", str(work), "--findings", str(place)]
        with (work / "log").open("w") as log:
            process = subprocess.Popen([sys.executable, __file__, *words], stdout=None, stderr=log)
            ending = _watch(process, work, started + seconds)
        done = int((work / "done").read_text()) if (work / "done").exists() else 0
        total += done
        if ending:
            keep(target, work / "case", [f"{ending}: {(work / 'log').read_text()[-3000:]}"], place)
    shutil.rmtree(work, ignore_errors=True)
    return total, time.monotonic() - started


def _watch(process: subprocess.Popen[bytes], work: Path, until: float) -> str:
    """Wait for a batch; say how it ended where that is a finding."""
    last, since = "", time.monotonic()
    while True:
        try:
            code = process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            now = (work / "done").read_text() if (work / "done").exists() else ""
            if now != last:
                last, since = now, time.monotonic()
            if time.monotonic() - since > _PATIENCE:
                process.kill()
                process.wait()
                return f"hangs for {_PATIENCE} seconds"
            if time.monotonic() > until:
                process.kill()
                process.wait()
                return ""
            continue
        return "" if code == 0 else f"the process ended with {code}"


def replay(finding: Path) -> int:
    """Examine a finding's input again, and say what is wrong with it now."""
    target = (finding / "seed.txt").read_text().split()[0]
    with TemporaryDirectory() as folder:
        case = Path(folder) / "case"
        shutil.copytree(finding, case, symlinks=True, ignore=shutil.ignore_patterns("out", "cwd", "complaints.txt"))
        complaints: list[str] = target_module(target).check(case)
    print("\n".join(complaints) or "nothing is wrong with it")
    return 1 if complaints else 0


def build_parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = argparse.ArgumentParser(prog="run.py", description="Fuzz the tools.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=600, metavar="N", help="how long, all targets together")
    parser.add_argument("--seed", default=str(time.time_ns()), help="inputs are the same for the same seed")
    parser.add_argument("--findings", type=Path, default=Path("fuzz_findings"), metavar="DIR")
    parser.add_argument("--replay", type=Path, metavar="FINDING", help="examine one finding again")
    parser.add_argument("--batch", choices=TARGETS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the campaign that the command line describes."""
    words = build_parser().parse_args(argv)
    if words.replay:
        return replay(words.replay)
    place = words.findings.resolve()
    place.mkdir(parents=True, exist_ok=True)
    if words.batch:
        return run_batch(words.batch, words.seed, _BATCH, words.work, place)
    if unknown := sorted(set(words.targets) - set(TARGETS)):
        print(f"run.py: no target {unknown[0]}; there are {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    targets = words.targets or TARGETS
    for target in targets:
        total, took = campaign(target, words.seconds / len(targets), words.seed, place)
        told = {"target": target, "inputs": total, "seconds": round(took), "seed": words.seed}
        with (place / "campaigns.jsonl").open("a") as log:
            log.write(json.dumps(told) + "\n")
        print(f"{target}: {total} inputs in {took:.0f} s", flush=True)
    found = sorted(path.name for path in place.iterdir() if (path / "complaints.txt").exists())
    print(f"{len(found)} findings in {place}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
