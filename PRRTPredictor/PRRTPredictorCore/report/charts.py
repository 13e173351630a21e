"""The two small charts beside a patient's prediction, for a panel 400 pixels wide and, as SVG, for the patient's page.

What the labs contributed, and the training cohort's survival with the patient's group marked. The letters have the
size that the reader asked for; the height of a chart follows them, its width does not.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from ..cohort.labs import input_title
from ..cohort.outcome import THRESHOLD_MONTHS
from ..files import require_folder_target
from ..models.metadata import SurvivalCurve
from ..prediction.card import ModelCard
from ..prediction.document import PredictionDocument
from ..records import RESEARCH_USE_NOTICE
from .style import GRID, INK, LONG_COLOUR, MUTED, SHORT_COLOUR, drawing, new_figure, svg_text, write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAB_CHART = "lab_contributions"
SURVIVAL_CHART = "survival"
WIDTH_INCHES = 3.75
"""360 pixels of a screen at 96 dots an inch: what a 400-pixel panel has between its margins."""

DOTS_PER_INCH = 192
"""Twice the screen's, so that a finer screen shows finer letters."""

UNITS: Mapping[str, str] = MappingProxyType({"gradient x input": "logits", "decision path": "probability"})
"""In what the contributions are, by method."""

_GROUP_COLOURS = MappingProxyType({"long": LONG_COLOUR, "short": SHORT_COLOUR})
_LETTER_WIDTH = 0.58
"""Of a sans-serif letter on average, as a share of the letters' size."""

_LEAST_BAR = 0.35
"""Share of its half of the axis that the longest bar must keep."""


@dataclass(frozen=True)
class ChartLook:
    """How a chart is drawn.

    Attributes
    ----------
    font_points : float
        Size of the letters at 96 dots an inch.
    dark : bool
        Light letters, for a dark ground; the ground itself is transparent either way.
    width_inches : float
    notices : bool
        Print below the chart that it is for research only, and SYNTHETIC where it is; a page that says so itself does
        without.
    """

    font_points: float = 9.0
    dark: bool = False
    width_inches: float = WIDTH_INCHES
    notices: bool = True

    @property
    def line_inches(self) -> float:
        """Size of the letters in inches."""
        return self.font_points / 72

    @property
    def letters_a_line(self) -> float:
        """How many letters the width has room for."""
        return self.width_inches / (_LETTER_WIDTH * self.line_inches)

    def fitted(self, text: str, share: float = 1.0, size: float = 1.0) -> str:
        """Break a text into lines that fit into ``share`` of the width at ``size`` times the letters' size."""
        letters = max(int(share * self.letters_a_line / size), 8)
        return "\n".join(textwrap.wrap(text, letters, break_long_words=False))


@contextmanager
def _drawing(key: str, look: ChartLook) -> Iterator[None]:
    from matplotlib import rc_context

    ink, muted, grid = ("#eceff2", "#b0bac4", "#59626c") if look.dark else (INK, MUTED, GRID)
    points = look.font_points
    with drawing(key), rc_context(
        {
            "font.size": points,
            "figure.titlesize": points,
            "legend.title_fontsize": points,
            "axes.labelsize": points,
            "xtick.labelsize": points,
            "ytick.labelsize": points,
            "legend.fontsize": points,
            "text.color": ink,
            "axes.labelcolor": ink,
            "axes.titlecolor": ink,
            "axes.edgecolor": muted,
            "xtick.labelcolor": ink,
            "ytick.labelcolor": ink,
            "grid.color": grid,
        }
    ):  # fmt: skip
        yield


def write_charts(
    folder: Path, document: PredictionDocument, card: ModelCard, look: ChartLook | None = None
) -> dict[str, Path]:
    """Write ``lab_contributions.png`` and ``survival.png``, those of the two that the model has.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    look : ChartLook, optional

    Returns
    -------
    dict of str to Path
        By the names of the files without their suffix.

    Raises
    ------
    InputRefused, RunFailed
        ``OUTPUT``: the folder cannot be written to.
    """
    look = look or ChartLook()
    require_folder_target(folder)
    written = {}
    for name in (LAB_CHART, SURVIVAL_CHART):
        with _drawing(name, look):
            figure = draw_chart(name, document, card, look)
            if figure is not None:
                written[name] = folder / f"{name}.png"
                write_png(figure, written[name], dpi=DOTS_PER_INCH, transparent=True)
    return written


