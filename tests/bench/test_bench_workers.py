"""The curve of `make bench ARGS='--workers ...'`, of figures that were not measured."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from bench import build_parser
from bench_measure import Taken
from bench_workers import curve_lines, curve_svg, speedups


def test_the_curve_has_a_point_for_every_number_of_workers_that_worked() -> None:
    taken = {"1 worker": Taken(wall=[8.0]), "2 workers": Taken(wall=[4.0]), "4 workers": Taken(failure="exit 1")}
    points = speedups((1, 2, 4), taken)
    assert points == [(1, 8.0, 1.0), (2, 4.0, 2.0)]
    assert curve_lines(points)[1:] == ["      1      8.0      1.00  ####", "      2      4.0      2.00  ########"]
    drawn = ElementTree.fromstring(curve_svg(points, "Workers"))
    assert len(drawn.findall("{*}circle")) == 2
    axes, ideal, curve = (line.attrib["points"] for line in drawn.findall("{*}polyline"))
    assert ideal == curve
    assert axes.count(",") == 3


def test_numbers_of_workers_are_read() -> None:
    assert build_parser().parse_args(["--workers", "1,2,16"]).workers == (1, 2, 16)
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--workers", "1,0"])
