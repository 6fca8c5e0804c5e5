"""Tiny tasks and flows that the Prefect tests run in processes of their own, and that Dask workers import.

Run as ``python -m prefect_jobs JOB [ARGUMENT...]``; what a job finds out is printed to stdout as one line of JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NoReturn

from pycytominer_transform.common.cli.parser import add_general_options, new_parser
from pycytominer_transform.common.cli.run import run as run_tool
from pycytominer_transform.common.errors import StorageError
from pycytominer_transform.common.flow import part_runs
from pycytominer_transform.common.flow.part_runs import PartRuns, Tasks, result_of
from pycytominer_transform.common.flow.prefect_environment import prefect_api_configured
from pycytominer_transform.common.flow.prefect_server import prefect_api
from pycytominer_transform.common.flow.stage_task import StageTask
from pycytominer_transform.common.runtime.messages import set_up_reporting
from pycytominer_transform.common.runtime.signals import interruptions_raise_again, raise_if_interrupted
from pycytominer_transform.common.storage.destination import complete_file
from pycytominer_transform.common.storage.temporary_names import scratch_folder
from waiting import wait_until


class StubbornError(ValueError):
    """Takes two arguments and tells its base one, so it cannot be unpickled."""

    def __init__(self, path: str, row: int) -> None:
        super().__init__(f"{path}: row {row}")


@contextlib.contextmanager
def task_runner(kind: Literal["concurrent", "dask"], workers: int, dask_scheduler: str = "") -> Iterator[Any]:
    """Import Prefect no earlier than its environment is set."""
    from pycytominer_transform.common.flow import task_runners

    with task_runners.task_runner(kind, workers=workers, dask_scheduler=dask_scheduler) as runner:
        yield runner


def double(*, number: int) -> tuple[int, int]:
    """Give twice the number, and the process that did it."""
    logging.getLogger("pycytominer_transform").info("doubling %d", number)
    return 2 * number, os.getpid()


def refuse_odd(*, number: int) -> int:
    """Fail for every odd number, for 3 with an error that cannot travel between processes."""
    if number == 3:
        raise StubbornError("Cells.csv", number)
    if number % 2:
        message = f"Cells.csv: row {number} is cut off"
        raise ValueError(message)
    return number


def rest(*, seconds: float) -> None:
    """Tell that it has begun, then take its time."""
    # In one piece, for several threads do this at once.
    os.write(1, b"resting\n")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.01)


def stumble(*, counter: Path, times: int, kind: str) -> int:
    """Fail the given number of times, counting in a file, and then succeed."""
    tried = len(counter.read_text()) if counter.exists() else 0
    counter.write_text("x" * (tried + 1))
    if tried < times:
        raise ConnectionError(kind) if kind == "transient" else ValueError(kind)
    return tried + 1


def die(*, counter: Path, times: int) -> int:
    """End the process that it runs in, as the kernel does when memory is out, the given number of times."""
    tried = len(counter.read_text()) if counter.exists() else 0
    counter.write_text("x" * (tried + 1))
    with scratch_folder("pct-join-"):
        if tried < times:
            os.kill(os.getpid(), signal.SIGKILL)
    return tried + 1


def get_stuck(*, output: Path) -> None:
    """Write half of a file, then wait for what never comes, in a call that no signal to another thread ends."""
    with complete_file(output, overwrite=False) as half:
        half.write(b"half")
        half.flush()
        os.write(1, b"stuck\n")
        fifo = output.with_name("fifo")
        os.mkfifo(fifo)
        fifo.read_text()


def talk(*, number: int) -> int:
    """Say something at every level, on a thread too."""
    logger = logging.getLogger("pycytominer_transform")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(logger.debug, "whispered %d", number).result()
    logger.info("said %d", number, extra={"fields": {"number": number}})
    logger.warning("shouted %d", number)
    return number


stuck_task = StageTask(get_stuck, name="get stuck")
die_task = StageTask(die, name="die")
talk_task = StageTask(talk, name="talk")
double_task = StageTask(double, name="double")
refuse_odd_task = StageTask(refuse_odd, name="refuse odd")
rest_task = StageTask(rest, name="rest")
stumble_task = StageTask(stumble, name="stumble")


def submit(task: StageTask[Any], name: str, **arguments: Any) -> Any:
    """Submit a run to the flow's task runner, as `pct-flow` does."""
    return Tasks(0, on_threads=False).submit(task, name, **arguments)


