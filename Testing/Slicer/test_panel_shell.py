"""The module's shells: what it tells of itself, its state with the scene's life, its jobs, its own test."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
from panel_driver import FakeJob, leave_panel, only_error


def test_the_module_says_what_it_is_and_what_it_is_not(host: Any) -> None:
    import slicer

    module = slicer.modules.prrtpredictor
    assert module.title == "PRRT Predictor"
    assert tuple(module.categories) == ("Nuclear Medicine",)
    assert "Research use only" in module.helpText
    assert "Baur S" in module.helpText
    assert "Baur S" in module.acknowledgementText


def test_research_use_only_is_in_view(panel: Any) -> None:
    assert "Research use only" in panel.ui.researchUseLabel.text
    assert panel.ui.researchUseLabel.isVisible()
    for section in ("prediction", "explanation", "training"):  # where the top has been scrolled away
        notice = getattr(panel.ui, f"{section}NoticeLabel")
        assert "Research use only" in notice.text
        assert notice.isVisible()


def test_every_widget_explains_itself(panel: Any) -> None:
    import qt

    kinds = (
        "QPushButton",
        "QComboBox",
        "QDoubleSpinBox",
        "QDateEdit",
        "QCheckBox",
        "QTableWidget",
        "qMRMLNodeComboBox",
    )
    mute = [
        name
        for name, widget in vars(panel.ui).items()
        if widget.className() in kinds and not widget.toolTip and not name.startswith("qt_")
        if isinstance(widget, qt.QWidget)
    ]
    assert mute == []


def test_fresh_state_has_the_defaults(panel: Any) -> None:
    node = panel.parameterNode
    assert (node.threshold, node.opacity, node.saliencyOf, node.device) == (0.3, 0.6, "PET", "auto")
    assert (node.preset, node.folds, node.repeats, node.seed) == ("tuned", 3, 5, 0)
    assert (node.petVolume, node.ctVolume, node.ast, node.labsDate, node.prediction) == (None, None, 0, "", "")


def test_left_panel_does_not_follow_and_entered_panel_catches_up(host: Any, panel: Any) -> None:
    leave_panel()
    panel.parameterNode.ast = 41.0
    assert panel.ui.astSpinBox.value == 0
    assert host.module("PRRTPredictor") is panel
    assert panel.ui.astSpinBox.value == 41


def test_closing_the_scene_ends_jobs_and_empties_the_panel(panel: Any) -> None:
    import slicer

    job = panel.jobs.add(FakeJob())
    panel.ui.astSpinBox.setValue(30)
    slicer.mrmlScene.Clear()
    assert job.cancelled
    assert not panel.jobs.running
    assert panel.ui.astSpinBox.value == 0
    panel.ui.astSpinBox.setValue(31)
    assert panel.parameterNode.ast == 31, "the panel works on after the scene was closed"


def test_closing_the_scene_elsewhere_leaves_no_parameter_node_behind(host: Any, panel: Any) -> None:
    import slicer

    leave_panel()
    slicer.mrmlScene.Clear()
    assert panel.parameterNode is None
    assert host.module("PRRTPredictor").parameterNode is not None


def test_what_was_followed_once_is_not_kept(host: Any, panel: Any) -> None:
    """A wrapper that lives on reads all its values again after each change."""
    former = weakref.ref(panel.parameterNode)
    for _ in range(3):
        leave_panel()
        host.module("PRRTPredictor")
    gc.collect()
    assert former() is None


def test_the_database_may_be_opened_after_the_module(host: Any, panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where it is the module that Slicer starts with."""
    import slicer

    from PRRTPredictor import PRRTPredictorLogic

    database = slicer.dicomDatabase
    monkeypatch.delattr(slicer, "dicomDatabase")
    known = PRRTPredictorLogic().prediction._database
    assert not known.isOpen
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    assert known.isOpen
    assert known.fileForInstance("1.2.3") == ""


