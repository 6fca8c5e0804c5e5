"""Batch jobs of a cluster as Dask workers: the TOML file that describes them, and how they are submitted.

The classes are those of dask-jobqueue, one for each batch system. What such a file names is checked before anything
is started, for Dask itself would wait for ever for jobs that it could not submit.
"""

from __future__ import annotations

import inspect
import os
import shlex
import shutil
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pycytominer_transform.common.errors import StorageError, UsageError
from pycytominer_transform.common.model.preset import parse_toml
from pycytominer_transform.common.runtime.messages import count, logger
from pycytominer_transform.common.storage.standard_io import read_small_file

_LIBRARY = "dask_jobqueue"
CLUSTERS = tuple(f"{name}Cluster" for name in ("HTCondor", "LSF", "Moab", "OAR", "PBS", "SGE", "SLURM"))
_KEYS = ("cluster", "jobs", "timeout", "arguments")
DEFAULT_TIMEOUT = 3600.0
_FIRST_PATIENCE = 10.0
_LONGEST_PATIENCE = 600.0
_OF_SCHEDULER = "scheduler_options"
_LISTS = ("worker_extra_args", "job_extra_directives", "job_script_prologue", "job_directives_skip")
_SETTINGS = {
    # The death of a worker is reported as the failure of its part.
    "distributed.logging": {"distributed": "critical", "tornado": "critical", "tornado.application": "critical"},
    # DuckDB and Arrow hold a worker's event loop up for as long as one call takes; that is no reason to warn.
    "distributed.admin.tick.limit": "1h",
}
# Dask would kill a worker for the tables that Arrow and DuckDB hold; the batch system sees to the limit.
_WORKER_WORDS = ("--memory-limit", "0", "--no-dashboard")
# What the cluster class gives each job itself, and what no TOML file can hold.
_NOT_FOR_FILES = {"self", "scheduler", "name", "security", "base_class_kwargs", "args", "kwargs"}


@dataclass(frozen=True)
class DaskCluster:
    """Batch jobs that are Dask workers.

    Attributes
    ----------
    kind : str
        Class of dask-jobqueue that submits them, such as ``SLURMCluster``.
    jobs : int
        Jobs to submit.
    workers : int
        Parts that all of them work on at once.
    arguments : mapping
        The class's arguments.
    timeout : float
        Seconds to wait for the first worker, and for another when there are none any more.
    """

    kind: str
    jobs: int
    workers: int
    arguments: Mapping[str, Any]
    timeout: float = DEFAULT_TIMEOUT

    def host(self) -> str:
        """Return the address at which the jobs reach this machine.

        Raises
        ------
        UsageError
            The arguments name a network interface that is not here.
        """
        import distributed

        network: Any = distributed.utils
        of_scheduler = self.arguments[_OF_SCHEDULER]
        interface = of_scheduler.get("interface") or self.arguments.get("interface")
        try:
            address: str = of_scheduler.get("host") or (
                network.get_ip_interface(interface) if interface else network.get_ip()
            )
        except (OSError, ValueError) as error:
            raise UsageError(f"the Dask cluster's network: {error}") from error
        return address


def read_dask_cluster(path: str) -> DaskCluster:
    """Read the file that describes a cluster.

    Parameters
    ----------
    path : str
        A TOML file with the keys ``cluster`` (``dask_jobqueue.SLURMCluster`` or its like), ``jobs``, ``timeout`` in
        seconds, and a table ``arguments`` of that class's arguments.

    Raises
    ------
    UsageError
        It cannot be read, has a key too many or too few, or dask-jobqueue is missing or refuses the arguments.
    """
    keys = parse_toml(read_small_file(path, "the cluster"), f"the cluster {path}")
    if unknown := sorted(set(keys) - set(_KEYS)):
        raise UsageError(f"{path}: unknown key {unknown[0]!r}; a cluster has {', '.join(_KEYS)}")
    kind, jobs, arguments = keys.get("cluster", ""), keys.get("jobs", 1), keys.get("arguments", {})
    if kind not in [f"{_LIBRARY}.{name}" for name in CLUSTERS]:
        raise UsageError(f"{path}: cluster is {kind!r}; it may be {_LIBRARY}. and one of {', '.join(CLUSTERS)}")
    _require_positive(jobs, f"{path}: jobs")
    if not isinstance(arguments, dict):
        raise UsageError(f"{path}: arguments must be a table, such as [arguments] with cores = 4, memory = '16GB'")
    timeout = keys.get("timeout", DEFAULT_TIMEOUT)
    if type(timeout) not in (int, float) or not timeout > 0:
        raise UsageError(f"{path}: timeout is {timeout!r}; it must be a number of seconds above 0")
    return replace(_checked(path, kind.removeprefix(f"{_LIBRARY}."), jobs, arguments), timeout=float(timeout))


def _require_positive(value: object, named: str) -> None:
    if type(value) is not int or value < 1:
        raise UsageError(f"{named} is {value!r}; it must be a whole number above 0")


