"""One Arrow IPC file for all profiles, which programs read without decoding, also through a memory map.

It ends in the closing record of the suite's own streams, with a checksum and the provenance; see `stream_writer`. To
other programs that is a record batch without rows.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from pycytominer_transform.common.errors import PctError
from pycytominer_transform.common.ipc.profiles import EXPERIMENT, ProfilesReader
from pycytominer_transform.common.ipc.stream_reader import read_streams
from pycytominer_transform.common.ipc.stream_writer import StreamWriter
from pycytominer_transform.common.model.provenance import new_step, steps_to_json
from pycytominer_transform.common.model.roles import chosen_columns, with_roles
from pycytominer_transform.common.write.outputs import Description

if TYPE_CHECKING:
    from pycytominer_transform.common.storage.location import Location


def write_file(reader: ProfilesReader, sink: BinaryIO, settings: dict[str, Any]) -> int:
    """Write all profiles into one Arrow IPC file and return the number of rows."""
    import pyarrow as pa

    schema = with_roles(chosen_columns(reader.schema, settings["only"], settings["drop"]), reader.schema)
    schema = schema.with_metadata({"pct.role": "profiles", "pct.preset": reader.preset, EXPERIMENT: reader.experiment})
    writer = StreamWriter(sink, schema, as_file=True)
    rows = 0
    for batch, part in reader.batches():
        columns = [batch.column(name) for name in schema.names]
        writer.write(pa.Table.from_arrays(columns, schema=schema), part=part)
        rows += batch.num_rows
    writer.close(steps=[*reader.steps, new_step("pct-write", settings, {"rows": rows})])
    return rows


def description(output: Location) -> Description | None:
    """Return the figures and the provenance of a file that is whole, else None."""
    with suppress(PctError, OSError), output.open("rb") as file:
        for stream in read_streams(file, str(output)):
            rows = sum(batch.num_rows for batch, _ in stream.batches())
            steps = stream.closing.steps if stream.closing else ()
            return Description(steps_to_json(steps).encode(), rows, len(stream.schema))
    return None
