"""Judges Nextflow modules by the rules of nf-core's tools, whose Python runs this: `nfcore_rules.py MODULES [SCHEMAS]`.

MODULES is a folder of modules, TOOL/SUBTOOL/, in one that is named as an organisation. SCHEMAS is the folder `modules`
of a clone of nf-core/modules, with the schemas of meta.yml and environment.yml; without it those two are not applied.
Rules that ask Nextflow or a server are left out. Prints the rules that were kept and those that were not as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

from nf_core.components.nfcore_component import NFCoreComponent
from nf_core.modules.lint import ModuleLint

# They ask `nextflow inspect`.
NEED_NEXTFLOW = {"singularity_tag", "docker_tag", "oras_singularity_tag"}


def judge(module: NFCoreComponent, schemas: Path) -> None:
    """Apply the rules; the module notes what they find."""
    lint = ModuleLint.__new__(ModuleLint)
    lint.meta_schema = json.loads((schemas / "meta-schema.json").read_text())
    lint.modules_repo = SimpleNamespace(local_repo_dir=schemas.parent, repo_path=module.org)
    module.get_container_with_inspect = lambda profile=None: None
    module.get_inputs_from_main_nf()
    module.get_outputs_from_main_nf()
    module.get_topics_from_main_nf()
    lint.main_nf(module, False, (), None)
    lint.meta_yml(module)
    lint.environment_yml(module, fix_version=False, progress_bar=None)
    lint.module_tests(module)
    lint.module_todos(module)


def main() -> int:
    """Print what each module keeps and breaks."""
    modules = Path(sys.argv[1]).resolve()
    found: dict[str, list[str]] = {"passed": [], "warned": [], "failed": []}
    with tempfile.TemporaryDirectory() as scratch:
        schemas = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(scratch, "modules")
        if len(sys.argv) == 2:
            schemas.mkdir()
            for name in ("meta-schema.json", "environment-schema.json"):
                (schemas / name).write_text("{}")
        for path in sorted(modules.glob("*/*/main.nf")):
            name = str(path.parent.relative_to(modules))
            module = NFCoreComponent(name, None, path.parent, "modules", modules.parent.parent, "modules")
            judge(module, schemas)
            for kind, lines in found.items():
                rules = getattr(module, kind)
                lines += [f"{name}: {rule[1]}: {rule[2]}" for rule in rules if rule[1] not in NEED_NEXTFLOW]
    json.dump(found, sys.stdout, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
