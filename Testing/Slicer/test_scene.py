"""The scene bundle: read back with Slicer's own classes and looked at through its slice logic."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scene_phantom import HOT, VIEWS, brightest_pixel_lps, plane_position, study

from PRRTPredictorCore import disk, files
from PRRTPredictorCore.errors import Code, PRRTError
from PRRTPredictorCore.records import Volume
from PRRTPredictorLib import Scene

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("vtk")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "out" / "scene.mrb"
    Scene.writeScene(path, *study((12, -7, 25)), synthetic=True)
    return path


@pytest.fixture(scope="module")
def content(saved: Path) -> Scene.SceneContent:
    return Scene.readScene(saved)


def test_three_volumes_come_back(content: Scene.SceneContent) -> None:
    for written, read in zip(study((12, -7, 25)), (content.pet, content.ct, content.saliency), strict=True):
        np.testing.assert_array_equal(read.array, written.array)
        assert read.array.dtype == written.array.dtype
        np.testing.assert_allclose(read.ijk_to_lps, written.ijk_to_lps, atol=1e-4)
        assert (read.modality, read.unit) == (written.modality, written.unit)


def test_windows_colours_and_threshold(content: Scene.SceneContent) -> None:
    expected = (
        (content.nodes.ct, (-160, 240), Scene.GREY, None),
        (content.nodes.pet, (0, 15), Scene.PET_HEAT, None),
        (content.nodes.saliency, (0, 1), Scene.INFERNO, 0.3),
    )
    for node, window, colour, threshold in expected:
        display = node.GetDisplayNode()
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == window
        assert not display.GetAutoWindowLevel()
        assert display.GetColorNodeID() == colour
        assert display.GetColorNode() is not None, f"{colour} is not in the scene"
        assert bool(display.GetApplyThreshold()) == (threshold is not None)
        if threshold is not None:
            assert display.GetLowerThreshold() == pytest.approx(threshold)


def test_colours_are_referred_to_and_not_saved(saved: Path) -> None:
    text = scene_text(saved)
    assert Scene.PET_HEAT in text
    assert "<ColorTable" not in text
    assert "<PETProceduralColor" not in text


def test_fused_views(content: Scene.SceneContent) -> None:
    for suffix, foreground, opacity in (
        ("", content.nodes.pet, Scene.PET_OPACITY),
        ("+", content.nodes.saliency, Scene.SALIENCY_OPACITY),
    ):
        for name, orientation in zip(VIEWS, ("Axial", "Coronal", "Sagittal"), strict=True):
            composite = content.scene.GetSingletonNode(name + suffix, "vtkMRMLSliceCompositeNode")
            assert composite.GetBackgroundVolumeID() == content.nodes.ct.GetID()
            assert composite.GetForegroundVolumeID() == foreground.GetID()
            assert composite.GetForegroundOpacity() == pytest.approx(opacity)
            view = content.scene.GetSingletonNode(name + suffix, "vtkMRMLSliceNode")
            assert view.GetOrientation() == orientation
    layout = content.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    assert layout.GetViewArrangement() == layout.SlicerLayoutThreeOverThreeView


def test_planes_go_through_the_hottest_spot(content: Scene.SceneContent) -> None:
    lps = (content.saliency.ijk_to_lps @ (HOT[2], HOT[1], HOT[0], 1))[:3]
    # The first of the equally hot voxels counts: within the block of 3 x 3 x 3.
    for name, ras in zip(("Yellow", "Green", "Red"), lps * (-1, -1, 1), strict=True):
        for suffix in ("", "+"):
            assert plane_position(content.scene, name + suffix) == pytest.approx(ras, abs=8 * np.sqrt(3))


@pytest.mark.parametrize("rotation", [(0, 0, 0), (12, -7, 25), (0, 180, 3)])
def test_the_brightest_pixel_lies_on_the_hot_block(rotation) -> None:
    pet, ct, saliency = study(rotation)
    scene = slicer.vtkMRMLScene()
    Scene.fillScene(scene, pet, ct, saliency)
    centre = (saliency.ijk_to_lps @ (HOT[2], HOT[1], HOT[0], 1))[:3]
    for name in VIEWS:
        lps = brightest_pixel_lps(scene, name + "+")
        inside = np.linalg.inv(saliency.ijk_to_lps) @ (*lps, 1.0)
        assert np.abs(inside[:3][::-1] - HOT).max() <= 2.0, f"{name}: {lps} instead of {centre}"


def test_synthetic_is_said_and_nothing_else(saved: Path, content: Scene.SceneContent) -> None:
    for node in (content.nodes.pet, content.nodes.ct, content.nodes.saliency):
        assert node.GetName().startswith("SYNTHETIC ")
    text = scene_text(saved)
    assert 'name="SYNTHETIC PRRTPredictor study"' in text
    assert str(saved.parent) not in text
    assert ".partial-" not in text


def test_what_the_user_calls_the_file_does_not_stay_inside(tmp_path: Path) -> None:
    pet, ct, _ = study()
    Scene.writeScene(tmp_path / "MUSTER.mrb", pet, ct)
    with zipfile.ZipFile(tmp_path / "MUSTER.mrb") as bundle:
        assert not any("MUSTER" in name or b"MUSTER" in bundle.read(name) for name in bundle.namelist())


def test_a_scene_is_forced_to_the_disk_and_takes_the_place_of_what_a_killed_export_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = disk.aside(tmp_path / "study.mrb").name.replace(f"-{os.getpid()}-", "-999999999-")  # nobody's number
    (tmp_path / left).mkdir()
    (tmp_path / left / "study.mrb").write_bytes(b"half")
    flushed: list[int] = []
    monkeypatch.setattr(files, "_flush_to_disk", lambda path: flushed.append(path.stat().st_size))
    pet, ct, _ = study()
    Scene.writeScene(tmp_path / "study.mrb", pet, ct)
    assert [path.name for path in tmp_path.iterdir()] == ["study.mrb"]
    assert flushed == [(tmp_path / "study.mrb").stat().st_size]


def test_one_folder_holds_the_study(content: Scene.SceneContent) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(content.scene)
    folder = hierarchy.GetItemByName("SYNTHETIC PRRTPredictor study")
    assert folder
    for node in (content.nodes.pet, content.nodes.ct, content.nodes.saliency):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == folder


def test_without_saliency_pet_over_ct_in_four_views(tmp_path: Path) -> None:
    pet, ct, _ = study()
    Scene.writeScene(tmp_path / "fused.mrb", pet, ct)
    content = Scene.readScene(tmp_path / "fused.mrb")
    assert content.saliency is None
    layout = content.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    assert layout.GetViewArrangement() == layout.SlicerLayoutFourUpView
    assert content.nodes.pet.GetName() == "PET SUVbw"
    composite = content.scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    assert composite.GetForegroundVolumeID() == content.nodes.pet.GetID()


def test_a_map_without_signal_shows_the_hottest_uptake() -> None:
    pet, ct, saliency = study()
    pet.array[5, 6, 7] = 30.0
    scene = slicer.vtkMRMLScene()
    Scene.fillScene(scene, pet, ct, Volume(np.zeros_like(saliency.array), saliency.ijk_to_lps, "PT", "saliency"))
    expected = (pet.ijk_to_lps @ (7, 6, 5, 1))[:3] * (-1, -1, 1)
    for name, ras in zip(("Yellow", "Green", "Red"), expected, strict=True):
        assert plane_position(scene, name) == pytest.approx(ras, abs=1e-6)


def test_without_matplotlib_the_map_is_shown_in_pet_heat(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    scene = slicer.vtkMRMLScene()
    nodes = Scene.fillScene(scene, *study())
    assert nodes.saliency.GetDisplayNode().GetColorNodeID() == Scene.PET_HEAT


def test_a_relative_path_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Scene.writeScene(Path("shown") / "scene.mrb", *study())
    assert Scene.readScene(Path("shown") / "scene.mrb").saliency is not None


def test_only_whole_files(tmp_path: Path) -> None:
    pet, ct, _ = study()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "scene.mrml", tmp_path / "file" / "scene.mrb"):
        with pytest.raises(PRRTError) as caught:
            Scene.writeScene(path, pet, ct)
        assert caught.value.code is Code.OUTPUT
        assert caught.value.remedy
    Scene.writeScene(tmp_path / "scene.mrb", pet, ct)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "scene.mrb"]


def test_what_is_no_scene_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mrb").write_text("hello")
    with zipfile.ZipFile(tmp_path / "empty.mrb", "w") as bundle:
        bundle.writestr("scene/readme.txt", "nothing")
    for name, code in (("text", "UNREADABLE_PIXELS"), ("empty", "UNREADABLE_PIXELS"), ("absent", "PATH_MISSING")):
        with pytest.raises(PRRTError) as caught:
            Scene.readScene(tmp_path / f"{name}.mrb")
        assert caught.value.code.value == code


def scene_text(path: Path) -> str:
    with zipfile.ZipFile(path) as bundle:
        name = next(name for name in bundle.namelist() if name.endswith(".mrml"))
        return bundle.read(name).decode()
