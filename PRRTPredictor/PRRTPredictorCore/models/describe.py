"""A model in numbers, layer by layer: for the report's pipeline figure and for whoever rebuilds it.

Sizes are not worked out by hand: a network without memory ("meta" tensors) is built as training builds it, and what
passes through its layers is written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from .encoders import ImageEncoder, PretrainedCtEncoder, PretrainedEncoder
from .fusion import FusionNetwork, parameter_count
from .presets import Preset, Window
from .registry import ModelSpec

BranchInput = Literal["SR-PET", "CT", "labs"]
StageKind = Literal["convolution", "residual", "histogram", "embedding", "mlp", "output"]

PAPER_SHAPE = (75, 50, 50)
"""Voxels of one image along (k, j, i) in the paper (section 2.5)."""


@dataclass(frozen=True)
class StageDescription:
    """One step of a network.

    Attributes
    ----------
    kind : str
        "convolution" (the first one), "residual" blocks, the intensity "histogram", the "embedding" of an image, an
        "mlp" layer, the "output".
    shape : tuple of int
        What comes out: channels, then voxels along (k, j, i); or the count of numbers.
    parameters, fitted_parameters : int
        Its weights, and those of them that a fold fits.
    """

    kind: StageKind
    shape: tuple[int, ...]
    parameters: int
    fitted_parameters: int

    @property
    def frozen(self) -> bool:
        """Whether it has weights of which no fold changes any."""
        return self.parameters > 0 and self.fitted_parameters == 0


@dataclass(frozen=True)
class BranchDescription:
    """One input and what happens to it before the fusion.

    Attributes
    ----------
    input : {"SR-PET", "CT", "labs"}
    shape : tuple of int
        Voxels along (k, j, i), or the count of tabular inputs.
    start : {"none", "random", "pretrained"}
        Of its weights; "none" for the tabular inputs, which have no branch.
    window : tuple of float or None
        Values beyond are clamped: SUVbw for PET, HU for CT; None: none.
    standardised : bool
        z-score by the training fold's mean and deviation; otherwise the window is mapped to [-1, 1].
    log1p : bool
        log(1 + x) before standardising.
    stages : tuple of StageDescription
        In order; a histogram stands beside the convolutions, between the image and the embedding.
    outputs : int
        Numbers that it hands to the fusion.
    """

    input: BranchInput
    shape: tuple[int, ...]
    start: Literal["none", "random", "pretrained"]
    window: Window | None
    standardised: bool
    log1p: bool
    stages: tuple[StageDescription, ...]
    outputs: int

    @property
    def frozen_stages(self) -> int:
        """Stages of which no fold changes a weight."""
        return sum(stage.frozen for stage in self.stages)


@dataclass(frozen=True)
class NetworkDescription:
    """A network in numbers.

    Attributes
    ----------
    branches : tuple of BranchDescription
        In the order of the fusion.
    fused_inputs : int
        Numbers that reach the first MLP layer.
    mlp : tuple of StageDescription
        The three layers; the second is the fused embedding, the third the logit.
    stem_kernel, stem_stride : int
        Of the first convolution of a branch that starts at random.
    dropout, feature_dropout : float
        In the MLP, and on the pooled image features.
    parameters, fitted_parameters : int
        All weights, and those that a fold fits.
    """

    model: str
    preset: str
    branches: tuple[BranchDescription, ...]
    fused_inputs: int
    mlp: tuple[StageDescription, ...]
    stem_kernel: int
    stem_stride: int
    dropout: float
    feature_dropout: float
    parameters: int
    fitted_parameters: int

    def branch(self, name: BranchInput) -> BranchDescription | None:
        """The branch of that input; None where the network does not see it."""
        return next((branch for branch in self.branches if branch.input == name), None)


@dataclass(frozen=True)
class ForestDescription:
    """A random forest in numbers.

    Attributes
    ----------
    inputs : int
        Tabular inputs, unnormalised.
    max_depth : int or None
        None: trees grow until their leaves are pure.
    """

    model: str
    preset: str
    inputs: int
    trees: int
    max_depth: int | None
    min_samples_leaf: int


ModelDescription = NetworkDescription | ForestDescription


def describe_model(
    spec: ModelSpec,
    preset: Preset,
    n_tabular: int,
    ct_encoder: PretrainedEncoder | None = None,
    trainable_stages: int | None = None,
    image_shape: Sequence[int] = PAPER_SHAPE,
) -> ModelDescription:
    """A model as these settings make it; no memory is taken and no random number drawn.

    Parameters
    ----------
    n_tabular : int
        Tabular inputs: the four labs and any extras.
    ct_encoder, trainable_stages
        As for :class:`~PRRTPredictorCore.models.fusion.FusionNetwork`.
    image_shape : sequence of int
        Voxels along (k, j, i).

    Raises
    ------
    ModelRefused
        ``MODEL_MISMATCH`` when a pretrained branch is given no encoder.
    """
    if spec.kind == "forest":
        forest = preset.forest
        return ForestDescription(
            spec.name, preset.name, n_tabular, forest.trees, forest.max_depth, forest.min_samples_leaf
        )
    with torch.device("meta"):
        network = FusionNetwork(spec, preset, n_tabular, ct_encoder, trainable_stages)
    return _describe(network.to("meta").eval(), preset, image_shape)


def _describe(network: FusionNetwork, preset: Preset, image_shape: Sequence[int]) -> NetworkDescription:
    """Send one patient without values through a network of meta tensors."""
    with _Watch(network) as seen, torch.no_grad():
        image = torch.empty((1, 1, *image_shape), device="meta")
        network(image, image, torch.empty((1, network.n_tabular), device="meta"))
    shape = tuple(int(side) for side in image_shape)
    branches = []
    if network.pet_branch is not None:
        branches.append(_cnn_branch("SR-PET", network.pet_branch, seen, shape, preset.suv_window))
    if isinstance(network.ct_branch, PretrainedCtEncoder):
        branches.append(_encoder_branch(network.ct_branch, seen, shape, preset))
    elif network.ct_branch is not None:
        branches.append(_cnn_branch("CT", network.ct_branch, seen, shape, preset.hu_window))
    if network.n_tabular:
        count = network.n_tabular
        branches.append(BranchDescription("labs", (count,), "none", None, True, preset.log_labs, (), count))
    layers = [module for module in (*network.hidden, *network.output) if isinstance(module, nn.Linear)]
    size = preset.network
    return NetworkDescription(
        model=network.spec.name,
        preset=preset.name,
        branches=tuple(branches),
        fused_inputs=network.fused_inputs,
        mlp=tuple(_stage("output" if layer is layers[-1] else "mlp", (layer.out_features,), layer) for layer in layers),
        stem_kernel=size.stem_kernel,
        stem_stride=size.stem_stride,
        dropout=size.dropout,
        feature_dropout=size.feature_dropout,
        parameters=parameter_count(network),
        fitted_parameters=parameter_count(network, fitted_only=True),
    )


class _Watch:
    """Notes the shape that leaves every module, while it is open."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._shapes: dict[nn.Module, tuple[int, ...]] = {}

    def __enter__(self) -> _Watch:
        def note(module: nn.Module, _inputs: object, output: Tensor) -> None:
            self._shapes[module] = tuple(int(side) for side in output.shape[1:])

        self._hooks = [module.register_forward_hook(note) for module in self._network.modules()]
        return self

    def __exit__(self, *_failure: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def shape(self, module: nn.Module) -> tuple[int, ...]:
        """What left the module: channels and voxels, or the count of numbers."""
        return self._shapes[module]


def _cnn_branch(
    name: BranchInput, branch: ImageEncoder, seen: _Watch, shape: tuple[int, ...], window: Window | None
) -> BranchDescription:
    stages = [_stage("convolution", seen.shape(branch.stem), branch.stem)]
    # Residual units and their activations take turns.
    stages += [_stage("residual", seen.shape(unit), unit) for unit in branch.stages if not isinstance(unit, nn.ReLU)]
    if branch.histogram is not None:
        stages.append(_stage("histogram", seen.shape(branch.histogram), branch.histogram))
    stages.append(_stage("embedding", seen.shape(branch.head), branch.head))
    return BranchDescription(name, shape, "random", window, True, False, tuple(stages), stages[-1].shape[0])


def _encoder_branch(
    branch: PretrainedCtEncoder, seen: _Watch, shape: tuple[int, ...], preset: Preset
) -> BranchDescription:
    stages = []
    for stage in (*branch.front, *branch.tail):
        channels, *voxels = seen.shape(stage)
        # Its axes are x, y, z, as MONAI's bundle expects.
        stages.append(_stage("residual", (channels, *reversed(voxels)), stage))
    stages.append(_stage("embedding", seen.shape(branch.head), branch.head))
    return BranchDescription(
        input="CT",
        shape=shape,
        start=preset.ct_init,
        window=branch.hu_window,
        standardised=False,
        log1p=False,
        stages=tuple(stages),
        outputs=stages[-1].shape[0],
    )


def _stage(kind: StageKind, shape: tuple[int, ...], module: nn.Module) -> StageDescription:
    return StageDescription(kind, shape, parameter_count(module), parameter_count(module, fitted_only=True))
