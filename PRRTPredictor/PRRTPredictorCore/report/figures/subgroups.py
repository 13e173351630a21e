"""Forest plots of models within subgroups: shape and filling tell subgroups apart, colour the models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...evaluation.calibration import Estimate
from ...evaluation.subgroups import SubgroupScores
from ...evaluation.summary import model_title
from ..style import INK, MUTED, PAPER, model_colour, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = (("o", True), ("s", False), ("^", True), ("D", False), ("v", True), ("P", False))
MOST_SUBGROUPS = len(_LOOKS)
"""As many subgroups as can be told apart by shape."""
ROW = 0.24
"""Height of one subgroup within a model's row; a row is 1 high."""


def subgroup_scores(ax: Axes, models: Sequence[SubgroupScores], labels: Mapping[str, str]) -> Axes:
    """AUROC of every model within every subgroup, with intervals.

    Parameters
    ----------
    ax : Axes
    models : sequence of SubgroupScores
        Drawn from top to bottom.
    labels : mapping of str to str
        Subgroup to its entry in the legend, the reference first; the first ``MOST_SUBGROUPS`` are drawn.
    """
    names = tuple(labels)[:MOST_SUBGROUPS]
    bounds = [bound for model in models for score in model.scores for bound in score.auroc.ci95 if math.isfinite(bound)]
    ax.axvline(0.5, color=MUTED, ls=(0, (4, 3)), lw=1.2, zorder=0.9)
    for row, model in enumerate(models):
        found = {score.subgroup: score.auroc for score in model.scores}
        for place, name in enumerate(names):
            if name in found:
                _estimate(ax, found[name], row + _shift(place, len(names)), place, model_colour(model.model))
    for place, name in enumerate(names):
        marker, filled = _LOOKS[place]
        ax.plot([], [], marker, color=INK, mfc=INK if filled else PAPER, mec=INK, ms=6, label=labels[name])
    ax.set_xlim(min([0.38, *(bound - 0.04 for bound in bounds)]), 1.02)
    ax.set_xlabel("AUROC within the subgroup (dashed: chance)")
    return _rows(ax, models)


def subgroup_differences(ax: Axes, models: Sequence[SubgroupScores], labels: Mapping[str, str]) -> Axes:
    """Difference of each subgroup's AUROC to the first one's; arguments as :func:`subgroup_scores`."""
    names = tuple(labels)[:MOST_SUBGROUPS]
    ax.axvline(0.0, color=MUTED, ls=(0, (4, 3)), lw=1.2, zorder=0.9)
    furthest = 0.2
    for row, model in enumerate(models):
        for difference in model.differences:
            if difference.subgroup not in names:
                continue
            place = names.index(difference.subgroup)
            shift = _shift(place - 1, len(names) - 1)
            _estimate(ax, difference.auroc, row + shift, place, model_colour(model.model))
            furthest = max([furthest, *(abs(bound) for bound in difference.auroc.ci95 if math.isfinite(bound))])
    ax.set_xlim(-1.08 * furthest, 1.08 * furthest)
    ax.set_xlabel("Difference of AUROC to the first")
    return _rows(ax, models)


def _shift(place: int, of: int) -> float:
    return ROW * (place - (of - 1) / 2)


def _estimate(ax: Axes, estimate: Estimate, y: float, look: int, colour: str) -> None:
    if not math.isfinite(estimate.value):
        return
    marker, filled = _LOOKS[look]
    if math.isfinite(estimate.ci95[0]):
        ax.plot(estimate.ci95, (y, y), "-", color=INK, lw=1.3, solid_capstyle="round")
    ax.plot(estimate.value, y, marker, mfc=colour if filled else PAPER, mec=INK if filled else colour, ms=6.5, mew=1.4)


def _rows(ax: Axes, models: Sequence[SubgroupScores]) -> Axes:
    ax.set_yticks(range(len(models)), [model_title(model.model) for model in models])
    ax.set_ylim(len(models) - 0.4, -0.6)
    ax.spines["left"].set_visible(False)
    return quiet(ax, "x")
