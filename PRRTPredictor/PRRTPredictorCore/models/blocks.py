"""MONAI's ``Convolution`` and ``ResidualUnit`` as far as the small CNN needs them, without MONAI.

Importing one block of MONAI imports all of it, with matplotlib, pandas and scikit-learn: twice as long as torch itself,
in every worker and before every prediction. Names, order and first values of the weights are MONAI's, so that weights
fit either way; a test holds both equal.
"""

from __future__ import annotations

from torch import Tensor, nn


class ConvolutionBlock(nn.Sequential):
    """A padded 3-D convolution, then ReLU; as ``Convolution(3, …, adn_ordering="A", act="relu")``."""

    def __init__(self, narrower: int, wider: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.add_module("conv", nn.Conv3d(narrower, wider, kernel, stride, padding=kernel // 2))
        self.add_module("adn", nn.ReLU())


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
