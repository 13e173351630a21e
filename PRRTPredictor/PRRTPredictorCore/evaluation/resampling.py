"""What every patient-level statistic shares: the list of patients, their resamples, and how folds are averaged.

A patient stands in one test fold of each repeat, so the fifteen fold values of a run are not fifteen independent
measurements. Whatever claims an uncertainty here therefore resamples or swaps *patients*, in all repeats at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import Code, RunFailed
from ..records import FoldPredictions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 2000
"""Default number of bootstrap resamples of an interval."""


def patient_codes(folds: Iterable[FoldPredictions]) -> tuple[str, ...]:
    """Every patient who was predicted at least once, sorted by study code."""
    return tuple(sorted({code for fold in folds for code in fold.codes}))


def positions(codes: Sequence[str], fold: FoldPredictions) -> Ints:
    """Where the patients of ``fold`` stand in ``codes``: shape (n,)."""
    index = {code: place for place, code in enumerate(codes)}
    return np.array([index[code] for code in fold.codes], dtype=np.int64)


def draw_multiplicities(patients: int, resamples: int = RESAMPLES, seed: int = 0) -> Ints:
    """Draw patients with replacement; how often each was drawn.

    Returns
    -------
    ndarray of int, shape (resamples, patients)
        Each row sums to ``patients``.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(patients, np.full(patients, 1.0 / patients), size=resamples).astype(np.int64)


def mean_over_repeats(values: Floats, repeats: Sequence[int]) -> tuple[Floats, Floats]:
    """Average folds within each repeat, then the repeats, leaving out what is undefined (NaN).

    Parameters
    ----------
    values : ndarray, shape (..., F)
        One value a fold.
    repeats : sequence of int, length F
        The repeat that each fold belongs to.

    Returns
    -------
    mean : ndarray, shape (...)
        NaN where no fold has a value.
    per_repeat : ndarray, shape (..., R)
        In ascending order of the repeats.
    """
    labels = np.asarray(repeats)
    per_repeat = np.stack([_mean(values[..., labels == repeat]) for repeat in np.unique(labels)], axis=-1)
    return _mean(per_repeat), per_repeat


def percentile_interval(draws: Floats, level: float = 0.95) -> tuple[float, float]:
    """The central percentile interval of bootstrap draws, NaN left out; (NaN, NaN) when nothing remains."""
    kept = draws[np.isfinite(draws)]
    if kept.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def check_folds(folds: Sequence[FoldPredictions]) -> None:
    """Refuse a set of folds that would count a patient twice.

    Raises
    ------
    RunFailed
        ``RUN_MISMATCH`` when the folds are of several models, a fold comes twice, a patient is held out twice in one
        repeat, or a patient has two different outcomes; ``RUN_INCOMPLETE`` when there is no fold at all.
    """
    if not folds:
        raise RunFailed(Code.RUN_INCOMPLETE, "No finished fold to evaluate.", remedy="Resume the run, then report.")
    remedy = "Train into an empty run folder; folds of different runs must not be mixed."
    if len({fold.model for fold in folds}) > 1:
        raise RunFailed(Code.RUN_MISMATCH, "Predictions of several models were given as one.", remedy=remedy)
    seen: set[tuple[int, str]] = set()
    outcomes: dict[str, int] = {}
    for fold in folds:
        where = f"{fold.model}, repeat {fold.repeat}, fold {fold.fold}"
        for code, y in zip(fold.codes, fold.y.tolist(), strict=True):
            if (fold.repeat, code) in seen:
                raise RunFailed(
                    Code.RUN_MISMATCH, "A patient is held out twice in one repeat.", where=where, remedy=remedy
                )
            if outcomes.setdefault(code, y) != y:
                raise RunFailed(
                    Code.RUN_MISMATCH, "A patient has two different outcomes in one run.", where=where, remedy=remedy
                )
            seen.add((fold.repeat, code))


def _mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0.0).sum(axis=-1)
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean
