"""The section Explanation: controls act at once and only on what changed; what leaves is asked for and told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_fakes import CARD, DOCUMENT, PNG, BarePanel, ErrorBoxes, Recorder, addVolume, charts, words

from PRRTPredictorCore.errors import Code, RunFailed


class Answers:
    """The user's answers to where to write."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.proposed: list[str] = []

    def file(self, title: str, name: str, pattern: str) -> Path | None:
        assert "without identity" in title
        assert Path(name).suffix in pattern
        self.proposed.append(name)
        return self._folder / name if self._folder else None

    def folder(self, title: str) -> Path | None:
        assert "without identity" in title
        return self._folder


@pytest.fixture
def errors(host: Any) -> ErrorBoxes:
    return ErrorBoxes(host)


@pytest.fixture
def panel(host: Any, tmp_path: Path) -> Iterator[Any]:
    from PRRTPredictorLib.Panel.ExplanationSection import ExplanationSection

    panel = BarePanel()
    panel.display, panel.export, panel.answers = Recorder(), Recorder(), Answers(tmp_path)
    panel.open(ExplanationSection(panel.ui, panel, display=panel.display, export=panel.export, asks=panel.answers))
    yield panel
    panel.close()
    assert host.slotErrors == []


def predicted(panel: Any, folder: Path, images: tuple[str, ...] = ("PET", "CT")) -> None:
    """A prediction is in the parameter node."""
    import slicer

    from PRRTPredictorLib.Panel import StoredResult

    panel.fill(folder)
    node = panel.parameterNode
    with slicer.util.NodeModify(node):
        node.petSaliency = addVolume("Saliency PET") if "PET" in images else None
        node.ctSaliency = addVolume("Saliency CT") if "CT" in images else None
        node.saliencyOf = images[0] if images else "PET"
        asked = StoredResult.askedFor(node, panel.labSheet())
        StoredResult.store(node, DOCUMENT, charts(folder), asked)


def reason(panel: Any) -> str:
    label = panel.ui.explanationReasonLabel
    return "" if label.isHidden() else words(label)


def test_before_a_prediction_nothing_works_and_the_reason_is_said(panel: Any) -> None:
    assert "Predict first" in reason(panel)
    assert not panel.ui.explanationControls.enabled
    assert panel.display.calls == []


def test_a_prediction_is_shown_as_the_parameters_say(panel: Any, tmp_path: Path) -> None:
    panel.parameterNode.threshold = 0.5
    predicted(panel, tmp_path)
    node = panel.parameterNode
    panel.section.setParameterNode(None)
    panel.display.calls.clear()
    panel.section.setParameterNode(node)
    assert reason(panel) == ""
    assert panel.ui.explanationControls.enabled
    assert panel.display.values("show") == [(node.petVolume, node.ctVolume, node.petSaliency)]
    assert panel.display.names() == ["show", "setThreshold", "setOpacity", "setColour", "setSurfaceVisible"]
    assert panel.display.values("setThreshold") == [(0.5,)]
    assert panel.display.values("setColour") == [(node.colour,)]
    assert node.colour is not None


@pytest.mark.parametrize(
    ("change", "call", "value"),
    [
        (lambda ui: ui.thresholdSliderWidget.setValue(0.45), "setThreshold", 0.45),
        (lambda ui: ui.opacitySliderWidget.setValue(0.9), "setOpacity", 0.9),
        (lambda ui: ui.surfaceCheckBox.setChecked(True), "setSurfaceVisible", True),
    ],
)
def test_a_change_acts_at_once_and_alone_and_without_showing_anew(
    panel: Any, tmp_path: Path, change: Any, call: str, value: Any
) -> None:
    predicted(panel, tmp_path)
    panel.display.calls.clear()
    change(panel.ui)
    assert panel.display.names() == [call]
    assert panel.display.values(call) == [(pytest.approx(value),)]


def test_another_colour_map_acts_at_once(panel: Any, tmp_path: Path) -> None:
    predicted(panel, tmp_path)
    panel.display.calls.clear()
    colour = panel.scene.GetNodeByID("vtkMRMLColorTableNodeGrey")
    panel.ui.colourComboBox.setCurrentNode(colour)
    assert panel.parameterNode.colour is colour
    assert panel.display.values("setColour") == [(colour,)]


def test_the_cts_saliency_is_a_click_away(panel: Any, tmp_path: Path) -> None:
    predicted(panel, tmp_path)
    panel.display.calls.clear()
    panel.ui.ctSaliencyRadioButton.click()
    node = panel.parameterNode
    assert node.saliencyOf == "CT"
    assert panel.display.values("show") == [(node.petVolume, node.ctVolume, node.ctSaliency)]


def test_a_model_of_one_image_offers_that_one_only(panel: Any, tmp_path: Path) -> None:
    predicted(panel, tmp_path, images=("CT",))
    assert not panel.ui.petSaliencyRadioButton.enabled
    assert panel.ui.ctSaliencyRadioButton.enabled
    assert panel.ui.ctSaliencyRadioButton.checked


