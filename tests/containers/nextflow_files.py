"""Reading Nextflow's files without Nextflow: the sections of a process, and what Groovy makes of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from engines import CONTAINERS, PATIENCE

__all__ = ["NEXTFLOW", "SECTIONS", "Block", "Module", "Task", "evaluate", "module"]

NEXTFLOW = CONTAINERS / "nextflow"
SECTIONS = ("input", "output", "when", "script", "stub")
_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Module:
    """One module's main.nf."""

    text: str

    @cached_property
    def name(self) -> str:
        (name,) = re.findall(r"^process (\w+) \{$", self.text, re.MULTILINE)
        return str(name)

    @cached_property
    def sections(self) -> dict[str, str]:
        """What stands below each section's name; ``directives`` is what stands before the first."""
        body = self.text[self.text.index("{\n") + 2 : self.text.rindex("}")]
        pieces = re.split(r"^ {4}(\w+):$", body, flags=re.MULTILINE)
        return dict(zip(["directives", *pieces[1::2]], pieces[::2], strict=True))

    def directive(self, name: str) -> str:
        """Give the text of a directive, such as ``container``."""
        (text,) = re.findall(rf"""^ {{4}}{name} (['"])(.*)\1$""", self.sections["directives"], re.MULTILINE)
        return str(text[1])

    def faults(self) -> list[str]:
        """List what is wrong with the sections' names: a misspelt one is a statement to other readers."""
        found = tuple(name for name in self.sections if name != "directives")
        return [] if found == SECTIONS else [f"{self.name} has the sections {', '.join(found)}"]


def module(name: str) -> Module:
    """Read a module by its folder's name."""
    (path,) = NEXTFLOW.glob(f"modules/*/{name}/main.nf")
    return Module(path.read_text())


@dataclass(frozen=True)
class Task:
    """A process with the inputs of one task: names as they are staged, and values."""

    stage: str
    inputs: Mapping[str, Any]
    block: str = "script"
    ext: Mapping[str, str] = field(default_factory=dict)

    def request(self) -> dict[str, Any]:
        """Give it as nextflow_blocks.groovy takes it."""
        own = module(self.stage)
        words = {"process": own.name, "label": own.directive("label"), "tag": own.directive("tag")}
        given = {"inputs": self.inputs, "block": self.block, "ext": self.ext, "sections": own.sections}
        return words | given


@dataclass(frozen=True)
class Block:
    """What Groovy made of a task: the bash script, the declared names and patterns, and the settings of its process.

    `memory` is in mebibytes; `shell` are the words that run the script, `commands` those whose output is an output.
    """

    bash: str
    inputs: list[str]
    patterns: list[str]
    emits: list[str]
    commands: list[str]
    when: bool
    tag: str
    cpus: int
    memory: int
    shell: list[str]


def evaluate(tasks: Sequence[Task], files: Sequence[Path] = ()) -> list[Block]:
    """Have Groovy evaluate tasks and parse files; the test is skipped where there is no Groovy."""
    java, groovy = shutil.which("java"), shutil.which("groovy")
    if not java or not groovy:
        pytest.skip("groovy is not there: apt-get install groovy default-jre-headless")
    home = Path(java).resolve().parent.parent
    request: dict[str, Any] = {"config": str(NEXTFLOW / "nextflow.config"), "tasks": [task.request() for task in tasks]}
    request["files"] = [str(file) for file in files]
    ended = subprocess.run(
        [groovy, str(_HERE / "nextflow_blocks.groovy")], input=json.dumps(request), capture_output=True, text=True,
        env={**os.environ, "JAVA_HOME": str(home)}, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return [Block(**answer) for answer in json.loads(ended.stdout)]
