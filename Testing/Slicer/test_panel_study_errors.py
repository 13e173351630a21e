"""A study that cannot be used ends as a message with a remedy, and the next one can be loaded."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
from failing_panel import (
    load,
    press_load,
    told,
    watched,
)

from PRRTPredictorCore.cohort.synthetic import SyntheticPatient, make_patient

pytestmark = pytest.mark.usefixtures("private_places")


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> SyntheticPatient:
    return make_patient(tmp_path_factory.mktemp("patient"), seed=7)


@pytest.fixture
def copied(patient: SyntheticPatient, tmp_path: Path) -> SyntheticPatient:
    """The patient's files, to be damaged."""
    folder = tmp_path / "copied"
    shutil.copytree(patient.pet.parent, folder)
    return replace(patient, pet=folder / patient.pet.name, ct=folder / patient.ct.name)


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
        (one_slice_is_garbage, "CT"),
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
