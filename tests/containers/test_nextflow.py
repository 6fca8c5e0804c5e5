"""Nextflow's files, without Nextflow: parsed by reftrace and by Groovy, and each script block run by bash.

What only Nextflow does, channels above all, is not run here; containers/nextflow/README.md says so.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from converting import Convert, Options
from engines import DEMO, ROOT, STAGES, run
from images import docker, need_images
from nextflow_files import NEXTFLOW, Block, Module, Task, evaluate, module

pytestmark = pytest.mark.containers

META = {"id": "demo"}
INPUTS: dict[str, dict[str, Any]] = {
    "discover": {"meta": META, "source": "plate"},
    "extract": {"meta": META, "manifest": "demo.manifest.arrow", "source": "plate", "shard": "1/2"},
    "join": {"meta": META, "bundle": "demo.bundle"},
    "write": {"meta": META, "profiles": "1/demo.profiles 2/demo.profiles"},
}
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
        process = module(stage).name
        assert (work / "versions.yml").read_text() == f'"{process}":\n    pct-{stage}: {VERSION}\n'
        return work

    def _before(self, stage: str, block: Block, work: Path) -> list[str]:
        if not self.docker:
            return []
        user = 12345 if os.geteuid() == 0 else os.geteuid()
        places = ["-v", f"{self.folder}:{self.folder}", "-v", f"{DEMO}:{DEMO}:ro", "-w", str(work)]
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


def test_the_stub_blocks_make_what_is_declared(runner: Runner) -> None:
    blocks = evaluate([Task(stage, INPUTS[stage], "stub", {"prefix": "other"}) for stage in STAGES])
    for stage, block in zip(STAGES, blocks, strict=True):
        assert block.patterns[0].startswith("other.")
        runner(stage, block, {})


def test_settings_become_options() -> None:
    blocks = evaluate([Task(stage, INPUTS[stage], ext={"args": "--more"}) for stage in STAGES])
    said = {
        stage: " ".join(block.bash.replace("\\\n", " ").split()) for stage, block in zip(STAGES, blocks, strict=True)
    }
    assert all(
        f" --more --output {block.patterns[0]} " in said[stage] for stage, block in zip(said, blocks, strict=True)
    )
    assert f"--threads {blocks[1].cpus} " in said["extract"]
    assert f"--threads {blocks[2].cpus} --memory {blocks[2].memory // 2}MiB " in said["join"]
    assert all(block.when for block in blocks)
    assert [block.tag for block in blocks] == ["demo", "demo 1/2", "demo", "demo"]


def test_a_process_may_be_switched_off() -> None:
    (block,) = evaluate([Task("join", INPUTS["join"], ext={"when": ""})])
    assert not block.when


def test_meta_yml_describes_the_inputs_and_outputs() -> None:
    yaml = pytest.importorskip("yaml")
    for stage, block in zip(STAGES, evaluate([Task(stage, INPUTS[stage]) for stage in STAGES]), strict=True):
        described = yaml.safe_load((NEXTFLOW / "modules" / "pct" / stage / "meta.yml").read_text())
        assert described["name"] == f"pct_{stage}"
        assert [name for member in described["input"][0] for name in member] == block.inputs
        assert list(described["output"]) == block.emits
        (members,) = described["output"][block.emits[0]]
        assert [name for member in members for name in member][1].replace("${prefix}", "demo") == block.patterns[0]


def test_the_workflow_uses_what_the_modules_give() -> None:
    text = (NEXTFLOW / "main.nf").read_text()
    files = [NEXTFLOW / "main.nf", *(NEXTFLOW / "modules" / "pct" / stage / "main.nf" for stage in STAGES)]
    blocks = evaluate([Task(stage, INPUTS[stage]) for stage in STAGES], files)
    emits = {module(stage).name: block.emits for stage, block in zip(STAGES, blocks, strict=True)}
    included = re.findall(r"^include \{ (\w+) \} from '\./(.*)'$", text, re.MULTILINE)
    assert included == [(module(stage).name, f"modules/pct/{stage}/main") for stage in STAGES]
    used = set(re.findall(r"\b(PCT_\w+)\.out\.(\w+)", text))
    assert {process for process, _ in used} == set(emits)
    assert all(output in emits[process] for process, output in used)
    assert set(re.findall(r"params\.(\w+)", text)) <= set(
        re.findall(r"^ {4}(\w+) = ", (NEXTFLOW / "nextflow.config").read_text().split("}")[0], re.MULTILINE)
    )


@pytest.mark.parametrize("stage", STAGES)
def test_modules_are_read_by_reftrace(stage: str) -> None:
    parsed = _parsed(NEXTFLOW / "modules" / "pct" / stage / "main.nf")
    (process,) = parsed.processes
    assert process.name == f"PCT_{stage.upper()}"
    assert [label.value for label in process.labels] in (["process_single"], ["process_medium"])
    assert [container.simple_name for container in process.containers] == [f"pct-{stage}:{VERSION}"]
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
    assert len(parsed.includes) == len(STAGES)


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
