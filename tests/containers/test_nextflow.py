"""Nextflow's files, without Nextflow: parsed by reftrace and by Groovy, and each script block run by bash.

What only Nextflow does, channels above all, is not run here; containers/nextflow/README.md says so.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from converting import Convert, Options
from engines import DEMO, NF_CORE, ROOT, STAGES, run
from images import docker, need_images
from nextflow_files import NEXTFLOW, Block, Module, Task, evaluate, module

pytestmark = pytest.mark.containers

META = {"id": "demo"}
# An empty list is what a process gets where a file is left out.
INPUTS: dict[str, dict[str, Any]] = {
    "discover": {"meta": META, "source": "plate", "preset": []},
    "extract": {"meta": META, "manifest": "demo.manifest.arrow", "source": "plate", "shard": "1/2"},
    "join": {"meta": META, "bundle": "demo.bundle", "platemap": [], "sql": []},
    "write": {"meta": META, "profiles": "1/demo.profiles 2/demo.profiles"},
    "report": {"meta": META, "parquet": "demo.parquet"},
}
MODULES = tuple(INPUTS)
PLATE = {"batch": "batch1", "plate": "demo"}
PLATEMAP = "Well,Metadata_Dose\nA01,1\nA02,2\nA03,3\n"
SQL = "SELECT * FROM cells"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@dataclass
class Runner:
    """Runs blocks as Nextflow does: in a folder of their own, inputs staged there as links, by the process's shell."""

    folder: Path
    docker: bool
    tasks: list[Path] = field(default_factory=list)

    def __call__(self, stage: str, block: Block, staged: dict[str, Path]) -> Path:
        """Run a block and give its folder; `staged` says by the inputs' names what they are links to."""
        work = self.folder / f"{len(self.tasks):02d}"
        self.tasks.append(work)
        work.mkdir()
        for name, target in staged.items():
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).symlink_to(target)
        (work / ".command.sh").write_text(block.bash)
        if os.geteuid() == 0:
            # Root would not notice what another user may not do.
            for place in (work, *work.iterdir()):
                os.chown(place, 12345, 12345, follow_symlinks=False)
        ended = run([*self._before(stage, block, work), *block.shell, ".command.sh"], work)
        assert ended.returncode == 0, ended.stdout
        for pattern in block.patterns:
            assert list(work.glob(pattern)), f"{pattern} is not there: {sorted(work.iterdir())}"
        for command in block.commands:
            said = run([*self._before(stage, block, work), *block.shell, "-c", command], work)
            assert (said.returncode, said.stdout) == (0, f"{VERSION}\n")
        return work

    def _before(self, stage: str, block: Block, work: Path) -> list[str]:
        if not self.docker:
            return []
        user = 12345 if os.geteuid() == 0 else os.geteuid()
        places = ["-v", f"{self.folder}:{self.folder}", "-v", f"{DEMO.parent}:{DEMO.parent}:ro", "-w", str(work)]
        limits = ["--cpus", str(block.cpus), "--memory", f"{block.memory}m", "-u", f"{user}:{user}"]
        return [docker(), "run", "--rm", "-i", *limits, *places, module(stage).directive("container")]


@pytest.fixture(params=["executables", "docker"])
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Runner:
    """Give what runs blocks, in one way or the other."""
    if request.param == "docker":
        need_images()
    # As a work folder is; pytest's own are for their owner alone.
    tmp_path.chmod(0o755)
    return Runner(tmp_path, request.param == "docker")


def test_the_script_blocks_give_what_the_pipe_gives(runner: Runner, convert: Convert) -> None:
    shards = [{**INPUTS["extract"], "shard": shard} for shard in ("1/2", "2/2")]
    keep = {"args": "--unmatched keep"}
    discover, first, second, join, write = evaluate(
        [
            Task("discover", INPUTS["discover"], ext={"args": "--part-size 1"}),
            *(Task("extract", inputs) for inputs in shards),
            Task("join", INPUTS["join"], ext=keep),
            Task("write", INPUTS["write"]),
        ]
    )
    manifest = runner("discover", discover, {"plate": DEMO}) / "demo.manifest.arrow"
    profiles: dict[str, Path] = {}
    for number, extract in enumerate((first, second), start=1):
        work = runner("extract", extract, {"plate": DEMO, "demo.manifest.arrow": manifest})
        work = runner("join", join, {"demo.bundle": work / "demo.bundle"})
        profiles[f"{number}/demo.profiles"] = work / "demo.profiles"
    made = runner("write", write, profiles) / "demo.parquet"
    wanted = convert(DEMO, "pipe", Options(discover=["--part-size", "1"], join=["--unmatched", "keep"]))
    assert made.read_bytes() == wanted.read_bytes()
    (report,) = evaluate([Task("report", INPUTS["report"])])
    work = runner("report", report, {"demo.parquet": made})
    assert (work / "demo.html").stat().st_size
    assert len(list(work.glob("demo*_mqc.json"))) == 3


