"""The flow chart of a cohort, from the patients screened to the two groups."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from ...records import Eligibility
from ..style import INK, LONG_COLOUR, MUTED, SHORT_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE = 1.0
_GAP = 1.3
_BOX = 2.5
_WIDTH = 100.0
_SIDE_CHARACTERS = 46


def flow_lines(eligibility: Eligibility) -> tuple[str, ...]:
    """What stands in the box of those left out: its heading, then a line for each reason that somebody met."""
    left_out = eligibility.screened - eligibility.included
    if not left_out:
        return ("Nobody was left out",)
    reasons = [f"{one.n}  {one.reason}" for one in eligibility.excluded if one.n]
    if eligibility.refused:
        reasons.append(f"{eligibility.refused}  rows that break a rule of the table")
    wrapped = (textwrap.wrap(reason, _SIDE_CHARACTERS, subsequent_indent="    ") for reason in reasons)
    return (f"Left out (n = {left_out})", *(line for lines in wrapped for line in lines))


def flow_height_inches(eligibility: Eligibility) -> float:
    """How high a figure the chart needs."""
    return 0.21 * _depth(len(flow_lines(eligibility)))


def flow_chart(ax: Axes, eligibility: Eligibility, n_short: int, n_long: int, threshold: str = "1 year") -> Axes:
    """Boxes from the screened patients down to short and long PFS, those left out to the side.

    Parameters
    ----------
    ax : Axes
    eligibility : Eligibility
        The flow chart's counts.
    n_short, n_long : int
        Included patients by group.
    threshold : str
        What parts the groups, in words.
    """
    side = flow_lines(eligibility)
    depth = _depth(len(side))
    ax.set_xlim(0, _WIDTH)
    ax.set_ylim(depth, 0)
    ax.set_axis_off()
    side_height = len(side) + 1.0
    side_top = _BOX + _GAP
    included_top = side_top + side_height + _GAP
    groups_top = included_top + _BOX + 2 * _GAP
    _box(ax, 4, 0.2, 40, _BOX, ("Patients screened", f"n = {eligibility.screened}"))
    _box(ax, 4, included_top, 40, _BOX, ("In this run", f"n = {eligibility.included}"))
    _box(ax, 52, side_top, 47.5, side_height, side, centred=False)
    _arrow(ax, (24, _BOX + 0.2), (24, included_top))
    _arrow(ax, (24, side_top + side_height / 2), (52, side_top + side_height / 2))
    joint = included_top + _BOX + _GAP
    ax.plot([24, 24], [included_top + _BOX, joint], color=MUTED, lw=1.2, solid_capstyle="butt")
    ax.plot([12, 36], [joint, joint], color=MUTED, lw=1.2, solid_capstyle="butt")
    for left, name, sign, count, colour in (
        (0.5, "Short PFS", "≤", n_short, SHORT_COLOUR),
        (24.5, "Long PFS", ">", n_long, LONG_COLOUR),
    ):
        _arrow(ax, (left + 11.5, joint), (left + 11.5, groups_top))
        _box(ax, left, groups_top, 23, _BOX, (f"{name} ({sign} {threshold})", f"n = {count}"), colour)
    return ax


def _depth(side_lines: int) -> float:
    return 3 * _BOX + 4 * _GAP + side_lines + 1.0 + 0.4


def _box(
    ax: Axes,
    left: float,
    top: float,
    width: float,
    height: float,
    lines: tuple[str, ...],
    colour: str = MUTED,
    *,
    centred: bool = True,
) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((left, top), width, height, facecolor="none", edgecolor=colour, lw=1.4))
    x = left + width / 2 if centred else left + 1.6
    first = top + (height - (len(lines) - 1) * _LINE) / 2
    for place, line in enumerate(lines):
        ax.text(
            x,
            first + place * _LINE,
            line,
            ha="center" if centred else "left",
            va="center",
            color=INK,
            fontsize=9,
            fontweight="bold" if place == 0 else "normal",
        )


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": MUTED, "lw": 1.2, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=end, xytext=start, arrowprops=style)
