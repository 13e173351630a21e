"""Any two models side by side: differences with patient-level intervals, their folds in pairs, and where they disagree.

Both models are scored on the same folds and on the same resamples of the patients, so that what two models share, the
luck of the patients drawn, cancels in the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import Code, RunFailed
from ..records import FoldPredictions
from .correlation import rank_correlation
from .discrimination import (
    FoldScore,
    score_fold,
    weighted_accuracy,
    weighted_auroc,
    weighted_average_precision,
)
from .resampling import (
    RESAMPLES,
    Floats,
    check_folds,
    draw_multiplicities,
    mean_over_repeats,
    patient_codes,
    percentile_interval,
    positions,
)
from .significance import PERMUTATIONS, PairedComparison, compare_pair, matched_folds
from .survival import predicted_groups

ComparedMetric: TypeAlias = Literal["auroc", "auprc", "accuracy", "brier"]
COMPARED_METRICS: tuple[ComparedMetric, ...] = ("auroc", "auprc", "accuracy", "brier")


@dataclass(frozen=True)
class MetricDifference:
    """One metric of two models.

    Attributes
    ----------
    metric : {"auroc", "auprc", "accuracy", "brier"}
        AUROC, AUPRC and accuracy: mean over the folds of a repeat, then over repeats. Brier: over all predictions;
        lower is better.
    first, second : float
        Over the folds that both models finished; NaN where undefined.
    difference : float
        ``first - second``.
    ci95 : (float, float)
        Patient-level bootstrap percentile interval of the difference, both models on the same resamples.
    """

    metric: ComparedMetric
    first: float
    second: float
    difference: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class FoldPair:
    """The same held-out patients scored by two models."""

    first: FoldScore
    second: FoldScore


@dataclass(frozen=True, eq=False)
class PatientPair:
    """What two models say about each patient, out of fold.

    Attributes
    ----------
    codes : tuple of str, length n
    long : ndarray of bool, shape (n,)
        The patient had long PFS.
    first, second : ndarray, shape (n,)
        Mean probability of long PFS over the folds that held the patient out.
    first_long, second_long : ndarray of bool, shape (n,)
        The groups that follow.
    """

    codes: tuple[str, ...]
    long: NDArray[np.bool_]
    first: Floats
    second: Floats
    first_long: NDArray[np.bool_]
    second_long: NDArray[np.bool_]


@dataclass(frozen=True)
class GroupAgreement:
    """How many patients two models put into the same group, by what became of them.

    Attributes
    ----------
    counts : tuple of tuple of int, (2, 2, 2)
        ``counts[first][second][outcome]``, each 0 = short and 1 = long.
    kappa : float
        Cohen's kappa: 0 agrees as often as chance would, 1 always; NaN where both put everyone into one group.
    rank_correlation : float
        Spearman's, of the mean probabilities; NaN where a model tells everyone the same.
    """

    counts: tuple[tuple[tuple[int, int], tuple[int, int]], tuple[tuple[int, int], tuple[int, int]]]
    kappa: float
    rank_correlation: float

    @property
    def patients(self) -> int:
        """Everyone whom both models predicted."""
        return sum(sum(cell) for row in self.counts for cell in row)

    @property
    def same(self) -> int:
        """Patients put into the same group by both."""
        return sum(self.counts[0][0]) + sum(self.counts[1][1])

    @property
    def only_first_right(self) -> int:
        """Patients whom only the first model puts into the group that came true."""
        return self.counts[1][0][1] + self.counts[0][1][0]

    @property
    def only_second_right(self) -> int:
        """Patients whom only the second model puts into the group that came true."""
        return self.counts[0][1][1] + self.counts[1][0][0]


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """Two models of one run.

    Attributes
    ----------
    model, reference : str
        The first and the second.
    differences : tuple of MetricDifference
        In the order of :data:`COMPARED_METRICS`.
    test : PairedComparison or None
        Permutation and Nadeau–Bengio test of the AUROC, ``p_holm`` uncorrected; None when no fold that both finished
        holds both outcomes.
    folds : tuple of FoldPair
        By repeat, then fold.
    """

    model: str
    reference: str
    differences: tuple[MetricDifference, ...]
    test: PairedComparison | None
    folds: tuple[FoldPair, ...]
    patients: PatientPair
    agreement: GroupAgreement


def compare_models(
    first: Sequence[FoldPredictions],
    second: Sequence[FoldPredictions],
    test_share: float,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> ModelComparison:
    """Hold two models against each other on the folds that both finished.

    Parameters
    ----------
    first, second : sequence of FoldPredictions
        Of one model each, of the same run.
    test_share : float
        Test patients over training patients, 1 / (folds - 1); see :func:`.significance.corrected_resampled_t`.
    resamples, permutations, seed : int
        Of the bootstrap and the permutation test.

    Raises
    ------
    RunFailed
        ``RUN_INCOMPLETE`` when the models share no finished fold; ``RUN_MISMATCH`` when a common fold holds different
        patients or outcomes.
    """
    check_folds(first)
    check_folds(second)
    pairs = matched_folds(first, second)
    if not pairs:
        raise RunFailed(
            Code.RUN_INCOMPLETE,
            "The two models share no finished fold.",
            where=f"{first[0].model} against {second[0].model}",
            remedy="Resume the run until both models have finished the same folds.",
        )
    judged = any(0 < fold.y.sum() < fold.y.size for fold, _ in pairs)
    patients = _patient_pair(pairs)
    return ModelComparison(
        model=first[0].model,
        reference=second[0].model,
        differences=_differences(pairs, resamples, seed),
        test=compare_pair(first, second, test_share, permutations, seed) if judged else None,
        folds=tuple(FoldPair(score_fold(a), score_fold(b)) for a, b in pairs),
        patients=patients,
        agreement=group_agreement(patients),
    )


def group_agreement(patients: PatientPair) -> GroupAgreement:
    """Count the patients by both models' groups and by outcome."""
    from sklearn.metrics import cohen_kappa_score

    def cell(first: bool, second: bool) -> tuple[int, int]:
        members = patients.long[(patients.first_long == first) & (patients.second_long == second)]
        return int((~members).sum()), int(members.sum())

    grouped = np.unique(np.concatenate([patients.first_long, patients.second_long])).size > 1
    return GroupAgreement(
        counts=((cell(False, False), cell(False, True)), (cell(True, False), cell(True, True))),
        kappa=float(cohen_kappa_score(patients.first_long, patients.second_long)) if grouped else float("nan"),
        rank_correlation=rank_correlation(patients.first, patients.second),
    )


