"""How much of the body lies at each intensity: the part of an image branch that works at full resolution."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
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
        parts = [
            torch.stack([_looked_up(steps, part, ctx.centres) for steps, part in zip(slope, third, strict=True)])
            for slope, third in zip(slopes.unbind(dim=1), slices.tensor_split(BODY_THIRDS, dim=1), strict=True)
        ]
        return torch.cat(parts, dim=1), None

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


def _looked_up(table: Tensor, values: Tensor, edges: tuple[float, ...]) -> Tensor:
    """The entry of the table for how many edges lie below each value.

    For these few, counting takes a third of the time of torch.bucketize; a third of one patient stays in the cache
    meanwhile, and ones and zeros in float, unlike booleans, are written several at a time.
    """
    place = torch.zeros_like(values, memory_format=torch.contiguous_format)
    for edge in edges:
        place += values.clone().gt_(edge)
    return table.index_select(0, place.flatten().int()).view_as(place)
