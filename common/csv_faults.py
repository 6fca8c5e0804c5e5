"""What is wrong with a CSV file that Arrow cannot read, by a reader that is slow and says more."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import BinaryIO

from pycytominer_transform.common.errors import DataError


def locate_fault(opened: Callable[[], BinaryIO], shown: str, delimiter: str) -> DataError:
    """Find the row that keeps a file from being read as CSV; gives the error that says so.

    Parameters
    ----------
    opened : callable
        Opens the file.
    shown : str
        How messages call it.
    delimiter : str
        What is between its fields.
    """
    row = 0
    try:
        with opened() as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
            reader = csv.reader(text, strict=True, delimiter=delimiter)
            width = len(next(reader, []))
            for row, fields in enumerate(reader, start=2):
                if fields and len(fields) != width:
                    return DataError(
                        f"{shown}, row {row}: {len(fields)} fields where the header has {width}; "
                        "the file is cut off or damaged"
                    )
    except UnicodeDecodeError as error:
        return DataError(
            f"{shown}: is not UTF-8 text (near row {row + 1}: {error.reason}); it is damaged or not a CSV file"
        )
    except csv.Error as error:
        return DataError(f"{shown}, after row {row}: {error}; the file is cut off or damaged")
    return DataError(f"{shown}: cannot be read as CSV; it is cut off or damaged")
