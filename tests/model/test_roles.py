"""Every column has one role, by its name, its type and the preset."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.model.column_types import ColumnType
from pycytominer_transform.common.model.preset import load_preset
from pycytominer_transform.common.model.roles import (
    ROLES,
    Role,
    chosen_columns,
    field_metadata,
    role_list,
    role_of,
    role_of_field,
    unit_of_field,
    with_roles,
)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Metadata_ImageNumber", "identifier"),
        ("Metadata_Cytoplasm_Parent_Cells", "identifier"),
        ("Cells_Number_Object_Number", "identifier"),
        ("Cells_Parent_Nuclei", "identifier"),
        ("Nuclei_Neighbors_FirstClosestObjectNumber_2", "identifier"),
        ("Cells_Neighbors_SecondClosestObjectNumber_Adjacent", "identifier"),
        ("Cells_TrackObjects_Label_50", "identifier"),
        ("Cells_TrackObjects_ParentObjectNumber_50", "identifier"),
        ("Metadata_Plate", "metadata"),
        ("Metadata_Count_Of_Drugs", "metadata"),
        ("Image_Metadata_Well", "metadata"),
        ("Cells_AreaShape_Center_Z", "location"),
        ("Cells_AreaShape_BoundingBoxMinimum_X", "location"),
        ("Cells_AreaShape_BoundingBoxArea", "location"),
        ("Cells_AreaShape_Orientation", "location"),
        ("Cells_Location_CenterMassIntensity_X_DNA", "location"),
        ("Nuclei_Mean_Spots_Location_Center_X", "location"),
        ("Cells_TrackObjects_TrajectoryX_50", "location"),
        ("Nuclei_Children_Cells_Count", "count"),
        ("Image_Count_Cells", "count"),
        ("Image_FileName_DNA", "image"),
        ("Image_ImageQuality_Correlation_DNA_20", "image"),
        ("Cells_AreaShape_Area", "feature"),
        ("Cells_AreaShape_Extent", "feature"),
        ("Cells_AreaShape_Zernike_2_0", "feature"),
        ("Cells_Neighbors_NumberOfNeighbors_2", "feature"),
        ("Cells_Neighbors_AngleBetweenNeighbors_2", "feature"),
        ("Cells_Intensity_MassDisplacement_DNA", "feature"),
        ("Cells_RadialDistribution_FracAtD_DNA_1of4", "feature"),
        ("Cells_TrackObjects_DistanceTraveled_50", "feature"),
        ("efficientnet_1", "feature"),
    ],
)
def test_names_say_the_role(name: str, role: Role) -> None:
    assert role_of(name, "float64") == role


@pytest.mark.parametrize(
    ("kind", "role"), [("int64", "feature"), ("float32", "feature"), ("string", "metadata"), ("bool", "metadata")]
)
def test_only_numbers_are_features(kind: ColumnType, role: Role) -> None:
    assert role_of("Cells_Class", kind) == role


def test_a_measurement_of_the_image_table_is_no_feature_of_a_cell() -> None:
    assert role_of("Threshold_FinalThreshold_Cells", "float64", is_of_image=True) == "image"
    assert role_of("Metadata_Site", "int64", is_of_image=True) == "metadata"


def test_a_preset_says_otherwise() -> None:
    preset = load_preset("in_carta")
    assert preset.role_of("Primary Target cg X wv1") == "location"
    assert preset.role_of("OBJECT ID") == "identifier"
    assert preset.role_of("Primary Target Area wv1") is None
    assert preset.unit_of("Primary Target Area wv1") == "µm²"
    assert preset.unit_of("F Actin Spacing wv2") == preset.unit_of("Primary Target cg X wv1") == "µm"
    assert preset.unit_of("Cells Max left border wv1") == "pixel"
    assert preset.unit_of("Primary Target Intensity wv1") == ""


def test_a_unit_comes_from_the_preset_else_from_the_end_of_the_name() -> None:
    given = pa.schema([pa.field("Area wv1", pa.float64(), metadata=field_metadata("feature", "µm²"))])
    schema = with_roles(pa.schema([pa.field(name, pa.float64()) for name in ("Area wv1", "X [µm]", "Area")]), given)
    assert [unit_of_field(field) for field in schema] == ["µm²", "µm", ""]
    assert schema.field("X [µm]").metadata[b"pct.unit"].decode() == "µm"
    assert b"pct.unit" not in schema.field("Area").metadata


def test_an_unknown_role_is_refused_with_the_one_that_is_near() -> None:
    assert role_list("metadata,feature") == ("metadata", "feature")
    with pytest.raises(UsageError, match=r"'features' is no role.*did you mean feature\?"):
        role_list("features")


def test_fields_keep_their_role_and_others_get_one_by_name() -> None:
    given = pa.schema([pa.field("Cells_Class", pa.float64(), metadata=field_metadata("metadata"))])
    schema = with_roles(
        pa.schema({"Cells_Class": pa.float64(), "Cells_Area": pa.float32(), "text": pa.string()}), given
    )
    assert [role_of_field(field) for field in schema] == ["metadata", "feature", "metadata"]
    assert all(role_of_field(pa.field("x", pa.int8(), metadata=field_metadata(role))) == role for role in ROLES)


def test_columns_are_chosen_by_role() -> None:
    schema = pa.schema({"Metadata_Well": pa.string(), "Cells_Location_X": pa.float64(), "Cells_Area": pa.float64()})
    assert chosen_columns(schema, ("feature", "metadata"), ()).names == ["Metadata_Well", "Cells_Area"]
    assert chosen_columns(schema, (), ("location",)).names == ["Metadata_Well", "Cells_Area"]
    assert chosen_columns(schema, (), ()).names == schema.names
    with pytest.raises(UsageError, match="leave no column; the columns have the roles metadata, location, feature"):
        chosen_columns(schema, ("feature",), ("feature",))
