"""Run the calls of docs/anndata.md as they stand there; for an environment with scanpy, see .ci/ranges.sh.

Give two files of the same source, the second written with ``--obs-names number``:
``python scanpy_calls.py plate.h5ad numbered.h5ad``. What is not installed is passed over and named.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "anndata.md"
NEEDED = {
    "scanpy": ("scanpy", "igraph", "leidenalg"),
    "squidpy and SpatialData": ("squidpy", "spatialdata"),
    "pycytominer": ("pycytominer",),
}


def run_calls(heading: str, files: dict[str, Path]) -> dict[str, Any]:
    """Run the calls below a heading of the page, and return the names that they define."""
    block = re.search(rf"## On to {heading}\n.*?```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block, f"the page has no calls for {heading}"
    code = block[1]
    for name, file in files.items():
        code = code.replace(f'"{name}"', repr(str(file)))
    scope: dict[str, Any] = {}
    exec(code, scope)
    return scope


def check(heading: str, scope: dict[str, Any], file: Path) -> None:
    """Check what the calls have made."""
    import anndata
    import numpy as np

    cells, whole = scope["cells"], anndata.read_h5ad(file)
    if heading == "scanpy":
        assert cells.obsm["X_umap"].shape == (whole.n_obs, 2)
        assert np.isfinite(cells.obsm["X_pca"]).all()
        assert cells.obs["leiden"].notna().all()
    elif heading == "pycytominer":
        assert len(cells) == whole.n_obs
        features, wells = scope["features"], scope["wells"]
        assert features == list(whole.var_names)
        np.testing.assert_array_equal(cells[features].to_numpy(), whole.X)
        expected = cells.groupby(["Metadata_Plate", "Metadata_Well"], observed=True)[features].median()
        np.testing.assert_allclose(wells[features].to_numpy(), expected.to_numpy(), rtol=1e-6)
    else:
        rows, columns = cells.obsp["spatial_connectivities"].nonzero()
        assert len(rows)
        image = cells.obs["image"].to_numpy()
        assert (image[rows] == image[columns]).all()
        assert scope["table"].n_obs == whole.n_obs


if __name__ == "__main__":
    plate, numbered = map(Path, sys.argv[1:])
    for heading, libraries in NEEDED.items():
        if missing := [name for name in libraries if find_spec(name) is None]:
            print(f"not installed: {', '.join(missing)}; the calls for {heading} were not run", file=sys.stderr)
            continue
        check(heading, run_calls(heading, {"plate.h5ad": plate, "numbered.h5ad": numbered}), plate)
        print(f"the calls for {heading} work")
