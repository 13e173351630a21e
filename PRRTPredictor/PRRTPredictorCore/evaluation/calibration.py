"""Are the probabilities true? Brier score, calibration intercept and slope, curve and decision curve.

All figures pool the out-of-fold predictions of every fold and repeat; their intervals resample patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..records import FoldPredictions
from .discrimination import prevalence_long
from .resampling import (
    Floats,
    check_folds,
    draw_multiplicities,
    patient_codes,
    percentile_interval,
    positions,
)

LOGIT_LIMIT = 12.0
"""A forest may answer with certainty; its logit is cut here (probability within 6e-6 of 0 or 1)."""

MOST_LOST_DRAWS = 0.05
"""Share of resamples in which a regression may run away to infinity before its interval is given up."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its patient-level bootstrap 95 % interval; NaN where it cannot be estimated."""

    value: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class CalibrationBin:
    """Predictions of similar probability: their mean, and the observed share of long PFS with its 95 % interval."""

    predicted: float
    observed: float
    ci95: tuple[float, float]
    predictions: int


@dataclass(frozen=True)
class Calibration:
    """How predicted probabilities relate to what happened.

    Attributes
    ----------
    brier : Estimate
        Mean squared error of the probability; 0 is perfect.
    brier_of_prevalence : float
        What telling everyone the prevalence would reach: the score to beat.
    intercept : Estimate
        Calibration in the large, in logits: 0 is right on average, positive means too pessimistic.
    slope : Estimate
        1 is right; below 1 the predictions are too extreme; NaN when the predictions hardly vary.
    """

    model: str
    brier: Estimate
    brier_of_prevalence: float
    intercept: Estimate
    slope: Estimate
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit of acting on a predicted risk of *short* PFS (Vickers and Elkin 2006), each of shape (T,).

    Attributes
    ----------
    threshold : ndarray
        Risk of short PFS from which on one would act, e.g. follow up more closely.
    model, act_on_all : ndarray
        Net benefit per patient; acting on nobody is 0.
    low, high : ndarray
        Patient-level bootstrap 95 % interval of ``model``.
    """

    threshold: Floats
    model: Floats
    act_on_all: Floats
    low: Floats
    high: Floats


def calibrate(folds: Sequence[FoldPredictions], bins: int = 8, resamples: int = 500, seed: int = 0) -> Calibration:
    """Assess calibration of one model's out-of-fold predictions.

    Parameters
    ----------
    folds : sequence of FoldPredictions
        Of one model.
    bins : int
        Number of equally filled bins of the curve.
    resamples, seed : int
        Patient-level bootstrap.
    """
    check_folds(folds)
    codes = patient_codes(folds)
    patient = np.concatenate([positions(codes, fold) for fold in folds])
    y = np.concatenate([fold.y for fold in folds]).astype(np.float64)
    probability = np.concatenate([fold.probability for fold in folds]).astype(np.float64)
    logit = np.clip(np.concatenate([fold.logit for fold in folds]), -LOGIT_LIMIT, LOGIT_LIMIT)
    # The first row draws everyone once: the point estimate.
    draws = np.vstack([np.ones((1, len(codes)), dtype=np.int64), draw_multiplicities(len(codes), resamples, seed)])
    weights = draws[:, patient].astype(np.float64)

    brier = (weights @ (probability - y) ** 2) / weights.sum(axis=1)
    intercept = _fit(np.ones((1, y.size)), y, weights, offset=logit)[:, 0]
    steep = logit.std() > 1e-4 and 0 < y.sum() < y.size
    slope = _fit(np.stack([np.ones_like(logit), logit]), y, weights)[:, 1] if steep else np.full(len(draws), np.nan)
    prevalence = prevalence_long(folds)
    return Calibration(
        model=folds[0].model,
        brier=_estimate(brier),
        brier_of_prevalence=prevalence * (1.0 - prevalence),
        intercept=_fitted(intercept),
        slope=_fitted(slope),
        bins=_curve(y, probability, weights, bins),
    )


def decision_curve(
    folds: Sequence[FoldPredictions], thresholds: Floats | None = None, resamples: int = 500, seed: int = 0
) -> DecisionCurve:
    """Net benefit over the range of risk thresholds; pools all out-of-fold predictions.

    Net benefit = (true alarms - false alarms x threshold / (1 - threshold)) / patients, where an alarm is a predicted
    risk of short PFS at or above the threshold.

    Parameters
    ----------
    folds : sequence of FoldPredictions
        Of one model.
    thresholds : ndarray, shape (T,), optional
        Risks from 0 up to, but not including, 1.
    resamples, seed : int
        Patient-level bootstrap.
    """
    threshold = np.linspace(0.05, 0.8, 76) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    short = np.concatenate([fold.y == 0 for fold in folds])
    risk = 1.0 - np.concatenate([fold.probability for fold in folds])
    odds = threshold / (1.0 - threshold)
    alarm = risk[None, :] >= threshold[:, None]
    gain_of_all = short - ~short * odds[:, None]
    gain = alarm * gain_of_all
    codes = patient_codes(folds)
    draws = draw_multiplicities(len(codes), resamples, seed)
    weights = draws[:, np.concatenate([positions(codes, fold) for fold in folds])].astype(np.float64)
    # With some folds missing, patients stand in the pool unequally often, and a resample may hold none of it.
    drawn = weights.sum(axis=1)
    resampled = (weights[drawn > 0] @ gain.T) / drawn[drawn > 0, None]
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    everyone = gain_of_all.mean(axis=1)
    return DecisionCurve(threshold=threshold, model=gain.mean(axis=1), act_on_all=everyone, low=low, high=high)


def _estimate(draws: Floats) -> Estimate:
    return Estimate(value=float(draws[0]), ci95=percentile_interval(draws[1:]))


def _fitted(draws: Floats) -> Estimate:
    """An estimate without interval where fits ran away in many draws: the rest would understate how far they reach."""
    estimate = _estimate(draws)
    lost = float(np.mean(~np.isfinite(draws[1:]))) if draws.size > 1 else 0.0
    return Estimate(estimate.value, (float("nan"), float("nan"))) if lost > MOST_LOST_DRAWS else estimate


def _fit(design: Floats, y: Floats, weights: Floats, offset: Floats | None = None, steps: int = 30) -> Floats:
    """Logistic regression of the same data under many weights: Newton's method with a whisper of ridge.

    Parameters
    ----------
    design : ndarray, shape (P, n)
    y, offset : ndarray, shape (n,)
    weights : ndarray, shape (B, n)

    Returns
    -------
    ndarray, shape (B, P)
        NaN where the fit runs away (perfect separation, one outcome).
    """
    base = np.zeros_like(y) if offset is None else offset
    beta = np.zeros((weights.shape[0], design.shape[0]))
    ridge = 1e-9 * np.eye(design.shape[0])
    for _ in range(steps):
        fitted = 1.0 / (1.0 + np.exp(-np.clip(base + beta @ design, -30.0, 30.0)))
        gradient = (weights * (y - fitted)) @ design.T
        curvature = np.einsum("pn,bn,qn->bpq", design, weights * fitted * (1.0 - fitted), design, optimize=True) + ridge
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        beta += np.clip(step, -5.0, 5.0)
        if np.abs(step).max() < 1e-9:
            break
    settled = np.all((np.abs(step) < 1e-6) & (np.abs(beta) < 50.0), axis=1, keepdims=True)
    return np.where(settled, beta, np.nan)


def _curve(y: Floats, probability: Floats, weights: Floats, bins: int) -> tuple[CalibrationBin, ...]:
    made = []
    for members in _even_groups(probability, bins):
        drawn = weights[:, members]
        total = drawn.sum(axis=1)
        observed = np.where(total > 0, drawn @ y[members] / np.maximum(total, 1.0), np.nan)
        made.append(
            CalibrationBin(
                predicted=float(probability[members].mean()),
                observed=float(observed[0]),
                ci95=percentile_interval(observed[1:]),
                predictions=int(members.size),
            )
        )
    return tuple(made)


def _even_groups(values: Floats, groups: int) -> list[NDArray[np.int64]]:
    """Positions in ascending order of value, cut into about equal parts, never between equal values.

    Cutting there would divide patients of one probability by the order in which they happen to stand.
    """
    order = np.argsort(values, kind="stable")
    ascending = values[order]
    wanted = np.arange(1, groups) * values.size / groups
    ends = np.append(np.flatnonzero(np.diff(ascending)) + 1, values.size)
    cuts = np.unique(ends[np.abs(ends[None, :] - wanted[:, None]).argmin(axis=1)])
    return [part for part in np.split(order, cuts[cuts < values.size]) if part.size]
