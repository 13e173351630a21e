"""Exact area resize: every output voxel is the mean over its box of input voxels, so the total is kept.

The three axes are independent, so a box mean is three matrix products with banded weights. They run block by block over
the slices: a CT of 350 x 512 x 512 int16 is never copied as a whole. Each product is small enough for the linear
algebra library to take one thread: more threads gain nothing here, and on a busy machine they wait for each other
(measured on two cores shared by six processes: 13 s against 1 s).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

import numpy as np
from numpy.typing import NDArray

Span = tuple[float, float]
"""First and last edge along one axis, in voxel edges: voxel n covers [n, n + 1]."""

_BLOCK_VOXELS = 1 << 19
"""Some slices that stay in the processor's cache from the first product to the last."""

_BAND_OUTPUTS = 8
"""Outputs that share one product: with more, most of its weights are zeros; with fewer, there are many small ones."""

_ONE_THREAD_PRODUCTS = 200_000
"""OpenBLAS spreads a product over threads from 262,144 multiplications on."""


@dataclass(frozen=True)
class Box:
    """A box in the edge coordinates of a volume's own voxels; it may reach beyond the volume.

    Attributes
    ----------
    k, j, i : tuple of float
        First and last edge along each array axis; voxel n covers [n, n + 1].
    """

    k: Span
    j: Span
    i: Span

    @property
    def spans(self) -> tuple[Span, Span, Span]:
        """The three spans in the order (k, j, i)."""
        return self.k, self.j, self.i

    @staticmethod
    def whole(shape: tuple[int, int, int]) -> Box:
        """The box that covers a volume of ``shape`` (k, j, i) exactly."""
        k, j, i = shape
        return Box((0.0, float(k)), (0.0, float(j)), (0.0, float(i)))


def box_weights(n_in: int, n_out: int, span: Span) -> NDArray[np.float64]:
    """Share of every input voxel in every output box along one axis.

    Parameters
    ----------
    n_in, n_out : int
        Number of voxels before and after.
    span : tuple of float
        Edges between which the ``n_out`` boxes lie, in input voxel edges.

    Returns
    -------
    ndarray, shape (n_out, n_in)
        Overlap length divided by box length. A row sums to 1 where its box lies inside the input, and to the covered
        share where it does not.
    """
    edges = np.linspace(span[0], span[1], n_out + 1)
    low, high = edges[:-1, None], edges[1:, None]
    voxel = np.arange(n_in, dtype=np.float64)[None, :]
    overlap = np.minimum(high, voxel + 1.0) - np.maximum(low, voxel)
    return np.asarray(np.clip(overlap, 0.0, None) / (high - low), dtype=np.float64)


def area_resize(
    array: NDArray[Any],
    shape: tuple[int, int, int],
    box: Box | None = None,
    outside: float = 0.0,
    clean: Callable[[NDArray[Any]], NDArray[np.float32]] | None = None,
) -> NDArray[np.float32]:
    """Box means of a volume on a coarser (or finer) grid.

    Parameters
    ----------
    array : ndarray, shape (K, J, I)
        Any real type and memory order; read once, never copied as a whole.
    shape : tuple of int
        Output voxels along (k, j, i).
    box : Box, optional
        Part of space that the output covers; the whole volume when left out.
    outside : float
        Value of everything beyond the volume.
    clean : callable, optional
        Turns a raw block of voxels into float32 (unit, clipping); applied before any averaging.

    Returns
    -------
    ndarray, shape ``shape``, float32
        The mean over each output box with fractional overlaps; sum x voxel volume is that of the input within the box.
    """
    box = box or Box.whole((array.shape[0], array.shape[1], array.shape[2]))
    weights = [box_weights(n, m, span) for n, m, span in zip(array.shape, shape, box.spans, strict=True)]
    # Slabs follow the memory, not the anatomy: a coronal or reversed series is a strided view of what was read.
    order = sorted(range(3), key=lambda axis: -abs(array.strides[axis]))
    means = _reduce(array.transpose(order), [weights[axis] for axis in order], outside, clean)
    return np.ascontiguousarray(means.transpose(np.argsort(order)))


