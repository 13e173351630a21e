"""The patients as the folds see them: outcomes, tabular inputs, and images that stay on disk until they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import Code, CohortRefused, RunFailed
from ..records import LABS, LARGEST_INPUT, Cohort, Image, PreparedStudy
from .cohortfile import RunCohort, describe_patient


class PreparedImages(Protocol):
    """What training asks of :class:`PRRTPredictorCore.imaging.cache.PreparedCohort`."""

    @property
    def codes(self) -> tuple[str, ...]:
        """Study codes."""

    def study(self, code: str) -> PreparedStudy:
        """The prepared study of one patient; its arrays may be memory-mapped."""

    def content_key(self, code: str) -> str:
        """Hash over the patient's DICOM content and the preparation."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Everything that the folds may draw from; the folds' codes say what each may use.

    Attributes
    ----------
    codes : tuple of str, length n
        Study codes, sorted.
    y : ndarray of int, shape (n,)
        1 = long PFS.
    tabular : ndarray, shape (n, F), float64
        AST, ALT, GGT in U/L, CgA in µg/L, then the extras, unnormalised.
    feature_names : tuple of str, length F
    images : PreparedImages
        SUVbw and HU, unnormalised.
    ct_features : Path or None
        A ``.npy`` file [n, C, x, y, z] in the order of ``codes``: what the frozen stages of the pretrained CT branch
        make of each CT.
    """

    codes: tuple[str, ...]
    y: NDArray[np.int64]
    tabular: NDArray[np.float64]
    feature_names: tuple[str, ...]
    images: PreparedImages = field(repr=False)
    ct_features: Path | None = None

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {code: row for row, code in enumerate(self.codes)}

    def rows(self, codes: Iterable[str]) -> NDArray[np.int64]:
        """The rows of the named patients."""
        return np.array([self._row_of[code] for code in codes], dtype=np.int64)

    def iterate(self, image: Image, rows: Sequence[int] | NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """The PET (SUVbw) or CT (HU) of each row, [K, J, I], one in memory at a time."""
        for row in rows:
            study = self.images.study(self.codes[row])
            yield study.pet if image == "pet" else study.ct

    def stack(self, image: Image, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """The same as one array [n, K, J, I]."""
        return np.stack([np.asarray(values, dtype=np.float32) for values in self.iterate(image, rows)])

    def features(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32] | None:
        """The frozen CT stages' features of the rows, or None where they were not computed."""
        if self.ct_features is None:
            return None
        stored = np.load(self.ct_features, mmap_mode="r", allow_pickle=False)
        return np.array(stored[np.asarray(rows)], dtype=np.float32)


def gather_training_data(
    cohort: Cohort, images: PreparedImages, extras: Sequence[str] = ()
) -> tuple[TrainingData, RunCohort]:
    """Bring cohort table and prepared images together, sorted by study code.

    Raises
    ------
    CohortRefused
        ``NOT_FINITE`` when a blood value or an extra input is no number.
    RunFailed
        ``TRAINING_FAILED`` when a patient's images were not prepared.
    """
    known = set(images.codes)
    missing = sum(patient.code not in known for patient in cohort.patients)
    if missing:
        raise RunFailed(
            Code.TRAINING_FAILED,
            f"The images of {missing} of {len(cohort.patients)} patients were not prepared.",
            remedy="Run the same command again; it prepares what is missing.",
        )
    described = [
        describe_patient(patient, images.study(patient.code), images.content_key(patient.code), extras)
        for patient in sorted(cohort.patients, key=lambda patient: patient.code)
    ]
    patients = tuple(patient for patient, _ in described)
    data = TrainingData(
        codes=tuple(patient.code for patient in patients),
        y=np.array([int(patient.outcome.long_pfs) for patient in patients], dtype=np.int64),
        tabular=np.array([patient.tabular(tuple(extras)) for patient in patients], dtype=np.float64),
        feature_names=(*LABS, *extras),
        images=images,
    )
    for code, values in zip(data.codes, data.tabular, strict=True):
        impossible = ~(np.abs(values) <= LARGEST_INPUT)  # NaN too
        if impossible.any():
            raise CohortRefused(
                Code.NOT_FINITE,
                f"{', '.join(np.array(data.feature_names)[impossible])} of a patient is no usable number.",
                where=code,
                remedy="Correct that row, then check the table with `prrt cohort check`.",
            )
    remembered = Cohort(
        patients=patients,
        exclusions=cohort.exclusions,
        violations=(),
        pet_interval=cohort.pet_interval,
        notices=cohort.notices,
        extra_columns=tuple(extras),
    )
    return data, RunCohort(remembered, tuple(facts for _, facts in described))
