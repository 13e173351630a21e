"""The section Prediction: what is missing is said, a model shows its card, an answer is shown for its inputs alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_fakes import (
    CARD,
    DOCUMENT,
    SYNTHETIC_CARD,
    BarePanel,
    ErrorBoxes,
    FakeLogic,
    Outcome,
    addVolume,
    charts,
    words,
)

from PRRTPredictorCore.errors import Cancelled, Code, ModelRefused, RunFailed


@pytest.fixture
def errors(host: Any) -> ErrorBoxes:
    return ErrorBoxes(host)


@pytest.fixture
def panel(host: Any) -> Iterator[Any]:
    from PRRTPredictorLib.Panel.PredictionSection import PredictionSection

    panel = BarePanel()
    panel.open(PredictionSection(panel.ui, panel))
    yield panel
    panel.close()
    assert host.slotErrors == []


def visible(widget: Any) -> bool:
    return not widget.isHidden()


def predicted(panel: Any, folder: Path, **changes: Any) -> None:
    """A prediction from the press of the button to its result."""
    from dataclasses import replace

    panel.ui.predictButton.click()
    panel.logic.told["onFinished"](Outcome(replace(DOCUMENT, **changes), charts(folder)))


def test_what_is_missing_is_said_and_then_the_button_works(panel: Any, tmp_path: Path) -> None:
    said = panel.ui.predictionMissingLabel
    assert not panel.ui.predictButton.enabled
    assert words(said) == "Still missing: PET, CT, AST, ALT, GGT, CgA, model folder."
    assert "CgA" in panel.ui.predictButton.toolTip
    panel.fill(tmp_path)
    assert panel.ui.predictButton.enabled
    assert not visible(said)
    panel.parameterNode.ggt = 0.0
    assert not panel.ui.predictButton.enabled
    assert words(said) == "Still missing: GGT."


def test_an_impossible_lab_is_given_as_the_reason(panel: Any, tmp_path: Path) -> None:
    panel.fill(tmp_path)
    panel.parameterNode.ast = 90_000
    assert not panel.ui.predictButton.enabled
    assert "AST" in words(panel.ui.predictionMissingLabel)


def test_the_card_tells_on_whom_and_how_well(panel: Any, tmp_path: Path) -> None:
    assert not visible(panel.ui.modelCardLabel)
    panel.parameterNode.modelFolder = tmp_path
    card = words(panel.ui.modelCardLabel)
    for said in ("SR-PET + CT + labs", "SR-PET, CT, labs", "116 patients, 60 with", "0.72 (95 % interval 0.63 to 0.81)",
                 "15 members, preset “tuned”", "2026-11-02"):  # fmt: skip
        assert said in card
    assert "SYNTHETIC" not in card


def test_a_made_model_says_so_in_red(panel: Any, tmp_path: Path) -> None:
    from PRRTPredictorLib.Panel.Words import ALERT

    panel.logic.cardOrError = SYNTHETIC_CARD
    panel.parameterNode.modelFolder = tmp_path
    assert f'background-color:{ALERT};color:#ffffff"><b>&nbsp;SYNTHETIC' in panel.ui.modelCardLabel.text
    assert "mean nothing for a real patient" in words(panel.ui.modelCardLabel)


def test_an_unreadable_model_says_why_in_place(panel: Any, errors: ErrorBoxes, tmp_path: Path) -> None:
    panel.fill(tmp_path)
    panel.logic.cardOrError = ModelRefused(
        Code.MODEL_TAMPERED, "A file was altered.", where="models/0.safetensors", remedy="Get the folder again."
    )
    panel.section.enter()
    said = words(panel.ui.modelCardLabel)
    assert "A file was altered. [models/0.safetensors]" in said
    assert "Get the folder again." in said
    assert not panel.ui.predictButton.enabled
    assert "cannot be used" in words(panel.ui.predictionMissingLabel)
    assert errors.texts == [], "typing a path must not open boxes"
    panel.logic.cardOrError = CARD
    panel.section.enter()
    assert panel.ui.predictButton.enabled


def test_a_model_with_inputs_that_the_panel_lacks_is_not_offered(panel: Any, tmp_path: Path) -> None:
    from dataclasses import replace

    panel.logic.cardOrError = replace(CARD, tabular_names=(*CARD.tabular_names, "ki67"))
    panel.fill(tmp_path)
    assert not panel.ui.predictButton.enabled
    assert "ki67" in words(panel.ui.predictionMissingLabel)


def test_an_empty_path_is_shown_empty_and_typing_keeps_the_slash(panel: Any) -> None:
    assert panel.ui.modelPathLineEdit.currentPath == ""
    panel.ui.modelPathLineEdit.currentPath = "/models/"
    assert panel.parameterNode.modelFolder == Path("/models")
    assert panel.ui.modelPathLineEdit.currentPath == "/models/"


def test_the_device_has_titles_and_keeps_its_word(panel: Any) -> None:
    box = panel.ui.deviceComboBox
    assert [box.itemText(i) for i in range(box.count)] == ["Automatic", "Processor (CPU)", "Graphics card (CUDA)"]
    box.setCurrentIndex(2)
    assert panel.parameterNode.device == "cuda"
    panel.parameterNode.device = "cpu"
    assert box.currentIndex == 1


def test_predict_hands_over_what_the_panel_shows(panel: Any, tmp_path: Path) -> None:
    panel.fill(tmp_path)
    panel.parameterNode.device = "cpu"
    panel.ui.predictButton.click()
    node, call = panel.parameterNode, panel.logic.started[0]
    assert call.values == (node.petVolume, node.ctVolume, panel.labSheet(), tmp_path, "cpu")
    assert call.options["assumeUnits"] is False
    assert len(panel.jobs.added) == 1
    assert visible(panel.ui.predictionProgressBar)
    assert visible(panel.ui.predictionCancelButton)
    for name in ("predictButton", "modelPathLineEdit", "deviceComboBox"):
        assert not getattr(panel.ui, name).enabled, name


def test_progress_is_said_in_words(panel: Any, tmp_path: Path) -> None:
    from PRRTPredictorLib.Worker import Progressed

    panel.fill(tmp_path)
    panel.ui.predictButton.click()
    panel.logic.told["onProgress"](Progressed("predict", 3, 6, 130.0, "common grid"))
    assert words(panel.ui.predictionStatusLabel) == "Bringing PET and CT onto a common grid, 2 min left"
    assert (panel.ui.predictionProgressBar.value, panel.ui.predictionProgressBar.maximum) == (3, 6)


def test_the_answer_is_shown_and_kept(panel: Any, tmp_path: Path) -> None:
    panel.fill(tmp_path)
    assert not visible(panel.ui.predictionResultFrame)
    predicted(panel, tmp_path)
    assert visible(panel.ui.predictionResultFrame)
    said = words(panel.ui.predictionResultLabel)
    for text in ("72 %", "55 to 83 %", "Predicted group:  long PFS"):
        assert text in said
    warning = "GGT 900 lies outside of the training cohort's 10 to 400."
    assert words(panel.ui.predictionWarningsLabel).splitlines() == ["Warnings:", "• ", warning]
    assert words(panel.ui.predictionNoticeLabel) == "Research use only. Not a diagnostic device."
    assert visible(panel.ui.labChartLabel)
    assert visible(panel.ui.survivalChartLabel)
    assert not visible(panel.ui.predictionProgressBar)
    assert panel.ui.predictButton.enabled
    node = panel.parameterNode
    assert (node.petSaliency.GetName(), node.ctSaliency.GetName()) == ("Saliency PET", "Saliency CT")


def test_made_things_are_called_synthetic(panel: Any, tmp_path: Path) -> None:
    from PRRTPredictorCore.records import ModelIdentity

    panel.fill(tmp_path)
    predicted(panel, tmp_path, synthetic_patient=True, model=ModelIdentity("pet", "0" * 64, True))
    said = words(panel.ui.predictionResultLabel)
    assert "SYNTHETIC patient" in said
    assert "SYNTHETIC model" in said


def test_a_second_prediction_replaces_the_first(panel: Any, tmp_path: Path) -> None:
    import slicer

    panel.fill(tmp_path)
    predicted(panel, tmp_path)
    predicted(panel, tmp_path, probability_long_pfs=0.31, group="short", interval=(0.2, 0.4))
    assert "31 %" in words(panel.ui.predictionResultLabel)
    assert "short PFS" in words(panel.ui.predictionResultLabel)
    assert len(slicer.util.getNodes("Saliency*", useLists=True)) == 2
    assert panel.scene.GetNodesByName("Saliency PET").GetNumberOfItems() == 1


def test_changed_labs_make_the_answer_out_of_date(panel: Any, tmp_path: Path) -> None:
    panel.fill(tmp_path)
    predicted(panel, tmp_path)
    assert "Out of date" not in words(panel.ui.predictionResultLabel)
    panel.parameterNode.cga = 121.0
    assert "Out of date" in words(panel.ui.predictionResultLabel)
    panel.parameterNode.cga = 120.0
    assert "Out of date" not in words(panel.ui.predictionResultLabel)


def test_answer_of_another_study_is_not_shown(panel: Any, tmp_path: Path) -> None:
    panel.fill(tmp_path)
    predicted(panel, tmp_path)
    first = panel.parameterNode.petVolume
    panel.parameterNode.petVolume = addVolume("PET of somebody else")
    assert not visible(panel.ui.predictionResultFrame)
    panel.parameterNode.petVolume = first
    assert visible(panel.ui.predictionResultFrame)


def test_a_failure_tells_the_remedy_and_the_panel_works_on(panel: Any, errors: ErrorBoxes, tmp_path: Path) -> None:
    panel.fill(tmp_path)
    panel.ui.predictButton.click()
    panel.logic.told["onFailed"](RunFailed(Code.DEVICE_MISSING, "There is no CUDA device.", remedy="Choose CPU."))
    assert "Choose CPU." in errors.one()
    assert "Choose CPU." in words(panel.ui.predictionStatusLabel)
    assert panel.ui.predictButton.enabled
    assert panel.ui.modelPathLineEdit.enabled
    predicted(panel, tmp_path)
    assert visible(panel.ui.predictionResultFrame)


def test_refused_before_the_start(panel: Any, errors: ErrorBoxes, tmp_path: Path) -> None:
    panel.fill(tmp_path)
    panel.logic.refusal = RunFailed(Code.DEPENDENCY_MISSING, "Torch is not installed.", remedy="Press Predict again.")
    panel.ui.predictButton.click()
    assert "Press Predict again." in errors.one()
    assert panel.jobs.added == []
    assert panel.ui.predictButton.enabled
    assert not visible(panel.ui.predictionProgressBar)


def test_cancel_ends_the_job_without_a_box(panel: Any, errors: ErrorBoxes, tmp_path: Path) -> None:
    panel.fill(tmp_path)
    panel.ui.predictButton.click()
    panel.ui.predictionCancelButton.click()
    assert panel.jobs.added[0].cancelled
    panel.logic.told["onFailed"](Cancelled(Code.CANCELLED, "Cancelled."))
    assert words(panel.ui.predictionStatusLabel) == "Cancelled."
    assert errors.texts == []
    assert panel.ui.predictButton.enabled


def test_a_study_that_left_meanwhile_gets_no_result(panel: Any, errors: ErrorBoxes, tmp_path: Path) -> None:
    panel.fill(tmp_path)
    panel.ui.predictButton.click()
    panel.scene.RemoveNode(panel.parameterNode.petVolume)
    panel.logic.told["onFinished"](Outcome(DOCUMENT, charts(tmp_path)))
    assert "discarded" in words(panel.ui.predictionStatusLabel)
    assert panel.parameterNode.prediction == ""
    assert panel.scene.GetFirstNodeByName("Saliency PET") is None
    assert errors.texts == []


def test_a_damaged_answer_in_a_scene_is_refused_in_place(panel: Any, errors: ErrorBoxes, tmp_path: Path) -> None:
    panel.fill(tmp_path)
    predicted(panel, tmp_path)
    panel.parameterNode.prediction = '{"probability_long_pfs": 7}'
    assert "Predict again." in words(panel.ui.predictionResultLabel)
    assert not visible(panel.ui.labChartLabel)
    assert errors.texts == []


def test_the_answer_comes_back_with_the_scene(host: Any, errors: ErrorBoxes, tmp_path: Path, monkeypatch: Any) -> None:
    import slicer

    panel = host.module("PRRTPredictor")
    fake = FakeLogic()
    for name in ("card", "start", "addResult"):
        monkeypatch.setattr(panel.logic, name, getattr(fake, name))
    node = panel.parameterNode
    node.petVolume, node.ctVolume = addVolume("PET"), addVolume("CT")
    node.ast, node.alt, node.ggt, node.cga, node.modelFolder = 30.0, 25.0, 60.0, 120.0, tmp_path
    panel.ui.predictButton.click()
    fake.told["onFinished"](Outcome(DOCUMENT, charts(tmp_path)))
    node.saliencyOf, node.threshold, node.opacity = "CT", 0.55, 0.8
    node.colour = slicer.mrmlScene.GetNodeByID("vtkMRMLColorTableNodeFileViridis.txt")
    node.models, node.preset, node.folds, node.repeats, node.seed = ["pet"], "quick", 4, 2, 9
    node.cohortFile, node.runFolder = tmp_path / "cohort.csv", tmp_path / "run"
    file = tmp_path / "answer.mrb"
    assert slicer.util.saveScene(str(file))
    slicer.mrmlScene.Clear()
    assert not visible(panel.ui.predictionResultFrame)
    slicer.util.loadScene(str(file))
    assert "72 %" in words(panel.ui.predictionResultLabel)
    assert "Out of date" not in words(panel.ui.predictionResultLabel)
    assert visible(panel.ui.survivalChartLabel)
    assert visible(panel.ui.labChartLabel)
    assert panel.parameterNode.petSaliency.GetName() == "Saliency PET"
    node, ui = panel.parameterNode, panel.ui
    assert (node.saliencyOf, node.threshold, node.opacity) == ("CT", 0.55, 0.8)
    assert ui.ctSaliencyRadioButton.checked
    assert (ui.thresholdSliderWidget.value, ui.opacitySliderWidget.value) == (0.55, 0.8)
    assert ui.colourComboBox.currentNode().GetName() == "Viridis"
    assert node.ctSaliency.GetDisplayNode().GetLowerThreshold() == pytest.approx(0.55)
    assert node.ctSaliency.GetDisplayNode().GetColorNode() is node.colour
    lower = slicer.app.layoutManager().sliceWidget("Red+").mrmlSliceCompositeNode()
    assert lower.GetForegroundVolumeID() == node.ctSaliency.GetID()
    assert lower.GetForegroundOpacity() == pytest.approx(0.8)
    assert (list(node.models), node.preset, ui.presetComboBox.currentText) == (["pet"], "quick", "Quick")
    assert (ui.foldsSpinBox.value, ui.repeatsSpinBox.value, ui.seedSpinBox.value) == (4, 2, 9)
    assert (node.cohortFile, node.runFolder) == (tmp_path / "cohort.csv", tmp_path / "run")
    assert ui.cohortPathLineEdit.currentPath == str(tmp_path / "cohort.csv")
    assert errors.texts == []


@pytest.mark.parametrize("width", [400, 700])
def test_charts_follow_the_width_and_nothing_lies_over_them(host: Any, tmp_path: Path, width: int) -> None:
    import qt

    from PRRTPredictorLib.Panel.PredictionSection import PredictionSection

    panel = BarePanel()
    area = qt.QScrollArea()  # as Slicer's module panel is
    area.setWidgetResizable(True)
    area.setWidget(panel.widget)
    area.resize(width, 900)
    panel.open(PredictionSection(panel.ui, panel))
    area.show()
    panel.fill(tmp_path)
    panel.ui.predictButton.click()
    picture = qt.QPixmap(720, 360)
    picture.fill(qt.QColor("white"))
    found = charts(tmp_path)
    for path in found.values():
        assert picture.save(str(path))
    panel.logic.told["onFinished"](Outcome(DOCUMENT, found))
    for _ in range(20):
        host.processEvents()
    label = panel.ui.survivalChartLabel
    assert panel.widget.width <= width
    assert label.width > width - 90
    assert abs(label.height - label.width / 2) <= 1
    assert panel.ui.predictionNoticeLabel.geometry.top() > label.geometry.bottom()
    assert area.horizontalScrollBar().maximum == 0
    panel.close()
    area.close()
