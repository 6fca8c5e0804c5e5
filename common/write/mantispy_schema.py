"""What mantispy, scverse's package for image-based profiling, wants to find in AnnData beside what is there already.

Source of the rules: ``mantispy.io.validate`` of mantispy 0.1.0a1. It calls its schema 2.0 experimental.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.model.feature_names import FeatureName
from pycytominer_transform.common.model.naming import OBJECT_NUMBER, table_prefix
from pycytominer_transform.common.model.provenance import Step

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

IMAGE_ID = "Metadata_ImageID"
OBJECT_TYPE = "Metadata_ObjectType"
_TEXTS = ("object", "feature_group", "feature", "radial_bin", "params", "feature_kind")
_NUMBERED = re.compile(r"(.+)_\d+")


def descriptors() -> dict[str, Any]:
    """Return ``uns["mantispy"]``: one row per object, by the schema 2.0."""
    import numpy as np

    return {"schema_version": "2.0", "resolution": "object", "grouped_by": np.array([], dtype=object)}


def annotate_features(var: pd.DataFrame, parsed: Sequence[FeatureName]) -> pd.DataFrame:
    """Return the table of features with mantispy's columns.

    ``scale`` becomes a number, the first of those at the end of a name; all of them are in ``params``.
    """
    import pandas as pd

    kinds = _kinds(list(var.index), parsed)
    described = [_description(name, kind) for name, kind in zip(parsed, kinds, strict=True)]
    columns = pd.DataFrame(described, index=var.index, columns=[*_TEXTS, "scale", "angle", "gray_levels"])
    numbers = columns.drop(columns=list(_TEXTS)).astype("float64")
    texts = columns[list(_TEXTS)].replace("", None).astype("category")
    return pd.concat([var.drop(columns="scale"), texts, numbers], axis=1).assign(is_feature=True)


def _description(name: FeatureName, kind: str) -> dict[str, Any]:
    """Return mantispy's columns of one feature, but for the channel."""
    tokens = name.scale.split("_") if name.scale else []
    rings = [token for token in tokens if "of" in token or token == "Overflow"]
    numbers = [token for token in tokens if token.isdecimal()]
    words = [token for token in tokens if token not in rings and token not in numbers]
    only_of_textures = ("scale", "angle", "gray_levels")[: None if name.module == "Texture" else 1]
    return {
        "object": name.compartment, "feature_group": name.module, "feature": "_".join([name.measurement, *words]),
        "radial_bin": "_".join(rings), "params": "_".join(numbers), "feature_kind": kind,
        **dict(zip(only_of_textures, map(float, numbers), strict=False)),
    }  # fmt: skip


def _kinds(names: Sequence[str], parsed: Sequence[FeatureName]) -> list[str]:
    """Return which features are measured and which are dimensions of an embedding.

    Those of an embedding follow no rule of CellProfiler, and differ in the number at the end only.
    """
    stems = [
        match[1] if not feature.module and (match := _NUMBERED.fullmatch(name)) else ""
        for name, feature in zip(names, parsed, strict=True)
    ]
    dimensions = Counter(stems)
    return ["embedding" if stem and dimensions[stem] > 1 else "measurement" for stem in stems]


def object_identity(cell_ids: Iterable[pa.Array], steps: Sequence[Step], rows: int) -> dict[str, Any]:
    """Return the columns that tell image, kind and number of each object, from the cells' IDs and their provenance.

    The number is the last part of an ID (docs/cell-id.md), the image all before it, the kind the first of the tables
    that `pct-join` joined, whose objects are the rows. Empty if an ID has no such parts.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    images, numbers = [], []
    for ids in cell_ids:
        parts = pc.extract_regex(ids, "^(?P<image>(?s:.*)):(?P<number>[0-9]{1,18})$")
        if parts.null_count:
            return {}
        images.append(parts.field("image").dictionary_encode())
        numbers.append(parts.field("number").cast("int64").to_numpy())
    image = pa.chunked_array(images).unify_dictionaries().combine_chunks()
    names = np.array(image.dictionary.to_pylist(), dtype=object)
    joins = (step.counts for step in steps if step.tool == "pct-join")
    kind = next((next(iter(counts["rows"])) for counts in joins if "without" in counts), "object")
    return {
        IMAGE_ID: pd.Categorical.from_codes(image.indices.to_numpy(), names),
        OBJECT_TYPE: pd.Categorical.from_codes(np.zeros(rows, np.int8), np.array([table_prefix(kind)], dtype=object)),
        OBJECT_NUMBER: np.concatenate(numbers),
    }
