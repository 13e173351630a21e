"""A finished run becomes a model folder: the fold ensemble of one model, with all that its reader must know."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from .. import __version__
from ..errors import Code, ModelRefused
from ..evaluation.discrimination import discriminate
from ..evaluation.survival import kaplan_meier, predicted_groups
from ..models.bundle import save_bundle
from ..models.metadata import BundleMetadata, Performance, SurvivalCurve
from ..models.registry import model_spec
from ..progress import Progress, silent
from ..records import CohortPatient, FoldPredictions, ModelIdentity
from ..training.store import RunStore


def pack_model(run: Path, model: str, out: Path, progress: Progress = silent) -> ModelIdentity:
    """Pack every fold's fit of one model as the deployable ensemble.

    Parameters
    ----------
    run : Path
        A run folder in which all folds of ``model`` are finished.
    model : str
        Registry name.
    out : Path
        The model folder to write; an older model folder there is replaced.

    Raises
    ------
    ModelRefused
        ``RUN_INCOMPLETE`` naming the missing folds; ``MODEL_MISSING`` when the run was not asked for that model;
        ``MODEL_MISMATCH`` when every fold has collapsed, so that the ensemble would say the same of everyone.
    """
    spec = model_spec(model)
    store = RunStore(run)
    manifest, remembered = store.manifest, store.cohort
    folds = store.predictions(model)
    _require_complete(store, model, folds)
    members = []
    for number, split in enumerate(store.splits):
        progress("fit", number, len(store.splits), f"{model} {split.repeat}-{split.fold}")
        members.append(store.load_fold(model, split.repeat, split.fold))
    auroc = discriminate(folds).auroc
    metadata = BundleMetadata(
        model=model,
        preset=manifest.preset_record(),
        preprocess=manifest.preprocess_record(),
        preprocess_digest=manifest.preprocess_digest,
        tabular_names=manifest.feature_names,
        tabular_units=manifest.tabular_units,
        training_ranges=remembered.training_ranges(manifest.feature_names),
        patients=manifest.n_patients,
        long_pfs=manifest.n_long,
        performance=Performance(auroc.mean, auroc.se if np.isfinite(auroc.se) else None, auroc.ci95),
        survival=survival_curves(remembered.cohort.patients, folds),
        synthetic=manifest.synthetic,
        data_sha256=manifest.data_sha256,
        run_sha256=hashlib.sha256((run / "manifest.json").read_bytes()).hexdigest(),
        encoder_source=manifest.pretrained.source if manifest.pretrained and spec.ct_encoder == "pretrained" else "",
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=__version__,
    )
    identity = save_bundle(out, members, metadata, store.ct_encoder() if spec.ct_encoder == "pretrained" else None)
    progress("fit", len(store.splits), len(store.splits), "packed")
    return identity


def survival_curves(patients: Sequence[CohortPatient], folds: Sequence[FoldPredictions]) -> tuple[SurvivalCurve, ...]:
    """Kaplan–Meier curves of the training cohort: everybody, and each out-of-fold predicted group."""
    outcomes = {patient.code: patient.outcome for patient in patients}
    groups = predicted_groups(folds)
    months = np.array([outcomes[code].pfs_months for code in groups.codes])
    event = np.array([outcomes[code].event for code in groups.codes])
    curves = []
    for label, chosen in (
        ("all", np.ones(len(months), dtype=bool)),
        ("predicted long", groups.long),
        ("predicted short", ~groups.long),
    ):
        if chosen.any():
            estimate = kaplan_meier(months[chosen], event[chosen])
            steps = (tuple(map(float, estimate.times)), tuple(map(float, estimate.survival)))
            curves.append(SurvivalCurve(label, *steps, patients=int(chosen.sum())))
    return tuple(curves)


def _require_complete(store: RunStore, model: str, folds: Sequence[FoldPredictions]) -> None:
    if model not in store.manifest.models:
        raise ModelRefused(
            Code.MODEL_MISSING,
            f"This run was not asked for the model “{model}”.",
            where=store.path.name,
            remedy=f"Choose among its models: {', '.join(store.manifest.models)}.",
        )
    missing = [
        f"{split.repeat}-{split.fold}" for split in store.splits if not store.is_done(model, split.repeat, split.fold)
    ]
    if missing:
        raise ModelRefused(
            Code.RUN_INCOMPLETE,
            f"{len(missing)} of {len(store.splits)} folds of “{model}” are not finished: {', '.join(missing[:5])}.",
            where=store.path.name,
            remedy="Run the `prrt train` command again; it resumes.",
        )
    if all(fold.collapsed for fold in folds):
        raise ModelRefused(
            Code.MODEL_MISMATCH,
            f"Every fold of “{model}” has collapsed: the ensemble would say the same of every patient.",
            where=store.path.name,
            remedy="Train with the preset “tuned”.",
        )