def outcomes(futures: Iterable[Any]) -> list[Any]:
    """Wait for all runs; return the result of each, or the exception that ended it."""

    def outcome(future: Any) -> Any:
        try:
            return future.result()
        except Exception as error:
            return error

    return [outcome(future) for future in futures]


@contextlib.contextmanager
def api() -> Iterator[str]:
    with prefect_api(tracked=prefect_api_configured()) as prefect:
        prefect.await_start()
        yield prefect.url


def known(url: str) -> dict[str, Any]:
    """Give what the server has recorded: the states of flow runs, and the number of task runs."""
    import httpx

    name, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    with httpx.Client(auth=(name, password)) as client:
        flows, tasks = (client.post(f"{url}/{kind}/filter", json={}).json() for kind in ("flow_runs", "task_runs"))
    return {"flows": [run["state"]["type"] for run in flows], "tasks": len(tasks)}


def empty() -> dict[str, Any]:
    """Run a flow of one task twice in a row, each time with a server of its own, and see what is left behind."""
    before = dict(os.environ)
    urls, knew = [], []
    for _ in range(2):
        with api() as url:
            from prefect import flow

            @flow
            def one() -> int:
                doubled: tuple[int, int] = submit(double_task, "double {plate} part 1 of 1", number=4).result()
                return doubled[0]

            assert one() == 8
            urls.append(url)
            knew.append(known(url))
    return {"urls": urls, "known": knew, "same": before == dict(os.environ), "children": sorted(children())}


