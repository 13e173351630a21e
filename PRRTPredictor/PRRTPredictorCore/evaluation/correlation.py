"""Spearman's correlation with a clear answer where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rank_correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Spearman's correlation of two arrays of one shape; NaN below three values, or where either is constant."""
    from scipy.stats import spearmanr

    if first.size < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first, second, axis=None).statistic)
