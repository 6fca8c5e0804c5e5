"""Check what must be right before a release, as far as that goes without network; for `make release-check`."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*words: object, where: Path = ROOT) -> str:
    """Run a command and return what it prints; end with its messages if it fails."""
    ran = subprocess.run([str(word) for word in words], cwd=where, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def faults() -> Iterator[str]:
    """Yield what is not ready in the files."""
    version = PROJECT["version"]
    changes = (ROOT / "CHANGELOG.md").read_text()
    if not re.search(rf"(?m)^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", changes):
        yield f"CHANGELOG.md has no section '## {version} (YYYY-MM-DD)'"
    for name, address in PROJECT["urls"].items():
        if "example.org" in address:
            yield f"pyproject.toml: {name} has a reserved address, {address}"
    if run("git", "status", "--porcelain"):
        yield "there are changes that are not committed"
    tags = run("git", "tag", "--list", f"v{version}").split()
    if tags and run("git", "rev-list", "-n", "1", tags[0]) != run("git", "rev-parse", "HEAD"):
        yield f"the tag {tags[0]} is another commit"


def check_packages(scratch: Path) -> None:
    """Build the sdist, and the wheel of it, of the last commit; check both, and start the tools of the wheel."""
    archive = scratch / "tree.tar"
    run("git", "archive", "--output", archive, "HEAD")
    with tarfile.open(archive) as tar:
        tar.extractall(scratch / "tree", filter="data")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", scratch / "dist", where=scratch / "tree")
    files = sorted((scratch / "dist").iterdir())
    run(sys.executable, "-m", "twine", "check", "--strict", *files)
    (wheel,) = (file for file in files if file.suffix == ".whl")
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", scratch / "installed", wheel)
    assert {page.name for page in (scratch / "installed" / "share" / "man" / "man1").iterdir()} >= {"pct.1"}
    print(*(f"{file.name}: {file.stat().st_size / 1e3:.0f} kB" for file in files), sep="\n")


def main() -> int:
    """Print what is not ready and return 1, or return 0."""
    with tempfile.TemporaryDirectory() as scratch:
        check_packages(Path(scratch))
    found = [*faults()]
    for fault in found:
        print(f"not ready: {fault}", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
