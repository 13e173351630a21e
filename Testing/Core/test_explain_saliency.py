"""Saliency by captum against what autograd says, against completeness, and against randomised networks."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from training_stand_in import SHAPE, TINY

from PRRTPredictorCore.explain.methods import METHOD_TITLES, METHOD_WORDS, SaliencyMethod
from PRRTPredictorCore.explain.saliency import (
    EMPTY_HU,
    EMPTY_SUV,
    SMOOTHGRAD_COPIES,
    Attributions,
    ask_one,
    attribute,
    ensemble_saliency,
    gradient_saliency,
    logit_gradients,
)
from PRRTPredictorCore.explain.sanity import (
    agreement,
    layers_from_output,
    randomisation_check,
    rank_correlation,
)
from PRRTPredictorCore.imaging.normalise import ImageNormaliser, TabularNormaliser
from PRRTPredictorCore.models.fitted import FittedNetwork
from PRRTPredictorCore.models.fusion import FusionNetwork
from PRRTPredictorCore.models.presets import Preset
from PRRTPredictorCore.models.pretrained import random_encoder
from PRRTPredictorCore.models.registry import model_spec

TABULAR = np.array([30.0, 31.0, 80.0, 400.0])


def made_network(model: str, seed: int = 0, preset: Preset = TINY) -> FittedNetwork:
    torch.manual_seed(seed)
    spec = model_spec(model)
    encoder = random_encoder(4, (1, 1, 1, 1), 4, (-300.0, 500.0), seed=3) if spec.ct_encoder == "pretrained" else None
    network = FusionNetwork(spec, preset, len(TABULAR), encoder)
    return FittedNetwork(
        network,
        ImageNormaliser(2.0, 3.0, (0.0, 25.0)),
        ImageNormaliser(-50.0, 150.0, (-200.0, 300.0)),
        TabularNormaliser(np.full(4, 4.0), np.ones(4), log1p=True),
    )


@pytest.fixture(scope="module")
def images() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    draws = np.random.default_rng(3)
    return draws.gamma(2.0, 2.0, SHAPE).astype(np.float32), draws.normal(20, 60, SHAPE).astype(np.float32)


@pytest.mark.parametrize("model", ["pet", "ct_labs", "pet_ct_labs", "pet_ct_labs_pretrained"])
def test_the_gradient_is_the_one_that_training_stored(model: str, images) -> None:
    member = made_network(model)
    found, answer = attribute(member, *images, TABULAR), ask_one(member, *images, TABULAR)
    for mine, stored in ((found.pet, answer.pet_gradients), (found.ct, answer.ct_gradients)):
        assert (mine is None) == (stored is None)
        if mine is not None and stored is not None:
            assert np.abs(mine).max() > 0
            np.testing.assert_allclose(mine, stored[0], rtol=1e-3, atol=1e-9)
    p = torch.sigmoid(answer.logits).item()
    for image, values in logit_gradients(member, *images, TABULAR).items():
        np.testing.assert_allclose(values * p * (1 - p), getattr(found, image), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("histogram", [True, False])
def test_integrated_gradients_add_up_to_the_change_of_the_probability(histogram: bool, images) -> None:
    plain = replace(TINY, network=replace(TINY.network, pet_levels=(), ct_levels=()))
    member = made_network("pet_ct_labs", preset=TINY if histogram else plain)
    pet, ct = images
    ends = np.stack([np.full(SHAPE, EMPTY_SUV), pet]), np.stack([np.full(SHAPE, EMPTY_HU), ct])

    def logits() -> NDArray[np.float64]:
        return member.predict(ends[0].astype(np.float32), ends[1].astype(np.float32), np.stack([TABULAR] * 2))

    spread = np.ptp(logits()).item()
    member.recalibrate(1 / spread, -logits().mean().item() / spread)
    expected = np.diff(1 / (1 + np.exp(-logits()))).item()
    found = attribute(member, pet, ct, TABULAR, "integrated")
    assert abs(expected) > 1e-2
    assert found.pet is not None
    assert found.ct is not None
    total = float(found.pet.sum() + found.ct.sum())
    assert total - expected == pytest.approx(found.gap, abs=1e-5)
    assert total == pytest.approx(expected, rel=0.3 if histogram else 0.02)
    assert np.isnan(attribute(member, pet, ct, TABULAR).gap)


def test_smoothgrad_repeats_itself_and_nears_the_gradient_of_a_smooth_network(images) -> None:
    member = made_network("pet_labs")
    state = torch.get_rng_state()
    once, again = (attribute(member, *images, TABULAR, "smoothgrad", seed=4).pet for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert once is not None
    np.testing.assert_array_equal(once, again)
    other = attribute(member, *images, TABULAR, "smoothgrad", seed=5).pet
    plain = attribute(member, *images, TABULAR).pet
    assert other is not None
    assert plain is not None
    assert not np.array_equal(once, other)
    # Different draws of noise agree with each other more than with chance, and with the plain gradient too.
    assert rank_correlation(once, other) > 0.3
    assert rank_correlation(once, plain) > 0.2


def test_the_ensemble_is_the_mean_of_the_magnitudes(images) -> None:
    members = [made_network("pet_labs", seed) for seed in (0, 1)]
    parts = [attribute(member, *images, TABULAR) for member in members]
    maps = ensemble_saliency(parts)
    stored = gradient_saliency([ask_one(member, *images, TABULAR) for member in members])
    assert maps.ct is None
    assert maps.pet is not None
    assert stored.pet is not None
    assert (maps.pet.min(), maps.pet.max()) == (0.0, 1.0)
    np.testing.assert_allclose(maps.pet, stored.pet, atol=1e-4)
    cancelling = [Attributions(np.array([[[1.0, 0.0]]], np.float32) * sign, None) for sign in (1, -1)]
    assert ensemble_saliency(cancelling).pet is not None
    np.testing.assert_array_equal(ensemble_saliency(cancelling).pet, [[[1.0, 0.0]]])  # type: ignore[arg-type]
    flat = ensemble_saliency([Attributions(None, np.full((1, 1, 2), 3.0, np.float32))])
    np.testing.assert_array_equal(flat.ct, [[[0.0, 0.0]]])  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["pet", "pet_ct_labs", "pet_ct_labs_pretrained"])
def test_every_weight_is_randomised_once_from_the_output_down(model: str) -> None:
    network = made_network(model).network
    groups = layers_from_output(network)
    assert [group.name for group in groups][:3] == ["output", "MLP", "embedding"]
    assert groups[-1].name == "first layer"
    reached = [id(weight) for group in groups for module in group.modules for weight in module.parameters()]
    assert sorted(reached) == sorted(id(weight) for weight in network.parameters())


def test_the_check_leaves_the_network_alone_and_sees_what_was_learnt(images) -> None:
    member = made_network("pet_ct_labs")
    before = copy.deepcopy(member.state_dict())
    check = randomisation_check(member, *images, TABULAR, seed=1)
    assert all(torch.equal(value, before[name]) for name, value in member.state_dict().items())
    assert check.stages == ("output", "MLP", "embedding", "stage 2", "first layer")
    assert set(check.correlation) == {"pet", "ct"}
    for values in check.correlation.values():
        assert values.shape == (5,)
        assert (np.abs(values) <= 1).all()
    again = randomisation_check(member, *images, TABULAR, seed=1)
    np.testing.assert_array_equal(check.correlation["pet"], again.correlation["pet"])


def test_a_map_that_ignores_the_weights_is_found_out(images) -> None:
    """A network that is one fixed weighting of the voxels keeps its map whatever happens to the rest."""
    member = made_network("pet_labs")
    branch = member.network.pet_branch
    assert branch is not None

    def brightness(image: torch.Tensor) -> torch.Tensor:
        weights = torch.linspace(0, 1, image[0].numel()).view_as(image[0])
        return (image * weights).sum(dim=(1, 2, 3, 4)).view(-1, 1).expand(-1, TINY.network.embedding)

    branch.forward = brightness  # type: ignore[method-assign]
    check = randomisation_check(member, *images, TABULAR)
    np.testing.assert_allclose(check.correlation["pet"], 1.0, atol=1e-2)


def test_a_network_without_any_gradient_is_not_scored(images) -> None:
    member = made_network("pet")
    last = member.network.output[1]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.zeros_(last.weight)
    assert np.isnan(randomisation_check(member, *images, TABULAR).correlation["pet"]).all()


def test_agreement() -> None:
    where = np.ones((1, 1, 4), dtype=bool)
    rising = np.array([[[1.0, 2.0, 3.0, 4.0]]])
    assert agreement([rising, -rising, rising**2], where) == pytest.approx(1.0)
    assert agreement([rising, rising[..., ::-1]], where) == pytest.approx(-1.0)
    assert np.isnan(agreement([rising], where))
    assert np.isnan(agreement([rising, np.zeros_like(rising)], where))
    # Worked by hand: ranks (1, 2, 3, 4) and (2, 1, 4, 3), so 1 - 6 · 4 / (4 · 15).
    assert rank_correlation(rising.ravel(), np.array([2.0, 1.0, 4.0, 3.0])) == pytest.approx(0.6)


def test_every_method_is_told_in_words() -> None:
    assert set(METHOD_WORDS) == set(METHOD_TITLES) == set(get_args(SaliencyMethod))
    assert f"{SMOOTHGRAD_COPIES} copies" in METHOD_WORDS["smoothgrad"]
