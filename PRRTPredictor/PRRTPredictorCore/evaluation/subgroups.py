"""Does a model work equally well on every scanner, with and without contrast medium? Scores within subgroups.

A fold's figures are recomputed on the subgroup's patients alone and averaged as in the main analysis, so that a
subgroup of everybody has the main analysis' figures. Which scanner stood where is no experiment: subgroups differ in
more than their name, and small ones scatter widely. Intervals resample patients, and differences come from the same
resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..cohort.describe import fisher_p
from ..records import FoldPredictions
from .calibration import Estimate
from .discrimination import weighted_accuracy, weighted_auroc, weighted_average_precision
from .resampling import (
    RESAMPLES,
    Floats,
    Ints,
    check_folds,
    draw_multiplicities,
    mean_over_repeats,
    patient_codes,
    percentile_interval,
    positions,
)

SubgroupMetric = Literal["auroc", "auprc", "accuracy", "brier"]
SUBGROUP_METRICS: tuple[SubgroupMetric, ...] = ("auroc", "auprc", "accuracy", "brier")

LEAST_OF_EACH_OUTCOME = 5
"""Patients with short and with long PFS that a subgroup needs to be scored; below, single patients would decide."""


@dataclass(frozen=True)
class SubgroupSize:
    """How many patients a subgroup holds, by outcome, and how far the outcome goes with belonging to it.

    Attributes
    ----------
    name : str
    patients, long_patients : int
    p_outcome : float
        Fisher's exact p, two-sided, of long PFS here against all other patients of known subgroup (as in Table 1); NaN
        where there are no others. Where outcome and scanner go together, a network can learn the scanner.
    """

    name: str
    patients: int
    long_patients: int
    p_outcome: float

    @property
    def short_patients(self) -> int:
        """Patients with short PFS."""
        return self.patients - self.long_patients

    @property
    def scored(self) -> bool:
        """Whether there are enough patients of each outcome for a score."""
        return min(self.long_patients, self.short_patients) >= LEAST_OF_EACH_OUTCOME


@dataclass(frozen=True)
class SubgroupScore:
    """One model within one subgroup.

    Attributes
    ----------
    auroc, auprc, accuracy : Estimate
        Mean over the folds of a repeat, then over repeats. An AUPRC without skill is the subgroup's own share of long
        PFS, so it cannot be held against that of another subgroup.
    brier : Estimate
        Over all predictions of the subgroup, as in the calibration of the whole cohort.
    folds : int
        Finished folds that tested at least one of its patients.
    undefined_folds : int
        Those of them without an AUROC, because the subgroup's patients there all had one outcome.
    """

    subgroup: str
    auroc: Estimate
    auprc: Estimate
    accuracy: Estimate
    brier: Estimate
    folds: int
    undefined_folds: int

    def metric(self, name: SubgroupMetric) -> Estimate:
        """The estimate of one metric by name."""
        estimate: Estimate = getattr(self, name)
        return estimate


@dataclass(frozen=True)
class SubgroupDifference:
    """A model's figures in ``subgroup`` minus those in ``reference``, the largest scored subgroup."""

    subgroup: str
    reference: str
    auroc: Estimate
    accuracy: Estimate
    brier: Estimate


@dataclass(frozen=True)
class SubgroupScores:
    """One model over the subgroups of one category; subgroups that are too small are left out."""

    model: str
    scores: tuple[SubgroupScore, ...]
    differences: tuple[SubgroupDifference, ...]


@dataclass(frozen=True)
class SubgroupAnalysis:
    """All models over the subgroups of one category.

    Attributes
    ----------
    category : str
        In words: "Scanner".
    sizes : tuple of SubgroupSize
        The largest first, then by name; those that are too small, too.
    unknown : int
        Patients whose subgroup is not known; nowhere counted.
    models : tuple of SubgroupScores
        In the order given; none where no subgroup can be scored. A model that is not finished lacks the subgroups of
        which it has tested too few patients so far.
    """

    category: str
    sizes: tuple[SubgroupSize, ...]
    unknown: int
    models: tuple[SubgroupScores, ...]

    @property
    def scored(self) -> tuple[SubgroupSize, ...]:
        """Subgroups that are large enough."""
        return tuple(size for size in self.sizes if size.scored)

    @property
    def too_small(self) -> tuple[SubgroupSize, ...]:
        """Subgroups that are named only."""
        return tuple(size for size in self.sizes if not size.scored)


