"""A manifest and the packaged presets as text for people, and the counts that `pct-discover` reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycytominer_transform.common.runtime.messages import count, logger, printable, size

if TYPE_CHECKING:
    from pycytominer_transform.common.model.manifest import Manifest, Source


@dataclass(frozen=True)
class DiscoverSummary:
    """Numbers of parts, datasets and sources, bytes of source, and why datasets were skipped."""

    parts: int
    datasets: int
    sources: int
    bytes: int
    skipped: tuple[str, ...]

    @classmethod
    def of(cls, manifest: Manifest, skipped: Sequence[str]) -> DiscoverSummary:
        """Return the summary of a manifest."""
        datasets = {source.dataset for source in manifest.sources}
        sizes = [source.bytes for source in manifest.sources]
        return cls(len(manifest.parts), len(datasets), len(sizes), sum(sizes), tuple(skipped))

    def report(self) -> None:
        """Log the counts, and once more what was left out."""
        counts = f"{count(self.datasets, 'dataset')}, {count(self.sources, 'source')}, {size(self.bytes)}"
        logger.info("%s in %s", counts, count(self.parts, "part"))
        if self.skipped:
            logger.warning("went on without %s: %s", count(len(self.skipped), "bad dataset"), "; ".join(self.skipped))


def manifest_table(manifest: Manifest) -> str:
    """Return a manifest for people: its tables, its parts, its datasets."""
    lines = [f"source   {manifest.source}", f"preset   {manifest.preset.name}: {manifest.preset.title}", ""]
    lines.append(f"{'table':<16}{'sources':>9}{'columns':>9}{'features':>10}{'rows':>12}{'size':>10}")
    for schema in manifest.tables:
        sources = [source for source in manifest.sources if source.table == schema.table]
        rows = sum(source.rows for source in sources) if all(source.rows >= 0 for source in sources) else "?"
        columns, features = len(schema.columns), sum(column.role == "feature" for column in schema.columns)
        lines.append(f"{schema.table:<16}{len(sources):>9}{columns:>9}{features:>10}{rows:>12}{_size_of(sources):>10}")
    lines += ["", f"{'part':<8}{'sources':>9}{'size':>10}  datasets"]
    for part in manifest.parts:
        sources = manifest.sources_of(part)
        names = sorted({source.dataset for source in sources})
        datasets = names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]} ({len(names)})"
        lines.append(f"{part:<8}{len(sources):>9}{_size_of(sources):>10}  {datasets}")
    return "\n".join(map(printable, lines))


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
