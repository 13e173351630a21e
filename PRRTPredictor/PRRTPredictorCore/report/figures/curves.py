"""ROC and precision–recall curves of all folds at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...evaluation.discrimination import CurveBand
from ...evaluation.summary import model_title
from ..style import MUTED, model_colour, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def roc(ax: Axes, bands: Sequence[tuple[str, CurveBand]]) -> Axes:
    """Median ROC curves over all folds with their central 80 % bands; ``bands`` holds (model, band)."""
    ax.plot([0, 1], [0, 1], color=MUTED, ls=(0, (4, 3)), lw=1.2, label="chance")
    _draw_bands(ax, bands)
    ax.set_xlabel("1 − specificity")
    ax.set_ylabel("Sensitivity")
    ax.set_title("ROC")
    ax.legend(loc="lower right")
    return unit_square(ax)


def precision_recall(ax: Axes, bands: Sequence[tuple[str, CurveBand]], prevalence: float) -> Axes:
    """Median precision–recall curves over all folds, and the prevalence as the line of no skill."""
    ax.axhline(prevalence, color=MUTED, ls=(0, (4, 3)), lw=1.2, label=f"prevalence {prevalence:.2f}")
    _draw_bands(ax, bands)
    ax.set_xlabel("Recall (sensitivity)")
    ax.set_ylabel("Precision")
    ax.set_title("Precision–recall")
    ax.legend(loc="lower left")
    return unit_square(ax)


def unit_square(ax: Axes) -> Axes:
    """Both axes from 0 to 1, square, with quarters as ticks."""
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.02)
    ax.set_aspect("equal", adjustable="box")
    ticks = np.linspace(0, 1, 5)
    ax.set_xticks(ticks, ["0", "0.25", "0.5", "0.75", "1"])
    ax.set_yticks(ticks, ["0", "0.25", "0.5", "0.75", "1"])
    return quiet(ax)


def _draw_bands(ax: Axes, bands: Sequence[tuple[str, CurveBand]]) -> None:
    for place, (name, band) in enumerate(bands):
        colour = model_colour(name)
        ax.fill_between(band.x, band.low, band.high, color=colour, alpha=0.16, linewidth=0)
        ax.plot(band.x, band.median, color=colour, ls="-" if place == 0 else (0, (6, 1.5)), label=model_title(name))