def _checked(path: str, kind: str, jobs: int, arguments: dict[str, Any]) -> DaskCluster:
    """Let the class make a job of the arguments, without submitting it."""
    job_class = _cluster_class(kind).job_cls
    named = {name for base in job_class.__mro__ for name in inspect.signature(base.__init__).parameters}
    named -= _NOT_FOR_FILES
    if unknown := sorted(set(arguments) - named - {_OF_SCHEDULER}):
        raise UsageError(f"{path}: unknown argument {unknown[0]!r}; {kind} has {', '.join(sorted(named))}")
    for name in ("cores", "processes"):
        _require_positive(arguments.get(name, 1), f"{path}: {name}")
    for name in _LISTS:
        # A text would be taken for a list of its letters, and no job would start a worker.
        if not isinstance(arguments.get(name, []), list):
            raise UsageError(f"{path}: {name} must be a list of strings")
    if not isinstance(arguments.get(_OF_SCHEDULER, {}), dict):
        raise UsageError(f"{path}: {_OF_SCHEDULER} must be a table")
    of_job = {
        "job_name": "pct-flow",
        # As many processes as cores, each with one part at a time: what a part holds is its process's alone.
        **({"processes": arguments["cores"]} if "cores" in arguments else {}),
        **arguments,
        "worker_extra_args": [*_WORKER_WORDS, *arguments.get("worker_extra_args", [])],
    }
    # Its web server listens in any case, by default always at port 8787 and for everybody.
    of_scheduler = {"dashboard_address": "127.0.0.1:0", **of_job.pop(_OF_SCHEDULER, {})}
    try:
        job = job_class("tcp://scheduler:8786", "worker", **of_job)
        workers = jobs * job.worker_processes * job.worker_process_threads
    except (TypeError, ValueError, ArithmeticError) as error:
        raise UsageError(f"{path}: {kind} refuses its arguments: {' '.join(str(error).split())}") from error
    submit = shlex.split(job.submit_command)[0]
    if shutil.which(submit) is None:
        raise UsageError(f"{path}: there is no {submit} here, by which {kind} submits jobs; run where that is")
    return DaskCluster(kind, jobs, workers, {**of_job, _OF_SCHEDULER: of_scheduler})


def submit_jobs(cluster: DaskCluster, security: Any) -> Any:
    """Start a Dask scheduler here and submit the jobs that will be its workers.

    Parameters
    ----------
    cluster
        The jobs.
    security : distributed.Security
        Certificates by which the workers and this process know each other. dask-jobqueue hands them to the jobs as
        files that only this user can read, in ``shared_temp_directory``; they are removed with the cluster.

    Returns
    -------
    dask_jobqueue.JobQueueCluster
        To be closed, which cancels the jobs.

    Raises
    ------
    StorageError
        The scheduler cannot listen there, or the batch system refuses a job.
    """
    import dask

    dask.config.set({"distributed.scheduler.no-workers-timeout": cluster.timeout})
    try:
        arguments = {"shared_temp_directory": os.getcwd(), **cluster.arguments, "security": security}
        jobs = _cluster_class(cluster.kind)(**arguments)
    except RuntimeError as error:
        raise StorageError(f"no Dask scheduler could be started here: {error}") from error

    async def submitted() -> None:
        await jobs

    try:
        # Not `scale`, which would leave what the batch system says to a log and wait for workers for ever.
        for _ in range(cluster.jobs):
            jobs.worker_spec.update(jobs.new_worker_spec())
        jobs.sync(submitted)
    except BaseException as error:
        # Closing cancels the submitted jobs, then fails an assertion about the others.
        with suppress(AssertionError):
            jobs.close()
        if isinstance(error, RuntimeError):
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise StorageError(f"{cluster.kind} could not submit a job: {lines[-1]}") from error
        raise
    named = ", ".join(str(job.job_id) for job in jobs.workers.values())
    logger.info("submitted %s (%s) as Dask workers", count(cluster.jobs, "job"), named)
    return jobs


def await_workers(client: Any, timeout: float) -> None:
    """Wait for the first worker of a scheduler, with a log line now and then.

    Raises
    ------
    StorageError
        None came in time.
    """
    from pycytominer_transform.common.runtime.progress_bars import duration

    began, patience = time.monotonic(), min(0.5, timeout)
    while True:
        try:
            client.wait_for_workers(1, timeout=patience)
        except TimeoutError:
            waited = time.monotonic() - began
            where = client.scheduler.address
            if waited >= timeout:
                raise StorageError(
                    f"no Dask worker came to the scheduler at {where} within {duration(timeout)}; look what became of "
                    "the jobs that should be workers, or let timeout in the cluster's file be longer"
                ) from None
            logger.info("waiting for a Dask worker at %s since %s", where, duration(waited))
            patience = min(max(_FIRST_PATIENCE, waited), _LONGEST_PATIENCE, timeout - waited)
        else:
            return


def quieten_dask() -> None:
    """Set Dask's log levels; to be called before the import of `distributed`, which sets up its loggers."""
    import dask

    dask.config.set(_SETTINGS)


def _cluster_class(kind: str) -> Any:
    quieten_dask()
    ctrl_c = signal.getsignal(signal.SIGINT)
    try:
        import dask_jobqueue
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{kind} needs dask-jobqueue, which is not installed: pip install 'pycytominer-transform[slurm]'"
        ) from error
    if signal.getsignal(signal.SIGINT) is not ctrl_c:
        # The library's import sets a handler of its own, by which Ctrl-C would end the flow as if all were well.
        signal.signal(signal.SIGINT, ctrl_c)
    return getattr(dask_jobqueue, kind)
