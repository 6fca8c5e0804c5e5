"""The forms of a report, found by the output's name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import BinaryIO

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.report import forms
from pycytominer_transform.common.report.contents import Report

Writer = Callable[[Report, BinaryIO], None]

_MULTIQC = "_mqc.json"
_FORMS = {
    _MULTIQC: (("", "multiqc", "write_heat_map"), ("_general", "multiqc", "write_general_statistics"),
               ("_wells", "multiqc", "write_wells")),
    ".json": (("", "json_file", "write_json"),),
    ".html": (("", "html_page", "write_html"),),
    ".htm": (("", "html_page", "write_html"),),
    ".parquet": (("", "wells_table", "write_wells"),),
}  # fmt: skip
"""By the end of a name, the first that fits: for each file what its name has before that end, and what writes it."""


def files_of(output: str) -> list[tuple[str, Writer]]:
    """Return the files of a report, each with what writes it: one, or for MultiQC three.

    Raises
    ------
    UsageError
        The suffix is none of a report.
    """
    for ending, files in _FORMS.items():
        if output.lower().endswith(ending):
            bare, end = output[: -len(ending)], output[-len(ending) :]
            return [
                (f"{bare}{more}{end}", getattr(import_module(f".{module}", forms.__name__), function))
                for more, module, function in files
            ]
    raise UsageError(
        f"{output}: a report ends in .html, .json, {_MULTIQC} (for MultiQC), or .parquet (a table of the wells)"
    )
