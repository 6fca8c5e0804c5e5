"""Plate, well and site from the paths of CSV folders, for the oracle: by splitting texts, not by expressions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oracle_sources import Value

__all__ = ["path_metadata"]


def path_metadata(source: Path, datasets: Sequence[str]) -> dict[str, dict[str, Value]]:
    """Take `PLATE/WELL-SITE` apart, where every dataset is named so; else give nothing.

    Parameters
    ----------
    source
        The source, whose own name may be the plate's.
    datasets
        Paths relative to it, `.` for the source itself.
    """
    found: dict[str, dict[str, Value]] = {}
    for dataset in datasets:
        names = [source.absolute().name, *(name for name in dataset.split("/") if name != ".")]
        well, dash, site = names[-1].rpartition("-")
        letters = well.rstrip("0123456789")
        digits = well[len(letters) :]
        well_like = 1 <= len(letters) <= 2 and letters.isalpha() and letters.isascii() and 1 <= len(digits) <= 2
        if len(names) < 2 or not dash or not site.isdigit() or not well_like:
            return {}
        found[dataset] = {"Metadata_Plate": names[-2], "Metadata_Well": well, "Metadata_Site": site}
    for name in ("Metadata_Plate", "Metadata_Site"):
        texts = [str(row[name]) for row in found.values()]
        if all(text.isdigit() and str(int(text)) == text for text in texts):
            for row in found.values():
                row[name] = int(str(row[name]))
    return found
