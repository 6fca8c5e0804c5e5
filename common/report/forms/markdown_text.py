"""The report in short as Markdown, for the page of a run on a Prefect server."""

from __future__ import annotations

import re

from pycytominer_transform.common.report.contents import Report
from pycytominer_transform.common.runtime.messages import printable

_MEANING = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&])")
_MOST_WELLS = 20


def markdown_text(report: Report) -> str:
    """Return the totals, and the wells that are outliers or lost objects."""
    lines = [f"# {_escaped(report.title)}", "", "| | |", "| --- | ---: |"]
    for section, figures in report.totals.items():
        for name, value in figures.items():
            text = f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"
            lines.append(f"| {section.replace('_', ' ')}, {name.replace('_', ' ')} | {text} |")
    wells = [(plate, well) for plate in report.plates for well in plate.wells if well.outlier_of]
    if wells:
        lines += ["", "| outlier well | cells | of what |", "| --- | ---: | --- |"]
    for plate, well in wells[:_MOST_WELLS]:
        measures = ", ".join(f"{measure} ({well.robust_z[measure]:+.1f})" for measure in well.outlier_of)
        lines.append(f"| {_escaped(f'{plate.name} {well.name}')} | {well.cells:,} | {_escaped(measures)} |")
    missing = [f"{plate.name} {name}" for plate in report.plates for name in plate.missing]
    if missing:
        more = f" and {len(missing) - _MOST_WELLS} more" if len(missing) > _MOST_WELLS else ""
        lines += ["", f"Missing wells: {_escaped(', '.join(missing[:_MOST_WELLS]))}{more}"]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Return a name that Markdown shows as it is."""
    return _MEANING.sub(r"\\\1", printable(text))
