"""Whatever goes wrong ends as a message with a remedy, leaves nothing behind, and the panel is usable afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
from failing_panel import (
    children,
    load,
    nodes,
    predicted,
    prepare,
    press_load,
    press_predict,
    told,
    until,
    untrained_model,
    watched,
    worker,
    works_again,
)
from panel_driver import leave_panel, panel_in_view

from PRRTPredictorCore.cohort.synthetic import SyntheticPatient, make_patient
from PRRTPredictorCore.dicom.series import load_ct
from PRRTPredictorCore.dicom.suv import load_pet

HERE = Path(__file__).parent


@pytest.fixture
def panel(host: Any) -> Iterator[Any]:
    yield from panel_in_view(host)
    until(host, lambda: not children())


@pytest.fixture(autouse=True)
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and temporary files of the test's own; no graphics card."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for kind in ("CONFIG", "CACHE"):
        monkeypatch.setenv(f"PRRT_{kind}_DIR", str(tmp_path / kind.lower()))


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> SyntheticPatient:
    return make_patient(tmp_path_factory.mktemp("patient"), seed=7)


@pytest.fixture
def copied(patient: SyntheticPatient, tmp_path: Path) -> SyntheticPatient:
    """The patient's files, to be damaged."""
    folder = tmp_path / "copied"
    shutil.copytree(patient.pet.parent, folder)
    return replace(patient, pet=folder / patient.pet.name, ct=folder / patient.ct.name)


@pytest.fixture(scope="module")
def study(patient: SyntheticPatient) -> Any:
    from PRRTPredictorLib.Study import LoadedStudy

    return LoadedStudy(load_pet(patient.pet), load_ct(patient.ct))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Model folders by the registry's name, packed when first asked for."""
    folder = tmp_path_factory.mktemp("Mödel ordner ü")

    def model(name: str) -> Path:
        return folder / name if (folder / name).exists() else untrained_model(folder / name, name)

    return model


@pytest.fixture
def ready(panel: Any, study: Any, models: Any) -> Any:
    """A panel in which Predict works."""
    prepare(panel, study, models("pet_ct_labs"))
    return panel


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "predicted.mrb"


@pytest.fixture
def explained(host: Any, panel: Any, study: Any, models: Any, kept: Path) -> Any:
    """A panel that shows saliency; predicted once, then opened from a scene."""
    import slicer

    if kept.exists():
        slicer.util.loadScene(str(kept))
    else:
        prepare(panel, study, models("pet_ct_labs"))
        predicted(host, panel)
        assert slicer.util.saveScene(str(kept))
    assert panel.sections[3]._display.shown
    return panel


# --- the study --------------------------------------------------------------------------------------------------------


def test_no_database_and_then_one(host: Any, panel: Any) -> None:
    import slicer

    slicer.dicomDatabase.closeDatabase()
    with watched(host):
        panel.ui.refreshStudiesButton.click()
        panel.ui.demoPatientButton.click()
        told(host)
    host.app.useDatabase(host.database)
    panel.ui.demoPatientButton.click()
    panel.ui.loadStudyButton.click()
    assert host.dialogs.errors == []
    assert panel.parameterNode.petVolume is not None


def test_an_empty_database_offers_nothing_to_load(host: Any, panel: Any, patient: SyntheticPatient) -> None:
    panel.ui.refreshStudiesButton.click()
    assert not panel.ui.loadStudyButton.enabled
    assert "demo patient" in panel.ui.studyHintLabel.text
    load(panel, patient)
    assert panel.parameterNode.petVolume is not None
    assert host.dialogs.errors == []


def only_pet(patient: SyntheticPatient) -> None:
    shutil.rmtree(patient.ct)


def only_ct(patient: SyntheticPatient) -> None:
    shutil.rmtree(patient.pet)


def suv_without_proof(patient: SyntheticPatient) -> None:
    for path in patient.pet.glob("*.dcm"):
        header = pydicom.dcmread(path)
        del header.PatientWeight
        del header[0x70531000]  # this vendor's own factor to SUV
        header.save_as(path)


def cut_short(patient: SyntheticPatient) -> None:
    for path in patient.pet.glob("*.dcm"):
        path.write_bytes(path.read_bytes()[:-3000])


def one_slice_is_garbage(patient: SyntheticPatient) -> None:
    middle = sorted(patient.ct.glob("*.dcm"))[20]
    middle.write_bytes(b"\x00" * 4000)


