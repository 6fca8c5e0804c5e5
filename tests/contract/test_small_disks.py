"""A disk that is full at any point: one line says where, nothing is half-made, and with room again the job is done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from plates import Plate, write_csv
from running import STAGES, Staged, environment, run, stage
from small_disks import PAGE, Asked, Told, digest

pytestmark = pytest.mark.endurance

HERE = Path(__file__).parent
STEPS = 12
FLOW_STEPS = 8
NO_SPACE = "No space left on device"
FLOW = ["--part-size", "1", "--runner", "sequential"]
MADE = {"discover": "manifest.arrow", "extract": "bundle", "join": "profiles", "write": "made.parquet"}

Try = Callable[..., list[tuple[int, Told, Told | None]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Staged:
    """Give a source of three parts and what each stage makes of it."""
    folder = tmp_path_factory.mktemp("made")
    staged = stage(write_csv(Plate(folders=3, cells=30, features=40), folder / "plate"), folder)
    run("write", staged.at_rest("write"), "-o", folder / MADE["write"]).done()
    return staged


@pytest.fixture
def attempt(tmp_path: Path) -> Try:
    """Give a function that runs a tool with less and less room; see `small_disks`."""
    if os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("only root can mount a small disk, with unshare")
    mount = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    (tmp_path / "disk").mkdir()

    def attempt(
        tool: str, *words: object, output: Path, rooms: Sequence[int], old: str = "", files: int = 0, tmp: str = "tmp"
    ) -> list[tuple[int, Told, Told | None]]:
        asked = Asked(
            tool=tool, words=[*map(str, words), "-o", str(output)], disk=str(tmp_path / "disk"), output=str(output),
            old=old, rooms=rooms, files=files, tmp=str(tmp_path / tmp),
        )  # fmt: skip
        path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
        ended = subprocess.run(
            ["unshare", "--mount", sys.executable, str(HERE / "small_disks.py")], input=json.dumps(asdict(asked)),
            capture_output=True, text=True, check=False, env=environment(PYTHONPATH=path), timeout=1200,
        )  # fmt: skip
        assert (ended.returncode, ended.stderr) == (0, ""), ended
        told = [json.loads(line) for line in ended.stdout.splitlines()]
        assert [one["room"] for one in told] == list(rooms)
        return [(one["room"], Told(**one["little"]), one["all"] and Told(**one["all"])) for one in told]

    return attempt


def said_so(tool: str, ran: Told, place: Path) -> None:
    """Check that a run ended for want of room, and in its last line says that and where."""
    assert ran.code == 1, ran
    lines = ran.said.splitlines()
    assert "Traceback" not in ran.said, ran
    assert all(line.startswith(f"pct-{tool}: ") for line in lines), ran
    assert lines[-1].startswith(f"pct-{tool}: error: "), ran
    assert NO_SPACE in lines[-1], ran
    assert str(place) in lines[-1], ran


def size_of(path: Path) -> int:
    """Give the bytes that a file, or all files of a folder, take up on a disk of pages."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(-(-file.stat().st_size // PAGE) * PAGE for file in files)


