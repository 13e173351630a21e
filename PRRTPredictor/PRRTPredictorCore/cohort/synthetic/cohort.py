"""Makes cohorts and single patients: DICOM folders, cohort.csv, and the truth aside."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import Code, InputRefused
from ...files import published_folder, require_folder_target
from ...labelmaps import write_segmentation
from ...processes import side_by_side
from ...progress import Progress, silent
from .anatomy import LABEL_NAMES
from .headers import identity_of
from .labels import segmentation_of
from .outcome_model import BayesAuroc
from .plan import PatientPlan, SizeName, SyntheticConfig, anatomy_of, bayes_auroc, plan_cohort, truth_of
from .scanners import acquire_ct, acquire_pet, examine
from .storing import CtSeries, write_pet

RECIPE = 3
"""Raised whenever the same config would make other patients."""

COLUMNS: tuple[str, ...] = (
    "patient", "pet", "ct", "ast", "alt", "ggt", "cga", "labs_date", "prrt_start", "progression_date", "event",
    "metastatic_progressive", "sstr_expression", "prior_prrt", "records_complete", "age", "sex", "primary",
    "metastases", "functional", "grade", "ki67", "prrt_cycles", "contrast_ct", "scanner", "pet_date", "synthetic",
    "organs",
)  # fmt: skip


@dataclass(frozen=True)
class SyntheticPatient:
    """A made patient on disk.

    Attributes
    ----------
    patient : str
        PatientID in the files and ``patient`` in cohort.csv.
    pet, ct : Path
        Folders with one file a slice.
    truth : Path
        Organ labels and lesions on the PET's and on the CT's grid (.npz).
    organs : Path
        Organs and lesions as Slicer opens them (.seg.nrrd).
    files : int
        How many DICOM files there are.
    """

    patient: str
    pet: Path
    ct: Path
    truth: Path
    organs: Path
    files: int


@dataclass(frozen=True)
class SyntheticCohort:
    """A made cohort on disk: its folder, cohort.csv, truth.json, the patients and the best possible AUROCs."""

    folder: Path
    table: Path
    truth: Path
    patients: tuple[SyntheticPatient, ...]
    bayes: BayesAuroc


def make_cohort(
    out: Path, config: SyntheticConfig | None = None, progress: Progress = silent, jobs: int = 1
) -> SyntheticCohort:
    """Make a cohort of patients as real DICOM files with a cohort.csv.

    The work is done beside ``out`` and moved there when it is finished. A folder that already holds this very cohort is
    left as it is.

    Parameters
    ----------
    out : Path
        Gets ``dicom/<patient>/pet|ct``, ``organs/<patient>.seg.nrrd``, ``cohort.csv``, ``truth.json`` and
        ``truth/<patient>.npz``.
    config : SyntheticConfig, optional
    jobs : int
        Processes.

    Raises
    ------
    CohortRefused
        ``COHORT_VALUE``: no such cohort can be made.
    InputRefused
        ``OUTPUT``: ``out`` holds something else, or is no place to write to.
    RunFailed
        ``OUTPUT``: it cannot be written after all, the disk being full for example. ``WORKER_DIED``: a process was
        killed; nothing is left behind.
    """
    config = config or SyntheticConfig()
    require_folder_target(out)
    plans = plan_cohort(config)
    bayes = bayes_auroc(config)
    fingerprint = {"recipe": RECIPE, **asdict(config)}
    if _holds(out, fingerprint):
        progress("synth", len(plans), len(plans), "already made")
        return _describe(out, plans, bayes)
    with published_folder(out, flush=False) as work:
        total = len(plans)
        for done, _ in enumerate(_make_all(work, plans, jobs), start=1):
            progress("synth", done, total, "patients made")
        _write_table(work / "cohort.csv", plans)
        _write_truth(work / "truth.json", config, fingerprint, plans, bayes)
    return _describe(out, plans, bayes)


def make_patient(
    out: Path,
    seed: int = 0,
    *,
    size: SizeName = "small",
    config: SyntheticConfig | None = None,
    progress: Progress = silent,
) -> SyntheticPatient:
    """Make one patient who belongs to no cohort of another seed; with ``size="full"`` in a scanner's usual matrix.

    Parameters
    ----------
    out : Path
        Gets the same folders and files as a cohort of one.
    config : SyntheticConfig, optional
        Signal and null as for a cohort; its number of patients and its seed are replaced.

    Raises
    ------
    CohortRefused, InputRefused, RunFailed
        As :func:`make_cohort`.
    """
    single = replace(config or SyntheticConfig(), patients=1, seed=seed, size=size, censored=0)
    return make_cohort(out, single, progress).patients[0]


def write_patient(out: Path, plan: PatientPlan) -> SyntheticPatient:
    """Write the files of one planned patient into a cohort's folder.

    Raises
    ------
    OSError
        Where the folder cannot be written.
    """
    examination = examine(plan, anatomy_of(plan))
    identity = identity_of(examination)
    patient = _patient_at(out, plan)
    for folder in (patient.pet, patient.ct, patient.truth.parent, patient.organs.parent):
        folder.mkdir(parents=True, exist_ok=True)
    image = acquire_pet(examination)
    files = write_pet(patient.pet, examination, identity, image.suv)
    series = CtSeries(patient.ct, examination, identity)
    ct_labels = np.zeros(examination.ct_grid.shape, dtype=np.uint8)
    ct_lesions = np.zeros(examination.ct_grid.shape, dtype=np.uint16)
    for slab in acquire_ct(examination):
        files += series.write(slab)
        ct_labels[slab.first : slab.first + len(slab.labels)] = slab.labels
        ct_lesions[slab.first : slab.first + len(slab.lesions)] = slab.lesions
    write_segmentation(patient.organs, segmentation_of(ct_labels, ct_lesions, examination.ct_grid))
    np.savez_compressed(
        patient.truth,
        label_names=np.array(LABEL_NAMES),
        pet_labels=image.labels,
        pet_lesions=image.lesions,
        pet_ijk_to_lps=examination.pet_grid.ijk_to_lps(),
        ct_labels=ct_labels,
        ct_ijk_to_lps=examination.ct_grid.ijk_to_lps(),
    )
    return replace(patient, files=files)


def _patient_at(out: Path, plan: PatientPlan) -> SyntheticPatient:
    name = plan.patient_id
    home = out / "dicom" / name
    files = sum(len(list((home / series).glob("*.dcm"))) for series in ("pet", "ct"))
    truth, organs = out / "truth" / f"{name}.npz", out / "organs" / f"{name}.seg.nrrd"
    return SyntheticPatient(name, home / "pet", home / "ct", truth, organs, files)


def _make_all(work: Path, plans: Iterable[PatientPlan], jobs: int) -> Iterator[SyntheticPatient]:
    plans = tuple(plans)
    if jobs <= 1 or len(plans) < 4:
        for plan in plans:
            yield write_patient(work, plan)
        return
    yield from side_by_side(partial(write_patient, work), plans, jobs)


def _describe(out: Path, plans: Iterable[PatientPlan], bayes: BayesAuroc) -> SyntheticCohort:
    patients = tuple(_patient_at(out, plan) for plan in plans)
    return SyntheticCohort(out, out / "cohort.csv", out / "truth.json", patients, bayes)


def _row(plan: PatientPlan) -> tuple[Any, ...]:
    person, dates = plan.characteristics, plan.calendar
    home = f"dicom/{plan.patient_id}"
    return (
        plan.patient_id,
        f"{home}/pet",
        f"{home}/ct",
        *(f"{value:g}" for value in plan.labs.values()),
        dates.labs.isoformat(),
        dates.prrt_start.isoformat(),
        dates.progression.isoformat(),
        int(plan.event),
        "yes",
        "yes",
        "no",
        "yes",
        f"{person.age_years:g}",
        person.sex,
        person.primary,
        ";".join(person.metastases),
        person.functional,
        person.grade,
        f"{person.ki67_percent:g}",
        person.prrt_cycles,
        person.contrast_ct,
        person.scanner,
        dates.pet.isoformat(),
        "yes",
        f"organs/{plan.patient_id}.seg.nrrd",
    )


def _write_table(path: Path, plans: Iterable[PatientPlan]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_row(plan) for plan in plans)


def _write_truth(
    path: Path, config: SyntheticConfig, fingerprint: dict[str, Any], plans: Iterable[PatientPlan], bayes: BayesAuroc
) -> None:
    signal = config.stated_signal
    truth = {
        "synthetic": True,
        "made_from": fingerprint,
        "bayes_auroc": dict(bayes.by_inputs()),
        "log_odds_of_short_pfs": None if signal is None else asdict(signal),
        "patients": [truth_of(plan, anatomy_of(plan), signal) for plan in plans],
    }
    path.write_text(json.dumps(truth, indent=1), encoding="utf-8")


# --- all or nothing -----------------------------------------------------------------------------------------------


def _holds(out: Path, fingerprint: dict[str, Any]) -> bool:
    """Whether ``out`` already is this cohort.

    Raises
    ------
    InputRefused
        It is something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        same = json.loads((out / "truth.json").read_text(encoding="utf-8"))["made_from"] == fingerprint
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise InputRefused(
            Code.OUTPUT,
            "The output folder already holds something else.",
            where=out.name,
            remedy="Name a new or an empty folder.",
        )
    return True