def some_slices_are_absent(patient: SyntheticPatient) -> None:
    for path in sorted(patient.pet.glob("*.dcm"))[10:14]:
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (only_pet, "CT"),
        (only_ct, "PET"),
        (suv_without_proof, "no SUV"),
        (cut_short, "bytes"),
        (some_slices_are_absent, "PET"),
    ],
)
def test_a_study_that_cannot_be_used(
    host: Any, panel: Any, patient: SyntheticPatient, copied: SyntheticPatient, damage: Any, said: str
) -> None:
    import slicer

    damage(copied)
    with watched(host):
        load(panel, copied)
        assert said in told(host)
    assert panel.parameterNode.petVolume is None
    for one in slicer.dicomDatabase.patients():
        slicer.dicomDatabase.removePatient(one)
    load(panel, patient)
    assert host.dialogs.errors == []
    assert panel.parameterNode.petVolume is not None


@pytest.mark.parametrize("how", ["gone", "garbage"])
def test_files_that_change_behind_the_database(host: Any, panel: Any, patient: SyntheticPatient, how: str) -> None:
    import slicer
    from DICOMLib import DICOMUtils

    DICOMUtils.importDicom(str(patient.pet.parent), slicer.dicomDatabase, True)
    files = [Path(path) for path in slicer.dicomDatabase.allFiles()]
    for path in files[::7]:
        path.unlink() if how == "gone" else path.write_bytes(b"\x00" * 4000)
    with watched(host):
        press_load(panel)
        told(host)
    for one in slicer.dicomDatabase.patients():
        slicer.dicomDatabase.removePatient(one)
    load(panel, patient)
    assert host.dialogs.errors == []


# --- the child process ------------------------------------------------------------------------------------------------


def begun(panel: Any) -> bool:
    """The child has told of its progress."""
    return bool(panel.ui.predictionProgressBar.maximum > 0)


@pytest.mark.parametrize("who", ["worker", "launcher"])
def test_a_child_killed_in_the_middle(host: Any, ready: Any, who: str) -> None:
    with watched(host):
        press_predict(ready)
        until(host, lambda: begun(ready))
        victim = worker() if who == "worker" else children()[0]
        victim.send_signal(signal.SIGSTOP)
        host.processEvents()
        victim.kill()
        until(host, lambda: not ready.jobs.running)
        text = told(host)
    assert "gave no answer" in text
    assert "gave no answer" in ready.ui.predictionStatusLabel.text
    works_again(host, ready)


def test_a_graphics_card_that_is_not_there(host: Any, ready: Any) -> None:
    ready.ui.deviceComboBox.setCurrentIndex(2)
    with watched(host):
        press_predict(ready)
        until(host, lambda: not ready.jobs.running)
        assert "CPU" in told(host)
    ready.ui.deviceComboBox.setCurrentIndex(1)
    works_again(host, ready)


def test_cancel_at_once_and_twice(host: Any, ready: Any) -> None:
    with watched(host):
        press_predict(ready)
        ready.ui.predictionCancelButton.click()
        ready.ui.predictionCancelButton.click()
        ready.sections[2].onCancel()
        until(host, lambda: not ready.jobs.running)
    assert host.dialogs.errors == []
    works_again(host, ready)


def test_a_second_predict_waits_for_the_first(host: Any, ready: Any) -> None:
    with watched(host):
        press_predict(ready)
        first = {one.pid for one in children()}
        ready.ui.predictButton.click()
        ready.sections[2].onPredict()
        ready.ui.astSpinBox.setValue(31)
        assert not ready.ui.predictButton.enabled
        assert {one.pid for one in children() if one.ppid() == os.getpid()} <= first
        ready.ui.predictionCancelButton.click()
        until(host, lambda: not ready.jobs.running)
    works_again(host, ready)


def test_the_scene_closes_in_the_middle(host: Any, ready: Any, study: Any, models: Any) -> None:
    import slicer

    press_predict(ready)
    until(host, lambda: begun(ready))
    slicer.mrmlScene.Clear()
    with watched(host):
        until(host, lambda: not ready.jobs.running)
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    assert host.dialogs.errors == []
    assert ready.ui.predictionResultFrame.isHidden()
    prepare(ready, study, models("pet_ct_labs"))
    works_again(host, ready)


def test_a_result_that_comes_while_another_module_is_open(host: Any, panel: Any, study: Any, models: Any) -> None:
    prepare(panel, study, models("rf_labs"))
    press_predict(panel)
    leave_panel()
    until(host, lambda: not panel.jobs.running)
    assert host.module("PRRTPredictor") is panel
    assert not panel.ui.predictionResultFrame.isHidden()
    works_again(host, panel)


