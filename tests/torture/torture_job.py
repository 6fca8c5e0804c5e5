"""One job of `make torture`: started, killed, started again, and looked at after each time."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from torture_checks import Reference, Said, cut_power, flip_bits, identity, parts_in, said
from torture_plan import PARTS, SURVIVED, Kill, Plan
from torture_processes import BOUND, end_session, servers, session, wait_for_end, workers

__all__ = ["Job", "Location", "Torture", "WrongError"]

PATIENCE = 300
OLD = b"an output that was there before"
OLD_PART = "part-000001.parquet"
_EXPECTED = {"hangup": "the terminal was closed", "tmp": ""}
"""What a run's errors say that is ended by something else than SIGKILL; without TMPDIR, Prefect warns of much."""


class WrongError(Exception):
    """Something that must hold does not."""


class Terminal:
    """A terminal for a job to write to, which can be taken away; until then what it says goes to a file."""

    def __init__(self, told: Path) -> None:
        self._ours, self.theirs = os.openpty()
        self._told, self._taken = told, threading.Event()
        self._reader = threading.Thread(target=self._read)

    def begin(self) -> None:
        """Read what is said, once the job has the other end."""
        os.close(self.theirs)
        self._reader.start()

    def take(self) -> None:
        """Take it away."""
        self._taken.set()
        self._reader.join()

    def _read(self) -> None:
        with self._told.open("wb", buffering=0) as told, suppress(OSError):
            while not self._taken.is_set():
                if select.select([self._ours], [], [], 0.02)[0]:
                    told.write(os.read(self._ours, 1 << 16).replace(b"\r\n", b"\n"))
        os.close(self._ours)


