"""How two models' gradient magnitudes are distributed (paper, Fig. 8a)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...evaluation.summary import model_title
from ...explain.distances import Floats
from ...explain.gradients import GradientDistributions
from ..style import model_colour, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FAINTEST = 1e-5
"""Shares below this, a voxel or two of a map, are not drawn."""


def gradient_distributions(ax: Axes, found: GradientDistributions, first: str, second: str, unit: str) -> Axes:
    """Both models' histograms, the mean of all fits thick and every single fit thin.

    Parameters
    ----------
    ax : Axes
    found : GradientDistributions
        Of the first and the second model; the paper's scale gets a logarithmic ordinate, since nearly all voxels lie
        at its lower end.
    first, second : str
        The models' names; the second is dashed.
    unit : str
        Of the image: "SUV" or "HU".
    """
    for name, mean, fits, line, top in (
        (first, found.first, found.first_fits, "-", 3),
        (second, found.second, found.second_fits, (0, (4, 1.5)), 4),
    ):
        for fit in fits if len(fits) > 1 else ():
            _line(ax, fit, found.edges, model_colour(name), lw=0.7, alpha=0.45)
        _line(ax, mean, found.edges, model_colour(name), lw=2.2, ls=line, zorder=top, label=model_title(name))
    if found.scale == "unit":
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        ax.tick_params(axis="y", which="minor", labelleft=False)
        ax.set_xlim(0.0, 1.0)
        ax.set_ylim(_FAINTEST, 1.5)
        ax.set_xlabel("|∂ probability / ∂ voxel|, each map scaled to 0–1")
        ax.set_title("Scaled map by map, as the paper")
    else:
        seen = np.flatnonzero(np.fmax(found.first, found.second) > 1e-4)
        if seen.size:
            ax.set_xlim(found.edges[max(0, seen[0] - 2)], found.edges[min(len(found.edges) - 1, seen[-1] + 3)])
        ax.set_ylim(bottom=0.0)
        ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        ax.set_xlabel(f"log₁₀ |∂ probability / ∂ voxel|, per {unit}")
        ax.set_title("Not scaled, logarithms")
    ax.set_ylabel("Share of the voxels")
    return quiet(ax)


def _line(ax: Axes, shares: Floats, edges: Floats, colour: str, **looks: Any) -> None:
    ax.plot((edges[1:] + edges[:-1]) / 2, np.where(shares >= _FAINTEST, shares, np.nan), color=colour, **looks)
