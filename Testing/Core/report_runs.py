"""A run folder without training: made predictions of a known skill behind the real store, for report tests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from PRRTPredictorCore.imaging.preprocess import PreprocessConfig
from PRRTPredictorCore.models.presets import PRESETS
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.records import (
    LABS,
    Characteristics,
    Cohort,
    CohortPatient,
    Eligibility,
    Exclusion,
    FoldPredictions,
    Labs,
    Notice,
    Outcome,
    PetInterval,
    SeriesSource,
    input_units,
)
from PRRTPredictorCore.training.cohortfile import ImageFacts, RunCohort, write_run_cohort
from PRRTPredictorCore.training.heldout import HeldOutGradients
from PRRTPredictorCore.training.manifest import Manifest, PretrainedSource, write_manifest
from PRRTPredictorCore.training.records import FoldOutcome, FoldResult, FoldTask
from PRRTPredictorCore.training.splits import make_splits, write_splits
from PRRTPredictorCore.training.store import SPLITS, RunStore

SKILL: Mapping[str, float] = {
    "rf_labs": 0.35,
    "pet": 0.0,
    "ct": 0.15,
    "pet_labs": 0.65,
    "ct_labs": 0.45,
    "pet_ct_labs": 0.75,
    "pet_ct_labs_pretrained": 0.95,
}
"""Separation of the two groups' logits, in standard deviations; gives about the AUROCs of the paper's Table 2."""


def made_patients(n: int, seed: int) -> tuple[CohortPatient, ...]:
    rng = np.random.default_rng(seed)
    months = np.sort(np.round(2 + rng.lognormal(2.55, 0.75, n), 1))
    months[: round(0.362 * n)] = np.minimum(months[: round(0.362 * n)], 12.0)
    months[round(0.362 * n) :] = np.maximum(months[round(0.362 * n) :], 12.3)

    def patient(index: int) -> CohortPatient:
        contrast = bool(rng.random() < 0.64)
        return CohortPatient(
            code=f"P-{index:010x}",
            row=0,
            pet=SeriesSource(),
            ct=SeriesSource(),
            labs=Labs(
                *(float(round(value)) for value in np.exp(rng.normal([3.4, 3.4, 4.2, 6.0], [0.4, 0.5, 0.9, 1.6])))
            ),
            outcome=Outcome(pfs_months=float(months[index]), event=True, long_pfs=bool(months[index] > 12)),
            characteristics=Characteristics(
                age_years=float(rng.integers(36, 88)),
                sex="male" if rng.random() < 0.59 else "female",
                primary=str(rng.choice(["small_intestine", "pancreas", "colon_rectum", "cup"])),
                metastases=("hepatic", "lymphonodal") if rng.random() < 0.6 else ("osseous",),
                functional="yes" if rng.random() < 0.34 else "no",
                grade=str(rng.choice(["G1", "G2", "G2", "G2", "G3"])),
                ki67_percent=float(rng.integers(1, 21)),
                prrt_cycles=int(rng.integers(1, 8)),
                contrast_ct="yes" if contrast else "no",
                scanner="Philips Gemini TF 16" if rng.random() < 0.5 else "GE Discovery MI",
            ),
            synthetic=True,
        )

    return tuple(patient(index) for index in range(n))


def made_run(
    out: Path,
    models: Collection[str] = tuple(MODELS),
    patients: int = 36,
    folds: int = 3,
    repeats: int = 2,
    *,
    collapsed: Collection[tuple[str, int, int]] = (),
    unfinished: Collection[tuple[str, int, int]] = (),
    skill: Mapping[str, float] = SKILL,
    synthetic: bool = True,
    seed: int = 0,
) -> Path:
    """Write a run folder; ``collapsed`` and ``unfinished`` name (model, repeat, fold)."""
    members = made_patients(patients, seed)
    names = tuple(name for name in MODELS if name in models)
    n_long = sum(patient.outcome.long_pfs for patient in members)
    censored = Exclusion("event", "no progression or death observed (censored)", 7)
    cohort = Cohort(
        patients=members,
        exclusions=Eligibility(
            screened=patients + 10,
            excluded=(Exclusion("prior_prrt", "PRRT before", 3), censored),
            refused=0,
            included=patients,
        ),
        violations=(),
        pet_interval=PetInterval(patients, 0, 36.0, 15.5, 59.5, 1),
        notices=(Notice("PET_INTERVAL", "1 patient had the PET more than 120 days before PRRT."),),
    )
    images = tuple(
        ImageFacts(one.code, f"key-{one.code}", 9.0, (900.0, 400.0, 400.0), "DOTATOC Ga-68") for one in members
    )
    write_run_cohort(out, RunCohort(cohort, images))
    write_manifest(
        out,
        Manifest(
            created_utc="2026-01-02T03:04:05+00:00",
            models=names,
            preset="tuned",
            preset_values=asdict(PRESETS["tuned"]),
            folds=folds,
            repeats=repeats,
            seed=seed,
            feature_names=LABS,
            preprocess=asdict(PreprocessConfig()),
            preprocess_digest="0" * 16,
            data_sha256="ab12" * 16,
            synthetic=synthetic,
            n_patients=patients,
            n_long=n_long,
            folds_together=dict.fromkeys(names, 1),
            tabular_units=input_units(LABS),
            exclusions={"prior_prrt": 3, "event": 7},
            versions={"prrtpredictor": "0.1.0", "torch": "2.13.0"},
            pretrained=PretrainedSource("made phantoms (synthetic), organ segmentation", "cd34" * 16)
            if "pet_ct_labs_pretrained" in names
            else None,
        ),
    )
    y_of = {one.code: int(one.outcome.long_pfs) for one in members}
    splits = make_splits(list(y_of), list(y_of.values()), folds=folds, repeats=repeats, seed=seed)
    write_splits(out / SPLITS, splits)
    store = RunStore(out)
    for place, name in enumerate(names):
        own = dict(zip(y_of, np.random.default_rng(1000 + place).normal(size=patients), strict=True))
        for task in store.tasks(name):
            key = (name, task.repeat, task.fold)
            if key not in unfinished:
                store.save_fold(made_fold(task, y_of, own, skill[name], key in collapsed))
    return out


def made_fold(
    task: FoldTask, y_of: Mapping[str, int], own: Mapping[str, float], skill: float, collapsed: bool
) -> FoldResult:
    rng = np.random.default_rng([task.repeat, task.fold, len(task.model)])
    y = np.array([y_of[code] for code in task.test], dtype=np.int64)
    noise = np.array([own[code] for code in task.test]) * 0.8 + 0.6 * rng.normal(size=y.size)
    logit = np.full(y.size, 0.57) if collapsed else 0.57 + skill * (y - 0.64) + 0.9 * noise
    spec = MODELS[task.model]
    labs = (
        rng.normal(scale=[0.2, 0.15, 0.3, 0.5], size=(y.size, 4)) if spec.uses_labs and spec.kind == "network" else None
    )
    return FoldResult(
        task=task,
        predictions=FoldPredictions(
            model=task.model,
            repeat=task.repeat,
            fold=task.fold,
            codes=task.test,
            y=y,
            probability=1 / (1 + np.exp(-logit)),
            logit=logit,
            collapsed=collapsed,
        ),
        tensors={"weight": torch.zeros(1)},
        outcome=FoldOutcome("2026-01-02T03:04:05+00:00", 10, 5, collapsed, 1.0, "cpu"),
        gradients=HeldOutGradients(
            codes=task.test,
            feature_names=LABS,
            lab_contributions=labs,
            lab_method="gradient x input" if labs is not None else "none",
        ),
    )
