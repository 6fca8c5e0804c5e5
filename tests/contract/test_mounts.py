"""Folders that cannot be renamed although all lies in one tree: those of an image, below an overlay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from running import STAGES, Staged, entries, run, run_process
from small_disks import digest

OVERLAY = """
mount -t tmpfs tmpfs "$1/layers" && mkdir "$1/layers/upper" "$1/layers/work" || exit 99
mount -t overlay overlay -o "lowerdir=$1/image,upperdir=$1/layers/upper,workdir=$1/layers/work" "$1/seen" || exit 99
folder=$1
shift
"$@"
code=$?
cp -r "$folder/seen" "$folder/after"
exit $code
"""
MADE = {"discover": "manifest.arrow", "extract": "bundle", "join": "profiles", "write": "by-part"}


@pytest.mark.parametrize("there", [False, True], ids=["new", "came with the image"])
@pytest.mark.parametrize("tool", STAGES)
def test_an_output_on_an_overlay(tool: str, there: bool, staged: Staged, tmp_path: Path) -> None:
    if os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("only root can mount an overlay, with unshare")
    for name in ("image", "layers", "seen"):
        (tmp_path / name).mkdir()
    first = [staged.source, "--part-size", "1"] if tool == "discover" else [staged.at_rest(tool)]
    run(tool, *first, "-q", "-o", tmp_path / MADE[tool]).done()
    wanted = digest(tmp_path / MADE[tool])
    old = tmp_path / "image" / MADE[tool]
    if there:
        # Whole, but another one.
        run(tool, *first, "-q", "-o", old).done()
        changed = next(path for path in (old, *old.rglob("*")) if path.is_file())
        changed.write_bytes(changed.read_bytes()[:-1])
    before = ["unshare", "--mount", "sh", "-c", OVERLAY, "sh", str(tmp_path)]
    output = tmp_path / "seen" / MADE[tool]
    ran = run_process(tool, *first, "-q", "-o", output, "--overwrite", before=before)
    if ran.code == 99:
        pytest.skip("an overlay cannot be mounted here")
    after = tmp_path / "after"
    assert entries(after) == {MADE[tool]}
    if there and tool != "discover":
        ran.failed(1, f"cannot replace {output}: ", "remove it first")
        assert digest(after / MADE[tool]) == digest(old)
    else:
        ran.done()
        assert digest(after / MADE[tool]) == wanted
