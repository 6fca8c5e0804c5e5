"""A short run of the fuzzer, the same inputs every time; `make fuzz` runs it for long and with new ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from run import TARGETS, examine, main

INPUTS = 40


@pytest.mark.parametrize("target", TARGETS)
def test_odd_and_spoilt_inputs_end_well(target: str, tmp_path: Path) -> None:
    found = {
        number: complaints
        for number in range(INPUTS)
        if (complaints := examine(target, f"test/{number}", tmp_path / "case"))
    }
    assert found == {}


def test_a_campaign_keeps_what_it_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["npz", "--seconds", "3", "--findings", str(tmp_path / "found")]) == 0
    assert "npz: " in capsys.readouterr().out
    assert (tmp_path / "found" / "campaigns.jsonl").read_text().count("\n") == 1
