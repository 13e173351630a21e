"""Where a network looked: the vanilla gradient of the probability with respect to every voxel (paper, Fig. 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from ..models.fitted import FittedNetwork


@dataclass(frozen=True, eq=False)
class SaliencyMaps:
    """Saliency on the common grid, each map scaled to [0, 1]; None for an image that the model does not see.

    Attributes
    ----------
    pet, ct : ndarray or None, shape (K, J, I), float32
    """

    pet: NDArray[np.float32] | None
    ct: NDArray[np.float32] | None


def gradient_saliency(
    members: Sequence[FittedNetwork],
    pet: NDArray[np.float32] | None,
    ct: NDArray[np.float32] | None,
    tabular: NDArray[np.float64] | None,
) -> SaliencyMaps:
    """Average |∂ probability / ∂ voxel| over a fold ensemble and scale it to [0, 1].

    Parameters
    ----------
    members : sequence of FittedNetwork
        The ensemble; each takes raw inputs, so that the gradient is per SUV and per HU.
    pet, ct : ndarray or None, shape (K, J, I)
        SUVbw and HU on the common grid; ignored where the members do not use them.
    tabular : ndarray or None, shape (F,)
        Labs and extras in their own units.

    Returns
    -------
    SaliencyMaps
        Min–max scaled after averaging; a map without any gradient stays zero.
    """
    sums: dict[str, NDArray[np.float64]] = {}
    for member in members:
        for name, gradient in probability_gradients(member, pet, ct, tabular).items():
            sums[name] = sums.get(name, 0.0) + np.abs(gradient).astype(np.float64)
    return SaliencyMaps(
        pet=_unit_range(sums["pet"]) if "pet" in sums else None,
        ct=_unit_range(sums["ct"]) if "ct" in sums else None,
    )


def probability_gradients(
    member: FittedNetwork,
    pet: NDArray[np.float32] | None,
    ct: NDArray[np.float32] | None,
    tabular: NDArray[np.float64] | None,
) -> dict[str, NDArray[np.float32]]:
    """Return ∂ probability / ∂ voxel of one network for the images that it uses, each of shape (K, J, I)."""
    import torch

    device = next(member.parameters()).device

    def batch_of_one(array: NDArray[np.floating] | None, used: bool) -> torch.Tensor | None:
        if array is None or not used:
            return None
        return torch.tensor(np.asarray(array, dtype=np.float32), device=device)[None]

    images = {
        "pet": batch_of_one(None if pet is None else pet[None], member.spec.uses_pet),
        "ct": batch_of_one(None if ct is None else ct[None], member.spec.uses_ct),
    }
    seen = {name: image.requires_grad_() for name, image in images.items() if image is not None}
    if not seen:
        return {}
    probability = torch.sigmoid(member(images["pet"], images["ct"], batch_of_one(tabular, member.spec.uses_labs)))
    gradients = torch.autograd.grad(probability.sum(), list(seen.values()))
    return {name: gradient[0, 0].cpu().numpy() for name, gradient in zip(seen, gradients, strict=True)}


def _unit_range(values: NDArray[np.float64]) -> NDArray[np.float32]:
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.zeros(values.shape, dtype=np.float32)
    return ((values - low) / (high - low)).astype(np.float32)