def children() -> set[int]:
    """Give this process's child processes, whichever thread started them."""
    return {int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


def restless(times: str) -> dict[str, Any]:
    """Kill the private server some times before a flow needs it."""
    try:
        with api():
            from prefect import flow

            @flow
            def one() -> int:
                doubled: tuple[int, int] = submit(double_task, "double", number=4).result()
                return doubled[0]

            for _ in range(int(times)):
                (server,) = children()
                os.kill(server, signal.SIGKILL)
                wait_until(lambda: server not in children(), "end of the server")  # noqa: B023
                time.sleep(0.2)
            return {"result": one()}
    except StorageError as error:
        return {"error": str(error)}


def many(kind: Literal["concurrent", "dask"], scheduler: str = "") -> dict[str, Any]:
    """Run tasks of which some fail."""
    with api() as url, task_runner(kind, workers=2, dask_scheduler=scheduler) as runner:
        from prefect import flow

        @flow(task_runner=runner)
        def parts() -> tuple[list[Any], list[Any]]:
            odd = [submit(refuse_odd_task, f"part {n}", number=n) for n in range(5)]
            doubles = [submit(double_task, f"double {n}", number=n) for n in range(6)]
            return outcomes(odd), outcomes(doubles)

        refused, doubled = parts()
        knew = known(url)
    return {
        "refused": [x if isinstance(x, int) else f"{type(x).__name__}: {x}" for x in refused],
        "doubled": [number for number, _ in doubled],
        "pids": sorted({pid for _, pid in doubled}),
        "own": os.getpid(),
        "known": knew,
    }


def terminated(kind: Literal["concurrent", "dask"]) -> None:
    """Be a tool whose flow lasts."""

    def body(_: argparse.Namespace) -> int:
        with api(), task_runner(kind, workers=2) as runner:
            from prefect import flow

            @flow(task_runner=runner)
            def slow() -> None:
                with interruptions_raise_again():
                    for run in [submit(rest_task, "rest", seconds=2) for _ in range(40)]:
                        raise_if_interrupted()
                        run.result()

            slow()
        return 0

    be_tool("pct-terminated", [], body)


def broken() -> dict[str, Any]:
    """Leave the block by an exception."""
    with contextlib.suppress(ZeroDivisionError), api():
        raise ZeroDivisionError
    return {}


def single(tracked: str, number: str) -> dict[str, Any]:
    """Run one task as a single tool does."""
    try:
        result: Any = refuse_odd_task.run(tracked=tracked == "tracked", run_name="refuse plate1", number=int(number))
        double_task.run(tracked=tracked == "tracked", run_name="double {plate1}", number=21)
    except (ValueError, OSError) as error:
        result = f"{type(error).__name__}: {error}"
    return {"result": result, "prefect": "prefect" in sys.modules}


def named() -> dict[str, Any]:
    """Run a flow on the server of the environment, with work that must be tried again and some that must not."""
    part_runs.RETRY_DELAYS = (0.01,) * 4

    def again(kind: str) -> int:
        tasks = Tasks(2, on_threads=True)
        return result_of(tasks.submit(stumble_task, kind, counter=Path(kind), times=2, kind=kind))

    with api() as url:
        from prefect import flow

        @flow
        def retried() -> tuple[int, int, str]:
            first = submit(double_task, "double", number=5).result()[0]
            try:
                lasting = str(again("lasting"))
            except ValueError as error:
                lasting = type(error).__name__
            return first, again("transient"), lasting

        result, tries, lasting = retried()
    return {"url": url, "result": result, "tries": tries, "lasting": lasting, "tried": len(Path("lasting").read_text())}


def stuck(*words: str) -> None:
    """Be a tool that is at work on a thread."""

    def body(_: argparse.Namespace) -> int:
        with api(), task_runner("concurrent", workers=1) as runner:
            from prefect import flow

            @flow(task_runner=runner)
            def parts() -> None:
                begun = [submit(stuck_task, "stuck", output=Path(name)) for name in ("first", "second")]
                outcomes(begun)

            parts()
        return 0

    be_tool("pct-stuck", words, body)


def be_tool(name: str, words: Sequence[str], body: Callable[[argparse.Namespace], int]) -> NoReturn:
    """Run as a tool's own process, with signals taken as the command-line layer takes them."""
    sys.argv = [name, *words]
    parser = new_parser(name, "")
    add_general_options(parser)
    raise SystemExit(run_tool(parser, None, body))


def lost(scheduler: str = "") -> dict[str, Any]:
    """Run parts on Dask workers of which some are killed."""
    deaths = {1: 0, 2: 1, 3: 9}
    collected: dict[int, int] = {}

    def submitted(part: int) -> list[Any]:
        return [submit(die_task, f"part {part}", counter=Path(f"part{part}"), times=deaths[part])]

    runs = PartRuns(submitted, lambda part, results: collected.update({part: results[0]}), 1, None)
    with api(), task_runner("dask", workers=1, dask_scheduler=scheduler) as runner:
        from prefect import flow

        @flow(task_runner=runner)
        def parts() -> None:
            runs.run(deaths)

        parts()
    tried = {part: len(Path(f"part{part}").read_text()) for part in deaths}
    return {"collected": collected, "failures": runs.failures, "tried": tried}


WAYS: dict[str, dict[str, Any]] = {
    "text": {},
    "quiet": {"quiet": True},
    "verbose": {"verbose": True},
    "json": {"log_format": "json"},
}


def talkative() -> dict[str, Any]:
    """Let Dask workers talk in flows that show it in several ways; return what each shows."""
    import distributed
    from pycytominer_transform.common.flow.dask_workers import local_workers, set_up_workers

    security: Any = distributed.Security
    certificates: Any = security.temporary()
    connect: Any = distributed.Client
    plain: dict[str, Any] = {"quiet": False, "verbose": False, "log_format": "text"}
    shown = {}
    with api(), local_workers(2, certificates) as address:
        from prefect import flow
        from pycytominer_transform.common.flow.dask_compat import QuickDaskTaskRunner

        for way, chosen in WAYS.items():
            text = io.StringIO()
            with contextlib.redirect_stderr(text):
                set_up_reporting("pct-flow", **(plain | chosen))
                with connect(address, security=certificates, set_as_default=False) as client, set_up_workers(client):
                    runner: Any = QuickDaskTaskRunner(address=address, client_kwargs={"security": certificates})

                    @flow(task_runner=runner)
                    def parts() -> None:
                        outcomes(submit(talk_task, "talk", number=n) for n in range(3))

                    parts()
            shown[way] = text.getvalue().splitlines()
    return shown


if __name__ == "__main__":
    # As a module of its own name, so that what is pickled for Dask's workers can be imported there.
    import prefect_jobs

    print(json.dumps(getattr(prefect_jobs, sys.argv[1])(*sys.argv[2:])), flush=True)
