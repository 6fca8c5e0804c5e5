"""The contents of a report, whatever its form; docs/report.md describes them as JSON."""

from __future__ import annotations

import msgspec
from pycytominer_transform.common.model.provenance import Step
from pycytominer_transform.common.report.plate_format import place_of

SCHEMA_VERSION = 1


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file: rows, row groups, bytes, and the time it was written (ISO 8601, UTC; empty if unknown)."""

    name: str
    rows: int
    row_groups: int
    columns: int
    bytes: int
    written: str = ""


class Well(msgspec.Struct, frozen=True, kw_only=True):
    """One well of a plate.

    Attributes
    ----------
    row, column : int
        Its place from 0; -1 for a name that is no place on a plate.
    cells : int
        Rows of the output.
    image_sets : int
        Image sets with cells.
    image_sets_read : int, optional
        Image sets of the source, where the provenance says so.
    image_sets_without_objects : int, optional
        Those of them in which no object was found, where the provenance says so.
    sites : dict
        By site, its cells.
    sites_missing, sites_doubled : tuple of str
        Sites that other wells of the plate have; sites that several image sets have.
    objects, unmatched : dict
        By table of objects, how many there were, and how many of them were not joined.
    without : dict
        By table, the anchor's objects that lacked a partner in it.
    nulls : int
        Values of features that are null or NaN.
    null_share : float, optional
        `nulls` as a share of all values of features.
    mean_areas : dict
        By compartment, the mean of ``AreaShape_Area`` in pixels.
    robust_z : dict
        By measure (``cells``, ``null_share``, ``area.COMPARTMENT``), the distance from the plate's median well in
        robust standard deviations.
    outlier_of : tuple of str
        The measures whose robust z is at least 3.5 or at most -3.5.
    control : str
        What a platemap says that the well controls, such as ``negcon``; empty for other wells.
    has_platemap_entry : bool, optional
        Whether the platemap has an entry for it; None if no platemap was used.
    """

    name: str
    row: int
    column: int
    cells: int
    image_sets: int
    image_sets_read: int | None = None
    image_sets_without_objects: int | None = None
    sites: dict[str, int] = {}
    sites_missing: tuple[str, ...] = ()
    sites_doubled: tuple[str, ...] = ()
    objects: dict[str, int] = {}
    unmatched: dict[str, int] = {}
    without: dict[str, int] = {}
    nulls: int = 0
    null_share: float | None = None
    mean_areas: dict[str, float] = {}
    robust_z: dict[str, float] = {}
    outlier_of: tuple[str, ...] = ()
    control: str = ""
    has_platemap_entry: bool | None = None

    @property
    def known_image_sets(self) -> int:
        """The image sets of the source, or those with cells where the provenance does not say how many were read."""
        return self.image_sets if self.image_sets_read is None else self.image_sets_read


class Plate(msgspec.Struct, frozen=True, kw_only=True):
    """One plate: its format, such as 8 rows by 12 columns (0 by 0 if no well has a place), and its wells by place.

    Attributes
    ----------
    missing : tuple of str
        Wells of the format of which there is neither a cell nor an image set.
    sites : tuple of str
        The sites of all its wells.
    usual_image_sets : int
        The number of image sets that most wells have.
    """

    name: str
    rows: int
    columns: int
    wells: tuple[Well, ...]
    missing: tuple[str, ...]
    sites: tuple[str, ...]
    usual_image_sets: int

    @property
    def size(self) -> int:
        """The number of wells of the format."""
        return self.rows * self.columns

    @property
    def missing_places(self) -> list[tuple[int, int]]:
        """The rows and columns of the missing wells, from 0."""
        return [place for name in self.missing if (place := place_of(name))]


class TableCounts(msgspec.Struct, frozen=True, kw_only=True):
    """One table of objects or image sets: its rows, those joined, those without a partner, and the cells lacking it."""

    table: str
    rows: int
    joined: int
    unmatched: int
    without: int | None = None


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One feature of the output; ``minimum`` and ``maximum`` are of its finite values."""

    name: str
    compartment: str
    module: str
    channel: str
    nulls: int
    null_share: float
    infinite: int
    minimum: float | None
    maximum: float | None
    faults: tuple[str, ...] = ()


class FeatureGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The features of one compartment, module and channel: how many, how many with a fault, their share of nulls."""

    compartment: str
    module: str
    channel: str
    features: int
    faulty: int
    null_share: float


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """How many wells, sites or cells have a value from one edge up to the next; there is one more edge than counts."""

    name: str
    unit: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    is_logarithmic: bool = False


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the run did, or found, and that a reader should know: what it is, of what, and how often."""

    kind: str
    subject: str
    number: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A report.

    Attributes
    ----------
    title : str
        Name of the output.
    source : str
        What was converted: the name that the provenance has, or what `pct-flow` was given; empty if nobody says.
    command : str
        A command that makes the output again.
    totals : dict
        Figures by section and name, as ``--fail-if`` takes them.
    roles : dict
        Number of columns by role.
    cells_without_well : int
        Rows that name no well.
    steps : tuple of Step
        The provenance, counts of several files added up.
    """

    schema_version: int = SCHEMA_VERSION
    made_by: str
    title: str
    source: str
    preset: str
    command: str
    files: tuple[File, ...]
    rows: int
    columns: int
    roles: dict[str, int]
    totals: dict[str, dict[str, int | float]]
    plates: tuple[Plate, ...]
    cells_without_well: int
    tables: tuple[TableCounts, ...]
    features: tuple[Feature, ...]
    feature_groups: tuple[FeatureGroup, ...]
    histograms: tuple[Histogram, ...]
    notices: tuple[Notice, ...]
    steps: tuple[Step, ...]
