"""Calibration and decision curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...evaluation.calibration import Calibration, DecisionCurve
from ...evaluation.summary import model_title
from ..style import INK, MUTED, PAPER, model_colour, quiet
from .curves import unit_square

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def calibration(ax: Axes, result: Calibration, predicted: NDArray[np.float64] | None = None) -> Axes:
    """Observed share of long PFS against predicted probability, with patient-level intervals.

    Parameters
    ----------
    ax : Axes
    result : Calibration
    predicted : ndarray, shape (n,), optional
        All predicted probabilities; their distribution stands along the bottom.
    """
    colour = model_colour(result.model)
    ax.plot([0, 1], [0, 1], color=MUTED, ls=(0, (4, 3)), lw=1.2)
    ax.text(0.03, 0.045, "perfect", rotation=45, rotation_mode="anchor", va="bottom", color=MUTED, fontsize=8.5)
    if predicted is not None and predicted.size:
        counts, edges = np.histogram(predicted, bins=40, range=(0.0, 1.0))
        ax.bar(edges[:-1], 0.13 * counts / counts.max(), 0.025, align="edge", color=MUTED, alpha=0.4, linewidth=0)
    x = np.array([bin_.predicted for bin_ in result.bins])
    y = np.array([bin_.observed for bin_ in result.bins])
    low, high = np.array([bin_.ci95 for bin_ in result.bins]).T
    ax.vlines(x, low, high, color=colour, lw=1.8, alpha=0.6)
    ax.plot(x, y, "o-", color=colour, lw=1.4, ms=6, mec=PAPER)
    ax.set_xlabel("Predicted probability of long PFS")
    ax.set_ylabel("Observed share with long PFS")
    ax.set_title("Calibration")
    return unit_square(ax)


def decision(ax: Axes, curve: DecisionCurve, model: str) -> Axes:
    """Net benefit of acting on the predicted risk of short PFS, against acting on everyone and on nobody.

    The shade is the 95 % interval of the model's line.
    """
    ax.plot(curve.threshold, curve.act_on_all, color=MUTED, lw=1.4, ls="--", label="act on everyone")
    ax.axhline(0, color=INK, lw=1.0, label="act on nobody")
    ax.fill_between(curve.threshold, curve.low, curve.high, color=model_colour(model), alpha=0.16, linewidth=0)
    ax.plot(curve.threshold, curve.model, color=model_colour(model), label=model_title(model))
    top = max(0.05, float(np.max(curve.high)), float(np.max(curve.act_on_all)))
    ax.set_ylim(-0.35 * top, 1.1 * top)
    ax.set_xlim(0, float(curve.threshold[-1]))
    ax.set_xlabel("Risk of short PFS from which one would act")
    ax.set_ylabel("Net benefit per patient")
    ax.set_title("Decision curve")
    ax.legend(loc="upper right")
    return quiet(ax)