def _reduce(
    array: NDArray[Any],
    weights: list[NDArray[np.float64]],
    outside: float,
    clean: Callable[[NDArray[Any]], NDArray[np.float32]] | None,
) -> NDArray[np.float32]:
    """Contract the three axes of ``array`` with their weights, slab by slab along the first."""
    used = [_support(one) for one in weights]
    array = array[used[0], used[1], used[2]]
    if not array.size:
        return np.full([len(one) for one in weights], outside, dtype=np.float32)
    covered = [one.sum(axis=1) for one in weights]
    first, second, third = (one[:, part].astype(np.float32) for one, part in zip(weights, used, strict=True))
    result = np.zeros((len(first), len(second), len(third)), dtype=np.float32)
    row_bands, column_bands = _bands(second), _bands(third)
    step = max(1, _BLOCK_VOXELS // max(1, array.shape[1] * array.shape[2]))
    for start in range(0, array.shape[0], step):
        raw = array[start : start + step]
        block = clean(raw) if clean else raw.astype(np.float32, copy=False)
        # Rows first: they are contiguous, and what is left for the columns is some times smaller.
        planes = _over_columns(_over_rows(block, row_bands), column_bands)
        among = first[:, start : start + step]
        targets = _support(among.T)
        joined = _over_rows(planes.reshape(1, len(planes), -1), _bands(among[targets]))
        result[targets] += joined.reshape(-1, *planes.shape[1:])
    if outside:
        _add_outside(result, covered, outside)
    return result


def _add_outside(result: NDArray[np.float32], covered: list[NDArray[np.float64]], outside: float) -> None:
    """Give what lies beyond the volume its value; ``covered`` are the shares within, along each axis."""
    inside = covered[1][:, None] * covered[2]
    beyond = (outside * (1.0 - inside)).astype(np.float32)
    sideways = bool((np.abs(1.0 - inside) > 1e-12).any())
    for plane, share in zip(result, covered[0].tolist(), strict=True):
        if not isclose(share, 1.0, abs_tol=1e-12):
            plane += (outside * (1.0 - share * inside)).astype(np.float32)
        elif sideways:
            plane += beyond


def _support(weights: NDArray[np.floating]) -> slice:
    """The columns (input voxels) that carry any weight."""
    columns = np.flatnonzero(weights.any(axis=0))
    return slice(int(columns[0]), int(columns[-1]) + 1) if len(columns) else slice(0, 0)


@dataclass(frozen=True, eq=False)
class _Band:
    """Some neighbouring outputs along one axis, the inputs that they need, and the weights [outputs, inputs]."""

    outputs: slice
    inputs: slice
    weights: NDArray[np.float32]


def _bands(weights: NDArray[np.float32]) -> list[_Band]:
    """The weights without most of their zeros, which lie away from the diagonal."""
    bands = []
    for start in range(0, len(weights), _BAND_OUTPUTS):
        outputs = slice(start, min(start + _BAND_OUTPUTS, len(weights)))
        inputs = _support(weights[outputs])
        bands.append(_Band(outputs, inputs, np.ascontiguousarray(weights[outputs, inputs])))
    return bands


def _over_rows(block: NDArray[np.float32], bands: Sequence[_Band]) -> NDArray[np.float32]:
    """Contract the middle axis: [b, J, i] to [b, j, i]."""
    depth, _, columns = block.shape
    result = np.empty((depth, bands[-1].outputs.stop, columns), dtype=np.float32)
    for band in bands:
        step = max(1, _ONE_THREAD_PRODUCTS // max(1, band.weights.size))
        for start in range(0, columns, step):
            part = slice(start, start + step)
            result[:, band.outputs, part] = band.weights @ block[:, band.inputs, part]
    return result


def _over_columns(block: NDArray[np.float32], bands: Sequence[_Band]) -> NDArray[np.float32]:
    """Contract the last axis: [b, J, I] to [b, J, i]."""
    depth, rows, _ = block.shape
    result = np.empty((depth, rows, bands[-1].outputs.stop), dtype=np.float32)
    for band in bands:
        step = max(1, _ONE_THREAD_PRODUCTS // max(1, band.weights.size))
        for start in range(0, rows, step):
            part = slice(start, start + step)
            result[:, part, band.outputs] = block[:, part, band.inputs] @ band.weights.T
    return result