def test_studies_are_listed_when_slicer_has_started_with_this_module(
    host: Any, panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    database = slicer.dicomDatabase
    monkeypatch.delattr(slicer, "dicomDatabase")
    slicer.util.reloadScriptedModule("PRRTPredictor")
    started = slicer.util.getModuleWidget("PRRTPredictor")
    started.enter()
    assert "not open" in started.ui.studyHintLabel.text
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    slicer.app.startupCompleted.emit()
    slicer.app.startupCompleted.disconnect()
    assert "holds no PET or CT yet" in started.ui.studyHintLabel.text


def test_the_user_is_asked_over_the_main_window_where_he_answered_last(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt
    import slicer

    from PRRTPredictorLib.Panel.Ask import AskUser

    asked: list[tuple[Any, ...]] = []
    answers = iter([str(tmp_path / "report.html"), "", str(tmp_path)])

    def answer(*words: Any) -> str:
        asked.append(words)
        return next(answers)

    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", answer)
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", answer)
    ask = AskUser()
    assert ask.file("Report", "report.html", "Web page (*.html)") == tmp_path / "report.html"
    assert ask.file("Report", "report.html", "Web page (*.html)") is None
    assert ask.folder("Pictures") == tmp_path
    window = slicer.util.mainWindow()
    assert asked[1] == (window, "Report", str(tmp_path / "report.html"), "Web page (*.html)")
    assert asked[2] == (window, "Pictures", str(tmp_path))


def test_an_emptied_path_is_forgotten(panel: Any, tmp_path: Path) -> None:
    panel.ui.runPathLineEdit.currentPath = str(tmp_path)
    assert panel.parameterNode.runFolder == tmp_path
    panel.ui.runPathLineEdit.currentPath = ""
    assert panel.parameterNode.runFolder == Path()


@pytest.mark.parametrize("name", ["cohort.csv", "COHORT.CSV", "cohort.tsv", "cohort.txt"])
def test_every_cohort_table_can_be_typed(panel: Any, tmp_path: Path, name: str) -> None:
    panel.ui.cohortPathLineEdit.currentPath = str(tmp_path / name)
    assert panel.parameterNode.cohortFile == tmp_path / name


def test_nothing_else_can_be_clicked_while_work_is_shown_by_a_dialog(host: Any) -> None:
    import slicer

    from PRRTPredictorLib.Panel.ProgressDialog import progressDialog

    with progressDialog("Loading") as progress:
        (dialog,) = slicer.util.findChildren(slicer.util.mainWindow(), className="QProgressDialog")
        progress("reading", 1, 2)
        assert dialog.isVisible()
        assert dialog.isModal()
        assert dialog.value == 1


def test_state_comes_back_with_the_scene(panel: Any, tmp_path: Path) -> None:
    import numpy as np
    import slicer

    node = panel.parameterNode
    volume = slicer.util.addVolumeFromArray(np.zeros((2, 3, 4), np.float32), name="PET of the scene")
    node.petVolume, node.assumeUnits, node.threshold = volume, True, 0.45
    node.ast, node.altUnit, node.labsDate, node.models = 30.5, "µkat/L", "2026-01-02", ["pet", "rf_labs"]
    file = tmp_path / "state.mrb"
    assert slicer.util.saveScene(str(file))
    slicer.mrmlScene.Clear()
    assert panel.parameterNode.ast == 0
    slicer.util.loadScene(str(file))

    node = panel.parameterNode
    assert (node.ast, node.altUnit, node.labsDate, node.threshold) == (30.5, "µkat/L", "2026-01-02", 0.45)
    assert list(node.models) == ["pet", "rf_labs"]
    assert node.petVolume.GetName() == "PET of the scene"
    assert panel.ui.petVolumeComboBox.currentNode() is node.petVolume
    assert panel.ui.astSpinBox.value == 30.5
    assert panel.ui.altUnitComboBox.currentText == "µkat/L"
    assert panel.ui.assumeUnitsCheckBox.checked
    assert panel.ui.labsDateEdit.date.toString("yyyy-MM-dd") == "2026-01-02"
    assert len(slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")) == 1


def test_jobs_are_polled_until_they_have_told_everything(host: Any) -> None:
    from PRRTPredictorLib.Panel.JobTimer import JobTimer

    timer, job = JobTimer(interval=1), FakeJob()
    timer.add(job)
    timer.poll()
    assert timer.running
    job.running = False
    timer.poll()
    assert (job.polls, timer.running) == (2, False)


def test_a_broken_callback_is_shown_and_stops_nothing(host: Any) -> None:
    from PRRTPredictorLib.Panel.JobTimer import JobTimer

    class Broken(FakeJob):
        def poll(self) -> None:
            raise RuntimeError("a slot went wrong")

    timer, job = JobTimer(), FakeJob()
    timer.add(Broken())
    timer.add(job)
    timer.poll()
    assert job.polls == 1
    assert "RuntimeError" in only_error(host)
    timer.cancelAll()
    assert not timer.running


def test_leaving_the_module_for_good_leaves_nothing(panel: Any) -> None:
    import slicer

    job = panel.jobs.add(FakeJob())
    slicer.util.reloadScriptedModule("PRRTPredictor")
    assert job.cancelled
    assert panel.Observations == []
    assert panel.parameterNode is None


def test_the_modules_own_test_passes(host: Any) -> None:
    import slicer

    slicer.selfTests["PRRTPredictor"](msec=1)


def test_the_modules_own_test_passes_where_nothing_is_installed(tmp_path: Path) -> None:
    """What Slicer brings along is enough for study and laboratory values, without a main window too."""
    script = tmp_path / "self_test.py"
    script.write_text("import slicer\nslicer.selfTests['PRRTPredictor'](msec=1)\nprint('self-test passed')\n")
    command = [sys.executable, "-m", "slicer_standin", "--bare", "--no-main-window", "--testing"]
    done = subprocess.run(
        [*command, "--settings", str(tmp_path / "settings"), "--python-script", str(script)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "self-test passed" in done.stdout
