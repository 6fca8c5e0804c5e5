"""Kill `pct-flow` at random moments, or do it other harm, start it again, and see that it ends as if nothing had been.

    make torture ARGS='--kills 200 [--seed S]'
    make torture ARGS='--seed S --job N'
    make torture ARGS='--together'

Every job is a small plate of a dozen parts, in a folder of its own, killed one to three times and then left alone. What
is killed when is drawn from the seed; where in its work that finds the job is up to the machine. The folder of a job on
which something does not hold is kept. Ctrl-C lets the jobs at work end, and sums up.

With `--together`: 20 flows and 200 single tools at once that share a home; 20 flows that share a Prefect server too.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from plates import Plate, write_csv
from torture_checks import Reference
from torture_job import Job, Location, Torture, WrongError
from torture_plan import PARTS, Plan, draw
from torture_together import Together, prefect_server

__all__ = ["Campaign", "main"]

PLATE = Plate(folders=PARTS, cells=30, features=40, missing=0.05)


@dataclass
class Campaign:
    """Jobs until so many kills are done.

    Attributes
    ----------
    failures
        By job, what did not hold.
    """

    seed: str
    folder: Path
    at_once: int
    befell: Torture = field(default_factory=Torture)
    failures: dict[str, str] = field(default_factory=dict)
    _references: dict[bool, Reference] = field(default_factory=dict)
    _source: Path = Path()

    def prepare(self) -> None:
        """Write the plate, and make what an undisturbed run makes of it, as many at once as later."""
        self._source = write_csv(PLATE, self.folder / "plate")
        with ThreadPoolExecutor(self.at_once) as pool:
            made = list(pool.map(self._undisturbed, range(max(self.at_once, 2))))
        for reference in made[2:]:
            assert reference == made[0] or reference == made[1]
        self._references = {False: made[0], True: made[1]}

    def _undisturbed(self, number: int) -> Reference:
        place = Location(self._source, self.folder / f"undisturbed-{number}", "made" if number == 1 else "made.parquet")
        place.make()
        began = time.monotonic()
        code = place.start([] if place.is_folder else ["--keep-work"], 0).wait()
        seconds = time.monotonic() - began
        told = place.said(0)
        if code or len(told.done) != PARTS:
            raise SystemExit(f"torture.py: an undisturbed run ended with {code}: {told}")
        return Reference.of(place.output, place.work, seconds)

    @property
    def seconds(self) -> float:
        """Give the length of an undisturbed run."""
        return statistics.mean(reference.seconds for reference in self._references.values())

    def run(self, kills: int) -> None:
        """Run jobs until that number of kills is reached."""
        with ThreadPoolExecutor(self.at_once) as pool:
            planned: dict[Future[Torture], Plan] = {}
            plans: Iterator[Plan | None] = self._plans(kills, planned)
            while True:
                while len(planned) < self.at_once and (plan := next(plans, None)):
                    planned[pool.submit(self.run_job, plan)] = plan
                if not planned:
                    return
                try:
                    done = wait(planned, return_when=FIRST_COMPLETED).done
                except KeyboardInterrupt:
                    plans = iter(())
                    continue
                for ended in done:
                    del planned[ended]
                    self._add(ended.result())

    def _plans(self, kills: int, planned: dict[Future[Torture], Plan]) -> Iterator[Plan | None]:
        """Draw jobs while those done and at work do not have all the kills; nothing while that is open."""
        number = 0
        while (done := sum(self.befell.kills.values())) < kills:
            open_kills = kills - done - sum(len(plan.kills) for plan in planned.values())
            if open_kills > 0:
                number += 1
                yield draw(f"{self.seed}/{number}", min(open_kills, 3))
            else:
                yield None

    def run_job(self, plan: Plan) -> Torture:
        """Run one job; its folder stays where something does not hold."""
        folder = self.folder / f"job-{plan.seed.rpartition('/')[2]}"
        job = Job(plan, Location(self._source, folder, plan.output_name), self._references[plan.is_folder])
        try:
            job.run()
            shutil.rmtree(folder)
        except WrongError as error:
            self.failures[plan.seed] = str(error)
            (folder / "plan.txt").write_text(f"{plan}\n{error}\n")
            print(f"FAILED {folder}: {error}; {plan}", flush=True)
        return job.torture

    def _add(self, other: Torture) -> None:
        mine = self.befell
        mine.kills += other.kills
        mine.outlived += other.outlived
        for name in ("too_late", "resumed", "made", "spoilt", "runs"):
            setattr(mine, name, getattr(mine, name) + getattr(other, name))

    def lines(self) -> list[str]:
        """Sum it up."""
        torture = self.befell
        total = sum(torture.kills.values())
        told = [f"{total} kills in {torture.runs} runs; seed {self.seed}; an undisturbed run took {self.seconds:.1f} s"]
        for title, place in (("victim", 0), ("runner", 1), ("phase", 2)):
            by = Counter[str]()
            for key, number in torture.kills.items():
                by[key[place]] += number
            told.append(f"by {title}: " + ", ".join(f"{name} {number}" for name, number in by.most_common()))
        told.append(f"moments that came after the end: {torture.too_late}")
        told.append(f"parts: {torture.resumed} found finished, {torture.made} made; {torture.spoilt} files cut or lost")
        if torture.outlived:
            most, longest = (max(figures) for figures in zip(*torture.outlived, strict=True))
            told.append(f"outlived by processes {len(torture.outlived)} times: {most} at most, {longest:.2f} s at most")
        told += [f"FAILED job {seed}: {complaint}" for seed, complaint in self.failures.items()]
        return [*told, f"{len(self.failures)} failures"]


def all_together(folder: Path) -> list[str]:
    """Run many at once; gives what was wrong."""
    source = write_csv(PLATE, folder / "plate")
    with prefect_server(folder / "server") as url:
        complaints = []
        for named, flows, tools in (("", 20, 200), (url, 20, 20)):
            together = Together(folder / ("tracked" if named else "private"), source, named)
            together.run(flows, tools)
            where = "one Prefect server" if named else "private servers"
            told = "; ".join(together.complaints) or "none failed, none waited for a lock"
            print(f"{flows} flows and {tools} tools at once, {where}: {together.seconds:.0f} s, {told}", flush=True)
            complaints += together.complaints
    return complaints


def build_parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = argparse.ArgumentParser(prog="torture.py", description="Kill pct-flow at random moments.")
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="how many in all (%(default)s)")
    parser.add_argument("--seed", default=str(time.time_ns()), help="the same jobs and kills for the same seed")
    parser.add_argument("--job", type=int, metavar="N", help="run one job of a seed again, and keep its folder")
    parser.add_argument("--together", action="store_true", help="many at once instead, none of them killed")
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="jobs at the same time (%(default)s)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where jobs run (default: a temporary folder)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    words = build_parser().parse_args(argv)
    if words.folder:
        words.folder.mkdir(parents=True, exist_ok=True)
    # As `nohup` would have the flows ignore the end of their terminal.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    folder = Path(tempfile.mkdtemp(prefix="pct-torture-", dir=words.folder))
    if words.together:
        wrong = all_together(folder)
        if not wrong:
            shutil.rmtree(folder)
        return 1 if wrong else 0
    print(f"seed {words.seed}, in {folder}", flush=True)
    campaign = Campaign(words.seed, folder, words.at_once)
    campaign.prepare()
    if words.job:
        campaign.befell = campaign.run_job(draw(f"{words.seed}/{words.job}"))
    else:
        campaign.run(words.kills)
    print("\n".join(campaign.lines()))
    if not campaign.failures:
        shutil.rmtree(folder)
    return 1 if campaign.failures else 0


if __name__ == "__main__":
    sys.exit(main())
