"""Fitting one network in one fold: everything is learnt from the training patients, and from them alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import InputRefused
from ..models.fitted import FittedNetwork
from ..models.fusion import FusionNetwork
from ..models.presets import OptimiserSettings, Preset
from .inputs import Batch, FoldInputs, FoldNormalisers, inner_split
from .stopping import stop_if_asked

if TYPE_CHECKING:
    from ..models.encoders import PretrainedEncoder
    from ..models.registry import ModelSpec
    from .data import TrainingData

INNER_FOLDS = 3
"""Of the training patients, for the out-of-fold predictions behind a recalibration."""

State = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class NetworkFit:
    """A fitted network and how fitting went; see :class:`PRRTPredictorCore.training.records.FoldOutcome`."""

    fitted: FittedNetwork
    epochs: int
    best_epoch: int
    reason: str = ""


@dataclass(frozen=True, eq=False)
class NetworkSetup:
    """What every fold of one model shares.

    Attributes
    ----------
    trainable_stages : int
        Fitted stages of the pretrained CT branch.
    """

    spec: ModelSpec
    preset: Preset
    device: torch.device
    ct_encoder: PretrainedEncoder | None = None
    trainable_stages: int = 0

    def build(self, n_tabular: int) -> FusionNetwork:
        """A network with fresh weights, drawn from torch's global generator."""
        network = FusionNetwork(self.spec, self.preset, n_tabular, self.ct_encoder, self.trainable_stages)
        return network.to(self.device)


def fit_network(setup: NetworkSetup, data: TrainingData, rows: NDArray[np.int64], seed: int) -> NetworkFit:
    """Fit one network on the patients at ``rows``; nothing else of ``data`` is looked at.

    Parameters
    ----------
    rows : ndarray of int
        Training patients.
    seed : int
        Of the weights, the batches, the inner split and the augmentation.

    Returns
    -------
    NetworkFit
        A fit that met a loss or an input that is not finite is returned as far as it came, with its reason.
    """
    torch.manual_seed(seed)
    network = setup.build(data.tabular.shape[1])
    try:
        normalisers = FoldNormalisers.fit(data, rows, setup.spec, setup.preset)
    except InputRefused as refusal:
        untrained = FittedNetwork(network).to(setup.device)
        return NetworkFit(untrained, 0, 0, f"{refusal.code.value}: {refusal.message} ({refusal.where})")
    generator = torch.Generator().manual_seed(seed)
    inputs = FoldInputs(data, rows, setup.spec, setup.preset, normalisers, setup.device, generator)
    y = data.y[rows]
    fitting, validation = inner_split(y, _share_aside(setup.preset), np.random.default_rng(seed))
    trainer = _Trainer(setup, network, inputs, generator, _positive_weight(setup.preset, y))
    trainer.run(fitting, validation)
    fitted = FittedNetwork(network, normalisers.pet, normalisers.ct, normalisers.tabular).to(setup.device)
    if setup.preset.recalibrate and not trainer.reason:
        fitted.recalibrate(*_recalibration(setup, data, inputs, generator, y, seed))
    return NetworkFit(fitted, trainer.epochs, trainer.best_epoch, trainer.reason)


def _share_aside(preset: Preset) -> float:
    return preset.inner_validation if preset.patience > 0 else 0.0


def _positive_weight(preset: Preset, y: NDArray[np.int64]) -> float:
    return float((y == 0).sum() / max(1, (y == 1).sum())) if preset.class_weighting == "balanced" else 1.0


