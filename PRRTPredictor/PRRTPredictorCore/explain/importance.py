"""What each blood value contributed: gradient x input of the standardised labs where they enter the fusion layer.

The numbers are logits, positive towards long PFS. For a random forest, which has no gradient, the same question is
answered along the decision paths (:meth:`PRRTPredictorCore.models.forest.FittedForest.contributions`); the two must not
be drawn on one axis without saying so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.fitted import FittedModel, FittedNetwork


def lab_contributions(
    members: Sequence[FittedModel],
    names: Sequence[str],
    pet: NDArray[np.float32],
    ct: NDArray[np.float32],
    tabular: NDArray[np.float64],
) -> dict[str, float]:
    """Average the contribution of every tabular input over an ensemble.

    Parameters
    ----------
    members : sequence of FittedModel
    names : sequence of str, length F
        Names of the tabular inputs, in order.
    pet, ct : ndarray, shape (K, J, I)
        SUVbw and HU on the common grid.
    tabular : ndarray, shape (F,)

    Returns
    -------
    dict of str to float
        Logits towards long PFS; empty for models without labs.
    """
    contributions = [
        gradient_times_input(member, pet, ct, tabular)
        if isinstance(member, FittedNetwork)
        else member.contributions(tabular[None])[0]
        for member in members
        if member.spec.uses_labs
    ]
    if not contributions:
        return {}
    return {name: float(value) for name, value in zip(names, np.mean(contributions, axis=0), strict=True)}


def gradient_times_input(
    member: FittedNetwork, pet: NDArray[np.float32], ct: NDArray[np.float32], tabular: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ∂ logit / ∂ z · z for the standardised tabular inputs z of one network, shape (F,)."""
    device = member.recalibration.device

    def one(array: NDArray[np.floating]) -> torch.Tensor:
        return torch.tensor(np.asarray(array, dtype=np.float32), device=device)[None]

    with torch.no_grad():
        scaled_pet, scaled_ct, standardised = member.normalise(
            one(pet[None]) if member.spec.uses_pet else None,
            one(ct[None]) if member.spec.uses_ct else None,
            one(tabular),
        )
        images = member.network.image_embedding(scaled_pet, scaled_ct)
    if standardised is None:
        return np.zeros(len(tabular))
    labs = standardised.detach().requires_grad_()
    logit = member.network.output(member.network.fuse(images, labs)).sum() * member.recalibration[0]
    (gradient,) = torch.autograd.grad(logit, [labs])
    return np.asarray((gradient * labs).detach()[0].double().cpu().numpy())
