"""The pretrained CT branch with its last stage fitted: frozen stages computed once, or run in every step, or fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from ..side_by_side import Contender, Limit, Peer, Stage
from ..workplace import Workplace

if TYPE_CHECKING:
    import torch

    from PRRTPredictorCore.models.encoders import PretrainedEncoder
    from PRRTPredictorCore.models.presets import NetworkSettings

PATIENTS = 8
EPOCHS = 21
"""The fewest that a fold of preset tuned trains: its patience is 20. The most are 60."""

SHAPE = (75, 50, 50)
TOLERANCE = 1e-2
WORK = (
    f"{PATIENTS} made CTs of 75 x 50 x 50 in one batch, {EPOCHS} epochs of AdamW (the fewest of preset tuned, whose "
    "patience is 20; the most are 60), SegResNet encoder of preset tuned (8 channels) with pooling and one logit, one "
    "process, default threads; in a run, all epochs of 15 folds share what is here computed anew for every fit"
)


@dataclass(frozen=True)
class Trained:
    """Logits before and after, as lists; ``whole``: every stage was fitted, so that only the start is comparable."""

    before: list[float]
    after: list[float]
    whole: bool = False


def stages(bench: Workplace) -> Iterator[Stage]:
    """One row: both peers train MONAI's modules."""
    yield Stage(
        "pretrained-ct",
        "pretrained CT branch, last stage fitted",
        WORK,
        Contender("PRRTPredictor, frozen stages once", _once),
        (
            Peer(Contender("MONAI SegResNet encoder trained whole", _whole), 0.15),
            Peer(Contender("MONAI SegResNet, front frozen but run every step", _every_step), 0.4),
        ),
        _check,
        _limit(bench),
        repeats=3,
    )


@cache
def _encoder() -> PretrainedEncoder:
    from PRRTPredictorCore.models.presets import TUNED
    from PRRTPredictorCore.models.pretrained import random_encoder

    chosen = TUNED.pretraining
    return random_encoder(chosen.init_filters, chosen.blocks_down, chosen.num_groups, chosen.hu_window, 0)


@cache
def _patients() -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    draws = torch.Generator().manual_seed(0)
    ct = torch.nn.functional.interpolate(torch.randn(PATIENTS, 1, 10, 7, 7, generator=draws), SHAPE, mode="trilinear")
    return 300 * ct, (torch.arange(PATIENTS) % 2).float()


def _settings() -> NetworkSettings:
    from PRRTPredictorCore.models.presets import TUNED

    return replace(TUNED.network, embedding=1, feature_dropout=0.0)


def _fit(module: torch.nn.Module, forward: Callable[[], torch.Tensor], *, whole: bool = False) -> Trained:
    import torch

    _, y = _patients()
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=1e-4)
    logits = forward()
    before = logits.detach()
    for epoch in range(EPOCHS):
        logits = logits if epoch == 0 else forward()
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(logits, y).backward()
        optimiser.step()
    return Trained(before.tolist(), logits.detach().tolist(), whole)


def _once() -> Trained:
    import torch

    from PRRTPredictorCore.models.encoders import PretrainedCtEncoder

    torch.manual_seed(1)
    branch = PretrainedCtEncoder(_encoder(), _settings(), trainable_stages=1)
    ct, _ = _patients()
    with torch.no_grad():
        features = torch.cat([branch.frozen_features(pair) for pair in ct.split(2)])
    return _fit(branch, lambda: branch(None, features).squeeze(1))


def _every_step() -> Trained:
    return _peer(fitted=("down_layers.3.",))


def _whole() -> Trained:
    return _peer(fitted=("convInit.", "down_layers."))


def _peer(fitted: tuple[str, ...]) -> Trained:
    """MONAI's SegResNet as it comes; of its encoder, the stages named are fitted."""
    import torch

    from PRRTPredictorCore.models.encoders import PretrainedCtEncoder, build_segresnet, to_bundle_axes

    encoder = _encoder()
    network = build_segresnet(encoder.init_filters, encoder.blocks_down, encoder.num_groups, out_channels=1)
    network.load_state_dict(dict(encoder.tensors), strict=False)
    for name, weight in network.named_parameters():
        weight.requires_grad_(name.startswith(fitted))
    torch.manual_seed(1)
    start = PretrainedCtEncoder(encoder, _settings(), trainable_stages=1)  # its pooling and head
    model = torch.nn.ModuleList([network, start.pool, start.head])
    ct = to_bundle_axes(_patients()[0], encoder.hu_window)

    def forward() -> torch.Tensor:
        features, _ = network.encode(ct)
        logits: torch.Tensor = start.head(start.pool(features.relu())).squeeze(1)
        return logits

    return _fit(model, forward, whole=len(fitted) > 1)


def _check(ours: Trained, theirs: Trained) -> str:
    import numpy as np

    np.testing.assert_allclose(ours.before, theirs.before, atol=TOLERANCE)
    if theirs.whole:
        return f"the same logits before training, to {TOLERANCE:g}"
    np.testing.assert_allclose(ours.after, theirs.after, atol=TOLERANCE)
    return f"the same logits before and after training, to {TOLERANCE:g}"


def _limit(bench: Workplace) -> Limit:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from PRRTPredictorCore.models.encoders import PretrainedCtEncoder

    branch = PretrainedCtEncoder(_encoder(), _settings(), trainable_stages=1)
    # Of two patients: a single one is passed twice.
    with FlopCounterMode(display=False) as front, torch.no_grad():
        features = branch.frozen_features(_patients()[0][:2])
    with FlopCounterMode(display=False) as tail:
        branch(None, features).sum().backward()
    operations = PATIENTS / 2 * (front.get_total_flops() + EPOCHS * tail.get_total_flops())
    return Limit(*bench.machine.computing("front once, last stage in every epoch", operations))