def chart_svg(name: str, document: PredictionDocument, card: ModelCard | None, look: ChartLook) -> str:
    """One of the charts as an SVG document; empty where the model has nothing to show in it."""
    with _drawing(name, look):
        figure = draw_chart(name, document, card, look)
        return svg_text(figure) if figure is not None else ""


def draw_chart(name: str, document: PredictionDocument, card: ModelCard | None, look: ChartLook) -> Figure | None:
    """Draw one of the charts by its name; None where the model has nothing to show in it."""
    if name == LAB_CHART:
        return _lab_figure(document, look) if document.lab_contributions else None
    return _survival_figure(document, card.survival, look) if card and card.survival else None


# --- labs -------------------------------------------------------------------------------------------------------------


def _lab_figure(document: PredictionDocument, look: ChartLook) -> Figure:
    values, line = document.lab_contributions, look.line_inches
    unit = UNITS.get(document.lab_contribution_method, "")
    title = look.fitted(f"Contribution of the labs{f', in {unit}' if unit else ''}")
    height = line * (1.9 * len(values) + 2.4 + 1.3 * len(title.splitlines())) + _notices_height(document, look)
    figure = new_figure(look.width_inches, height)
    figure.suptitle(title, x=0.02, ha="left")
    lab_contributions(figure.subplots(), values, look)
    _notices(figure, document, look)
    return figure


