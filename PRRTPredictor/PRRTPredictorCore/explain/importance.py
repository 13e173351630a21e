"""What each input contributed: to one answer, to the held-out answers of a run, and to how right they were.

To an answer, for networks: gradient x input of the standardised labs where they enter the fusion layer, in logits. A
random forest has no gradient; there the same question is answered along its decision paths, in probability. The two
must not be drawn on one axis without saying so, and :class:`LabContributions` names which of them it holds.

To how right a model is, for every kind of model alike: permutation importance (Breiman 2001; Fisher, Rudin and Dominici
2019), from the answers that training kept under shuffled inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..evaluation.correlation import rank_correlation
from ..evaluation.discrimination import concordance
from ..evaluation.resampling import (
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
from ..records import FoldPredictions, LabMethod
from ..training.heldout import HeldOutGradients, HeldOutPermutations

if TYPE_CHECKING:
    from ..models.answers import NetworkAnswers
    from ..models.forest import FittedForest


@dataclass(frozen=True)
class LabContributions:
    """Contribution of every tabular input, positive towards long PFS.

    Attributes
    ----------
    values : mapping of str to float
        By input; empty for a model without labs.
    method : {"gradient x input", "decision path", "none"}
        In logits for the first, in probability for the second.
    """

    values: Mapping[str, float]
    method: LabMethod


NO_LABS = LabContributions({}, "none")


def network_contributions(answers: Sequence[NetworkAnswers], names: Sequence[str]) -> LabContributions:
    """Average gradient x input over an ensemble's answers for one patient."""
    found = [answer.lab_contributions for answer in answers if answer.lab_contributions is not None]
    if not found:
        return NO_LABS
    mean = np.mean([one[0].double().cpu().numpy() for one in found], axis=0)
    return LabContributions(dict(zip(names, map(float, mean), strict=True)), "gradient x input")


def forest_contributions(
    forests: Sequence[FittedForest], names: Sequence[str], tabular: NDArray[np.float64]
) -> LabContributions:
    """Average the decision-path contributions over an ensemble of forests; ``tabular`` has shape (F,)."""
    mean = np.mean([forest.contributions(tabular[None])[0] for forest in forests], axis=0)
    return LabContributions(dict(zip(names, map(float, mean), strict=True)), "decision path")


# --- over a run: contributions to the answers -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ContributionSummary:
    """Contributions of the tabular inputs to one model's held-out answers, fold by fold.

    Attributes
    ----------
    names : tuple of str, length F
    method : {"gradient x input", "decision path"}
    magnitude : ndarray, shape (folds, F)
        Mean absolute contribution over the fold's held-out patients; in logits for the first method, in probability
        for the second.
    direction : ndarray, shape (folds, F)
        Spearman's correlation of contribution and input over the fold's held-out patients: positive where high values
        speak for long PFS, negative where they speak for short PFS; NaN where either is constant.
    """

    names: tuple[str, ...]
    method: LabMethod
    magnitude: Floats
    direction: Floats

    @property
    def mean(self) -> Floats:
        """Mean magnitude over the folds, shape (F,)."""
        return np.asarray(self.magnitude.mean(axis=0))

    @property
    def spread(self) -> tuple[Floats, Floats]:
        """Where the middle 80 % of the folds lie, shape (F,) each."""
        low, high = np.quantile(self.magnitude, [0.1, 0.9], axis=0)
        return low, high

    @property
    def agreement(self) -> Floats:
        """Share of the folds whose direction is positive, shape (F,); NaN where no fold has a direction."""
        known = np.isfinite(self.direction).sum(axis=0)
        return np.asarray(np.where(known > 0, (self.direction > 0).sum(axis=0) / np.maximum(known, 1), np.nan))


def summarise_contributions(
    folds: Sequence[HeldOutGradients], inputs: Mapping[str, Sequence[float]]
) -> ContributionSummary | None:
    """Summarise the contributions that a model's folds kept.

    Parameters
    ----------
    folds : sequence of HeldOutGradients
        Of one model.
    inputs : mapping of str to sequence of float, length F
        Every patient's tabular inputs by study code, in their own units, in the order of ``feature_names``.

    Returns
    -------
    ContributionSummary or None
        None for a model without tabular inputs.
    """
    kept = [(fold, fold.lab_contributions) for fold in folds if fold.lab_contributions is not None]
    if not kept:
        return None
    magnitude, direction = [], []
    for fold, contributions in kept:
        values = np.array([inputs[code] for code in fold.codes], dtype=np.float64)
        magnitude.append(np.abs(contributions).mean(axis=0))
        direction.append([rank_correlation(c, v) for c, v in zip(contributions.T, values.T, strict=True)])
    first = kept[0][0]
    return ContributionSummary(first.feature_names, first.lab_method, np.array(magnitude), np.array(direction))


