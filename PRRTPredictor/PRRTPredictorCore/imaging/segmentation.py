"""Organ labels: read from Slicer's own ``.seg.nrrd``, and brought to the grid that the networks see.

A coarse model voxel holds several organs, so what comes out is no label but the fraction of each voxel that each organ
fills.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from ..errors import Code, InputRefused
from ..labelmaps import Segmentation, write_segmentation
from ..records import CommonGrid, Volume
from .grid import box_in, canonical_view
from .nrrd import read_placed
from .resize import Box, area_resize

__all__ = ["OrganShares", "Segmentation", "organ_shares", "read_segmentation", "write_segmentation"]

_LARGEST_LABEL = int(np.iinfo(np.int16).max)
_MOST_SAMPLES = 6
"""Samples a model voxel and axis where the labels are turned against the grid."""

_SEGMENT = re.compile(r"Segment(\d+)_(Name|LabelValue)")


@dataclass(frozen=True, eq=False)
class OrganShares:
    """How much of every model voxel each organ fills.

    Attributes
    ----------
    names : tuple of str
        O organs, each name once.
    fractions : ndarray, shape (O, K, J, I), float32
        In [0, 1]; over the organs they sum to at most 1.
    """

    names: tuple[str, ...]
    fractions: NDArray[np.float32]


# --- files ------------------------------------------------------------------------------------------------------------


def read_segmentation(path: Path) -> Segmentation:
    """Read a Slicer segmentation (``.seg.nrrd``) or a plain NRRD of whole-numbered labels.

    Parameters
    ----------
    path : Path
        Labels without a name, as in a plain NRRD, are called "label 5".

    Raises
    ------
    DicomRefused
        ``PATH_MISSING``: no such file.
    InputRefused
        ``BAD_GEOMETRY``: no readable three-dimensional NRRD with a patient space. ``RESULT_UNREADABLE``: its segments
        overlap (they lie in several layers), or its values are no labels.
    """
    stated = _stated(path)
    if stated.get("dimension") == "4":
        raise _refused(
            path,
            "The segments overlap: they are stored in several layers.",
            'Press "Collapse labelmap layers" in Slicer\'s Segmentations module and save the segmentation again.',
        )
    array, ijk_to_lps, _ = read_placed(path)
    labels = _as_labels(path, array)
    names = {int(label): f"label {label}" for label in np.unique(labels) if label}
    return Segmentation(labels, ijk_to_lps, {**names, **_segment_names(path, stated)})


def _stated(path: Path) -> Mapping[str, str]:
    """The header's fields and key/value pairs as written; Slicer's are UTF-8, which the NRRD reader would drop."""
    stated: dict[str, str] = {}
    if not path.is_file():
        return stated
    with path.open("rb") as file:
        for line in file:
            if not line.strip():
                break
            field, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
            stated[field] = value.removeprefix("=").strip()
    return stated


def _segment_names(path: Path, stated: Mapping[str, str]) -> dict[int, str]:
    """Label to name, from Slicer's ``Segment<n>_Name`` and ``Segment<n>_LabelValue``."""
    found: dict[str, dict[str, str]] = {}
    for field, value in stated.items():
        if match := _SEGMENT.fullmatch(field):
            found.setdefault(match[1], {})[match[2]] = value
    names = {}
    for number, segment in found.items():
        try:
            label = int(segment["LabelValue"])
        except (KeyError, ValueError) as error:
            raise _refused(path, f"Segment {number} has no label value.") from error
        names[label] = segment.get("Name") or f"label {label}"
    return names


def _as_labels(path: Path, array: NDArray[Any]) -> NDArray[np.int16]:
    """The values as int16, if they are labels; a float image of whole numbers is one."""
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    whole = array.dtype.kind in "iu" or bool(np.isfinite(array).all() and (array == np.round(array)).all())
    if not whole or low < 0 or high > _LARGEST_LABEL:
        raise _refused(path, f"The values are no labels: whole numbers from 0 to {_LARGEST_LABEL} are.")
    return array.astype(np.int16, copy=False)


