"""The presets can be listed, and each printed as a file to start one's own from."""

from __future__ import annotations

from pathlib import Path

import pytest
from pycytominer_transform.common.model.preset import load_preset, packaged_presets, preset_names
from pycytominer_transform.tools import discover


def test_presets_are_listed_with_their_titles(capsys: pytest.CaptureFixture[str]) -> None:
    assert discover.main(["--list-presets"]) == 0
    said = capsys.readouterr()
    lines = [line.split(maxsplit=1) for line in said.out.splitlines()]
    assert lines == [[preset.name, preset.title] for preset in packaged_presets()]
    assert said.err == ""


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_that_is_shown_is_one_to_start_from(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert discover.main(["--show-preset", name]) == 0
    own = tmp_path / "own.toml"
    own.write_text(capsys.readouterr().out)
    assert load_preset(str(own)) == load_preset(name)


@pytest.mark.parametrize("name", ["nothing", "../presets/cellprofiler_csv", "", "/etc/passwd"])
def test_only_presets_of_the_package_are_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert discover.main(["--show-preset", name]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert f"no preset is named {name!r}; there are {preset_names()[0]}, " in said.err


@pytest.mark.parametrize("arguments", [["--preset", "in_cart", "."], ["--show-preset", "in_cart"]])
def test_a_misspelled_preset_is_answered_by_the_nearest(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert discover.main(arguments) == 2
    assert "did you mean in_carta?" in capsys.readouterr().err
