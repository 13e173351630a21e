"""Exports: whole files that open elsewhere, and no trace of who the patient is or when he was examined."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scene_phantom import study

from PRRTPredictorCore.errors import Code, PRRTError
from PRRTPredictorCore.imaging.nrrd import read_nrrd
from PRRTPredictorCore.prediction.document import PredictionDocument
from PRRTPredictorCore.records import Acquisition, Labs, LoadedSeries, ModelIdentity
from PRRTPredictorLib import Display, Export, Scene, Study
from PRRTPredictorLib.Volumes import addVolumeNode

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")

IDENTITY = ("Muster", "PID-4711", "1.2.826.0.1.3680043.8.498", "20210314", "2021-03-14", "Wholebody of M.")


class Loaded:
    """A study in a scene that names its patient wherever a scene can."""

    def __init__(self, synthetic: bool = False, rotation=(12, -7, 25), scene=None) -> None:
        self.scene = scene or slicer.vtkMRMLScene()
        self.volumes = study(rotation)
        pet, ct, saliency = self.volumes
        uid = IDENTITY[2]
        acquisition = Acquisition(manufacturer="Maker", model="One", date=date(2021, 3, 14), synthetic=synthetic)
        series = [LoadedSeries(volume, acquisition, f"{uid}.1", f"{uid}.2", f"{uid}.3") for volume in (pet, ct)]
        nodes = Study.addStudy(self.scene, Study.LoadedStudy(*series))
        self.pet, self.ct = nodes.pet, nodes.ct
        self.saliency = addVolumeNode(self.scene, saliency, "Saliency")
        self.saliency.SetAttribute("DICOM.PatientName", IDENTITY[0])
        for node in (self.pet, self.ct, self.saliency):
            node.SetDescription(f"{IDENTITY[0]} {IDENTITY[3]}")
            node.SetAttribute("DICOM.instanceUIDs", f"{uid}.4 {uid}.5")
            if not synthetic:
                node.SetName(f"{IDENTITY[5]} {node.GetName()}")
        self.scene.SetRootDirectory(f"/data/{IDENTITY[1]}")
        self._name_in_hierarchy()
        Display.showStudy(self.scene, self.pet, self.ct)

    def _name_in_hierarchy(self) -> None:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), f"{IDENTITY[0]} ({IDENTITY[1]})")
        hierarchy.SetItemAttribute(patient, "DICOM.PatientID", IDENTITY[1])
        examined = hierarchy.CreateStudyItem(patient, f"PET/CT ({IDENTITY[3]})")
        for node in (self.pet, self.ct, self.saliency):
            hierarchy.SetItemParent(hierarchy.CreateItem(examined, node), examined)


def unpacked(path: Path) -> bytes:
    """Everything that can be read in a file: archives, NRRD and PNG text chunks unpacked."""
    content = path.read_bytes()
    found = [path.name.encode(), content]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as bundle:
            for info in bundle.infolist():
                found += [info.filename.encode(), info.comment, bundle.read(info)]
    for part in tuple(found):
        start = part.find(b"\x1f\x8b")
        while start >= 0:
            try:
                found.append(zlib.decompressobj(wbits=31).decompress(part[start:]))
                break
            except zlib.error:
                start = part.find(b"\x1f\x8b", start + 1)
    return b"\n".join(found)


def assert_free_of_identity(*paths: Path) -> None:
    assert paths
    for path in paths:
        content = unpacked(path)
        assert len(content) > 100
        for word in IDENTITY:
            assert word.encode() not in content, (path.name, word)
            assert word.encode("utf-16-le") not in content, (path.name, word)


def test_the_search_for_identity_finds_it(tmp_path: Path) -> None:
    loaded = Loaded()
    assert loaded.scene.WriteToMRB(str(tmp_path / "running.mrb"))
    with pytest.raises(AssertionError):
        assert_free_of_identity(tmp_path / "running.mrb")


# --- saliency ---------------------------------------------------------------------------------------------------------


def test_saliency_as_nrrd(tmp_path: Path) -> None:
    loaded = Loaded()
    path = Export.exportSaliency(loaded.saliency, tmp_path / "map.nrrd")
    read = read_nrrd(path)
    np.testing.assert_array_equal(read.array, loaded.volumes[2].array)
    np.testing.assert_allclose(read.ijk_to_lps, loaded.volumes[2].ijk_to_lps, atol=1e-4)
    assert (read.modality, read.unit) == ("PT", "saliency")
    assert_free_of_identity(path)


def test_a_ct_saliency_says_so(tmp_path: Path) -> None:
    loaded = Loaded()
    values = loaded.volumes[2]
    node = addVolumeNode(loaded.scene, replace(values, modality="CT"), "CT saliency")
    assert read_nrrd(Export.exportSaliency(node, tmp_path / "ct.nrrd")).modality == "CT"


# --- scene ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("synthetic", [False, True])
def test_scene(tmp_path: Path, synthetic: bool) -> None:
    loaded = Loaded(synthetic)
    path = Export.exportScene(loaded.pet, loaded.ct, loaded.saliency, tmp_path / "study.mrb")
    content = Scene.readScene(path)
    for written, read in zip(loaded.volumes, (content.pet, content.ct, content.saliency), strict=True):
        np.testing.assert_array_equal(read.array, written.array)
        np.testing.assert_allclose(read.ijk_to_lps, written.ijk_to_lps, atol=1e-4)
    for node in (content.nodes.pet, content.nodes.ct, content.nodes.saliency):
        assert node.GetName().startswith("SYNTHETIC") == synthetic
    assert_free_of_identity(path)


def test_the_map_of_a_made_model_is_called_synthetic_and_the_patient_is_not(tmp_path: Path) -> None:
    loaded = Loaded()
    loaded.saliency.SetName("SYNTHETIC Saliency PET")
    content = Scene.readScene(Export.exportScene(loaded.pet, loaded.ct, loaded.saliency, tmp_path / "study.mrb"))
    assert content.nodes.saliency.GetName().startswith("SYNTHETIC")
    assert content.nodes.pet.GetName() == "PET SUVbw"


def test_scene_without_saliency(tmp_path: Path) -> None:
    loaded = Loaded()
    assert Scene.readScene(Export.exportScene(loaded.pet, loaded.ct, None, tmp_path / "study.mrb")).saliency is None


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_without_a_layout_manager_there_is_an_overview(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    loaded = Loaded(synthetic=True)
    paths = Export.exportScreenshots(tmp_path / "shots", loaded.pet, loaded.ct, loaded.saliency)
    assert [path.name for path in paths] == ["overview.png"]
    assert colourful(paths[0])
    assert_free_of_identity(*paths)


def test_without_matplotlib_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    loaded = Loaded()
    with pytest.raises(PRRTError) as caught:
        Export.exportScreenshots(tmp_path, loaded.pet, loaded.ct)
    assert caught.value.code is Code.DEPENDENCY_MISSING
    assert caught.value.remedy


class Window:
    """One view of a main window: rendered off screen, with the patient in its corner as Slicer prints it."""

    def __init__(self, node, size: tuple[int, int]) -> None:
        import vtk

        self.node = node
        self._corner = vtk.vtkCornerAnnotation()
        self._corner.SetText(2, f"{IDENTITY[0]}\n{IDENTITY[3]}")
        renderer = vtk.vtkRenderer()
        renderer.SetBackground(0.5, 0.2, 0.1)
        renderer.AddViewProp(self._corner)
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetSize(*size)
        self._window.AddRenderer(renderer)
        self.seen: list[tuple[str, ...]] = []

    def cornerAnnotation(self):
        return self._corner

    def renderWindow(self):
        return self._window

    def forceRender(self) -> None:
        self.seen.append(tuple(self._corner.GetText(place) or "" for place in range(8)))
        self._window.Render()

    def sliceView(self):
        return self

    def threeDView(self):
        return self

    def mrmlSliceNode(self):
        return self.node

    def mrmlViewNode(self):
        return self.node


class Shown:
    """A view node that is in the layout, or not."""

    def __init__(self, mapped: bool = True) -> None:
        self._mapped = mapped

    def IsMappedInLayout(self) -> bool:
        return self._mapped


class Manager:
    """As much of qMRMLLayoutManager as a picture needs."""

    threeDViewCount = 2

    def __init__(self) -> None:
        names = ("Red", "Green", "Yellow", "Red+", "Green+", "Yellow+", "Compare1")
        self.windows = {name: Window(Shown(), (60, 40 if "+" in name else 50)) for name in names}
        self.threeD = [Window(Shown(), (60, 50)), Window(Shown(mapped=False), (60, 50))]

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self.windows)

    def sliceWidget(self, name: str) -> Window:
        return self.windows[name]

    def threeDWidget(self, index: int) -> Window:
        return self.threeD[index]


def test_views_are_grabbed_without_their_corner_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, manager = Loaded(synthetic=True), Manager()
    monkeypatch.setattr(Export, "layoutManager", lambda scene: manager)
    paths = Export.exportScreenshots(tmp_path, loaded.pet, loaded.ct, loaded.saliency)
    planes = ("axial", "coronal", "sagittal")
    assert [path.name for path in paths] == [
        "views.png",
        *(f"{what}-{plane}.png" for what in ("pet", "saliency") for plane in planes),
        "surface-1.png",
    ]
    assert_free_of_identity(*paths)
    assert picture(paths[1]).shape == (50, 60, 3)
    assert picture(paths[0]).shape == (50 + 40 + 50, 3 * 60, 3)
    for name, window in manager.windows.items():
        if name != "Compare1":
            grabbed, afterwards = window.seen
            assert "".join(grabbed) == "SYNTHETIC\nResearch use only. Not a diagnostic device."
            assert afterwards[2] == f"{IDENTITY[0]}\n{IDENTITY[3]}", "the user's own texts are back"
    assert not manager.windows["Compare1"].seen


def test_a_view_that_cannot_be_rendered_gets_its_texts_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, manager = Loaded(), Manager()
    monkeypatch.setattr(Export, "layoutManager", lambda scene: manager)
    monkeypatch.setattr(manager.windows["Red"], "renderWindow", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Export.exportScreenshots(tmp_path, loaded.pet, loaded.ct)
    assert manager.windows["Red"].cornerAnnotation().GetText(2).startswith(IDENTITY[0])
    assert list(tmp_path.iterdir()) == []


def test_in_the_application_the_views_are_grabbed(host, tmp_path: Path) -> None:
    loaded = Loaded(synthetic=True, scene=host.scene)
    display = Display.SaliencyDisplay(host.scene)
    display.show(loaded.pet, loaded.ct, loaded.saliency)
    display.setSurfaceVisible(True)
    host.processEvents()
    corner = slicer.app.layoutManager().sliceWidget("Red").sliceView().cornerAnnotation()
    corner.SetText(3, f"{IDENTITY[0]} {IDENTITY[3]}")
    paths = Export.exportScreenshots(tmp_path / "shots", loaded.pet, loaded.ct, loaded.saliency)
    assert len(paths) == 1 + 6 + 2
    assert corner.GetText(3) == f"{IDENTITY[0]} {IDENTITY[3]}"
    assert_free_of_identity(*paths)
    shots = {path.stem: path for path in paths}
    for name in ("views", "saliency-axial", "surface-1"):
        assert colourful(shots[name]), name


def picture(path: Path) -> np.ndarray:
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    reader = vtk.vtkPNGReader()
    reader.SetFileName(str(path))
    reader.Update()
    width, height, _ = reader.GetOutput().GetDimensions()
    return vtk_to_numpy(reader.GetOutput().GetPointData().GetScalars()).reshape(height, width, -1)


def colourful(path: Path) -> bool:
    pixels = picture(path)[..., :3].astype(int)
    return bool((pixels.max(axis=-1) - pixels.min(axis=-1) > 50).any())


# --- report -----------------------------------------------------------------------------------------------------------


def test_report_with_the_views_and_without_identity(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    loaded = Loaded(synthetic=True)
    labs = Labs(30.0, 28.0, 60.0, 400.0, date(2021, 3, 14))
    path = Export.exportReport(
        tmp_path / "report.html",
        document(),
        None,
        labs,
        petNode=loaded.pet,
        ctNode=loaded.ct,
        saliencyNode=loaded.saliency,
    )
    page = path.read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    assert "Research use only" in page
    assert "SYNTHETIC" in page
    assert_free_of_identity(path)
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_report_without_volumes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    page = Export.exportReport(tmp_path / "report.html", document(), None, None).read_text(encoding="utf-8")
    assert "data:image/png;base64," not in page
    assert "72" in page


def test_a_missing_package_of_the_report_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "PRRTPredictorCore.report.patient", None)
    with pytest.raises(PRRTError) as caught:
        Export.exportReport(tmp_path / "report.html", document(), None, None)
    assert caught.value.code is Code.DEPENDENCY_MISSING


def document() -> PredictionDocument:
    return PredictionDocument(
        probability_long_pfs=0.72,
        group="long",
        interval=(0.6, 0.8),
        lab_contributions={"ast": 0.1, "alt": -0.2, "ggt": 0.3, "cga": -0.4},
        lab_contribution_method="gradient x input",
        warnings=(),
        model=ModelIdentity("pet_ct_labs", "0" * 64, synthetic=True),
        synthetic_patient=True,
    )


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["saliency", "scene", "screenshots"])
def test_where_nothing_can_be_written_it_says_so(tmp_path: Path, kind: str) -> None:
    loaded = Loaded()
    (tmp_path / "file").write_text("")
    blocked = tmp_path / "file"
    export = {
        "saliency": lambda: Export.exportSaliency(loaded.saliency, blocked / "map.nrrd"),
        "scene": lambda: Export.exportScene(loaded.pet, loaded.ct, loaded.saliency, blocked / "study.mrb"),
        "screenshots": lambda: Export.exportScreenshots(blocked, loaded.pet, loaded.ct, loaded.saliency),
    }[kind]
    with pytest.raises(PRRTError) as caught:
        export()
    assert caught.value.code is Code.OUTPUT
    assert caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_wrong_names_are_refused_before_any_work(tmp_path: Path) -> None:
    loaded = Loaded()
    for export in (
        lambda: Export.exportSaliency(loaded.saliency, tmp_path / "map.txt"),
        lambda: Export.exportScene(loaded.pet, loaded.ct, None, tmp_path / "study.zip"),
    ):
        with pytest.raises(PRRTError) as caught:
            export()
        assert caught.value.code is Code.OUTPUT


def test_a_volume_of_unknown_unit_is_not_exported_as_suv(tmp_path: Path) -> None:
    scene = slicer.vtkMRMLScene()
    pet, ct, _ = study()
    nodes = [addVolumeNode(scene, volume, "Volume") for volume in (pet, ct)]
    nodes[0].SetVoxelValueUnits(None)
    with pytest.raises(PRRTError) as caught:
        Export.exportScene(*nodes, None, tmp_path / "study.mrb")
    assert caught.value.code is Code.UNITS_UNSUPPORTED
    Export.exportScene(*nodes, None, tmp_path / "study.mrb", assumeUnits=True)
    assert Scene.readScene(tmp_path / "study.mrb").pet.unit == "SUVbw"
