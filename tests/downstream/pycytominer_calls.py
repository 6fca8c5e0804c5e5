"""Run the calls of docs/pycytominer.md as they stand there; for an environment with pycytominer, see .ci/ranges.sh.

Give pairs of a preset and a Parquet file: ``python pycytominer_calls.py cell_health plate.parquet``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "pycytominer.md"


def calls_of(preset: str) -> list[str]:
    """Take a preset's calls out of the page."""
    text = PAGE.read_text()
    row = re.search(rf"^\| `{preset}` \| `(.+?)` \| `(.+?)` \|$", text, re.MULTILINE)
    return [*row.groups()] if row else []


def check(preset: str, file: Path) -> None:
    """Run a preset's calls and compare the medians with those that pandas takes."""
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

    scope: dict[str, Any] = {}
    block = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block
    exec(block[1].replace('"plate.parquet"', repr(str(file))), scope)
    calls = calls_of(preset)
    assert calls, f"the page has no calls for {preset}"
    for call in calls:
        exec(call, scope)
    wells, cells = scope["wells"], scope["cells"]
    keys = [name for name in wells if name.endswith(("Metadata_Plate", "Metadata_Well"))]
    assert len(keys) == 2
    features = [name for name in wells if name not in keys]
    assert features
    expected = cells.groupby(keys)[features].median().reset_index()
    pd.testing.assert_frame_equal(wells[[*keys, *features]], expected, check_dtype=False)
    assert len(scope["normalized"]) == len(wells)
    assert [name for name in scope["normalized"] if name not in keys] == features


if __name__ == "__main__":
    for preset, file in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        check(preset, Path(file))
        print(f"pycytominer's calls for {preset} work")
