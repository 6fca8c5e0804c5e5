"""The pictures of the page as plain figures: where each rectangle lies, how dark it is, what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pycytominer_transform.common.report.contents import Histogram, Plate, Well
from pycytominer_transform.common.report.plate_format import row_name

CLASSES = 8
"""Steps of a scale of colours, from 0."""
_LABELS = 34
"""Pixels for the names of rows and columns."""
_SIZES = ((12, 48, 34, 12.0), (24, 36, 26, 10.5), (48, 20, 16, 0))
"""For plates of up to so many columns: width and height of a well, and the size of its number (0: none fits)."""


@dataclass(frozen=True)
class WellMark:
    """One well of a heat map: its corner, its class of colour or what else it is, its number, its description."""

    x: float
    y: float
    css: str
    text: str
    title: str
    is_outlier: bool = False
    is_control: bool = False


@dataclass(frozen=True)
class HeatMap:
    """A plate on which each well has a colour and a number."""

    title: str
    summary: str
    scale: str
    width: float
    height: float
    well_width: float
    well_height: float
    font: float
    rows: tuple[tuple[float, str], ...]
    columns: tuple[tuple[float, str], ...]
    marks: tuple[WellMark, ...]
    legend: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Measure:
    """What a heat map shows of a well: its value (None: not known), and the value as a text, short and in full.

    The colours of cells go from the least to the most. Those of something bad begin at 0 and go at least to
    `least_high`, so that hardly anything does not look like much.
    """

    title: str
    scale: str
    value: Callable[[Well], float | None]
    short: Callable[[float], str]
    full: Callable[[float], str]
    outlier: str = ""
    least_high: float | None = None


def heat_map(plate: Plate, measure: Measure) -> HeatMap:
    """Return the heat map of a plate; missing wells are marked as such, and wells that are no place are left out."""
    width, height, font = next(size for last, *size in _SIZES if plate.columns <= last)
    placed = [well for well in plate.wells if well.row >= 0]
    values = [value for well in placed if (value := measure.value(well)) is not None]
    least, most = min(values, default=0.0), max(values, default=0.0)
    low, high = (least, most) if measure.least_high is None else (0.0, max(most, measure.least_high))
    marks = []
    for well in placed:
        value = measure.value(well)
        said = measure.full(value) if value is not None else "not known"
        more = [f"control: {well.control}"] if well.control else []
        is_outlier = bool(measure.outlier) and measure.outlier in well.outlier_of
        if is_outlier:
            more.append(f"outlier, robust z {well.robust_z[measure.outlier]:+.1f}")
        marks.append(
            WellMark(
                x=_LABELS + well.column * width, y=_LABELS + well.row * height,
                css="unknown" if value is None else f"s{color_class(value, low, high)}",
                text=measure.short(value) if value is not None and font else "",
                title=": ".join([well.name, ", ".join([said, *more])]),
                is_outlier=is_outlier, is_control=bool(well.control),
            )
        )  # fmt: skip
    for name, (row, column) in zip(plate.missing, plate.missing_places, strict=True):
        marks.append(WellMark(_LABELS + column * width, _LABELS + row * height, "missing", "", f"{name}: missing"))
    some = f"from {measure.full(least)} to {measure.full(most)}" if values else "nothing known"
    missing = f"; {len(plate.missing)} wells missing" if plate.missing else ""
    return HeatMap(
        title=measure.title,
        summary=f"{measure.title}, plate {plate.name}: {len(placed)} wells, {some}{missing}",
        scale=measure.scale,
        width=_LABELS + plate.columns * width + 2, height=_LABELS + plate.rows * height + 2,
        well_width=width, well_height=height, font=font,
        rows=tuple((_LABELS + (row + 0.5) * height, row_name(row)) for row in range(plate.rows)),
        columns=tuple((_LABELS + (column + 0.5) * width, str(column + 1)) for column in range(plate.columns)),
        marks=tuple(marks), legend=tuple(_legend(values, low, high, measure)),
    )  # fmt: skip


def color_class(value: float, low: float, high: float) -> int:
    """Return the class of colour of a value between the lowest and the highest."""
    if high <= low:
        return 0 if not value else CLASSES // 2
    return min(int((value - low) / (high - low) * CLASSES), CLASSES - 1)


def _legend(values: Sequence[float], low: float, high: float, measure: Measure) -> list[tuple[str, str]]:
    """Return the classes that occur, each with the values it stands for."""
    ranges: dict[int, list[float]] = {}
    for value in values:
        ranges.setdefault(color_class(value, low, high), []).append(value)
    shown = []
    for step, inside in sorted(ranges.items()):
        first, last = measure.short(min(inside)), measure.short(max(inside))
        shown.append((f"s{step}", first if first == last else f"{first} to {last}"))
    return shown


@dataclass(frozen=True)
class Bar:
    """One bar: its left edge, top, width and height in pixels, and its description."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class BarChart:
    """A distribution."""

    title: str
    summary: str
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    highest: int
    unit: str


CHART_WIDTH, CHART_HEIGHT = 360, 120
_TICKS = 5


def bar_chart(histogram: Histogram) -> BarChart:
    """Return a distribution as bars; equal steps of a logarithmic one are equal ratios."""
    number = len(histogram.counts)
    width = CHART_WIDTH / max(number, 1)
    highest = max(histogram.counts, default=0)
    bars = []
    for place, count in enumerate(histogram.counts):
        height = CHART_HEIGHT * count / highest if highest else 0.0
        first, last = histogram.edges[place], histogram.edges[place + 1]
        said = _range(first, last, is_whole=not histogram.is_logarithmic)
        title = f"{said}: {count:,} {histogram.unit}"
        bars.append(
            Bar(round(place * width, 2), round(CHART_HEIGHT - height, 2), round(width, 2), round(height, 2), title)
        )
    step = max(1, number // _TICKS)
    ticks = [(round(place * width, 2), _number(histogram.edges[place])) for place in range(0, number, step)]
    total = sum(histogram.counts)
    said = f"from {_number(histogram.edges[0])} to {_number(histogram.edges[-1])}" if number else "nothing to show"
    summary = f"{histogram.name}: {total:,} {histogram.unit}, {said}"
    return BarChart(histogram.name, summary, tuple(bars), tuple(ticks), highest, histogram.unit)


def _range(first: float, last: float, *, is_whole: bool) -> str:
    if is_whole:
        return f"{first:,.0f}" if last - first == 1 else f"{first:,.0f} to {last - 1:,.0f}"
    return f"{_number(first)} up to {_number(last)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
