"""External validation: a packed model on a cohort that it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cohort.table import read_cohort, require_extras, require_trainable
from ..evaluation.calibration import Estimate, calibrate
from ..evaluation.discrimination import discriminate
from ..evaluation.survival import LogRank, log_rank
from ..imaging.cache import prepare_cohort
from ..imaging.notices import counted_notices
from ..models.bundle import load_bundle
from ..progress import Progress, silent
from ..records import LABS, LONG_PFS_FROM, Cohort, FoldPredictions, ModelIdentity, Notice
from .predictor import ask_ensemble, version_notices
from .ranges import range_notices


@dataclass(frozen=True)
class ExternalValidation:
    """How a model did on another cohort.

    Attributes
    ----------
    auroc, auprc, accuracy, brier, calibration_intercept, calibration_slope : Estimate
        Each with its patient-level bootstrap 95 % interval.
    log_rank : LogRank or None
        Of the predicted groups; None when everybody was put into one.
    training_auroc : float or None
        What cross-validation on the training cohort had promised.
    synthetic : bool
        The model or the cohort was made.
    warnings : tuple of str
        What is unusual about the cohort, or unlike the model's training cohort, with the number of patients.
    """

    model: ModelIdentity
    patients: int
    long_pfs: int
    excluded: int
    prevalence_long: float
    auroc: Estimate
    auprc: Estimate
    accuracy: Estimate
    brier: Estimate
    calibration_intercept: Estimate
    calibration_slope: Estimate
    log_rank: LogRank | None
    training_auroc: float | None
    synthetic: bool
    warnings: tuple[str, ...] = ()
    research_use_only: bool = True


def validate(
    model: Path, table: Path, *, device: str = "auto", jobs: int = 1, progress: Progress = silent
) -> ExternalValidation:
    """Predict every patient of a cohort with a packed model and compare with what happened.

    Raises
    ------
    ModelRefused
        The model folder is missing, altered or of another version.
    CohortRefused
        The table violates the rules, lacks an input of the model, or holds one outcome only.
    """
    bundle = load_bundle(model, device=device)
    names = bundle.metadata.tabular_names
    extras = tuple(name for name in names if name not in LABS)
    cohort = read_cohort(table)
    require_extras(cohort, extras)
    require_trainable(cohort, folds=1)
    prepared = prepare_cohort(cohort.patients, bundle.metadata.preprocess, jobs=jobs, progress=progress)
    probabilities, notices = [], []
    made = bundle.identity.synthetic
    for number, patient in enumerate(cohort.patients):
        progress("evaluate", number, len(cohort.patients), patient.code)
        tabular = np.array(patient.tabular(extras), dtype=np.float64)
        study = prepared.study(patient.code)
        made |= patient.synthetic or study.pet_acquisition.synthetic or study.ct_acquisition.synthetic
        answer = ask_ensemble(bundle, study, tabular, explain=False)
        probabilities.append(float(answer.probabilities.mean()))
        ranges = range_notices(bundle.metadata.training_ranges, study, dict(zip(names, tabular, strict=True)))
        notices.append((*study.notices, *ranges))
    progress("evaluate", len(cohort.patients), len(cohort.patients))
    trained = bundle.metadata.performance
    return summarise_validation(
        bundle.identity,
        cohort,
        np.array(probabilities),
        training_auroc=None if trained is None else trained.auroc,
        synthetic=made,
        warnings=(*cohort.notices, *version_notices(bundle), *counted_notices(notices)),
    )


def summarise_validation(
    identity: ModelIdentity,
    cohort: Cohort,
    probability: np.ndarray,
    *,
    training_auroc: float | None,
    synthetic: bool,
    warnings: Sequence[Notice] = (),
) -> ExternalValidation:
    """Turn predictions and outcomes of a whole cohort into figures; probabilities have shape (n,)."""
    patients = cohort.patients
    outcomes = [patient.outcome for patient in patients]
    y = np.array([int(outcome.long_pfs) for outcome in outcomes])
    bounded = np.clip(probability, 1e-9, 1 - 1e-9)
    everyone = FoldPredictions(
        model=identity.name,
        repeat=0,
        fold=0,
        codes=tuple(patient.code for patient in patients),
        y=y,
        probability=probability,
        logit=np.log(bounded / (1 - bounded)),
    )
    scores, calibration = discriminate([everyone]), calibrate([everyone])
    months = np.array([outcome.pfs_months for outcome in outcomes])
    event = np.array([outcome.event for outcome in outcomes])
    return ExternalValidation(
        model=identity,
        patients=len(patients),
        long_pfs=int(y.sum()),
        excluded=cohort.exclusions.screened - cohort.exclusions.included,
        prevalence_long=float(y.mean()),
        auroc=Estimate(scores.auroc.mean, scores.auroc.ci95),
        auprc=Estimate(scores.auprc.mean, scores.auprc.ci95),
        accuracy=Estimate(scores.accuracy.mean, scores.accuracy.ci95),
        brier=calibration.brier,
        calibration_intercept=calibration.intercept,
        calibration_slope=calibration.slope,
        log_rank=log_rank(months, event, (probability >= LONG_PFS_FROM).astype(np.int64)),
        training_auroc=training_auroc,
        synthetic=synthetic,
        warnings=tuple(map(str, warnings)),
    )


def format_validation(validation: ExternalValidation) -> str:
    """The same for people, in a few aligned lines."""
    rows = (
        ("AUROC", validation.auroc),
        ("AUPRC", validation.auprc),
        ("accuracy", validation.accuracy),
        ("Brier score", validation.brier),
        ("calibration intercept", validation.calibration_intercept),
        ("calibration slope", validation.calibration_slope),
    )
    made = "  SYNTHETIC" if validation.synthetic else ""
    lines = [
        f"External validation of {validation.model.name} ({validation.model.sha256[:12]}){made}",
        f"{validation.patients} patients, {validation.long_pfs} with long PFS; {validation.excluded} excluded",
        *(f"  {name:<22} {one.value:6.3f}   95 % {one.ci95[0]:.3f} to {one.ci95[1]:.3f}" for name, one in rows),
    ]
    if validation.log_rank is not None:
        lines.append(f"  {'log-rank, groups':<22} p = {validation.log_rank.p:.4g}")
    if validation.training_auroc is not None:
        lines.append(f"Cross-validation on the training cohort had given an AUROC of {validation.training_auroc:.3f}.")
    return "\n".join([*lines, *(f"  ! {text}" for text in validation.warnings)])
