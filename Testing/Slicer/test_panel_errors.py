"""A prediction that goes wrong ends as a message with a remedy, leaves nothing behind, and can be started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from failing_panel import (
    children,
    full_disk,
    prepare,
    press_predict,
    told,
    until,
    watched,
    worker,
    works_again,
)
from panel_driver import leave_panel

pytestmark = pytest.mark.usefixtures("private_places")


@pytest.fixture
def ready(panel: Any, study: Any, models: Any) -> Any:
    """A panel in which Predict works."""
    prepare(panel, study, models("pet_ct_labs"))
    return panel


# --- the child process ------------------------------------------------------------------------------------------------


SLOW_CHILD = """
import sys, time
from PRRTPredictorCore.prediction import predictor

ask = predictor.ask_ensemble
predictor.ask_ensemble = lambda *what, **how: (time.sleep(300), ask(*what, **how))[1]
from PRRTPredictorCore.cli import main
sys.exit(main(sys.argv[3:]))
"""


@pytest.fixture
def slow_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions stop in front of the ensemble, so that there is a middle on any machine."""
    from PRRTPredictorLib import Worker

    (tmp_path / "slow.py").write_text(SLOW_CHILD, encoding="utf-8")
    python = Worker.pythonCommand
    monkeypatch.setattr(Worker, "pythonCommand", lambda: (*python(), str(tmp_path / "slow.py")))


def begun(panel: Any) -> bool:
    """The child has told of its progress."""
    return bool(panel.ui.predictionProgressBar.maximum > 0)


@pytest.mark.parametrize("who", ["worker", "launcher"])
@pytest.mark.usefixtures("slow_child")
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


@pytest.mark.usefixtures("slow_child")
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


@pytest.mark.usefixtures("slow_child")
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


@pytest.mark.usefixtures("slow_child")
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


@pytest.mark.parametrize("path", ["/" + "x" * 5000, "x" * 300, "/proc/1/root/x", "~", "C:\\no"])
def test_paths_that_the_system_refuses_to_look_at(host: Any, ready: Any, models: Any, path: str) -> None:
    ui = ready.ui
    for line in (ui.modelPathLineEdit, ui.cohortPathLineEdit, ui.runPathLineEdit):
        line.currentPath = path
    assert not ui.predictButton.enabled
    assert not ui.trainButton.enabled
    assert host.dialogs.errors == [], "typing a path must not open boxes"
    ui.checkCohortButton.click()
    told(host)
    ui.modelPathLineEdit.currentPath = str(models("pet_ct_labs"))
    works_again(host, ready)


@pytest.mark.skipif(os.name == "nt", reason="a limit of the size of files is how a disk gets full here")
def test_the_disk_is_full_when_the_study_is_handed_over(host: Any, ready: Any) -> None:
    with watched(host):
        with full_disk():
            press_predict(ready)
        told(host)
    works_again(host, ready)


@pytest.mark.parametrize("value", ["2026-99-99", "[" * 100_000], ids=["a date", "depth"])
def test_a_scene_that_was_altered_by_hand(host: Any, ready: Any, value: str) -> None:
    inner = ready.parameterNode.parameterNode
    for name in ("labsDate", "firstCycleDate", "prediction"):
        inner.SetParameter(name, value)
    host.processEvents()
    assert host.dialogs.errors == []
    assert ready.labSheet().sampledOn is None
    works_again(host, ready)
