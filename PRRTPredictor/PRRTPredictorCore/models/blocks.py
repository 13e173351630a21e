"""MONAI's ``Convolution`` and ``ResidualUnit`` as far as the small CNN needs them, without MONAI.

Importing one block of MONAI imports all of it, with matplotlib, pandas and scikit-learn: twice as long as torch itself,
in every worker and before every prediction. Names, order and first values of the weights are MONAI's, so that weights
fit either way; a test holds both equal.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    oneDNN has no fast way back to a single channel. Seen block by block, as large as the stride, it is a convolution
    with a channel for every voxel of a block: over ten times as fast.
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
    split = whole.view(channels, *(reach, stride) * 3).flip((1, 3, 5))
    parts = split.permute(2, 4, 6, 0, 1, 3, 5).reshape(stride**3, channels, *(reach,) * 3)
    parts = parts.contiguous(memory_format=torch.channels_last_3d)
    blocks = functional.conv3d(gradient, parts, padding=reach - 1).permute(0, 2, 3, 4, 1).contiguous()
    count = blocks.shape[1:4]
    in_place = _rows(blocks.view(-1, *count, *(stride,) * 3)).permute(0, 1, 4, 2, 5, 3, 6)
    covered = in_place.reshape(len(blocks), stride * count[0], stride * count[1], -1).view(gradient.dtype)
    covered = covered.unsqueeze(1)
    padding = kernel // 2
    # The padding in front is cut away; behind, voxels that no kernel reached are added, or the padding is cut.
    margins = [(-padding, padding + length - reached) for length, reached in zip(size, covered.shape[2:], strict=True)]
    return functional.pad(covered, [side for margin in reversed(margins) for side in margin])


def _rows(blocks: Tensor) -> Tensor:
    """Each block's rows of four voxels as one number each, where they fit: they move in one piece, twice as fast."""
    return blocks.view(torch.complex128) if blocks.shape[-1] * blocks.element_size() == 16 else blocks


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
