"""Counting the cells and the sites of each well, for `--counts`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.ipc.bundle import bundle_schema
from pycytominer_transform.common.join.planned_join import JoinedPart, PlannedJoin
from pycytominer_transform.common.join.platemap_join import PlatemapJoin
from pycytominer_transform.common.model.naming import DATASET, KEY_BEGINNINGS, find_name, listed, profile_order
from pycytominer_transform.common.model.well_counts import OBJECT_COUNT, SITE_COUNT, WELLS, count_field, well_labels
from pycytominer_transform.common.runtime.messages import logger

if TYPE_CHECKING:
    import pyarrow as pa
    from pycytominer_transform.common.join.user_query import QueryJoin
    from pycytominer_transform.common.model.manifest import Manifest


class CountedJoin:
    """Counts the wells of the cells that another join gives, and adds the columns that `pct-write` fills.

    Raises
    ------
    UsageError
        The profiles have no column of wells, or have a column of counts already.
    """

    def __init__(self, inner: PlannedJoin | QueryJoin | PlatemapJoin, manifest: Manifest, *, in_order: bool) -> None:
        import pyarrow as pa

        self._inner = inner
        names = inner.schema.names
        tables = [schema for schema in manifest.tables if schema.table == manifest.preset.image]
        image = {name for schema in tables for name in bundle_schema(manifest, schema).names}
        well, plate = (find_name(name, names, KEY_BEGINNINGS) for name in ("well", "plate"))
        # Columns of the image table rather than their copies under further names.
        of_images = [name for name in names if name in image]
        image_well, image_plate = (find_name(name, of_images, KEY_BEGINNINGS) for name in ("well", "plate"))
        has_sites = bool(image_well) and bool(image_plate) == bool(plate)
        if has_sites:
            well, plate = image_well, image_plate
        if not well:
            metadata = [name for name in names if "Metadata" in name] or names
            raise UsageError(f"--counts needs a column of wells, Metadata_Well; the profiles have {listed(metadata)}")
        self._keys = [plate, well] if plate else [well]
        self._image = manifest.preset.image if has_sites else ""
        fields = [count_field(name, self._keys) for name in (OBJECT_COUNT, *([SITE_COUNT] if has_sites else []))]
        if clashing := [field.name for field in fields if field.name in names]:
            raise UsageError(f"--counts: the profiles have {listed(clashing)} already; rename it or leave it out")
        if not plate:
            logger.info("--counts: the profiles have no Metadata_Plate, so wells of one name are one well")
        if not has_sites:
            logger.info("--counts: no %s, because no table of images has %s", SITE_COUNT, listed(self._keys))
        columns = {field.name: field for field in (*inner.schema, *fields)}
        self.schema = pa.schema([columns[name] for name in (profile_order(columns) if in_order else columns)])

    def join(self, tables: dict[str, pa.Table]) -> JoinedPart:
        """Join one part; the columns of counts are null, because another part may have cells of the same wells."""
        import pyarrow as pa
        import pyarrow.compute as pc

        joined = self._inner.join(tables)
        profiles, wells = joined.profiles, {OBJECT_COUNT: _counted(joined.profiles, self._keys)}
        if self._image:
            # Image sets without a cell count too, unless their dataset is bad.
            images, bad = tables[self._image], pa.array([*joined.counts.get("left_out", {})], pa.string())
            images = images.filter(pc.invert(pc.is_in(images[DATASET], value_set=bad))) if len(bad) else images
            wells[SITE_COUNT] = _counted(images, self._keys)
        for name in wells:
            profiles = profiles.append_column(name, pa.nulls(profiles.num_rows, pa.int64()))
        profiles = profiles.select(self.schema.names).cast(self.schema)
        return replace(joined, profiles=profiles, counts=joined.counts | {WELLS: wells})


def _counted(rows: pa.Table, keys: list[str]) -> dict[str, int]:
    """Return the number of rows of each well."""
    pairs = well_labels(rows, keys).value_counts().to_pylist()
    return {pair["values"]: pair["counts"] for pair in pairs if pair["values"] is not None}
