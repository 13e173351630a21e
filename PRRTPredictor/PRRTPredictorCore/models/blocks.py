"""MONAI's ``Convolution`` and ``ResidualUnit`` as far as the small CNN needs them, without MONAI.

Importing one block of MONAI imports all of it, with matplotlib, pandas and scikit-learn: twice as long as torch itself,
in every worker and before every prediction. Names, order and first values of the weights are MONAI's, so that weights
fit either way; a test holds both equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvolutionBlock(nn.Module):
    """A padded 3-D convolution, then ReLU; as ``Convolution(3, …, adn_ordering="A", act="relu")``."""

    def __init__(self, narrower: int, wider: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(narrower, wider, kernel, stride, padding=kernel // 2)
        self.adn = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """[B, narrower, k, j, i] to [B, wider, k / stride, j / stride, i / stride]."""
        conv = self.conv
        if features.requires_grad and conv.in_channels == 1 and not conv.weight.requires_grad:
            given = (features, conv.weight, conv.bias, conv.stride[0])
            explained = _ExplainedConvolution.apply(*given)  # type: ignore[no-untyped-call]
            convolved = cast("Tensor", explained)
        else:
            convolved = conv(features)
        activated: Tensor = self.adn(convolved)
        return activated


class _ExplainedConvolution(torch.autograd.Function):
    """The convolution of one channel with frozen weights, whose gradient with respect to the image is written out.

    oneDNN has no fast way back to a single channel. Seen block by block, as large as the stride, it is one matrix
    product: ten times as fast, and the larger part of what a saliency map costs.
    """

    @staticmethod
    def forward(image: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        return functional.conv3d(image, weight, bias, stride, padding=weight.shape[-1] // 2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int], output: Tensor) -> None:
        image, weight, _, ctx.stride = inputs
        ctx.size = image.shape[2:]
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        return _back_to_image(gradient, weight[:, 0], ctx.stride, ctx.size), None, None, None


def _back_to_image(gradient: Tensor, weight: Tensor, stride: int, size: Sequence[int]) -> Tensor:
    """The gradient [B, 1, *size] of an image whose padded convolution has the gradient [B, C, k, j, i].

    The kernels [C, n, n, n], n odd, cover r = ceil(n / stride) blocks along each axis; each block of the image gets
    what its r³ neighbours among the gradients, times their part of the kernel, give it.
    """
    channels, kernel = weight.shape[0], weight.shape[-1]
    reach = -(-kernel // stride)
    whole = functional.pad(weight, (0, reach * stride - kernel) * 3)
    split = whole.view(channels, *(reach, stride) * 3)
    parts = split.permute(2, 4, 6, 1, 3, 5, 0).reshape(stride**3, reach**3 * channels)
    blocks = [length + reach - 1 for length in gradient.shape[2:]]
    wide = functional.pad(gradient, (reach - 1, reach - 1) * 3)
    k, j, i = blocks
    neighbours = [
        wide[:, :, at_k : at_k + k, at_j : at_j + j, at_i : at_i + i]
        for at_k, at_j, at_i in product(range(reach - 1, -1, -1), repeat=3)
    ]
    image = parts @ torch.stack(neighbours, dim=1).flatten(3).flatten(1, 2)
    in_place = image.view(-1, *(stride,) * 3, *blocks).permute(0, 4, 1, 5, 2, 6, 3)
    covered = in_place.reshape(-1, 1, *(stride * count for count in blocks))
    padding = kernel // 2
    # The padding in front is cut away; behind, voxels that no kernel reached are added, or the padding is cut.
    margins = [(-padding, padding + length - reached) for length, reached in zip(size, covered.shape[2:], strict=True)]
    return functional.pad(covered, [side for margin in reversed(margins) for side in margin])


class ResidualBlock(nn.Module):
    """Two convolutions beside a strided one; as ``ResidualUnit(3, …, subunits=2, adn_ordering="A", act="relu")``."""

    def __init__(self, narrower: int, wider: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        self.conv.add_module("unit0", ConvolutionBlock(narrower, wider, stride=stride))
        self.conv.add_module("unit1", ConvolutionBlock(wider, wider))
        self.residual = nn.Conv3d(narrower, wider, kernel_size=3, stride=stride, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """[B, narrower, k, j, i] to [B, wider, k / stride, j / stride, i / stride]."""
        sum_of_both: Tensor = self.conv(features) + self.residual(features)
        return sum_of_both
