"""Volume <-> vtkMRMLScalarVolumeNode: the only place where DICOM's LPS meets Slicer's RAS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from PRRTPredictorCore.errors import Code, GeometryRefused, InputRefused, RunFailed
from PRRTPredictorCore.records import Modality, Unit, Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Its own inverse."""

MODALITY_ATTRIBUTE = "PRRTPredictor.Modality"
_SHEAR_TOLERANCE = 1e-3


@dataclass(frozen=True)
class CodedUnit:
    """How Slicer is told what voxels mean: (code value, coding scheme, meaning), as in DICOM PS3.16 and UCUM."""

    unit: tuple[str, str, str]
    quantity: tuple[str, str, str]
    modality: Modality


CODED_UNITS: dict[Unit, CodedUnit] = {
    "SUVbw": CodedUnit(
        ("{SUVbw}g/ml", "UCUM", "Standardized Uptake Value body weight"),
        ("126400", "DCM", "Standardized Uptake Value"),
        "PT",
    ),
    "HU": CodedUnit(
        ("[hnsf'U]", "UCUM", "Hounsfield unit"),
        ("112031", "DCM", "Attenuation Coefficient"),
        "CT",
    ),
    "saliency": CodedUnit(
        ("1", "UCUM", "no units"),
        ("SALIENCY", "99PRRT", "Gradient saliency"),
        "PT",
    ),
}


def mrml() -> Any:
    """The module that holds the MRML classes: inside Slicer the application's, elsewhere slicer-core's.

    Raises
    ------
    RunFailed
        ``DEPENDENCY_MISSING``: neither is there.
    """
    try:
        import slicer
    except ImportError as error:
        raise RunFailed(
            Code.DEPENDENCY_MISSING,
            "Scenes need Slicer's own classes, and the package slicer-core is not installed.",
            remedy="Run: pip install 'prrtpredictor[slicer]'",
        ) from error
    return slicer


def addVolumeNode(scene: Any, volume: Volume, name: str) -> Any:
    """Put a copy of ``volume`` into ``scene`` as a scalar volume node, units included, without a display node.

    Parameters
    ----------
    scene : vtkMRMLScene
    volume : Volume
        float32 or int16; any orientation, oblique ones included.
    name : str
        Node name; must be free of identity.

    Returns
    -------
    vtkMRMLScalarVolumeNode
    """
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(_vtkMatrix(LPS_TO_RAS @ volume.ijk_to_lps))
    node.SetAndObserveImageData(_imageData(volume.array))
    node.SetAttribute(MODALITY_ATTRIBUTE, volume.modality)
    coded = CODED_UNITS[volume.unit]
    node.SetVoxelValueUnits(_codedEntry(coded.unit))
    node.SetVoxelValueQuantity(_codedEntry(coded.quantity))
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetCompressionParameter("gzip_fastest")
    return node


