"""Made patients: a config in; DICOM folders, ``cohort.csv`` and the truth aside out.

Never looks at real patients. What is written says in every file that it is synthetic. The outcome comes from a stated
risk, so that the best AUROC that any model can reach is known (:func:`bayes_auroc`).
"""

from __future__ import annotations

from .anatomy import LABEL_NAMES
from .cohort import SyntheticCohort, SyntheticPatient, make_cohort, make_patient
from .outcome_model import BayesAuroc
from .phantom import Phantom, phantom_volumes
from .plan import PatientPlan, SyntheticConfig, bayes_auroc, plan_cohort
from .seeds import SeedSpace, seed_sequence

__all__ = [
    "LABEL_NAMES",
    "BayesAuroc",
    "PatientPlan",
    "Phantom",
    "SeedSpace",
    "SyntheticCohort",
    "SyntheticConfig",
    "SyntheticPatient",
    "bayes_auroc",
    "make_cohort",
    "make_patient",
    "phantom_volumes",
    "plan_cohort",
    "seed_sequence",
]
