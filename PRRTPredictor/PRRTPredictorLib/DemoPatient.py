"""A made patient in Slicer's DICOM database, to try everything out without real data."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from PRRTPredictorCore.cohort.synthetic.cohort import make_patient
from PRRTPredictorCore.cohort.synthetic.plan import SyntheticConfig, plan_cohort
from PRRTPredictorCore.dicom.headers import open_file
from PRRTPredictorCore.dicom.values import text
from PRRTPredictorCore.errors import Code, RunFailed
from PRRTPredictorCore.files import cannot_write
from PRRTPredictorCore.progress import Progress, silent
from PRRTPredictorCore.records import Labs
from PRRTPredictorLib.Database import requireOpen


@dataclass(frozen=True)
class DemoClinic:
    """What is known of the made patient beside the images: labs with their date, and the day of the first cycle."""

    labs: Labs
    firstCycle: date


def createDemoPatient(database: Any, folder: Path, seed: int = 1, progress: Progress = silent) -> str:
    """Make a SYNTHETIC patient with PET and CT, and import copies of the files into the database.

    Needs numpy, scipy and pydicom only. The patient is called SYNTHETIC; the same seed gives the same patient, whom a
    second import leaves as it is.

    Parameters
    ----------
    database : ctkDICOMDatabase
    folder : Path
        Where the files are made and, once imported, removed; made if it is not there.
    seed : int
        Another seed makes another patient.

    Returns
    -------
    str
        Study instance UID, as :func:`PRRTPredictorLib.Database.findPair` takes it.

    Raises
    ------
    DicomRefused
        ``DATABASE_UNREADABLE``.
    RunFailed
        ``OUTPUT``: the files cannot be written or imported. ``DEPENDENCY_MISSING``: this is not Slicer.
    """
    opened = requireOpen(database)
    try:
        from DICOMLib import DICOMUtils
    except ImportError as error:
        raise RunFailed(
            Code.DEPENDENCY_MISSING,
            "Patients are imported by Slicer's DICOM module, which is not there.",
            remedy="Start this inside Slicer.",
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = tempfile.TemporaryDirectory(prefix="prrt-demo-", dir=folder, ignore_cleanup_errors=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    with work as made:
        progress("demo patient", 0, 2, "making the images")
        patient = make_patient(Path(made) / "patient", seed)
        progress("demo patient", 1, 2, "importing into the DICOM database")
        header = _header(patient.pet)
        series = text(header, "SeriesInstanceUID")
        imported = DICOMUtils.importDicom(str(patient.pet.parent), database, True)
        if imported is False or not opened.studyForSeries(series):
            raise RunFailed(
                Code.OUTPUT,
                "Slicer's DICOM module could not import the made patient.",
                remedy="Check in Slicer's DICOM module that the database can be written to.",
            )
    progress("demo patient", 2, 2)
    return text(header, "StudyInstanceUID")


def demoClinic(seed: int = 1) -> DemoClinic:
    """Labs and first cycle of the patient that :func:`createDemoPatient` makes with the same seed."""
    (plan,) = plan_cohort(SyntheticConfig(patients=1, seed=seed, censored=0))
    return DemoClinic(replace(plan.labs, sampled_on=plan.calendar.labs), plan.calendar.prrt_start)


def _header(folder: Path) -> Any:
    file = open_file(min(folder.glob("*.dcm")))
    if file is None:
        raise RunFailed(Code.OUTPUT, "The made patient cannot be read back.", remedy="Make room on the disk.")
    return file.header
