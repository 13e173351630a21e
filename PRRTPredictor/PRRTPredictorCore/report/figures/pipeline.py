"""The pipeline as boxes and arrows (paper, Fig. 1): inputs on top, the prediction at the bottom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..style import GRID, INK, MUTED, PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Look = Literal["plain", "fitted", "frozen", "derived"]

WIDTH = 7.5
"""Of the drawing in inches, which are its data units, so that boxes fit their letters."""

MARGIN = 0.05
"""Around the drawing."""

LETTERS = 8.4
"""Size of all letters, in points."""

_LINE, _PADDING, _GAP = 0.155, 0.13, 0.19
_COLUMN, _BETWEEN = 2.36, 0.21
_BESIDE = 0.78
_TRUNK = 2 * _COLUMN + _BETWEEN
_LEGEND = 0.34
_DASHED = (0, (3, 2.2))


@dataclass(frozen=True)
class Step:
    """One box.

    Attributes
    ----------
    title : str
        Bold; what it is.
    lines : tuple of str
        Below, each on a line of its own.
    look : {"plain", "fitted", "frozen", "derived"}
        "derived": read off the fitted model afterwards; dashed.
    """

    title: str
    lines: tuple[str, ...] = ()
    look: Look = "plain"

    @property
    def height(self) -> float:
        """In inches."""
        return _PADDING + _LINE * (1 + len(self.lines))


@dataclass(frozen=True)
class Column:
    """One input on its way to the fusion.

    Attributes
    ----------
    colour : str
    head : tuple of Step
        The input and its preparation.
    stages : tuple of Step
        Layers one after the other.
    beside : Step or None
        What works on the same image beside the layers.
    tail : tuple of Step
        Where both meet.
    derived : Step or None
        What is read off this input afterwards; drawn above it.
    """

    colour: str
    head: tuple[Step, ...]
    stages: tuple[Step, ...] = ()
    beside: Step | None = None
    tail: tuple[Step, ...] = ()
    derived: Step | None = None

    @property
    def height(self) -> float:
        """In inches, without what is derived."""
        steps = (*self.head, *self.stages, *self.tail)
        return sum(step.height for step in steps) + _GAP * (len(steps) - 1)


@dataclass(frozen=True)
class Sketch:
    """A whole pipeline.

    Attributes
    ----------
    columns : tuple of Column
        One to three inputs, from left to right.
    trunk : tuple of Step
        From the fusion to the prediction.
    asides : tuple of (int, Step)
        What is read off a trunk step, counted from 0, afterwards.
    """

    columns: tuple[Column, ...]
    trunk: tuple[Step, ...]
    asides: tuple[tuple[int, Step], ...] = ()

    @property
    def height(self) -> float:
        """Of the drawing in inches."""
        return self.top + max(column.height for column in self.columns) + self.bottom

    @property
    def top(self) -> float:
        """Height of what is derived from the inputs, with the arrows to it."""
        return max((column.derived.height + 1.4 * _GAP for column in self.columns if column.derived), default=0.0)

    @property
    def bottom(self) -> float:
        """Height from the end of the longest column down, the legend included."""
        return sum(step.height for step in self.trunk) + _GAP * (len(self.trunk) + 0.6) + _LEGEND

    @property
    def has_frozen(self) -> bool:
        """Whether a step is frozen, so that the legend must say what that looks like."""
        return any(step.look == "frozen" for column in self.columns for step in column.stages)


def whole_figure(figure: Figure) -> Axes:
    """An axis that fills the figure, so that a data unit of it is an inch."""
    figure.set_layout_engine("none")
    return figure.add_axes((0, 0, 1, 1))


def pipeline(ax: Axes, sketch: Sketch) -> Axes:
    """Draw a pipeline: solid arrows forward, dashed ones to what is read off afterwards.

    Parameters
    ----------
    ax : Axes
        It should fill a figure of :data:`WIDTH` x ``sketch.height`` inches, with :data:`MARGIN` on every side.
    sketch : Sketch
    """
    ax.set_xlim(-MARGIN, WIDTH + MARGIN)
    ax.set_ylim(sketch.height + MARGIN, -MARGIN)
    ax.set_axis_off()
    single = len(sketch.columns) == 1
    width = _TRUNK if single else _COLUMN
    lefts = [place * (width + _BETWEEN) for place in range(len(sketch.columns))]
    top = sketch.top
    fusion = sketch.height - sketch.bottom + 1.6 * _GAP
    for left, column in zip(lefts, sketch.columns, strict=True):
        end = _draw_column(ax, column, left, width, top)
        _arrow(ax, (left + width / 2, end), (left + width / 2, fusion))
    _draw_trunk(ax, sketch, fusion, max(_TRUNK, lefts[-1] + width))
    _legend(ax, sketch)
    return ax


def _draw_column(ax: Axes, column: Column, left: float, width: float, top: float) -> float:
    """Draw one input's boxes from ``top`` down; returns where they end."""
    middle = left + width / 2
    if column.derived is not None:
        above = top - 1.4 * _GAP - column.derived.height
        _box(ax, column.derived, left, above, width, column.colour)
        _arrow(ax, (middle, top), (middle, above + column.derived.height), dashed=True)
    y = top
    for place, step in enumerate(column.head):
        if place:
            _arrow(ax, (middle, y - _GAP), (middle, y))
        _box(ax, step, left, y, width, column.colour)
        y += step.height + _GAP
    first = y
    narrow = width - (_BESIDE + 0.12) if column.beside else width
    for step in column.stages:
        _arrow(ax, (left + narrow / 2, y - _GAP), (left + narrow / 2, y))
        _box(ax, step, left, y, narrow, column.colour)
        y += step.height + _GAP
    if column.beside is not None:
        side = left + width - _BESIDE
        _box(ax, column.beside, side, first, _BESIDE, column.colour, height=y - _GAP - first)
        _arrow(ax, (side + _BESIDE / 2, first - _GAP), (side + _BESIDE / 2, first))
        _arrow(ax, (side + _BESIDE / 2, y - _GAP), (side + _BESIDE / 2, y))
    for step in column.tail:
        _arrow(ax, (left + narrow / 2, y - _GAP), (left + narrow / 2, y))
        _box(ax, step, left, y, width, column.colour)
        y += step.height + _GAP
    return y - _GAP


