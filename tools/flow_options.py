"""The options of `pct-flow`: those of all stages, on a command line and as plain values of a Prefect flow."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from pycytominer_transform.common.cli.parser import (
    SOURCE_HELP,
    STORAGE_HEADING,
    Parser,
    add_general_options,
    add_options,
    add_output,
    new_parser,
    options_from,
)
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.model.discovery_options import DiscoverOptions
from pycytominer_transform.common.model.options import declared_options, did_you_mean, option, positive, whole
from pycytominer_transform.common.runtime.resources import usable_threads
from pycytominer_transform.common.storage.options import StorageOptions
from pycytominer_transform.common.storage.uri import is_cloud
from pycytominer_transform.tools import discover as discovering
from pycytominer_transform.tools import extract as extracting
from pycytominer_transform.tools import join as joining
from pycytominer_transform.tools import write as writing

if TYPE_CHECKING:
    from pycytominer_transform.common.flow.dask_batch_jobs import DaskCluster
    from pycytominer_transform.common.storage.location import Location

TOOL = "pct-flow"


@dataclass(frozen=True, kw_only=True)
class RunningOptions:
    """How `pct-flow` runs the stages; these options never change the result."""

    runner: Literal["concurrent", "dask", "sequential"] = field(
        default="concurrent",
        metadata=option("threads of this process, Dask workers, or one part after the other (default: %(default)s)"),
    )
    workers: int = field(
        default=0,
        metadata=option(
            "parts to work on at once (default: the processors this process may use)",
            metavar="N", parse=positive,
        ),
    )  # fmt: skip
    dask_scheduler: str = field(
        default="",
        metadata=option("a running Dask scheduler, such as tcp://node7:8786", metavar="ADDRESS"),
    )
    dask_cluster: str = field(
        default="",
        metadata=option(
            "a TOML file that says which batch jobs to submit as Dask workers, such as Slurm's",
            metavar="FILE",
        ),
    )  # fmt: skip
    work_dir: str = field(
        default="",
        metadata=option(
            "where finished parts of an output file lie, so that the same command goes on after a kill (default: a "
            "temporary folder; those of an output folder always lie beside it, in NAME.pct-work)",
            metavar="DIR",
        ),
    )  # fmt: skip
    keep_work: bool = field(default=False, metadata=option("keep the work dir after a successful run"))
    report: str = field(
        default="",
        metadata=option(
            "also write a report on the output: NAME.html, .json, _mqc.json or .parquet, as pct-report does",
            metavar="PATH", recorded=False,
        ),
    )  # fmt: skip
    retries: int = field(
        default=3,
        metadata=option(
            "how often to retry a part after a transient error (default: %(default)s)",
            metavar="N", parse=whole,
        ),
    )  # fmt: skip
    max_failures: int | None = field(
        default=None,
        metadata=option(
            "give up when more than N parts have failed (default: try all)",
            metavar="N", parse=whole,
        ),
    )  # fmt: skip


GROUPS = (
    (DiscoverOptions, discovering.HEADING),
    (extracting.ExtractOptions, extracting.HEADING),
    (joining.JoinOptions, joining.HEADING),
    (writing.WriteOptions, writing.HEADING),
    (RunningOptions, "running"),
    (StorageOptions, STORAGE_HEADING),
)
_OF_ONE_STAGE: dict[type, tuple[str, ...]] = {
    extracting.ExtractOptions: ("source", "shard"), writing.WriteOptions: ("per_table",),
}  # fmt: skip
"""Options that the flow has itself, applies before the stage, or has no use for."""


@dataclass(frozen=True, kw_only=True)
class FlowOptions(RunningOptions):
    """How `pct-flow` runs the stages.

    Attributes
    ----------
    overwrite : bool
        Replace an output that exists.
    discover, extract, join, write
        The options of the stages.
    storage : StorageOptions
        How cloud storage is reached.
    """

    overwrite: bool = False
    discover: DiscoverOptions = field(default_factory=DiscoverOptions)
    extract: extracting.ExtractOptions = field(default_factory=extracting.ExtractOptions)
    join: joining.JoinOptions = field(default_factory=joining.JoinOptions)
    write: writing.WriteOptions = field(default_factory=writing.WriteOptions)
    storage: StorageOptions = field(default_factory=StorageOptions)


def build_parser() -> Parser:
    """Return the parser of `pct-flow`."""
    parser = options_parser()
    parser.add_argument(
        "--config",
        metavar="FILE.toml",
        help="take options from this file, by their names; an option that is typed wins",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    return parser


def options_parser() -> Parser:
    """Return the parser of the options that a Prefect flow takes too."""
    parser = new_parser(
        TOOL, "Convert a source to Parquet or AnnData: the four stages as one Prefect flow.", usage="SOURCE -o PATH",
        lists_presets=True,
        examples=(
            "pct-flow plate -o plate.parquet            one table, with a row per cell",
            "pct-flow plate -o plate.h5ad --workers 8   AnnData, eight parts at once",
            "pct-flow plate -o plate.parquet --dry-run  show what would be done, do nothing",
        ),
        common=(
            "-o", "--overwrite", "--preset", "--unmatched", "--platemap", "--runner", "--workers", "--work-dir",
            "--config", "--dry-run", "-q",
        ),
    )  # fmt: skip
    parser.add_argument("source", metavar="SOURCE", help=SOURCE_HELP)
    add_output(parser, writing.OUTPUT_HELP, required=True)
    for declared, heading in GROUPS[:-1]:
        add_options(parser, declared, heading, without=_OF_ONE_STAGE.get(declared, ()))
    add_general_options(parser)
    return parser


def with_config(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with those of its ``--config`` file before them, so that typed ones win.

    Raises
    ------
    UsageError
        The file cannot be read, is no TOML, or names an option that there is not.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", nargs="?", default="")
    place = finder.parse_known_args(list(words))[0].config
    return [*_words_of_file(place), *words] if place else list(words)


def _words_of_file(place: str) -> list[str]:
    import tomllib

    from pycytominer_transform.common.storage.standard_io import read_small_file

    try:
        options = tomllib.loads(read_small_file(place, what="the settings").decode())
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{place}: the settings are not TOML: {error}") from error
    flags = options_parser().flags - {"--help", "--version"}
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if flag not in flags:
            raise UsageError(f"{place}: {TOOL} has no option {name}{did_you_mean(flag, flags).replace('--', '')}")
        if not isinstance(value, (str, int, float, list)):
            raise UsageError(f"{place}: {name} must be a text, a number, true, false or a list of them")
    return option_words(options)


def parsed(source: str, output: str, options: Mapping[str, Any]) -> argparse.Namespace:
    """Parse options that are given by their names, with the rules of the command line.

    Raises
    ------
    UsageError
        There is no such option, or its value makes no sense.
    """

    def refuse(message: str) -> NoReturn:
        raise UsageError(message)

    parser = options_parser()
    parser.error = refuse  # type: ignore[method-assign]
    return parser.parse_args([f"--output={output}", *option_words(options), "--", source])


def option_words(options: Mapping[str, Any]) -> list[str]:
    """Return options as the words of a command line."""
    words = []
    repeatable = {flag for group, _ in GROUPS for _, flag, declared in declared_options(group) if declared.repeatable}
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, (list, tuple)) and option not in repeatable:
            value = ("/" if option == "--shard" else ",").join(map(str, value))
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            values = value if isinstance(value, (list, tuple)) else [value]
            # A value of pydantic's secret type, which a Prefect server does not show.
            words += [f"{option}={getattr(one, 'get_secret_value', one.__str__)()}" for one in values]
    return words


def chosen_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the flow's options of a command line that differ from the default, as plain values."""
    chosen: dict[str, Any] = {"overwrite": True} if args.overwrite else {}
    for group, _ in GROUPS:
        for name, flag, _ in declared_options(group):
            if name in _OF_ONE_STAGE.get(group, ()):
                continue
            value = getattr(args, name)
            value = tuple(value) if isinstance(value, list) else value
            if value not in (None, getattr(group(), name)):
                chosen[flag.removeprefix("--").replace("-", "_")] = _plain(name, value)
    return chosen


