"""The optimiser: torch's Adam and AdamW to the bit, the schedule's closed form, and no compiler loaded for it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from PRRTPredictorCore.models.presets import PAPER, TUNED, OptimiserSettings
from PRRTPredictorCore.training.optimiser import ScheduledAdam, rate_factor

STEPS = 60


def fitted(settings: OptimiserSettings, *, by_torch: bool) -> list[torch.Tensor]:
    """Weights after some steps down a bowl that the gradient's noise shakes."""
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(shape)) for shape in ((5, 3), (4,), ())]
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    theirs = kind(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(theirs, lambda step: rate_factor(settings, step, STEPS))
    ours = ScheduledAdam(settings, weights, STEPS)
    for _ in range(STEPS):
        ours.zero_grad()
        sum((weight**2).sum() + (weight * torch.randn_like(weight)).sum() for weight in weights).backward()
        if by_torch:
            theirs.step()
            schedule.step()
        else:
            ours.step()
    return [weight.detach() for weight in weights]


@pytest.mark.parametrize("settings", [PAPER.optimiser, TUNED.optimiser, replace(TUNED.optimiser, schedule="constant")])
def test_steps_are_those_of_torch_to_the_bit(settings: OptimiserSettings) -> None:
    for ours, theirs in zip(fitted(settings, by_torch=False), fitted(settings, by_torch=True), strict=True):
        assert torch.equal(ours, theirs)


def test_the_rate_rises_straight_then_falls_along_half_a_cosine() -> None:
    settings = replace(TUNED.optimiser, schedule="cosine", warmup_share=0.1)
    factors = [rate_factor(settings, step, 100) for step in range(101)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == pytest.approx(1.0)
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0.0)
    assert {rate_factor(replace(settings, schedule="constant"), step, 100) for step in range(101)} == {1.0}


def test_a_fit_does_not_load_torchs_compiler() -> None:
    lines = (
        "import sys",
        "from training_stand_in import TINY, tiny_cohort",
        "from PRRTPredictorCore.training.data import gather_training_data",
        "from PRRTPredictorCore.training.engine import FitSettings, fit_folds",
        "from PRRTPredictorCore.training.records import FoldTask",
        "cohort, images = tiny_cohort()",
        "data, _ = gather_training_data(cohort, images)",
        "codes = data.codes",
        "assert list(fit_folds([FoldTask('pet_labs', 0, 0, codes[2:], codes[:2])], data, FitSettings(TINY, 0)))",
        "assert 'torch._dynamo' not in sys.modules",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, cwd=Path(__file__).parent, timeout=400)
