"""The parts of a feature's name by CellProfiler's rules: ``Compartment_Module_Measurement[_Channel...][_Scale...]``.

Source of the rules: "How measurements are named" and the measurement modules in CellProfiler's manual.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_WITHOUT_CHANNEL = frozenset(("AreaShape", "Neighbors", "Math", "TrackObjects"))
_ONE_CHANNEL = frozenset(("Granularity", "Intensity", "ObjectSkeleton", "RadialDistribution", "Texture"))
_PAIR = "Correlation"
_MODULES = _WITHOUT_CHANNEL | _ONE_CHANNEL | {_PAIR}
_SCALE = re.compile(r"\d+(?:of\d+)?|Overflow")
"""A token of a scale: a number, a ring (``2of4``), or what lies beyond the last ring."""


class FeatureName(NamedTuple):
    """The parts of a feature's name; empty where the rules do not say.

    Attributes
    ----------
    channel : str
        Two channels with ``|`` between them, for measurements of correlation.
    scale : str
        The numbers at the end: of a texture the scale, angle and grey levels, of a ring ``2of4``.
    """

    compartment: str = ""
    module: str = ""
    measurement: str = ""
    channel: str = ""
    scale: str = ""


def parse_feature_names(names: Sequence[str]) -> list[FeatureName]:
    """Return the parts of the names of one table's features.

    A channel's name may have underscores in it, so two channels are told apart by those of the other features.
    """
    parsed = [_parse(name) for name in names]
    channels = {name.channel for name in parsed if name.module in _ONE_CHANNEL}
    return [name._replace(channel=_pair(name.channel, channels)) if name.module == _PAIR else name for name in parsed]


def _parse(name: str) -> FeatureName:
    """Return the parts of one name; two channels still have an underscore between them."""
    tokens = name.split("_")
    place = next((place for place, token in enumerate(tokens) if token in _MODULES), len(tokens))
    rest = tokens[place + 1 :]
    if not rest:
        return FeatureName()
    module, compartment = tokens[place], "_".join(tokens[:place])
    if module == "Granularity":
        return FeatureName(compartment, module, module, "_".join(rest[1:]), rest[0])
    end = len(rest)
    while end > 1 and _SCALE.fullmatch(rest[end - 1]):
        end -= 1
    measurement, between, scale = rest[0], "_".join(rest[1:end]), "_".join(rest[end:])
    if module == "AreaShape":
        measurement, between = "_".join(rest[:end]), ""
    elif module in _WITHOUT_CHANNEL:
        between, scale = "", "_".join(rest[1:])
    return FeatureName(compartment, module, measurement, between, scale)


def _pair(text: str, channels: set[str]) -> str:
    """Return two channels with ``|`` between them; empty if the text can be split in several ways or none."""
    tokens = text.split("_")
    pairs = [("_".join(tokens[:cut]), "_".join(tokens[cut:])) for cut in range(1, len(tokens))]
    known = [pair for pair in pairs if channels.issuperset(pair)] if len(pairs) > 1 else pairs
    return "|".join(known[0]) if len(known) == 1 else ""
