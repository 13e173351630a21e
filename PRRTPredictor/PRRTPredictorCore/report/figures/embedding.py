"""Where networks put patients whom they had not seen, and how far that goes by outcome."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...evaluation.summary import model_title
from ...explain.separation import PermutedScore
from ..style import GRID, INK, LONG_COLOUR, MUTED, PAPER, SHORT_COLOUR, model_colour, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OUTCOMES = ((True, "long PFS (> 1 year)", LONG_COLOUR, "o"), (False, "short PFS (≤ 1 year)", SHORT_COLOUR, "^"))
"""Outcome, name, colour and shape of a patient on a map."""

_BOX = 0.66
"""Height of a map over its width; the layouts lie along their longest extent."""


@dataclass(frozen=True)
class ScoreRow:
    """A model's score in its space, and on its maps.

    Attributes
    ----------
    model : str
    score : PermutedScore
    on_maps : tuple of float
        The same score among the points of each UMAP map, by seed.
    """

    model: str
    score: PermutedScore
    on_maps: tuple[float, ...]


def embedding_map(
    ax: Axes, layout: NDArray[np.float64], long: NDArray[np.bool_], title: str, caption: str = "", size: float = 5.4
) -> Axes:
    """Patients as a UMAP map lays them out (paper, Fig. 6).

    Parameters
    ----------
    ax : Axes
    layout : ndarray, shape (n, 2)
    long : ndarray of bool, shape (n,)
        Blue discs, and orange triangles where False.
    title, caption : str
        Above and below the map.
    size : float
        Of a patient, in points.
    """
    for outcome, name, colour, shape in OUTCOMES:
        points = layout[long == outcome]
        ax.plot(*points.T, shape, ms=size, mfc=colour, mec=PAPER, mew=0.6, alpha=0.9, label=name)
    # One unit is as long in both directions: a UMAP map has no axes to be stretched along.
    middle, reach = (layout.max(axis=0) + layout.min(axis=0)) / 2, 0.56 * np.ptp(layout, axis=0)
    reach = np.maximum(reach, reach[::-1] * (1 / _BOX, _BOX))
    ax.set_xlim(float(middle[0] - reach[0]), float(middle[0] + reach[0]))
    ax.set_ylim(float(middle[1] - reach[1]), float(middle[1] + reach[1]))
    ax.set_box_aspect(_BOX)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color(GRID)
    ax.set_title(title)
    ax.set_xlabel(caption, fontsize=8.5, color=MUTED)
    return ax


def outcome_legend(figure: Figure, long: int, short: int) -> None:
    """Explain colour and shape of the maps once, below all of them."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], ls="", marker=shape, color=colour, ms=7, label=f"{name}, n = {long if outcome else short}")
        for outcome, name, colour, shape in OUTCOMES
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)


def separation_scores(ax: Axes, rows: Sequence[ScoreRow], title: str, label: str) -> Axes:
    """Each model's score beside what shuffled outcomes give, and the same score on its maps.

    Parameters
    ----------
    ax : Axes
    rows : sequence of ScoreRow
        Drawn from top to bottom.
    title, label : str
        Above the axis and along it.
    """
    for place, row in enumerate(rows):
        score, named = row.score, place == 0
        if not math.isfinite(score.value):
            ax.annotate("undefined", (0.02, place), xycoords=("axes fraction", "data"), va="center", color=MUTED)
            continue
        low, high = score.null95
        ax.barh(
            place, high - low, left=low, height=0.56, color=MUTED, alpha=0.28, lw=0, label="outcomes shuffled" * named
        )
        ax.plot([score.null_mean] * 2, (place - 0.28, place + 0.28), color=MUTED, lw=1.4)
        ax.plot(
            row.on_maps,
            [place] * len(row.on_maps),
            "|",
            color=INK,
            ms=11,
            mew=1.2,
            alpha=0.75,
            label="on the maps, one line a seed" * named,
        )
        colour = model_colour(row.model)
        ax.plot(score.value, place, "D", ms=8, mfc=colour, mec=INK, mew=0.8, label="embeddings" * named)
    ax.set_yticks(range(len(rows)), [model_title(row.model) for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_title(title)
    ax.set_xlabel(label)
    ax.use_sticky_edges = False
    ax.margins(x=0.04)
    ax.spines["left"].set_visible(False)
    return quiet(ax, "x")