def _draw_trunk(ax: Axes, sketch: Sketch, top: float, whole: float) -> None:
    asides = dict(sketch.asides)
    y = top
    for place, step in enumerate(sketch.trunk):
        width = whole if place == 0 and place not in asides else _TRUNK
        if place:
            _arrow(ax, (_TRUNK / 2, y - _GAP), (_TRUNK / 2, y))
        _box(ax, step, 0, y, width, INK)
        if place in asides:
            left = _TRUNK + 2 * _BETWEEN
            aside = asides[place]
            above = y + (step.height - aside.height) / 2
            _box(ax, aside, left, above, WIDTH - left, INK)
            _arrow(ax, (width, y + step.height / 2), (left, y + step.height / 2), dashed=True)
        y += step.height + _GAP


def _box(
    ax: Axes, step: Step, left: float, top: float, width: float, colour: str, *, height: float | None = None
) -> None:
    from matplotlib.patches import FancyBboxPatch

    tall = step.height if height is None else height
    looks: dict[Look, dict[str, Any]] = {
        "plain": {"facecolor": PAPER, "edgecolor": colour, "linewidth": 1.1},
        "fitted": {"facecolor": (colour, 0.16), "edgecolor": colour, "linewidth": 1.1},
        # In SVG, the opacity of a face is that of its hatching too.
        "frozen": {"facecolor": "none", "edgecolor": colour, "linewidth": 1.1, "hatch": "////"},
        "derived": {"facecolor": "none", "edgecolor": MUTED, "linewidth": 1.0, "linestyle": _DASHED},
    }
    shape = "round,pad=0,rounding_size=0.05"
    ax.add_patch(FancyBboxPatch((left, top), width, tall, boxstyle=shape, **looks[step.look], zorder=2))
    if step.look == "frozen":
        # Hatching behind letters is hard to read.
        inner = (left + 0.1, top + 0.05), width - 0.2, tall - 0.1
        ax.add_patch(FancyBboxPatch(*inner, boxstyle=shape, facecolor=PAPER, edgecolor="none", zorder=2.5))
    first = top + (tall - _LINE * (1 + len(step.lines))) / 2 + _LINE / 2
    for place, line in enumerate((step.title, *step.lines)):
        ax.text(
            left + width / 2,
            first + place * _LINE,
            line,
            ha="center",
            va="center",
            fontsize=LETTERS,
            fontweight="bold" if place == 0 else "normal",
            color=INK,
            zorder=3,
        )


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], *, dashed: bool = False) -> None:
    ax.annotate(
        "",
        end,
        start,
        arrowprops={
            "arrowstyle": "-|>",
            "color": MUTED,
            "lw": 1.1,
            "ls": _DASHED if dashed else "-",
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 8,
        },
        zorder=1.5,
    )


def _legend(ax: Axes, sketch: Sketch) -> None:
    from matplotlib.patches import Rectangle

    x, y = 0.0, sketch.height - 0.08
    for dashed, words, wide in ((False, "forward", 1.2), (True, "read off afterwards", 1.95)):
        _arrow(ax, (x, y), (x + 0.3, y), dashed=dashed)
        ax.text(x + 0.38, y, words, va="center", fontsize=LETTERS, color=MUTED)
        x += wide
    looks: list[tuple[str, dict[str, Any], float]] = [("fitted in every fold", {"fc": GRID}, 1.95)]
    if sketch.has_frozen:
        looks.append(("frozen: the same in every fold", {"fc": "none", "hatch": "////"}, 0.0))
    for words, look, wide in looks:
        ax.add_patch(Rectangle((x, y - 0.07), 0.3, 0.14, ec=MUTED, lw=1.0, **look))
        ax.text(x + 0.38, y, words, va="center", fontsize=LETTERS, color=MUTED)
        x += wide
