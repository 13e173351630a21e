"""How the models are sized and fitted: three frozen presets, so that a run is described by one word.

``paper`` repeats section 2.5 of the paper to the letter, ``tuned`` is what trains reliably on a hundred patients, and
``quick`` is ``tuned`` cut down to the minutes of a demonstration.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Literal

from ..errors import Code, ModelRefused

Window = tuple[float, float]


@dataclass(frozen=True)
class OptimiserSettings:
    """What moves the weights.

    Attributes
    ----------
    name : {"adam", "adamw"}
        "adam" couples the weight decay to the gradient (L2), "adamw" does not.
    schedule : {"constant", "cosine"}
        "cosine": linear warm-up over ``warmup_share`` of the steps, then a half cosine down to zero.
    gradient_clip : float or None
        Largest norm of one step's gradient.
    averaging : float
        Share of the running average of the weights that each step keeps; the average is what is validated and stored.
        0: no average.
    """

    name: Literal["adam", "adamw"]
    learning_rate: float
    weight_decay: float
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_share: float = 0.0
    gradient_clip: float | None = None
    averaging: float = 0.0


@dataclass(frozen=True)
class AugmentationSettings:
    """Random changes of a training image that leave the outcome as it is; applied to PET and CT alike.

    Attributes
    ----------
    shift_voxels : int
        Largest shift along every axis, in model voxels.
    scale_sd : float
        Standard deviation of a factor on the normalised intensities (calibration differs between scanners).
    noise_sd : float
        Standard deviation of added noise, in units of the normalised image.
    """

    shift_voxels: int = 0
    scale_sd: float = 0.0
    noise_sd: float = 0.0


@dataclass(frozen=True)
class NetworkSettings:
    """The size of the image branches and of the fusion head.

    Attributes
    ----------
    widths : tuple of int
        Channels of the stem and of each residual stage.
    stem_kernel, stem_stride : int
        The strided first convolution; a full-resolution one costs ten times as much.
    embedding : int
        Length of one image's embedding.
    mlp_widths : tuple of two int
        Width of the first two of the three MLP layers; the second is the fused embedding.
    dropout : float
        In the MLP.
    feature_dropout : float
        On the pooled image features.
    pet_levels, ct_levels : tuple of float
        Levels of the intensity histogram beside the CNN, in units of the normalised image; empty: the CNN alone.
    """

    widths: tuple[int, ...]
    stem_kernel: int
    stem_stride: int
    embedding: int
    mlp_widths: tuple[int, int]
    dropout: float
    feature_dropout: float = 0.0
    pet_levels: tuple[float, ...] = ()
    ct_levels: tuple[float, ...] = ()


@dataclass(frozen=True)
class PretrainingSettings:
    """The embedded CT encoder: a SegResNet that learns the organs of made phantoms.

    Attributes
    ----------
    init_filters : int
        Channels of its first stage (32 in MONAI's bundle).
    blocks_down : tuple of int
        Residual blocks a stage ((1, 2, 2, 4) in the bundle).
    phantoms, batches, batch_size : int
        How many phantoms are made, and how many steps of how many of them.
    shape : tuple of int
        Voxels of one phantom along (k, j, i).
    hu_window : tuple of float
        The fixed window that is mapped to [-1, 1].
    """

    init_filters: int
    blocks_down: tuple[int, ...]
    phantoms: int
    batches: int
    batch_size: int
    shape: tuple[int, int, int] = (75, 50, 50)
    hu_window: Window = (-300.0, 500.0)
    learning_rate: float = 1e-2
    seed: int = 0

    @property
    def num_groups(self) -> int:
        """Groups of the group normalisation: the bundle's 8, or fewer where there are fewer channels."""
        return min(8, self.init_filters)


@dataclass(frozen=True)
class ForestSettings:
    """scikit-learn's random forest on the labs."""

    trees: int
    max_depth: int | None
    min_samples_leaf: int


@dataclass(frozen=True)
class Preset:
    """Everything that fitting needs besides the data and the seed.

    Attributes
    ----------
    epochs, patience : int
        Most passes over the training patients; without improvement on the inner validation patients for ``patience``
        epochs, fitting stops. ``patience`` 0: no early stopping.
    batch_size : int
    inner_validation : float
        Share of a fold's training patients set aside for early stopping; 0 trains on all of them.
    class_weighting : {"none", "balanced"}
        "balanced" shifts probabilities towards 50 % and therefore needs ``recalibrate``.
    recalibrate : bool
        Fit a scale and bias of the logit on inner out-of-fold predictions.
    log_labs : bool
        log(1 + x) before the labs are standardised.
    suv_window, hu_window : tuple of float or None
        Clamped to this range before standardising; None leaves the values as they are.
    ct_init : {"pretrained", "random"}
        Start of the pretrained CT branch; "random" is the control experiment.
    ct_trainable_stages : int
        How many of that branch's four stages are fitted on a CPU, counted from the last; 0 freezes all of it.
    ct_trainable_stages_gpu : int
        The same on a GPU.
    """

    name: str
    optimiser: OptimiserSettings
    network: NetworkSettings
    pretraining: PretrainingSettings
    forest: ForestSettings
    epochs: int
    patience: int
    batch_size: int
    inner_validation: float
    augmentation: AugmentationSettings | None
    log_labs: bool
    suv_window: Window | None
    hu_window: Window | None
    class_weighting: Literal["none", "balanced"] = "none"
    recalibrate: bool = False
    ct_init: Literal["pretrained", "random"] = "pretrained"
    ct_trainable_stages: int = 1
    ct_trainable_stages_gpu: int = 4

    def digest(self) -> str:
        """SHA-256 of all settings: two presets with one digest fit the same models."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def with_ct_control(self, *, init: Literal["pretrained", "random"], trainable_stages: int) -> Preset:
        """The same preset with another start of the pretrained CT branch: the control experiments."""
        return replace(
            self, ct_init=init, ct_trainable_stages=trainable_stages, ct_trainable_stages_gpu=trainable_stages
        )


_NETWORK = NetworkSettings(
    widths=(8, 16, 32), stem_kernel=5, stem_stride=3, embedding=16, mlp_widths=(32, 16), dropout=0.1
)
# Chosen on two made strong cohorts (seeds 1 and 2): a wider network fitted seventy patients by heart.
_WITH_HISTOGRAM = NetworkSettings(
    widths=(4, 8, 16),
    stem_kernel=5,
    stem_stride=4,
    embedding=4,
    mlp_widths=(16, 8),
    dropout=0.2,
    feature_dropout=0.5,
    pet_levels=(-0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0),
    ct_levels=(-0.4, 0.0, 0.4, 0.8, 1.2, 1.6, 2.0, 3.0, 4.0),
)
_PRETRAINING = PretrainingSettings(init_filters=8, blocks_down=(1, 1, 2, 2), phantoms=48, batches=300, batch_size=2)

PAPER = Preset(
    name="paper",
    optimiser=OptimiserSettings("adam", learning_rate=0.01, weight_decay=0.2),
    network=_NETWORK,
    pretraining=_PRETRAINING,
    forest=ForestSettings(trees=100, max_depth=None, min_samples_leaf=1),
    epochs=40,
    patience=0,
    batch_size=8,
    inner_validation=0.0,
    augmentation=None,
    log_labs=False,
    suv_window=None,
    hu_window=None,
)

TUNED = Preset(
    name="tuned",
    optimiser=OptimiserSettings(
        "adamw",
        learning_rate=3e-3,
        weight_decay=0.05,
        schedule="cosine",
        warmup_share=0.1,
        gradient_clip=1.0,
        averaging=0.95,
    ),
    network=_WITH_HISTOGRAM,
    pretraining=_PRETRAINING,
    forest=ForestSettings(trees=500, max_depth=6, min_samples_leaf=3),
    epochs=60,
    patience=20,
    batch_size=8,
    inner_validation=0.15,
    augmentation=AugmentationSettings(shift_voxels=2, scale_sd=0.03, noise_sd=0.02),
    log_labs=True,
    suv_window=(0.0, 25.0),
    hu_window=(-200.0, 300.0),
)

QUICK = replace(
    TUNED,
    name="quick",
    pretraining=PretrainingSettings(init_filters=4, blocks_down=(1, 1, 1, 1), phantoms=12, batches=60, batch_size=2),
    forest=ForestSettings(trees=200, max_depth=6, min_samples_leaf=3),
    epochs=20,
    patience=8,
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in (PAPER, TUNED, QUICK)})
"""Every preset by name."""


def preset_named(name: str) -> Preset:
    """The preset of that name.

    Raises
    ------
    ModelRefused
        ``MODEL_MISMATCH`` when there is none; the remedy lists the names.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise ModelRefused(
            Code.MODEL_MISMATCH,
            f"There is no preset named “{name}”.",
            where="preset",
            remedy=f"Choose among: {', '.join(PRESETS)}.",
        ) from None
