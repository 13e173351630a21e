"""What travels between rooms: frozen records with the units in the field names.

Arrays are indexed [k, j, i]: slice (towards the head), row (towards the back), column (towards the patient's left) in
a standard axial series. World coordinates are DICOM's LPS, in mm; Slicer's RAS appears in
``PRRTPredictorLib/Volumes.py`` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import Code

Modality = Literal["PT", "CT"]
Image = Literal["pet", "ct"]
"""What a model sees of a study, by the names of the registry and of cohort.csv."""
Unit = Literal["SUVbw", "HU", "saliency"]
YesNo = Literal["yes", "no", "unknown"]
LabMethod = Literal["gradient x input", "decision path", "none"]

MODALITY_NAMES: Mapping[str, str] = {"PT": "PET", "CT": "CT"}
"""What people call the modalities that DICOM abbreviates."""

LABS: tuple[str, ...] = ("ast", "alt", "ggt", "cga")
"""The four tabular inputs of the paper, in the order in which models receive them."""

LARGEST_INPUT = 1e15
"""No tabular input is larger in any unit (red cells have some 5e12 a litre), and models reckon in single precision."""

INPUT_UNITS: Mapping[str, str] = MappingProxyType(
    {"ast": "U/L", "alt": "U/L", "ggt": "U/L", "cga": "µg/L", "age": "years", "ki67": "%"}
)
"""The units in which models receive tabular inputs, whatever unit a value was reported in."""

LONG_PFS_FROM = 0.5
"""A patient's predicted group is "long" from this probability on (paper, Fig. 5)."""

RESEARCH_USE_NOTICE = "Research use only. Not a diagnostic device."


@dataclass(frozen=True)
class Notice:
    """Something the user must know although the work goes on.

    Attributes
    ----------
    code : str
        Stable upper-case identifier, e.g. ``TRACER_UNEXPECTED``.
    message : str
        One sentence for people.
    """

    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def input_units(names: Iterable[str]) -> dict[str, str]:
    """The unit of each tabular input; "" for a further column of ``cohort.csv``, which alone could say it."""
    return {name: INPUT_UNITS.get(name, "") for name in names}


# --- images -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Volume:
    """An evenly sampled image in patient space.

    Attributes
    ----------
    array : ndarray, shape (K, J, I), float32 or int16
        Voxel values in ``unit``.
    ijk_to_lps : ndarray, shape (4, 4), float64
        Maps the homogeneous voxel index (i, j, k, 1), voxel centres, to LPS in mm.
    modality : {"PT", "CT"}
    unit : {"SUVbw", "HU", "saliency"}
    """

    array: NDArray[Any]
    ijk_to_lps: NDArray[np.float64]
    modality: Modality
    unit: Unit

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along (k, j, i)."""
        k, j, i = self.array.shape
        return int(k), int(j), int(i)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxel centres along (k, j, i), in mm."""
        i, j, k = np.linalg.norm(self.ijk_to_lps[:3, :3], axis=0)
        return float(k), float(j), float(i)


@dataclass(frozen=True)
class SeriesRecord:
    """One DICOM series as the index found it.

    Attributes
    ----------
    files : tuple of Path
        Absolute paths, in file-name order; slices are ordered by position only when the series is read.
    modality : str
        (0008,0060) as written: "PT", "CT" or anything else.
    date : date or None
        Series, else study date.
    """

    series_uid: str
    study_uid: str
    modality: str
    files: tuple[Path, ...]
    frame_of_reference_uid: str = ""
    description: str = ""
    manufacturer: str = ""
    date: date | None = None


@dataclass(frozen=True)
class PetCtPair:
    """A PET series and the CT that covers it.

    ``patient`` is the PatientID as written in the files: identity, for the user's own eyes only.
    """

    patient: str
    study_uid: str
    pet: SeriesRecord
    ct: SeriesRecord
    same_frame_of_reference: bool
    patient_name: str = ""
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """A series that the index did not use, and why."""

    series_uid: str
    code: str
    reason: str


