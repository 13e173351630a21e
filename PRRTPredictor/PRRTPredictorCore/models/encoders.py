"""One image in, one short embedding out: the small 3-D CNN, and the SegResNet encoder that starts pretrained.

Both pool their last feature map by its mean, which carries how much there is in the whole body (tumour burden), and by
its fourth-power mean, which follows the most conspicuous places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import Code, ModelRefused
from .blocks import ConvolutionBlock, ResidualBlock
from .histogram import IntensityHistogram
from .presets import NetworkSettings, Window

if TYPE_CHECKING:
    from monai.networks.nets.segresnet import SegResNet

ENCODER_PARTS = ("convInit.", "down_layers.")
"""How the names of the encoder's tensors begin in a SegResNet's state dict."""

ENCODER_STAGES = 4
"""Stages (``down_layers``) of every SegResNet here, from full to an eighth of the resolution."""

POWER_FLOOR = 1e-6
STANDARD_FLOOR = 1e-3
RUNNING_SHARE = 0.05
"""Least weight of a new batch in the running statistics."""


class PowerMeanPool(nn.Module):
    """Global power means (p = 1 and 4) of every channel, which must not be negative: [B, C, k, j, i] to [B, 2 C].

    The fourth-power mean stands in for the maximum: it follows the most conspicuous places, yet its gradient is shared
    by all of them and not given to a single voxel.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Pool over space."""
        return torch.cat(power_means(features), dim=1)


def power_means(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and fourth-power mean over space of [B, C, k, j, i], each [B, C]."""
    flat = features.flatten(2)
    # The floor keeps the gradient of the root finite where a channel is all zero.
    return flat.mean(dim=2), (flat.square().square().mean(dim=2) + POWER_FLOOR) ** 0.25


class RunningStandardise(nn.Module):
    """Features to mean 0 and deviation 1 by running statistics of the training patients.

    The running values serve in training and afterwards alike, so that no patient's output ever depends on the others
    of a batch; they are part of what a fold fits.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        """Standardise [B, F]; in training, update the running values first."""
        if self.training:
            self._update(features.detach())
        return (features - self.mean) / (self.variance.sqrt() + STANDARD_FLOOR)

    def _update(self, features: Tensor) -> None:
        share = (1.0 / (self.batches + 1)).clamp(min=RUNNING_SHARE)  # a tensor: folds side by side count each their own
        shift = features.mean(dim=0) - self.mean
        around = (features - self.mean).square().mean(dim=0)
        updated = (1 - share) * self.variance + share * around - (share * shift).square()
        self.variance.copy_(updated.clamp(min=0.0))
        self.mean.add_(share * shift)
        self.batches.add_(1)


class DrawnDropout(nn.Module):
    """Dropout whose mask is drawn from outside, so that a fold drops the same features in whatever company it trains.

    Parameters
    ----------
    share : float
        Of the features that is dropped.
    features : int
    """

    kept: Tensor

    def __init__(self, share: float, features: int) -> None:
        super().__init__()
        self.share, self.features = share, features
        self.register_buffer("kept", torch.ones(()), persistent=False)

    def draw(self, rows: int, generator: torch.Generator) -> None:
        """Draw the mask of the next training step for so many patients."""
        drawn = torch.rand((rows, self.features), generator=generator) >= self.share
        self.kept = (drawn / (1.0 - self.share)).to(self.kept.device)

    def train(self, mode: bool = True) -> DrawnDropout:
        """As every module; outside of training, the last mask is forgotten."""
        if not mode:
            self.kept = self.kept.new_ones(())
        return super().train(mode)

    def forward(self, features: Tensor) -> Tensor:
        """Drop features [B, F] in training; without a drawn mask by torch's own generator."""
        if not self.training or self.share == 0.0:
            return features
        return features * self.kept if self.kept.ndim else functional.dropout(features, self.share)


class ImageEncoder(nn.Module):
    """A small 3-D CNN beside an intensity histogram; both pooled over the body, then one linear layer.

    Parameters
    ----------
    settings : NetworkSettings
        Widths, stem and embedding.
    levels : tuple of float
        Of the intensity histogram, in units of the normalised image; empty for the CNN alone.
    """

    def __init__(self, settings: NetworkSettings, levels: tuple[float, ...]) -> None:
        super().__init__()
        first, *rest = settings.widths
        self.stem = ConvolutionBlock(1, first, settings.stem_kernel, settings.stem_stride)
        stages = []
        for narrower, wider in zip(settings.widths, rest, strict=False):
            # Without normalisation layers: they would take away how much there is, and keep only where.
            stages += [ResidualBlock(narrower, wider, stride=2), nn.ReLU()]
        self.stages = nn.Sequential(*stages)
        # oneDNN differentiates convolutions of few channels twice as fast with the channels last.
        self.stages.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.pool = PowerMeanPool()
        self.histogram = IntensityHistogram(levels) if levels else None
        features = 2 * settings.widths[-1] + (0 if self.histogram is None else self.histogram.features)
        self.head = nn.Sequential(
            RunningStandardise(features),
            DrawnDropout(settings.feature_dropout, features),
            nn.Linear(features, settings.embedding),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Embed normalised images [B, 1, K, J, I]; returns [B, embedding]."""
        features = self.pool(self.stages(self.stem(image)))
        if self.histogram is not None:
            features = torch.cat((features, self.histogram(image)), dim=1)
        embedding: Tensor = self.head(features)
        return embedding


@dataclass(frozen=True, eq=False)
class PretrainedEncoder:
    """The encoder of a SegResNet that has learnt to segment organs on CT.

    Attributes
    ----------
    source : str
        Where the weights come from, in the words that reports print.
    tensors : mapping of str to Tensor
        ``convInit.*`` and ``down_layers.*``, as MONAI names them.
    init_filters, num_groups : int
    blocks_down : tuple of int
    hu_window : tuple of float
        The fixed window that is mapped to [-1, 1].
    sha256 : str
        Of the encoder's tensors.
    dice : float or None
        Mean organ Dice on phantoms kept aside, where the pretraining was done here.
    """

    source: str
    tensors: Mapping[str, Tensor] = field(repr=False)
    init_filters: int
    blocks_down: tuple[int, ...]
    num_groups: int
    hu_window: Window
    sha256: str
    dice: float | None = None

    @property
    def channels(self) -> int:
        """Channels of the last stage."""
        return self.init_filters << (len(self.blocks_down) - 1)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(tensor.numel() for tensor in self.tensors.values())


def build_segresnet(
    init_filters: int, blocks_down: tuple[int, ...], num_groups: int, out_channels: int, dropout: float | None = None
) -> SegResNet:
    """MONAI's SegResNet as the whole-body CT bundle configures it, at any width."""
    from monai.networks.nets.segresnet import SegResNet

    return SegResNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=out_channels,
        init_filters=init_filters,
        blocks_down=blocks_down,
        blocks_up=(1,) * (len(blocks_down) - 1),
        norm=("GROUP", {"num_groups": num_groups}),
        dropout_prob=dropout,
    )


