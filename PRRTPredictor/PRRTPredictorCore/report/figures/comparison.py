"""Two models side by side: their differences, their folds in pairs, and what both say about each patient."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...evaluation.comparison import ComparedMetric, FoldPair, MetricDifference, PatientPair
from ...evaluation.summary import model_title
from ...records import LONG_PFS_FROM
from ..style import INK, LONG_COLOUR, MUTED, PAPER, SHORT_COLOUR, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COMPARED_TITLES: Mapping[ComparedMetric, str] = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "accuracy": "Accuracy",
    "brier": "Brier score",
}


def differences(ax: Axes, found: Sequence[MetricDifference]) -> Axes:
    """Difference of each metric with its patient-level 95 % interval, around the line of no difference."""
    ax.axvline(0.0, color=MUTED, ls=(0, (4, 3)), lw=1.2, zorder=0.9)
    reach = 0.05
    for row, one in enumerate(found):
        if not math.isfinite(one.difference):
            continue
        ax.plot(one.ci95, (row, row), "-", color=INK, lw=1.6)
        ax.plot(one.ci95, (row, row), "|", color=INK, ms=9, mew=1.6)
        ax.plot(one.difference, row, "D", color=INK, ms=6)
        reach = max(reach, *(abs(value) for value in (one.difference, *one.ci95)))
    ax.set_yticks(
        range(len(found)),
        [COMPARED_TITLES[one.metric] + ("\n(less is better)" if one.metric == "brier" else "") for one in found],
    )
    ax.set_ylim(len(found) - 0.5, -0.5)
    ax.set_xlim(-1.1 * reach, 1.1 * reach)
    ax.set_xlabel("Difference, first − second")
    ax.spines["left"].set_visible(False)
    return quiet(ax, "x")


def fold_pairs(ax: Axes, pairs: Sequence[FoldPair], first: str, second: str) -> Axes:
    """AUROC of both models in every fold; above the diagonal the first is ahead.

    Parameters
    ----------
    ax : Axes
    pairs : sequence of FoldPair
        Folds with one outcome only are left out.
    first, second : str
        The models' names.
    """
    judged = [pair for pair in pairs if math.isfinite(pair.first.auroc)]
    values = [value for pair in judged for value in (pair.first.auroc, pair.second.auroc)]
    low = max(0.0, math.floor(10 * min(values, default=0.4) - 0.5) / 10)
    ax.plot([low, 1.02], [low, 1.02], color=MUTED, ls=(0, (4, 3)), lw=1.2)
    for pair in judged:
        hollow = pair.first.collapsed or pair.second.collapsed
        face = PAPER if hollow else MUTED
        ax.plot(pair.second.auroc, pair.first.auroc, "o", mfc=face, mec=INK, ms=6.5, mew=1.0, alpha=0.9)
    ax.text(0.03, 0.97, "first ahead", transform=ax.transAxes, va="top", color=MUTED, fontsize=8.5)
    ax.text(0.97, 0.03, "second ahead", transform=ax.transAxes, ha="right", color=MUTED, fontsize=8.5)
    ticks = [tenth / 10 for tenth in range(round(10 * low), 11)]
    ax.set_xticks(ticks)
    ax.set_yticks(ticks)
    ax.set_xlim(low, 1.02)
    ax.set_ylim(low, 1.02)
    ax.set_aspect("equal")
    ax.set_xlabel(f"AUROC, {model_title(second)}")
    ax.set_ylabel(f"AUROC, {model_title(first)}")
    return quiet(ax)


def patient_pairs(ax: Axes, patients: PatientPair, first: str, second: str) -> Axes:
    """Each patient's mean out-of-fold probability by both models, by outcome, cut into the four pairs of groups."""
    for long, label, colour, marker in (
        (True, "PFS > 1 year", LONG_COLOUR, "o"),
        (False, "PFS ≤ 1 year", SHORT_COLOUR, "^"),
    ):
        members = patients.long == long
        ax.plot(
            patients.second[members],
            patients.first[members],
            marker,
            color=colour,
            mec=PAPER,
            mew=0.5,
            ms=6,
            alpha=0.85,
            label=label,
        )
    ax.axhline(LONG_PFS_FROM, color=MUTED, lw=1.0)
    ax.axvline(LONG_PFS_FROM, color=MUTED, lw=1.0)
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    ax.set_aspect("equal")
    ax.set_xlabel(f"Probability, {model_title(second)}")
    ax.set_ylabel(f"Probability, {model_title(first)}")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, handletextpad=0.1, columnspacing=1.0)
    return quiet(ax)
