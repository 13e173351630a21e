"""Does a model work equally well on every scanner, with and without contrast medium? Scores within subgroups.

A fold's figures are recomputed on the subgroup's patients alone and averaged as in the main analysis, so that a
subgroup of everybody has the main analysis' figures. Which scanner stood where is no experiment: subgroups differ in
more than their name, and small ones scatter widely. Intervals resample patients, and differences come from the same
resamples. Those intervals are a little too narrow in groups this small (in simulations 6 to 8 % exclude a true zero),
so whether two subgroups differ is decided by a permutation test: who belongs where is shuffled among the patients of
the same outcome, and Holm's correction spans everything compared within a category.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..cohort.describe import fisher_p
from ..records import FoldPredictions
from .calibration import Estimate
from .resampling import RESAMPLES, Floats, check_folds, draw_multiplicities, patient_codes, percentile_interval
from .significance import holm
from .subgroup_resampling import SubgroupFigures, figures_within, membership_test

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
    """A model's figures in ``subgroup`` minus those in ``reference``, the largest scored subgroup.

    Attributes
    ----------
    p_auroc : float
        Two-sided permutation p of no difference of AUROC (see :func:`membership_test`); NaN where undefined.
    p_holm : float
        The same after Holm's correction over all models and subgroups of the category.
    """

    subgroup: str
    reference: str
    auroc: Estimate
    accuracy: Estimate
    brier: Estimate
    p_auroc: float
    p_holm: float


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
    given = [folds for folds in predictions.values() if folds] if names else []
    return SubgroupAnalysis(
        category=category,
        sizes=sizes,
        unknown=len(long_pfs) - len(known),
        models=_corrected([_score_model(folds, known, names, resamples, seed) for folds in given]),
    )


def _corrected(models: Sequence[SubgroupScores]) -> tuple[SubgroupScores, ...]:
    """Holm's correction over the differences of all models; undefined ones do not count."""
    p = {
        (row, place): one.p_auroc
        for row, model in enumerate(models)
        for place, one in enumerate(model.differences)
        if np.isfinite(one.p_auroc)
    }
    corrected = dict(zip(p, holm(list(p.values())), strict=True))

    def holmed(row: int, model: SubgroupScores) -> SubgroupScores:
        differences = (
            replace(one, p_holm=corrected.get((row, place), float("nan")))
            for place, one in enumerate(model.differences)
        )
        return replace(model, differences=tuple(differences))

    return tuple(holmed(row, model) for row, model in enumerate(models))


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
    made = {name: figures_within(ordered, codes, draws, subgroup_of, name) for name in names}
    return SubgroupScores(
        model=ordered[0].model,
        scores=tuple(_score(name, made[name]) for name in names),
        differences=tuple(
            _difference(
                name,
                made[name],
                names[0],
                made[names[0]],
                membership_test(ordered, subgroup_of, name, names[0], resamples, seed),
            )
            for name in names[1:]
        ),
    )


def _score(name: str, figures: SubgroupFigures) -> SubgroupScore:
    return SubgroupScore(
        subgroup=name,
        auroc=_estimate(figures.auroc),
        auprc=_estimate(figures.auprc),
        accuracy=_estimate(figures.accuracy),
        brier=_estimate(figures.brier),
        folds=figures.folds,
        undefined_folds=figures.undefined_folds,
    )


def _difference(
    name: str, figures: SubgroupFigures, reference: str, against: SubgroupFigures, p: float
) -> SubgroupDifference:
    return SubgroupDifference(
        subgroup=name,
        reference=reference,
        auroc=_estimate(figures.auroc - against.auroc),
        accuracy=_estimate(figures.accuracy - against.accuracy),
        brier=_estimate(figures.brier - against.brier),
        p_auroc=p,
        p_holm=p,
    )


def _estimate(draws: Floats) -> Estimate:
    known = bool(np.isfinite(draws[0]))
    return Estimate(float(draws[0]), percentile_interval(draws[1:]) if known else (float("nan"), float("nan")))
