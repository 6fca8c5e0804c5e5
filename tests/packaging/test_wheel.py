"""The wheel holds every module, preset and marker of types, and nothing else of the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "pycytominer_transform"


def files_of_the_package() -> set[str]:
    """List what lies in the packages' folders, as it is named in the wheel; all of it belongs there."""
    return {
        # common/api is what `import pycytominer_transform` gives.
        f"{PACKAGE}/{path.relative_to(ROOT).as_posix()}".replace("common/api/", "")
        for folder in ("common", "tools")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }


def test_every_folder_with_modules_is_a_listed_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {str(Path(name).parent).replace("/", ".") for name in files_of_the_package()}
    assert set(settings["packages"]) == folders


@pytest.mark.endurance
@pytest.mark.slow
def test_the_wheel_holds_every_module_and_all_that_goes_with_them(tmp_path: Path) -> None:
    # Built from a copy, since setuptools leaves things behind in the folder that it builds in.
    copy = tmp_path / "copy"
    for name in ("common", "tools", "docs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(copy)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    if done.returncode and "for setuptools" in done.stderr:
        pytest.skip(f"the build's own setuptools cannot be had here: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not re.search(r"\.(dist-info|data)/", name)}
        manuals = {name.rpartition("/")[2] for name in archive.namelist() if ".data/data/share/man/man1/" in name}
        (entries,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        commands = archive.read(entries).decode()
    assert names == files_of_the_package()
    assert manuals == {path.name for path in (ROOT / "docs" / "man").iterdir()}
    assert [f"pct-{name}" in commands for name in ("discover", "extract", "join", "write", "report", "flow")] == [
        True
    ] * 6