def test_files_that_are_staged_are_taken(runner: Runner, tmp_path: Path, convert: Convert) -> None:
    files = {"own.toml": _preset("own"), "dose.csv": PLATEMAP, "own.sql": SQL}
    staged = {name: _written(tmp_path / name, text) for name, text in files.items()}
    shard = {**INPUTS["extract"], "shard": "1/1"}
    discover, extract, mapped, queried, write = evaluate(
        [
            Task("discover", {**INPUTS["discover"], "preset": "own.toml"}),
            Task("extract", shard),
            Task("join", {**INPUTS["join"], "platemap": "dose.csv"}),
            Task("join", {**INPUTS["join"], "sql": "own.sql"}),
            Task("write", {**INPUTS["write"], "profiles": "1/demo.profiles"}),
        ]
    )
    work = runner("discover", discover, {"plate": DEMO, "own.toml": staged["own.toml"]})
    work = runner("extract", extract, {"plate": DEMO, "demo.manifest.arrow": work / "demo.manifest.arrow"})
    bundle = {"demo.bundle": work / "demo.bundle"}
    for block, option, name in ((mapped, "--platemap", "dose.csv"), (queried, "--sql", "own.sql")):
        profiles = runner("join", block, {**bundle, name: staged[name]}) / "demo.profiles"
        made = runner("write", write, {"1/demo.profiles": profiles}) / "demo.parquet"
        options = Options(discover=["--preset", str(staged["own.toml"])], join=[option, str(staged[name])])
        # Not byte for byte: the provenance names the files where they were given.
        assert pq.read_table(made).equals(pq.read_table(convert(DEMO, "pipe", options)))


def test_cytotable_makes_the_plate_of_numbered_folders(runner: Runner, convert: Convert) -> None:
    sites = sorted(path for path in (DEMO / "BR00117001").iterdir() if path.is_dir())
    staged = {f"analyses/{number}": site for number, site in enumerate(sites, start=1)}
    inputs = {"meta": PLATE, "cellprofiler_output_dirs": " ".join(staged)}
    keep, stub = evaluate(
        [Task("cytotable", inputs, ext={"args3": "--unmatched keep"}), Task("cytotable", inputs, "stub")]
    )
    work = runner("cytotable", keep, staged)
    wanted = convert(DEMO, "pipe", Options(join=["--unmatched", "keep"]))
    # Only the folder's name, and what is made of it, is another one.
    assert _without_places(work / "batch1_demo.parquet").equals(_without_places(wanted))
    assert (keep.patterns, keep.emits) == (["*.parquet"], [])
    assert (runner("cytotable", stub, {}) / "batch1_demo.parquet").exists()


def test_the_stub_blocks_make_what_is_declared(runner: Runner) -> None:
    blocks = evaluate([Task(stage, INPUTS[stage], "stub", {"prefix": "other"}) for stage in MODULES])
    for stage, block in zip(MODULES, blocks, strict=True):
        assert block.patterns[0].startswith("other.")
        runner(stage, block, {})


def test_settings_become_options() -> None:
    blocks = evaluate([Task(stage, INPUTS[stage], ext={"args": "--more"}) for stage in STAGES])
    said = {
        stage: " ".join(block.bash.replace("\\\n", " ").split()) for stage, block in zip(STAGES, blocks, strict=True)
    }
    assert all(
        said[stage].endswith(f" --more --output {block.patterns[0]}") for stage, block in zip(said, blocks, strict=True)
    )
    assert not any(" [] " in words for words in said.values())
    assert f"--threads {blocks[1].cpus} " in said["extract"]
    assert f"--threads {blocks[2].cpus} --memory {blocks[2].memory // 2}MiB " in said["join"]
    assert all(block.when for block in blocks)
    assert [block.tag for block in blocks] == ["demo", "demo 1/2", "demo", "demo"]


def test_a_process_may_be_switched_off() -> None:
    (block,) = evaluate([Task("join", INPUTS["join"], ext={"when": ""})])
    assert not block.when


