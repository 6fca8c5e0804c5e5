"""A manifest and the packaged presets as text for people, and the counts that `pct-discover` reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycytominer_transform.common.runtime.messages import count, logger, printable, report_fields, size

if TYPE_CHECKING:
    from pycytominer_transform.common.model.manifest import Manifest, Source


PARTS_SHOWN = 10
"""Parts that a terminal shows without ``--verbose``."""


@dataclass(frozen=True)
class DiscoverSummary:
    """Numbers of parts, datasets and files, bytes of the source, and why datasets were skipped."""

    parts: int
    datasets: int
    files: int
    bytes: int
    skipped: tuple[str, ...]

    @classmethod
    def of(cls, manifest: Manifest, skipped: Sequence[str]) -> DiscoverSummary:
        """Return the summary of a manifest."""
        datasets = {source.dataset for source in manifest.sources}
        sizes = [source.bytes for source in manifest.sources]
        return cls(len(manifest.parts), len(datasets), _files_of(manifest.sources), sum(sizes), tuple(skipped))

    def report(self) -> None:
        """Log the counts, and once more what was left out."""
        counts = f"{count(self.datasets, 'dataset')}, {count(self.files, 'file')}, {size(self.bytes)}"
        report_fields(
            f"{counts} in {count(self.parts, 'part')}",
            parts=self.parts, datasets=self.datasets, files=self.files, bytes=self.bytes, skipped=len(self.skipped),
        )  # fmt: skip
        if self.skipped:
            logger.warning("went on without %s: %s", count(len(self.skipped), "bad dataset"), "; ".join(self.skipped))


def manifest_table(manifest: Manifest, parts_shown: int) -> str:
    """Return a manifest for people: its tables, its first parts, their datasets."""
    lines = [f"source   {manifest.source}", f"preset   {manifest.preset.name}: {manifest.preset.title}", ""]
    lines.append(f"{'table':<16}{'files':>9}{'columns':>9}{'features':>10}{'rows':>12}{'size':>10}")
    for schema in manifest.tables:
        sources = [source for source in manifest.sources if source.table == schema.table]
        rows = sum(source.rows for source in sources) if all(source.rows >= 0 for source in sources) else "?"
        columns, features = len(schema.columns), sum(column.role == "feature" for column in schema.columns)
        lines.append(
            f"{schema.table:<16}{_files_of(sources):>9}{columns:>9}{features:>10}{rows:>12}{_size_of(sources):>10}"
        )
    lines += ["", f"{'part':<8}{'files':>9}{'size':>10}  datasets"]
    parts = manifest.parts
    # "and 1 more" would take as many lines as that part.
    more = len(parts) - parts_shown if len(parts) > parts_shown + 1 else 0
    for part in parts[: len(parts) - more]:
        sources = manifest.sources_of(part)
        names = sorted({source.dataset for source in sources})
        datasets = names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]} ({len(names)})"
        lines.append(f"{part:<8}{_files_of(sources):>9}{_size_of(sources):>10}  {datasets}")
    if more:
        lines.append(f"and {more} more (-v)")
    return "\n".join(map(printable, lines))


def _files_of(sources: Sequence[Source]) -> int:
    return len({source.path for source in sources})


def _size_of(sources: Sequence[Source]) -> str:
    return size(sum(source.bytes for source in sources))


def list_presets(_: object = None) -> str:
    """Return a line with the name and the title of each packaged preset."""
    from pycytominer_transform.common.model.preset import packaged_presets

    presets = packaged_presets()
    widest = max(len(preset.name) for preset in presets)
    return "".join(f"{preset.name:<{widest}}  {preset.title}\n" for preset in presets)


def show_preset(name: str) -> str:
    """Return the file of a packaged preset; see `pycytominer_transform.common.model.preset.preset_text`."""
    from pycytominer_transform.common.model.preset import preset_text

    return preset_text(name)
