"""Progression-free survival over time: Kaplan–Meier estimates and log-rank tests, by lifelines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..records import LONG_PFS_FROM, FoldPredictions, Outcome
from .resampling import Floats
from .significance import holm


@dataclass(frozen=True, eq=False)
class KaplanMeier:
    """A Kaplan–Meier estimate.

    Attributes
    ----------
    times : ndarray, shape (T,)
        Months, starting at 0; the estimate is constant from each to the next.
    survival, ci_low, ci_high : ndarray, shape (T,)
        Progression-free share and its pointwise 95 % interval (exponential Greenwood).
    ticks, at_risk : ndarray, shape (A,)
        Months, and the patients still under observation and free of progression just before each.
    median_months, lower_quartile_months, upper_quartile_months : float
        Where survival crosses 0.5, 0.75 and 0.25; infinite when that is not reached (see :func:`survival_quantile`).
    """

    times: Floats
    survival: Floats
    ci_low: Floats
    ci_high: Floats
    ticks: Floats
    at_risk: NDArray[np.int64]
    median_months: float
    lower_quartile_months: float
    upper_quartile_months: float
    patients: int
    events: int


@dataclass(frozen=True)
class LogRank:
    """A log-rank test of two or more groups: chi-squared statistic, degrees of freedom, p."""

    statistic: float
    degrees_of_freedom: int
    p: float


@dataclass(frozen=True, eq=False)
class PredictedGroups:
    """Patients by their predicted group.

    Attributes
    ----------
    codes : tuple of str
    mean_probability : ndarray, shape (n,)
        Each patient's mean out-of-fold probability of long PFS over the repeats.
    long : ndarray of bool, shape (n,)
        ``mean_probability`` of :data:`LONG_PFS_FROM` or more.
    """

    codes: tuple[str, ...]
    mean_probability: Floats
    long: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class GroupSurvival:
    """Survival of the patients whom a model puts into its two groups, out of fold.

    Attributes
    ----------
    long, short : KaplanMeier or None
        None where the model puts nobody there.
    test : LogRank or None
        None where there is one group only.
    p_holm : float
        The test's p after Holm's correction over the models tested together; NaN without a test.
    """

    model: str
    long: KaplanMeier | None
    short: KaplanMeier | None
    test: LogRank | None
    p_holm: float

    @property
    def smaller_group(self) -> int:
        """Patients in the smaller of the groups that anyone is in."""
        return min(curve.patients for curve in (self.long, self.short) if curve is not None)


def kaplan_meier(months: Floats, event: NDArray[np.bool_], ticks: Floats | None = None) -> KaplanMeier:
    """Estimate the progression-free share over time.

    Parameters
    ----------
    months : ndarray, shape (n,)
        Time from the first PRRT cycle to progression, death or the last follow-up.
    event : ndarray of bool, shape (n,)
        Progression or death was observed; False = censored.
    ticks : ndarray, shape (A,), optional
        Months at which the patients at risk are counted; every 6 to 24 months by default.
    """
    from lifelines import KaplanMeierFitter

    months, event = np.asarray(months, dtype=np.float64), np.asarray(event, dtype=bool)
    fitter = KaplanMeierFitter().fit(months, event)
    function, interval = fitter.survival_function_, fitter.confidence_interval_
    ticks = risk_ticks(float(months.max())) if ticks is None else np.asarray(ticks, dtype=np.float64)

    times, shares = function.index.to_numpy(dtype=np.float64), function.iloc[:, 0].to_numpy(dtype=np.float64)
    return KaplanMeier(
        times=times,
        survival=shares,
        ci_low=interval.iloc[:, 0].to_numpy(dtype=np.float64),
        ci_high=interval.iloc[:, 1].to_numpy(dtype=np.float64),
        ticks=ticks,
        at_risk=(months[None, :] >= ticks[:, None]).sum(axis=1),
        median_months=survival_quantile(times, shares, 0.5),
        lower_quartile_months=survival_quantile(times, shares, 0.75),
        upper_quartile_months=survival_quantile(times, shares, 0.25),
        patients=int(months.size),
        events=int(event.sum()),
    )


def survival_quantile(times: Floats, survival: Floats, share: float) -> float:
    """When a Kaplan–Meier curve crosses a share; infinite where it never gets there.

    Where the curve runs exactly at the share for a while, every moment of that stretch would do and its middle is
    taken, as in R's ``survival`` package (lifelines takes the beginning). So the median of 116 uncensored patients lies
    between the 58th and the 59th, as any median does.

    Parameters
    ----------
    times, survival : ndarray, shape (T,)
        As in :class:`KaplanMeier`.
    share : float
    """
    # lifelines multiplies in logarithms, so that a half may come out as a half and a hair.
    at_most, below = (np.flatnonzero(survival <= bound) for bound in (share + 1e-9, share - 1e-9))
    if not at_most.size:
        return float("inf")
    # A curve that stays at the share to its end has no stretch with two ends.
    ends = (at_most[0], below[0]) if below.size else (at_most[0],)
    return float(times[list(ends)].mean())


def risk_ticks(longest_months: float) -> Floats:
    """Multiples of half a year (or more) that cut the follow-up into at most eight parts."""
    step = next((step for step in (6.0, 12.0, 24.0, 60.0) if longest_months / step <= 8), 120.0)
    return np.arange(0.0, longest_months + 1e-9, step)


def log_rank(months: Floats, event: NDArray[np.bool_], group: NDArray[np.int64]) -> LogRank | None:
    """Log-rank test of equal survival across groups; None when there is only one group.

    Parameters
    ----------
    months, event : ndarray, shape (n,)
        As in :func:`kaplan_meier`.
    group : ndarray of int or bool, shape (n,)
    """
    from lifelines.statistics import multivariate_logrank_test

    labels = np.asarray(group).astype(np.int64)
    groups = np.unique(labels).size
    if groups < 2:
        return None
    test = multivariate_logrank_test(np.asarray(months, float), labels, np.asarray(event, bool))
    return LogRank(statistic=float(test.test_statistic), degrees_of_freedom=groups - 1, p=float(test.p_value))


def predicted_groups(folds: Sequence[FoldPredictions]) -> PredictedGroups:
    """Put every patient into one predicted group, from out-of-fold predictions only.

    A patient is held out once a repeat; the mean of those probabilities decides. So each patient enters a survival
    comparison once, and never through a model that has seen him.
    """
    gathered: dict[str, list[float]] = {}
    for fold in folds:
        for code, probability in zip(fold.codes, fold.probability.tolist(), strict=True):
            gathered.setdefault(code, []).append(probability)
    codes = tuple(sorted(gathered))
    # Summed without rounding on the way: a forest's patient may stand at the threshold itself, and must not change
    # sides with the order in which the folds are read.
    mean = np.array([math.fsum(gathered[code]) / len(gathered[code]) for code in codes])
    return PredictedGroups(codes=codes, mean_probability=mean, long=mean >= LONG_PFS_FROM)


def survival_of(outcomes: Sequence[Outcome], ticks: Floats | None = None) -> KaplanMeier:
    """Kaplan–Meier estimate of these patients; ``ticks`` as in :func:`kaplan_meier`."""
    return kaplan_meier(*_follow_up(outcomes), ticks)


def survival_by_predicted_group(folds: Sequence[FoldPredictions], outcomes: Mapping[str, Outcome]) -> GroupSurvival:
    """Survival by the group that a model predicts (paper, Fig. 5), each patient once and out of fold.

    Parameters
    ----------
    folds : sequence of FoldPredictions
        Of one model.
    outcomes : mapping of str to Outcome
        By study code; holds every patient of the folds.
    """
    groups = predicted_groups(folds)
    members = [outcomes[code] for code in groups.codes]
    months, event = _follow_up(members)
    ticks = risk_ticks(float(months.max()))

    def curve(of: NDArray[np.bool_]) -> KaplanMeier | None:
        return kaplan_meier(months[of], event[of], ticks) if of.any() else None

    test = log_rank(months, event, groups.long.astype(np.int64))
    return GroupSurvival(
        model=folds[0].model,
        long=curve(groups.long),
        short=curve(~groups.long),
        test=test,
        p_holm=test.p if test else float("nan"),
    )


def survival_by_model(
    predictions: Iterable[Sequence[FoldPredictions]], outcomes: Mapping[str, Outcome]
) -> tuple[GroupSurvival, ...]:
    """:func:`survival_by_predicted_group` of several models, with Holm's correction over those that have two groups."""
    results = [survival_by_predicted_group(folds, outcomes) for folds in predictions]
    corrected = iter(holm([result.test.p for result in results if result.test]))
    return tuple(replace(result, p_holm=next(corrected)) if result.test else result for result in results)


def _follow_up(outcomes: Sequence[Outcome]) -> tuple[Floats, NDArray[np.bool_]]:
    months = np.array([outcome.pfs_months for outcome in outcomes], dtype=np.float64)
    return months, np.array([outcome.event for outcome in outcomes], dtype=np.bool_)