def test_a_model_without_images_says_why(panel: Any, tmp_path: Path) -> None:
    predicted(panel, tmp_path, images=())
    assert "sees no images" in reason(panel)
    assert not panel.ui.thresholdSliderWidget.enabled
    assert not panel.ui.exportSaliencyButton.enabled
    assert panel.ui.exportReportButton.enabled, "a report needs no saliency"
    assert "show" not in panel.display.names()


def test_another_study_takes_the_overlay_away(panel: Any, tmp_path: Path) -> None:
    predicted(panel, tmp_path)
    panel.display.calls.clear()
    panel.parameterNode.petVolume = addVolume("PET of somebody else")
    assert panel.display.names() == ["clear"]
    assert "another study" in reason(panel)
    assert not panel.ui.explanationControls.enabled


def test_the_scene_closes_and_the_overlay_goes(panel: Any, tmp_path: Path) -> None:
    predicted(panel, tmp_path)
    panel.display.calls.clear()
    panel.section.setParameterNode(None)
    assert panel.display.names() == ["clear"]


def test_jump(panel: Any, tmp_path: Path) -> None:
    predicted(panel, tmp_path)
    panel.ui.hottestSpotButton.click()
    assert panel.display.names()[-1] == "jumpToHottest"


def test_exports_ask_where_and_tell_where(panel: Any, errors: ErrorBoxes, tmp_path: Path) -> None:
    predicted(panel, tmp_path)
    node = panel.parameterNode
    told = {}
    for button in ("Report", "Screenshots", "Saliency", "Scene"):
        getattr(panel.ui, f"export{button}Button").click()
        told[button] = panel.ui.exportStatusLabel.text
    assert errors.texts == []
    assert panel.answers.proposed == ["prrt-report.html", "prrt-saliency-pet.nrrd", "prrt-scene.mrb"]
    report, shots, saliency, scene = panel.export.calls
    assert report.values == (tmp_path / "prrt-report.html", DOCUMENT, CARD, panel.labSheet().labs())
    assert (report.options["petNode"], report.options["saliencyNode"]) == (node.petVolume, node.petSaliency)
    assert set(report.options["charts"]) == {"lab_contributions", "survival"}
    assert shots.values == (tmp_path, node.petVolume, node.ctVolume, node.petSaliency)
    assert saliency.values == (node.petSaliency, tmp_path / "prrt-saliency-pet.nrrd")
    assert scene.values == (node.petVolume, node.ctVolume, node.petSaliency, tmp_path / "prrt-scene.mrb")
    assert (tmp_path / "prrt-scene.mrb").as_uri() in told["Scene"]
    assert all("Written without identity" in text for text in told.values())


def test_the_kept_charts_go_into_the_report(panel: Any, tmp_path: Path) -> None:
    predicted(panel, tmp_path)
    seen = {}
    panel.export.exportReport = lambda *_, charts, **__: seen.update(
        {name: path.read_bytes() for name, path in charts.items()}
    )
    panel.ui.exportReportButton.click()
    assert seen == {"lab_contributions": PNG, "survival": PNG}


def test_no_report_with_labs_that_the_prediction_did_not_see(panel: Any, tmp_path: Path) -> None:
    predicted(panel, tmp_path)
    assert panel.ui.exportReportButton.enabled
    panel.parameterNode.cga = 500.0
    assert not panel.ui.exportReportButton.enabled
    assert "predict again" in panel.ui.exportReportButton.toolTip
    assert panel.ui.exportSceneButton.enabled


def test_a_changed_mind_writes_nothing(panel: Any, tmp_path: Path) -> None:
    predicted(panel, tmp_path)
    panel.answers._folder = None
    for button in ("Report", "Screenshots", "Saliency", "Scene"):
        getattr(panel.ui, f"export{button}Button").click()
    assert panel.export.calls == []
    assert panel.ui.exportStatusLabel.isHidden()


def test_a_full_disk_is_told_with_a_remedy(panel: Any, errors: ErrorBoxes, tmp_path: Path) -> None:
    predicted(panel, tmp_path)
    panel.export.fails = RunFailed(Code.OUTPUT, "The disk is full.", remedy="Choose another folder.")
    panel.ui.exportSaliencyButton.click()
    assert "Choose another folder." in errors.one()
    assert panel.ui.exportStatusLabel.isHidden()
    assert panel.ui.exportSaliencyButton.enabled


def test_without_identity_is_said_beside_the_buttons(panel: Any) -> None:
    assert "without the patient's identity" in words(panel.ui.exportLabel)
    for button in ("Report", "Screenshots", "Saliency", "Scene"):
        assert "without identity" in getattr(panel.ui, f"export{button}Button").toolTip or button == "Report"


def test_what_was_hidden_while_the_section_was_closed_stays_hidden(panel: Any, tmp_path: Path) -> None:
    panel.ui.explanationCollapsibleButton.collapsed = True
    predicted(panel, tmp_path)
    panel.ui.explanationCollapsibleButton.collapsed = False
    assert reason(panel) == ""
    assert panel.ui.explanationControls.isVisible()
