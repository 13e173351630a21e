"""A cohort small enough to train on within seconds: random arrays behind the same door as prepared DICOM studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from PRRTPredictorCore.imaging.preprocess import PreprocessConfig
from PRRTPredictorCore.models.presets import PAPER, TUNED, Preset
from PRRTPredictorCore.records import (
    Acquisition,
    Characteristics,
    Cohort,
    CohortPatient,
    CommonGrid,
    Eligibility,
    Exclusion,
    Labs,
    Outcome,
    PetInterval,
    PreparedStudy,
    SeriesSource,
)
from PRRTPredictorCore.training.config import RunConfig

SHAPE = (12, 10, 10)


def shrunk(preset: Preset, **changes: object) -> Preset:
    """The same preset with networks, encoders and epochs for tiny images."""
    return replace(
        preset,
        network=replace(preset.network, widths=(4, 8), stem_stride=2, stem_kernel=3),
        pretraining=replace(
            preset.pretraining,
            init_filters=4,
            blocks_down=(1, 1, 1, 1),
            phantoms=2,
            batches=1,
            shape=SHAPE,
        ),
        forest=replace(preset.forest, trees=20),
        epochs=3,
        ct_init="random",
        **changes,  # type: ignore[arg-type]
    )


TINY = shrunk(TUNED)
TINY_PAPER = shrunk(PAPER)


@dataclass(frozen=True, eq=False)
class InMemoryStudies:
    """Stands in for ``PreparedCohort``."""

    studies: Mapping[str, PreparedStudy]
    salt: str = ""

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(self.studies)

    def study(self, code: str) -> PreparedStudy:
        return self.studies[code]

    def content_key(self, code: str) -> str:
        return f"key-{code}{self.salt}"

    def changed(self, code: str, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> InMemoryStudies:
        """The same studies with one patient's images altered."""
        study = self.studies[code]
        altered = replace(study, pet=change(study.pet), ct=change(study.ct))
        return InMemoryStudies({**self.studies, code: altered})


def tiny_cohort(n: int = 18, seed: int = 0) -> tuple[Cohort, InMemoryStudies]:
    """Patients of alternating outcome; the PET of long survivors is a little brighter, their CgA lower."""
    draws = np.random.default_rng(seed)
    patients, studies = [], {}
    for number in range(n):
        code, long_pfs = f"P-{number:04d}", number % 3 != 0
        patients.append(
            CohortPatient(
                code=code,
                row=number + 2,
                pet=SeriesSource(),
                ct=SeriesSource(),
                labs=Labs(*(float(v) for v in draws.uniform(10, 60, 3)), 300.0 - 200 * long_pfs + draws.uniform(0, 50)),
                outcome=Outcome(20.0 if long_pfs else 6.0, True, long_pfs),
                characteristics=Characteristics(age_years=60.0, sex="male", metastases=("hepatic",)),
                extras={"haemoglobin": float(draws.uniform(8, 16))},
                synthetic=True,
            )
        )
        pet = draws.gamma(2.0, 1.0, SHAPE).astype(np.float32) + np.float32(2 * long_pfs)
        ct = draws.normal(0, 100, SHAPE).astype(np.float32)
        grid = CommonGrid(SHAPE, np.diag([10.0, 10.0, 10.0, 1.0]))
        studies[code] = PreparedStudy(
            pet, ct, grid, Acquisition("GE", "MI", None), Acquisition("GE", "MI", None, "yes")
        )
    cohort = Cohort(
        patients=tuple(patients),
        exclusions=Eligibility(n + 1, (Exclusion("event", "no progression", 1),), 0, n),
        violations=(),
        pet_interval=PetInterval(0, n),
    )
    return cohort, InMemoryStudies(studies)


def tiny_config(*models: str, **changes: object) -> RunConfig:
    """Two folds, one repeat, the shrunk preset."""
    config = RunConfig(models=models, folds=2, repeats=1, preset=TINY, device="cpu", preprocess=PreprocessConfig(SHAPE))
    return replace(config, **changes)  # type: ignore[arg-type]
