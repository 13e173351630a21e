"""The cohort as a run remembers it: ``cohort.json``, keyed by study code, without paths, dates or other identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cohort.outcome import LONGEST_MONTHS
from ..errors import Code, ModelRefused
from ..files import write_json
from ..freetext import one_line
from ..models.decoding import decode
from ..records import (
    LABS,
    LARGEST_INPUT,
    Acquisition,
    Characteristics,
    Cohort,
    CohortPatient,
    Eligibility,
    Labs,
    Notice,
    Outcome,
    PetInterval,
    PreparedStudy,
    SeriesSource,
    TrainingRanges,
)
from .files import read_json

COHORT_NAME = "cohort.json"


@dataclass(frozen=True)
class ImageFacts:
    """What the run keeps of one patient's images besides what the folds learnt from them.

    Attributes
    ----------
    content_key : str
        Key of the prepared images in the cache.
    suv_p99 : float
        99th percentile of the SUVbw on the common grid.
    field_of_view_mm : tuple of float
        Extent of the common grid along (k, j, i).
    tracer : str
    """

    code: str
    content_key: str
    suv_p99: float
    field_of_view_mm: tuple[float, float, float]
    tracer: str = ""


@dataclass(frozen=True)
class RunCohort:
    """The cohort of a run.

    Attributes
    ----------
    cohort : Cohort
        Patients sorted by study code; no files, no dates. Scanner and contrast phase come from the images where
        ``cohort.csv`` leaves them open.
    images : tuple of ImageFacts
        In the order of the patients.
    """

    cohort: Cohort
    images: tuple[ImageFacts, ...]

    @property
    def synthetic(self) -> bool:
        """Whether any patient was made."""
        return any(patient.synthetic for patient in self.cohort.patients)

    def sha256(self) -> str:
        """Over everything that the models or the report take from the cohort."""
        return hashlib.sha256(json.dumps(_to_json(self), sort_keys=True).encode()).hexdigest()

    def training_ranges(self, feature_names: Sequence[str]) -> TrainingRanges:
        """Smallest and largest value of every input, for a deployed model's warnings."""
        extras = tuple(name for name in feature_names if name not in LABS)
        table = np.array([patient.tabular(extras) for patient in self.cohort.patients])
        views = np.array([image.field_of_view_mm for image in self.images])
        k, j, i = ((float(low), float(high)) for low, high in zip(views.min(axis=0), views.max(axis=0), strict=True))
        uptake = [image.suv_p99 for image in self.images]
        return TrainingRanges(
            tabular={
                name: (float(column.min()), float(column.max()))
                for name, column in zip(feature_names, table.T, strict=True)
            },
            suv_p99=(min(uptake), max(uptake)),
            field_of_view_mm=(k, j, i),
        )


def describe_patient(
    patient: CohortPatient, study: PreparedStudy, content_key: str, extras: Sequence[str]
) -> tuple[CohortPatient, ImageFacts]:
    """What a run may remember of a patient: no file, no date, no extra column that is not an input."""
    pet, ct = study.pet_acquisition, study.ct_acquisition
    stated = patient.characteristics
    remembered = replace(
        patient,
        row=0,
        pet=SeriesSource(),
        ct=SeriesSource(),
        labs=replace(patient.labs, sampled_on=None),
        prrt_start=None,
        pet_date=None,
        extras={name: float(patient.extras[name]) for name in extras},
        characteristics=replace(
            stated,
            scanner=stated.scanner or _scanner(pet),
            contrast_ct=ct.contrast if stated.contrast_ct == "unknown" else stated.contrast_ct,
        ),
        synthetic=patient.synthetic or pet.synthetic or ct.synthetic,
        organs=None,
    )
    facts = ImageFacts(
        code=patient.code,
        content_key=content_key,
        suv_p99=_percentile_99(study.pet),
        field_of_view_mm=study.grid.field_of_view_mm,
        tracer=pet.tracer,
    )
    return remembered, facts