def rooms_below(size: int) -> list[int]:
    """Give rooms from none at all to a page less than a size."""
    return sorted({step * size // STEPS // PAGE * PAGE for step in range(STEPS)} | {PAGE, size - PAGE})


@pytest.mark.parametrize("old", [False, True], ids=["new", "overwrite"])
@pytest.mark.parametrize("tool", STAGES)
def test_a_stage_with_any_room_that_is_too_little(
    tool: str, old: bool, made: Staged, tmp_path: Path, attempt: Try
) -> None:
    wanted, output = made.folder / MADE[tool], tmp_path / "disk" / MADE[tool]
    first = made.source if tool == "discover" else made.at_rest(tool)
    options = ["-q", *(["--part-size", "1"] if tool == "discover" else []), *(["--overwrite"] if old else [])]
    before = ""
    if old:
        # Of another content, so that the one is told from the other.
        shutil.copytree(wanted, tmp_path / "old") if wanted.is_dir() else shutil.copy(wanted, tmp_path / "old")
        changed = next(path for path in (tmp_path / "old", *(tmp_path / "old").rglob("*")) if path.is_file())
        changed.write_bytes(changed.read_bytes()[:-1])
        before = str(tmp_path / "old")
    for _, little, then in attempt(
        tool, first, *options, output=output, rooms=rooms_below(size_of(wanted)), old=before
    ):
        said_so(tool, little, output)
        assert len(little.said.splitlines()) == 1
        assert little.made == (digest(Path(before)) if old else ""), little
        assert [name.split(os.sep)[0] for name in little.left if os.sep not in name] == ([MADE[tool]] if old else [])
        assert then is not None
        assert (then.code, then.made) == (0, digest(wanted)), then
        assert [name for name in then.left if os.sep not in name] == [MADE[tool]]


@pytest.mark.parametrize("tool", ["extract", "join", "write"])
def test_a_disk_with_room_but_for_no_more_files(tool: str, made: Staged, tmp_path: Path, attempt: Try) -> None:
    output = tmp_path / "disk" / "made"
    # The disk's own folder, the ballast, and a folder for the output.
    for _, little, _ in attempt(tool, made.at_rest(tool), "-q", output=output, rooms=[32 << 20], files=3):
        said_so(tool, little, output)
        assert little.left == []


def flow_ends_well(told: list[tuple[int, Told, Told | None]], place: Path, wanted: str) -> list[Told]:
    """Check that every run either succeeds or says so and is made good by the next; give those that failed."""
    failed = []
    for _, little, then in told:
        if little.code == 0:
            assert little.made == wanted, little
            continue
        said_so("flow", little, place)
        failed.append(little)
        assert little.made == ""
        assert [name for name in little.left if ".pct-tmp" in name or ".pct-old" in name] == []
        assert then is not None
        assert (then.code, then.made) == (0, wanted), then
        assert [name for name in then.left if ".pct-tmp" in name or ".pct-old" in name] == []
    return failed


def finished(ran: Told) -> int:
    return sum(Path(name).suffix == ".arrow" and Path(name).stem.startswith("part-") for name in ran.left)


@pytest.mark.prefect
def test_a_flow_with_any_room_for_its_output(made: Staged, tmp_path: Path, attempt: Try) -> None:
    size = sum(size_of(made.folder / name) for name in ("bundle", "profiles"))
    output = tmp_path / "disk" / "made.parquet"
    rooms = [step * size // FLOW_STEPS for step in range(FLOW_STEPS)]
    told = attempt("flow", made.source, *FLOW, output=output, rooms=rooms)
    failed = flow_ends_well(told, tmp_path / "disk", digest(made.folder / "made.parquet"))
    assert len(failed) > FLOW_STEPS // 3
    # What was finished is kept, under a name that the error gives.
    assert any(map(finished, failed))
    for ran in failed:
        assert finished(ran) == 0 or f"--work-dir {output}.pct-work" in ran.said.splitlines()[-1]


@pytest.mark.prefect
def test_a_flow_with_any_room_for_its_work_dir(made: Staged, tmp_path: Path, attempt: Try) -> None:
    size = sum(size_of(made.folder / name) for name in ("bundle", "profiles"))
    work, output = tmp_path / "disk" / "work", tmp_path / "made.parquet"
    rooms = [step * size // FLOW_STEPS for step in range(FLOW_STEPS)]
    told = attempt("flow", made.source, *FLOW, "--work-dir", work, output=output, rooms=rooms)
    failed = flow_ends_well(told, work, digest(made.folder / "made.parquet"))
    assert len(failed) > FLOW_STEPS // 3
    resumed = [finished(little) for _, little, then in told if then]
    assert any(resumed)
    for number, said in zip(resumed, [then.said for _, _, then in told if then], strict=True):
        assert f"parts: {3 - number} done, 0 failed, 0 retried, {number} resumed" in said


@pytest.mark.prefect
def test_a_flow_with_any_room_for_temporary_files(made: Staged, tmp_path: Path, attempt: Try) -> None:
    tmp, output = tmp_path / "disk" / "tmp", tmp_path / "made.parquet"
    rooms = [0, PAGE, 500_000, *range(1_000_000, 1_300_001, 100_000), 8_000_000]
    told = attempt("flow", made.source, *FLOW, output=output, rooms=rooms, tmp="disk/tmp")
    failed = flow_ends_well(told, tmp, digest(made.folder / "made.parquet"))
    assert len(failed) > FLOW_STEPS // 3
    assert all(ran.left == ["tmp"] for ran in failed)
    assert told[-1][1].code == 0