Pairs: TypeAlias = Sequence[tuple[FoldPredictions, FoldPredictions]]


def _differences(pairs: Pairs, resamples: int, seed: int) -> tuple[MetricDifference, ...]:
    codes = patient_codes(a for a, _ in pairs)
    # The first row draws everyone once: the point estimate.
    draws = np.vstack([np.ones((1, len(codes)), dtype=np.int64), draw_multiplicities(len(codes), resamples, seed)])
    weights = [draws[:, positions(codes, a)] for a, _ in pairs]
    repeats = [a.repeat for a, _ in pairs]

    def by_fold(side: int, metric: ComparedMetric) -> Floats:
        score = {"auroc": weighted_auroc, "auprc": weighted_average_precision, "accuracy": weighted_accuracy}[metric]
        values = [
            score(pair[side].y, pair[side].probability, drawn) for pair, drawn in zip(pairs, weights, strict=True)
        ]
        return mean_over_repeats(np.stack(values, axis=-1), repeats)[0]

    def brier(side: int) -> Floats:
        drawn = np.concatenate(weights, axis=1).astype(np.float64)
        error = np.concatenate([(pair[side].probability - pair[side].y) ** 2 for pair in pairs])
        scores: Floats = drawn @ error / np.maximum(drawn.sum(axis=1), 1.0)
        return scores

    made = []
    for metric in COMPARED_METRICS:
        a, b = (brier(side) if metric == "brier" else by_fold(side, metric) for side in (0, 1))
        difference = a - b
        made.append(
            MetricDifference(
                metric=metric,
                first=float(a[0]),
                second=float(b[0]),
                difference=float(difference[0]),
                # What everyone drawn once cannot define, a lucky resample must not either.
                ci95=percentile_interval(difference[1:]) if np.isfinite(difference[0]) else (float("nan"),) * 2,
            )
        )
    return tuple(made)


def _patient_pair(pairs: Pairs) -> PatientPair:
    first, second = (predicted_groups([pair[side] for pair in pairs]) for side in (0, 1))
    outcome = {code: bool(y) for fold, _ in pairs for code, y in zip(fold.codes, fold.y.tolist(), strict=True)}
    return PatientPair(
        codes=first.codes,
        long=np.array([outcome[code] for code in first.codes], dtype=np.bool_),
        first=first.mean_probability,
        second=second.mean_probability,
        first_long=first.long,
        second_long=second.long,
    )
