"""What the code imports is what pyproject.toml says that it needs."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Declared libraries need these: Prefect its server, prefect-dask Dask, the object stores their clients, AnnData pandas.
BROUGHT = {
    "aiohttp", "anyio", "dask", "distributed", "fsspec", "httpx", "pydantic", "sqlalchemy", "starlette", "uvicorn",
    "botocore", "google-api-core", "google-auth", "google-cloud-storage", "azure-core", "requests", "pandas",
}  # fmt: skip


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> Iterator[str]:
    """Yield the top-level names that the package imports."""
    for folder in ("common", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    yield from (alias.name.partition(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    yield node.module.partition(".")[0]


def test_every_imported_library_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *extras["anndata"], *extras["azure"], *extras["slurm"]]
    names = {normalized(re.match(r"[\w.-]+", line)[0]) for line in declared}  # type: ignore[index]
    distributions = packages_distributions()
    own = {"pycytominer_transform", "_typeshed", *sys.stdlib_module_names}
    missing = {
        name
        for name in set(imported()) - own
        if not {normalized(one) for one in distributions.get(name, [name])} & (names | BROUGHT)
    }
    assert not missing
