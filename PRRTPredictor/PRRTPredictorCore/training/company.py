"""Folds that are trained side by side: one forward and one backward pass for all of them (torch.func).

Each keeps its own weights, batches, draws, optimiser, schedule, clipping, average and early stopping; a fold that has
stopped leaves the company. Only the order of sums differs from training it alone. A GPU, which one fold of these small
networks cannot fill, gains from it; on a CPU, processes side by side are faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import functional

from ..models.fusion import FROZEN_PREFIX, FusionNetwork
from ..models.presets import Preset
from ..models.registry import ModelSpec
from .inputs import Batch
from .stopping import stop_if_asked
from .trainer import FoldTrainer, in_batches

MEMORY_SHARE = 0.6
"""Of the free memory that a company may fill."""

STEP_IMAGES = 16
"""Memory of one step of the small CNN, as a multiple of its batch of images: its copies, features and gradients."""

STEP_CHANNELS = 12
"""The same of the pretrained encoder, as a multiple of its batch with the first stage's channels."""


def folds_that_fit(
    spec: ModelSpec, preset: Preset, patients: int, voxels: int, folds: int, free_bytes: int, ct_channels: int = 0
) -> int:
    """How many folds of a model a GPU trains side by side, so that all ``folds`` come in groups of about equal size.

    Parameters
    ----------
    patients, voxels : int
        Training patients of a fold, and voxels of a prepared image.
    free_bytes : int
        Of the GPU's memory.
    folds : int
        To be trained altogether.
    ct_channels : int
        Of the first stage of the pretrained CT encoder.

    Returns
    -------
    int
        1 for a forest, and where memory is short even of two.
    """
    if spec.kind != "network":
        return 1
    image = 4 * voxels
    scratch = int(spec.uses_pet) + int(spec.ct_encoder == "scratch")
    # Twice each patient's image: with its border for shifting.
    fold_bytes = scratch * image * (2 * patients + STEP_IMAGES * preset.batch_size)
    if spec.ct_encoder == "pretrained":
        fold_bytes += image * (patients + STEP_CHANNELS * ct_channels * preset.batch_size)
    most = max(1, min(folds, int(MEMORY_SHARE * free_bytes / fold_bytes)))
    groups = -(-folds // most)
    return -(-folds // groups)


def train_together(trainers: Sequence[FoldTrainer], device: torch.device) -> None:
    """Train every fold until its epochs or its patience end; the networks hold the kept weights afterwards."""
    active = [trainer for trainer in trainers if not trainer.done]
    while active:
        stop_if_asked()
        _train_epoch(active, device)
        active = [trainer for trainer in active if not trainer.done]
        for trainer in active:
            trainer.average.swap_in()
        losses = _validation_losses(active, device)
        for trainer, loss in zip(active, losses, strict=True):
            trainer.end_epoch(loss)
            trainer.average.swap_out()
        active = [trainer for trainer in active if not trainer.done]
    for trainer in trainers:
        trainer.restore()


def predict_together(
    trainers: Sequence[FoldTrainer], positions: Sequence[NDArray[np.int64]], device: torch.device
) -> list[NDArray[np.float32]]:
    """Each fold's logits of some patients of its own training set, without random changes."""
    found: list[list[Tensor]] = [[] for _ in trainers]
    batches = []
    for trainer, asked in zip(trainers, positions, strict=True):
        trainer.network.eval()
        batches.append(in_batches(asked.tolist(), trainer.preset.batch_size))
    with torch.no_grad():
        for members in _in_step(batches):
            given = [trainers[m].inputs.batch(batches[m][place], augment=False) for m, place in members]
            logits = _logits([trainers[m].network for m, _ in members], given, device)
            for (m, _), answered in zip(members, logits, strict=True):
                found[m].append(answered)
    return [torch.cat(parts).cpu().numpy() if parts else np.empty(0, np.float32) for parts in found]


def _train_epoch(trainers: Sequence[FoldTrainer], device: torch.device) -> None:
    batches = [trainer.shuffled() for trainer in trainers]
    for members in _in_step(batches):
        ready = [(trainers[m], batches[m][place]) for m, place in members if not trainers[m].done]
        if ready:
            _train_step([trainer for trainer, _ in ready], [positions for _, positions in ready], device)


def _train_step(trainers: Sequence[FoldTrainer], positions: Sequence[Sequence[int]], device: torch.device) -> None:
    given = [trainer.drawn(chosen) for trainer, chosen in zip(trainers, positions, strict=True)]
    logits = _logits([trainer.network for trainer in trainers], given, device)
    weights = torch.tensor([[trainer.positive_weight] for trainer in trainers], device=device)
    outcomes = torch.stack([batch.y for batch in given])
    losses = functional.binary_cross_entropy_with_logits(logits, outcomes, pos_weight=weights, reduction="none").mean(
        dim=1
    )
    good = [place for place, loss in enumerate(losses.detach().tolist()) if trainers[place].take(loss)]
    for place in good:
        trainers[place].optimiser.zero_grad()
    if good:
        # Folds share no weight: the gradient of the sum is to each fold the gradient of its own loss.
        losses[good].sum().backward()  # type: ignore[no-untyped-call]
    for place in good:
        trainers[place].step()


def _validation_losses(trainers: Sequence[FoldTrainer], device: torch.device) -> list[float | None]:
    asked = [trainer for trainer in trainers if len(trainer.validation)]
    answers = iter(predict_together(asked, [trainer.validation for trainer in asked], device))
    return [
        float(
            functional.binary_cross_entropy_with_logits(
                torch.from_numpy(next(answers)), trainer.inputs.outcomes(trainer.validation)
            )
        )
        if len(trainer.validation)
        else None
        for trainer in trainers
    ]


def _in_step(batches: Sequence[Sequence[Sequence[int]]]) -> list[list[tuple[int, int]]]:
    """Which folds take which of their batches at a time, as (fold, place): the same place and as many patients."""
    steps: list[list[tuple[int, int]]] = []
    for place in range(max(map(len, batches), default=0)):
        by_size: dict[int, list[tuple[int, int]]] = {}
        for fold, own in enumerate(batches):
            if place < len(own):
                by_size.setdefault(len(own[place]), []).append((fold, place))
        steps += by_size.values()
    return steps


def _logits(networks: Sequence[FusionNetwork], batches: Sequence[Batch], device: torch.device) -> Tensor:
    """Logits [folds, B] of each network for its own batch, as float32."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        if len(networks) == 1:
            (network,), (batch,) = networks, batches
            logits: Tensor = network(batch.pet, batch.ct, batch.tabular, batch.ct_features)[None]
        else:
            logits = _forward_together(networks, batches)
    return logits.float()


def _forward_together(networks: Sequence[FusionNetwork], batches: Sequence[Batch]) -> Tensor:
    weights = _stacked([dict(network.named_parameters()) for network in networks])
    own_state = [dict(network.named_buffers()) for network in networks]
    state = _stacked(own_state)
    inputs = (
        _stacked_inputs([batch.pet for batch in batches]),
        _stacked_inputs([batch.ct for batch in batches]),
        _stacked_inputs([batch.tabular for batch in batches]),
        _stacked_inputs([batch.ct_features for batch in batches]),
    )

    def forward(weights: dict[str, Tensor], state: dict[str, Tensor], *inputs: Tensor | None) -> Tensor:
        logits: Tensor = functional_call(networks[0], (weights, state), inputs)
        return logits

    dims = (0, 0, *(None if stacked is None else 0 for stacked in inputs))
    logits: Tensor = vmap(forward, in_dims=dims)(weights, state, *inputs)
    if networks[0].training:  # running statistics have moved on
        for fold, own in enumerate(own_state):
            for name, tensor in own.items():
                if name in state:
                    tensor.copy_(state[name][fold])
    return logits


def _stacked(tensors: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The folds' tensors of each name as one, without those that all folds share."""
    names = [name for name in tensors[0] if not name.startswith(FROZEN_PREFIX)]
    return {name: torch.stack([own[name] for own in tensors]) for name in names}


def _stacked_inputs(parts: Sequence[Tensor | None]) -> Tensor | None:
    given = [part for part in parts if part is not None]
    return torch.stack(given) if given else None
