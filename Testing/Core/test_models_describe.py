"""Models in numbers: what is described is what training builds and fits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from PRRTPredictorCore.errors import Code, ModelRefused
from PRRTPredictorCore.models.describe import ForestDescription, NetworkDescription, describe_model
from PRRTPredictorCore.models.encoders import PretrainedEncoder
from PRRTPredictorCore.models.fusion import FusionNetwork, parameter_count
from PRRTPredictorCore.models.presets import PAPER, PRESETS, QUICK, TUNED, Preset
from PRRTPredictorCore.models.pretrained import random_encoder
from PRRTPredictorCore.models.registry import MODELS, ModelSpec

NETWORKS = [spec for spec in MODELS.values() if spec.kind == "network"]


@pytest.fixture(scope="module")
def encoder() -> PretrainedEncoder:
    return random_encoder(4, (1, 1, 1, 1), 4, (-300.0, 500.0), seed=3)


def described(
    name: str, preset: Preset = QUICK, encoder: PretrainedEncoder | None = None, stages: int | None = None
) -> NetworkDescription:
    facts = describe_model(MODELS[name], preset, 4, encoder, stages)
    assert isinstance(facts, NetworkDescription)
    return facts


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
def test_the_weights_are_those_of_the_network_that_training_builds(
    spec: ModelSpec, preset: Preset, encoder: PretrainedEncoder
) -> None:
    network = FusionNetwork(spec, preset, 4, encoder)
    facts = described(spec.name, preset, encoder)
    assert (facts.parameters, facts.fitted_parameters) == (
        parameter_count(network),
        parameter_count(network, fitted_only=True),
    )
    stages = [stage for branch in facts.branches for stage in branch.stages] + list(facts.mlp)
    assert sum(stage.parameters for stage in stages) == facts.parameters
    assert sum(stage.fitted_parameters for stage in stages) == facts.fitted_parameters
    assert tuple(branch.input for branch in facts.branches) == spec.inputs
    assert sum(branch.outputs for branch in facts.branches) == facts.fused_inputs == network.fused_inputs


def test_a_small_network_by_hand() -> None:
    facts = described("pet_labs")
    pet, labs = facts.branches
    # 5³ x 4 weights and 4 biases; every stage halves the voxels, rounded up.
    assert [stage.kind for stage in pet.stages] == ["convolution", "residual", "residual", "histogram", "embedding"]
    assert pet.stages[0].parameters == 5**3 * 4 + 4
    assert [stage.shape for stage in pet.stages[:3]] == [(4, 19, 13, 13), (8, 10, 7, 7), (16, 5, 4, 4)]
    assert pet.stages[3].shape == (3 * len(QUICK.network.pet_levels),)
    assert pet.stages[3].parameters == 0
    assert not pet.stages[3].frozen
    # Two means of 16 channels and 30 shares, into 4 numbers with 4 biases.
    assert pet.stages[4].parameters == (2 * 16 + 30) * 4 + 4
    assert (pet.window, pet.standardised, pet.start) == ((0.0, 25.0), True, "random")
    assert (labs.shape, labs.log1p, labs.start, labs.stages, labs.outputs) == ((4,), True, "none", (), 4)
    assert [layer.shape for layer in facts.mlp] == [(16,), (8,), (1,)]
    assert [layer.parameters for layer in facts.mlp] == [8 * 16 + 16, 16 * 8 + 8, 8 + 1]
    assert facts.branch("CT") is None


@pytest.mark.parametrize(("stages", "frozen"), [(0, 4), (1, 3), (4, 0)])
def test_frozen_stages_are_told_from_fitted_ones(stages: int, frozen: int, encoder: PretrainedEncoder) -> None:
    ct = described("pet_ct_labs_pretrained", QUICK, encoder, stages).branch("CT")
    assert ct is not None
    assert ct.frozen_stages == frozen
    assert ct.start == "pretrained"
    assert not ct.standardised
    assert ct.window == (-300.0, 500.0)
    assert [stage.shape for stage in ct.stages[:-1]] == [
        (4, 75, 50, 50),
        (8, 38, 25, 25),
        (16, 19, 13, 13),
        (32, 10, 7, 7),
    ]
    assert sum(stage.parameters for stage in ct.stages[:-1]) == encoder.parameters


def test_the_control_with_a_random_encoder_is_not_called_pretrained(encoder: PretrainedEncoder) -> None:
    control = QUICK.with_ct_control(init="random", trainable_stages=0)
    ct = described("pet_ct_labs_pretrained", control, encoder).branch("CT")
    assert ct is not None
    assert (ct.start, ct.frozen_stages) == ("random", 4)


def test_the_papers_preset_has_no_window_and_no_histogram() -> None:
    pet = described("pet", PAPER).branches[0]
    assert pet.window is None
    assert "histogram" not in [stage.kind for stage in pet.stages]


def test_the_size_of_the_image_is_the_runs() -> None:
    facts = describe_model(MODELS["ct"], TUNED, 4, image_shape=(30, 20, 24))
    assert isinstance(facts, NetworkDescription)
    assert facts.branches[0].shape == (30, 20, 24)
    assert facts.branches[0].stages[0].shape == (4, 8, 5, 6)


def test_extra_inputs_are_counted() -> None:
    facts = describe_model(MODELS["pet_labs"], QUICK, 6)
    assert isinstance(facts, NetworkDescription)
    assert facts.fused_inputs == QUICK.network.embedding + 6


def test_a_forest_in_numbers() -> None:
    facts = describe_model(MODELS["rf_labs"], replace(TUNED), 5)
    assert facts == ForestDescription("rf_labs", "tuned", 5, 500, 6, 3)


def test_a_pretrained_branch_without_its_encoder_is_refused() -> None:
    with pytest.raises(ModelRefused) as refusal:
        described("pet_ct_labs_pretrained")
    assert refusal.value.code is Code.MODEL_MISMATCH


def test_describing_draws_no_random_number(encoder: PretrainedEncoder) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    described("pet_ct_labs_pretrained", QUICK, encoder)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert next(iter(encoder.tensors.values())).device.type == "cpu"
