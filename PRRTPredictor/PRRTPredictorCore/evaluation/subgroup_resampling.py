"""A subgroup's figures under many draws of patients, and under shuffled membership, fold by fold."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..records import FoldPredictions
from .discrimination import weighted_accuracy, weighted_auroc, weighted_average_precision
from .resampling import RESAMPLES, Floats, Ints, mean_over_repeats


@dataclass(frozen=True, eq=False)
class SubgroupFigures:
    """One model's figures within one subgroup, under each of B draws; NaN where a draw leaves them undefined.

    Attributes
    ----------
    auroc, auprc, accuracy : ndarray, shape (B,)
        Mean over the folds of a repeat, then over repeats.
    brier : ndarray, shape (B,)
        Over all predictions of the subgroup's patients.
    folds, undefined_folds : int
        Folds that tested any of its patients; those of them without an AUROC under the first draw.
    """

    auroc: Floats
    auprc: Floats
    accuracy: Floats
    brier: Floats
    folds: int
    undefined_folds: int


def figures_within(
    folds: Sequence[FoldPredictions], codes: Sequence[str], draws: Ints, subgroup_of: Mapping[str, str], name: str
) -> SubgroupFigures:
    """Recompute every fold on the patients of one subgroup, weighted as they were drawn.

    Parameters
    ----------
    folds : sequence of FoldPredictions
        Of one model.
    codes : sequence of str, length n
        The patients that the columns of ``draws`` stand for.
    draws : ndarray of int, shape (B, n)
        How often each patient was drawn.
    subgroup_of : mapping of str to str
    name : str
    """
    repeats: list[int] = []
    by_fold: list[Floats] = []
    squared, predictions = np.zeros(len(draws)), np.zeros(len(draws))
    for fold, inside, weights in _weighted(folds, codes, draws, {c for c, own in subgroup_of.items() if own == name}):
        y, probability = fold.y[inside], fold.probability[inside]
        repeats.append(fold.repeat)
        scores = (weighted_auroc, weighted_average_precision, weighted_accuracy)
        by_fold.append(np.stack([score(y, probability, weights) for score in scores]))
        squared += weights @ (probability - y) ** 2
        predictions += weights.sum(axis=1)
    if not by_fold:
        nothing = np.full(len(draws), np.nan)
        return SubgroupFigures(nothing, nothing, nothing, nothing, 0, 0)
    mean, _ = mean_over_repeats(np.stack(by_fold, axis=-1), repeats)
    return SubgroupFigures(
        auroc=mean[0],
        auprc=mean[1],
        accuracy=mean[2],
        brier=np.where(predictions > 0, squared / np.maximum(predictions, 1.0), np.nan),
        folds=len(by_fold),
        undefined_folds=sum(bool(np.isnan(values[0, 0])) for values in by_fold),
    )


def membership_test(
    folds: Sequence[FoldPredictions],
    subgroup_of: Mapping[str, str],
    first: str,
    second: str,
    permutations: int = RESAMPLES,
    seed: int = 0,
) -> float:
    """Is a model's AUROC the same in two subgroups? Shuffles who belongs where, within each outcome.

    Under the null hypothesis a patient's scores depend on the outcome but not on the subgroup, so that every division
    of the two subgroups' long patients, and of their short ones, into parts of the same sizes is as likely as the one
    seen. A patient moves in all repeats at once.

    Returns
    -------
    float
        Two-sided, (b + 1) / (permutations + 1); NaN where the AUROC of either subgroup is undefined.
    """
    long = {
        code: bool(y)
        for fold in folds
        for code, y in zip(fold.codes, fold.y, strict=True)
        if subgroup_of.get(code) in (first, second)
    }
    codes = tuple(sorted(long))
    in_first = np.array([subgroup_of[code] == first for code in codes], dtype=np.int64)
    # The first row is the membership seen.
    members = np.tile(in_first, (permutations + 1, 1))
    rng = np.random.default_rng(seed)
    for value in (False, True):
        stratum = np.flatnonzero(np.array([long[code] for code in codes]) == value)
        members[1:, stratum] = rng.permuted(members[1:, stratum], axis=1)
    difference = _auroc(folds, codes, members) - _auroc(folds, codes, 1 - members)
    if not np.isfinite(difference[0]):
        return float("nan")
    shuffled = difference[1:][np.isfinite(difference[1:])]
    # A hair of tolerance: sums of the same numbers in another order must count as equal to the observed one.
    extreme = np.count_nonzero(np.abs(shuffled) >= abs(difference[0]) - 1e-12)
    return float((extreme + 1) / (shuffled.size + 1))


def _auroc(folds: Sequence[FoldPredictions], codes: Sequence[str], weights: Ints) -> Floats:
    """AUROC under each row of weights, averaged over folds and repeats: shape (B,)."""
    parts = [
        (fold.repeat, weighted_auroc(fold.y[inside], fold.probability[inside], drawn))
        for fold, inside, drawn in _weighted(folds, codes, weights, frozenset(codes))
    ]
    if not parts:
        return np.full(len(weights), np.nan)
    mean, _ = mean_over_repeats(np.stack([values for _, values in parts], axis=-1), [repeat for repeat, _ in parts])
    return mean


def _weighted(
    folds: Sequence[FoldPredictions], codes: Sequence[str], draws: Ints, members: Collection[str]
) -> Iterator[tuple[FoldPredictions, Ints, Ints]]:
    """Every fold that tested a member: which of its rows are members, and their weights, shape (B, members)."""
    place = {code: column for column, code in enumerate(codes)}
    for fold in folds:
        inside = np.array([row for row, code in enumerate(fold.codes) if code in members], dtype=np.int64)
        if inside.size:
            yield fold, inside, draws[:, [place[fold.codes[row]] for row in inside]]
