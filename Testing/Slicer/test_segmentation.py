"""The organ labels that the core writes, opened by Slicer's own segmentation reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from PRRTPredictorCore.imaging.segmentation import Segmentation, read_segmentation, write_segmentation


def organs() -> Segmentation:
    labels = np.zeros((6, 7, 8), np.int16)
    labels[1:3, 2:5, 3:7] = 2
    labels[4, 5, 6] = 13
    affine = np.array([[4.0, 0, 0, -90.0], [0, 4.5, 0, -70.0], [0, 0, 11.0, 30.0], [0, 0, 0, 1.0]])
    return Segmentation(labels, affine, {2: "liver", 7: "spleen", 13: "lesions"})


def loaded(path: Path) -> Any:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    slicer.mrmlScene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    return node


def test_slicer_opens_the_organs_as_segments_at_their_place(host: Any, tmp_path: Path) -> None:
    import slicer
    import vtk

    write_segmentation(tmp_path / "organs.seg.nrrd", organs())
    segmentation = loaded(tmp_path / "organs.seg.nrrd").GetSegmentation()
    names = [segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())]
    assert names == ["liver", "spleen", "lesions"]
    colours = {tuple(segmentation.GetNthSegment(n).GetColor()) for n in range(3)}
    assert len(colours) == 3
    lesions = segmentation.GetSegment(segmentation.GetSegmentIdBySegmentName("lesions"))
    assert lesions.GetLabelValue() == 13
    image = lesions.GetRepresentation(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName())
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    ras = matrix.MultiplyPoint((6.0, 5.0, 4.0, 1.0))
    low = image.GetExtent()
    assert low[0] <= 6 <= low[1]
    assert low[4] <= 4 <= low[5]
    assert image.GetScalarComponentAsDouble(6, 5, 4, 0) == 13.0
    np.testing.assert_allclose(ras[:3], (90.0 - 24.0, 70.0 - 22.5, 74.0))


def test_what_slicer_saves_comes_back(host: Any, tmp_path: Path) -> None:
    write_segmentation(tmp_path / "organs.seg.nrrd", organs())
    node = loaded(tmp_path / "organs.seg.nrrd")
    storage = node.GetStorageNode() or storage_of(node)
    storage.SetFileName(str(tmp_path / "saved.seg.nrrd"))
    assert storage.WriteData(node) == 1
    read = read_segmentation(tmp_path / "saved.seg.nrrd")
    assert set(read.names.values()) == {"liver", "spleen", "lesions"}
    labels = {name: label for label, name in read.names.items()}
    for name, label in (("liver", 2), ("lesions", 13)):
        there = places(read, labels[name])
        np.testing.assert_allclose(there, places(organs(), label))


def storage_of(node: Any) -> Any:
    import slicer

    storage = slicer.vtkMRMLSegmentationStorageNode()
    slicer.mrmlScene.AddNode(storage)
    node.SetAndObserveStorageNodeID(storage.GetID())
    return storage


def places(segmentation: Segmentation, label: int) -> np.ndarray[Any, Any]:
    """LPS positions of an organ's voxels, in mm, sorted."""
    kji = np.argwhere(segmentation.labels == label)
    lps = kji[:, ::-1] @ segmentation.ijk_to_lps[:3, :3].T + segmentation.ijk_to_lps[:3, 3]
    return np.asarray(sorted(map(tuple, np.round(lps, 4))))
