"""The section Training: cohort check, plan, Start/Resume/Cancel, progress and log, results and a model to use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from panel_fakes import CARD, BarePanel, ErrorBoxes, words

from PRRTPredictorCore.cohort.describe import table_one
from PRRTPredictorCore.errors import Cancelled, Code, CohortRefused, ModelRefused, RunFailed
from PRRTPredictorCore.evaluation.discrimination import MetricSummary
from PRRTPredictorCore.evaluation.results import Curve, ModelResult, RunResults
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.records import (
    Cohort,
    CohortPatient,
    Eligibility,
    Exclusion,
    Labs,
    Notice,
    Outcome,
    PetInterval,
    SeriesSource,
    Violation,
)


def metric(mean: float) -> MetricSummary:
    return MetricSummary(mean, 0.01, (mean, mean), (mean - 0.1, mean + 0.1))


def result(name: str, auroc: float) -> ModelResult:
    curve = Curve((0.0, 0.3, 1.0), (0.0, 0.8, 1.0))
    return ModelResult(name, MODELS[name].title, metric(auroc), metric(0.7), metric(0.6), 0, curve, curve)


RESULTS = RunResults((result("rf_labs", 0.61), result("pet_labs", 0.74)), 0.52, 48, 3, 5, True)


def patient(row: int, long: bool) -> CohortPatient:
    return CohortPatient(
        code=f"code{row}",
        row=row,
        pet=SeriesSource(folder=Path("pet")),
        ct=SeriesSource(folder=Path("ct")),
        labs=Labs(30, 25, 60, 120, date(2026, 1, 2)),
        outcome=Outcome(14.0 if long else 6.0, True, long),
        synthetic=True,
    )


def cohort(violations: tuple[Violation, ...] = ()) -> Cohort:
    patients = tuple(patient(row, row % 2 == 0) for row in range(2, 10))
    refused = len({one.row for one in violations})
    return Cohort(
        patients=patients,
        exclusions=Eligibility(11 + refused, (Exclusion("prior", "PRRT before", 3),), refused, 8),
        violations=violations,
        pet_interval=PetInterval(8, 0),
        notices=(Notice("SYNTHETIC", "8 of 8 patients are made, not real."),),
    )


VIOLATIONS = (
    Violation(12, "ast", Code.LAB_UNREADABLE, "“high” is no number.", "Write a number."),
    Violation(13, "pet", Code.COHORT_PATH, "The folder does not exist.", "Correct the path, relative to the table."),
)


@pytest.fixture
def errors(host: Any) -> ErrorBoxes:
    return ErrorBoxes(host)


@pytest.fixture
def panel(host: Any) -> Iterator[Any]:
    from PRRTPredictorLib.Panel.TrainingSection import TrainingSection

    panel = BarePanel()
    panel.open(TrainingSection(panel.ui, panel))
    yield panel
    panel.close()
    assert host.slotErrors == []


@pytest.fixture
def planned(panel: Any, tmp_path: Path) -> Any:
    """A cohort table and a run folder are chosen."""
    table = tmp_path / "cohort.csv"
    table.write_text("patient\n")
    panel.parameterNode.cohortFile = table
    panel.parameterNode.runFolder = tmp_path / "run"
    return panel


def visible(widget: Any) -> bool:
    return not widget.isHidden()


def check_cohort(panel: Any, found: Cohort) -> None:
    from PRRTPredictorLib.TrainingLogic import CohortCheck

    panel.trainingLogic.check = CohortCheck(found, table_one(found.patients))
    panel.ui.checkCohortButton.click()


def test_the_seven_models_are_offered_by_their_titles(panel: Any) -> None:
    import qt

    items = [panel.ui.modelsList.item(row) for row in range(panel.ui.modelsList.count)]
    assert [item.text() for item in items] == [spec.title for spec in MODELS.values()]
    assert all(item.checkState() == qt.Qt.Checked for item in items)
    items[1].setCheckState(qt.Qt.Unchecked)
    assert list(panel.parameterNode.models) == [name for name in MODELS if name != "pet"]
    panel.parameterNode.models = ["ct"]
    assert [item.checkState() == qt.Qt.Checked for item in items] == [name == "ct" for name in MODELS]
    items[2].setCheckState(qt.Qt.Unchecked)
    assert items[2].checkState() == qt.Qt.Checked, "the last one stays"
    assert list(panel.parameterNode.models) == ["ct"]


def test_what_is_missing_is_said(panel: Any, tmp_path: Path) -> None:
    assert not panel.ui.trainButton.enabled
    assert words(panel.ui.trainingMissingLabel) == "Still missing: cohort table, run folder."
    panel.parameterNode.runFolder = tmp_path
    panel.parameterNode.cohortFile = tmp_path / "none.csv"
    assert words(panel.ui.trainingMissingLabel) == "There is no such cohort table."
    (tmp_path / "none.csv").write_text("")
    panel.section.refresh()
    assert panel.ui.trainButton.enabled


def test_a_fit_cohort_is_described(planned: Any) -> None:
    check_cohort(planned, cohort())
    said = words(planned.ui.cohortSummaryLabel)
    for text in (
        "SYNTHETIC",
        "11 patients: 8 included (4 with PFS > 1 year), 3 excluded",
        "3 × PRRT before",
        "No viol",
    ):
        assert text in said
    assert not visible(planned.ui.violationsTable)
    assert visible(planned.ui.tableOneView)
    node = planned.ui.tableOneView.mrmlTableNode()
    assert node.GetNumberOfRows() == len(table_one(cohort().patients).rows)
    assert "SYNTHETIC" in node.GetName()


def test_violations_stand_in_a_table_with_their_remedies(planned: Any) -> None:
    check_cohort(planned, cohort(VIOLATIONS))
    table = planned.ui.violationsTable
    assert visible(table)
    cells = [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount)]
    assert cells == [
        ["12", "ast", "“high” is no number.\nWrite a number."],
        ["13", "pet", "The folder does not exist.\nCorrect the path, relative to the table."],
    ]
    assert "2 violations in 2 rows" in words(planned.ui.cohortSummaryLabel)
    check_cohort(planned, cohort())
    assert not visible(table)


def test_no_table_at_all_is_refused(planned: Any, errors: ErrorBoxes) -> None:
    planned.trainingLogic.check = CohortRefused(Code.COHORT_COLUMNS, "No table.", remedy="Use the template.")
    planned.ui.checkCohortButton.click()
    assert "Use the template." in errors.one()
    assert "Use the template." in words(planned.ui.cohortSummaryLabel)


def test_the_button_says_what_starting_would_mean(planned: Any) -> None:
    assert planned.ui.trainButton.text == "Start"
    planned.trainingLogic.state = "resumable"
    planned.section.enter()
    assert planned.ui.trainButton.text == "Resume"
    assert planned.ui.trainButton.enabled


def test_a_run_with_other_settings_is_refused_in_place(planned: Any, errors: ErrorBoxes) -> None:
    planned.trainingLogic.state = ModelRefused(Code.RUN_MISMATCH, "Another setting: seed.", remedy="Set seed 0.")
    planned.ui.seedSpinBox.setValue(7)
    assert not planned.ui.trainButton.enabled
    assert "Set seed 0." in words(planned.ui.trainingMissingLabel)
    assert errors.texts == []


def test_start_hands_over_the_plan(planned: Any) -> None:
    from PRRTPredictorLib.TrainingLogic import TrainingPlan

    node = planned.parameterNode
    node.models, node.preset, node.repeats = ["rf_labs", "pet_labs"], "quick", 2
    planned.ui.foldsSpinBox.setValue(4)
    planned.ui.trainingDeviceComboBox.setCurrentIndex(1)
    planned.ui.trainButton.click()
    call = planned.trainingLogic.calls[0]
    assert call.values == (
        TrainingPlan(node.cohortFile, node.runFolder, ("rf_labs", "pet_labs"), "quick", 4, 2, 0, "cpu"),
    )
    assert len(planned.jobs.added) == 1
    plan = ("cohortPathLineEdit", "runPathLineEdit", "modelsList", "presetComboBox", "foldsSpinBox", "repeatsSpinBox")
    frozen = (*plan, "seedSpinBox", "trainingDeviceComboBox", "trainButton", "checkCohortButton")
    assert [name for name in frozen if getattr(planned.ui, name).enabled] == []
    assert planned.ui.trainingCancelButton.enabled


@pytest.mark.parametrize(
    ("progressed", "said"),
    [
        (("train", 6, 105, 700.0, "pet_labs 2-1"), "Fold 7 of 105, SR-PET + labs, 12 min left"),
        (("train", 0, 105, None, ""), "Fold 1 of 105"),
        (("train", 105, 105, 0.0, ""), "Fold 105 of 105, less than a minute left"),
        (("train", 1, 105, 9000.0, ""), "Fold 2 of 105, 2.5 h left"),
        (("prepare", 12, 116, 190.0, "abc"), "Preparing images, 12 of 116, 3 min left"),
    ],
)
def test_progress_is_said_in_words(planned: Any, progressed: tuple[Any, ...], said: str) -> None:
    from PRRTPredictorLib.Worker import Progressed

    planned.ui.trainButton.click()
    planned.trainingLogic.told["onProgress"](Progressed(*progressed))
    assert words(planned.ui.trainingStatusLabel) == said
    assert (planned.ui.trainingProgressBar.value, planned.ui.trainingProgressBar.maximum) == progressed[1:3]


def test_the_log_is_live_and_bounded(planned: Any) -> None:
    from PRRTPredictorLib.Panel.RunLog import LINES_KEPT

    assert not visible(planned.ui.trainingLog)
    planned.ui.trainButton.click()
    for number in range(LINES_KEPT + 50):
        planned.trainingLogic.told["onLine"](f"line {number}")
    lines = planned.ui.trainingLog.toPlainText().splitlines()
    assert visible(planned.ui.trainingLog)
    assert (lines[-1], len(lines)) == (f"line {LINES_KEPT + 49}", LINES_KEPT)


def test_cancel_keeps_the_folds_and_offers_to_resume(planned: Any, errors: ErrorBoxes) -> None:
    planned.ui.trainButton.click()
    planned.ui.trainingCancelButton.click()
    assert planned.jobs.added[0].cancelled
    planned.trainingLogic.state = "resumable"
    planned.trainingLogic.told["onFailed"](Cancelled(Code.CANCELLED, "Cancelled."))
    assert "Every finished fold is kept" in words(planned.ui.trainingStatusLabel)
    assert planned.ui.trainButton.text == "Resume"
    assert planned.ui.trainButton.enabled
    assert planned.ui.seedSpinBox.enabled
    assert errors.texts == []


def test_a_failure_tells_the_remedy_and_the_panel_works_on(planned: Any, errors: ErrorBoxes) -> None:
    planned.ui.trainButton.click()
    planned.trainingLogic.told["onFailed"](RunFailed(Code.TRAINING_FAILED, "A fold failed.", remedy="Look at the log."))
    assert "Look at the log." in errors.one()
    assert "Look at the log." in words(planned.ui.trainingStatusLabel)
    assert planned.ui.trainButton.enabled


def test_refused_before_the_start(planned: Any, errors: ErrorBoxes) -> None:
    planned.trainingLogic.refusal = RunFailed(Code.DEPENDENCY_MISSING, "Torch is missing.", remedy="Install it.")
    planned.ui.trainButton.click()
    assert "Install it." in errors.one()
    assert planned.jobs.added == []
    assert planned.ui.trainButton.enabled
    assert not visible(planned.ui.trainingProgressBar)


def trained(panel: Any) -> None:
    panel.ui.trainButton.click()
    panel.trainingLogic.state, panel.trainingLogic.runResults = "finished", RESULTS
    panel.trainingLogic.finished = ("rf_labs", "pet", "pet_labs")
    panel.trainingLogic.told["onFinished"](RESULTS)


def test_results_stand_in_table_two_and_the_best_model_comes_first(planned: Any) -> None:
    assert not visible(planned.ui.trainingResultFrame)
    trained(planned)
    assert visible(planned.ui.trainingResultFrame)
    assert planned.ui.tableTwoView.mrmlTableNode().GetNumberOfRows() == 2
    assert "48 patients, 3 folds × 5 repeats; long PFS in 52 %." in words(planned.ui.trainingResultLabel)
    assert "SYNTHETIC" in words(planned.ui.trainingResultLabel)
    box = planned.ui.deployComboBox
    assert [box.itemText(i) for i in range(box.count)] == [
        "SR-PET + labs",
        "Random forest (labs)",
    ]
    assert not planned.ui.trainButton.enabled
    assert "is finished" in words(planned.ui.trainingMissingLabel)


def test_what_a_run_went_through_stands_beside_its_results(planned: Any) -> None:
    planned.trainingLogic.runNotices = (
        Notice("FIT_STOPPED", "2 of 15 fits of pet met <numbers> that are not finite."),
    )
    trained(planned)
    assert "⚠ 2 of 15 fits of pet met <numbers> that are not finite." in words(planned.ui.trainingResultLabel)


def test_results_of_a_finished_run_come_back_without_training(planned: Any) -> None:
    planned.trainingLogic.state, planned.trainingLogic.runResults = "finished", RESULTS
    planned.section.enter()
    assert visible(planned.ui.trainingResultFrame)
    planned.trainingLogic.state = "new"
    planned.parameterNode.runFolder = planned.parameterNode.runFolder / "other"
    assert not visible(planned.ui.trainingResultFrame)


def test_the_model_is_packed_and_chosen(planned: Any) -> None:
    trained(planned)
    planned.ui.predictionCollapsibleButton.collapsed = True
    planned.ui.deployComboBox.setCurrentIndex(1)
    planned.ui.deployButton.click()
    call = planned.trainingLogic.calls[-1]
    node = planned.parameterNode
    folder = node.runFolder / "models" / "rf_labs"
    assert (call.name, call.values) == ("packModel", (node.runFolder, "rf_labs", folder))
    assert not planned.ui.trainingResultFrame.enabled
    call.options["onFinished"](CARD)
    assert node.modelFolder == folder
    assert not planned.ui.predictionCollapsibleButton.collapsed
    assert planned.ui.trainingResultFrame.enabled
    assert "is chosen" in words(planned.ui.trainingStatusLabel)


def test_the_report_is_written_and_opened(planned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt

    opened: list[str] = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    trained(planned)
    planned.ui.openReportButton.click()
    call = planned.trainingLogic.calls[-1]
    page = planned.parameterNode.runFolder / "report.html"
    assert (call.name, call.values) == (
        "writeReport",
        (planned.parameterNode.runFolder, planned.parameterNode.cohortFile, None),
    )
    call.options["onFinished"](page)
    assert opened == [str(page)]
    assert page.as_uri() in planned.ui.trainingStatusLabel.text


def compared(panel: Any) -> tuple[str, str]:
    return panel.ui.compareFirstComboBox.currentText, panel.ui.compareSecondComboBox.currentText


def test_any_two_models_can_be_compared_in_the_report(planned: Any) -> None:
    trained(planned)
    first, second = planned.ui.compareFirstComboBox, planned.ui.compareSecondComboBox
    assert compared(planned) == ("SR-PET + labs", "SR-PET"), "the paper's pair, which the report takes unasked"
    second.setCurrentIndex(0)
    assert compared(planned) == ("SR-PET + labs", "Random forest (labs)")
    planned.section.refresh()
    assert compared(planned) == ("SR-PET + labs", "Random forest (labs)"), "a choice stays"
    first.setCurrentIndex(0)
    assert compared(planned) == ("Random forest (labs)", "SR-PET + labs"), "no model is held against itself"
    planned.ui.openReportButton.click()
    assert planned.trainingLogic.calls[-1].values[-1] == ("rf_labs", "pet_labs")
    assert not planned.ui.reportFrame.enabled
    planned.trainingLogic.told["onFailed"](RunFailed(Code.OUTPUT, "No.", remedy="Try."))
    assert planned.ui.reportFrame.enabled
    assert compared(planned) == ("Random forest (labs)", "SR-PET + labs")


@pytest.mark.parametrize(
    ("finished", "frame", "row"), [((), False, False), (("rf_labs",), True, False), (("rf_labs", "pet"), True, True)]
)
def test_a_run_that_is_not_finished_can_be_reported(
    planned: Any, finished: tuple[str, ...], frame: bool, row: bool
) -> None:
    planned.trainingLogic.state, planned.trainingLogic.finished = "resumable", finished
    planned.section.enter()
    assert not visible(planned.ui.trainingResultFrame)
    assert visible(planned.ui.reportFrame) == frame
    assert visible(planned.ui.compareRow) == row
    if frame:
        planned.ui.openReportButton.click()
        assert planned.trainingLogic.calls[-1].values[-1] is None
    planned.section.setParameterNode(None)
    assert not visible(planned.ui.reportFrame)


def test_a_report_tells_its_chapter_and_what_cancel_leaves(planned: Any, errors: ErrorBoxes) -> None:
    from PRRTPredictorLib.Worker import Progressed

    trained(planned)
    planned.ui.openReportButton.click()
    planned.trainingLogic.told["onProgress"](Progressed("report", 13, 60, 66.1, "Survival"))
    assert words(planned.ui.trainingStatusLabel) == "Writing the report: Survival, 1 min left"
    planned.trainingLogic.told["onFailed"](Cancelled(Code.CANCELLED, "Cancelled."))
    assert words(planned.ui.trainingStatusLabel) == "Cancelled. No new report was written."
    planned.ui.deployButton.click()
    planned.trainingLogic.told["onFailed"](Cancelled(Code.CANCELLED, "Cancelled."))
    assert words(planned.ui.trainingStatusLabel) == "Cancelled. No model was packed."
    assert errors.texts == []


def test_plots_are_shown_in_a_plot_view_and_can_be_chosen(planned: Any, errors: ErrorBoxes) -> None:
    import slicer

    trained(planned)
    planned.ui.showPlotsButton.click()
    assert errors.texts == []
    selection = slicer.app.applicationLogic().GetSelectionNode()
    assert planned.scene.GetNodeByID(selection.GetActivePlotChartID()).GetName().count("ROC") == 1
    planned.ui.plotComboBox.setCurrentIndex(2)
    assert "Metrics" in planned.scene.GetNodeByID(selection.GetActivePlotChartID()).GetName()
    layout = planned.scene.GetFirstNodeByClass("vtkMRMLLayoutNode").GetViewArrangement()
    assert layout == slicer.vtkSlicerPlotsLogic.GetLayoutWithPlot(layout)


def test_closing_the_scene_empties_the_section(planned: Any) -> None:
    trained(planned)
    planned.section.setParameterNode(None)
    assert not visible(planned.ui.trainingResultFrame)
    assert not visible(planned.ui.tableOneView)
