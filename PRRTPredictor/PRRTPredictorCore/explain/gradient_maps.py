"""The gradient maps of two models in pairs: of the same patient, from fits that held out the same patients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..records import Image
from ..training.heldout import GradientHistograms, HeldOutGradients
from .distances import Floats, shares


@dataclass(frozen=True, eq=False)
class GradientMap:
    """One gradient map: the share of its voxels in each bin; ``log10`` None and ``flat`` where nothing has a slope."""

    unit: Floats
    log10: Floats | None
    zeros: float
    flat: bool

    @classmethod
    def of(cls, rows: GradientHistograms, place: int) -> GradientMap:
        """The map in one row of a fold's histograms."""
        unit, log10 = (np.asarray(table[place], dtype=np.float64) for table in (rows.unit_counts, rows.log10_counts))
        return cls(
            unit=shares(unit),
            log10=shares(log10) if log10.sum() > 0 else None,
            zeros=float(rows.zeros[place] / unit.sum()),
            flat=not log10.sum() > 0,
        )


@dataclass(frozen=True, eq=False)
class MapPair:
    """Two models' maps of one patient; ``fold`` numbers the pair of fits that held the patient out."""

    code: str
    fold: int
    first: GradientMap
    second: GradientMap


def paired_maps(first: Sequence[HeldOutGradients], second: Sequence[HeldOutGradients], image: Image) -> list[MapPair]:
    """The maps that both models kept, in the order of the first model's folds."""
    others: dict[frozenset[str], list[HeldOutGradients]] = defaultdict(list)
    for fold in second:
        others[frozenset(fold.codes)].append(fold)
    pairs: list[MapPair] = []
    for number, fold in enumerate(first):
        # A fold is told by whom it held out; should two repeats have held out the same patients, by their order.
        same = others[frozenset(fold.codes)]
        if not same:
            continue
        other = same.pop(0)
        a: GradientHistograms | None = getattr(fold, image)
        b: GradientHistograms | None = getattr(other, image)
        if a is None or b is None:
            continue
        there = {code: place for place, code in enumerate(other.codes)}
        a_known, b_known = a.known, b.known
        pairs += [
            MapPair(code, number, GradientMap.of(a, place), GradientMap.of(b, there[code]))
            for place, code in enumerate(fold.codes)
            if a_known[place] and b_known[there[code]]
        ]
    return pairs
