"""One image in, one short embedding out: the small 3-D CNN, and the SegResNet encoder that starts pretrained.

Both pool their last feature map by mean and by maximum: the mean carries how much there is in the whole body (tumour
burden), the maximum the most conspicuous place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from monai.networks.blocks.convolutions import Convolution, ResidualUnit
from monai.networks.nets.segresnet import SegResNet
from torch import Tensor, nn

from ..errors import Code, ModelRefused
from .presets import NetworkSettings, Window

ENCODER_STAGES = 4
"""Stages (``down_layers``) of every SegResNet here, from full to an eighth of the resolution."""


class MeanMaxPool(nn.Module):
    """Global mean and global maximum of every channel, one after the other: [B, C, k, j, i] to [B, 2 C]."""

    def forward(self, features: Tensor) -> Tensor:
        """Pool over space."""
        flat = features.flatten(2)
        return torch.cat((flat.mean(dim=2), flat.amax(dim=2)), dim=1)


class ImageEncoder(nn.Module):
    """A strided stem, residual stages of MONAI blocks, mean and maximum pooling, one linear layer.

    Normalisation is by group within one sample, so that a patient's output never depends on the others of the batch.

    Parameters
    ----------
    settings : NetworkSettings
        Widths, stem and embedding.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        first, *rest = settings.widths
        self.stem = Convolution(
            3, 1, first, strides=settings.stem_stride, kernel_size=settings.stem_kernel, adn_ordering="A", act="relu"
        )
        self.stages = nn.ModuleList()
        width = first
        for wider in rest:
            self.stages.append(
                ResidualUnit(3, width, wider, strides=2, subunits=2, norm=("GROUP", {"num_groups": 1}), act="relu")
            )
            width = wider
        self.pool = MeanMaxPool()
        self.head = nn.Sequential(
            nn.Linear(2 * sum(settings.widths), settings.embedding), nn.LayerNorm(settings.embedding)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Embed normalised images [B, 1, K, J, I]; returns [B, embedding]."""
        features = self.stem(image)
        pooled = [self.pool(features)]
        for stage in self.stages:
            features = stage(features)
            pooled.append(self.pool(features))
        embedding: Tensor = self.head(torch.cat(pooled, dim=1))
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
    embedding : int
        Length of the embedding.
    trainable_stages : int
        How many of the four stages are fitted, counted from the last. 4 fits the first convolution too.

    Raises
    ------
    ModelRefused
        ``MODEL_MISMATCH`` for a number of stages outside 0…4.
    """

    def __init__(self, encoder: PretrainedEncoder, embedding: int, trainable_stages: int) -> None:
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
        self.pool = MeanMaxPool()
        self.head = nn.Sequential(
            nn.LayerNorm(2 * encoder.channels), nn.Linear(2 * encoder.channels, embedding), nn.LayerNorm(embedding)
        )

    def frozen_features(self, ct: Tensor) -> Tensor:
        """What the frozen stages make of CTs in HU [B, 1, K, J, I]: the same for every fold, so worth keeping."""
        features: Tensor = self.front(to_bundle_axes(ct, self.hu_window))
        return features

    def forward(self, ct: Tensor | None, features: Tensor | None = None) -> Tensor:
        """Embed CTs in HU [B, 1, K, J, I], or go on from their :meth:`frozen_features`; returns [B, embedding]."""
        if features is None:
            if ct is None:
                raise ValueError("the pretrained CT branch needs the CT or its frozen features")
            features = self.frozen_features(ct)
        embedding: Tensor = self.head(self.pool(self.tail(features)))
        return embedding
