"""How a flow runs its parts: on which runner, how many at once, from which work dir."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common import commandline
from pycytominer_transform.common.cloud_place import CloudPlace
from pycytominer_transform.common.cloud_uri import is_cloud
from pycytominer_transform.common.dask_cluster import DaskCluster, read_dask_cluster
from pycytominer_transform.common.errors import UsageError

if TYPE_CHECKING:
    from pycytominer_transform.common.place import Place
    from pycytominer_transform.common.task_runners import RunnerKind


DEFAULT_RETRIES = 3


@dataclass(frozen=True, kw_only=True)
class RunningOptions:
    """How `pct-flow` runs the stages, whatever their own options are.

    Attributes
    ----------
    runner : {'concurrent', 'dask', 'sequential'}
        Threads of this process, Dask workers, or one part after the other.
    workers : int
        Parts to work on at once; 0 for as many as there are processors to use.
    dask_scheduler : str
        Address of a running scheduler; empty for a local cluster of `workers` processes.
    dask_cluster : DaskCluster, optional
        Batch jobs to submit as Dask workers instead.
    work_dir : str
        Where the parts lie until they are written; empty for a folder beside the output, or among the system's
        temporary ones where that is in the cloud, that is removed at the end.
    keep_work : bool
        Keep the work dir although all went well.
    retries : int
        How often a part is tried again that failed for a reason that may pass.
    max_failures : int, optional
        Give up when more parts than this have failed; by default all are tried.
    """

    runner: RunnerKind = "concurrent"
    workers: int = 0
    dask_scheduler: str = ""
    dask_cluster: DaskCluster | None = None
    work_dir: str = ""
    keep_work: bool = False
    retries: int = DEFAULT_RETRIES
    max_failures: int | None = None


def check_work_place(options: RunningOptions, output: Place) -> None:
    """Refuse a work dir that is none, and to do without one where workers on other machines would not find it.

    Raises
    ------
    UsageError
        The options and the output do not go together.
    """
    if is_cloud(options.work_dir):
        raise UsageError(f"--work-dir {options.work_dir}: must be a folder of this machine, not a place in the cloud")
    elsewhere = options.dask_scheduler or options.dask_cluster
    if elsewhere and not options.work_dir and isinstance(output, CloudPlace):
        raise UsageError(
            "with --dask-scheduler or --dask-cluster and an output in the cloud give --work-dir, a folder that all "
            "workers share"
        )


def workers_and_threads(options: RunningOptions) -> tuple[int, int]:
    """Give how many parts to work on at once, and how many threads each of them may have.

    Raises
    ------
    UsageError
        The options do not go together.
    """
    from pycytominer_transform.common.resources import usable_threads

    if options.dask_scheduler and options.runner != "dask":
        raise UsageError("--dask-scheduler goes with --runner dask")
    if options.dask_cluster:
        if options.runner != "dask" or options.dask_scheduler or options.workers:
            raise UsageError("--dask-cluster goes with --runner dask, without --dask-scheduler and --workers")
        return options.dask_cluster.workers, 1
    threads = usable_threads()
    workers = 1 if options.runner == "sequential" else options.workers or threads
    # A Dask worker is one processor, for its machine need not be this one.
    return workers, 1 if options.runner == "dask" else max(1, threads // workers)


def add_running_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how the parts run."""
    group = parser.add_argument_group("running")
    group.add_argument(
        "--runner", choices=("concurrent", "dask", "sequential"), default="concurrent",
        help="threads of this process, Dask workers, or one part after the other (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--workers", metavar="N", type=commandline.positive, default=0,
        help="parts to work on at once (default: the processors this process may use)",
    )  # fmt: skip
    group.add_argument(
        "--dask-scheduler", metavar="ADDRESS", default="", help="a running Dask scheduler, such as tcp://node7:8786"
    )
    group.add_argument(
        "--dask-cluster", metavar="FILE", default="",
        help="a TOML file that says which batch jobs to submit as Dask workers, such as Slurm's",
    )  # fmt: skip
    group.add_argument(
        "--work-dir", metavar="DIR", default="",
        help="where finished parts lie; a second run goes on from there (default: beside the output, for one in the "
        "cloud a temporary folder, then removed)",
    )  # fmt: skip
    group.add_argument("--keep-work", action="store_true", help="keep the work dir although all went well")
    group.add_argument(
        "--retries", metavar="N", type=commandline.whole, default=DEFAULT_RETRIES,
        help="how often to try a part again that failed for a reason that may pass (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--max-failures", metavar="N", type=commandline.whole, default=None,
        help="give up when more than N parts have failed (default: try all)",
    )  # fmt: skip


def running_words(args: argparse.Namespace) -> dict[str, Any]:
    """Give the attributes of `RunningOptions` that the parsed words ask for."""
    return {
        "runner": args.runner,
        "workers": args.workers,
        "dask_scheduler": args.dask_scheduler,
        "dask_cluster": read_dask_cluster(args.dask_cluster) if args.dask_cluster else None,
        "work_dir": args.work_dir,
        "keep_work": args.keep_work,
        "retries": args.retries,
        "max_failures": args.max_failures,
    }
