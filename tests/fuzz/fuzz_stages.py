"""What the stages exchange: spoilt manifests, bundles and profiles, as streams and at rest."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
from judging import Judge
from mutation import NUMBERS, hostile_name, spoil
from plates import Plate, write_csv
from plates_sqlite import write_sqlite
from running import Staged, stage

__all__ = ["check", "make"]

_WORDS = (
    b"ARROW1", b"\xff\xff\xff\xff", b"\0\0\0\0", b"pct.closing", b'{"rows": 0}', b"pct.part",
    b"\xff\xff\xff\xff\0\0\0\0",
)  # fmt: skip
_STAGES = ("extract", "join", "write")
_HELD: list[tempfile.TemporaryDirectory[str]] = []


def make(random: Random, folder: Path) -> None:
    """Write a spoilt stream, or a spoilt copy of what lies at rest."""
    staged = random.choice(_good())
    which = random.choice(_STAGES)
    place = folder / "given"
    if random.random() < 0.6:
        content = staged.streams[which]
        if which == "extract" and random.random() < 0.6:
            content = _other_manifest(random, content)
        elif random.random() < 0.2:
            content = _rewritten(random, content)
        else:
            content = spoil(random, content, _WORDS)
        place.write_bytes(content)
    elif which == "extract":
        place.write_bytes(spoil(random, staged.at_rest(which).read_bytes(), _WORDS))
    else:
        shutil.copytree(staged.at_rest(which), place)
        path = random.choice(sorted(path for path in place.rglob("*") if path.is_file()))
        path.write_bytes(spoil(random, path.read_bytes(), _WORDS)) if random.random() < 0.9 else path.unlink()
    piped = place.is_file() and random.random() < 0.7
    (folder / "case.json").write_text(json.dumps({"stage": which, "piped": piped}))


def check(folder: Path) -> list[str]:
    """Give it to the stage it is for."""
    said = json.loads((folder / "case.json").read_text())
    judge = Judge(folder)
    given = folder / "given"
    words = [] if said["piped"] else [given]
    stdin = given.read_bytes() if said["piped"] else b""
    ran = judge.run(said["stage"], *words, *(["-o", judge.made] if said["stage"] == "write" else []), stdin=stdin)
    for following in _STAGES[_STAGES.index(said["stage"]) + 1 :]:
        if ran.code == 0:
            ran = judge.run(following, *(["-o", judge.made] if following == "write" else []), stdin=ran.out)
    return judge.judge_files()


@cache
def _good() -> list[Staged]:
    _HELD.append(tempfile.TemporaryDirectory())
    folder = Path(_HELD[-1].name)
    plate = Plate(folders=2, cells=3, features=3, sites=2)
    (folder / "csv").mkdir()
    (folder / "sqlite").mkdir()
    return [
        stage(write_csv(plate, folder / "csv" / "source"), folder / "csv"),
        stage(write_sqlite(plate, folder / "sqlite" / "source.sqlite"), folder / "sqlite"),
    ]


def _other_manifest(random: Random, content: bytes) -> bytes:
    """Write a manifest that is whole, but says other things."""
    with pa.ipc.open_stream(content) as reader:
        table = reader.read_all()
    metadata = dict(table.schema.metadata)
    rest = json.loads(metadata[b"pct.manifest"])
    rows = table.to_pylist()
    for _ in range(random.choice((1, 1, 2))):
        if random.random() < 0.6:
            _change(random, rest)
        else:
            _change(random, rows)
    metadata[b"pct.manifest"] = json.dumps(rest).encode()
    try:
        changed = pa.Table.from_pylist(rows, table.schema).replace_schema_metadata(metadata)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, AttributeError):
        changed = table.replace_schema_metadata(metadata)
    return _as_stream(changed)


def _change(random: Random, node: Any) -> None:
    """Change one value somewhere below a node of JSON."""
    while True:
        places = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not places:
            return
        place = random.choice(places)
        if isinstance(node[place], dict | list) and random.random() < 0.85:
            node = node[place]
            continue
        kind = random.randrange(5)
        if kind == 0:
            del node[place]
        elif kind == 1:
            node[place] = random.choice((None, True, [], {}, 0, -1, 1 << 62, 0.5, "", [1], {"a": 1}))
        elif kind == 2:
            node[place] = hostile_name(random) if isinstance(node[place], str) else random.choice(NUMBERS)
        elif kind == 3 and isinstance(node, list):
            node.append(node[place])
        elif isinstance(node, dict):
            node[place] = random.choice(list(node.values()))
        return


def _rewritten(random: Random, content: bytes) -> bytes:
    """Write streams anew: some left out, doubled or in another order."""
    streams, source = [], io.BytesIO(content)
    while source.tell() < len(content):
        start = source.tell()
        with pa.ipc.open_stream(source) as reader:
            for _ in reader:
                pass
        streams.append(content[start : source.tell()])
    kind = random.randrange(3)
    if kind == 0:
        random.shuffle(streams)
    elif kind == 1:
        del streams[random.randrange(len(streams))]
    else:
        streams.insert(random.randint(0, len(streams)), random.choice(streams))
    return b"".join(streams)


def _as_stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
        closing = json.dumps({"rows": table.num_rows})
        batch = pa.RecordBatch.from_pylist([], table.schema)
        writer.write_batch(batch, custom_metadata={"pct.closing": closing})
    return sink.getvalue()
