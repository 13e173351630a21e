"""Showing a study and its saliency: layout, field, linking, legend, surface; at once, and without leaving a node."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scene_phantom import HOT, VIEWS, affine, study
from test_overlay import Shown, mirrored

from PRRTPredictorCore.errors import Code, InputRefused
from PRRTPredictorCore.records import Volume
from PRRTPredictorLib import Display, Scene, Surface, Views
from PRRTPredictorLib.Volumes import addVolumeNode

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")

LIMIT_S = 0.3  # of the processor; some hundredths where the machine is not slow


@pytest.fixture
def shown() -> Shown:
    return Shown(*study((12, -7, 25)))


def node_ids(scene) -> set[str]:
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


def own(scene, role: str, class_name: str = "vtkMRMLNode") -> list:
    nodes = Views.nodesOf(scene, class_name)
    return [node for node in nodes if node.GetAttribute(Display.ROLE_ATTRIBUTE) == role]


def composite(scene, name: str):
    return scene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")


def slice_view(scene, name: str):
    return scene.GetSingletonNode(name, "vtkMRMLSliceNode")


def layout_of(scene) -> int:
    return scene.GetFirstNodeByClass("vtkMRMLLayoutNode").GetViewArrangement()


# --- the study --------------------------------------------------------------------------------------------------------


def loaded(rotation=(0, 0, 0)):
    scene = slicer.vtkMRMLScene()
    pet, ct, _ = study(rotation)
    return scene, addVolumeNode(scene, pet, "PET"), addVolumeNode(scene, ct, "CT")


def test_a_study_is_shown_as_pet_over_ct() -> None:
    scene, pet, ct = loaded()
    Display.showStudy(scene, pet, ct)
    assert layout_of(scene) == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    for name, orientation in zip(VIEWS, ("Axial", "Coronal", "Sagittal"), strict=True):
        layers = composite(scene, name)
        assert (layers.GetBackgroundVolumeID(), layers.GetForegroundVolumeID()) == (ct.GetID(), pet.GetID())
        assert layers.GetForegroundOpacity() == pytest.approx(0.5)
        assert layers.GetLinkedControl()
        assert slice_view(scene, name).GetOrientation() == orientation
    for node, window, colour in ((pet, (0, 15), Scene.PET_HEAT), (ct, (-160, 240), Scene.GREY)):
        display = node.GetDisplayNode()
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == window
        assert display.GetColorNodeID() == colour


def test_showing_again_adds_nothing() -> None:
    scene, pet, ct = loaded()
    Display.showStudy(scene, pet, ct)
    before = node_ids(scene)
    Display.showStudy(scene, pet, ct)
    assert node_ids(scene) == before


@pytest.mark.parametrize("size", [(400, 400), (700, 250), (200, 600)])
def test_the_whole_field_is_in_sight(size) -> None:
    scene, pet, ct = loaded((12, -7, 25))
    Display.showStudy(scene, pet, ct)
    for name in VIEWS:
        slice_view(scene, name).SetDimensions(*size, 1)
    Display.showStudy(scene, pet, ct)
    for node in (pet, ct):
        box = [0.0] * 6
        node.GetRASBounds(box)
        for name in VIEWS:
            across, down = field_of_view(slice_view(scene, name))
            axes = {"Red": (0, 1), "Green": (0, 2), "Yellow": (1, 2)}[name]
            for axis, (low, high) in zip(axes, (across, down), strict=True):
                assert low <= box[2 * axis], (name, axis)
                assert box[2 * axis + 1] <= high, (name, axis)


def field_of_view(view) -> tuple[tuple[float, float], tuple[float, float]]:
    """Lowest and highest RAS coordinate along the width and along the height of a view."""
    axes = {"Axial": (0, 1), "Coronal": (0, 2), "Sagittal": (1, 2)}[view.GetOrientation()]
    width, height = view.GetDimensions()[:2]
    corners = [np.array(view.GetXYToRAS().MultiplyPoint((x, y, 0, 1)))[:3] for x in (0, width) for y in (0, height)]
    spans = [(min(corner[axis] for corner in corners), max(corner[axis] for corner in corners)) for axis in axes]
    return spans[0], spans[1]


@pytest.mark.parametrize(("suv_per_unit", "expected"), [(1.0, 15.0), (0.001, 15000.0)])
def test_the_window_is_in_the_units_of_the_node(suv_per_unit, expected) -> None:
    scene, pet, ct = loaded()
    pet.SetVoxelValueUnits(None)
    Display.showStudy(scene, pet, ct, suvPerUnit=suv_per_unit)
    assert pet.GetDisplayNode().GetWindowLevelMax() == pytest.approx(expected)


def test_without_known_units_the_window_follows_the_values() -> None:
    scene, pet, ct = loaded()
    pet.SetVoxelValueUnits(None)
    Display.showStudy(scene, pet, ct)
    assert pet.GetDisplayNode().GetWindowLevelMax() == pytest.approx(1.0, abs=0.01)  # the phantom's values: 0 to 1


# --- the saliency -----------------------------------------------------------------------------------------------------


def test_two_rows_at_the_same_place_step_together(shown: Shown) -> None:
    assert layout_of(shown.scene) == slicer.vtkMRMLLayoutNode.SlicerLayoutThreeOverThreeView
    for name in VIEWS:
        upper, lower = (composite(shown.scene, name + row) for row in ("", "+"))
        assert upper.GetForegroundVolumeID() == shown.pet.GetID()
        assert lower.GetForegroundVolumeID() == shown.node.GetID()
        assert lower.GetBackgroundVolumeID() == upper.GetBackgroundVolumeID() == shown.ct.GetID()
        assert lower.GetForegroundOpacity() == pytest.approx(0.6)
        views = [slice_view(shown.scene, name + row) for row in ("", "+")]
        assert {view.GetViewGroup() for view in views} == {0}
        assert views[0].GetSliceOffset() == pytest.approx(views[1].GetSliceOffset())
        assert upper.GetLinkedControl()
        assert lower.GetLinkedControl()


def test_threshold_opacity_and_colour_reach_the_nodes(shown: Shown) -> None:
    display = shown.node.GetDisplayNode()
    assert display.GetApplyThreshold()
    assert display.GetLowerThreshold() == pytest.approx(0.3)
    assert display.GetColorNodeID() == Scene.INFERNO
    shown.display.setThreshold(0.55)
    shown.display.setOpacity(0.25)
    shown.display.setColour(shown.scene.GetNodeByID(Scene.PET_HEAT))
    assert display.GetLowerThreshold() == pytest.approx(0.55)
    assert display.GetColorNodeID() == Scene.PET_HEAT
    for name in VIEWS:
        assert composite(shown.scene, name + "+").GetForegroundOpacity() == pytest.approx(0.25)
        assert composite(shown.scene, name).GetForegroundOpacity() == pytest.approx(0.5)  # the PET's own
    shown.display.setColour(None)
    assert display.GetColorNodeID() == Scene.INFERNO


def test_settings_made_before_showing_are_kept() -> None:
    shown = Shown(*study())
    display = Display.SaliencyDisplay(shown.scene)
    display.setThreshold(0.7)
    display.setOpacity(0.2)
    display.setSurfaceVisible(True)
    assert not display.shown
    display.show(shown.pet, shown.ct, shown.node)
    assert shown.node.GetDisplayNode().GetLowerThreshold() == pytest.approx(0.7)
    assert composite(shown.scene, "Red+").GetForegroundOpacity() == pytest.approx(0.2)
    assert own(shown.scene, "surface", "vtkMRMLModelNode")


def test_another_map_of_the_study_keeps_the_planes(shown: Shown) -> None:
    other = addVolumeNode(shown.scene, study((12, -7, 25))[2], "CT saliency")
    for name in VIEWS:
        view = slice_view(shown.scene, name + "+")
        view.SetSliceOffset(view.GetSliceOffset() + 8)
    offsets = [slice_view(shown.scene, name + "+").GetSliceOffset() for name in VIEWS]
    shown.display.show(shown.pet, shown.ct, other)
    assert [slice_view(shown.scene, name + "+").GetSliceOffset() for name in VIEWS] == pytest.approx(offsets)
    assert composite(shown.scene, "Red+").GetForegroundVolumeID() == other.GetID()
    assert len(own(shown.scene, "legend")) == 1
    assert own(shown.scene, "legend")[0].GetDisplayableNode() is other


def test_the_legend_explains_the_map_in_one_view(shown: Shown) -> None:
    (legend,) = own(shown.scene, "legend", "vtkMRMLColorLegendDisplayNode")
    assert legend.GetTitleText() == "Saliency"
    assert legend.GetPrimaryDisplayNode() is shown.node.GetScalarVolumeDisplayNode()
    assert [legend.GetNthViewNodeID(index) for index in range(legend.GetNumberOfViewNodeIDs())] == [
        "vtkMRMLSliceNodeYellow+"
    ]


def test_without_the_colors_module_there_is_no_legend_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(slicer, "vtkSlicerColorLogic")
    shown = Shown(*study())
    assert not own(shown.scene, "legend")
    assert shown.display.shown


def test_a_map_without_signal_has_no_hottest_spot() -> None:
    pet, ct, saliency = study()
    shown = Shown(pet, ct, Volume(np.zeros_like(saliency.array), saliency.ijk_to_lps, "PT", "saliency"))
    shown.display.setSurfaceVisible(True)
    with pytest.raises(InputRefused) as caught:
        shown.display.jumpToHottest()
    assert caught.value.code is Code.EMPTY_IMAGE
    assert caught.value.remedy


# --- the surface ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [lambda volume: volume, mirrored])
@pytest.mark.parametrize("rotation", [(0, 0, 0), (12, -7, 25)])
def test_the_surface_lies_around_the_hot_block_in_ras(rotation, turn) -> None:
    pet, ct, saliency = study(rotation)
    shown = Shown(turn(pet), ct, turn(saliency))
    shown.display.setSurfaceVisible(True)
    assert layout_of(shown.scene) == slicer.vtkMRMLLayoutNode.SlicerLayoutFourOverFourView
    (model,) = own(shown.scene, "surface", "vtkMRMLModelNode")
    points, normals = surface_arrays(model.GetPolyData())
    centre = (turn(saliency).ijk_to_lps @ (HOT[2], HOT[1], HOT[0], 1))[:3] * (-1, -1, 1)
    np.testing.assert_allclose((points.min(axis=0) + points.max(axis=0)) / 2, centre, atol=0.5)
    # The block is 24 mm wide; at a threshold of 0.3 over a background of 0.1 the surface runs most of a voxel outside.
    reach = np.abs(points - centre).max(axis=0)
    assert (reach > 12).all()
    assert np.linalg.norm(points - centre, axis=1).max() < 16 * np.sqrt(3)
    assert (((points - centre) * normals).sum(axis=1) > 0).all(), "normals point inwards"
    assert enclosed_volume(model.GetPolyData()) > 24.0**3
    assert not model.GetDisplayNode().GetVisibility2D()


def test_the_surface_follows_the_threshold(shown: Shown) -> None:
    shown.display.setSurfaceVisible(True)
    (model,) = own(shown.scene, "surface", "vtkMRMLModelNode")
    volumes = []
    for threshold in (0.2, 0.5, 0.9):
        shown.display.setThreshold(threshold)
        volumes.append(enclosed_volume(model.GetPolyData()))
    assert volumes[0] > 1.2 * volumes[1] > 1.2 * volumes[2] > 0
    shown.display.setThreshold(1.01)
    assert model.GetPolyData().GetNumberOfPoints() == 0
    shown.display.setSurfaceVisible(False)
    assert not own(shown.scene, "surface")
    assert layout_of(shown.scene) == slicer.vtkMRMLLayoutNode.SlicerLayoutThreeOverThreeView


def test_the_surface_is_computed_from_the_present_voxels(shown: Shown) -> None:
    shown.display.setSurfaceVisible(True)
    (model,) = own(shown.scene, "surface", "vtkMRMLModelNode")
    before = model.GetPolyData().GetCenter()
    slicer_array(shown.node)[:] = np.roll(shown.saliency.array, 3, axis=0)
    shown.node.GetImageData().Modified()
    shown.display.setThreshold(0.31)
    assert np.linalg.norm(np.subtract(model.GetPolyData().GetCenter(), before)) == pytest.approx(24, abs=1)


def test_the_body_is_outlined_without_its_couch() -> None:
    shape = (60, 80, 100)
    ct = np.full(shape, -1000, dtype=np.int16)
    _, j, i = np.indices(shape)
    ct[((j - 35) / 20) ** 2 + ((i - 50) / 35) ** 2 < 1] = 40
    ct[:, 70:72, 20:80] = 100  # a couch of 10 mm
    volume = Volume(ct, affine((5.0, 5.0, 5.0), shape), "CT", "HU")
    outline = Surface.bodyOutline(volume)
    points, _ = surface_arrays(outline)
    spine = (volume.ijk_to_lps @ (50, 35, 30, 1))[:3] * (-1, -1, 1)
    assert np.abs(points - spine)[:, 0].max() == pytest.approx(35 * 5, abs=15)
    assert np.abs(points - spine)[:, 1].max() == pytest.approx(20 * 5, abs=15)  # the couch begins at 175 mm
    assert Surface.bodyOutline(Volume(np.full(shape, -1000, np.int16), volume.ijk_to_lps, "CT", "HU")) is None


def test_the_outline_is_that_of_the_study_shown(shown: Shown) -> None:
    shown.display.setSurfaceVisible(True)
    (outline,) = own(shown.scene, "outline", "vtkMRMLModelNode")
    before = np.array(outline.GetPolyData().GetCenter())
    _, ct, _ = study()
    moved = ct.ijk_to_lps.copy()
    moved[0, 3] -= 50.0  # LPS: to the right
    other = addVolumeNode(shown.scene, Volume(ct.array, moved, "CT", "HU"), "Other CT")
    shown.display.show(shown.pet, other, shown.node)
    (outline,) = own(shown.scene, "outline", "vtkMRMLModelNode")
    np.testing.assert_allclose(outline.GetPolyData().GetCenter() - before, (50, 0, 0), atol=0.1)


def test_a_small_hot_spot_survives_the_coarser_grid() -> None:
    values = np.zeros((150, 120, 130), dtype=np.float32)
    values[75, 60, 65] = 1.0
    volume = Volume(values, affine((2.0, 2.0, 2.0), values.shape), "PT", "saliency")
    points, _ = surface_arrays(Surface.surfaceAbove(Surface.surfaceGrid(volume, maxVoxels=10_000), 0.5))
    spot = (volume.ijk_to_lps @ (65, 60, 75, 1))[:3] * (-1, -1, 1)
    assert np.linalg.norm(points.mean(axis=0) - spot) < 12


def surface_arrays(surface) -> tuple[np.ndarray, np.ndarray]:
    from vtk.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(surface.GetPoints().GetData()), vtk_to_numpy(surface.GetPointData().GetNormals())


def enclosed_volume(surface) -> float:
    import vtk

    mass = vtk.vtkMassProperties()
    mass.SetInputData(surface)
    mass.Update()
    return mass.GetVolume()


def slicer_array(node) -> np.ndarray:
    from vtk.util.numpy_support import vtk_to_numpy

    i, j, k = node.GetImageData().GetDimensions()
    return vtk_to_numpy(node.GetImageData().GetPointData().GetScalars()).reshape(k, j, i)


# --- speed ------------------------------------------------------------------------------------------------------------


def test_sliders_act_at_once() -> None:
    from scipy.ndimage import gaussian_filter, zoom

    coarse = gaussian_filter(np.random.default_rng(0).random((75, 50, 50)).astype(np.float32), 1.5)
    values = zoom((coarse - coarse.min()) / np.ptp(coarse), 4, order=1)
    assert values.shape == (300, 200, 200)
    at = affine((3.0, 4.0, 4.0), values.shape)
    pet, ct, _ = study()
    shown = Shown(pet, ct, Volume(values, at, "PT", "saliency"))
    shown.display.setSurfaceVisible(True)
    shown.display.setThreshold(0.31)
    for act in (
        *(lambda value=value: shown.display.setThreshold(value) for value in (0.3, 0.5, 0.7)),
        lambda: shown.display.setOpacity(0.5),
        lambda: shown.display.setColour(shown.scene.GetNodeByID(Scene.PET_HEAT)),
        shown.display.jumpToHottest,
    ):
        assert min(seconds(act) for _ in range(3)) < LIMIT_S


def seconds(act) -> float:
    start = time.process_time()  # the clock on the wall also counts what else the machine does
    act()
    return time.process_time() - start


# --- leaving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deleted", ["nothing", "legend", "surface", "outline", "display", "view"])
def test_clear_leaves_no_node_behind(deleted: str) -> None:
    scene = slicer.vtkMRMLScene()
    pet, ct, saliency = (addVolumeNode(scene, volume, "Volume") for volume in study())
    Display.showStudy(scene, pet, ct)
    before = node_ids(scene)
    display = Display.SaliencyDisplay(scene)
    display.show(pet, ct, saliency)
    display.setSurfaceVisible(True)
    display.setThreshold(0.4)
    assert node_ids(scene) > before
    for node in own(scene, deleted):
        scene.RemoveNode(node)
    display.clear()
    assert node_ids(scene) == before
    assert layout_of(scene) == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    display.clear()
    display.show(pet, ct, saliency)
    display.clear()
    assert node_ids(scene) == before


def test_a_deleted_volume_ends_the_display_quietly(shown: Shown) -> None:
    shown.display.setSurfaceVisible(True)
    shown.scene.RemoveNode(shown.node)
    assert not shown.display.shown
    shown.display.setThreshold(0.4)
    shown.display.setOpacity(0.4)
    shown.display.setColour(None)
    shown.display.setSurfaceVisible(False)
    with pytest.raises(InputRefused):
        shown.display.jumpToHottest()
    shown.display.clear()
    assert not [node for role in ("legend", "surface", "outline", "view") for node in own(shown.scene, role)]


def test_a_closed_scene_is_no_error(shown: Shown) -> None:
    shown.display.setSurfaceVisible(True)
    shown.scene.Clear(0)
    left = node_ids(shown.scene)
    shown.display.setThreshold(0.4)
    shown.display.clear()
    assert node_ids(shown.scene) <= left
    assert not Views.nodesOf(shown.scene, "vtkMRMLModelNode")


def test_a_deleted_surface_comes_back_with_the_next_move(shown: Shown) -> None:
    shown.display.setSurfaceVisible(True)
    for node in own(shown.scene, "surface"):
        shown.scene.RemoveNode(node)
    shown.display.setThreshold(0.4)
    assert len(own(shown.scene, "surface", "vtkMRMLModelNode")) == 1


def test_in_a_scene_read_from_a_file_nothing_is_doubled(shown: Shown) -> None:
    shown.display.setSurfaceVisible(True)
    again = Display.SaliencyDisplay(shown.scene)  # as the panel makes it after a scene was opened
    before = len(node_ids(shown.scene))
    again.show(shown.pet, shown.ct, shown.node)
    again.setSurfaceVisible(True)
    assert len(node_ids(shown.scene)) == before
    for role in ("legend", "surface", "outline"):
        assert len({node.GetClassName() for node in own(shown.scene, role)}) == len(own(shown.scene, role)) > 0


# --- in the application -----------------------------------------------------------------------------------------------


def in_application(host) -> Shown:
    shown = Shown(*study((12, -7, 25)), scene=host.scene)
    host.processEvents()
    return shown


def test_in_the_application_the_whole_field_is_in_sight_whatever_the_layout(host) -> None:
    shown = in_application(host)
    box = np.array([[0.0] * 6, [0.0] * 6])
    for row, node in zip(box, (shown.pet, shown.ct), strict=True):
        node.GetRASBounds(row)
    for visible in (False, True, False):
        shown.display.setSurfaceVisible(visible)
        host.processEvents()
        for name in (name + row for name in VIEWS for row in ("", "+")):
            assert slice_view(host.scene, name).IsMappedInLayout()
            across, down = field_of_view(slice_view(host.scene, name))
            axes = {"Red": (0, 1), "Green": (0, 2), "Yellow": (1, 2)}[name.removesuffix("+")]
            for axis, (low, high) in zip(axes, (across, down), strict=True):
                assert low <= box[:, 2 * axis].min(), (name, axis)
                assert box[:, 2 * axis + 1].max() <= high, (name, axis)


def test_in_the_application_the_overlay_is_right_and_legend_and_surface_are_drawn(host) -> None:
    shown = in_application(host)
    shown.assert_hot_block_is_brightest()
    shown.display.setSurfaceVisible(True)
    host.processEvents()
    layout = slicer.app.layoutManager()
    (legend,) = own(host.scene, "legend")
    managers = {
        name: layout.sliceWidget(name).sliceView().displayableManagerByClassName("vtkMRMLColorLegendDisplayableManager")
        for name in ("Yellow+", "Red+")
    }
    drawn = {name: bool(manager.GetColorLegendActor(legend).GetVisibility()) for name, manager in managers.items()}
    assert drawn == {"Yellow+": True, "Red+": False}
    assert layout.threeDViewCount == 2


def test_in_the_application_clear_leaves_only_the_views_that_are_slicers_own(host) -> None:
    shown = in_application(host)
    shown.display.clear()
    host.processEvents()
    before = node_ids(host.scene)
    shown.display.show(shown.pet, shown.ct, shown.node)
    shown.display.setSurfaceVisible(True)
    host.processEvents()
    shown.display.clear()
    host.processEvents()
    views = ("vtkMRMLAbstractViewNode", "vtkMRMLCameraNode", "vtkMRMLSliceCompositeNode", "vtkMRMLSliceDisplayNode")
    left = [host.scene.GetNodeByID(one) for one in node_ids(host.scene) - before]
    assert [node.GetID() for node in left if not any(node.IsA(name) for name in views)] == []
    assert slice_view(host.scene, "Red+").GetViewGroup() == 1
    assert layout_of(host.scene) == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView


def test_in_the_application_a_scene_closed_at_any_time_is_no_error(host) -> None:
    shown = in_application(host)
    shown.display.setSurfaceVisible(True)
    host.scene.Clear(0)
    host.processEvents()  # the second fitting of the views comes only now
    shown.display.setThreshold(0.5)
    shown.display.clear()
    assert not Views.nodesOf(host.scene, "vtkMRMLScalarVolumeNode")
