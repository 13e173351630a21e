"""Adam and AdamW with a schedule of their learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam

from ..models.presets import OptimiserSettings

BETAS, EPSILON = (0.9, 0.999), 1e-8  # as in torch.optim.Adam


class ScheduledAdam:
    """Adam, or AdamW, which does not couple its weight decay to the gradient (L2).

    The arithmetic is torch's own, fused. torch's classes around it would load its compiler, which nothing here uses, at
    the cost of a second in every worker process.

    Parameters
    ----------
    settings : OptimiserSettings
    weights : sequence of Parameter
        Each must hold a gradient at every step.
    steps : int
        Of the whole fit; the schedule ends there.
    """

    def __init__(self, settings: OptimiserSettings, weights: Sequence[torch.nn.Parameter], steps: int) -> None:
        self.settings, self.steps, self.taken = settings, steps, 0
        self._weights: list[Tensor] = list(weights)
        self._means = [torch.zeros_like(weight) for weight in weights]
        self._squares = [torch.zeros_like(weight) for weight in weights]
        self._counts = [torch.zeros((), dtype=torch.float32, device=weight.device) for weight in weights]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight in self._weights:
            weight.grad = None

    def step(self) -> None:
        """Move the weights along their gradients."""
        with torch.no_grad():
            adam(
                self._weights,
                [weight.grad for weight in self._weights if weight.grad is not None],
                self._means,
                self._squares,
                [],
                self._counts,
                fused=True,
                decoupled_weight_decay=self.settings.name == "adamw",
                amsgrad=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                lr=self.settings.learning_rate * rate_factor(self.settings, self.taken, self.steps),
                weight_decay=self.settings.weight_decay,
                eps=EPSILON,
                maximize=False,
            )
        self.taken += 1


def rate_factor(settings: OptimiserSettings, step: int, steps: int) -> float:
    """Share of the learning rate at a step: always 1, or a linear warm-up and then half a cosine down to zero."""
    if settings.schedule == "constant":
        return 1.0
    warmup = max(1, round(settings.warmup_share * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))
