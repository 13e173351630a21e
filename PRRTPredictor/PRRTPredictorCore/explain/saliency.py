"""Where an ensemble looked: the gradient of the probability with respect to every voxel (paper, Fig. 9).

Beside the paper's vanilla gradient stand SmoothGrad and integrated gradients, all three by captum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.answers import NetworkAnswers, ask
from ..models.fitted import FittedNetwork
from ..models.registry import ModelSpec
from ..records import Image
from .methods import SaliencyMethod

SMOOTHGRAD_COPIES = 24
SMOOTHGRAD_NOISE = 0.15
"""Standard deviation of the noise as a share of the image's range within the model's window (Smilkov 2017: 10–20 %)."""

INTEGRATION_STEPS = 128
"""The intensity histogram bends sharply near the empty image: 32 steps may miss half of the sum, 128 some percent."""
EMPTY_SUV, EMPTY_HU = 0.0, -1000.0
"""The empty image from which integrated gradients start."""

COPIES_AT_ONCE = 4


@dataclass(frozen=True, eq=False)
class SaliencyMaps:
    """Saliency on the common grid, each map scaled to [0, 1]; None for an image that the model does not see.

    Attributes
    ----------
    pet, ct : ndarray or None, shape (K, J, I), float32
    """

    pet: NDArray[np.float32] | None
    ct: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class Attributions:
    """What one network answers to one :data:`SaliencyMethod`, unscaled; None for an image that it does not see.

    Attributes
    ----------
    pet, ct : ndarray or None, shape (K, J, I), float32
        With sign: positive where more (uptake, density) would raise the probability of long PFS. Gradient and
        SmoothGrad are per SUV and per HU, integrated gradients are shares of the probability.
    gap : float
        By how much integrated gradients miss the change of the probability that they should add up to; NaN for the
        other methods.
    """

    pet: NDArray[np.float32] | None
    ct: NDArray[np.float32] | None
    gap: float = float("nan")


def gradient_saliency(answers: Sequence[NetworkAnswers], row: int = 0) -> SaliencyMaps:
    """Average |∂ probability / ∂ voxel| of one patient over a fold ensemble and scale it to [0, 1].

    Parameters
    ----------
    answers : sequence of NetworkAnswers
        One a member of the ensemble, for the same patients.
    row : int
        Which of them.

    Returns
    -------
    SaliencyMaps
        Min–max scaled after averaging; a map without any gradient stays zero.
    """

    def map_of(gradients: Tensor | None) -> NDArray[np.float32] | None:
        return None if gradients is None else gradients[row].float().cpu().numpy()

    return ensemble_saliency(
        [Attributions(map_of(answer.pet_gradients), map_of(answer.ct_gradients)) for answer in answers]
    )


def ensemble_saliency(parts: Sequence[Attributions]) -> SaliencyMaps:
    """Average the magnitudes of one patient's attributions over an ensemble and scale each map to [0, 1].

    Parameters
    ----------
    parts : sequence of Attributions
        One a member of the ensemble.

    Returns
    -------
    SaliencyMaps
        Min–max scaled after averaging; a map without any attribution stays zero.
    """

    mean = mean_magnitudes(parts)
    return SaliencyMaps(
        pet=None if mean.pet is None else unit_range(mean.pet), ct=None if mean.ct is None else unit_range(mean.ct)
    )


def mean_magnitudes(parts: Sequence[Attributions]) -> Attributions:
    """Average the magnitudes (and gaps) of one patient's attributions over an ensemble, in the unit that they have."""

    def averaged(maps: list[NDArray[np.float32]]) -> NDArray[np.float32] | None:
        if not maps:
            return None
        total, magnitude = np.abs(maps[0]), np.empty_like(maps[0])
        for one in maps[1:]:
            total += np.abs(one, out=magnitude)
        total /= len(maps)
        return total

    return Attributions(
        pet=averaged([part.pet for part in parts if part.pet is not None]),
        ct=averaged([part.ct for part in parts if part.ct is not None]),
        gap=float(np.mean([abs(part.gap) for part in parts])),
    )