def test_the_workflow_uses_what_the_modules_give() -> None:
    text = (NEXTFLOW / "main.nf").read_text()
    files = [NEXTFLOW / "main.nf", NEXTFLOW / "nf-test.config", *NEXTFLOW.glob("modules/**/main.nf*")]
    blocks = evaluate([Task(stage, INPUTS[stage]) for stage in MODULES], files)
    emits = {module(stage).name: block.emits for stage, block in zip(MODULES, blocks, strict=True)}
    included = re.findall(r"^include \{ (\w+) \} from '\./(.*)'$", text, re.MULTILINE)
    assert included == [(module(stage).name, f"modules/pct/{stage}/main") for stage in MODULES]
    used = set(re.findall(r"\b(PCT_\w+)\.out\.(\w+)", text))
    assert {process for process, _ in used} == set(emits) - {"PCT_REPORT"}
    assert all(output in emits[process] for process, output in used)
    settings = (NEXTFLOW / "nextflow.config").read_text().partition("params {")[2].partition("}")[0]
    assert set(re.findall(r"params\.(\w+)", text)) <= set(re.findall(r"^ {4}(\w+) = ", settings, re.MULTILINE))


def test_the_samplesheet_has_the_columns_that_the_workflow_reads() -> None:
    header = (NEXTFLOW / "samplesheet.csv").read_text().splitlines()[0].split(",")
    assert header == ["plate", "source", "platemap"]
    assert set(re.findall(r"\brow\.(\w+)", (NEXTFLOW / "main.nf").read_text())) == set(header)


def test_the_modules_keep_the_rules_of_nf_core(tmp_path: Path) -> None:
    if not NF_CORE.exists():
        pytest.skip("nf-core's tools are not there: make test-containers installs them")
    # As in a pipeline of one's own, where modules of an organisation lie in a folder of its name.
    modules = tmp_path / "modules" / "local"
    shutil.copytree(NEXTFLOW / "modules" / "pct", modules / "pct")
    judged = run([NF_CORE, Path(__file__).with_name("nfcore_rules.py"), modules], tmp_path)
    assert judged.returncode == 0, judged.stdout
    found = json.loads(judged.stdout[judged.stdout.index("{") :])
    assert (found["failed"], found["warned"]) == ([], [])
    assert {line.split(":")[0] for line in found["passed"]} == {f"pct/{stage}" for stage in MODULES}


@pytest.mark.parametrize("stage", MODULES)
def test_modules_are_read_by_reftrace(stage: str) -> None:
    parsed = _parsed(NEXTFLOW / "modules" / "pct" / stage / "main.nf")
    (process,) = parsed.processes
    assert process.name == f"PCT_{stage.upper()}"
    assert [label.value for label in process.labels] in (["process_single"], ["process_medium"])
    image = "flow" if stage == "report" else stage
    assert [container.simple_name for container in process.containers] == [f"pct-{image}:{VERSION}"]
    assert module(stage).faults() == []
    environment = (NEXTFLOW / "modules" / "pct" / stage / "environment.yml").read_text()
    assert f"pycytominer-transform=={VERSION}" in environment


def test_faults_in_a_module_are_noticed(tmp_path: Path) -> None:
    text = module("join").text
    broken = _written(tmp_path / "broken.nf", text.replace("output:", "output: ("))
    assert _faults_by_reftrace(broken)
    misspelt = text.replace("script:", "scirpt:")
    assert not _faults_by_reftrace(_written(tmp_path / "misspelt.nf", misspelt))
    assert Module(misspelt).faults() == ["PCT_JOIN has the sections input, output, when, scirpt, stub"]


def test_the_workflow_is_read_by_reftrace() -> None:
    parsed = _parsed(NEXTFLOW / "main.nf")
    assert len(parsed.workflows) == 1
    assert len(parsed.includes) == len(MODULES)


def _without_places(path: Path) -> Any:
    table = pq.read_table(path).drop_columns(["Metadata_Dataset", "Metadata_TableNumber"])
    return table.replace_schema_metadata().sort_by("Metadata_CellID")


def _preset(name: str) -> str:
    """Give the text of a preset of one's own."""
    shown = run(["pct-discover", "--show-preset", "cellprofiler_csv"], ROOT)
    return shown.stdout.replace('name = "cellprofiler_csv"', f'name = "{name}"')


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _parsed(path: Path) -> Any:
    parsed = pytest.importorskip("reftrace").Module.from_file(str(path))
    assert hasattr(parsed, "processes"), parsed
    return parsed


def _faults_by_reftrace(path: Path) -> Sequence[str]:
    parsed = pytest.importorskip("reftrace").Module.from_file(str(path))
    return [] if hasattr(parsed, "processes") else [str(parsed)]
