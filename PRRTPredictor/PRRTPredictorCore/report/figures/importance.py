"""How much each blood value moved the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...cohort.labs import input_title
from ...evaluation.summary import model_title
from ..style import INK, model_colour, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
