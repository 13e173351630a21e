"""How much of the body lies at each intensity: the part of an image branch that works at full resolution."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

BODY_THIRDS = 3
SHARE_FLOOR = 1e-5
"""Of an empty bin: two voxels of 75 x 50 x 50."""


class IntensityHistogram(nn.Module):
    """How much of each third of the body lies at each intensity: a soft histogram, differentiable and free of weights.

    It works at full resolution, where a convolution would cost ten times as much, and tells small bright lesions from
    large pale organs before any averaging blends them.

    Parameters
    ----------
    levels : tuple of float
        Centres of the triangular bins, ascending, in units of the normalised image. A voxel between two centres counts
        for both by its distance; the last bin holds everything above.
    """

    def __init__(self, levels: tuple[float, ...]) -> None:
        super().__init__()
        self.centres = levels
        self.features = BODY_THIRDS * len(levels)

    def forward(self, image: Tensor) -> Tensor:
        """Logarithms of the shares, [B, 3 x levels], of normalised images [B, 1, K, J, I]."""
        # Each step is the share of a third above two neighbouring centres; a bin is the difference of two steps.
        steps = _steps_of_thirds(image.flatten(3).squeeze(1), self.centres)
        first, last = torch.ones_like(steps[..., :1]), torch.zeros_like(steps[..., :1])
        shares = torch.cat((first, steps), dim=-1) - torch.cat((steps, last), dim=-1)
        return (shares.transpose(-1, -2).flatten(-2).clamp(min=0.0) + SHARE_FLOOR).log()


class _StepsOfThirds(torch.autograd.Function):
    """Mean over each third of the slices [B, K, voxels] of a ramp from 0 to 1 between neighbouring centres.

    [B, 3, levels - 1]. Written out because a chain of clamps streams every image through memory once a level, forward
    and backward; here a third stays in the processor's cache for all levels, and the gradient is one table look-up.
    """

    @staticmethod
    def forward(slices: Tensor, centres: tuple[float, ...]) -> Tensor:
        ramps = list(pairwise(centres))
        thirds = slices.tensor_split(BODY_THIRDS, dim=1)
        if slices.device.type != "cpu":  # one launch for all patients
            means = [[third.clamp(low, high).mean(dim=(1, 2)) for low, high in ramps] for third in thirds]
            stacked = torch.stack([torch.stack(levels, dim=1) for levels in means], dim=1)
        else:
            rows = [[_means_between(part, ramps) for part in third.flatten(1)] for third in thirds]
            stacked = torch.stack([torch.stack(patients) for patients in rows], dim=1)
        edges = slices.new_tensor(centres)
        return (stacked - edges[:-1]) / edges.diff()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, tuple[float, ...]], output: Tensor) -> None:
        slices, ctx.centres = inputs
        ctx.save_for_backward(slices)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slices,) = ctx.saved_tensors
        edges = slices.new_tensor(ctx.centres)
        voxels = [third.shape[1] * third.shape[2] for third in slices.tensor_split(BODY_THIRDS, dim=1)]
        slopes = gradient / (edges.diff() * slices.new_tensor(voxels)[:, None])
        slopes = functional.pad(slopes, (1, 1))  # below the first centre and above the last, nothing changes
        if slices.device.type != "cpu":
            return _looked_up(slopes, slices, edges), None
        image = torch.empty_like(slices, memory_format=torch.contiguous_format)
        for tables, patient, found in zip(slopes.numpy(), slices.numpy(), image.numpy(), strict=True):
            _look_up(tables, patient, ctx.centres, found)
        return image, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], slices: Tensor, centres: tuple[float, ...]) -> tuple[Tensor, int]:
        """Folds side by side are more patients."""
        folded = slices.movedim(in_dims[0], 0)
        steps = _steps_of_thirds(folded.flatten(0, 1), centres)
        return steps.view(*folded.shape[:2], *steps.shape[1:]), 0


def _steps_of_thirds(slices: Tensor, centres: tuple[float, ...]) -> Tensor:
    steps: Tensor = _StepsOfThirds.apply(slices, centres)  # type: ignore[no-untyped-call]
    return steps


def _means_between(values: Tensor, ramps: list[tuple[float, float]]) -> Tensor:
    """Means of the values clamped to each of the ramps; a ramp above all values is not computed."""
    top, clamped = float(values.max()), torch.empty_like(values)
    means = values.new_tensor([low for low, _ in ramps])
    for level, (low, high) in enumerate(ramps):
        if top > low or top != top:  # NaN != NaN: it must not vanish
            torch.clamp(values, low, high, out=clamped)
            means[level] = clamped.mean()
    return means


def _looked_up(tables: Tensor, slices: Tensor, edges: Tensor) -> Tensor:
    """The entry of its third's table [B, 3, edges + 1] for how many edges lie below each voxel of [B, K, voxels]."""
    patient = torch.arange(len(slices), device=slices.device)[:, None, None]
    parts = torch.arange(slices.shape[1], device=slices.device).tensor_split(BODY_THIRDS)
    third = torch.cat([torch.full_like(part, place) for place, part in enumerate(parts)])[:, None]
    return tables[patient, third, torch.bucketize(slices, edges)]


def _look_up(
    tables: NDArray[np.float32], slices: NDArray[np.float32], edges: tuple[float, ...], found: NDArray[np.float32]
) -> None:
    """The same of one patient [K, voxels], into ``found``.

    For these few edges, counting takes a quarter of the time of torch.bucketize. NumPy compares several voxels at a
    time into booleans, which torch does not; one patient stays in the cache meanwhile.
    """
    place, above = np.zeros(slices.shape, dtype=np.uint8), np.empty(slices.shape, dtype=np.bool_)
    for edge in edges:
        np.greater(slices, slices.dtype.type(edge), out=above)
        place += above.view(np.uint8)
    thirds = (np.array_split(array, BODY_THIRDS) for array in (place, found))
    for table, where, into in zip(tables, *thirds, strict=True):
        np.take(table, where, out=into, mode="clip")
