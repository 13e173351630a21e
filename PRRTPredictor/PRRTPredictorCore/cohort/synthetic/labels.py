"""The organs and lesions of a made patient as a segmentation, as a researcher would get it from TotalSegmentator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...labelmaps import Segmentation
from .anatomy import BODY, COUCH, LABEL_NAMES
from .shapes import VoxelGrid

LESIONS = len(LABEL_NAMES)
"""The label of every metastasis, laid over the organ that holds it."""

_MOST_PIXELS = 128

_NAMES = {
    **{label: name for label, name in enumerate(LABEL_NAMES) if label not in (0, COUCH)},
    BODY: "other tissue",
    LESIONS: "lesions",
}


def segmentation_of(labels: NDArray[np.uint8], lesions: NDArray[np.uint16], grid: VoxelGrid) -> Segmentation:
    """Lay the lesions over the organs and thin a scanner's usual matrix to what a model voxel of 1 cm can tell apart.

    Parameters
    ----------
    labels, lesions : ndarray, shape (K, J, I)
        On ``grid``: organ labels, and more than 0 in a lesion.
    grid : VoxelGrid
        Of the CT; where its slices have more than 128 pixels a side, every second, third, … is kept.
    """
    step = -(-grid.shape[2] // _MOST_PIXELS)
    kept = np.where(lesions > 0, LESIONS, np.where(labels == COUCH, 0, labels))[:, ::step, ::step]
    ijk_to_lps = grid.ijk_to_lps()
    ijk_to_lps[:3, :2] *= step
    return Segmentation(kept.astype(np.int16), ijk_to_lps, _NAMES)
