"""Bars of what each model reaches, with every fold as a point and brackets where a test tells two models apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...evaluation.discrimination import Discrimination, Metric
from ...evaluation.summary import model_title
from ..style import INK, MUTED, PAPER, model_colour, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRIC_TITLES: dict[Metric, str] = {"auroc": "AUROC", "auprc": "AUPRC", "accuracy": "Accuracy"}


@dataclass(frozen=True)
class Bracket:
    """A mark that joins two models, e.g. "**"."""

    model: str
    reference: str
    symbol: str


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


def brackets(ax: Axes, models: Sequence[str], marks: Sequence[Bracket]) -> Axes:
    """Join pairs of rows of :func:`performance` to the right of the axis, nested so that no two cross.

    Parameters
    ----------
    ax : Axes
    models : sequence of str
        From top to bottom.
    marks : sequence of Bracket
        Those of models that are not drawn are left out.
    """
    rows = {name: place for place, name in enumerate(models)}
    spans = sorted(
        (sorted((rows[mark.model], rows[mark.reference])), mark.symbol)
        for mark in marks
        if mark.model in rows and mark.reference in rows
    )
    lanes: list[list[tuple[int, int]]] = []
    beside = ax.get_yaxis_transform()
    for (top, bottom), symbol in sorted(spans, key=lambda one: one[0][1] - one[0][0]):
        lane = next(
            (place for place, taken in enumerate(lanes) if all(bottom <= a or top >= b for a, b in taken)), len(lanes)
        )
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append((top, bottom))
        x = 1.025 + 0.06 * lane
        y = (top + 0.12, bottom - 0.12)
        ax.plot(
            [x - 0.012, x, x, x - 0.012], [y[0], y[0], y[1], y[1]], color=INK, lw=1.1, transform=beside, clip_on=False
        )
        ax.text(
            x + 0.006, sum(y) / 2, symbol, transform=beside, rotation=90, ha="left", va="center", color=INK, fontsize=9
        )
    return ax
