"""Volumes as MRML nodes: right voxels, right place, stated units."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from PRRTPredictorCore.errors import Code, GeometryRefused, InputRefused, RunFailed
from PRRTPredictorCore.records import Volume
from PRRTPredictorLib import Volumes

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
vtk = pytest.importorskip("vtk")


def oblique() -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (12, -7, 25), degrees=True).as_matrix() @ np.diag([3.0, 4.0, 5.0])
    affine[:3, 3] = (-101.5, 37.25, -640.125)
    return affine


def volume(modality="PT", unit="SUVbw", dtype=np.float32) -> Volume:
    return Volume((100 * np.random.default_rng(0).random((4, 5, 6))).astype(dtype), oblique(), modality, unit)


@pytest.mark.parametrize(
    ("modality", "unit", "dtype"),
    [
        ("PT", "SUVbw", np.float32),
        ("CT", "HU", np.int16),
        ("PT", "saliency", np.float32),
        ("CT", "saliency", np.float32),
    ],
)
def test_round_trip(modality, unit, dtype) -> None:
    scene, original = slicer.vtkMRMLScene(), volume(modality, unit, dtype)
    node = Volumes.addVolumeNode(scene, original, "Image")
    read = Volumes.volumeFromNode(node)
    np.testing.assert_array_equal(read.array, original.array)
    assert read.array.dtype == dtype
    np.testing.assert_allclose(read.ijk_to_lps, original.ijk_to_lps, atol=1e-9)
    assert (read.modality, read.unit) == (modality, unit)
    assert Volumes.unitOfNode(node) == unit


def test_a_voxel_lies_where_slicer_says() -> None:
    scene, original = slicer.vtkMRMLScene(), volume()
    node = Volumes.addVolumeNode(scene, original, "Image")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ras = np.array(matrix.MultiplyPoint((5, 4, 3, 1)))[:3]
    lps = (original.ijk_to_lps @ (5, 4, 3, 1))[:3]
    np.testing.assert_allclose(ras, lps * (-1, -1, 1))
    np.testing.assert_allclose(Volumes.rasFromLps(lps), ras)
    assert node.GetImageData().GetScalarComponentAsDouble(5, 4, 3, 0) == original.array[3, 4, 5]
    assert node.GetImageData().GetSpacing() == (1, 1, 1)  # the node holds the geometry


def test_units_are_dicom_codes() -> None:
    scene = slicer.vtkMRMLScene()
    pet = Volumes.addVolumeNode(scene, volume(), "PET")
    assert pet.GetVoxelValueUnits().GetCodeValue() == "{SUVbw}g/ml"
    assert pet.GetVoxelValueUnits().GetCodingSchemeDesignator() == "UCUM"
    assert pet.GetVoxelValueQuantity().GetCodeValue() == "126400"
    ct = Volumes.addVolumeNode(scene, volume("CT", "HU"), "CT")
    # As Slicer's own DICOM loader writes them.
    assert ct.GetVoxelValueUnits().GetCodeMeaning() == "Hounsfield unit"
    assert ct.GetVoxelValueQuantity().GetCodeMeaning() == "Attenuation Coefficient"


def test_a_node_without_units_is_not_guessed() -> None:
    scene = slicer.vtkMRMLScene()
    node = Volumes.addVolumeNode(scene, volume(), "PET")
    node.SetVoxelValueUnits(None)
    assert Volumes.unitOfNode(node) is None
    with pytest.raises(InputRefused) as caught:
        Volumes.volumeFromNode(node)
    assert caught.value.code is Code.UNITS_UNSUPPORTED
    assert Volumes.volumeFromNode(node, unit="SUVbw").unit == "SUVbw"


def test_a_linear_transform_is_applied() -> None:
    scene, original = slicer.vtkMRMLScene(), volume()
    node = Volumes.addVolumeNode(scene, original, "PET")
    shift = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 10.0)  # 10 mm to the right
    shift.SetMatrixTransformToParent(matrix)
    node.SetAndObserveTransformNodeID(shift.GetID())
    moved = Volumes.volumeFromNode(node).ijk_to_lps[:3, 3] - original.ijk_to_lps[:3, 3]
    np.testing.assert_allclose(moved, (-10, 0, 0), atol=1e-9)


def test_a_warping_transform_is_refused() -> None:
    scene = slicer.vtkMRMLScene()
    node = Volumes.addVolumeNode(scene, volume(), "PET")
    warp = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    field = vtk.vtkImageData()
    field.SetDimensions(2, 2, 2)
    field.AllocateScalars(vtk.VTK_DOUBLE, 3)
    for z in range(2):
        for component in range(3):
            field.SetScalarComponentFromDouble(0, 0, z, component, 3.0)
    grid = vtk.vtkGridTransform()
    grid.SetDisplacementGridData(field)
    warp.SetAndObserveTransformFromParent(grid)
    node.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(GeometryRefused) as caught:
        Volumes.volumeFromNode(node)
    assert caught.value.code is Code.BAD_GEOMETRY
    assert "Harden" in caught.value.remedy


def test_an_empty_node_is_refused() -> None:
    scene = slicer.vtkMRMLScene()
    with pytest.raises(GeometryRefused) as caught:
        Volumes.volumeFromNode(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode"))
    assert caught.value.code is Code.EMPTY_IMAGE


def test_the_node_owns_its_voxels() -> None:
    scene, original = slicer.vtkMRMLScene(), volume()
    node = Volumes.addVolumeNode(scene, original, "PET")
    first = float(original.array[0, 0, 0])
    original.array[...] = -1
    assert node.GetImageData().GetScalarComponentAsDouble(0, 0, 0, 0) == first


def test_without_slicer_core_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "slicer", None)
    with pytest.raises(RunFailed) as caught:
        Volumes.mrml()
    assert caught.value.code is Code.DEPENDENCY_MISSING
    assert "pip install 'prrtpredictor[slicer]'" in caught.value.remedy
