"""What befalls a job in `make torture`: drawn from a seed, so that a failure can be tried again."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

__all__ = ["PARTS", "Kill", "Plan", "draw"]

PARTS = 12

Victim = Literal["flow", "worker", "group", "power", "bits", "server", "terminal", "hangup", "tmp"]
Moment = Literal["time", "parts", "write", "start"]
SURVIVED = ("worker", "server", "terminal")
"""What a job goes on after."""


@dataclass(frozen=True)
class Kill:
    """One SIGKILL, or another misfortune.

    Attributes
    ----------
    victim
        ``flow``: the process that was started, alone; ``worker``: one of its Dask workers; ``group``: all its
        processes; ``power``: these too, and what was not synced to the disk is cut or gone afterwards; ``bits``: all
        processes, and a bit of each of some finished parts is another one afterwards; ``server``: the private Prefect
        server; ``terminal``: the terminal that it writes to is gone; ``hangup``: the flow gets SIGHUP; ``tmp``: the
        folder for temporary files is removed.
    moment, at
        ``time``: after that share of an undisturbed run's length; ``parts``: once that share of the parts still to be
        made lie in the work dir; ``write``: that share of a second after the output was begun; ``start``: that share of
        a second after the server was started, which takes longer to answer.
    restarts_at_once
        Start the job again without waiting for the end of processes that are left.
    """

    victim: Victim
    moment: Moment
    at: float
    restarts_at_once: bool


@dataclass(frozen=True)
class Plan:
    """A job, and the kills that befall it one after the other.

    Attributes
    ----------
    keeps
        The job is to keep its work dir, which it has for an output of one file.
    overwrites
        It may replace an output, and finds one.
    is_folder
        Its output is a folder with a file per part.
    """

    seed: str
    runner: str
    keeps: bool
    overwrites: bool
    is_folder: bool
    kills: tuple[Kill, ...]

    @property
    def takes_terminal(self) -> bool:
        """Whether the job writes to a terminal, which is taken away."""
        return any(kill.victim == "terminal" for kill in self.kills)

    @property
    def words(self) -> list[str]:
        """Give the options that differ from job to job."""
        chosen = {"--keep-work": self.keeps, "--overwrite": self.overwrites}
        return ["--runner", self.runner, *(word for word, wanted in chosen.items() if wanted)]

    @property
    def output_name(self) -> str:
        """Give the output's name, which says whether it is one file."""
        return "made" if self.is_folder else "made.parquet"


def draw(seed: str, most: int = 3) -> Plan:
    """Draw a plan of at most so many kills."""
    random = Random(seed)
    runner = random.choices(("concurrent", "dask", "sequential"), (14, 4, 2))[0]
    number = min(random.choices((1, 2, 3), (5, 3, 2))[0], most)
    kills = tuple(_draw_kill(random, runner) for _ in range(number))
    keeps, overwrites, is_folder = (random.random() < share for share in (0.4, 0.2, 0.5))
    return Plan(seed, runner, keeps and not is_folder, overwrites, is_folder, kills)


def _draw_kill(random: Random, runner: str) -> Kill:
    victims: dict[Victim, int] = {
        "flow": 5, "group": 2, "power": 3, "bits": 3, "server": 3, "terminal": 1, "hangup": 1, "tmp": 1,
    }  # fmt: skip
    if runner == "dask":
        victims |= {"flow": 3, "worker": 5}
    [victim] = random.choices([*victims], [*victims.values()])
    moment: Moment = random.choices(("time", "parts", "write"), (10, 7, 3))[0]
    if victim == "server" and random.random() < 0.5:
        moment = "start"
    return Kill(victim, moment, random.random(), random.random() < 0.5)
