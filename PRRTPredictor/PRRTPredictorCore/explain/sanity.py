"""Does a saliency map depend on what the network learnt? The model-randomisation check (Adebayo et al. 2018).

Layer after layer, from the output down to the images, the learnt weights are replaced by random ones. A map that stays
the same says nothing of what was learnt; one that is worth looking at loses its resemblance.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..evaluation.correlation import rank_correlation
from ..models.encoders import ImageEncoder, PretrainedCtEncoder, RunningStandardise
from ..models.fitted import FittedNetwork
from ..models.fusion import FusionNetwork
from ..records import Image
from .saliency import logit_gradients

TISSUE_HU = -300.0
"""Voxels above count: outside of the patient, every network agrees that there is nothing."""


@dataclass(frozen=True)
class LayerGroup:
    """Layers whose weights are replaced in one step.

    Attributes
    ----------
    name : str
        In words.
    modules : tuple of Module
    """

    name: str
    modules: tuple[nn.Module, ...]


@dataclass(frozen=True, eq=False)
class RandomisationCheck:
    """How much a map still resembles the trained network's, by how many layers are random.

    Attributes
    ----------
    stages : tuple of str, length S
        What has become random last; all stages before it are random too.
    correlation : mapping of {"pet", "ct"} to ndarray, shape (S,)
        Spearman's rank correlation of |∂ logit / ∂ voxel| with the trained network's over the patient's tissue; NaN
        where either map has no gradient.
    """

    stages: tuple[str, ...]
    correlation: dict[Image, NDArray[np.float64]]


def layers_from_output(network: FusionNetwork) -> tuple[LayerGroup, ...]:
    """The layers of a network from its output down; parallel image branches go down together, stage by stage."""
    groups = [LayerGroup("output", (network.output,)), LayerGroup("MLP", (network.hidden,))]
    branches = [branch for branch in (network.pet_branch, network.ct_branch) if branch is not None]
    groups.append(LayerGroup("embedding", tuple(branch.head for branch in branches)))
    stages = [_stages_from_deepest(branch) for branch in branches]
    depth = max(len(one) for one in stages)
    for place in range(depth):
        name = "first layer" if place == depth - 1 else f"stage {depth - place}"
        groups.append(LayerGroup(name, tuple(one[place] for one in stages if place < len(one))))
    return tuple(groups)


def randomisation_check(
    member: FittedNetwork,
    pet: NDArray[np.float32],
    ct: NDArray[np.float32],
    tabular: NDArray[np.float64],
    seed: int = 0,
) -> RandomisationCheck:
    """Replace a network's layers from the output down and compare its gradients with the trained ones.

    Gradients of the logit are compared: those of the probability differ by one factor a patient, which no rank sees.

    Parameters
    ----------
    member : FittedNetwork
        It is left as it is; a copy is made random.
    pet, ct : ndarray, shape (K, J, I)
        SUVbw and HU on the common grid.
    tabular : ndarray, shape (F,)
    seed : int
        Of the random weights.
    """
    tissue = ct > TISSUE_HU
    trained = _magnitudes(member, pet, ct, tabular, tissue)
    changed = copy.deepcopy(member)
    names, found = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for group in layers_from_output(changed.network):
            _randomise(group.modules)
            names.append(group.name)
            now = _magnitudes(changed, pet, ct, tabular, tissue)
            found.append({image: rank_correlation(values, now[image]) for image, values in trained.items()})
    return RandomisationCheck(
        stages=tuple(names),
        correlation={image: np.array([one[image] for one in found]) for image in trained},
    )


def agreement(maps: Sequence[NDArray[np.floating]], where: NDArray[np.bool_]) -> float:
    """Mean rank correlation of the magnitudes of every two maps inside ``where``: what independent fits share.

    Parameters
    ----------
    maps : sequence of ndarray, shape (K, J, I)
        Of one patient, one a network of the ensemble.
    where : ndarray of bool, shape (K, J, I)

    Returns
    -------
    float
        NaN for fewer than two maps, or where none has a gradient.
    """
    values = [np.abs(one[where]) for one in maps]
    pairs = [rank_correlation(a, b) for place, a in enumerate(values) for b in values[place + 1 :]]
    known = [one for one in pairs if np.isfinite(one)]
    return float(np.mean(known)) if known else float("nan")


def _stages_from_deepest(branch: ImageEncoder | PretrainedCtEncoder) -> list[nn.Module]:
    if isinstance(branch, PretrainedCtEncoder):
        return [*branch.front, *branch.tail][::-1]
    return [*(stage for stage in branch.stages if _holds_weights(stage)), branch.stem][::-1]


def _holds_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _magnitudes(
    member: FittedNetwork,
    pet: NDArray[np.float32],
    ct: NDArray[np.float32],
    tabular: NDArray[np.float64],
    tissue: NDArray[np.bool_],
) -> dict[Image, NDArray[np.float32]]:
    return {image: np.abs(values[tissue]) for image, values in logit_gradients(member, pet, ct, tabular).items()}


def _randomise(modules: Iterable[nn.Module]) -> None:
    """Draw every weight anew, each layer in the way in which it is drawn before training."""
    for module in modules:
        for layer in module.modules():
            if isinstance(layer, RunningStandardise):
                layer.mean.zero_()
                layer.variance.fill_(1.0)
            elif isinstance(layer, nn.Linear | nn.modules.conv._ConvNd | nn.GroupNorm):
                layer.reset_parameters()
