"""Whatever is deleted, closed or refused while saliency is shown and exported, the panel copes and says what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from failing_panel import (
    answer,
    full_disk,
    nodes,
    predicted,
    prepare,
    told,
    watched,
    works_again,
)

pytestmark = pytest.mark.usefixtures("private_places")


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


# --- models of other kinds --------------------------------------------------------------------------------------------


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
    folder = tmp_path / "full"
    folder.mkdir()
    answer(monkeypatch, folder / EXPORTS[button])
    with watched(host):
        with full_disk():
            getattr(explained.ui, button).click()
        told(host)
    assert list(folder.iterdir()) == []
    assert "Written" not in explained.ui.exportStatusLabel.text
    getattr(explained.ui, button).click()
    assert host.dialogs.errors == []
    assert any(folder.iterdir())