def lab_contributions(ax: Axes, values: Mapping[str, float], look: ChartLook) -> Axes:
    """Bars of what each tabular input moved the answer by: towards short PFS to the left, towards long to the right."""
    from matplotlib import rcParams

    sizes = np.array(list(values.values()))
    largest = float(np.max(np.abs(sizes), initial=0.0)) or 1.0
    decimals = max(1 - math.floor(math.log10(largest)), 0)  # two figures of the largest, the same places for all
    figures = [f"{size:+.{decimals}f}".replace("-", "\N{MINUS SIGN}") for size in sizes]
    half = max((look.letters_a_line - max(len(input_title(name)) for name in values) - 1.5) / 2, 1.0)
    # Each bar leaves room for the figure beyond its end, in letters of half the axis; where that would leave hardly
    # any bar, the figures stand across the middle line.
    rooms = np.array([1.0 - (len(text) + 2.0) / half for text in figures])
    beyond = bool(rooms.min() >= _LEAST_BAR)
    for row, (size, text) in enumerate(zip(sizes, figures, strict=True)):
        ax.barh(row, size, height=0.62, color=LONG_COLOUR if size >= 0 else SHORT_COLOUR, linewidth=0)
        right = (size >= 0) == beyond
        ax.annotate(
            text,
            (size if beyond else 0.0, row),
            xytext=(4 if right else -4, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
        )
    limit = max(float(np.max(np.abs(sizes) / rooms)), largest) if beyond else 1.05 * largest
    ax.axvline(0, color=rcParams["axes.edgecolor"], lw=1.0)
    ax.set_yticks(range(len(sizes)), [input_title(name) for name in values])
    ax.set_ylim(len(sizes) - 0.5, -0.5)
    ax.set_xlim(-limit, limit)
    ax.set_xticks([])
    words = " PFS" if half >= len("◀ short PFS") else ""
    for at, side, group, text in ((0.0, "left", "short", f"◀ short{words}"), (1.0, "right", "long", f"long{words} ▶")):
        colour = _GROUP_COLOURS[group]
        ax.text(at, 1.0, text, transform=ax.transAxes, ha=side, va="bottom", color=colour, fontweight="bold")
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(length=0)
    return ax


# --- survival ---------------------------------------------------------------------------------------------------------


def _survival_figure(document: PredictionDocument, curves: tuple[SurvivalCurve, ...], look: ChartLook) -> Figure:
    line = look.line_inches
    title = look.fitted("PFS of the training cohort")
    figure = new_figure(look.width_inches)
    ax = figure.subplots()
    training_survival(ax, curves, document.group, look)
    labels = [str(text) for text in ax.get_legend_handles_labels()[1]]
    lines = sum(len(text.splitlines()) for text in (title, *labels))
    plot = max(0.4 * look.width_inches, len("Progression-free") * _LETTER_WIDTH * line)
    figure.set_figheight(plot + line * (1.4 * lines + 4.2) + _notices_height(document, look))
    longest = ax.get_xlim()[1]
    step = next(step for step in (6, 12, 24, 36, 60, 120, 1200) if longest / step * 3.2 * line < look.width_inches)
    ax.set_xticks(np.arange(0.0, longest, step))
    ax.set_xlabel(look.fitted("Months since the first PRRT cycle", 0.8), loc="right")
    ax.set_ylabel("Progression-free")
    figure.legend(
        title=title, alignment="left", loc="outside upper left", borderpad=0.0, labelspacing=0.25, handlelength=1.6
    )
    _notices(figure, document, look)
    return figure


def training_survival(ax: Axes, curves: tuple[SurvivalCurve, ...], group: str, look: ChartLook) -> Axes:
    """Kaplan–Meier curves of the training cohort; the curve of the patient's ``group`` stands out and is named so."""
    from matplotlib import rcParams

    muted = rcParams["axes.edgecolor"]
    longest = max(curve.months[-1] for curve in curves)
    for curve in curves:
        predicted = curve.label.removeprefix("predicted ")
        own = predicted == group
        words = f"{'all patients' if predicted == 'all' else curve.label}, n\u00a0=\u00a0{curve.patients}"
        ax.step(
            curve.months,
            curve.survival,
            where="post",
            color=_GROUP_COLOURS.get(predicted, muted),
            lw=3.0 if own else 1.4,
            ls="-" if own else (0, (5, 2)) if predicted in _GROUP_COLOURS else (0, (1, 1.5)),
            label=look.fitted(f"{words} (this\u00a0patient)" if own else words, 0.85),
            zorder=3 if own else 2,
        )
        if own:
            ax.fill_between(
                curve.months, curve.survival, step="post", color=_GROUP_COLOURS[predicted], alpha=0.14, linewidth=0
            )
    ax.axvline(THRESHOLD_MONTHS, color=muted, ls=(0, (4, 3)), lw=1.0, zorder=1)
    ax.set_xlim(0, longest * 1.02)
    ax.set_ylim(0, 1.02)
    ax.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    ax.grid(True, axis="y")
    ax.tick_params(length=0)
    return ax


# --- notices ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _NoticeLine:
    text: str
    loud: bool


def _notice_lines(document: PredictionDocument, look: ChartLook) -> list[_NoticeLine]:
    """What is printed below a chart."""
    if not look.notices:
        return []
    made = [
        word for word, holds in (("model", document.model.synthetic), ("patient", document.synthetic_patient)) if holds
    ]
    notices = [_NoticeLine(RESEARCH_USE_NOTICE, loud=False)]
    if made:
        notices.insert(0, _NoticeLine(f"SYNTHETIC {' and '.join(made)}", loud=True))
    return [
        _NoticeLine(line, notice.loud)
        for notice in notices
        for line in look.fitted(notice.text, 0.95, 0.95 if notice.loud else 0.85).splitlines()
    ]


def _notices_height(document: PredictionDocument, look: ChartLook) -> float:
    return len(_notice_lines(document, look)) * 1.1 * look.line_inches


def _notices(figure: Figure, document: PredictionDocument, look: ChartLook) -> None:
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    lines = _notice_lines(document, look)
    if not lines:
        return
    height = figure.get_size_inches()[1]
    step = 1.1 * look.line_inches / height
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0, len(lines) * step, 1, 1 - len(lines) * step))
    for place, line in enumerate(reversed(lines)):
        text = figure.text(0.02, (place + 0.25) * step, line.text, fontsize=0.85 * look.font_points)
        text.set_in_layout(False)
        if line.loud:
            text.set(color="#ff8a80" if look.dark else "#c01c28", fontweight="bold")
