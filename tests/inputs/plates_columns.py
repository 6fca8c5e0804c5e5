"""Column names as CellProfiler writes them, and pseudorandom values to go with them, the same for the same seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["CHANNELS", "Feature", "feature_values", "features", "uniform_values"]

CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")

Kind = Literal["whole", "real", "signed", "gappy"]

_SHAPES = (
    "Area BoundingBoxArea Center_X Center_Y Compactness Eccentricity EquivalentDiameter EulerNumber Extent FormFactor "
    "MajorAxisLength MaxFeretDiameter MaximumRadius MeanRadius MedianRadius MinFeretDiameter MinorAxisLength "
    "Orientation Perimeter Solidity"
).split()
_INTENSITIES = (
    "IntegratedIntensityEdge IntegratedIntensity LowerQuartileIntensity MADIntensity MassDisplacement MaxIntensityEdge "
    "MaxIntensity MeanIntensityEdge MeanIntensity MedianIntensity MinIntensityEdge MinIntensity StdIntensityEdge "
    "StdIntensity UpperQuartileIntensity"
).split()
_TEXTURES = (
    "AngularSecondMoment Contrast Correlation DifferenceEntropy DifferenceVariance Entropy InfoMeas1 InfoMeas2 "
    "InverseDifferenceMoment SumAverage SumEntropy SumVariance Variance"
).split()
_WHOLE_SHAPES = {"Area", "BoundingBoxArea", "EulerNumber"}


@dataclass(frozen=True)
class Feature:
    """One measurement column: its name, what its values look like, and how large they get (in the column's own unit).

    `gappy` columns are those in which CellProfiler leaves `nan` where nothing can be measured.
    """

    name: str
    kind: Kind
    scale: float


def features(count: int) -> list[Feature]:
    """Give that many measurement columns of all of CellProfiler's families, sorted by name as it exports them."""
    return sorted(itertools.islice(_mixed(), count), key=lambda feature: feature.name)


def feature_values(feature: Feature, uniform: Any, gaps: float) -> Any:
    """Turn uniform random numbers into a column that looks like the feature.

    Parameters
    ----------
    uniform
        `pyarrow.DoubleArray`, values from 0 to 1.
    gaps
        Share of `gappy` values that are NaN, 0 to 1.

    Returns
    -------
    pyarrow.Array
        int64 for whole numbers, else float64.
    """
    if feature.kind == "whole":
        return pc.cast(pc.floor(pc.multiply(uniform, feature.scale)), pa.int64())
    if feature.kind == "real":
        return pc.multiply(uniform, feature.scale)
    values = pc.multiply(pc.subtract(uniform, 0.5), feature.scale)
    if feature.kind == "gappy" and gaps:
        return pc.if_else(pc.less(uniform, gaps), float("nan"), values)
    return values


def uniform_values(source: random.Random, count: int) -> Any:
    """Draw that many float64 from 0 to 1, 53 random bits each, without a Python object per value."""
    if not count:
        return pa.array([], pa.float64())
    bits = pa.Array.from_buffers(pa.uint64(), count, [None, pa.py_buffer(source.randbytes(8 * count))])
    return pc.multiply(pc.cast(pc.shift_right(bits, pa.scalar(11, pa.uint64())), pa.float64()), 2.0**-53)


def _mixed() -> Iterator[Feature]:
    """Take from each family in turn, so that a narrow table has something of every one; it never runs out."""
    families = [_shapes(), _intensities(), _textures(), _correlations(), _locations(), _granularities(), _radial()]
    while families:
        for family in list(families):
            feature = next(family, None)
            if feature is None:
                families.remove(family)
            else:
                yield feature


def _shapes() -> Iterator[Feature]:
    for shape in _SHAPES:
        yield Feature(f"AreaShape_{shape}", "whole" if shape in _WHOLE_SHAPES else "real", 2000.0)
    for n in range(10):
        for m in range(n % 2, n + 1, 2):
            yield Feature(f"AreaShape_Zernike_{n}_{m}", "real", 0.5)


def _intensities() -> Iterator[Feature]:
    for measure, channel in itertools.product(_INTENSITIES, CHANNELS):
        yield Feature(f"Intensity_{measure}_{channel}", "real", 300.0 if "Integrated" in measure else 1.0)


def _textures() -> Iterator[Feature]:
    for scale in itertools.count(3):
        for measure, channel, angle in itertools.product(_TEXTURES, CHANNELS, range(4)):
            yield Feature(f"Texture_{measure}_{channel}_{scale}_{angle:02d}_256", "signed", 10.0)


def _correlations() -> Iterator[Feature]:
    for measure in ("Correlation", "Costes", "K", "Manders", "Overlap", "RWC"):
        for left, right in itertools.combinations(CHANNELS, 2):
            yield Feature(f"Correlation_{measure}_{left}_{right}", "gappy", 2.0)


def _locations() -> Iterator[Feature]:
    for axis in "XY":
        yield Feature(f"Location_Center_{axis}", "real", 1080.0)
    for measure in ("CenterMassIntensity", "MaxIntensity"):
        for channel, axis in itertools.product(CHANNELS, "XYZ"):
            yield Feature(f"Location_{measure}_{axis}_{channel}", "real", 1080.0)


def _granularities() -> Iterator[Feature]:
    yield Feature("Neighbors_NumberOfNeighbors_Adjacent", "whole", 8.0)
    yield Feature("Neighbors_FirstClosestDistance_Adjacent", "real", 100.0)
    for scale, channel in itertools.product(range(1, 17), CHANNELS):
        yield Feature(f"Granularity_{scale}_{channel}", "real", 60.0)


def _radial() -> Iterator[Feature]:
    for measure, channel, ring in itertools.product(("FracAtD", "MeanFrac", "RadialCV"), CHANNELS, range(1, 5)):
        yield Feature(f"RadialDistribution_{measure}_{channel}_{ring}of4", "real", 1.0)