def to_bundle_axes(ct: Tensor, hu_window: Window) -> Tensor:
    """The pretrained branch's fixed preparation, differentiable, without any statistic of a cohort.

    Parameters
    ----------
    ct : Tensor, shape (B, 1, K, J, I)
        HU, indexed [k, j, i] = head, back, left (DICOM LPS).
    hu_window : tuple of float
        Mapped to [-1, 1]; values beyond are clamped.

    Returns
    -------
    Tensor, shape (B, 1, I, J, K)
        Axes x, y, z towards right, front and head (RAS), as MONAI's bundle expects.
    """
    low, high = hu_window
    scaled = (ct.clamp(low, high) - low) * (2.0 / (high - low)) - 1.0
    return scaled.permute(0, 1, 4, 3, 2).flip((2, 3))


class PretrainedCtEncoder(nn.Module):
    """The pretrained SegResNet encoder, cut into a frozen front and a fitted tail, with its own embedding head.

    Parameters
    ----------
    encoder : PretrainedEncoder
        The weights. The frozen front uses them in place (all folds share one copy), the tail starts from a copy.
    settings : NetworkSettings
        Its embedding and dropout.
    trainable_stages : int
        How many of the four stages are fitted, counted from the last. 4 fits the first convolution too.

    Raises
    ------
    ModelRefused
        ``MODEL_MISMATCH`` for a number of stages outside 0…4.
    """

    def __init__(self, encoder: PretrainedEncoder, settings: NetworkSettings, trainable_stages: int) -> None:
        super().__init__()
        if not 0 <= trainable_stages <= ENCODER_STAGES:
            raise ModelRefused(
                Code.MODEL_MISMATCH,
                f"The pretrained CT branch has {ENCODER_STAGES} stages; {trainable_stages} cannot be fitted.",
                where="ct_trainable_stages",
                remedy=f"Use a number from 0 (frozen) to {ENCODER_STAGES} (all of it).",
            )
        self.hu_window = encoder.hu_window
        self.trainable_stages = trainable_stages
        with torch.device("meta"):
            skeleton = build_segresnet(encoder.init_filters, encoder.blocks_down, encoder.num_groups, out_channels=1)
        skeleton.load_state_dict(dict(encoder.tensors), strict=False, assign=True)
        stages = [nn.Sequential(skeleton.convInit, skeleton.down_layers[0]), *list(skeleton.down_layers)[1:]]
        cut = len(stages) - trainable_stages
        # Folds share the frozen tensors: a copy of them, such as a conversion to channels_last, would undo that.
        self.front = nn.Sequential(*stages[:cut]).requires_grad_(False)
        self.tail = nn.Sequential(*stages[cut:])
        for parameter in self.tail.parameters():
            parameter.data = parameter.data.clone()
            parameter.requires_grad_(True)
        self.pool = PowerMeanPool()
        self.head = nn.Sequential(
            RunningStandardise(2 * encoder.channels),
            DrawnDropout(settings.feature_dropout, 2 * encoder.channels),
            nn.Linear(2 * encoder.channels, settings.embedding),
        )

    def frozen_features(self, ct: Tensor) -> Tensor:
        """What the frozen stages make of CTs in HU [B, 1, K, J, I]: the same for every fold, so worth keeping."""
        return _in_pairs(self.front, to_bundle_axes(ct, self.hu_window))

    def forward(self, ct: Tensor | None, features: Tensor | None = None) -> Tensor:
        """Embed CTs in HU [B, 1, K, J, I], or go on from their :meth:`frozen_features`; returns [B, embedding]."""
        if features is None:
            if ct is None:
                raise ValueError("the pretrained CT branch needs the CT or its frozen features")
            features = self.frozen_features(ct)
        embedding: Tensor = self.head(self.pool(_in_pairs(self.tail, features).relu()))
        return embedding


def _in_pairs(stages: nn.Module, images: Tensor) -> Tensor:
    """What the stages make of images [B, C, x, y, z]; on a CPU a single one is passed twice.

    For a batch of one this small, torch does without oneDNN and takes seven times as long as for two.
    """
    single = len(images) == 1 and images.device.type == "cpu"
    features: Tensor = stages(images.expand(2, -1, -1, -1, -1) if single else images)
    return features[:1] if single else features
