"""Every way in which PRRTPredictor refuses or fails, as typed errors.

An error carries four things: a stable ``code`` for programs, the ``message`` for people, ``where`` it was found (a
file, a row, a field; never a patient's identity) and the ``remedy``. Rooms raise; only the front door (``cli``) turns
an error into an exit code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, ClassVar


class Code(str, Enum):
    """Stable error codes; the text beside each says when it is raised."""

    # Files and DICOM structure
    PATH_MISSING = "PATH_MISSING"  # the named file or folder does not exist
    EMPTY_FOLDER = "EMPTY_FOLDER"  # a folder without any file
    NOT_DICOM = "NOT_DICOM"  # files, but none of them DICOM
    TRUNCATED = "TRUNCATED"  # a DICOM file ends before its pixels do
    UNREADABLE_PIXELS = "UNREADABLE_PIXELS"  # the pixel data cannot be decoded
    MIXED_SERIES = "MIXED_SERIES"  # several series where one was asked for
    WRONG_MODALITY = "WRONG_MODALITY"  # a CT where a PET was asked for, or the reverse
    NO_PET = "NO_PET"  # no usable PET series beside the CT
    NO_CT = "NO_CT"  # no usable CT series beside the PET
    PATIENT_DIFFERS = "PATIENT_DIFFERS"  # PET and CT of two patients
    SERIES_MISSING = "SERIES_MISSING"  # a series UID that the database does not hold
    DATABASE_UNREADABLE = "DATABASE_UNREADABLE"  # not a Slicer DICOM database, or a newer schema

    # Geometry
    DUPLICATE_SLICES = "DUPLICATE_SLICES"  # two slices at one position
    MISSING_SLICES = "MISSING_SLICES"  # a gap in the stack
    GANTRY_TILT = "GANTRY_TILT"  # slices sheared against their normal
    BAD_GEOMETRY = "BAD_GEOMETRY"  # orientation, spacing or position absent, degenerate or inconsistent
    NO_OVERLAP = "NO_OVERLAP"  # PET and CT do not share a field of view
    EMPTY_IMAGE = "EMPTY_IMAGE"  # an image of one single value

    # SUV
    NOT_PET = "NOT_PET"  # the modality says PET, the radionuclide or the units say otherwise
    NOT_ATTENUATION_CORRECTED = "NOT_ATTENUATION_CORRECTED"
    UNITS_UNSUPPORTED = "UNITS_UNSUPPORTED"  # e.g. PROPCNTS
    SUV_WEIGHT = "SUV_WEIGHT"  # patient weight absent or impossible
    SUV_HEIGHT = "SUV_HEIGHT"
    SUV_SEX = "SUV_SEX"
    SUV_DOSE = "SUV_DOSE"  # injected activity absent or impossible
    SUV_HALF_LIFE = "SUV_HALF_LIFE"
    SUV_TIMES = "SUV_TIMES"  # injection or reference time absent or contradictory
    SUV_SCALE_FACTOR = "SUV_SCALE_FACTOR"  # CNTS without a usable Philips factor
    SUV_DECAY_CORRECTION = "SUV_DECAY_CORRECTION"
    SUV_TYPE = "SUV_TYPE"

    # Labs and cohort
    LAB_MISSING = "LAB_MISSING"
    LAB_UNREADABLE = "LAB_UNREADABLE"  # text where a number belongs
    LAB_NOT_POSITIVE = "LAB_NOT_POSITIVE"
    LAB_UNIT = "LAB_UNIT"
    LAB_IMPLAUSIBLE = "LAB_IMPLAUSIBLE"
    LAB_DATE = "LAB_DATE"  # not within the 28 days before the first cycle
    COHORT_COLUMNS = "COHORT_COLUMNS"  # cohort.csv lacks a column or is no table
    COHORT_VALUE = "COHORT_VALUE"  # a cell that cannot be understood
    COHORT_PATH = "COHORT_PATH"  # a row that points nowhere
    COHORT_DUPLICATE = "COHORT_DUPLICATE"  # one patient in two rows
    COHORT_OUTCOME = "COHORT_OUTCOME"  # outcome absent or contradictory
    COHORT_REFUSED = "COHORT_REFUSED"  # one or more rows violate the rules
    STUDY_KEY = "STUDY_KEY"  # the key behind the study codes cannot be made or read
    ONE_CLASS = "ONE_CLASS"  # every patient has the same outcome
    TOO_FEW_PATIENTS = "TOO_FEW_PATIENTS"
    FORBIDDEN_INPUT = "FORBIDDEN_INPUT"  # e.g. PRRT cycles, known only after treatment

    # Runs and models
    RUN_MISMATCH = "RUN_MISMATCH"  # the run folder belongs to another configuration or cohort
    RUN_INCOMPLETE = "RUN_INCOMPLETE"  # folds are missing
    RUN_BUSY = "RUN_BUSY"  # another process works on this run
    NOT_IN_RUN = "NOT_IN_RUN"  # a report asked for a model, patient or chapter that the run does not hold
    MODEL_MISSING = "MODEL_MISSING"
    MODEL_MISMATCH = "MODEL_MISMATCH"  # another preset, schema, shape or version
    MODEL_TAMPERED = "MODEL_TAMPERED"  # a hash does not agree
    WEIGHTS_MISMATCH = "WEIGHTS_MISMATCH"  # a state dict with other keys or shapes
    DEVICE_MISSING = "DEVICE_MISSING"  # CUDA asked for where there is none
    OUTPUT = "OUTPUT"  # the result cannot be written there
    NOT_FINITE = "NOT_FINITE"  # a NaN or an infinity among the model inputs
    CANCELLED = "CANCELLED"  # the user stopped the work
    TRAINING_FAILED = "TRAINING_FAILED"  # a fold could not be fitted
    OUT_OF_MEMORY = "OUT_OF_MEMORY"  # this machine's or its GPU's memory does not suffice
    INTERNAL = "INTERNAL"  # a fault of this software, told in one line
    CLUSTER_ADDRESS = "CLUSTER_ADDRESS"  # not an address of a Dask scheduler
    CLUSTER_UNREACHABLE = "CLUSTER_UNREACHABLE"  # no scheduler answers there, it has no workers, or one hangs
    CLUSTER_MISMATCH = "CLUSTER_MISMATCH"  # a worker with other software, or with several threads
    CLUSTER_FILES = "CLUSTER_FILES"  # a worker does not see the prepared images or the run's files
    CLUSTER_LOST = "CLUSTER_LOST"  # scheduler or workers went away in the middle of a run
    DEPENDENCY_MISSING = "DEPENDENCY_MISSING"  # an optional package is not installed
    WORKER_DIED = "WORKER_DIED"  # the child process that did the work ended without an answer
    RESULT_UNREADABLE = "RESULT_UNREADABLE"  # a stored or handed-over result is not what it should be


class PRRTError(Exception):
    """Root of all errors that PRRTPredictor raises on purpose.

    Parameters
    ----------
    code : Code
        Stable identifier.
    message : str
        What is wrong, in one sentence, without patient identity.
    where : str
        The file, row, field or tag concerned; empty when the message says it all.
    remedy : str
        What the user can do about it.
    """

    exit_code: ClassVar[int] = 4

    def __init__(self, code: Code, message: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        place = f" [{self.where}]" if self.where else ""
        advice = f" Remedy: {self.remedy}" if self.remedy else ""
        return f"{self.code.value}: {self.message}{place}{advice}"

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders (joblib workers), and keyword-only arguments do not survive the default pickling.
        return (_rebuild, (type(self), self.code, self.message, self.where, self.remedy))

    def to_json(self) -> dict[str, dict[str, str]]:
        """The object that ``--json`` prints instead of a result."""
        said = {"code": self.code.value, "message": self.message, "where": self.where, "remedy": self.remedy}
        return {"error": {"kind": type(self).__name__, **said}}


def _rebuild(kind: type[PRRTError], code: Code, message: str, where: str, remedy: str) -> PRRTError:
    return kind(code, message, where=where, remedy=remedy)


class InputRefused(PRRTError):
    """Input that cannot be trusted; nothing was computed from it (exit 3)."""

    exit_code = 3


class DicomRefused(InputRefused):
    """A file, folder, database or series that is not what was asked for."""


class GeometryRefused(DicomRefused):
    """A stack of slices that does not make an undistorted volume."""


class SuvRefused(DicomRefused):
    """A PET series whose SUVbw cannot be proved from its header."""


class LabRefused(InputRefused):
    """A laboratory value that is absent, impossible or in an unknown unit."""


class CohortRefused(InputRefused):
    """A cohort table that violates the rules."""


class ModelRefused(InputRefused):
    """A model folder, run folder or weight file that must not be used."""


class RunFailed(PRRTError):
    """The work itself failed, on input that was in order (exit 4)."""

    exit_code = 4


class Cancelled(PRRTError):
    """The user stopped the work (exit 130)."""

    exit_code = 130


def error_from_json(document: Mapping[str, Any]) -> PRRTError | None:
    """The error in what ``--json`` printed, of the kind that was raised; None where the document holds no error."""
    said = document.get("error")
    if not isinstance(said, Mapping):
        return None
    kinds = {kind.__name__: kind for kind in _kinds(PRRTError)}
    try:
        kind, code = kinds[said["kind"]], Code(said["code"])
    except (KeyError, ValueError):  # printed by another version
        return None
    message, where, remedy = (str(said.get(name, "")) for name in ("message", "where", "remedy"))
    return kind(code, message, where=where, remedy=remedy)


def _kinds(root: type[PRRTError]) -> Iterator[type[PRRTError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)
