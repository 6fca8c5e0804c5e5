"""CytoTable in a virtual environment of its own, with all it would otherwise download put in place before it starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench_measure import Case

__all__ = ["Peer", "install_peer"]

PACKAGES = (
    "cytotable==1.2.6",
    "duckdb==1.5.5",
    "duckdb-extension-sqlite-scanner==1.5.5",
    "duckdb-extension-httpfs==1.5.5",
)
PROGRAM = Path(__file__).with_name("bench_cytotable.py")

# Where DuckDB looks for extensions below the home, and where the PyPI packages keep them.
_PUT_EXTENSIONS = """
import duckdb, duckdb_extension_httpfs, duckdb_extension_sqlite_scanner, pathlib, shutil, sys
connection = duckdb.connect()
version, platform = duckdb.__version__, connection.execute("PRAGMA platform").fetchone()[0]
place = pathlib.Path(sys.argv[1], ".duckdb", "extensions", f"v{version}", platform)
place.mkdir(parents=True, exist_ok=True)
for package in (duckdb_extension_httpfs, duckdb_extension_sqlite_scanner):
    for file in pathlib.Path(package.__file__).parent.rglob("*.duckdb_extension"):
        shutil.copy(file, place)
for name in ("sqlite_scanner", "httpfs"):
    connection.execute(f"LOAD {name}")
"""


@dataclass(frozen=True)
class Peer:
    """Where the peer is installed; its home holds DuckDB's extensions."""

    place: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.place / "venv" / "bin" / "python"

    @property
    def environment(self) -> dict[str, str]:
        """Variables it runs with; its worker processes are found by PATH."""
        path = f"{self.python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return {"HOME": str(self.place / "home"), "PATH": path}

    def case(self, source: Path, out: Path, kind: str, most_runs: int) -> Case:
        """Give the conversion of a source as a case to time."""
        command = [str(self.python), str(PROGRAM), str(source), str(out), kind]
        return Case("CytoTable 1.2.6", command, out, self.environment, folder=self.place, most_runs=most_runs)


def install_peer(place: Path) -> Peer:
    """Install the peer below a folder, unless it is there already; needs a package index but no other network.

    Raises
    ------
    subprocess.CalledProcessError
        The installation failed; what it said is on stderr.
    """
    peer = Peer(place.absolute())
    done = peer.place / "installed"
    if done.exists() and done.read_text().split() == list(PACKAGES):
        return peer
    shutil.rmtree(peer.place, ignore_errors=True)
    (peer.place / "home").mkdir(parents=True)
    print(f"installing {PACKAGES[0]} into {peer.place}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", peer.place / "venv"], check=True)
    install = [str(peer.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
    subprocess.run(install, check=True, stdout=sys.stderr)
    environment = {**os.environ, **peer.environment}
    subprocess.run([peer.python, "-c", _PUT_EXTENSIONS, peer.place / "home"], check=True, env=environment)
    done.write_text("\n".join(PACKAGES))
    return peer
