"""One fold's share of fitting: its own batches, random draws, optimiser, weight average and early stopping."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.fusion import FusionNetwork
from ..models.presets import Preset
from .inputs import Batch, FoldInputs
from .optimiser import ScheduledAdam

State = dict[str, Tensor]


class FoldTrainer:
    """What one fold does between the forward passes, which it may share with other folds.

    Everything random comes from the fold's own generator and in the same order whatever company it has.

    Parameters
    ----------
    preset : Preset
    network : FusionNetwork
        Holds the kept weights in the end.
    inputs : FoldInputs
    generator : torch.Generator
        On the CPU: of batches, augmentation and dropout.
    fitting, validation : ndarray of int
        Positions among the inputs.
    positive_weight : float
        Of the loss of a patient with long PFS.
    """

    def __init__(
        self,
        preset: Preset,
        network: FusionNetwork,
        inputs: FoldInputs,
        generator: torch.Generator,
        fitting: NDArray[np.int64],
        validation: NDArray[np.int64],
        positive_weight: float,
    ) -> None:
        self.preset, self.network, self.inputs, self.generator = preset, network, inputs, generator
        self.fitting, self.validation, self.positive_weight = fitting, validation, positive_weight
        self.weights = [weight for weight in network.parameters() if weight.requires_grad]
        steps = preset.epochs * math.ceil(len(fitting) / preset.batch_size)
        self.optimiser = ScheduledAdam(preset.optimiser, self.weights, steps)
        self.average = WeightAverage(network, preset.optimiser.averaging)
        self.epochs, self.best_epoch, self.reason = 0, 0, ""
        self.done = preset.epochs == 0
        self._kept, self._best_loss = _copy(network), math.inf

    def shuffled(self) -> list[list[int]]:
        """The batches of the next epoch."""
        self.network.train()
        order = self.fitting[torch.randperm(len(self.fitting), generator=self.generator).numpy()].tolist()
        return in_batches(order, self.preset.batch_size)

    def drawn(self, positions: Sequence[int]) -> Batch:
        """The next batch, changed at random, with what the network is to drop in it."""
        batch = self.inputs.batch(positions, augment=self.preset.augmentation is not None)
        self.network.draw_dropout(len(positions), self.generator)
        return batch

    def take(self, loss: float) -> bool:
        """Note the loss of a batch; False when it ends the fit."""
        if not math.isfinite(loss):
            self.done, self.reason = True, f"The loss was not finite in epoch {self.epochs + 1}."
        return not self.done

    def step(self) -> None:
        """Move the weights along the gradient that they hold."""
        if self.preset.optimiser.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.weights, self.preset.optimiser.gradient_clip)
        self.optimiser.step()
        self.average.update()

    def end_epoch(self, loss: float | None) -> None:
        """Keep the averaged weights, which are in place now, if they are the best so far by the validation loss.

        ``loss`` None: there are no validation patients, and the last weights are the best.
        """
        self.epochs += 1
        loss = -float(self.epochs) if loss is None else loss
        if not math.isfinite(loss):
            self.done, self.reason = True, f"The inner validation loss was not finite in epoch {self.epochs}."
        elif loss < self._best_loss and not _finite(self.weights):
            # Without validation patients nothing else shows it, and a ReLU can hide an infinity from those there are.
            self.done, self.reason = True, f"The weights were not finite after epoch {self.epochs}."
        elif loss < self._best_loss:
            self._kept, self._best_loss, self.best_epoch = _copy(self.network), loss, self.epochs
        elif self.epochs - self.best_epoch >= self.preset.patience:
            self.done = True
        self.done = self.done or self.epochs == self.preset.epochs

    def restore(self) -> None:
        """Put the kept weights into the network."""
        self.network.load_fitted_tensors(self._kept)
        self.network.eval()


def in_batches(positions: Sequence[int], size: int) -> list[list[int]]:
    """Consecutive stretches of at most ``size``."""
    return [list(positions[start : start + size]) for start in range(0, len(positions), size)]


class WeightAverage:
    """A running average of the weights over the steps, which generalises better than any one step's weights.

    Parameters
    ----------
    network : FusionNetwork
    share_kept : float
        Of the average at each step; 0 follows the weights themselves.
    """

    def __init__(self, network: FusionNetwork, share_kept: float) -> None:
        self._network, self._share_kept, self._steps = network, share_kept, 0
        self._weights = [weight for weight in network.parameters() if weight.requires_grad]
        self._average = [weight.detach().clone() for weight in self._weights]
        self._own: list[Tensor] = []

    def update(self) -> None:
        """Take in the weights after a step; the first steps weigh equally, so that the start is forgotten soon."""
        self._steps += 1
        share = max(1.0 - self._share_kept, 1.0 / self._steps) if self._share_kept else 1.0
        with torch.no_grad():
            torch._foreach_lerp_(self._average, [*self._weights], share)

    def swap_in(self) -> None:
        """Let the network compute with the average until :meth:`swap_out`."""
        self._own = [weight.detach().clone() for weight in self._weights]
        self._fill(self._average)

    def swap_out(self) -> None:
        """Give the network its own weights back."""
        self._fill(self._own)

    def _fill(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            torch._foreach_copy_([*self._weights], values)


def _finite(weights: Sequence[Tensor]) -> bool:
    return bool(torch.stack([weight.detach().isfinite().all() for weight in weights]).all())


def _copy(network: FusionNetwork) -> State:
    return {name: tensor.detach().clone() for name, tensor in network.fitted_tensors().items()}
