"""The seven models: registry, presets, shapes, gradients, fitted models in and out of tensors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import PRRTPredictorCore
from PRRTPredictorCore.errors import Code, ModelRefused
from PRRTPredictorCore.imaging.normalise import ImageNormaliser, TabularNormaliser
from PRRTPredictorCore.models.answers import ask, side_by_side
from PRRTPredictorCore.models.blocks import ConvolutionBlock, ResidualBlock
from PRRTPredictorCore.models.decoding import decode
from PRRTPredictorCore.models.encoders import (
    DrawnDropout,
    PretrainedCtEncoder,
    PretrainedEncoder,
    RunningStandardise,
    to_bundle_axes,
)
from PRRTPredictorCore.models.fitted import FittedNetwork, ImageScaling
from PRRTPredictorCore.models.fusion import FusionNetwork
from PRRTPredictorCore.models.histogram import IntensityHistogram, _look_up, _looked_up
from PRRTPredictorCore.models.presets import PAPER, PRESETS, QUICK, TUNED, Preset, preset_named
from PRRTPredictorCore.models.pretrained import random_encoder, stages_to_fit
from PRRTPredictorCore.models.registry import MODELS, ModelSpec, model_spec, model_specs

NETWORKS = [spec for spec in MODELS.values() if spec.kind == "network"]
SHAPE = (75, 50, 50)


@pytest.fixture(scope="module")
def encoder() -> PretrainedEncoder:
    return random_encoder(4, (1, 1, 1, 1), 4, (-300.0, 500.0), seed=3)


def inputs(batch: int = 2, n_tabular: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return (
        torch.rand(batch, 1, *SHAPE, generator=random) * 12,
        torch.rand(batch, 1, *SHAPE, generator=random) * 400 - 200,
        torch.rand(batch, n_tabular, generator=random) * 200 + 5,
    )


def fitted(spec: ModelSpec, encoder: PretrainedEncoder, n_tabular: int = 4, preset: Preset = QUICK) -> FittedNetwork:
    torch.manual_seed(0)
    network = FusionNetwork(spec, preset, n_tabular, encoder)
    labs = TabularNormaliser(np.full(n_tabular, 3.5), np.full(n_tabular, 0.8), log1p=True)
    return FittedNetwork(
        network, ImageNormaliser(1.0, 2.0, (0.0, 20.0)), ImageNormaliser(-20.0, 90.0, (-200.0, 300.0)), labs
    )


def test_the_blocks_are_monais() -> None:
    from monai.networks.blocks.convolutions import Convolution, ResidualUnit

    image = torch.rand(2, 1, 15, 10, 10, generator=torch.Generator().manual_seed(1))
    pairs = (
        (
            lambda: ConvolutionBlock(1, 8, kernel=5, stride=3),
            lambda: Convolution(3, 1, 8, strides=3, kernel_size=5, adn_ordering="A", act="relu"),
        ),
        (
            lambda: ResidualBlock(1, 8, stride=2),
            lambda: ResidualUnit(3, 1, 8, strides=2, subunits=2, adn_ordering="A", act="relu"),
        ),
    )
    for ours, theirs in pairs:
        built = []
        for make in (ours, theirs):
            torch.manual_seed(5)
            built.append(make())
        mine, other = (block.state_dict() for block in built)
        assert list(mine) == list(other)
        assert all(torch.equal(mine[name], other[name]) for name in mine)
        torch.testing.assert_close(built[0](image), built[1](image), rtol=0, atol=0)


@pytest.mark.parametrize(("kernel", "stride", "size"), [(5, 4, (75, 50, 50)), (5, 3, (12, 11, 10)), (3, 1, (6, 5, 4))])
def test_the_way_back_to_the_image_is_that_of_the_convolution(kernel: int, stride: int, size: tuple[int, ...]) -> None:
    torch.manual_seed(2)
    block = ConvolutionBlock(1, 4, kernel, stride)
    image = torch.rand(2, 1, *size, requires_grad=True)
    expected = block(image)
    towards = torch.rand_like(expected)
    (by_torch,) = torch.autograd.grad(expected, image, towards)
    frozen = block.requires_grad_(False)(image)
    (ours,) = torch.autograd.grad(frozen, image, towards)
    torch.testing.assert_close(frozen, expected, rtol=0, atol=0)
    torch.testing.assert_close(ours, by_torch, rtol=1e-5, atol=1e-6)


def test_the_small_networks_never_open_monai() -> None:
    script = (
        "import sys; sys.modules['monai'] = None\n"
        "from PRRTPredictorCore.models.fusion import FusionNetwork\n"
        "from PRRTPredictorCore.models.presets import QUICK\n"
        "from PRRTPredictorCore.models.registry import model_spec\n"
        "import PRRTPredictorCore.prediction.predictor, PRRTPredictorCore.training.crossval\n"
        "FusionNetwork(model_spec('pet_ct_labs'), QUICK, 4)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(PRRTPredictorCore.__file__).parents[1])


def test_the_registry_holds_the_seven_in_the_papers_order() -> None:
    assert list(MODELS) == ["rf_labs", "pet", "ct", "pet_labs", "ct_labs", "pet_ct_labs", "pet_ct_labs_pretrained"]
    assert [spec.family for spec in MODELS.values()].count("one_image") == 2
    assert model_spec("pet_ct_labs").inputs == ("SR-PET", "CT", "labs")
    assert [spec.name for spec in model_specs(["pet", "rf_labs", "pet"])] == ["rf_labs", "pet"]
    assert len(model_specs()) == 7


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ModelRefused) as model:
        model_spec("resnet")
    assert "pet_ct_labs_pretrained" in model.value.remedy
    with pytest.raises(ModelRefused) as preset:
        preset_named("fast")
    assert "tuned" in preset.value.remedy


def test_the_paper_preset_is_the_papers() -> None:
    assert (PAPER.optimiser.name, PAPER.optimiser.learning_rate, PAPER.optimiser.weight_decay) == ("adam", 0.01, 0.2)
    assert PAPER.network.dropout == 0.1
    assert PAPER.augmentation is None
    assert not PAPER.log_labs
    assert PAPER.suv_window is None
    assert PAPER.hu_window is None


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_a_preset_survives_json(preset: Preset) -> None:
    again = decode(Preset, json.loads(json.dumps(asdict(preset))))
    assert again == preset
    assert again.digest() == preset.digest()
    assert replace(preset, epochs=preset.epochs + 1).digest() != preset.digest()


def test_decoding_names_what_does_not_fit() -> None:
    values = json.loads(json.dumps(asdict(QUICK)))
    with pytest.raises(ValueError, match="epochs"):
        decode(Preset, {**values, "epochs": "many"})
    with pytest.raises(ValueError, match="surprise"):
        decode(Preset, {**values, "surprise": 1})


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
def test_every_network_gives_one_logit_and_one_embedding_a_patient(
    spec: ModelSpec, preset: Preset, encoder: PretrainedEncoder
) -> None:
    network = FusionNetwork(spec, preset, 4, encoder).eval()
    pet, ct, labs = inputs()
    assert network(pet, ct, labs).shape == (2,)
    embedding = network.embed(pet, ct, labs)
    assert embedding.shape == (2, preset.network.mlp_widths[1])
    assert torch.allclose(network.output(embedding).squeeze(1), network(pet, ct, labs))
    images = int(spec.uses_pet) + int(spec.uses_ct)
    assert network.image_embedding(pet, ct).shape == (2, images * preset.network.embedding)


@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
def test_an_input_that_a_network_does_not_use_changes_nothing(spec: ModelSpec, encoder: PretrainedEncoder) -> None:
    model = fitted(spec, encoder)
    pet, ct, labs = inputs()
    used = (pet if spec.uses_pet else None, ct if spec.uses_ct else None, labs if spec.uses_labs else None)
    assert torch.equal(model(pet, ct, labs), model(*used))


@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
def test_a_patients_logit_does_not_depend_on_the_batch(spec: ModelSpec, encoder: PretrainedEncoder) -> None:
    model = fitted(spec, encoder)
    pet, ct, labs = inputs(3)
    alone = torch.cat([model(pet[n : n + 1], ct[n : n + 1], labs[n : n + 1]) for n in range(3)])
    assert torch.allclose(model(pet, ct, labs), alone, atol=1e-5)


def test_gradients_reach_raw_voxels_and_raw_blood_values(encoder: PretrainedEncoder) -> None:
    for name in ("pet_ct_labs", "pet_ct_labs_pretrained"):
        model = fitted(MODELS[name], encoder)
        raw = [tensor.requires_grad_() for tensor in inputs(1)]
        gradients = torch.autograd.grad(model(*raw).sum(), raw)
        assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
        assert float((gradients[0] != 0).float().mean()) > 0.5
        assert float((gradients[1] != 0).float().mean()) > 0.5
        assert bool((gradients[2] != 0).all())


def test_the_normalisation_in_torch_is_that_of_numpy(encoder: PretrainedEncoder) -> None:
    model = fitted(MODELS["pet_ct_labs"], encoder)
    pet, ct, labs = inputs()
    pet[0, 0, 0, 0, 0], ct[0, 0, 0, 0, 0] = 99.0, -3000.0
    mine = model.normalise(pet, ct, labs)
    numbers = (
        ImageNormaliser(1.0, 2.0, (0.0, 20.0)).apply(pet.numpy()),
        ImageNormaliser(-20.0, 90.0, (-200.0, 300.0)).apply(ct.numpy()),
        TabularNormaliser(np.full(4, 3.5), np.full(4, 0.8), log1p=True).apply(labs.numpy()),
    )
    for tensor, array in zip(mine, numbers, strict=True):
        assert tensor is not None
        np.testing.assert_allclose(tensor.numpy(), array, atol=1e-5)


@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
def test_a_fitted_network_comes_back_from_its_tensors_exactly(spec: ModelSpec, encoder: PretrainedEncoder) -> None:
    model = fitted(spec, encoder)
    model.recalibrate(0.8, -0.1)
    again = FittedNetwork.from_tensors(spec, QUICK, model.to_tensors(), encoder)
    pet, ct, labs = (tensor.squeeze(1).numpy() for tensor in inputs())
    np.testing.assert_array_equal(again.predict(pet, ct, labs), model.predict(pet, ct, labs))
    assert again.n_tabular == model.n_tabular


def test_recalibration_scales_and_shifts_the_logit(encoder: PretrainedEncoder) -> None:
    model = fitted(MODELS["pet_labs"], encoder)
    pet, _, labs = inputs()
    before = model(pet, None, labs)
    model.recalibrate(2.0, 0.5)
    assert torch.allclose(model(pet, None, labs), 2.0 * before + 0.5)


def test_a_fifth_tabular_input_is_only_a_number(encoder: PretrainedEncoder) -> None:
    model = fitted(MODELS["pet_ct_labs"], encoder, n_tabular=5)
    pet, ct, labs = inputs(2, 5)
    raw = labs.requires_grad_()
    (gradient,) = torch.autograd.grad(model(pet, ct, raw).sum(), raw)
    assert bool((gradient[:, 4] != 0).all())
    again = FittedNetwork.from_tensors(MODELS["pet_ct_labs"], QUICK, model.to_tensors())
    assert again.n_tabular == 5
    with pytest.raises(ModelRefused, match="5 tabular inputs"):
        again.predict(pet[:, 0].numpy(), ct[:, 0].numpy(), labs[:, :4].detach().numpy())


def test_tensors_of_another_preset_model_or_layout_are_refused(encoder: PretrainedEncoder) -> None:
    tensors = fitted(MODELS["pet_labs"], encoder).to_tensors()
    wider = replace(QUICK, network=replace(QUICK.network, embedding=32))
    for spec, preset, given, code in (
        (MODELS["pet_labs"], wider, tensors, Code.WEIGHTS_MISMATCH),
        (MODELS["ct_labs"], QUICK, tensors, Code.WEIGHTS_MISMATCH),
        (MODELS["pet_labs"], QUICK, {**tensors, "layout": torch.tensor([9, 4, 0])}, Code.MODEL_MISMATCH),
        (MODELS["pet_labs"], QUICK, {}, Code.MODEL_MISMATCH),
    ):
        with pytest.raises(ModelRefused) as refused:
            FittedNetwork.from_tensors(spec, preset, given)
        assert refused.value.code is code


def test_a_missing_input_is_named(encoder: PretrainedEncoder) -> None:
    with pytest.raises(ModelRefused, match="the CT"):
        fitted(MODELS["ct"], encoder).predict(None, None, None)


def threads_of_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("two_threads")
def test_members_asked_side_by_side_answer_as_alone_and_in_their_order(encoder: PretrainedEncoder) -> None:
    members = [fitted(MODELS["pet_ct_labs"], encoder, preset=TUNED) for _ in range(3)]
    for shift, member in enumerate(members):
        member.recalibrate(1.0, float(shift))
    images = inputs()
    alone = [ask(member, *images) for member in members]
    for _ in range(3):
        for one, other in zip(alone, side_by_side(members, lambda member: ask(member, *images)), strict=True):
            assert torch.allclose(one.logits, other.logits, rtol=0.0, atol=1e-5)
            for mine, theirs in (
                (one.pet_gradients, other.pet_gradients),
                (one.ct_gradients, other.ct_gradients),
            ):
                assert mine is not None
                assert theirs is not None
                # A ReLU at its kink may fall to either side: the sums of one thread and of two differ in a last digit.
                assert float((mine - theirs).abs().max()) < 5e-3 * float(mine.abs().max())
    assert torch.get_num_threads() == threads_of_a_new_thread() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_member_that_fails_leaves_the_threads_as_they_were(encoder: PretrainedEncoder) -> None:
    members = [fitted(MODELS["pet_labs"], encoder) for _ in range(2)]

    def failing(member: FittedNetwork) -> None:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        side_by_side(members, failing)
    assert torch.get_num_threads() == threads_of_a_new_thread() == 2


# --- the image branch -------------------------------------------------------------------------------------------------


def test_the_histogram_counts_voxels_by_intensity_and_third() -> None:
    histogram = IntensityHistogram((0.0, 1.0, 2.0))
    image = torch.zeros(1, 1, 6, 4, 4)
    image[:, :, 2:4] = 1.5
    image[:, :, 4:] = 9.0
    shares = histogram(image).exp().view(3, 3)  # bin by third
    expected = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.5, 1.0]])
    assert torch.allclose(shares, expected, atol=1e-4)


def test_a_small_bright_lesion_shows_in_the_histogram_and_in_the_gradient() -> None:
    histogram = IntensityHistogram(TUNED.network.pet_levels)
    image = torch.zeros(1, 1, *SHAPE)
    lesion = image.clone()
    lesion[..., 30:32, 20:22, 20:22] = 10.0
    assert float((histogram(lesion) - histogram(image)).abs().max()) > 1.0
    raw = lesion.requires_grad_()
    (gradient,) = torch.autograd.grad(histogram(raw)[0, -1], raw, allow_unused=True)
    assert gradient is not None
    (gradient,) = torch.autograd.grad(histogram(raw).sum(), raw)
    assert bool((gradient[..., 30:32, 20:22, 20:22] != 0).all())


def chain_of_clamps(image: torch.Tensor, centres: tuple[float, ...]) -> torch.Tensor:
    """The histogram as its definition reads, differentiated by torch."""
    above = [torch.ones((len(image), 3), dtype=image.dtype)]
    for low, high in pairwise(centres):
        thirds = image.clamp(low, high).flatten(3).squeeze(1).tensor_split(3, dim=1)
        above.append((torch.stack([third.mean(dim=(1, 2)) for third in thirds], dim=1) - low) / (high - low))
    above.append(torch.zeros_like(above[0]))
    shares = [upper - lower for upper, lower in pairwise(above)]
    return (torch.cat(shares, dim=1).clamp(min=0.0) + 1e-5).log()


@pytest.mark.parametrize("levels", [TUNED.network.pet_levels, TUNED.network.ct_levels])
def test_the_histogram_and_its_gradient_are_those_of_a_chain_of_clamps(levels: tuple[float, ...]) -> None:
    histogram = IntensityHistogram(levels)
    draws = torch.Generator().manual_seed(0)
    image = (8 * torch.randn(3, 1, 8, 5, 4, generator=draws, dtype=torch.float64)).requires_grad_()
    weights = torch.randn(3, histogram.features, generator=draws, dtype=torch.float64)
    assert torch.allclose(histogram(image), chain_of_clamps(image, levels), atol=1e-10)
    (gradient,) = torch.autograd.grad((histogram(image) * weights).sum(), image)
    (expected,) = torch.autograd.grad((chain_of_clamps(image, levels) * weights).sum(), image)
    assert torch.allclose(gradient, expected, atol=1e-10)
    assert torch.autograd.gradcheck(histogram, (image[:1, :, :3].detach().requires_grad_(),))
    together = torch.func.vmap(histogram)(image.detach()[:, None])
    assert torch.allclose(together[:, 0], histogram(image.detach()))


def test_the_histograms_gradient_is_looked_up_alike_on_every_device() -> None:
    draws = torch.Generator().manual_seed(3)
    slices = torch.randn(2, 7, 12, generator=draws).mul(2).round()  # many voxels lie on an edge exactly
    tables, edges = torch.randn(2, 3, 4, generator=draws), (-1.0, 0.0, 2.0)
    found = torch.empty_like(slices)
    for place in range(2):
        _look_up(tables[place].numpy(), slices[place].numpy(), edges, found[place].numpy())
    assert torch.equal(_looked_up(tables, slices, torch.tensor(edges)), found)


@pytest.mark.parametrize("window", [(0.0, 25.0), (-np.inf, np.inf)])
def test_scaling_and_its_gradient_are_those_of_a_clamp(window: tuple[float, float]) -> None:
    values = torch.tensor([-1.0, 0.0, 1e-30, 3.0, 25.0, 26.0], requires_grad=True)
    scaled = ImageScaling(ImageNormaliser(2.0, 4.0, window))(values)
    expected = (values.clamp(*window) - 2.0) / 4.0
    weights = torch.arange(1.0, 7.0)
    (gradient,) = torch.autograd.grad((scaled * weights).sum(), values)
    (theirs,) = torch.autograd.grad((expected * weights).sum(), values)
    assert torch.equal(scaled, expected)
    assert torch.equal(gradient, theirs)


def test_the_histogram_keeps_what_is_no_number() -> None:
    image = torch.zeros(1, 1, 3, 2, 2)
    image[0, 0, 1, 0, 0] = torch.nan
    assert bool(IntensityHistogram((0.0, 1.0, 2.0))(image).isnan().any())


def test_dropout_takes_the_mask_that_was_drawn_for_it() -> None:
    dropout, features = DrawnDropout(0.25, 40), torch.ones(50, 40)
    dropout.draw(50, torch.Generator().manual_seed(1))
    first = dropout(features)
    assert torch.equal(first, dropout(features))
    assert first.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float((first == 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(dropout.eval()(features), features)
    assert not dropout.state_dict()
    assert bool((DrawnDropout(0.5, 40)(features) == 0).any())  # none drawn: torch's own generator


def test_standardising_uses_running_values_and_never_the_batch_at_hand() -> None:
    standardise = RunningStandardise(3)
    features = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10.0, 0.1]) + 5.0
    for batch in features.split(8):
        standardise(batch)
    standardise.eval()
    assert torch.allclose(standardise(features).std(dim=0), torch.ones(3), atol=0.3)
    assert torch.allclose(standardise(features)[:1], standardise(features[:1]))


# --- the pretrained CT branch -----------------------------------------------------------------------------------------


def test_our_axes_become_right_front_head() -> None:
    ct = torch.full((1, 1, 3, 4, 5), -2000.0)
    ct[0, 0, 2, 0, 4] = 100.0  # head end, front row, leftmost column
    turned = to_bundle_axes(ct, (-1000.0, 1000.0))
    assert turned.shape == (1, 1, 5, 4, 3)
    # x grows towards the right, y towards the front, z towards the head: left is x = 0, front is the last y.
    assert float(turned[0, 0, 0, 3, 2]) == pytest.approx(0.1)
    assert float(turned.min()) == -1.0


@pytest.mark.parametrize("stages", range(5))
def test_frozen_features_stand_in_for_the_ct(encoder: PretrainedEncoder, stages: int) -> None:
    spec = MODELS["pet_ct_labs_pretrained"]
    model = FittedNetwork(FusionNetwork(spec, QUICK, 4, encoder, trainable_stages=stages))
    pet, ct, labs = inputs()
    features = model.network.frozen_features(ct)
    assert torch.allclose(model(pet, ct, labs), model(pet, None, labs, features), atol=1e-6)
    frozen = model.frozen_tensors()
    assert bool(frozen) == (stages < 4)
    assert not set(model.to_tensors()) & {f"network.{name}" for name in frozen}


def test_folds_share_the_frozen_stages_and_fit_their_own_tail(encoder: PretrainedEncoder) -> None:
    spec = MODELS["pet_ct_labs_pretrained"]
    first, second = (FusionNetwork(spec, QUICK, 4, encoder) for _ in range(2))
    name = "ct_branch.front.0.0.conv.weight"
    assert first.state_dict()[name].data_ptr() == second.state_dict()[name].data_ptr()
    before = {key: tensor.clone() for key, tensor in encoder.tensors.items()}
    optimiser = torch.optim.AdamW([p for p in first.parameters() if p.requires_grad], lr=0.1)
    first.train()(*inputs()).sum().backward()
    optimiser.step()
    assert all(torch.equal(before[key], tensor) for key, tensor in encoder.tensors.items())
    tail = "ct_branch.tail.0.0.conv.weight"
    assert not torch.equal(first.state_dict()[tail], second.state_dict()[tail])


def test_wide_encoders_stay_frozen_on_a_cpu(encoder: PretrainedEncoder) -> None:
    assert stages_to_fit(TUNED, encoder, gpu=False) == TUNED.ct_trainable_stages
    assert stages_to_fit(TUNED, replace(encoder, init_filters=32), gpu=False) == 0
    assert stages_to_fit(TUNED, replace(encoder, init_filters=32), gpu=True) == 4


def test_a_single_patient_gets_the_answer_and_gradient_that_it_gets_among_others(encoder: PretrainedEncoder) -> None:
    network = fitted(MODELS["pet_ct_labs_pretrained"], encoder).network.eval()
    assert isinstance(network.ct_branch, PretrainedCtEncoder)
    several = 300 * torch.randn(3, 1, 12, 10, 8, generator=torch.Generator().manual_seed(1))
    alone = several[:1].clone()
    outputs = []
    for ct in (several, alone):
        outputs.append(network.ct_branch(ct.requires_grad_()))
        outputs[-1][0].sum().backward()
    assert len(outputs[1]) == 1
    torch.testing.assert_close(outputs[0][:1], outputs[1], rtol=1e-4, atol=1e-5)
    assert alone.grad is not None
    assert several.grad is not None
    assert alone.grad.abs().max() > 0
    torch.testing.assert_close(several.grad[:1], alone.grad, rtol=1e-3, atol=1e-6 * float(alone.grad.abs().max()))


def test_the_pretrained_model_needs_its_encoder_and_a_sane_number_of_stages(encoder: PretrainedEncoder) -> None:
    spec = MODELS["pet_ct_labs_pretrained"]
    with pytest.raises(ModelRefused, match="no pretrained CT encoder"):
        FusionNetwork(spec, QUICK, 4)
    with pytest.raises(ModelRefused, match="stages"):
        FusionNetwork(spec, QUICK, 4, encoder, trainable_stages=5)
    with pytest.raises(ModelRefused, match="not a network"):
        FusionNetwork(MODELS["rf_labs"], QUICK, 4)
    with pytest.raises(ModelRefused, match="no frozen CT stages"):
        FusionNetwork(MODELS["ct"], QUICK, 4).frozen_features(inputs()[1])


def test_the_same_seed_gives_the_same_network(encoder: PretrainedEncoder) -> None:
    first, second = (fitted(MODELS["pet_ct_labs_pretrained"], encoder).to_tensors() for _ in range(2))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
