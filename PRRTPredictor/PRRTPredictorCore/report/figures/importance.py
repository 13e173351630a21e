"""How much each input mattered, model by model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from ...evaluation.summary import model_title
from ..style import GRID, INK, MUTED, model_colour, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODEL_SHAPES: Mapping[str, str] = MappingProxyType(
    {
        "rf_labs": "s",
        "pet": "o",
        "ct": "^",
        "pet_labs": "D",
        "ct_labs": "v",
        "pet_ct_labs": "P",
        "pet_ct_labs_pretrained": "X",
    }
)
"""So that models stay apart without colour."""

_GAP = 0.9
_LINE = 20
"""Letters of an input's name in one line."""


@dataclass(frozen=True)
class ImportanceRow:
    """One input of one model.

    Attributes
    ----------
    model : str
    label : str
        The input as printed; rows of one label stand together.
    mean : float
    low, high : float
        Ends of the line around the mean; NaN for none.
    folds : tuple of float
        One value a fold.
    mark : str
        A word behind the line.
    """

    model: str
    label: str
    mean: float
    low: float
    high: float
    folds: tuple[float, ...]
    mark: str = ""


def importance_rows(ax: Axes, rows: Sequence[ImportanceRow], title: str, label: str) -> Axes:
    """Importance of each input with its interval and its folds, grouped by input, models in their order within.

    Parameters
    ----------
    ax : Axes
    rows : sequence of ImportanceRow
        All in the unit that ``label`` names.
    title, label : str
        Above the axis and along it.
    """
    inputs = list(dict.fromkeys(row.label for row in rows))
    ax.axvline(0, color=MUTED, lw=1.2, zorder=0.9)
    y, centres = 0.0, []
    for place, name in enumerate(inputs):
        own = [row for row in rows if row.label == name]
        if place:
            ax.axhline(y - _GAP / 2 - 0.5, color=GRID, lw=0.8, zorder=0.8)
        centres.append(y + (len(own) - 1) / 2)
        for row in own:
            _draw_row(ax, row, y)
            y += 1.0
        y += _GAP
    ax.set_yticks(centres, [in_two_lines(name) for name in inputs])
    ax.set_ylim(y - _GAP + 0.1, -0.9)
    ax.margins(x=0.04)
    ax.locator_params(axis="x", nbins=6)
    ax.set_title(title)
    ax.set_xlabel(label)
    ax.spines["left"].set_visible(False)
    return quiet(ax, "x")


def in_two_lines(name: str) -> str:
    """An input's name in at most two lines, so that a long column name leaves its axis room; shortened beyond that."""
    if len(name) <= _LINE:
        return name
    cut = max(name.rfind(" ", 0, _LINE), name.rfind("_", 0, _LINE)) + 1 or _LINE
    first, rest = name[:cut].rstrip(), name[cut:]
    return f"{first}\n{rest if len(rest) <= _LINE else rest[: _LINE - 1] + '…'}"


def rows_height(rows: Sequence[ImportanceRow]) -> float:
    """Height in inches that keeps the rows readable, axis and title included."""
    return 1.1 + 0.2 * (len(rows) + _GAP * len({row.label for row in rows}))


def model_legend(figure: Figure, models: Sequence[str]) -> None:
    """Explain colours and shapes once, below all axes."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], ls="", marker=_shape(name), mfc=model_colour(name), mec=INK, mew=0.6, ms=7, label=model_title(name)
        )
        for name in models
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(3, len(handles)))


def _draw_row(ax: Axes, row: ImportanceRow, y: float) -> None:
    colour = model_colour(row.model)
    ax.plot(row.folds, [y + 0.33] * len(row.folds), "o", ms=3.0, mfc=colour, mec="none", alpha=0.55)
    if math.isfinite(row.low):
        ax.plot((row.low, row.high), (y, y), color=INK, lw=1.4, solid_capstyle="round")
    if math.isfinite(row.mean):
        ax.plot(row.mean, y, _shape(row.model), ms=6.4, mfc=colour, mec=INK, mew=0.6, zorder=3)
    else:
        ax.annotate(
            "undefined", (0, y), xytext=(4, 0), textcoords="offset points", va="center", color=MUTED, fontsize=8
        )
    if row.mark:
        end = max((value for value in (row.high, *row.folds) if math.isfinite(value)), default=0.0)
        ax.annotate(
            row.mark,
            (end, y),
            xytext=(7, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=8.5,
            color=MUTED,
        )


def _shape(model: str) -> str:
    return MODEL_SHAPES.get(model, "o")