def _plain(name: str, value: Any) -> Any:
    """Return an option's value in a form that fits into JSON and is parsed back to the same value."""
    if name == "client_options":
        from pydantic import SecretStr

        return [SecretStr(f"{key}={text}") for key, text in value]
    return list(value) if isinstance(value, tuple) else value


def flow_options(args: argparse.Namespace) -> FlowOptions:
    """Return the options in parsed arguments."""
    running = options_from(args, RunningOptions)
    return FlowOptions(
        overwrite=args.overwrite,
        discover=options_from(args, DiscoverOptions),
        extract=options_from(args, extracting.ExtractOptions, without=_OF_ONE_STAGE[extracting.ExtractOptions]),
        join=options_from(args, joining.JoinOptions),
        write=options_from(args, writing.WriteOptions, without=_OF_ONE_STAGE[writing.WriteOptions]),
        storage=options_from(args, StorageOptions),
        **{field.name: getattr(running, field.name) for field in fields(running)},
    )


def check_work_place(options: RunningOptions, output: Location) -> None:
    """Check that the work dir is a local folder, and is named where workers on other machines need it.

    Raises
    ------
    UsageError
        The options and the output do not go together.
    """
    if is_cloud(options.work_dir):
        raise UsageError(f"--work-dir {options.work_dir}: must be a folder of this machine, not a place in the cloud")
    elsewhere = options.dask_scheduler or options.dask_cluster
    if elsewhere and not options.work_dir and is_cloud(str(output)):
        raise UsageError(
            "with --dask-scheduler or --dask-cluster and an output in the cloud give --work-dir, a folder that all "
            "workers share"
        )


def workers_and_threads(options: RunningOptions, cluster: DaskCluster | None) -> tuple[int, int]:
    """Return how many parts to work on at once, and how many threads each of them may have.

    Raises
    ------
    UsageError
        The options do not go together.
    """
    if options.dask_scheduler and options.runner != "dask":
        raise UsageError("--dask-scheduler goes with --runner dask")
    if cluster:
        if options.runner != "dask" or options.dask_scheduler or options.workers:
            raise UsageError("--dask-cluster goes with --runner dask, without --dask-scheduler and --workers")
        return cluster.workers, 1
    threads = usable_threads()
    workers = 1 if options.runner == "sequential" else options.workers or threads
    # A Dask worker counts as one processor, since it may be on another machine.
    return workers, 1 if options.runner == "dask" else max(1, threads // workers)
