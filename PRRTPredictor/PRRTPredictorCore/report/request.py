"""What the reader of a report asks for beyond what every report shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SaliencyMethod = Literal["gradient", "smoothgrad", "integrated"]


@dataclass(frozen=True)
class ReportRequest:
    """The choices of ``prrt report``.

    Attributes
    ----------
    compare : (str, str) or None
        Two models to hold against each other; the paper's pair where left out.
    patients : tuple of str
        Study codes whose saliency is shown; three by a fixed rule where left out.
    saliency : tuple of str
        Methods of the saliency gallery; all but "gradient" take minutes on a CPU.
    cohort : Path or None
        ``cohort.csv``, for images that left the cache and for organ labels.
    without : frozenset of str
        Keys of chapters to leave out.
    """

    compare: tuple[str, str] | None = None
    patients: tuple[str, ...] = ()
    saliency: tuple[SaliencyMethod, ...] = ("gradient",)
    cohort: Path | None = None
    without: frozenset[str] = frozenset()