# --- over a run: permutation importance -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ImportanceMeasure:
    """What shuffling each input cost, by one measure.

    Attributes
    ----------
    by_fold : ndarray, shape (folds, G)
        Mean over the shuffles; positive where the intact input helps. NaN where the measure is undefined.
    mean : ndarray, shape (G,)
        Mean over the folds of a repeat, then over repeats.
    ci95 : ndarray, shape (G, 2)
        Patient-level bootstrap percentile interval of ``mean``, for these networks and these shuffles: it tells what
        other held-out patients would have changed, not what another training would.
    """

    by_fold: Floats
    mean: Floats
    ci95: Floats


@dataclass(frozen=True, eq=False)
class PermutationImportance:
    """How much worse a model is on held-out patients when an input comes from another of them.

    Attributes
    ----------
    inputs : tuple of str, length G
        A tabular input by its name, "labs" for all of them together, "pet" or "ct" for an image.
    auroc_drop, log_loss_rise : ImportanceMeasure
        AUROC lost, and nats of mean log loss gained.
    folds, shuffles, patients : int
    """

    inputs: tuple[str, ...]
    auroc_drop: ImportanceMeasure
    log_loss_rise: ImportanceMeasure
    folds: int
    shuffles: int
    patients: int


def permutation_importance(
    pairs: Sequence[tuple[FoldPredictions, HeldOutPermutations]], resamples: int = RESAMPLES, seed: int = 0
) -> PermutationImportance | None:
    """Weigh the answers under shuffled inputs against the intact ones.

    Inputs that carry the same news (AST and ALT) stand in for each other, so that each alone looks less important than
    both are; hence the row that shuffles all of them together.

    Parameters
    ----------
    pairs : sequence of (FoldPredictions, HeldOutPermutations)
        Of one model, a pair a finished fold. Inputs that not every fold shuffled are left out.
    resamples, seed : int
        Of the bootstrap over patients.

    Returns
    -------
    PermutationImportance or None
        None without any fold.

    Raises
    ------
    RunFailed
        When the folds contradict each other (see :func:`check_folds`).
    """
    if not pairs:
        return None
    check_folds([fold for fold, _ in pairs])
    pairs = sorted(pairs, key=lambda pair: (pair[0].repeat, pair[0].fold))
    inputs = tuple(name for name in pairs[0][1].inputs if all(name in kept.inputs for _, kept in pairs))
    codes = patient_codes(fold for fold, _ in pairs)
    draws = draw_multiplicities(len(codes), resamples, seed)
    weights = np.concatenate([np.ones((1, len(codes)), dtype=np.int64), draws])
    auroc, log_loss = [], []
    for fold, kept in pairs:
        place = {code: index for index, code in enumerate(kept.codes)}
        rows = [kept.inputs.index(name) for name in inputs]
        shuffled = kept.logits[rows][:, :, [place[code] for code in fold.codes]]
        own = weights[:, positions(codes, fold)]
        auroc.append(_auroc_drop(fold.y, fold.logit, shuffled, own))
        log_loss.append(_log_loss_rise(fold.y, fold.logit, shuffled, own))
    repeats = [fold.repeat for fold, _ in pairs]
    return PermutationImportance(
        inputs=inputs,
        auroc_drop=_measure(np.stack(auroc, axis=-1), repeats),
        log_loss_rise=_measure(np.stack(log_loss, axis=-1), repeats),
        folds=len(pairs),
        shuffles=pairs[0][1].logits.shape[1],
        patients=len(codes),
    )


def _measure(values: Floats, repeats: Sequence[int]) -> ImportanceMeasure:
    """From values (G, 1 + resamples, folds), the first of which is the cohort as it is."""
    means, _ = mean_over_repeats(values, repeats)
    intervals = np.array([percentile_interval(drawn) for drawn in means[:, 1:]]).reshape(-1, 2)
    return ImportanceMeasure(by_fold=values[:, 0].T, mean=means[:, 0], ci95=intervals)


def _auroc_drop(y: Ints, intact: Floats, shuffled: Floats, weights: Ints) -> Floats:
    """AUROC lost, shape (G, B), from shuffled logits (G, R, n) and patient weights (B, n).

    Weighted AUROC is linear in the table of concordant pairs, so the tables are averaged over the shuffles first.
    """
    long = y == 1
    up, down = weights[:, long].astype(np.float64), weights[:, ~long].astype(np.float64)
    known = up.sum(axis=1) * down.sum(axis=1)
    lost = np.full((len(shuffled), len(weights)), np.nan)
    for place, answers in enumerate(shuffled):
        table = concordance(intact[long], intact[~long])
        table = table - np.mean([concordance(one[long], one[~long]) for one in answers], axis=0)
        won = ((up @ table) * down).sum(axis=1)
        lost[place] = np.where(known > 0, won / np.maximum(known, 1.0), np.nan)
    return lost


def _log_loss_rise(y: Ints, intact: Floats, shuffled: Floats, weights: Ints) -> Floats:
    """Mean log loss gained, shape (G, B)."""
    towards = np.where(y == 1, -1.0, 1.0)
    rise = np.logaddexp(0.0, towards * shuffled).mean(axis=1) - np.logaddexp(0.0, towards * intact)
    drawn = weights.sum(axis=1)
    return np.asarray(np.where(drawn > 0, (rise @ weights.T) / np.maximum(drawn, 1), np.nan))
