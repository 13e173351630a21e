"""Bars of what each model reaches, with every fold as a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...evaluation.discrimination import Discrimination, Metric
from ...evaluation.summary import model_title
from ..style import INK, MUTED, PAPER, model_colour, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRIC_TITLES: dict[Metric, str] = {"auroc": "AUROC", "auprc": "AUPRC", "accuracy": "Accuracy"}


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
