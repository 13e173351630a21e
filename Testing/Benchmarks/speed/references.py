"""What an averaged image ought to be, from integrals in float64: a way of its own, slow, one for both contenders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Edges = tuple[NDArray[np.float64], NDArray[np.float64]]
"""First and last edge of every output box along one axis, in voxel edges; within the image."""


def exact_boxes(span: tuple[float, float], boxes: int) -> Edges:
    """Boxes of one length side by side, cutting through voxels."""
    edges = np.linspace(*span, boxes + 1)
    return edges[:-1], edges[1:]


def whole_voxel_boxes(voxels: int, boxes: int) -> Edges:
    """The boxes of PyTorch's area interpolation: every voxel that is touched counts whole, so that boxes overlap."""
    n = np.arange(boxes)
    return n * voxels // boxes * 1.0, -(-(n + 1) * voxels // boxes) * 1.0


def box_means(array: NDArray[Any], edges: Sequence[Edges]) -> NDArray[np.float64]:
    """Mean over each box [k, j, i] of an image [K, J, I]."""
    planes = [_means_along(_means_along(plane, 0, edges[1]), 1, edges[2]) for plane in array]
    return _means_along(np.stack(planes), 0, edges[0])


def sampled(array: NDArray[Any], positions: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Linear interpolation at the grid of voxel positions along each axis; the border's value beyond it."""
    for axis, wanted in enumerate(positions):
        lines = np.moveaxis(array, axis, 0)
        inside = np.clip(wanted, 0, len(lines) - 1)
        before = np.minimum(inside.astype(int), max(len(lines) - 2, 0))
        part = (inside - before).astype(np.float32).reshape(-1, 1, 1)
        after = np.minimum(before + 1, len(lines) - 1)
        array = np.moveaxis((1 - part) * lines[before] + part * lines[after], 0, axis)
    return np.asarray(array, dtype=np.float32)


def _means_along(values: NDArray[Any], axis: int, edges: Edges) -> NDArray[np.float64]:
    lines = np.moveaxis(values, axis, 0).astype(np.float64)
    integral = np.concatenate([np.zeros_like(lines[:1]), np.cumsum(lines, axis=0)])

    def upto(edge: NDArray[np.float64]) -> NDArray[np.float64]:
        before = np.minimum(edge.astype(int), len(lines) - 1)
        return np.asarray(integral[before] + _along_first(edge - before, lines.ndim) * lines[before])

    low, high = edges
    return np.moveaxis((upto(high) - upto(low)) / _along_first(high - low, lines.ndim), 0, axis)


def _along_first(values: NDArray[np.float64], dimensions: int) -> NDArray[np.float64]:
    return values.reshape(-1, *(1,) * (dimensions - 1))
