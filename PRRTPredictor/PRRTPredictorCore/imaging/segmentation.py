"""Organ labels: read from Slicer's own ``.seg.nrrd``, and brought to the grid that the networks see.

A coarse model voxel holds several organs, so what comes out is no label but the fraction of each voxel that each organ
fills.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Code, InputRefused
from ..freetext import one_line
from ..labelmaps import Segmentation, write_segmentation
from ..records import CommonGrid, Volume
from .grid import box_in, canonical_view
from .nrrd import read_placed
from .resize import Box, box_weights

__all__ = ["OrganShares", "Segmentation", "organ_shares", "read_segmentation", "write_segmentation"]

_LARGEST_LABEL = int(np.iinfo(np.int16).max)
_LEAST_VOXEL_MM3 = 1e-9
_MOST_SAMPLES = 6
"""Samples a model voxel and axis where the labels are turned against the grid."""

_MOST_HEADER_BYTES = 1 << 20

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
        overlap (they lie in several layers), its values are no labels, or they lie in another file.
    """
    stated = _stated(path)
    if {"data file", "datafile"} & stated.keys():
        raise _refused(
            path,
            "The labels lie in another file that the header names.",
            "Save the segmentation in one file (.seg.nrrd).",
        )
    if stated.get("dimension") == "4":
        raise _refused(
            path,
            "The segments overlap: they are stored in several layers.",
            'Press "Collapse labelmap layers" in Slicer\'s Segmentations module and save the segmentation again.',
        )
    array, ijk_to_lps, _ = read_placed(path)
    if not np.isfinite(ijk_to_lps).all() or abs(np.linalg.det(ijk_to_lps[:3, :3])) < _LEAST_VOXEL_MM3:
        raise _refused(
            path,
            "The segmentation has no usable orientation and spacing.",
            "Save it again in Slicer, with the CT as its reference geometry.",
        )
    labels = _as_labels(path, array)
    occurs = np.zeros(_LARGEST_LABEL + 1, dtype=np.bool_)
    for plane in labels:
        occurs[plane] = True
    names = {int(label): f"label {label}" for label in np.flatnonzero(occurs) if label}
    return Segmentation(labels, ijk_to_lps, {**names, **_segment_names(path, stated)})


def _stated(path: Path) -> Mapping[str, str]:
    """The header's fields and key/value pairs as written; Slicer's are UTF-8, which the NRRD reader would drop."""
    stated: dict[str, str] = {}
    if not path.is_file():
        return stated
    with path.open("rb") as file:
        while (line := file.readline(_MOST_HEADER_BYTES)).strip() and file.tell() <= _MOST_HEADER_BYTES:
            field, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
            stated[field.lower() if not value.startswith("=") else field] = value.removeprefix("=").strip()
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
        if not 1 <= label <= _LARGEST_LABEL:
            raise _refused(path, f"Segment {number} has the label value {label}, which no label map can hold.")
        names[label] = one_line(segment.get("Name", "")) or f"label {label}"
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
    number_of = np.zeros(_LARGEST_LABEL + 1, dtype=np.int16)
    for label, name in segmentation.names.items():
        number_of[label] = numbers[name]
    view = canonical_view(Volume(segmentation.labels, segmentation.ijk_to_lps, "CT", "HU"))
    box = box_in(view, grid)
    count = _sampled if box is None else partial(_overlaps, box=box)
    return OrganShares(names, count(view, grid, number_of, len(names)))


def _overlaps(
    view: Volume, grid: CommonGrid, number_of: NDArray[np.int16], organs: int, box: Box
) -> NDArray[np.float32]:
    """Exact overlaps, from the runs of one organ along the rows of the file: far fewer than there are voxels."""
    # Rows follow the memory, not the anatomy: a reversed or sagittal file is a strided view of what was read.
    order = sorted(range(3), key=lambda axis: -abs(view.array.strides[axis]))
    labels, spans = view.array.transpose(order), [box.spans[axis] for axis in order]
    shape = [grid.shape[axis] for axis in order]
    plane_weights, row_weights = (box_weights(labels.shape[n], shape[n], spans[n]) for n in (0, 1))
    edges = np.linspace(*spans[2], shape[2] + 1)
    fractions = np.zeros((organs, *shape), dtype=np.float32)
    for plane, weights in enumerate(plane_weights):
        used = np.flatnonzero(weights)
        if len(used):
            runs = _runs(labels[used[0] : used[-1] + 1], number_of, weights[used])
            fractions[:, plane] = _spread(runs, row_weights, edges, organs)
    # Sums may pass 1 by a last digit.
    np.clip(fractions, 0.0, 1.0, out=fractions)
    return np.ascontiguousarray(fractions.transpose(0, *(1 + place for place in np.argsort(order))))


