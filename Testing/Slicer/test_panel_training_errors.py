"""A training that goes wrong ends as a message with a remedy, leaves nothing behind, and can be started again."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from failing_panel import children, told, until, watched, worker
from panel_driver import leave_panel
from panel_fakes import words
from trained_run import made_cohort, private_folders

HERE = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield from private_folders(tmp_path_factory)


@pytest.fixture(scope="module")
def cohort(private: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_cohort(tmp_path_factory) / "cohort.csv"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture(scope="module")
def finished(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the forest, which is trained in no time."""
    from PRRTPredictorLib.TrainingLogic import TrainingLogic, TrainingPlan

    run = tmp_path_factory.mktemp("finished") / "run"
    TrainingLogic().train(TrainingPlan(cohort, run, ("rf_labs",), "quick", 3, 1, 0, "cpu", 1))
    return run


def plan(panel: Any, cohort: Path, run: Path, *models: str) -> None:
    """Cohort, settings and run folder, as a user fills them in."""
    ui = panel.ui
    ui.cohortPathLineEdit.currentPath = str(cohort)
    panel.parameterNode.models = list(models or ("rf_labs",))
    ui.presetComboBox.setCurrentIndex(2)
    ui.trainingDeviceComboBox.setCurrentIndex(1)
    ui.repeatsSpinBox.setValue(1)
    ui.runPathLineEdit.currentPath = str(run)


def press_train(panel: Any) -> None:
    assert panel.ui.trainButton.enabled, words(panel.ui.trainingMissingLabel)
    panel.ui.trainButton.click()


def begun(panel: Any) -> bool:
    return bool(panel.ui.trainingProgressBar.maximum > 0)


def ended(host: Any, panel: Any) -> None:
    until(host, lambda: not panel.jobs.running)
    assert not panel.ui.trainingProgressBar.isVisible()


def trains(host: Any, panel: Any, run: Path, *, refusable: bool = False) -> None:
    """A run begins; to see the end each time would take too long. Where it may be refused, it is seen to go on."""
    assert host.dialogs.errors == []
    panel.ui.runPathLineEdit.currentPath = str(run)
    press_train(panel)
    assert children() != []
    if refusable:
        until(host, lambda: begun(panel))
    panel.ui.trainingCancelButton.click()
    ended(host, panel)
    assert host.dialogs.errors == []
    assert panel.ui.trainButton.enabled


# --- the cohort -------------------------------------------------------------------------------------------------------


def rows_of(cohort: Path) -> list[dict[str, str]]:
    with cohort.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def missing(path: Path, _good: Path) -> None:
    path.unlink(missing_ok=True)


def folder(path: Path, _good: Path) -> None:
    path.mkdir()


def empty(path: Path, _good: Path) -> None:
    path.write_bytes(b"")


def binary(path: Path, _good: Path) -> None:
    path.write_bytes(bytes(range(256)) * 40)


def other_table(path: Path, _good: Path) -> None:
    path.write_text("fruit,price\napple,1\n")


