"""The figures of the report. Every function draws on the axis it is given and returns it; none computes a statistic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..cohort.labs import input_title
from ..cohort.outcome import THRESHOLD_MONTHS
from ..evaluation.calibration import Calibration, DecisionCurve
from ..evaluation.discrimination import CurveBand, Discrimination, Metric
from ..evaluation.summary import model_title
from ..evaluation.survival import KaplanMeier
from .style import GRID, INK, MUTED, PAPER, model_colour, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRIC_TITLES: dict[Metric, str] = {"auroc": "AUROC", "auprc": "AUPRC", "accuracy": "Accuracy"}


@dataclass(frozen=True, eq=False)
class SurvivalGroup:
    """A Kaplan–Meier curve with its name and looks; the line style keeps groups apart without colour."""

    label: str
    curve: KaplanMeier
    colour: str
    line: str | tuple[float, tuple[float, ...]] = "-"


@dataclass(frozen=True, eq=False)
class LabImportance:
    """Mean absolute contribution of each tabular input to one model's answer.

    Attributes
    ----------
    model : str
    names : tuple of str, length F
    by_fold : ndarray, shape (folds, F)
        Mean over the fold's held-out patients of the absolute contribution, in ``unit``.
    method, unit : str
        "gradient x input", in logits; "decision path", in probability or logits.
    """

    model: str
    names: tuple[str, ...]
    by_fold: NDArray[np.float64]
    method: str
    unit: str


def performance(ax: Axes, models: Sequence[Discrimination], metric: Metric, chance: float, chance_label: str) -> Axes:
    """Bars of one metric with every fold as a point (paper, Fig. 3).

    Parameters
    ----------
    ax : Axes
    models : sequence of Discrimination
        Drawn from top to bottom.
    metric : {"auroc", "auprc", "accuracy"}
    chance : float
        What a model without skill reaches; a dashed line.
    chance_label : str
        Its name.
    """
    for row, model in enumerate(models):
        summary, colour = model.metric(metric), model_colour(model.model)
        ax.barh(row, summary.mean, height=0.62, color=colour, alpha=0.42, linewidth=0)
        for fold, value in zip(model.folds, model.fold_values(metric), strict=True):
            # Spread by repeat and fold, so that equal values stay visible and the figure repeatable.
            shift = 0.42 * (((fold.repeat * 7 + fold.fold * 3) % 11) / 10 - 0.5)
            if fold.collapsed:
                ax.plot(value, row + shift, "o", mfc=PAPER, mec=INK, ms=5, mew=1.1, zorder=4)
            else:
                ax.plot(value, row + shift, "o", mfc=colour, mec=PAPER, ms=4.6, mew=0.6)
        if math.isfinite(summary.ci95[0]):
            ax.plot(summary.ci95, (row, row), "-", color=INK, lw=1.6, solid_capstyle="round")
            ax.plot(summary.ci95, (row, row), "|", color=INK, ms=8, mew=1.6)
        ax.plot(summary.mean, row, "D", color=INK, ms=4.5)
    ax.axvline(chance, color=MUTED, ls=(0, (4, 3)), lw=1.2, zorder=0.9)
    ax.annotate(
        chance_label,
        (chance, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=MUTED,
        fontsize=8.5,
    )
    ax.set_yticks(range(len(models)), [model_title(model.model) for model in models])
    ax.set_ylim(len(models) - 0.4, -0.6)
    ax.set_xlim(0, 1.02)
    ax.set_title(METRIC_TITLES[metric], pad=16)
    ax.spines["left"].set_visible(False)
    return quiet(ax, "x")


def roc(ax: Axes, bands: Sequence[tuple[str, CurveBand]]) -> Axes:
    """Median ROC curves over all folds with their central 80 % bands; ``bands`` holds (model, band)."""
    ax.plot([0, 1], [0, 1], color=MUTED, ls=(0, (4, 3)), lw=1.2, label="chance")
    _draw_bands(ax, bands)
    ax.set_xlabel("1 − specificity")
    ax.set_ylabel("Sensitivity")
    ax.set_title("ROC")
    ax.legend(loc="lower right")
    return _unit_square(ax)


def precision_recall(ax: Axes, bands: Sequence[tuple[str, CurveBand]], prevalence: float) -> Axes:
    """Median precision–recall curves over all folds, and the prevalence as the line of no skill."""
    ax.axhline(prevalence, color=MUTED, ls=(0, (4, 3)), lw=1.2, label=f"prevalence {prevalence:.2f}")
    _draw_bands(ax, bands)
    ax.set_xlabel("Recall (sensitivity)")
    ax.set_ylabel("Precision")
    ax.set_title("Precision–recall")
    ax.legend(loc="lower left")
    return _unit_square(ax)


def survival(
    ax: Axes,
    groups: Sequence[SurvivalGroup],
    threshold_months: float = THRESHOLD_MONTHS,
    axis_label: str = "Progression-free",
) -> Axes:
    """Kaplan–Meier curves with intervals, a line at one year and the patients at risk below (paper, Figs. 2 and 5)."""
    longest = max(float(group.curve.times[-1]) for group in groups)
    for group in groups:
        curve = group.curve
        ax.fill_between(
            curve.times, curve.ci_low, curve.ci_high, step="post", color=group.colour, alpha=0.16, linewidth=0
        )
        ax.step(curve.times, curve.survival, where="post", color=group.colour, ls=group.line, label=group.label)
    ax.axvline(threshold_months, color=MUTED, ls=(0, (4, 3)), lw=1.2, zorder=0.9)
    ax.annotate(
        f"{threshold_months:g} months",
        (threshold_months, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, -2),
        textcoords="offset points",
        va="top",
        color=MUTED,
        fontsize=8.5,
    )
    ax.set_xlim(0, longest * 1.01)
    ax.set_ylim(0, 1.02)
    ticks = max((group.curve.ticks for group in groups), key=lambda each: float(each[-1]))
    ax.set_xticks(ticks)
    ax.set_yticks(np.linspace(0, 1, 5), ["0", "25 %", "50 %", "75 %", "100 %"])
    ax.set_xlabel("Months since the first PRRT cycle")
    ax.set_ylabel(axis_label)
    if len(groups) > 1:
        ax.legend(loc="upper right")
    _numbers_at_risk(ax, groups)
    return quiet(ax)


def calibration(ax: Axes, result: Calibration) -> Axes:
    """Observed share of long PFS against predicted probability, with patient-level intervals."""
    colour = model_colour(result.model)
    ax.plot([0, 1], [0, 1], color=MUTED, ls=(0, (4, 3)), lw=1.2, label="perfect")
    x = np.array([bin_.predicted for bin_ in result.bins])
    y = np.array([bin_.observed for bin_ in result.bins])
    low, high = np.array([bin_.ci95 for bin_ in result.bins]).T
    ax.vlines(x, low, high, color=colour, lw=1.8, alpha=0.6)
    ax.plot(x, y, "o-", color=colour, lw=1.4, ms=6, mec=PAPER, label=model_title(result.model))
    ax.set_xlabel("Predicted probability of long PFS")
    ax.set_ylabel("Observed share with long PFS")
    ax.set_title("Calibration")
    ax.legend(loc="upper left")
    return _unit_square(ax)


def decision(ax: Axes, curve: DecisionCurve, model: str) -> Axes:
    """Net benefit of acting on the predicted risk of short PFS, against acting on everyone and on nobody."""
    ax.plot(curve.threshold, curve.act_on_all, color=MUTED, lw=1.4, ls="--", label="act on everyone")
    ax.axhline(0, color=INK, lw=1.0, label="act on nobody")
    ax.plot(curve.threshold, curve.model, color=model_colour(model), label=model_title(model))
    top = max(0.05, float(np.max(curve.model)), float(np.max(curve.act_on_all)))
    ax.set_ylim(-0.35 * top, 1.1 * top)
    ax.set_xlim(0, float(curve.threshold[-1]))
    ax.set_xlabel("Risk of short PFS from which one would act")
    ax.set_ylabel("Net benefit per patient")
    ax.set_title("Decision curve")
    ax.legend(loc="upper right")
    return quiet(ax)


def lab_importance(ax: Axes, models: Sequence[LabImportance]) -> Axes:
    """How much each blood value moved the answer, model by model; all models on one axis share method and unit."""
    names = models[0].names
    height = 0.8 / len(models)
    for place, model in enumerate(models):
        rows = np.arange(len(names)) + (place - (len(models) - 1) / 2) * height
        colour = model_colour(model.model)
        mean = model.by_fold.mean(axis=0)
        ax.barh(rows, mean, height=0.86 * height, color=colour, alpha=0.85, linewidth=0, label=model_title(model.model))
        low, high = np.quantile(model.by_fold, [0.1, 0.9], axis=0)
        ax.hlines(rows, low, high, color=INK, lw=1.2)
    ax.set_yticks(range(len(names)), [input_title(name) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel(f"mean |contribution|, {models[0].unit}")
    ax.set_title(models[0].method.replace(" x ", " × ").capitalize())
    ax.spines["left"].set_visible(False)
    return quiet(ax, "x")


def _draw_bands(ax: Axes, bands: Sequence[tuple[str, CurveBand]]) -> None:
    for place, (name, band) in enumerate(bands):
        colour = model_colour(name)
        ax.fill_between(band.x, band.low, band.high, color=colour, alpha=0.16, linewidth=0)
        ax.plot(band.x, band.median, color=colour, ls="-" if place == 0 else (0, (6, 1.5)), label=model_title(name))


def _unit_square(ax: Axes) -> Axes:
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.02)
    ax.set_aspect("equal", adjustable="box")
    ticks = np.linspace(0, 1, 5)
    ax.set_xticks(ticks, ["0", "0.25", "0.5", "0.75", "1"])
    ax.set_yticks(ticks, ["0", "0.25", "0.5", "0.75", "1"])
    return quiet(ax)


def _numbers_at_risk(ax: Axes, groups: Sequence[SurvivalGroup]) -> None:
    """Write the patients at risk below the axis, one line a group, under their ticks."""
    points_to_first, line_points = 46, 13
    ax.annotate(
        "At risk",
        (0, 0),
        xycoords="axes fraction",
        xytext=(-16, -points_to_first + line_points),
        textcoords="offset points",
        ha="right",
        va="top",
        color=MUTED,
        fontsize=8.5,
    )
    for row, group in enumerate(groups):
        below = -points_to_first - row * line_points if len(groups) > 1 else -points_to_first + line_points
        if len(groups) > 1:
            ax.annotate(
                group.label.split(" (")[0],
                (0, 0),
                xycoords="axes fraction",
                xytext=(-16, below),
                textcoords="offset points",
                ha="right",
                va="top",
                color=group.colour,
                fontsize=8.5,
                fontweight="bold",
            )
        for tick, count in zip(group.curve.ticks, group.curve.at_risk, strict=True):
            ax.annotate(
                f"{count}",
                (float(tick), 0),
                xycoords=("data", "axes fraction"),
                xytext=(0, below),
                textcoords="offset points",
                ha="center",
                va="top",
                color=INK,
                fontsize=8.5,
            )
    ax.spines["bottom"].set_color(GRID)
