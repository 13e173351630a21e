"""Kaplan–Meier curves with the patients at risk below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...cohort.outcome import THRESHOLD_MONTHS
from ...evaluation.survival import KaplanMeier
from ..style import GRID, INK, MUTED, PAPER, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class SurvivalGroup:
    """A Kaplan–Meier curve with its name and looks; the line style keeps groups apart without colour."""

    label: str
    curve: KaplanMeier
    colour: str
    line: str | tuple[float, tuple[float, ...]] = "-"


def survival(
    ax: Axes,
    groups: Sequence[SurvivalGroup],
    threshold_months: float = THRESHOLD_MONTHS,
    axis_label: str = "Progression-free",
) -> Axes:
    """Kaplan–Meier curves with intervals, a line at one year and the patients at risk below (paper, Figs. 2 and 5).

    Parameters
    ----------
    ax : Axes
    groups : sequence of SurvivalGroup
        One or several, on the same ticks.
    threshold_months : float
        Where short and long PFS part.
    axis_label : str
        Of the ordinate.
    """
    longest = max(float(group.curve.times[-1]) for group in groups)
    for group in groups:
        curve = group.curve
        ax.fill_between(
            curve.times, curve.ci_low, curve.ci_high, step="post", color=group.colour, alpha=0.16, linewidth=0
        )
        ax.step(curve.times, curve.survival, where="post", color=group.colour, ls=group.line, label=group.label)
    ax.axvline(threshold_months, color=MUTED, ls=(0, (4, 3)), lw=1.2, zorder=0.9)
    ax.annotate(
        f"{threshold_months:g} months",
        (threshold_months, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, -2),
        textcoords="offset points",
        va="top",
        color=MUTED,
        fontsize=8.5,
    )
    ax.set_xlim(0, longest * 1.01)
    ax.set_ylim(0, 1.02)
    ticks = max((group.curve.ticks for group in groups), key=lambda each: float(each[-1]))
    ax.set_xticks(ticks)
    ax.set_yticks(np.linspace(0, 1, 5), ["0", "25 %", "50 %", "75 %", "100 %"])
    ax.set_xlabel("Months since the first PRRT cycle")
    ax.set_ylabel(axis_label)
    if len(groups) > 1:
        ax.legend(loc="upper right")
    _numbers_at_risk(ax, groups)
    return quiet(ax)


def quartiles(ax: Axes, curve: KaplanMeier) -> Axes:
    """Mark on a drawn curve where a quarter, half and three quarters of the patients had progressed."""
    marks = (
        (0.75, curve.lower_quartile_months, "a quarter by {}"),
        (0.5, curve.median_months, "half by {} (median)"),
        (0.25, curve.upper_quartile_months, "three quarters by {}"),
    )
    for share, months, words in marks:
        if not math.isfinite(months):
            continue
        ax.plot([0, months, months], [share, share, 0], color=MUTED, lw=0.9, ls=(0, (1, 2)), zorder=1.1)
        ax.plot(months, share, "o", mfc=PAPER, mec=INK, ms=6.5, mew=1.4, zorder=4)
        ax.annotate(
            words.format(f"{months:.1f}"),
            (months, share),
            xytext=(9, 5),
            textcoords="offset points",
            va="bottom",
            color=INK,
            fontsize=8.5,
        )
    return ax


def _numbers_at_risk(ax: Axes, groups: Sequence[SurvivalGroup]) -> None:
    """Write the patients at risk below the axis, one line a group, under their ticks."""
    points_to_first, line_points = 46, 13
    ax.annotate(
        "At risk",
        (0, 0),
        xycoords="axes fraction",
        xytext=(-16, -points_to_first + line_points),
        textcoords="offset points",
        ha="right",
        va="top",
        color=MUTED,
        fontsize=8.5,
    )
    for row, group in enumerate(groups):
        below = -points_to_first - row * line_points if len(groups) > 1 else -points_to_first + line_points
        if len(groups) > 1:
            ax.annotate(
                group.label.split(" (")[0],
                (0, 0),
                xycoords="axes fraction",
                xytext=(-16, below),
                textcoords="offset points",
                ha="right",
                va="top",
                color=group.colour,
                fontsize=8.5,
                fontweight="bold",
            )
        for tick, count in zip(group.curve.ticks, group.curve.at_risk, strict=True):
            ax.annotate(
                f"{count}",
                (float(tick), 0),
                xycoords=("data", "axes fraction"),
                xytext=(0, below),
                textcoords="offset points",
                ha="center",
                va="top",
                color=INK,
                fontsize=8.5,
            )
    ax.spines["bottom"].set_color(GRID)