@pytest.mark.parametrize("make", [missing, folder, empty, binary, other_table])
def test_a_file_that_is_no_cohort(
    host: Any, panel: Any, cohort: Path, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    bad = tmp_path / "cohort ü.csv"
    make(bad, cohort)
    plan(panel, bad, tmp_path / "run")
    with watched(host):
        panel.ui.checkCohortButton.click()
        told(host)
        if panel.ui.trainButton.enabled:
            panel.ui.trainButton.click()
            ended(host, panel)
            told(host)
    assert not (tmp_path / "run").exists()
    panel.ui.cohortPathLineEdit.currentPath = str(cohort)
    panel.ui.checkCohortButton.click()
    assert host.dialogs.errors == []
    assert "No violation" in words(panel.ui.cohortSummaryLabel)
    assert panel.ui.trainButton.enabled


def with_violations(rows: list[dict[str, str]]) -> None:
    rows[1]["ast"], rows[2]["cga"] = "many", "-7"


def of_one_class(rows: list[dict[str, str]]) -> None:
    for row in rows:
        row["progression_date"] = (date.fromisoformat(row["prrt_start"]) + timedelta(days=200)).isoformat()
        row["event"] = "1"


@pytest.mark.parametrize("change", [with_violations, of_one_class])
def test_a_cohort_that_cannot_be_trained(host: Any, panel: Any, cohort: Path, change: Any) -> None:
    bad = cohort.with_name(f"{change.__name__}.csv")
    rows = rows_of(cohort)
    change(rows)
    write(bad, rows)
    run = cohort.parent / f"run {change.__name__}"
    plan(panel, bad, run)
    panel.ui.checkCohortButton.click()
    if change is with_violations:
        assert panel.ui.violationsTable.rowCount == 2
    host.dialogs.clear()
    with watched(host):
        press_train(panel)
        ended(host, panel)
        told(host)
    assert not run.exists()
    panel.ui.cohortPathLineEdit.currentPath = str(cohort)
    trains(host, panel, run)


# --- the run folder ---------------------------------------------------------------------------------------------------


def test_the_run_of_another_cohort(host: Any, panel: Any, cohort: Path, finished: Path, tmp_path: Path) -> None:
    other = cohort.with_name("other.csv")
    write(other, rows_of(cohort)[:-1])
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    plan(panel, other, run, "rf_labs", "pet")
    before = sorted(path.name for path in run.rglob("*"))
    with watched(host):
        press_train(panel)
        ended(host, panel)
        assert "--" not in told(host), "the panel has no command line"
    assert sorted(path.name for path in run.rglob("*")) == before
    panel.parameterNode.models = ["rf_labs"]
    trains(host, panel, tmp_path / "new")


def test_the_run_of_other_settings(host: Any, panel: Any, cohort: Path, finished: Path) -> None:
    plan(panel, cohort, finished)
    assert not panel.ui.trainButton.enabled
    assert not panel.ui.trainingResultFrame.isHidden()
    panel.ui.foldsSpinBox.setValue(4)
    assert not panel.ui.trainButton.enabled
    assert "3 folds" in words(panel.ui.trainingMissingLabel)
    panel.ui.foldsSpinBox.setValue(3)
    assert not panel.ui.trainingResultFrame.isHidden()
    assert host.dialogs.errors == []


@pytest.mark.parametrize("name", ["manifest.json", "metrics.json", "folds"])
def test_a_damaged_run(host: Any, panel: Any, cohort: Path, finished: Path, tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for path in (run / name).rglob("*") if (run / name).is_dir() else (run / name,):
        if path.is_file():
            path.write_bytes(b"{]")
    plan(panel, cohort, run)
    if panel.ui.trainButton.enabled:
        panel.ui.trainButton.click()
        ended(host, panel)
    for button in (panel.ui.openReportButton, panel.ui.deployButton):
        if not panel.ui.trainingResultFrame.isHidden() and button.enabled and name != "folds":
            button.click()
            ended(host, panel)
    for message in host.dialogs.errors:
        assert "What to do" in message.text
        assert "should not have" not in message.text
    host.dialogs.clear()
    panel.ui.runPathLineEdit.currentPath = str(finished)
    assert not panel.ui.trainingResultFrame.isHidden()
    assert host.dialogs.errors == []


def test_the_run_is_taken_away_while_its_results_are_shown(
    host: Any, panel: Any, cohort: Path, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    plan(panel, cohort, run)
    shutil.rmtree(run)
    for button in (panel.ui.openReportButton, panel.ui.deployButton):
        with watched(host):
            button.click()
            ended(host, panel)
            told(host)
        if panel.ui.trainingResultFrame.isHidden():
            break
    assert panel.parameterNode.modelFolder == Path()
    shutil.copytree(finished, run)
    panel.sections[4].enter()
    panel.ui.deployButton.click()
    ended(host, panel)
    assert host.dialogs.errors == []
    assert panel.parameterNode.modelFolder == run / "models" / "rf_labs"
    assert "Random forest" in words(panel.ui.modelCardLabel)


def test_the_run_is_busy(host: Any, panel: Any, cohort: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    script = "import sys, filelock\nwith filelock.FileLock(sys.argv[1]):\n print('held', flush=True)\n input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(run / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        plan(panel, cohort, run)
        press_train(panel)
        ended(host, panel)
        assert "working on this run" in told(host)
        other.communicate(b"\n")
    trains(host, panel, run, refusable=True)


def test_a_run_folder_that_cannot_be_written(host: Any, panel: Any, cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    plan(panel, cohort, tmp_path / "a file" / "run")
    with watched(host):
        press_train(panel)
        ended(host, panel)
        told(host)
    trains(host, panel, tmp_path / "Lauf ü")


# --- the child process ------------------------------------------------------------------------------------------------


def test_a_child_killed_in_the_middle_and_gone_on_with(host: Any, panel: Any, cohort: Path, tmp_path: Path) -> None:
    plan(panel, cohort, tmp_path / "run", "rf_labs", "pet")
    with watched(host):
        press_train(panel)
        until(host, lambda: "Fold" in words(panel.ui.trainingStatusLabel))
        victim = worker()
        victim.send_signal(signal.SIGSTOP)
        victim.kill()
        ended(host, panel)
        assert "gave no answer" in told(host)
    assert panel.ui.trainButton.text == "Resume"
    press_train(panel)
    until(host, lambda: "Fold" in words(panel.ui.trainingStatusLabel))
    panel.ui.trainingCancelButton.click()
    ended(host, panel)
    assert host.dialogs.errors == []


def test_cancel_at_once_and_twice(host: Any, panel: Any, cohort: Path, tmp_path: Path) -> None:
    plan(panel, cohort, tmp_path / "run")
    with watched(host):
        press_train(panel)
        panel.sections[4].onTrain()
        panel.ui.trainingCancelButton.click()
        panel.ui.trainingCancelButton.click()
        panel.sections[4].onCancel()
        ended(host, panel)
    assert host.dialogs.errors == []
    trains(host, panel, tmp_path / "run")


def test_the_scene_closes_in_the_middle(host: Any, panel: Any, cohort: Path, finished: Path, tmp_path: Path) -> None:
    import slicer

    plan(panel, cohort, tmp_path / "run")
    press_train(panel)
    until(host, lambda: begun(panel))
    slicer.mrmlScene.Clear()
    with watched(host):
        ended(host, panel)
    assert host.dialogs.errors == []
    assert slicer.util.getNodesByClass("vtkMRMLTableNode") == []
    plan(panel, cohort, tmp_path / "run")
    trains(host, panel, tmp_path / "run", refusable=True)
    plan(panel, cohort, finished)
    panel.ui.showPlotsButton.click()
    slicer.mrmlScene.Clear()
    host.processEvents()
    assert panel.ui.trainingResultFrame.isHidden()
    assert host.dialogs.errors == []


def test_the_module_is_left_and_reloaded_in_the_middle(host: Any, panel: Any, cohort: Path, tmp_path: Path) -> None:
    import slicer

    plan(panel, cohort, tmp_path / "run")
    press_train(panel)
    leave_panel()
    until(host, lambda: begun(panel))
    with watched(host):
        slicer.util.reloadScriptedModule("PRRTPredictor")
    assert host.dialogs.errors == []
    again = host.module("PRRTPredictor")
    plan(again, cohort, tmp_path / "run")
    trains(host, again, tmp_path / "run")


def test_what_the_run_has_shown_is_deleted_from_the_scene(host: Any, panel: Any, cohort: Path, finished: Path) -> None:
    import slicer

    plan(panel, cohort, finished)
    panel.ui.checkCohortButton.click()
    panel.ui.showPlotsButton.click()
    for kind in ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode"):
        for node in slicer.util.getNodesByClass(kind):
            slicer.mrmlScene.RemoveNode(node)
    panel.ui.plotComboBox.setCurrentIndex(1)
    host.processEvents()
    panel.ui.showPlotsButton.click()
    panel.ui.checkCohortButton.click()
    assert host.dialogs.errors == []
    assert len(slicer.util.getNodesByClass("vtkMRMLPlotChartNode")) == 3


# --- without a main window --------------------------------------------------------------------------------------------


def test_without_a_main_window_errors_are_told_too(tmp_path: Path) -> None:
    """No dialog can be shown there: the log says it."""
    script = tmp_path / "script.py"
    script.write_text(
        "import slicer\n"
        "panel = slicer.util.getModuleWidget('PRRTPredictor')\n"
        "panel.enter()\n"
        "panel.ui.demoPatientButton.click()\n"
        "panel.ui.loadStudyButton.click()\n"
        f"panel.ui.modelPathLineEdit.currentPath = {str(tmp_path)!r}\n"
        "assert not panel.ui.predictButton.enabled\n"
        "assert 'Unusable' in panel.ui.modelCardLabel.text\n"
        f"panel.ui.cohortPathLineEdit.currentPath = {str(tmp_path / 'none.csv')!r}\n"
        "panel.ui.checkCohortButton.click()\n"
        "slicer.mrmlScene.Clear()\n"
        "print('reached the end')\n"
        "slicer.util.exit(0)\n"
    )
    command = [sys.executable, "-m", "slicer_standin", "--no-main-window", "--settings", str(tmp_path / "settings")]
    done = subprocess.run(
        [*command, "--database", str(tmp_path / "database"), "--python-script", str(script)],
        cwd=HERE, capture_output=True, text=True, timeout=400, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "reached the end" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "What to do" in done.stdout + done.stderr
