"""The paper's tests between model families, kept for comparison with the paper only (section 2.6).

They take the fold values of a repeated cross-validation for independent, which share their patients, and find
differences where there are none: see :mod:`.significance` for tests to rely on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .discrimination import Discrimination, Metric, concordance

PAPER = "paper protocol: Mann–Whitney U between model families"

PAPER_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "unimodal": ("rf_labs", "pet", "ct"),
    "one-image fusion": ("pet_labs", "ct_labs"),
    "dual fusion": ("pet_ct_labs", "pet_ct_labs_pretrained"),
}
"""Paper, section 2.6."""

PAPER_COMPARISONS: tuple[tuple[str, str], ...] = (("one-image fusion", "unimodal"), ("dual fusion", "one-image fusion"))

CLIFFS_DELTA_BANDS: tuple[tuple[float, str], ...] = ((0.147, "negligible"), (0.33, "small"), (0.474, "medium"))
"""Upper bounds of |delta|; from 0.474 on: large (paper, section 2.6)."""


@dataclass(frozen=True)
class FamilyComparison:
    """The paper's test of one model family against the next lower one, for one metric."""

    metric: Metric
    family: str
    reference: str
    models: tuple[str, ...]
    reference_models: tuple[str, ...]
    u: float
    p: float
    p_bonferroni: float
    cliffs_delta: float
    effect: str


def cliffs_delta(first: Sequence[float], second: Sequence[float]) -> float:
    """P(first > second) - P(first < second) over all pairs; from -1 to 1."""
    return float(2.0 * concordance(np.asarray(first, float), np.asarray(second, float)).mean() - 1.0)


def effect_band(delta: float) -> str:
    """Name the size of Cliff's delta: negligible, small, medium or large (paper, section 2.6)."""
    return next((name for bound, name in CLIFFS_DELTA_BANDS if abs(delta) < bound), "large")


def compare_families(scores: Mapping[str, Discrimination]) -> tuple[FamilyComparison, ...]:
    """The paper's tests: Mann–Whitney U, two-sided, between the fold values of model families (section 2.6).

    Bonferroni's factor is the number of comparisons, two, for each metric. Kept for comparison with the paper only:
    repeated folds are not independent. Where the models are equally good these tests call p < 0.01 in 10 to 21 % of
    simulated comparisons (Testing/Benchmarks), the more the less a patient's score changes between repeats.
    """
    from scipy.stats import mannwhitneyu

    made = []
    metrics: tuple[Metric, ...] = ("auroc", "auprc")
    for metric in metrics:
        for family, reference in PAPER_COMPARISONS:
            models = tuple(name for name in PAPER_FAMILIES[family] if name in scores)
            others = tuple(name for name in PAPER_FAMILIES[reference] if name in scores)
            values = _finite(scores[name].fold_values(metric) for name in models)
            against = _finite(scores[name].fold_values(metric) for name in others)
            if not values or not against:
                continue
            u, p = mannwhitneyu(values, against, alternative="two-sided")
            delta = cliffs_delta(values, against)
            made.append(
                FamilyComparison(
                    metric=metric,
                    family=family,
                    reference=reference,
                    models=models,
                    reference_models=others,
                    u=float(u),
                    p=float(p),
                    p_bonferroni=min(1.0, float(p) * len(PAPER_COMPARISONS)),
                    cliffs_delta=delta,
                    effect=effect_band(delta),
                )
            )
    return tuple(made)


def _finite(groups: Iterable[Sequence[float]]) -> list[float]:
    return [value for group in groups for value in group if np.isfinite(value)]
