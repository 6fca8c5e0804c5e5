"""How `pct-flow` scales: one plate by so many workers in turn, and the curve of the speed-up as text and as SVG."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench_cases import Options, flow, plate_of
from bench_measure import Group, Taken

__all__ = ["curve_lines", "curve_svg", "speedups", "workers_group"]

# So many parts for each worker, so that none waits long for the last one.
PARTS_PER_WORKER = 4
WIDTH, HEIGHT, MARGIN = 480, 320, 48


def name(workers: int) -> str:
    """Name a case."""
    return f"{workers} worker{'s' * (workers > 1)}"


def workers_group(options: Options, counts: Sequence[int], outputs: Path) -> Group:
    """Give the flow of the largest CSV plate asked for by each number of workers, with the same parts for all."""
    folders = max(options.folders)
    source = plate_of(options, folders, "csv")
    size = sum(file.stat().st_size for file in source.rglob("*") if file.is_file())
    part = max(1, size // (PARTS_PER_WORKER * max(counts)))
    cases = []
    for workers in counts:
        words = f"--workers {workers} --part-size {part}"
        cases.append(flow(source, outputs / f"workers-{workers}.parquet", words=words, name=name(workers)))
    title = f"Workers: {folders} folders, {size / 1e6:.0f} MB, {os.cpu_count()} processors"
    return Group(title, cases, "workers", folders)


def speedups(counts: Sequence[int], taken: Mapping[str, Taken]) -> list[tuple[int, float, float]]:
    """Give workers, median seconds and speed-up over the first number of workers; those that failed are left out."""
    done = [(workers, taken[name(workers)].seconds) for workers in counts if taken[name(workers)].wall]
    return [(workers, seconds, done[0][1] / seconds) for workers, seconds in done]


def curve_lines(points: Sequence[tuple[int, float, float]]) -> list[str]:
    """Draw the curve as text, a bar per number of workers."""
    lines = ["workers  seconds  speed-up"]
    lines += [
        f"{workers:7d}  {seconds:7.1f}  {times:8.2f}  {'#' * round(4 * times)}" for workers, seconds, times in points
    ]
    return lines


def curve_svg(points: Sequence[tuple[int, float, float]], title: str) -> str:
    """Draw the speed-up over the number of workers; dashed is a speed-up in proportion to the workers."""
    first, most = points[0][0], max(workers for workers, _, _ in points)
    top = max(most / first, *(times for _, _, times in points), 1)

    def place(workers: float, times: float) -> str:
        x = MARGIN + (WIDTH - 2 * MARGIN) * workers / most
        return f"{x:.1f},{HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * times / top:.1f}"

    def text(at: str, words: str, anchor: str = "middle") -> str:
        x, y = at.split(",")
        return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>'

    marks = []
    for workers, _, times in points:
        x, y = place(workers, times).split(",")
        marks.append(f'<circle cx="{x}" cy="{y}" r="3"/>')
        marks.append(text(f"{x},{float(y) - 8:.1f}", f"{times:.1f}"))
        marks.append(text(f"{x},{HEIGHT - MARGIN + 16}", str(workers)))
    axes = f"{place(0, top)} {place(0, 0)} {place(most, 0)}"
    curve = " ".join(place(workers, times) for workers, _, times in points)
    ideal = " ".join(place(workers, workers / first) for workers, _, _ in points)
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12"'
            f' viewBox="0 0 {WIDTH} {HEIGHT}">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            text(f"{WIDTH / 2},20", title),
            text(f"{WIDTH / 2},{HEIGHT - 10}", "workers"),
            text(f"8,{MARGIN - 12}", "speed-up", "start"),
            f'<polyline points="{axes}" fill="none" stroke="black"/>',
            f'<polyline points="{ideal}" fill="none" stroke="gray" stroke-dasharray="4"/>',
            f'<polyline points="{curve}" fill="none" stroke="black" stroke-width="2"/>',
            *marks,
            "</svg>\n",
        ]
    )
