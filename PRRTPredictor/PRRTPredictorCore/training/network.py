"""Fitting one network in one fold: everything is learnt from the training patients, and from them alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputRefused
from ..models.fitted import FittedNetwork
from ..models.fusion import FusionNetwork
from ..models.presets import Preset
from .company import predict_together, train_together
from .inputs import FoldInputs, FoldNormalisers, inner_split
from .trainer import FoldTrainer

if TYPE_CHECKING:
    from ..models.encoders import PretrainedEncoder
    from ..models.registry import ModelSpec
    from .data import TrainingData

INNER_FOLDS = 3
"""Of the training patients, for the out-of-fold predictions behind a recalibration."""


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


@dataclass(frozen=True, eq=False)
class FoldToFit:
    """One network to be fitted: its training patients, and the seed of weights, batches, inner split and draws."""

    rows: NDArray[np.int64]
    seed: int


def fit_network(setup: NetworkSetup, data: TrainingData, rows: NDArray[np.int64], seed: int) -> NetworkFit:
    """Fit one network on the patients at ``rows``; nothing else of ``data`` is looked at.

    Returns
    -------
    NetworkFit
        A fit that met a loss or an input that is not finite is returned as far as it came, with its reason.
    """
    return fit_networks(setup, data, [FoldToFit(rows, seed)])[0]


def fit_networks(setup: NetworkSetup, data: TrainingData, folds: Sequence[FoldToFit]) -> list[NetworkFit]:
    """Fit the networks of many folds side by side, each as :func:`fit_network` would (to rounding, see `company`)."""
    begun = [_begin(setup, data, fold) for fold in folds]
    train_together([fit.trainer for fit in begun if isinstance(fit, _Begun)], setup.device)
    return [_finish(setup, data, fit) if isinstance(fit, _Begun) else fit for fit in begun]


@dataclass(frozen=True, eq=False)
class _Begun:
    """A fold that can be trained: its normalisation is fitted, its weights are drawn."""

    fold: FoldToFit
    normalisers: FoldNormalisers
    trainer: FoldTrainer


def _begin(setup: NetworkSetup, data: TrainingData, fold: FoldToFit) -> _Begun | NetworkFit:
    torch.manual_seed(fold.seed)
    network = setup.build(data.tabular.shape[1])
    try:
        normalisers = FoldNormalisers.fit(data, fold.rows, setup.spec, setup.preset)
    except InputRefused as refusal:
        untrained = FittedNetwork(network).to(setup.device)
        return NetworkFit(untrained, 0, 0, f"{refusal.code.value}: {refusal.message} ({refusal.where})")
    generator = torch.Generator().manual_seed(fold.seed)
    inputs = FoldInputs(data, fold.rows, setup.spec, setup.preset, normalisers, setup.device, generator)
    positions = np.arange(len(fold.rows))
    trainer = _trainer(setup, network, inputs, generator, data.y[fold.rows], positions, fold.seed)
    return _Begun(fold, normalisers, trainer)


def _trainer(
    setup: NetworkSetup,
    network: FusionNetwork,
    inputs: FoldInputs,
    generator: torch.Generator,
    y: NDArray[np.int64],
    positions: NDArray[np.int64],
    seed: int,
) -> FoldTrainer:
    """Of the patients at ``positions`` of the inputs, whose outcomes are ``y``."""
    preset = setup.preset
    share = preset.inner_validation if preset.patience > 0 else 0.0
    fitting, validation = inner_split(y, share, np.random.default_rng(seed))
    balanced = float((y == 0).sum() / max(1, (y == 1).sum()))
    weight = balanced if preset.class_weighting == "balanced" else 1.0
    return FoldTrainer(preset, network, inputs, generator, positions[fitting], positions[validation], weight)


def _finish(setup: NetworkSetup, data: TrainingData, begun: _Begun) -> NetworkFit:
    trainer, normalisers = begun.trainer, begun.normalisers
    fitted = FittedNetwork(trainer.network, normalisers.pet, normalisers.ct, normalisers.tabular).to(setup.device)
    reason = trainer.reason
    if setup.preset.recalibrate and not reason:
        try:
            fitted.recalibrate(*_recalibration(setup, data, begun))
        except ArithmeticError as trouble:
            reason = f"Not recalibrated: {trouble}"
    return NetworkFit(fitted, trainer.epochs, trainer.best_epoch, reason)


def _recalibration(setup: NetworkSetup, data: TrainingData, begun: _Begun) -> tuple[float, float]:
    """Scale and bias of the logit (Platt) from predictions that inner folds make of training patients they left out.

    The inner folds share the fold's normalisation, which knows all its training patients but no held-out one.

    Raises
    ------
    ArithmeticError
        An inner fold met numbers that are not finite.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    seed, y = begun.fold.seed, data.y[begun.fold.rows]
    inputs, generator = begun.trainer.inputs, begun.trainer.generator
    folds = min(INNER_FOLDS, int(np.bincount(y, minlength=2).min()))
    if folds < 2:
        return 1.0, 0.0
    logits = np.zeros(len(y))
    inner = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32).split(logits, y)
    for place, (inner_train, left_out) in enumerate(inner):
        torch.manual_seed(seed + 1 + place)
        network = setup.build(data.tabular.shape[1])
        trainer = _trainer(setup, network, inputs, generator, y[inner_train], inner_train, seed)
        train_together([trainer], setup.device)
        if trainer.reason:
            raise ArithmeticError(f"in an inner fold, {trainer.reason[0].lower()}{trainer.reason[1:]}")
        logits[left_out] = predict_together([trainer], [left_out], setup.device)[0]
    if not np.isfinite(logits).all():
        raise ArithmeticError("an inner fold's answers were not finite.")
    platt = LogisticRegression(C=1.0).fit(logits[:, None], y)
    scale, bias = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    if scale <= 0:
        # The inner folds found no skill. A negative scale would turn the model round; the prevalence is what is known.
        share = float(y.mean())
        return 0.0, math.log(share) - math.log1p(-share)
    return scale, bias