def test_the_module_is_reloaded_in_the_middle(host: Any, ready: Any) -> None:
    import slicer

    press_predict(ready)
    until(host, lambda: begun(ready))
    with watched(host):
        slicer.util.reloadScriptedModule("PRRTPredictor")
    assert host.dialogs.errors == []
    again = slicer.util.getModuleWidget("PRRTPredictor")
    again.enter()
    works_again(host, again)


def test_the_pet_is_deleted_in_the_middle(host: Any, panel: Any, study: Any, models: Any) -> None:
    prepare(panel, study, models("rf_labs"))
    press_predict(panel)
    panel.scene.RemoveNode(panel.parameterNode.petVolume)
    with watched(host):
        until(host, lambda: not panel.jobs.running)
    assert "discarded" in panel.ui.predictionStatusLabel.text
    assert not panel.ui.predictButton.enabled
    prepare(panel, study, models("rf_labs"))
    works_again(host, panel)


# --- installation -----------------------------------------------------------------------------------------------------


def offline(requirements: list[str]) -> None:
    raise subprocess.CalledProcessError(1, ["pip", "install", *requirements])


@pytest.mark.parametrize("how", ["declined", "torch declined", "offline", "silent", "no PyTorch extension"])
def test_what_is_needed_is_not_installed(host: Any, ready: Any, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    import slicer.packaging
    from slicer_standin import pytorch

    there = slicer.packaging.pip_check
    torch = how in ("torch declined", "no PyTorch extension")
    absent = "torch" if torch else "monai"
    with monkeypatch.context() as patch:
        pretend: Callable[..., bool] = lambda req, *rest: not str(req).startswith(absent) and there(req, *rest)  # noqa: E731
        patch.setattr(slicer.packaging, "pip_check", pretend)
        patch.setattr(sys.modules["slicer_standin.packaging"], "pip_check", pretend)
        host.dialogs.answer("declined" not in how)
        host.setInstaller(offline if how == "offline" else lambda requirements: None)
        if "extension" in how:
            pytorch.uninstall()
        with watched(host):
            press_predict(ready)
            text = told(host)
        assert absent in text
        assert not ready.ui.predictionProgressBar.isVisible()
    works_again(host, ready)


# --- the model --------------------------------------------------------------------------------------------------------


def nothing_there(folder: Path) -> None:
    shutil.rmtree(folder)


def no_model(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "holiday.txt").write_text("sun")


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"PK")


def tampered(folder: Path) -> None:
    path = max(folder.rglob("*.*"), key=lambda one: one.stat().st_size)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def a_file_is_gone(folder: Path) -> None:
    max(folder.rglob("*.*"), key=lambda one: one.stat().st_size).unlink()


@pytest.mark.parametrize("damage", [nothing_there, no_model, a_file, tampered, a_file_is_gone])
def test_a_model_that_cannot_be_used(
    host: Any, panel: Any, study: Any, models: Any, tmp_path: Path, damage: Any
) -> None:
    good, bad = models("rf_labs"), tmp_path / "bad model"
    shutil.copytree(good, bad)
    prepare(panel, study, bad)
    assert panel.ui.predictButton.enabled
    damage(bad)
    with watched(host):
        press_predict(panel)
        told(host)
    assert "Unusable" in panel.ui.modelCardLabel.text, "the card must not praise what has just been refused"
    assert not panel.ui.predictButton.enabled
    shutil.rmtree(bad) if bad.is_dir() else bad.unlink(missing_ok=True)
    shutil.copytree(good, bad)
    panel.ui.modelPathLineEdit.currentPath = str(good)
    assert panel.ui.predictButton.enabled
    panel.ui.modelPathLineEdit.currentPath = str(bad)
    works_again(host, panel)