@dataclass(frozen=True, eq=False)
class _Runs:
    """Neighbours of one organ along a row, R of them; each array has shape (R,).

    Attributes
    ----------
    number : ndarray of int
        Of the organ, from 0.
    row : ndarray of int
    start, stop : ndarray of int
        In voxel edges.
    weight : ndarray of float
        Of the slice in the model's plane.
    """

    number: NDArray[np.int64]
    row: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    weight: NDArray[np.float64]


def _runs(labels: NDArray[np.int16], number_of: NDArray[np.int16], weights: NDArray[np.float64]) -> _Runs:
    """All runs of labelled voxels in slices [S, J, I] whose weights are [S]."""
    begins = np.ones(labels.shape, dtype=np.bool_)
    np.not_equal(labels[..., 1:], labels[..., :-1], out=begins[..., 1:])
    at = np.flatnonzero(begins)
    slices, row, start = np.unravel_index(at, labels.shape)
    number = number_of[labels[slices, row, start]].astype(np.int64) - 1
    stop = start + np.diff(at, append=labels.size)
    of_organ = number >= 0
    return _Runs(number[of_organ], row[of_organ], start[of_organ], stop[of_organ], weights[slices[of_organ]])


def _spread(
    runs: _Runs, row_weights: NDArray[np.float64], edges: NDArray[np.float64], organs: int
) -> NDArray[np.float64]:
    """The organs' shares of one plane of model voxels, [organs, rows, columns].

    The length of a run before an edge e is (e - start)+ - (e - stop)+. Summed over all runs, each term is a count times
    e less the sum of the starts before e, so that a run costs two entries however many voxels it covers.
    """
    targets, columns = len(row_weights), len(edges)
    size = organs * targets * (columns + 1)
    count, moment = np.zeros(size), np.zeros(size)
    first = np.argmax(row_weights > 0, axis=0)
    for step in range(int((row_weights > 0).sum(axis=0).max(initial=0))):
        target = np.minimum(first[runs.row] + step, targets - 1)
        weight = runs.weight * row_weights[target, runs.row] * (first[runs.row] + step < targets)
        for end, signed in ((runs.start, weight), (runs.stop, -weight)):
            place = (runs.number * targets + target) * (columns + 1) + np.searchsorted(edges, end)
            count += np.bincount(place, signed, size)
            moment += np.bincount(place, signed * end, size)
    counts, moments = (one.reshape(organs, targets, columns + 1)[..., :-1].cumsum(axis=-1) for one in (count, moment))
    return np.asarray(np.diff(edges * counts - moments, axis=-1) / np.diff(edges), dtype=np.float64)


def _sampled(view: Volume, grid: CommonGrid, number_of: NDArray[np.int16], organs: int) -> NDArray[np.float32]:
    """Counts of the labels at evenly spread points of every model voxel."""
    model_mm = np.linalg.norm(grid.ijk_to_lps[:3, :3], axis=0)[::-1]
    counts = [min(_MOST_SAMPLES, max(2, ceil(2 * mm / own))) for mm, own in zip(model_mm, view.spacing_mm, strict=True)]
    to_view = np.linalg.inv(view.ijk_to_lps) @ grid.ijk_to_lps
    found = np.zeros((organs + 1, *grid.shape), dtype=np.float32)
    by_voxel, every = found.reshape(organs + 1, -1), np.arange(int(np.prod(grid.shape)))
    cells = np.indices(grid.shape, dtype=np.float32).reshape(3, -1)[::-1]
    centres = to_view[:3, :3].astype(np.float32) @ cells + to_view[:3, 3:].astype(np.float32)
    last = np.array(view.shape[::-1])[:, None] - 1
    for step in np.ndindex(*counts):
        off = [(number + 0.5) / count - 0.5 for number, count in zip(step, counts, strict=True)]
        at = np.rint(centres + (to_view[:3, :3] @ off[::-1]).astype(np.float32)[:, None]).astype(np.int64)
        i, j, k = np.clip(at, 0, last)
        label = np.where((at == (i, j, k)).all(axis=0), number_of[view.array[k, j, i]], 0)
        # A model voxel occurs once a step, so that plain addition counts it.
        by_voxel[label, every] += 1.0
    return found[1:] / np.float32(np.prod(counts))