def _percentile_99(suv: NDArray[np.floating]) -> float:
    """Of the voxels that are numbers: those that are none stop the folds which train on them, not the run."""
    finite = np.isfinite(suv)
    known = suv if finite.all() else suv[finite]
    return float(np.quantile(known, 0.99)) if known.size else 0.0


def write_run_cohort(run: Path, content: RunCohort) -> None:
    """Save ``cohort.json``."""
    write_json(run / COHORT_NAME, _to_json(content))


def read_run_cohort(run: Path) -> RunCohort:
    """Read ``cohort.json``.

    Raises
    ------
    ModelRefused
        ``RUN_MISMATCH`` when it is not in this version's format.
    """
    content = read_json(run / COHORT_NAME)
    try:
        cohort = Cohort(
            patients=tuple(_patient(entry) for entry in content["patients"]),
            exclusions=decode(Eligibility, content["exclusions"]),
            violations=(),
            pet_interval=decode(PetInterval, content["pet_interval"]),
            notices=tuple(decode(Notice, entry) for entry in content["notices"]),
            extra_columns=tuple(str(name) for name in content["extra_columns"]),
        )
        images = tuple(decode(ImageFacts, entry) for entry in content["images"])
        if [image.code for image in images] != [patient.code for patient in cohort.patients]:
            raise ValueError("images of other patients")
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise ModelRefused(
            Code.RUN_MISMATCH,
            "cohort.json is damaged, or was written by another version of PRRTPredictor.",
            where=run.name,
            remedy="Restore the run folder from a copy, use the version that made the run, or train into a new folder.",
        ) from problem
    return RunCohort(cohort, images)


def _to_json(content: RunCohort) -> dict[str, Any]:
    cohort = content.cohort
    return {
        "patients": [_patient_to_json(patient) for patient in cohort.patients],
        "images": [asdict(image) for image in content.images],
        "exclusions": asdict(cohort.exclusions),
        "pet_interval": asdict(cohort.pet_interval),
        "notices": [asdict(notice) for notice in cohort.notices],
        "extra_columns": list(cohort.extra_columns),
    }


_LAB_FIELDS = tuple(field.name for field in fields(Labs) if field.name != "sampled_on")


def _patient_to_json(patient: CohortPatient) -> dict[str, Any]:
    return {
        "code": patient.code,
        "labs": {name: getattr(patient.labs, name) for name in _LAB_FIELDS},
        "outcome": asdict(patient.outcome),
        "characteristics": asdict(patient.characteristics),
        "extras": dict(patient.extras),
        "synthetic": patient.synthetic,
    }


def _patient(entry: dict[str, Any]) -> CohortPatient:
    labs = {name: float(entry["labs"][name]) for name in _LAB_FIELDS}
    outcome = decode(Outcome, entry["outcome"])
    extras = {str(name): float(value) for name, value in entry["extras"].items()}
    possible = min(labs.values()) > 0 and 0 <= outcome.pfs_months <= LONGEST_MONTHS
    if not possible or not all(abs(value) <= LARGEST_INPUT for value in (*labs.values(), *extras.values())):
        raise ValueError("values that no cohort table may hold")
    return CohortPatient(
        code=str(entry["code"]),
        row=0,
        pet=SeriesSource(),
        ct=SeriesSource(),
        labs=Labs(labs["ast_u_per_l"], labs["alt_u_per_l"], labs["ggt_u_per_l"], labs["cga_ug_per_l"]),
        outcome=outcome,
        characteristics=_characteristics(entry["characteristics"]),
        extras=extras,
        synthetic=bool(entry["synthetic"]),
    )


def _characteristics(entry: dict[str, Any]) -> Characteristics:
    stated = decode(Characteristics, entry)
    return replace(
        stated,
        primary=one_line(stated.primary),
        metastases=tuple(one_line(site) for site in stated.metastases),
        grade=one_line(stated.grade),
        scanner=one_line(stated.scanner),
    )


def _scanner(pet: Acquisition) -> str:
    return " ".join(part for part in (pet.manufacturer, pet.model) if part)