@dataclass(frozen=True)
class StudyIndex:
    """What ``prrt index`` finds: the usable PET/CT pairs and everything left out."""

    pairs: tuple[PetCtPair, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class SeriesSource:
    """Where a series lies: a folder, or a series UID in a Slicer DICOM database."""

    folder: Path | None = None
    series_uid: str | None = None
    database: Path | None = None


@dataclass(frozen=True)
class Acquisition:
    """How a series was made, free of identity; what reports stratify by.

    Attributes
    ----------
    contrast : {"yes", "no", "unknown"}
        Contrast agent named in a CT header.
    tracer : str
        Radiopharmaceutical of a PET, e.g. "DOTATOC Ga-68"; empty for CT.
    synthetic : bool
        A made patient: Quality Control Subject (0010,0200) is YES.
    """

    manufacturer: str
    model: str
    date: date | None
    contrast: YesNo = "unknown"
    tracer: str = ""
    synthetic: bool = False


@dataclass(frozen=True)
class SuvReport:
    """How the stored values of a PET series became SUVbw.

    Attributes
    ----------
    units : str
        (0054,1001) as written.
    suv_type : str
        Normalisation of the stored values, "BW" when the file leaves it out, "" when the values are no SUV.
    factor : float or None
        SUVbw per unit after rescale slope and intercept; None where it differs by slice or the data are SUV already.
    path : str
        Which rule applied, in words, e.g. "BQML, START, reference time from SeriesTime".
    """

    units: str
    suv_type: str
    factor: float | None
    path: str
    tracer: str
    manufacturer: str


@dataclass(frozen=True)
class Person:
    """Whom a series' header names: for telling whether two series are of one patient, and for nothing else.

    Identity: never written, printed or handed to another program; left out of ``repr``.

    Attributes
    ----------
    patient_id : str
        As written; empty where there is none.
    sex : {"M", "F", ""}
    """

    patient_id: str = field(default="", repr=False)
    born: date | None = field(default=None, repr=False)
    sex: str = field(default="", repr=False)


@dataclass(frozen=True, eq=False)
class LoadedSeries:
    """A series read into memory, in its final unit (SUVbw or HU), on an even grid."""

    volume: Volume
    acquisition: Acquisition
    frame_of_reference_uid: str
    study_uid: str
    series_uid: str
    notices: tuple[Notice, ...] = ()
    suv: SuvReport | None = None
    person: Person = field(default_factory=Person, repr=False)


# --- patients ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Labs:
    """The four blood values of the paper, section 2.1."""

    ast_u_per_l: float
    alt_u_per_l: float
    ggt_u_per_l: float
    cga_ug_per_l: float
    sampled_on: date | None = None

    @property
    def de_ritis_ratio(self) -> float:
        """AST / ALT."""
        return self.ast_u_per_l / self.alt_u_per_l

    def values(self) -> tuple[float, float, float, float]:
        """AST, ALT, GGT (U/L) and CgA (µg/L), in the order of :data:`LABS`."""
        return self.ast_u_per_l, self.alt_u_per_l, self.ggt_u_per_l, self.cga_ug_per_l


@dataclass(frozen=True)
class Outcome:
    """Progression-free survival from the first PRRT cycle (paper, section 2.4).

    Attributes
    ----------
    pfs_months : float
        Time to progression or death, or to the last follow-up when ``event`` is False.
    event : bool
        Progression or death was observed; False means censored.
    long_pfs : bool
        More than one calendar year; the positive class.
    """

    pfs_months: float
    event: bool
    long_pfs: bool


@dataclass(frozen=True)
class Characteristics:
    """Table 1's columns; None or "unknown" where the cohort table leaves them empty."""

    age_years: float | None = None
    sex: Literal["male", "female", "unknown"] = "unknown"
    primary: str = "unknown"
    metastases: tuple[str, ...] = ()
    functional: YesNo = "unknown"
    grade: str = "unknown"
    ki67_percent: float | None = None
    prrt_cycles: int | None = None
    contrast_ct: YesNo = "unknown"
    scanner: str = ""


@dataclass(frozen=True)
class CohortPatient:
    """One row of ``cohort.csv`` that passed every check. Carries no identity but the keyed study code.

    Attributes
    ----------
    organs : Path or None
        A segmentation of this patient's organs, for the report; never an input, and forgotten by the run.
    """

    code: str
    row: int
    pet: SeriesSource
    ct: SeriesSource
    labs: Labs
    outcome: Outcome
    prrt_start: date | None = None
    pet_date: date | None = None
    characteristics: Characteristics = field(default_factory=Characteristics)
    extras: Mapping[str, float] = field(default_factory=dict)
    synthetic: bool = False
    organs: Path | None = None

    def tabular(self, extra_names: tuple[str, ...] = ()) -> tuple[float, ...]:
        """The tabular inputs: the four labs, then the named extras."""
        return (*self.labs.values(), *(self.extras[name] for name in extra_names))


@dataclass(frozen=True)
class Violation:
    """One thing in ``cohort.csv`` that breaks a rule.

    Attributes
    ----------
    row : int
        Line of the file as an editor or a spreadsheet counts it; the header is line 1.
    column : str
        Column name in lower case; "" where the whole row is meant.
    """

    row: int
    column: str
    code: Code
    message: str
    remedy: str


@dataclass(frozen=True)
class Exclusion:
    """One criterion of the flow chart: why ``n`` patients were left out, each patient counted once."""

    criterion: str
    reason: str
    n: int


@dataclass(frozen=True)
class Eligibility:
    """The cohort's flow chart (paper, sections 2.1 and 2.4): ``screened`` = excluded + ``refused`` + ``included``.

    Attributes
    ----------
    screened : int
        Patient rows in the file.
    excluded : tuple of Exclusion
        In the order in which the criteria are asked, those that nobody met included.
    refused : int
        Rows that meet the criteria but break a rule of the table; 0 in a cohort fit for training.
    included : int
    """

    screened: int
    excluded: tuple[Exclusion, ...]
    refused: int
    included: int


@dataclass(frozen=True)
class PetInterval:
    """Days from the PET to the first PRRT cycle over the included patients (paper, section 2.2).

    Attributes
    ----------
    known, unknown : int
        Patients with and without both dates.
    median_days, q1_days, q3_days : float or None
        None where no patient has both dates.
    long_intervals : int
        Patients past 120 days.
    """

    known: int
    unknown: int
    median_days: float | None = None
    q1_days: float | None = None
    q3_days: float | None = None
    long_intervals: int = 0

    @property
    def iqr_days(self) -> float | None:
        """Q3 - Q1."""
        return None if self.q1_days is None or self.q3_days is None else self.q3_days - self.q1_days


@dataclass(frozen=True)
class Cohort:
    """What ``cohort.csv`` holds after every check.

    Attributes
    ----------
    patients : tuple of CohortPatient
        Eligible rows without a violation, in the order of the file.
    exclusions : Eligibility
        The flow chart.
    violations : tuple of Violation
        Everything that must be put right before training; in the order of the rows.
    pet_interval : PetInterval
    notices : tuple of Notice
    extra_columns : tuple of str
        Further columns of the file, lower case, that may be named as extra inputs where their cells are numbers.
    """

    patients: tuple[CohortPatient, ...]
    exclusions: Eligibility
    violations: tuple[Violation, ...]
    pet_interval: PetInterval
    notices: tuple[Notice, ...] = ()
    extra_columns: tuple[str, ...] = ()


# --- model inputs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class CommonGrid:
    """The box of patient space that the networks see, and how it is cut into model voxels.

    Attributes
    ----------
    shape : tuple of int
        Model voxels along (k, j, i): (75, 50, 50) in the paper; head–foot, anterior–posterior, left–right.
    ijk_to_lps : ndarray, shape (4, 4), float64
        Maps model voxel index (i, j, k, 1) to LPS in mm.
    """

    shape: tuple[int, int, int]
    ijk_to_lps: NDArray[np.float64]

    @property
    def field_of_view_mm(self) -> tuple[float, float, float]:
        """Extent of the box along (k, j, i), in mm."""
        i, j, k = np.linalg.norm(self.ijk_to_lps[:3, :3], axis=0)
        return float(k) * self.shape[0], float(j) * self.shape[1], float(i) * self.shape[2]


@dataclass(frozen=True, eq=False)
class PreparedStudy:
    """One PET/CT study as the networks receive it, before any normalisation.

    Attributes
    ----------
    pet : ndarray, shape (75, 50, 50), float32
        SUVbw, area-averaged.
    ct : ndarray, shape (75, 50, 50), float32
        HU, area-averaged; outside of the body and of the field of view: air.
    """

    pet: NDArray[np.float32]
    ct: NDArray[np.float32]
    grid: CommonGrid
    pet_acquisition: Acquisition
    ct_acquisition: Acquisition
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class TrainingRanges:
    """Smallest and largest value of each input over a training cohort; what a model has seen.

    Attributes
    ----------
    tabular : mapping of str to (float, float)
        Labs and extras, in their own units.
    suv_p99 : (float, float)
        99th percentile of the SUVbw on the common grid.
    field_of_view_mm : tuple of three (float, float)
        Extent of the common grid along (k, j, i).
    """

    tabular: Mapping[str, tuple[float, float]]
    suv_p99: tuple[float, float]
    field_of_view_mm: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


# --- results ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FoldPredictions:
    """The held-out predictions of one fitted fold; one row a patient.

    Attributes
    ----------
    codes : tuple of str
        Study codes.
    y : ndarray of int, shape (n,)
        1 = long PFS.
    probability : ndarray of float, shape (n,)
        Probability of long PFS.
    logit : ndarray of float, shape (n,)
    """

    model: str
    repeat: int
    fold: int
    codes: tuple[str, ...]
    y: NDArray[np.int64]
    probability: NDArray[np.float64]
    logit: NDArray[np.float64]
    collapsed: bool = False


@dataclass(frozen=True)
class ModelIdentity:
    """Which model spoke: its registry name, the SHA-256 of its weights, and whether it was trained on made patients."""

    name: str
    sha256: str
    synthetic: bool


@dataclass(frozen=True)
class Prediction:
    """The answer for one patient.

    Attributes
    ----------
    probability_long_pfs : float
        Mean over the fold ensemble.
    interval : tuple of float
        The ensemble's central 90 % range.
    lab_contributions : mapping of str to float
        Positive towards long PFS; empty for a model without labs.
    lab_method : {"gradient x input", "decision path", "none"}
        How they were found: at the fusion layer of networks, in logits, or in a forest, in probability.
    """

    probability_long_pfs: float
    interval: tuple[float, float]
    lab_contributions: Mapping[str, float]
    model: ModelIdentity
    notices: tuple[Notice, ...] = ()
    lab_method: LabMethod = "none"

    def __post_init__(self) -> None:
        low, high = self.interval
        if not 0.0 <= self.probability_long_pfs <= 1.0 or not 0.0 <= low <= high <= 1.0:  # NaN is not
            raise ValueError("a prediction is a probability and an interval of probabilities")

    @property
    def group(self) -> Literal["long", "short"]:
        """ "long" from a probability of :data:`LONG_PFS_FROM` on."""
        return "long" if self.probability_long_pfs >= LONG_PFS_FROM else "short"