class _Trainer:
    """The epochs of one fit."""

    def __init__(
        self,
        setup: NetworkSetup,
        network: FusionNetwork,
        inputs: FoldInputs,
        generator: torch.Generator,
        positive_weight: float,
    ) -> None:
        self.preset, self.network, self.inputs, self.generator = setup.preset, network, inputs, generator
        self.device = setup.device
        self.positive_weight = torch.tensor(positive_weight, device=setup.device)
        self.weights = [weight for weight in network.parameters() if weight.requires_grad]
        self.optimiser = make_optimiser(self.preset.optimiser, self.weights)
        self.epochs, self.best_epoch, self.reason = 0, 0, ""
        self.average = WeightAverage(network, self.preset.optimiser.averaging)

    def run(self, fitting: NDArray[np.int64], validation: NDArray[np.int64]) -> None:
        """Train until the epochs or the patience end; the network holds the kept weights afterwards."""
        steps = self.preset.epochs * math.ceil(len(fitting) / self.preset.batch_size)
        schedule = make_schedule(self.preset.optimiser, self.optimiser, steps)
        kept, best_loss = _copy(self.network), math.inf
        for epoch in range(1, self.preset.epochs + 1):
            if not self._epoch(fitting, schedule):
                self.reason = f"The loss was not finite in epoch {epoch}."
                break
            self.epochs = epoch
            with self.average.in_place():
                loss = self._validate(validation) if len(validation) else -float(epoch)
                candidate = _copy(self.network)
            if not math.isfinite(loss):
                self.reason = f"The inner validation loss was not finite in epoch {epoch}."
                break
            if loss < best_loss:
                kept, best_loss, self.best_epoch = candidate, loss, epoch
            elif epoch - self.best_epoch >= self.preset.patience:
                break
        self.network.load_fitted_tensors(kept)
        self.network.eval()

    def _epoch(self, fitting: NDArray[np.int64], schedule: torch.optim.lr_scheduler.LRScheduler) -> bool:
        self.network.train()
        order = fitting[torch.randperm(len(fitting), generator=self.generator).numpy()]
        augment = self.preset.augmentation is not None
        for start in range(0, len(order), self.preset.batch_size):
            stop_if_asked()
            batch = self.inputs.batch(order[start : start + self.preset.batch_size].tolist(), augment=augment)
            self.network.draw_dropout(len(batch.y), self.generator)
            loss = self._loss(batch)
            if not math.isfinite(float(loss.detach())):
                return False
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if self.preset.optimiser.gradient_clip is not None:
                torch.nn.utils.clip_grad_norm_(self.weights, self.preset.optimiser.gradient_clip)
            self.optimiser.step()
            schedule.step()
            self.average.update()
        return True

    def _loss(self, batch: Batch) -> Tensor:
        logits = self._logits(batch)
        return functional.binary_cross_entropy_with_logits(logits, batch.y, pos_weight=self.positive_weight)

    def _logits(self, batch: Batch) -> Tensor:
        gpu = self.device.type == "cuda"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=gpu):
            logits: Tensor = self.network(batch.pet, batch.ct, batch.tabular, batch.ct_features)
        return logits.float()

    def _validate(self, validation: NDArray[np.int64]) -> float:
        logits = torch.from_numpy(self.predict(validation))
        return float(functional.binary_cross_entropy_with_logits(logits, self.inputs.outcomes(validation)))

    def predict(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits of patients of the fold's own training set, without random changes."""
        self.network.eval()
        size = self.preset.batch_size
        with torch.no_grad():
            parts = [
                self._logits(self.inputs.batch(positions[start : start + size].tolist(), augment=False))
                for start in range(0, len(positions), size)
            ]
        return torch.cat(parts).cpu().numpy()


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

    def update(self) -> None:
        """Take in the weights after a step; the first steps weigh equally, so that the start is forgotten soon."""
        self._steps += 1
        share = max(1.0 - self._share_kept, 1.0 / self._steps) if self._share_kept else 1.0
        with torch.no_grad():
            torch._foreach_lerp_(self._average, [*self._weights], share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network compute with the average until the block ends."""
        own = [weight.detach().clone() for weight in self._weights]
        self._fill(self._average)
        try:
            yield
        finally:
            self._fill(own)

    def _fill(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            for weight, value in zip(self._weights, values, strict=True):
                weight.copy_(value)


def make_optimiser(settings: OptimiserSettings, weights: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Adam couples its weight decay to the gradient (L2), AdamW does not."""
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return kind(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def make_schedule(
    settings: OptimiserSettings, optimiser: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Learning rate by step: constant, or a linear warm-up and then half a cosine down to zero."""
    warmup = max(1, round(settings.warmup_share * steps))

    def factor(step: int) -> float:
        if settings.schedule == "constant":
            return 1.0
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))

    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def _copy(network: FusionNetwork) -> State:
    return {name: tensor.detach().clone() for name, tensor in network.fitted_tensors().items()}


def _recalibration(
    setup: NetworkSetup,
    data: TrainingData,
    inputs: FoldInputs,
    generator: torch.Generator,
    y: NDArray[np.int64],
    seed: int,
) -> tuple[float, float]:
    """Scale and bias of the logit (Platt) from predictions that inner folds make of training patients they left out.

    The inner folds share the fold's normalisation, which knows all its training patients but no held-out one.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    folds = min(INNER_FOLDS, int(np.bincount(y, minlength=2).min()))
    if folds < 2:
        return 1.0, 0.0
    logits = np.zeros(len(y))
    for inner_train, left_out in StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32).split(logits, y):
        network = setup.build(data.tabular.shape[1])
        trainer = _Trainer(setup, network, inputs, generator, _positive_weight(setup.preset, y[inner_train]))
        fitting, aside = inner_split(y[inner_train], _share_aside(setup.preset), np.random.default_rng(seed))
        trainer.run(inner_train[fitting], inner_train[aside])
        if trainer.reason:
            return 1.0, 0.0
        logits[left_out] = trainer.predict(left_out)
    platt = LogisticRegression(C=1.0).fit(logits[:, None], y)
    scale, bias = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    if scale <= 0:
        # The inner folds found no skill. A negative scale would turn the model round; the prevalence is what is known.
        share = float(y.mean())
        return 0.0, math.log(share) - math.log1p(-share)
    return scale, bias