def removeVolumeNode(node: Any) -> None:
    """Take a volume node out of its scene, with the display and storage nodes that belong to it alone."""
    scene = node.GetScene()
    if scene is None:
        return
    own = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    own += [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    for one in own:
        if one is not None and one.GetScene() is not None:
            scene.RemoveNode(one)


def volumeFromNode(node: Any, unit: Unit | None = None) -> Volume:
    """Read a scalar volume node as a Volume in LPS.

    A linear transform above the node is part of its place in the patient and is applied. The array is a view of the
    node's voxels where the types allow it: treat it as read-only.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
    unit : {"SUVbw", "HU", "saliency"}, optional
        Used where the node does not state a unit that PRRTPredictor knows.

    Raises
    ------
    GeometryRefused
        ``BAD_GEOMETRY``: a warping transform hangs above the node (Slicer's "acquisition transform" for uneven slices),
        or its axes are sheared. ``EMPTY_IMAGE``: the node holds no voxels.
    InputRefused
        ``UNITS_UNSUPPORTED``: the node's unit is unknown and none was given.
    """
    values = voxelsOfNode(node)
    if values.dtype not in (np.dtype(np.int16), np.dtype(np.float32)):
        values = values.astype(np.float32)
    found = unitOfNode(node) or unit
    if found is None:
        raise InputRefused(
            Code.UNITS_UNSUPPORTED,
            "The volume does not say whether its values are SUV or HU.",
            remedy="Load the study through PRRTPredictor's study table, so that the SUV is computed from the header.",
        )
    modality = node.GetAttribute(MODALITY_ATTRIBUTE) or CODED_UNITS[found].modality
    return Volume(values, LPS_TO_RAS @ _ijkToWorld(node), modality, found)


def voxelsOfNode(node: Any) -> NDArray[Any]:
    """The voxels of a scalar volume node as [k, j, i], a view in whatever type the node holds.

    Raises
    ------
    GeometryRefused
        ``EMPTY_IMAGE``: the node holds no voxels.
    """
    from vtk.util.numpy_support import vtk_to_numpy

    image = node.GetImageData()
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None or scalars.GetNumberOfComponents() != 1:
        raise GeometryRefused(
            Code.EMPTY_IMAGE, "The volume holds no image of single values.", remedy="Load the series again."
        )
    i, j, k = image.GetDimensions()
    values: NDArray[Any] = vtk_to_numpy(scalars)
    return values.reshape(k, j, i)


def ijkToRasOfNode(node: Any) -> NDArray[np.float64]:
    """A volume node's own IJK to RAS, shape (4, 4), without the transforms above it."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return _arrayFromMatrix(matrix)


def linearTransformOfNode(node: Any) -> NDArray[np.float64] | None:
    """RAS to world RAS, shape (4, 4), by the transform above the node; None where that one warps space."""
    import vtk

    transform = node.GetParentTransformNode()
    if transform is None:
        return np.eye(4)
    if not transform.IsTransformToWorldLinear():
        return None
    toWorld = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(toWorld)
    return _arrayFromMatrix(toWorld)


def unitOfNode(node: Any) -> Unit | None:
    """The unit that a volume node states, if PRRTPredictor knows it; never guessed from the values."""
    entry = node.GetVoxelValueUnits()
    stated = entry.GetCodeValue() if entry is not None else None
    for unit, coded in CODED_UNITS.items():
        if stated == coded.unit[0] and (unit != "saliency" or _quantity(node) == coded.quantity[0]):
            return unit
    return None


def rasFromLps(pointLps: NDArray[np.float64]) -> NDArray[np.float64]:
    """A position (3,) in mm from DICOM's world to Slicer's."""
    return np.asarray(LPS_TO_RAS[:3, :3] @ pointLps, dtype=np.float64)


def _quantity(node: Any) -> str | None:
    entry = node.GetVoxelValueQuantity()
    return entry.GetCodeValue() if entry is not None else None


def _ijkToWorld(node: Any) -> NDArray[np.float64]:
    """IJK to world RAS, with the linear transform above the node."""
    toWorld = linearTransformOfNode(node)
    if toWorld is None:
        raise GeometryRefused(
            Code.BAD_GEOMETRY,
            "A warping transform lies above the volume; its voxels are not where its geometry says.",
            remedy="Harden the transform (Data module, right click on the transform column), or load the series "
            "through PRRTPredictor's study table.",
        )
    matrix = toWorld @ ijkToRasOfNode(node)
    requireStraight(matrix)
    return matrix


def requireStraight(matrix: NDArray[np.float64]) -> None:
    """Refuse an affine, shape (4, 4), whose axes are not perpendicular.

    Raises
    ------
    GeometryRefused
        ``BAD_GEOMETRY``.
    """
    directions = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    if np.abs(directions.T @ directions - np.eye(3)).max() > _SHEAR_TOLERANCE:
        raise GeometryRefused(
            Code.BAD_GEOMETRY,
            "The volume's axes are not perpendicular.",
            remedy="Resample the volume to a straight grid first.",
        )


def _imageData(array: NDArray[Any]) -> Any:
    """VTK's image with unit spacing (the node holds the geometry), owning a copy of the voxels."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    k, j, i = array.shape
    image = vtk.vtkImageData()
    image.SetDimensions(i, j, k)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array).reshape(-1), deep=True))
    return image


def _codedEntry(entry: tuple[str, str, str]) -> Any:
    coded = mrml().vtkCodedEntry()
    coded.SetValueSchemeMeaning(*entry)
    return coded


def _vtkMatrix(array: NDArray[np.float64]) -> Any:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, dtype=np.float64).ravel().tolist())
    return matrix


def _arrayFromMatrix(matrix: Any) -> NDArray[np.float64]:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
