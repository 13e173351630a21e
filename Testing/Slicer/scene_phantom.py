"""A study of a few voxels with one planted hot block, and how Slicer's own slice logic shows it."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from PRRTPredictorCore.records import Volume

VIEWS = ("Red", "Green", "Yellow")
HOT = (14, 12, 20)


def affine(spacing_kji, shape, rotation=(0, 0, 0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", rotation, degrees=True).as_matrix() @ np.diag(spacing_kji[::-1])
    matrix[:3, 3] = np.array([5.0, -30.0, 100.0]) - matrix[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return matrix


def study(rotation=(0, 0, 0)) -> tuple[Volume, Volume, Volume]:
    """A soft tissue block on CT, a faint PET, and a saliency with one hot block of 3 x 3 x 3 voxels around HOT."""
    pet_shape, ct_shape = (24, 30, 32), (40, 50, 60)
    at = affine((8.0, 8.0, 8.0), pet_shape, rotation)
    ct = np.full(ct_shape, -1000, dtype=np.int16)
    ct[3:-3, 5:-5, 5:-5] = -60
    saliency = np.full(pet_shape, 0.1, dtype=np.float32)
    saliency[tuple(slice(n - 1, n + 2) for n in HOT)] = 1.0
    pet = np.random.default_rng(0).random(pet_shape, dtype=np.float32)
    return (
        Volume(pet, at, "PT", "SUVbw"),
        Volume(ct, affine((5.0, 4.0, 4.0), ct_shape), "CT", "HU"),
        Volume(saliency, at, "PT", "saliency"),
    )


def brightest_pixel_lps(scene, layout_name: str) -> np.ndarray:
    """LPS position of the middle of the most coloured pixels of a slice view, as Slicer's slice logic blends it."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(scene)
    logic.SetSliceNode(scene.GetSingletonNode(layout_name, "vtkMRMLSliceNode"))
    logic.UpdatePipeline()
    producer = logic.GetImageDataConnection().GetProducer()
    producer.Update()
    image = producer.GetOutputDataObject(0)
    width, height, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[..., :3].astype(float)
    colour = pixels.max(axis=-1) - pixels.min(axis=-1)  # CT is grey: what has colour is the map
    assert colour.max() > 50
    y, x = np.argwhere(colour > 0.9 * colour.max()).mean(axis=0)
    to_ras = vtk.vtkMatrix4x4()
    # The image covers the view's field of view, whatever its number of pixels.
    view = logic.GetSliceNode()
    to_ras.DeepCopy(view.GetXYToRAS())
    scale = [view.GetDimensions()[axis] / size for axis, size in enumerate((width, height))]
    ras = np.array(to_ras.MultiplyPoint((x * scale[0], y * scale[1], 0, 1)))[:3]
    logic.SetMRMLScene(None)
    return ras * (-1, -1, 1)


def plane_position(scene, layout_name: str) -> float:
    """RAS coordinate in mm, along the axis on which the view steps, of the middle of its plane."""
    axis = {"Yellow": 0, "Green": 1, "Red": 2}[layout_name.removesuffix("+")]
    return scene.GetSingletonNode(layout_name, "vtkMRMLSliceNode").GetSliceToRAS().GetElement(axis, 3)