@dataclass(frozen=True)
class Location:
    """Where a job reads and writes."""

    source: Path
    folder: Path
    output_name: str

    @property
    def out(self) -> Path:
        """The folder that the output lies in."""
        return self.folder / "out"

    @property
    def output(self) -> Path:
        """The output."""
        return self.out / self.output_name

    @property
    def work(self) -> Path:
        """The folder that this output's parts lie in: within the work dir, for a folder beside the output."""
        return (self.out if self.is_folder else self.folder / "work") / f"{self.output_name}.pct-work"

    @property
    def is_folder(self) -> bool:
        """Whether the output is a folder of a file per part."""
        return not self.output_name.endswith(".parquet")

    def make(self) -> None:
        """Make the folders."""
        for name in ("out", "work", "tmp", "home"):
            (self.folder / name).mkdir(parents=True)

    def start(self, words: list[str], number: int, terminal: Terminal | None = None) -> subprocess.Popen[bytes]:
        """Start the job in a session of its own; what it says lies in a file, or goes to a terminal."""
        tool = str(Path(sys.executable).with_name("pct-flow"))
        given = ["-o", str(self.output), "--part-size", "1", "--workers", "2"]
        given += [] if self.is_folder else ["--work-dir", str(self.folder / "work")]
        with self.told(number).open("wb") as file:
            told = terminal.theirs if terminal else file
            return subprocess.Popen(
                [tool, str(self.source), *given, "--log-format", "json", *words], env=self.environment(),
                stdin=subprocess.DEVNULL, stdout=told, stderr=told, cwd=self.folder, start_new_session=True,
            )  # fmt: skip

    def told(self, number: int) -> Path:
        """Give the file of what a run says."""
        return self.folder / f"said-{number}"

    def environment(self) -> dict[str, str]:
        """Give the environment of a user who knows nothing of Prefect."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_")}
        cache = str(self.folder.parent / "cache")
        return kept | {"HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp"), "XDG_CACHE_HOME": cache}

    def said(self, number: int, *, was_killed: bool = False) -> Said:
        """Read what a run said."""
        return said(self.told(number).read_text(errors="replace"), was_killed=was_killed)

    @property
    def phase(self) -> str:
        """Say by what lies there how far a job is."""
        if not self.work.exists() and not self.output.exists():
            return "starting"
        if not (self.work / "manifest.arrow").exists() and not self.output.exists():
            return "discovering"
        done = len(parts_in(self.work))
        if self.output.exists():
            return "ending"
        return "making parts" if done < PARTS else "writing"


@dataclass
class Torture:
    """What befell one job.

    Attributes
    ----------
    kills
        By victim, runner and phase.
    outlived
        For each kill of the flow alone that left processes behind: how many, and for how many seconds.
    resumed, made
        Parts found finished, and parts made, over all runs.
    """

    kills: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    too_late: int = 0
    outlived: list[tuple[int, float]] = field(default_factory=list)
    resumed: int = 0
    made: int = 0
    spoilt: int = 0
    runs: int = 0


@dataclass
class Job:
    """Runs a plan; raises `WrongError` as soon as something does not hold."""

    plan: Plan
    place: Location
    reference: Reference
    torture: Torture = field(default_factory=Torture)
    _finished: dict[str, list[tuple[str, int, int]]] = field(default_factory=dict)
    _leaders: list[int] = field(default_factory=list)
    _rotten: set[str] = field(default_factory=set)
    _temporary_before: set[str] = field(default_factory=set)
    _terminal: Terminal | None = None
    _is_taken: bool = False

    def run(self) -> Torture:
        """Start the job, kill it as planned, and let it end."""
        self.place.make()
        if self.plan.overwrites:
            self._put_old_output()
        try:
            self._run(list(self.plan.kills))
        finally:
            for leader in self._leaders:
                end_session(leader)
            self._take_terminal()
        return self.torture

    def _run(self, kills: list[Kill]) -> None:
        process = self._start()
        for kill in kills:
            if not self._awaits(process, kill) or not self._kill(process, kill):
                self.torture.too_late += 1
                break
            if kill.victim not in SURVIVED:
                self._after(process, kill)
                if self._is_written() and not self.place.work.exists():
                    # It had nothing left to do but to say so; the same command would refuse the output.
                    if sorted(os.listdir(self.place.out)) != [self.place.output_name]:
                        raise WrongError(f"left behind: {os.listdir(self.place.out)}")
                    return
                process = self._start()
        self._end_well(process)

    def _put_old_output(self) -> None:
        if self.plan.is_folder:
            self.place.output.mkdir()
            (self.place.output / OLD_PART).write_bytes(OLD)
        else:
            self.place.output.write_bytes(OLD)

    def _start(self) -> subprocess.Popen[bytes]:
        self._take_terminal()
        finished = {name: path for name, path in parts_in(self.place.work).items() if name not in self._rotten}
        self._finished = {name: identity(path) for name, path in finished.items()}
        # What SIGKILL left of an earlier run stays if this one is ended before it tidies up.
        self._temporary_before = self._temporary()
        self.torture.runs += 1
        if self.plan.takes_terminal and not self._is_taken:
            self._terminal = Terminal(self.place.told(self.torture.runs))
        process = self.place.start(self.plan.words, self.torture.runs, self._terminal)
        if self._terminal:
            self._terminal.begin()
        self._leaders.append(process.pid)
        return process

    def _take_terminal(self) -> None:
        if self._terminal:
            self._terminal.take()
            self._terminal = None

    def _awaits(self, process: subprocess.Popen[bytes], kill: Kill) -> bool:
        """Wait for the moment of a kill; gives whether the job was still at work."""
        began = time.monotonic()
        before = len(parts_in(self.place.work))
        wanted = before + 1 + int(kill.at * (PARTS - before)) if before < PARTS else 0
        written = served = 0.0
        while process.poll() is None:
            self._look_at_output()
            now = time.monotonic()
            if kill.moment == "write" and not written and self._writes():
                written = now
            if kill.victim == "server" and not served and servers(process.pid):
                served = now
            due = {
                "time": now - began >= kill.at * self.reference.seconds,
                "parts": len(parts_in(self.place.work)) >= min(wanted, PARTS),
                "write": bool(written) and now - written >= kill.at,
                "start": bool(served) and now - served >= kill.at,
            }
            victims = {"worker": workers, "server": servers}.get(kill.victim, session)
            if due[kill.moment] and victims(process.pid):
                return True
            if now - began > PATIENCE:
                raise WrongError(f"the job is at work for {PATIENCE} s")
            time.sleep(0.002)
        return False

    def _writes(self) -> bool:
        names = [name for name in os.listdir(self.place.out) if name != self.place.work.name]
        return any(name != self.place.output_name or not self._is_old() for name in names)

    def _is_old(self) -> bool:
        path = self.place.output / OLD_PART if self.plan.is_folder else self.place.output
        with suppress(OSError):
            return self.plan.overwrites and path.stat().st_size == len(OLD)
        return False

    def _look_at_output(self) -> None:
        """See that an output that is there has all its bytes, at whatever moment."""
        allowed = [{name: len(data) for name, data in self.reference.output.items()}]
        if self.plan.overwrites:
            allowed.append({OLD_PART if self.plan.is_folder else "": len(OLD)})
        path = self.place.output
        with suppress(FileNotFoundError):
            before = path.stat()
            found = {file.name: file.stat().st_size for file in os.scandir(path)} if path.is_dir() else {}
            found = found or {"": before.st_size}
            if found not in allowed and os.path.samestat(before, path.stat()):
                raise WrongError(f"the output has its name and these sizes: {found}")

    def _kill(self, process: subprocess.Popen[bytes], kill: Kill) -> bool:
        """Kill the victim; gives whether there was one still."""
        phase = "ending" if self._is_written() else self.place.phase
        try:
            if kill.victim in ("worker", "server"):
                found = workers(process.pid) if kill.victim == "worker" else servers(process.pid)
                os.kill(Random(f"{self.plan.seed}/{self.torture.runs}").choice(found), signal.SIGKILL)
            elif kill.victim == "flow":
                process.kill()
            elif kill.victim == "terminal":
                if self._is_taken:
                    return False
                self._is_taken = True
                self._take_terminal()
            elif kill.victim == "hangup":
                process.send_signal(signal.SIGHUP)
            elif kill.victim == "tmp":
                shutil.rmtree(self.place.folder / "tmp", ignore_errors=True)
            else:
                os.killpg(process.pid, signal.SIGKILL)
        except (IndexError, ProcessLookupError):
            return False
        if kill.victim not in SURVIVED and not self._ends(process, kill):
            return False
        self.torture.kills[(f"{kill.victim} at {kill.moment}", self.plan.runner, phase)] += 1
        return True

    def _ends(self, process: subprocess.Popen[bytes], kill: Kill) -> bool:
        """Wait for the end of a run that is not to survive; gives whether there is something left to do."""
        code = process.wait(PATIENCE)
        if kill.victim == "tmp":
            (self.place.folder / "tmp").mkdir(exist_ok=True)
        # In its first and last moments no handler of signals is there.
        codes = {"hangup": (0, 129, -signal.SIGHUP), "tmp": (0, 1)}
        if code not in codes.get(kill.victim, (0, -signal.SIGKILL)):
            raise WrongError(
                f"exit code {code} after {kill.victim}: {self.place.said(self.torture.runs).complaints[-3:]}"
            )
        return code != 0

    def _is_written(self) -> bool:
        return self.place.output.exists() and not self._is_old()

    def _after(self, process: subprocess.Popen[bytes], kill: Kill) -> None:
        """Look at what a killed job left."""
        left = len(session(process.pid))
        if not kill.restarts_at_once or kill.victim != "flow":
            seconds = wait_for_end(process.pid)
            if seconds > BOUND:
                raise WrongError(f"{left} processes outlive a killed pct-flow by more than {BOUND} s")
            if kill.victim == "flow" and left:
                self.torture.outlived.append((left, seconds))
        if kill.victim == "power":
            random = Random(f"{self.plan.seed}/{self.torture.runs}/power")
            self.torture.spoilt += cut_power(random, self.place.out, self.place.folder / "work")
        if self._is_written():
            self._demand_output()
        # An output folder that was replaced may lie among the parts until it is removed.
        if not (self._is_written() and self.place.is_folder):
            self._demand(self.reference.complain_of_parts(self.place.work, self._rotten))
            run = self.place.said(self.torture.runs, was_killed=kill.victim == "flow")
            self._look_at_parts(run, _EXPECTED.get(kill.victim))
        if kill.victim == "bits" and not self._is_written():
            random = Random(f"{self.plan.seed}/{self.torture.runs}/bits")
            rotten = flip_bits(random, self.place.work)
            self.torture.spoilt += len(rotten)
            self._rotten.update(rotten)
        if kill.victim == "hangup" and (stays := self._temporary() - self._temporary_before):
            raise WrongError(f"left in TMPDIR after SIGHUP: {sorted(stays)}")

    def _temporary(self) -> set[str]:
        return set(os.listdir(self.place.folder / "tmp"))

    def _look_at_parts(self, run: Said, expected: str | None = None) -> None:
        """See that no part was made again that had been finished before the run began."""
        before = {int(name[5:11]) for name in self._finished}
        if again := sorted(before & set(run.done)):
            raise WrongError(f"finished parts were made again: {again}")
        now = {name: identity(path) for name, path in parts_in(self.place.work).items()}
        if other := [name for name in self._finished if name in now and now[name] != self._finished[name]]:
            raise WrongError(f"finished parts are other files now: {other}")
        self._demand("; ".join(line for line in run.complaints if expected is None or expected not in line))
        self.torture.made += len(run.done)
        self.torture.resumed += len(before)

    def _end_well(self, process: subprocess.Popen[bytes]) -> None:
        """Let a job end, and look at all that there is then."""
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise WrongError(f"the job is at work for {PATIENCE} s") from None
        run = self.place.said(self.torture.runs)
        if code:
            raise WrongError(f"exit code {code}: {run.complaints[-3:]}")
        if wait_for_end(process.pid) > BOUND:
            raise WrongError(f"processes outlive a pct-flow that ended well by more than {BOUND} s")
        self._look_at_parts(run)
        self._demand_output()
        if not self._is_taken:
            self._check_summary(run.summary)
        self._check_nothing_else()

    def _demand_output(self) -> None:
        # A part whose data rotted may be made again, in which case its provenance counts as a new one's.
        self._demand(self.reference.complain_of_output(self.place.output, values_alone=bool(self._rotten)))

    def _check_summary(self, summary: Mapping[str, Any]) -> None:
        figures = {name: summary.get(name) for name in ("parts", "done", "failed", "resumed")}
        resumed = figures["resumed"] or 0
        if (figures["parts"], figures["failed"]) != (PARTS, 0) or (figures["done"] or 0) + resumed != PARTS:
            raise WrongError(f"the summary says {figures}")
        if resumed < len(self._finished):
            raise WrongError(f"{len(self._finished)} parts were finished, the summary says {figures}")

    def _check_nothing_else(self) -> None:
        place = self.place
        found = {name: sorted(os.listdir(place.folder / name)) for name in ("out", "work", "tmp", "home")}
        kept = [place.work.name] if self.plan.keeps else []
        if found != {"out": [place.output_name], "work": kept, "tmp": [], "home": []}:
            raise WrongError(f"left behind: {found}")
        if self.plan.keeps:
            self._demand(self.reference.complain_of_parts(place.work, self._rotten))
            hidden = [str(path) for path in place.work.rglob(".*")]
            if hidden or len(parts_in(place.work)) != PARTS:
                raise WrongError(f"the kept work dir has {len(parts_in(place.work))} parts, and {hidden}")

    def _demand(self, complaint: str) -> None:
        if complaint:
            raise WrongError(complaint)
