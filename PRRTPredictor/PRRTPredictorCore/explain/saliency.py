"""Where an ensemble looked: the vanilla gradient of the probability with respect to every voxel (paper, Fig. 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.answers import NetworkAnswers, ask
from ..models.fitted import FittedNetwork
from ..models.registry import ModelSpec


@dataclass(frozen=True, eq=False)
class SaliencyMaps:
    """Saliency on the common grid, each map scaled to [0, 1]; None for an image that the model does not see.

    Attributes
    ----------
    pet, ct : ndarray or None, shape (K, J, I), float32
    """

    pet: NDArray[np.float32] | None
    ct: NDArray[np.float32] | None


def gradient_saliency(answers: Sequence[NetworkAnswers]) -> SaliencyMaps:
    """Average |∂ probability / ∂ voxel| of one patient over a fold ensemble and scale it to [0, 1].

    Parameters
    ----------
    answers : sequence of NetworkAnswers
        One a member of the ensemble, for the same single patient (B = 1).

    Returns
    -------
    SaliencyMaps
        Min–max scaled after averaging; a map without any gradient stays zero.
    """

    def averaged(maps: list[torch.Tensor]) -> NDArray[np.float32] | None:
        if not maps:
            return None
        return unit_range(torch.stack([one[0].abs() for one in maps]).mean(dim=0).cpu().numpy())

    return SaliencyMaps(
        pet=averaged([answer.pet_gradients for answer in answers if answer.pet_gradients is not None]),
        ct=averaged([answer.ct_gradients for answer in answers if answer.ct_gradients is not None]),
    )


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
    spec: ModelSpec = member.spec

    def tensor(array: NDArray[np.floating], used: bool) -> torch.Tensor | None:
        if not used:
            return None
        return torch.from_numpy(np.array(array, dtype=np.float32)[None]).to(member.recalibration.device)

    return ask(
        member, tensor(pet[None], spec.uses_pet), tensor(ct[None], spec.uses_ct), tensor(tabular, spec.uses_labs)
    )


def unit_range(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale to [0, 1] by the smallest and largest value; a constant becomes 0."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.zeros(values.shape, dtype=np.float32)
    return ((values.astype(np.float64) - low) / (high - low)).astype(np.float32)
