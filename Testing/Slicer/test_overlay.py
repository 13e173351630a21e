"""The overlay seen is right: the brightest pixel of Slicer's own slice composite lies on the planted block."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scene_phantom import HOT, VIEWS, brightest_pixel_lps, plane_position, study

from PRRTPredictorCore.records import Volume
from PRRTPredictorLib import Display
from PRRTPredictorLib.Volumes import addVolumeNode

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")

MIRRORED = np.diag([-1.0, 1.0, 1.0, 1.0])
ROTATIONS = [(0, 0, 0), (12, -7, 25), (0, 180, 3), (90, 0, 0)]


class Shown:
    """A study with its saliency on display, in a scene of its own unless one is given."""

    def __init__(self, pet: Volume, ct: Volume, saliency: Volume, scene: Any = None) -> None:
        self.scene = scene or slicer.vtkMRMLScene()
        self.saliency = saliency
        self.pet, self.ct, self.node = (
            addVolumeNode(self.scene, volume, name)
            for volume, name in ((pet, "PET"), (ct, "CT"), (saliency, "Saliency"))
        )
        Display.showStudy(self.scene, self.pet, self.ct)
        self.display = Display.SaliencyDisplay(self.scene)
        self.display.show(self.pet, self.ct, self.node)

    def assert_hot_block_is_brightest(self, hot: tuple[int, int, int] = HOT) -> None:
        for name in VIEWS:
            lps = brightest_pixel_lps(self.scene, name + "+")
            ijk = np.linalg.inv(self.saliency.ijk_to_lps) @ (*lps, 1.0)
            assert np.abs(ijk[:3][::-1] - hot).max() <= 2.0, name


def mirrored(volume: Volume) -> Volume:
    """The same voxels on axes of the other handedness."""
    return Volume(volume.array, volume.ijk_to_lps @ MIRRORED, volume.modality, volume.unit)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_the_brightest_pixel_lies_on_the_hot_block(rotation) -> None:
    Shown(*study(rotation)).assert_hot_block_is_brightest()


def test_on_mirrored_axes_too() -> None:
    pet, ct, saliency = study((12, -7, 25))
    assert np.linalg.det(mirrored(saliency).ijk_to_lps) < 0
    Shown(mirrored(pet), ct, mirrored(saliency)).assert_hot_block_is_brightest()


@pytest.mark.parametrize("rotation", ROTATIONS[:2])
def test_after_threshold_opacity_and_colour_changed(rotation) -> None:
    shown = Shown(*study(rotation))
    for threshold, opacity in ((0.05, 1.0), (0.6, 0.9), (0.9, 0.4)):
        shown.display.setThreshold(threshold)
        shown.display.setOpacity(opacity)
        shown.assert_hot_block_is_brightest()
    shown.display.setOpacity(0.9)
    shown.display.setColour(shown.scene.GetNodeByID("vtkMRMLColorTableNodeRed"))
    shown.assert_hot_block_is_brightest()


def test_the_threshold_makes_the_rest_transparent() -> None:
    shown = Shown(*study())
    shown.display.setOpacity(1.0)
    for name in VIEWS:
        shown.display.setThreshold(0.3)
        few = coloured_share(shown.scene, name + "+")
        shown.display.setThreshold(0.05)
        many = coloured_share(shown.scene, name + "+")
        # At 0.3 the block of 3 x 3 voxels of 8 mm; at 0.05 everything that the map covers.
        assert 0.001 < few < 0.02
        assert many > 10 * few


@pytest.mark.parametrize("rotation", ROTATIONS[:2])
def test_the_hottest_spot_is_found_again(rotation) -> None:
    shown = Shown(*study(rotation))
    for name in VIEWS:
        for row in ("", "+"):
            view = shown.scene.GetSingletonNode(name + row, "vtkMRMLSliceNode")
            view.SetSliceOffset(view.GetSliceOffset() + 60)
    ras = shown.display.jumpToHottest()
    first = (shown.saliency.ijk_to_lps @ (HOT[2] - 1, HOT[1] - 1, HOT[0] - 1, 1))[:3] * (-1, -1, 1)
    np.testing.assert_allclose(ras, first, atol=1e-6)
    for name, coordinate in zip(("Yellow", "Green", "Red"), ras, strict=True):
        for row in ("", "+"):
            assert plane_position(shown.scene, name + row) == pytest.approx(coordinate, abs=1e-6)
    shown.assert_hot_block_is_brightest()


def test_a_view_that_looks_elsewhere_comes_to_the_spot() -> None:
    shown = Shown(*study())
    view = shown.scene.GetSingletonNode("Red", "vtkMRMLSliceNode")
    view.SetFieldOfView(20, 20, 1)
    view.JumpSliceByCentering(150, 150, 0)
    ras = shown.display.jumpToHottest()
    middle = [view.GetSliceToRAS().GetElement(axis, 3) for axis in range(3)]
    np.testing.assert_allclose(middle, ras)


def test_a_transform_above_the_study_is_followed() -> None:
    import vtk

    shown = Shown(*study())
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 40.0)
    transform = shown.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(matrix)
    before = shown.display.jumpToHottest()
    for node in (shown.pet, shown.ct, shown.node):
        node.SetAndObserveTransformNodeID(transform.GetID())
    np.testing.assert_allclose(shown.display.jumpToHottest() - before, (40, 0, 0), atol=1e-6)


def coloured_share(scene, layout_name: str) -> float:
    """Share of a slice view's pixels that are not grey, as Slicer's slice logic blends them."""
    from vtk.util.numpy_support import vtk_to_numpy

    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(scene)
    logic.SetSliceNode(scene.GetSingletonNode(layout_name, "vtkMRMLSliceNode"))
    logic.UpdatePipeline()
    producer = logic.GetImageDataConnection().GetProducer()
    producer.Update()
    pixels = vtk_to_numpy(producer.GetOutputDataObject(0).GetPointData().GetScalars())[:, :3].astype(float)
    logic.SetMRMLScene(None)
    return float((pixels.max(axis=-1) - pixels.min(axis=-1) > 10).mean())
