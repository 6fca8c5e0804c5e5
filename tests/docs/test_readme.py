"""README.md is what the tools say: option tables, the preset to start from, and the outputs of its examples."""

from __future__ import annotations

import readme


def test_readme_is_what_the_tools_say() -> None:
    assert readme.main([]) == 0
