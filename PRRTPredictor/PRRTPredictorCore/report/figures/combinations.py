"""Which model sees what, as a matrix (paper, Fig. 1, below)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..style import GRID, INK, MUTED, model_colour
from .pipeline import LETTERS, MARGIN, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Combination:
    """One model's row.

    Attributes
    ----------
    sees : tuple of bool
        SR-PET, CT, labs.
    cells : tuple of str
        What stands in the further columns.
    """

    model: str
    title: str
    sees: tuple[bool, bool, bool]
    cells: tuple[str, ...]


_INPUT_PLACES = (2.45, 2.95, 3.45)
_CELL_PLACES = (3.85, 6.5, 7.5)
ROW = 0.29
"""Height of a row in inches."""


def combinations(ax: Axes, rows: Sequence[Combination], titles: Sequence[str]) -> Axes:
    """Draw which model sees which inputs: a filled disc for an input, a small ring for none (paper, Fig. 1, below).

    Parameters
    ----------
    ax : Axes
        It should fill a figure that is as wide as :data:`~PRRTPredictorCore.report.figures.pipeline.WIDTH`, with its
        margin on both sides, and :data:`ROW` high for each row and 0.9 rows more.
    rows : sequence of Combination
        From top to bottom.
    titles : sequence of str
        Of the columns: three inputs, then the cells.
    """
    ax.set_xlim(-MARGIN, WIDTH + MARGIN)
    ax.set_ylim(len(rows) - 0.5, -1.4)
    ax.set_axis_off()
    aligned = ("left", "right", "right")
    for title, x, how in zip(titles, (*_INPUT_PLACES, *_CELL_PLACES), ("center",) * 3 + aligned, strict=True):
        ax.text(x, -0.85, title, ha=how, va="center", fontsize=LETTERS, color=MUTED)
    for y, row in enumerate(rows):
        ax.axhline(y - 0.5, color=GRID, lw=0.8, zorder=0.5)
        ax.text(0, y, row.title, va="center", fontsize=LETTERS + 0.6, color=INK)
        for x, sees in zip(_INPUT_PLACES, row.sees, strict=True):
            if sees:
                ax.plot(x, y, "o", ms=9.5, mfc=model_colour(row.model), mec=INK, mew=0.8)
            else:
                ax.plot(x, y, "o", ms=4, mfc="none", mec=MUTED, mew=0.9)
        for x, cell, how in zip(_CELL_PLACES, row.cells, aligned, strict=True):
            ax.text(x, y, cell, ha=how, va="center", fontsize=LETTERS + 0.2, color=INK)
    return ax