def analyse_subgroups(
    category: str,
    predictions: Mapping[str, Sequence[FoldPredictions]],
    subgroup_of: Mapping[str, str],
    long_pfs: Mapping[str, bool],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> SubgroupAnalysis:
    """Score every model within every subgroup of one category.

    Parameters
    ----------
    category : str
        Name of what tells the subgroups apart.
    predictions : mapping of str to sequence of FoldPredictions
        By model; empty sequences are left out.
    subgroup_of : mapping of str to str
        Study code to subgroup; "" or absent where it is not known.
    long_pfs : mapping of str to bool
        Study code to outcome, for every patient of the cohort.
    resamples, seed : int
        Of the bootstrap; the same seed draws the same patients as :func:`discriminate` does.

    Raises
    ------
    RunFailed
        When the folds of a model contradict each other.
    """
    known = {code: subgroup_of[code] for code in long_pfs if subgroup_of.get(code)}
    sizes = subgroup_sizes(known, long_pfs)
    names = tuple(size.name for size in sizes if size.scored)
    return SubgroupAnalysis(
        category=category,
        sizes=sizes,
        unknown=len(long_pfs) - len(known),
        models=tuple(_score_model(folds, known, names, resamples, seed) for folds in predictions.values() if folds)
        if names
        else (),
    )


def _score_model(
    folds: Sequence[FoldPredictions], subgroup_of: Mapping[str, str], names: Sequence[str], resamples: int, seed: int
) -> SubgroupScores:
    """Leave out what an unfinished model has tested on too few patients; no differences without the reference."""
    tested = {code: bool(y) for fold in folds for code, y in zip(fold.codes, fold.y, strict=True)}
    inside = {code: subgroup_of[code] for code in tested if code in subgroup_of}
    enough = {size.name for size in subgroup_sizes(inside, tested) if size.scored}
    scored = score_subgroups(folds, subgroup_of, [name for name in names if name in enough], resamples, seed)
    return scored if names[0] in enough else replace(scored, differences=())


def subgroup_sizes(subgroup_of: Mapping[str, str], long_pfs: Mapping[str, bool]) -> tuple[SubgroupSize, ...]:
    """Count patients and outcomes by subgroup, the largest first; every code of ``subgroup_of`` needs an outcome."""
    members: dict[str, list[bool]] = {}
    for code, name in subgroup_of.items():
        members.setdefault(name, []).append(long_pfs[code])
    everybody = len(subgroup_of)
    everybody_long = sum(sum(outcomes) for outcomes in members.values())

    def size(name: str, outcomes: list[bool]) -> SubgroupSize:
        n, n_long = len(outcomes), sum(outcomes)
        p = fisher_p(n - n_long, everybody - everybody_long, n_long, everybody_long) if n < everybody else float("nan")
        return SubgroupSize(name, n, n_long, p)

    return tuple(sorted((size(*item) for item in members.items()), key=lambda one: (-one.patients, one.name)))


def score_subgroups(
    folds: Sequence[FoldPredictions],
    subgroup_of: Mapping[str, str],
    names: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> SubgroupScores:
    """Score one model within the named subgroups, and hold each against the first.

    Parameters
    ----------
    folds : sequence of FoldPredictions
        Of one model; any subset of the folds of a run.
    subgroup_of : mapping of str to str
        Study code to subgroup; patients without one are left out.
    names : sequence of str
        Subgroups to score; the first is the reference of the differences.
    """
    check_folds(folds)
    ordered = sorted(folds, key=lambda fold: (fold.repeat, fold.fold))
    codes = patient_codes(ordered)
    # The first row draws everyone once: the point estimate.
    draws = np.vstack([np.ones((1, len(codes)), dtype=np.int64), draw_multiplicities(len(codes), resamples, seed)])
    made = [_draws_of(ordered, codes, draws, subgroup_of, name) for name in names]
    return SubgroupScores(
        model=ordered[0].model,
        scores=tuple(one.score() for one in made),
        differences=tuple(one.minus(made[0]) for one in made[1:]),
    )


@dataclass(frozen=True, eq=False)
class _Draws:
    """A model's figures within one subgroup under every resample, each of shape (1 + B,); first the point estimate."""

    subgroup: str
    values: Mapping[SubgroupMetric, Floats]
    folds: int
    undefined_folds: int

    def score(self) -> SubgroupScore:
        return SubgroupScore(
            subgroup=self.subgroup,
            **{name: _estimate(draws) for name, draws in self.values.items()},
            folds=self.folds,
            undefined_folds=self.undefined_folds,
        )

    def minus(self, reference: _Draws) -> SubgroupDifference:
        def difference(name: SubgroupMetric) -> Estimate:
            return _estimate(self.values[name] - reference.values[name])

        return SubgroupDifference(
            subgroup=self.subgroup,
            reference=reference.subgroup,
            auroc=difference("auroc"),
            accuracy=difference("accuracy"),
            brier=difference("brier"),
        )


def _draws_of(
    folds: Sequence[FoldPredictions], codes: Sequence[str], draws: Ints, subgroup_of: Mapping[str, str], name: str
) -> _Draws:
    repeats: list[int] = []
    by_fold: list[tuple[Floats, Floats, Floats]] = []
    squared, predictions = np.zeros(len(draws)), np.zeros(len(draws))
    for fold in folds:
        inside = np.array([subgroup_of.get(code) == name for code in fold.codes], dtype=np.bool_)
        if not inside.any():
            continue
        y, probability = fold.y[inside], fold.probability[inside]
        weights = draws[:, positions(codes, fold)[inside]]
        repeats.append(fold.repeat)
        by_fold.append(
            (
                weighted_auroc(y, probability, weights),
                weighted_average_precision(y, probability, weights),
                weighted_accuracy(y, probability, weights),
            )
        )
        squared += weights @ (probability - y) ** 2
        predictions += weights.sum(axis=1)
    values: dict[SubgroupMetric, Floats] = {
        "brier": np.where(predictions > 0, squared / np.maximum(predictions, 1.0), np.nan)
    }
    for place, metric in enumerate(SUBGROUP_METRICS[:3]):
        if by_fold:
            values[metric], _ = mean_over_repeats(np.stack([fold[place] for fold in by_fold], axis=-1), repeats)
        else:
            values[metric] = np.full(len(draws), np.nan)
    return _Draws(name, values, len(by_fold), sum(bool(np.isnan(auroc[0])) for auroc, _, _ in by_fold))


def _estimate(draws: Floats) -> Estimate:
    known = bool(np.isfinite(draws[0]))
    return Estimate(float(draws[0]), percentile_interval(draws[1:]) if known else (float("nan"), float("nan")))
