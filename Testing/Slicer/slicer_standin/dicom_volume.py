"""A DICOM series as a volume node, as Slicer's scalar volume plugin makes it.

Pixels come through Slicer's own reader (vtkITK with GDCM). What follows are facts of that plugin: node name, instance
UIDs, units for CT only, right-handed slice order, and a grid transform over the node where the slices are not where a
regular grid would have them.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

_CT_STORAGE = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_PET_STORAGE = ("1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1")
CORNER_TOLERANCE_MM = 1e-3
"""How far a slice corner may lie from the regular grid before Slicer adds an acquisition transform."""


def loadVolume(database: Any, files: list[str]) -> Any:
    """Read the files of one series into ``slicer.mrmlScene``; the node, or None where Slicer's reader cannot."""
    files = sortedByPosition(database, files)
    node = _read(files, _nodeName(database, files[0]))
    if node is None:
        return None
    toRas = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(toRas)
    if not slicer.vtkMRMLVolumeNode.IsIJKCoordinateSystemRightHanded(toRas):
        slicer.vtkMRMLVolumeNode.ReverseSliceOrder(node.GetImageData(), toRas)
        node.SetIJKToRASMatrix(toRas)
        files = files[::-1]
    _describe(database, node, files)
    return node


def sortedByPosition(database: Any, files: list[str]) -> list[str]:
    """Files in the order of their slices along the first one's normal; as given where positions are missing."""
    orientation = _numbers(database.fileValue(files[0], "0020,0037"))
    positions = [_numbers(database.fileValue(path, "0020,0032")) for path in files]
    if len(orientation) != 6 or any(len(position) != 3 for position in positions):
        return list(files)
    normal = np.cross(orientation[:3], orientation[3:])
    order = np.argsort(np.array(positions) @ normal, kind="stable")
    return [files[index] for index in order]


def addAcquisitionTransform(database: Any, node: Any) -> Any | None:
    """Hang the volume under a grid transform that puts every slice where its header says, if the grid is irregular."""
    target = _cornersFromHeaders(database, node)
    if target is None:
        return None
    source = _cornersFromNode(node)
    if np.abs(target - source).max() <= CORNER_TOLERANCE_MM:
        return None
    name = slicer.mrmlScene.GenerateUniqueName(f"{node.GetName()} acquisition transform")
    transformNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", name)
    columns, rows, slices = node.GetImageData().GetDimensions()
    spacing = node.GetSpacing()
    grid = vtk.vtkImageData()
    grid.SetOrigin(node.GetOrigin())
    grid.SetDimensions(2, 2, slices)
    grid.SetSpacing(spacing[0] * columns, spacing[1] * rows, spacing[2])
    grid.AllocateScalars(vtk.VTK_DOUBLE, 3)
    directions = vtk.vtkMatrix4x4()
    node.GetIJKToRASDirectionMatrix(directions)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetGridDirectionMatrix(directions)
    transform.SetDisplacementGridData(grid)
    for k, j, i in itertools.product(range(slices), range(2), range(2)):
        for axis, shift in enumerate(target[k, j, i] - source[k, j, i]):
            grid.SetScalarComponentFromDouble(i, j, k, axis, shift)
    transformNode.SetAndObserveTransformToParent(transform)
    node.SetAndObserveTransformNodeID(transformNode.GetID())
    return transformNode


def _read(files: list[str], name: str) -> Any:
    reader = slicer.vtkITKArchetypeImageSeriesScalarReader()
    reader.SetArchetype(files[0])
    for path in files:
        reader.AddFileName(path)
    reader.SetSingleFile(0)
    reader.SetOutputScalarTypeToNative()
    reader.SetDesiredCoordinateOrientationToNative()
    reader.SetUseNativeOriginOn()
    reader.SetDICOMImageIOApproachToGDCM()
    reader.Update()
    if reader.GetErrorCode() != 0:
        return None
    image = vtk.vtkImageData()
    image.ShallowCopy(reader.GetOutput())
    image.SetSpacing(1, 1, 1)
    image.SetOrigin(0, 0, 0)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", slicer.mrmlScene.GenerateUniqueName(name))
    node.SetAndObserveImageData(image)
    node.SetRASToIJKMatrix(reader.GetRasToIjkMatrix())
    node.CreateDefaultDisplayNodes()
    return node


def _describe(database: Any, node: Any, files: list[str]) -> None:
    """Attributes, window, colours and units, from the headers."""
    uids = [database.fileValue(path, "0008,0018") or "Unknown" for path in files]
    node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    numbers = [database.fileValue(path, "0020,0013") or "?" for path in files]
    node.SetAttribute("DICOM.instanceNumbers", " ".join(numbers))
    middle = files[len(files) // 2]
    display = node.GetScalarVolumeDisplayNode()
    centres, widths = (_numbers(database.fileValue(middle, tag)) for tag in ("0028,1050", "0028,1051"))
    for centre, width in zip(centres, widths, strict=False):
        display.AddWindowLevelPreset(width, centre)
    if len(centres) and len(widths):
        display.SetWindowLevelFromPreset(0)
    sopClass = database.fileValue(middle, "0008,0016")
    if sopClass in _PET_STORAGE:
        heat = slicer.vtkMRMLColorLogic.GetPETColorNodeID(slicer.vtkMRMLPETProceduralColorNode.PETheat)
        display.SetAndObserveColorNodeID(heat)
    if sopClass in _CT_STORAGE:
        node.SetVoxelValueQuantity(_coded("112031", "DCM", "Attenuation Coefficient"))
        node.SetVoxelValueUnits(_coded("[hnsf'U]", "UCUM", "Hounsfield unit"))


def _cornersFromHeaders(database: Any, node: Any) -> NDArray[np.float64] | None:
    """RAS of each slice's four corners, shape (slices, 2, 2, 3); None where the files do not say."""
    columns, rows, slices = node.GetImageData().GetDimensions()
    uids = node.GetAttribute("DICOM.instanceUIDs").split()
    if len(uids) != slices:
        return None  # several frames in one file
    toRas = np.array([-1.0, -1.0, 1.0])
    corners = np.empty((slices, 2, 2, 3))
    for k, uid in enumerate(uids):
        path = database.fileForInstance(uid)
        position, orientation, spacing = (
            _numbers(database.fileValue(path, tag)) for tag in ("0020,0032", "0020,0037", "0028,0030")
        )
        if (len(position), len(orientation), len(spacing)) != (3, 6, 2):
            return None
        along = columns * spacing[1] * orientation[:3]  # DICOM's spacing is rows first
        down = rows * spacing[0] * orientation[3:]
        for j, i in itertools.product(range(2), range(2)):
            corners[k, j, i] = (position + i * along + j * down) * toRas
    return corners


def _cornersFromNode(node: Any) -> NDArray[np.float64]:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    columns, rows, slices = node.GetImageData().GetDimensions()
    corners = np.empty((slices, 2, 2, 3))
    for k, j, i in itertools.product(range(slices), range(2), range(2)):
        corners[k, j, i] = matrix.MultiplyPoint((i * columns, j * rows, k, 1))[:3]
    return corners


def _nodeName(database: Any, path: str) -> str:
    description = database.fileValue(path, "0008,103E") or "Unnamed Series"
    number = database.fileValue(path, "0020,0011")
    return f"{number}: {description}" if number else description


def _numbers(text: str) -> NDArray[np.float64]:
    return np.array([float(part) for part in text.split("\\") if part])


def _coded(value: str, scheme: str, meaning: str) -> Any:
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(value, scheme, meaning)
    return entry