def test_a_model_without_images_shows_no_saliency_and_can_be_reported(
    host: Any, explained: Any, models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained.ui.modelPathLineEdit.currentPath = str(models("rf_labs"))
    before = nodes(host.scene)
    predicted(host, explained)
    assert host.dialogs.errors == []
    assert nodes(host.scene) < before, "the former maps are gone, with all that belongs to them"
    node = explained.parameterNode
    assert (node.petSaliency, node.ctSaliency) == (None, None)
    assert "sees no images" in explained.ui.explanationReasonLabel.text
    for name in ("thresholdSliderWidget", "hottestSpotButton", "exportSaliencyButton"):
        assert not getattr(explained.ui, name).enabled, name
    for button, name in (("exportReportButton", "a.html"), ("exportSceneButton", "a.mrb")):
        answer(monkeypatch, tmp_path / "Bericht für später" / name)
        getattr(explained.ui, button).click()
        assert host.dialogs.errors == []
        assert (tmp_path / "Bericht für später" / name).is_file()


def test_a_model_of_the_ct_shows_no_pet_saliency(host: Any, explained: Any, models: Any) -> None:
    explained.ui.modelPathLineEdit.currentPath = str(models("ct"))
    predicted(host, explained)
    assert host.dialogs.errors == []
    assert explained.parameterNode.saliencyOf == "CT"
    assert not explained.ui.petSaliencyRadioButton.enabled
    assert explained.sections[3]._display.shown
    explained.scene.RemoveNode(explained.parameterNode.ctSaliency)
    assert not explained.sections[3]._display.shown
    assert host.dialogs.errors == []


# --- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["petVolume", "ctVolume", "petSaliency", "colour"])
@pytest.mark.parametrize("surface", [False, True])
def test_a_node_is_deleted_while_it_is_shown(host: Any, explained: Any, name: str, surface: bool) -> None:

    ui = explained.ui
    explained.parameterNode.surface = surface
    if name == "colour":
        explained.parameterNode.colour = own_colour(explained)
    host.processEvents()
    explained.scene.RemoveNode(getattr(explained.parameterNode, name))
    host.processEvents()
    ui.thresholdSliderWidget.value = 0.5
    ui.opacitySliderWidget.value = 0.4
    if ui.hottestSpotButton.enabled:
        ui.hottestSpotButton.click()
    assert host.dialogs.errors == []
    shown = explained.sections[3]._display.shown
    assert shown == (name == "colour")
    if not shown:
        assert own_models() == []
    if name == "petSaliency":
        assert not ui.petSaliencyRadioButton.enabled
        ui.ctSaliencyRadioButton.click()
        assert explained.sections[3]._display.shown
        assert host.dialogs.errors == []


def own_models() -> list[Any]:
    import slicer

    return [one for one in slicer.util.getNodesByClass("vtkMRMLModelNode") if one.GetAttribute("PRRTPredictor.Display")]


def own_colour(panel: Any) -> Any:
    import slicer

    mine = slicer.vtkMRMLColorTableNode()
    mine.SetTypeToUser()
    mine.SetNumberOfColors(4)
    mine.SetName("mine")
    for index in range(4):
        mine.SetColor(index, str(index), index / 4, 0.2, 0.3, 1.0)
    return panel.scene.AddNode(mine)


def test_the_scene_closes_while_saliency_is_shown(host: Any, explained: Any, study: Any, models: Any) -> None:
    import slicer

    explained.parameterNode.surface = True
    host.processEvents()
    slicer.mrmlScene.Clear()
    host.processEvents()
    assert host.dialogs.errors == []
    assert own_models() == []
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    prepare(explained, study, models("pet_ct_labs"))
    works_again(host, explained)


# --- exports ----------------------------------------------------------------------------------------------------------

EXPORTS = {
    "exportReportButton": "out.html",
    "exportScreenshotsButton": "",
    "exportSaliencyButton": "out.nrrd",
    "exportSceneButton": "out.mrb",
}


def answer(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """What the user says when he is asked where to write."""
    import qt

    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *_: str(path))
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: str(path))


@pytest.mark.parametrize("button", EXPORTS)
def test_a_place_that_cannot_be_written(
    host: Any, explained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, button: str
) -> None:
    (tmp_path / "a file").write_text("")
    good = tmp_path / "gut ü"
    good.mkdir()
    answer(monkeypatch, tmp_path / "a file" / EXPORTS[button])
    with watched(host):
        getattr(explained.ui, button).click()
        told(host)
    assert "Written" not in explained.ui.exportStatusLabel.text
    answer(monkeypatch, good / EXPORTS[button])
    with watched(host):
        getattr(explained.ui, button).click()
    assert host.dialogs.errors == []
    assert any(good.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="a limit of the size of files is how a disk gets full here")
@pytest.mark.parametrize("button", EXPORTS)
def test_the_disk_is_full(
    host: Any, explained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, button: str
) -> None:
    import resource

    folder = tmp_path / "full"
    folder.mkdir()
    answer(monkeypatch, folder / EXPORTS[button])
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    with watched(host):
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, former[1]))
        try:
            getattr(explained.ui, button).click()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, former)
        told(host)
    assert list(folder.iterdir()) == []
    assert "Written" not in explained.ui.exportStatusLabel.text
    getattr(explained.ui, button).click()
    assert host.dialogs.errors == []
    assert any(folder.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="a limit of the size of files is how a disk gets full here")
def test_the_disk_is_full_when_the_study_is_handed_over(host: Any, ready: Any) -> None:
    import resource

    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    with watched(host):
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, former[1]))
        try:
            press_predict(ready)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, former)
        told(host)
    works_again(host, ready)
