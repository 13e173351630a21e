"""What a fitted network says of patients and why: logits, embeddings and gradients in one pass over raw inputs.

Training asks it about held-out patients, prediction about a new one, so that both mean the same by saliency and by a
lab's contribution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from .fitted import FittedNetwork

Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False)
class NetworkAnswers:
    """The answers for B patients; None for what the network does not see.

    Attributes
    ----------
    logits : Tensor, shape (B,)
    embeddings : Tensor, shape (B, E)
        Activations of the MLP's second layer.
    fusion_inputs : Tensor, shape (B, D)
        What the MLP's first layer receives: image embeddings (PET, then CT), then the standardised tabular inputs.
    pet_gradients, ct_gradients : Tensor or None, shape (B, K, J, I)
        ∂ probability / ∂ voxel, per SUV and per HU.
    lab_contributions : Tensor or None, shape (B, F)
        ∂ logit / ∂ z · z of the standardised tabular inputs z where they enter the fusion layer: logits, positive
        towards long PFS.
    """

    logits: Tensor
    embeddings: Tensor
    fusion_inputs: Tensor
    pet_gradients: Tensor | None
    ct_gradients: Tensor | None
    lab_contributions: Tensor | None


def ask(
    fitted: FittedNetwork,
    pet: Tensor | None,
    ct: Tensor | None,
    tabular: Tensor | None,
    ct_features: Tensor | None = None,
) -> NetworkAnswers:
    """Ask a fitted network about patients and differentiate its answer.

    Parameters
    ----------
    pet, ct : Tensor or None, shape (B, 1, K, J, I)
        SUVbw and HU; an image that the network does not use is ignored.
    tabular : Tensor or None, shape (B, F)
        Labs and extras in their own units.
    ct_features : Tensor, optional
        Stand for the CT, as in :meth:`FusionNetwork.forward`; there is no CT gradient then.
    """
    spec = fitted.spec
    pet = pet.detach().requires_grad_() if pet is not None and spec.uses_pet else None
    ct = ct.detach().requires_grad_() if ct is not None and spec.uses_ct and ct_features is None else None
    scaled_pet, scaled_ct, scaled_table = fitted.normalise(pet, ct, tabular if spec.uses_labs else None)
    z = None if scaled_table is None else scaled_table.detach().requires_grad_()
    fusion_inputs = fitted.network.fusion_inputs(scaled_pet, scaled_ct, z, ct_features)
    embeddings = fitted.network.hidden(fusion_inputs)
    logits = fitted.answer(embeddings)
    inputs = [value for value in (pet, ct, z) if value is not None]
    gradients = dict(zip(map(id, inputs), torch.autograd.grad(logits.sum(), inputs), strict=True))
    # ∂p/∂x = p (1 - p) ∂logit/∂x: one backward pass serves probability and logit alike.
    probability = torch.sigmoid(logits.detach())
    slope = (probability * (1 - probability)).view(-1, 1, 1, 1)
    return NetworkAnswers(
        logits=logits.detach(),
        embeddings=embeddings.detach(),
        fusion_inputs=fusion_inputs.detach(),
        pet_gradients=None if pet is None else gradients[id(pet)].squeeze(1) * slope,
        ct_gradients=None if ct is None else gradients[id(ct)].squeeze(1) * slope,
        lab_contributions=None if z is None else gradients[id(z)] * z.detach(),
    )


def side_by_side(members: Sequence[FittedNetwork], asked: Callable[[FittedNetwork], Answer]) -> list[Answer]:
    """Ask every member of an ensemble, several at a time, each on one core.

    The networks are so small that the cores would wait for each other at every layer; members need not wait.

    Parameters
    ----------
    members : sequence of FittedNetwork
    asked : callable
        Gets one member; runs in another thread.

    Returns
    -------
    list
        In the order of the members; the same numbers as one by one, but for the order of sums within a layer.
    """
    cores = torch.get_num_threads()
    if min(cores, len(members)) < 2 or members[0].recalibration.is_cuda:
        return [asked(member) for member in members]
    try:
        with ThreadPoolExecutor(min(cores, len(members)), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(asked, members))
    finally:
        # PyTorch keeps a thread's setting as that of threads to come.
        torch.set_num_threads(cores)
