"""How well a model tells long from short PFS: AUROC, AUPRC and accuracy with honest intervals, and their curves.

Point estimates follow the paper (section 2.6): every fold's value, mean over the folds of a repeat, then mean and
standard error over repeats. That standard error only says how much the shuffling of the folds matters. The 95 %
interval beside it resamples the held-out patients and so says how much other patients of this number would have
mattered to the models as they were fitted; fitting them anew on other patients would add to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..records import LONG_PFS_FROM, FoldPredictions
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

Metric = Literal["auroc", "auprc", "accuracy"]
METRICS: tuple[Metric, ...] = ("auroc", "auprc", "accuracy")


@dataclass(frozen=True)
class FoldScore:
    """One held-out fold. AUROC and AUPRC are NaN where the fold holds one outcome only."""

    repeat: int
    fold: int
    patients: int
    long_patients: int
    auroc: float
    auprc: float
    accuracy: float
    collapsed: bool


@dataclass(frozen=True)
class MetricSummary:
    """A metric over the repeated cross-validation.

    Attributes
    ----------
    mean : float
        Mean over repeats of the mean over folds.
    se : float
        Standard error over repeats, sd (ddof = 1) / sqrt(repeats), as in the paper; NaN with a single repeat.
    per_repeat : tuple of float
        Mean over folds, one value a repeat.
    ci95 : tuple of float
        Patient-level bootstrap percentile interval of ``mean``.
    """

    mean: float
    se: float
    per_repeat: tuple[float, ...]
    ci95: tuple[float, float]


@dataclass(frozen=True)
class Discrimination:
    """All discrimination figures of one model."""

    model: str
    folds: tuple[FoldScore, ...]
    auroc: MetricSummary
    auprc: MetricSummary
    accuracy: MetricSummary

    @property
    def collapsed_folds(self) -> int:
        """Folds whose network gives everyone the same answer."""
        return sum(fold.collapsed for fold in self.folds)

    def metric(self, name: Metric) -> MetricSummary:
        """The summary of one metric by name."""
        summary: MetricSummary = getattr(self, name)
        return summary

    def fold_values(self, name: Metric) -> tuple[float, ...]:
        """One value a fold, in the order of ``folds``."""
        return tuple(getattr(fold, name) for fold in self.folds)


@dataclass(frozen=True, eq=False)
class CurveBand:
    """Curves of many folds on one axis: the median and the central 80 % at each abscissa, each of shape (G,)."""

    x: Floats
    median: Floats
    low: Floats
    high: Floats
    folds: int


def discriminate(folds: Sequence[FoldPredictions], resamples: int = RESAMPLES, seed: int = 0) -> Discrimination:
    """Score one model's out-of-fold predictions.

    Parameters
    ----------
    folds : sequence of FoldPredictions
        Of one model; any subset of the folds of a run.
    resamples : int
        Bootstrap resamples of the patients.
    seed : int
        Of the bootstrap; the same seed draws the same patients for every model of a complete run.

    Raises
    ------
    RunFailed
        When the folds contradict each other (see :func:`check_folds`).
    """
    check_folds(folds)
    ordered = sorted(folds, key=lambda fold: (fold.repeat, fold.fold))
    scores = tuple(score_fold(fold) for fold in ordered)
    codes = patient_codes(ordered)
    draws = draw_multiplicities(len(codes), resamples, seed)
    drawn = [draws[:, positions(codes, fold)] for fold in ordered]
    repeats = [fold.repeat for fold in ordered]

    def summary(
        name: Metric, weighted: Callable[[NDArray[np.int64], Floats, NDArray[np.int64]], Floats]
    ) -> MetricSummary:
        point, per_repeat = mean_over_repeats(np.array([getattr(score, name) for score in scores]), repeats)
        by_fold = np.stack(
            [weighted(fold.y, fold.probability, weights) for fold, weights in zip(ordered, drawn, strict=True)], axis=-1
        )
        resampled, _ = mean_over_repeats(by_fold, repeats)
        return MetricSummary(
            mean=float(point),
            se=standard_error(per_repeat),
            per_repeat=tuple(float(value) for value in per_repeat),
            ci95=percentile_interval(resampled),
        )

    return Discrimination(
        model=ordered[0].model,
        folds=scores,
        auroc=summary("auroc", weighted_auroc),
        auprc=summary("auprc", weighted_average_precision),
        accuracy=summary("accuracy", weighted_accuracy),
    )


def score_fold(fold: FoldPredictions) -> FoldScore:
    """AUROC, average precision and accuracy at 0.5 of one held-out fold, by scikit-learn."""
    from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

    both = 0 < fold.y.sum() < fold.y.size
    return FoldScore(
        repeat=fold.repeat,
        fold=fold.fold,
        patients=int(fold.y.size),
        long_patients=int(fold.y.sum()),
        auroc=float(roc_auc_score(fold.y, fold.probability)) if both else float("nan"),
        auprc=float(average_precision_score(fold.y, fold.probability)) if both else float("nan"),
        accuracy=float(accuracy_score(fold.y, fold.probability >= LONG_PFS_FROM)),
        collapsed=fold.collapsed,
    )


def standard_error(per_repeat: Floats) -> float:
    """Sample standard deviation (ddof = 1) over the square root of the number of repeats; NaN below two repeats."""
    known = per_repeat[np.isfinite(per_repeat)]
    return float(known.std(ddof=1) / np.sqrt(known.size)) if known.size > 1 else float("nan")


def prevalence_long(folds: Sequence[FoldPredictions]) -> float:
    """Share of the distinct patients with long PFS: what a model without any skill reaches as AUPRC."""
    outcomes = {code: int(y) for fold in folds for code, y in zip(fold.codes, fold.y, strict=True)}
    return float(np.mean(list(outcomes.values()))) if outcomes else float("nan")


# --- one fold, many resamples at once ---------------------------------------------------------------------------------


def concordance(first: Floats, second: Floats) -> Floats:
    """1 where ``first`` exceeds ``second``, 0.5 where they tie, else 0: shape (len(first), len(second))."""
    pairs: Floats = (first[:, None] > second[None, :]) + 0.5 * (first[:, None] == second[None, :])
    return pairs


def weighted_auroc(y: NDArray[np.int64], score: Floats, weights: NDArray[np.int64]) -> Floats:
    """AUROC of one fold under many sets of patient weights.

    Parameters
    ----------
    y : ndarray, shape (n,)
        1 = long PFS.
    score : ndarray, shape (n,)
    weights : ndarray, shape (B, n)
        How often each patient was drawn.

    Returns
    -------
    ndarray, shape (B,)
        NaN where the weights leave one outcome only.
    """
    positive = y == 1
    up, down = weights[:, positive].astype(np.float64), weights[:, ~positive].astype(np.float64)
    concordant = ((up @ concordance(score[positive], score[~positive])) * down).sum(axis=1)
    pairs = up.sum(axis=1) * down.sum(axis=1)
    result: Floats = np.where(pairs > 0, concordant / np.maximum(pairs, 1.0), np.nan)
    return result


def weighted_average_precision(y: NDArray[np.int64], score: Floats, weights: NDArray[np.int64]) -> Floats:
    """Average precision of one fold under many sets of patient weights; arguments as :func:`weighted_auroc`.

    Tied scores enter as one step, as in scikit-learn. NaN where the weights leave one outcome only.
    """
    order = np.argsort(-score, kind="stable")
    drawn = weights[:, order].astype(np.float64)
    step_ends = np.append(np.flatnonzero(np.diff(score[order])), score.size - 1)
    called = np.cumsum(drawn, axis=1)[:, step_ends]
    hits = np.cumsum(drawn * y[order], axis=1)[:, step_ends]
    precision = hits / np.maximum(called, 1.0)
    total = hits[:, -1]
    gained = np.diff(hits, axis=1, prepend=0.0)
    result: Floats = np.where(
        (total > 0) & (total < called[:, -1]), (gained * precision).sum(axis=1) / np.maximum(total, 1.0), np.nan
    )
    return result


def weighted_accuracy(y: NDArray[np.int64], probability: Floats, weights: NDArray[np.int64]) -> Floats:
    """Accuracy at 0.5 of one fold under many sets of patient weights; NaN where no patient of the fold was drawn."""
    right = ((probability >= LONG_PFS_FROM) == (y == 1)).astype(np.float64)
    drawn = weights.sum(axis=1)
    result: Floats = np.where(drawn > 0, (weights @ right) / np.maximum(drawn, 1), np.nan)
    return result


# --- curves -----------------------------------------------------------------------------------------------------------


def roc_band(folds: Sequence[FoldPredictions], points: int = 101) -> CurveBand | None:
    """ROC curves of all folds: sensitivity over 1 - specificity; None when no fold holds both outcomes."""
    from sklearn.metrics import roc_curve

    x = np.linspace(0.0, 1.0, points)
    curves = []
    for fold in _with_both(folds):
        false_positive, true_positive, _ = roc_curve(fold.y, fold.probability, drop_intermediate=False)
        curves.append(np.interp(x, false_positive, true_positive))
    return _band(x, curves)


def precision_recall_band(folds: Sequence[FoldPredictions], points: int = 101) -> CurveBand | None:
    """Precision–recall curves of all folds, as steps; None when no fold holds both outcomes.

    Precision at recall x is taken at the highest threshold that reaches x: joining the points of a precision–recall
    curve by straight lines would flatter it.
    """
    from sklearn.metrics import precision_recall_curve

    x = np.linspace(0.0, 1.0, points)
    curves = []
    for fold in _with_both(folds):
        precision, recall, _ = precision_recall_curve(fold.y, fold.probability)
        precision, recall = precision[-2::-1], recall[-2::-1]  # ascending recall, without the made end point (0, 1)
        reached = np.searchsorted(recall, x - 1e-12, side="left")
        curves.append(precision[np.minimum(reached, precision.size - 1)])
    return _band(x, curves)


def _with_both(folds: Sequence[FoldPredictions]) -> list[FoldPredictions]:
    return [fold for fold in folds if 0 < fold.y.sum() < fold.y.size]


def _band(x: Floats, curves: Sequence[Floats]) -> CurveBand | None:
    if not curves:
        return None
    low, median, high = np.quantile(np.stack(curves), [0.1, 0.5, 0.9], axis=0)
    return CurveBand(x=x, median=median, low=low, high=high, folds=len(curves))