def _refused(
    path: Path, message: str, remedy: str = "Export the segmentation from Slicer as .seg.nrrd."
) -> InputRefused:
    return InputRefused(Code.RESULT_UNREADABLE, message, where=path.name, remedy=remedy)


# --- the networks' grid -----------------------------------------------------------------------------------------------


def organ_shares(segmentation: Segmentation, grid: CommonGrid) -> OrganShares:
    """The fraction of every model voxel that each organ fills.

    Where the labels' axes are parallel to the grid's, fractions are exact overlaps of boxes, so that an organ's volume
    within the grid's box is kept; where they are turned, 6 x 6 x 6 samples a model voxel are counted.

    Parameters
    ----------
    segmentation : Segmentation
        Any orientation; names that occur twice are taken together.
    grid : CommonGrid
        Of the patient's prepared study.

    Returns
    -------
    OrganShares
        In the order of the labels; an organ outside of the box has fractions of 0.

    Raises
    ------
    GeometryRefused
        ``BAD_GEOMETRY``: the segmentation has no usable orientation and spacing.
    """
    names = tuple(dict.fromkeys(name for _, name in sorted(segmentation.names.items())))
    numbers = {name: number for number, name in enumerate(names, start=1)}
    # Consecutive numbers, so that one look-up serves every organ and gaps among the labels cost nothing.
    lookup = np.zeros(_LARGEST_LABEL + 1, dtype=np.int16)
    for label, name in segmentation.names.items():
        lookup[label] = numbers[name]
    view = canonical_view(Volume(lookup[segmentation.labels], segmentation.ijk_to_lps, "CT", "HU"))
    box = box_in(view, grid)
    fractions = _sampled(view, grid, len(names)) if box is None else _overlaps(view.array, grid, box, len(names))
    return OrganShares(names, fractions)


def _overlaps(labels: NDArray[np.int16], grid: CommonGrid, box: Box, organs: int) -> NDArray[np.float32]:
    """Box means of each organ's mask, taken from the part of the labels that holds the organ."""
    fractions = np.zeros((organs, *grid.shape), dtype=np.float32)
    for number, part in enumerate(find_objects(labels, max_label=organs)):
        if part is None:
            continue
        spans = [(low - cut.start, high - cut.start) for (low, high), cut in zip(box.spans, part, strict=True)]
        mask = labels[part] == number + 1
        fractions[number] = area_resize(mask, grid.shape, Box(spans[0], spans[1], spans[2]))
    # Sums of float32 weights may pass 1 by a last digit.
    return np.clip(fractions, 0.0, 1.0, out=fractions)


def _sampled(view: Volume, grid: CommonGrid, organs: int) -> NDArray[np.float32]:
    """Counts of the labels at evenly spread points of every model voxel."""
    model_mm = np.linalg.norm(grid.ijk_to_lps[:3, :3], axis=0)[::-1]
    counts = [min(_MOST_SAMPLES, max(2, ceil(2 * mm / own))) for mm, own in zip(model_mm, view.spacing_mm, strict=True)]
    to_view = np.linalg.inv(view.ijk_to_lps) @ grid.ijk_to_lps
    found = np.zeros((organs + 1, *grid.shape), dtype=np.float32)
    by_voxel, every = found.reshape(organs + 1, -1), np.arange(int(np.prod(grid.shape)))
    cells = np.indices(grid.shape)
    for step in np.ndindex(*counts):
        k, j, i = (
            index + (number + 0.5) / count - 0.5 for index, number, count in zip(cells, step, counts, strict=True)
        )
        at = np.rint(
            np.einsum("ab,b...->a...", to_view[:3, :3], np.stack([i, j, k])) + to_view[:3, 3, None, None, None]
        )
        position = tuple(at[::-1].astype(np.int64))
        inside = np.logical_and.reduce([(p >= 0) & (p < n) for p, n in zip(position, view.shape, strict=True)])
        label = np.where(inside, view.array[tuple(np.where(inside, p, 0) for p in position)], 0)
        # A model voxel occurs once a step, so that plain addition counts it.
        by_voxel[label.ravel(), every] += 1.0
    return found[1:] / np.float32(np.prod(counts))
