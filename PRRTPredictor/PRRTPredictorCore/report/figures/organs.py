"""Where networks look, by organ: the share of the saliency beside the share of the volume and of the uptake."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...evaluation.summary import model_title
from ...explain.organs import OrganMean
from ..style import INK, MUTED, PAPER, model_colour, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = (("o", True), ("s", False), ("^", True), ("D", False))
MOST_MODELS = len(_LOOKS)
"""As many models as can be told apart by shape."""
ROW_INCHES = 0.36
_LEAST_SHARE = 1e-4
"""A share below 0.01 % is drawn at the left edge."""


@dataclass(frozen=True)
class OrganProfile:
    """The organs of one model's saliency."""

    model: str
    organs: tuple[OrganMean, ...]


def organ_shares_chart(ax: Axes, profiles: Sequence[OrganProfile]) -> Axes:
    """Shares by organ on a logarithmic axis, so that a distance is a factor.

    Parameters
    ----------
    ax : Axes
    profiles : sequence of OrganProfile
        At most ``MOST_MODELS``, of the same patients; the first one gives the order of the organs, from top to bottom,
        and their volume and uptake. An organ without volume in any patient is left out.
    """
    organs = [organ for organ in profiles[0].organs if organ.volume_share > 0]
    for row, organ in enumerate(organs):
        ax.plot(_drawn(organ.volume_share), row, "|", color=MUTED, ms=15, mew=3.2, zorder=2)
        if math.isfinite(organ.uptake_share):
            ax.plot(_drawn(organ.uptake_share), row, "x", color=INK, ms=6, mew=1.6, zorder=3)
    for place, profile in enumerate(profiles[:MOST_MODELS]):
        found = {organ.name: organ for organ in profile.organs}
        for row, organ in enumerate(organs):
            if organ.name in found:
                _mark(ax, found[organ.name], row + _shift(place, len(profiles)), place, model_colour(profile.model))
    ax.text(1.015, -0.72, "saliency\n÷ volume", transform=ax.get_yaxis_transform(), fontsize=8, color=MUTED)
    _legend(ax, profiles, with_uptake=any(math.isfinite(organ.uptake_share) for organ in organs))
    ax.set_xscale("log")
    ax.set_xlim(_LEAST_SHARE * 0.8, 1.25)
    ax.set_xticks([1e-4, 1e-3, 1e-2, 1e-1, 1.0], ["0.01 %", "0.1 %", "1 %", "10 %", "100 %"])
    ax.minorticks_off()
    ax.set_xlabel("Share of the whole (logarithmic)")
    ax.set_yticks(range(len(organs)), [organ.title for organ in organs])
    ax.set_ylim(len(organs) - 0.4, -0.6)
    ax.spines["left"].set_visible(False)
    return quiet(ax)


def _drawn(share: float) -> float:
    return max(share, _LEAST_SHARE)


def _shift(place: int, of: int) -> float:
    return 0.42 * (place - (of - 1) / 2) / max(1, of - 1)


def _mark(ax: Axes, organ: OrganMean, y: float, look: int, colour: str) -> None:
    if not math.isfinite(organ.saliency_share):
        return
    marker, filled = _LOOKS[look]
    ax.plot((_drawn(organ.volume_share), _drawn(organ.saliency_share)), (y, y), "-", color=colour, lw=2.2, alpha=0.45)
    if math.isfinite(organ.ci95[0]):
        ax.plot([_drawn(bound) for bound in organ.ci95], (y, y), "-", color=INK, lw=1.2, solid_capstyle="round")
    ax.plot(
        _drawn(organ.saliency_share),
        y,
        marker,
        mfc=colour if filled else PAPER,
        mec=INK if filled else colour,
        ms=6.5,
        mew=1.4 if not filled else 0.7,
        zorder=4,
    )
    if math.isfinite(organ.enrichment):
        factor = f"{organ.enrichment:.1f}" if organ.enrichment >= 0.95 else f"{organ.enrichment:.2f}"
        ax.text(1.015, y, f"× {factor}", transform=ax.get_yaxis_transform(), va="center", fontsize=8, color=INK)


def _legend(ax: Axes, profiles: Sequence[OrganProfile], *, with_uptake: bool) -> None:
    ax.plot([], [], "|", color=MUTED, ms=13, mew=3.2, label="volume")
    if with_uptake:
        ax.plot([], [], "x", color=INK, ms=6, mew=1.6, label="tracer uptake")
    for place, profile in enumerate(profiles[:MOST_MODELS]):
        marker, filled = _LOOKS[place]
        colour = model_colour(profile.model)
        ax.plot(
            [],
            [],
            marker,
            mfc=colour if filled else PAPER,
            mec=INK if filled else colour,
            ms=6.5,
            label=f"saliency, {model_title(profile.model)}",
        )
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.2)
