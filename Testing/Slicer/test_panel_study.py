"""Study: the table of the DICOM database, Load, the demo patient, and volumes of the scene; as seen in the panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panel_driver import only_error

from PRRTPredictorCore.cohort.synthetic import SyntheticPatient, make_patient
from PRRTPredictorCore.dicom.suv import load_pet
from PRRTPredictorCore.errors import Cancelled, Code
from PRRTPredictorLib.Database import StudyRow, listStudies


def rows(count: int) -> tuple[StudyRow, ...]:
    """A clinic's list: every third study lacks its CT."""
    return tuple(
        StudyRow(
            patient=f"Patient{index:02d} Some Very Long Given Name",
            patientId=f"ID{index:04d}",
            date=f"2025-{1 + index % 12:02d}-{1 + index % 28:02d}",
            studyUid=f"1.2.{index}",
            pet="WB AC DOTATOC, 135 images",
            ct="" if index % 3 == 2 else "CT WB 3.0, 270 images",
            missing="no CT" if index % 3 == 2 else "",
        )
        for index in range(count)
    )


@pytest.fixture
def clinic(panel: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A panel whose database holds many studies."""
    from PRRTPredictorLib.Panel import StudySection

    monkeypatch.setattr(StudySection, "listStudies", lambda database: rows(12))
    panel.ui.refreshStudiesButton.click()
    return panel


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> SyntheticPatient:
    """Files of a made patient who is not the demo patient."""
    return make_patient(tmp_path_factory.mktemp("patient"), seed=7)


def import_folder(panel: Any, folder: Path) -> None:
    import slicer
    from DICOMLib import DICOMUtils

    DICOMUtils.importDicom(str(folder), slicer.dicomDatabase)
    panel.ui.refreshStudiesButton.click()


def load_first(panel: Any) -> None:
    panel.ui.studyTable.selectRow(0)
    panel.ui.loadStudyButton.click()


def study(panel: Any) -> Any:
    return panel.sections[0]


def shown(panel: Any) -> list[str]:
    table = panel.ui.studyTable
    return [table.item(row, 0).text() for row in range(table.rowCount) if not table.isRowHidden(row)]


def all_nodes() -> set[str]:
    import slicer

    return {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_newest_study_comes_first_and_a_click_on_date_turns_the_order(clinic: Any) -> None:
    import qt

    table = clinic.ui.studyTable
    dates = [table.item(row, 1).text() for row in range(table.rowCount)]
    assert dates == sorted(dates, reverse=True)
    table.sortItems(1, qt.Qt.AscendingOrder)
    assert [table.item(row, 1).text() for row in range(table.rowCount)] == dates[::-1]


def test_the_table_fills_the_width_without_a_horizontal_scroll_bar(clinic: Any) -> None:
    import slicer

    slicer.app.processEvents()
    table = clinic.ui.studyTable
    assert sum(table.columnWidth(column) for column in range(table.columnCount)) == table.viewport().width
    assert not table.horizontalScrollBar().visible


def test_what_is_cut_off_can_be_read_by_pointing_at_it(clinic: Any) -> None:
    table = clinic.ui.studyTable
    tip = table.item(0, 3).toolTip()
    for column in range(3):
        assert table.item(0, column).text() in tip


def test_the_filter_takes_words_in_any_order(clinic: Any) -> None:
    assert len(shown(clinic)) == 12
    clinic.ui.studySearchBox.setText("given patient03")
    assert [name.split()[0] for name in shown(clinic)] == ["Patient03"]
    clinic.ui.studySearchBox.setText("missing")
    assert len(shown(clinic)) == 4
    clinic.ui.studySearchBox.setText("")
    assert len(shown(clinic)) == 12


def test_a_study_that_the_filter_hides_cannot_be_loaded(clinic: Any) -> None:
    assert study(clinic).selectStudy("1.2.3")
    assert clinic.ui.loadStudyButton.enabled
    clinic.ui.studySearchBox.setText("patient05")
    assert study(clinic).selectedStudy == ""
    assert not clinic.ui.loadStudyButton.enabled


def test_refresh_keeps_the_selection(clinic: Any) -> None:
    study(clinic).selectStudy("1.2.4")
    clinic.ui.refreshStudiesButton.click()
    assert study(clinic).selectedStudy == "1.2.4"


# --- without studies --------------------------------------------------------------------------------------------------


def test_without_a_database_the_section_says_how_to_get_one_and_volumes_still_work(host: Any, panel: Any) -> None:
    import slicer

    slicer.dicomDatabase.closeDatabase()
    panel.ui.refreshStudiesButton.click()
    assert "DICOM module" in panel.ui.studyHintLabel.text
    assert panel.ui.studyHintLabel.isVisible()
    assert not panel.ui.studyTable.enabled
    panel.ui.demoPatientButton.click()
    assert "DICOM module" in only_error(host)

    pet = slicer.util.addVolumeFromArray(np.ones((3, 4, 5), np.float32), name="my PET")
    panel.ui.petVolumeComboBox.setCurrentNode(pet)
    assert panel.parameterNode.petVolume is pet
    assert "my PET" in panel.ui.studyStatusLabel.text


def test_an_empty_database_says_what_to_do(panel: Any) -> None:
    panel.ui.refreshStudiesButton.click()
    assert "demo patient" in panel.ui.studyHintLabel.text
    assert panel.ui.studyTable.rowCount == 0
    assert not panel.ui.loadStudyButton.enabled


def test_the_dicom_module_is_one_click_away(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    opened: list[str] = []
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    panel.ui.dicomModuleButton.click()
    assert opened == ["DICOM"]


# --- loading ----------------------------------------------------------------------------------------------------------


def test_a_demo_patient_is_made_loaded_and_shown(host: Any, panel: Any) -> None:
    import slicer

    panel.ui.studySearchBox.setText("nobody")
    panel.ui.demoPatientButton.click()
    assert not host.dialogs.errors
    assert len(shown(panel)) == 1, "a filter must not hide what was just made"
    panel.ui.loadStudyButton.click()
    assert not host.dialogs.errors
    node = panel.parameterNode
    text = panel.ui.studyStatusLabel.text
    for word in ("PET", "CT", "SYNTHETIC", "SUVbw", "HU"):
        assert word in text
    layers = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert any(
        layer.GetBackgroundVolumeID() == node.ctVolume.GetID()
        and layer.GetForegroundVolumeID() == node.petVolume.GetID()
        for layer in layers
    )


def test_a_double_click_loads_too(host: Any, panel: Any, patient: SyntheticPatient) -> None:
    import_folder(panel, patient.pet.parent)
    panel.ui.studyTable.selectRow(0)
    study(panel)._onDoubleClick(0, 0)
    assert not host.dialogs.errors
    assert panel.parameterNode.petVolume is not None


def test_the_next_patient_does_not_get_the_labs_of_the_last(panel: Any, patient: SyntheticPatient) -> None:
    import_folder(panel, patient.pet.parent)
    load_first(panel)
    other = study(panel).selectedStudy
    panel.ui.astSpinBox.setValue(30)
    panel.parameterNode.labsDate = "2026-01-01"
    load_first(panel)
    assert panel.ui.astSpinBox.value == 30, "the same study again: they are this patient's"
    panel.ui.demoPatientButton.click()
    panel.ui.loadStudyButton.click()
    assert panel.ui.astSpinBox.value not in (0, 30)
    assert panel.parameterNode.labsDate != "2026-01-01"
    assert panel.labSheet().labs(), "the demo patient comes with values that can be used"
    panel.ui.studyTable.clearSelection()
    study(panel).selectStudy(other)
    panel.ui.loadStudyButton.click()
    assert panel.ui.astSpinBox.value == 0
    assert not panel.ui.labsDateCheckBox.checked


def test_labs_that_were_typed_first_stay(panel: Any, patient: SyntheticPatient) -> None:
    panel.ui.astSpinBox.setValue(30)
    import_folder(panel, patient.pet.parent)
    load_first(panel)
    assert panel.ui.astSpinBox.value == 30


def test_pet_without_ct_is_listed_with_its_lack_and_refused_with_a_remedy(
    host: Any, panel: Any, patient: SyntheticPatient
) -> None:
    import_folder(panel, patient.pet)
    assert panel.ui.studyTable.item(0, 3).text() == "missing"
    assert "no CT" in panel.ui.studyTable.item(0, 3).toolTip()
    before = all_nodes()
    load_first(panel)
    assert "What to do" in only_error(host)
    assert all_nodes() == before, "nothing is left in the scene after an error"
    assert panel.parameterNode.petVolume is None

    import_folder(panel, patient.ct)
    load_first(panel)
    assert panel.parameterNode.petVolume is not None, "the panel is usable afterwards"


def test_cancelling_leaves_nothing(panel: Any, patient: SyntheticPatient) -> None:
    import_folder(panel, patient.pet.parent)
    before = all_nodes()

    def cancel(stage: str, done: int, total: int, message: str = "") -> None:
        raise Cancelled(Code.CANCELLED, "Cancelled.")

    panel.ui.studyTable.selectRow(0)
    with pytest.raises(Cancelled):
        study(panel).load(study(panel).selectedStudy, cancel)
    assert all_nodes() == before


def test_the_loaded_study_is_described_again_after_reopening(
    panel: Any, patient: SyntheticPatient, tmp_path: Path
) -> None:
    import slicer

    import_folder(panel, patient.pet.parent)
    load_first(panel)
    text = panel.ui.studyStatusLabel.text
    slicer.util.saveScene(str(tmp_path / "study.mrb"))
    slicer.mrmlScene.Clear()
    assert panel.ui.studyStatusLabel.text == "No study is loaded."
    slicer.util.loadScene(str(tmp_path / "study.mrb"))
    assert panel.ui.studyStatusLabel.text == text


def test_chosen_volumes_can_be_shown(host: Any, panel: Any, patient: SyntheticPatient) -> None:
    import slicer

    assert not panel.ui.showVolumesButton.enabled
    pet = slicer.util.addVolumeFromArray(np.linspace(0, 9, 60, dtype=np.float32).reshape(3, 4, 5), name="my PET")
    ct = slicer.util.addVolumeFromArray(np.full((3, 4, 5), 40, np.int16), name="my CT")
    panel.ui.petVolumeComboBox.setCurrentNode(pet)
    panel.ui.ctVolumeComboBox.setCurrentNode(ct)
    panel.ui.assumeUnitsCheckBox.setChecked(True)
    panel.ui.showVolumesButton.click()
    assert not host.dialogs.errors
    assert pet.GetDisplayNode().GetWindowLevelMax() == 15


def test_a_pet_that_slicer_loaded_is_shown_from_0_to_15_suv_in_its_own_units(
    host: Any, panel: Any, patient: SyntheticPatient
) -> None:
    import slicer
    from DICOMLib import DICOMUtils

    DICOMUtils.importDicom(str(patient.pet.parent), panel.database)
    series = load_pet(patient.pet)
    uids = [uid for row in listStudies(panel.database) for uid in panel.database.seriesForStudy(row.studyUid)]
    loaded = {}
    for uid in uids:
        (node,) = DICOMUtils.loadSeriesByUID([uid])
        loaded[panel.database.fieldForSeries("Modality", uid)] = slicer.mrmlScene.GetNodeByID(node)
    pet = loaded["PT"]
    panel.ui.petVolumeComboBox.setCurrentNode(pet)
    panel.ui.ctVolumeComboBox.setCurrentNode(loaded["CT"])
    panel.ui.showVolumesButton.click()
    assert not host.dialogs.errors
    assert pet.GetDisplayNode().GetWindowLevelMax() == pytest.approx(15 / series.suv.factor, rel=1e-3)
    slicer.util.arrayFromVolume(pet)[:] = series.volume.array  # a user who made SUV by hand, and stated no unit
    panel.ui.assumeUnitsCheckBox.setChecked(True)
    panel.ui.showVolumesButton.click()
    assert pet.GetDisplayNode().GetWindowLevelMax() == 15