def attribute(
    member: FittedNetwork,
    pet: NDArray[np.float32],
    ct: NDArray[np.float32],
    tabular: NDArray[np.float64],
    method: SaliencyMethod = "gradient",
    seed: int = 0,
) -> Attributions:
    """Ask one network where it looked in one patient.

    Parameters
    ----------
    pet, ct : ndarray, shape (K, J, I)
        SUVbw and HU on the common grid; ignored where the network does not use them.
    tabular : ndarray, shape (F,)
        Labs and extras in their own units; they stay as they are while the images change.
    method : {"gradient", "smoothgrad", "integrated"}
        Vanilla gradients (Simonyan 2013), SmoothGrad (Smilkov 2017) or integrated gradients (Sundararajan 2017), all
        of the probability of long PFS, by captum.
    seed : int
        Of SmoothGrad's noise.
    """
    from captum.attr import IntegratedGradients, NoiseTunnel, Saliency

    images, labs = _inputs(member, pet, ct, tabular)
    names = tuple(images)
    forward = _probability(member, names)
    given = tuple(image.requires_grad_() for image in images.values())
    gap = float("nan")
    if method == "integrated":
        # Below its window the network sees no difference: starting there spends every step where something changes.
        empty = {"pet": max(EMPTY_SUV, member.window("pet")[0]), "ct": max(EMPTY_HU, member.window("ct")[0])}
        found, delta = IntegratedGradients(forward).attribute(
            given,
            baselines=tuple(empty[name] for name in names),
            additional_forward_args=labs,
            n_steps=INTEGRATION_STEPS,
            internal_batch_size=COPIES_AT_ONCE,
            return_convergence_delta=True,
        )
        gap = float(delta)
    elif method == "smoothgrad":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            found = NoiseTunnel(Saliency(forward)).attribute(
                given,
                nt_samples=SMOOTHGRAD_COPIES,
                nt_samples_batch_size=COPIES_AT_ONCE,
                stdevs=tuple(SMOOTHGRAD_NOISE * _range_seen(member, name, image) for name, image in images.items()),
                additional_forward_args=labs,
                abs=False,
            )
    else:
        found = Saliency(forward).attribute(given, additional_forward_args=labs, abs=False)
    maps = {name: one[0, 0].detach().float().cpu().numpy() for name, one in zip(names, found, strict=True)}
    return Attributions(maps.get("pet"), maps.get("ct"), gap)


def logit_gradients(
    member: FittedNetwork, pet: NDArray[np.float32], ct: NDArray[np.float32], tabular: NDArray[np.float64]
) -> dict[Image, NDArray[np.float32]]:
    """∂ logit / ∂ voxel [K, J, I] of one patient for each image that the network sees, before any recalibration.

    Arguments as in :func:`attribute`. A sure network's probability has hardly any slope left; its logit still has.
    """
    images, labs = _inputs(member, pet, ct, tabular)
    given = [image.requires_grad_() for image in images.values()]
    embeddings = member.embed(images.get("pet"), images.get("ct"), labs)
    gradients = torch.autograd.grad(member.network.output(embeddings).sum(), given)
    return {name: one[0, 0].float().cpu().numpy() for name, one in zip(images, gradients, strict=True)}


def ask_one(
    member: FittedNetwork,
    pet: NDArray[np.float32],
    ct: NDArray[np.float32],
    tabular: NDArray[np.float64],
) -> NetworkAnswers:
    """Ask one network about one patient.

    Parameters
    ----------
    pet, ct : ndarray, shape (K, J, I)
        SUVbw and HU on the common grid; ignored where the network does not use them.
    tabular : ndarray, shape (F,)
        Labs and extras in their own units.
    """
    images, labs = _inputs(member, pet, ct, tabular)
    return ask(member, images.get("pet"), images.get("ct"), labs)


def unit_range(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale to [0, 1] by the smallest and largest value; a constant becomes 0."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.zeros(values.shape, dtype=np.float32)
    return ((values.astype(np.float64) - low) / (high - low)).astype(np.float32)


def _inputs(
    member: FittedNetwork, pet: NDArray[np.float32], ct: NDArray[np.float32], tabular: NDArray[np.float64]
) -> tuple[dict[Image, Tensor], Tensor | None]:
    """What the network uses of one patient: the images [1, 1, K, J, I] by name, and the tabular inputs [1, F]."""
    spec: ModelSpec = member.spec

    def tensor(array: NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(np.array(array, dtype=np.float32)[None]).to(member.recalibration.device)

    used: tuple[tuple[Image, NDArray[np.float32], bool], ...] = (
        ("pet", pet, spec.uses_pet),
        ("ct", ct, spec.uses_ct),
    )
    images: dict[Image, Tensor] = {name: tensor(array[None]) for name, array, present in used if present}
    return images, tensor(tabular) if spec.uses_labs else None


def _probability(member: FittedNetwork, names: tuple[Image, ...]) -> Callable[..., Tensor]:
    """The network as a function of the named images, then of the labs where it uses them."""

    def forward(*given: Tensor) -> Tensor:
        images = dict(zip(names, given, strict=False))
        labs = given[len(names)] if len(given) > len(names) else None
        return torch.sigmoid(member(images.get("pet"), images.get("ct"), labs))

    return forward


def _range_seen(member: FittedNetwork, name: Image, image: Tensor) -> float:
    """How far an image's values, from the 1st to the 99th percentile, spread within the window that the model sees."""
    low, high = member.window(name)
    edges = torch.quantile(image.detach().clamp(low, high).flatten(), torch.tensor([0.01, 0.99], device=image.device))
    return float(edges[1] - edges[0])
