"""A packed model: whole, hashed, honest about itself, and refused when anything about it was changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from PRRTPredictorCore import disk
from PRRTPredictorCore.errors import Code, InputRefused, ModelRefused, PRRTError
from PRRTPredictorCore.imaging.normalise import ImageNormaliser, TabularNormaliser
from PRRTPredictorCore.imaging.preprocess import PreprocessConfig
from PRRTPredictorCore.models.bundle import load_bundle, save_bundle
from PRRTPredictorCore.models.bundle_files import read_hashes
from PRRTPredictorCore.models.fitted import FittedModel, FittedNetwork
from PRRTPredictorCore.models.forest import fit_forest
from PRRTPredictorCore.models.fusion import FusionNetwork
from PRRTPredictorCore.models.metadata import BundleMetadata, Performance, SurvivalCurve
from PRRTPredictorCore.models.presets import QUICK
from PRRTPredictorCore.models.pretrained import random_encoder
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.records import LABS, RESEARCH_USE_NOTICE, TrainingRanges, input_units

ENCODER = random_encoder(4, (1, 1, 1, 1), 4, (-300.0, 500.0), seed=1)


def metadata(model: str) -> BundleMetadata:
    preprocess = PreprocessConfig()
    return BundleMetadata(
        model=model,
        preset=QUICK,
        preprocess=preprocess,
        preprocess_digest=preprocess.digest(),
        tabular_names=LABS,
        training_ranges=TrainingRanges(
            dict.fromkeys(LABS, (10.0, 200.0)), (3.0, 20.0), ((900.0, 1100.0), (400.0, 500.0), (400.0, 500.0))
        ),
        patients=116,
        long_pfs=74,
        performance=Performance(0.81, 0.01, (0.72, 0.89)),
        survival=(SurvivalCurve("predicted long", (0.0, 12.5), (1.0, 0.6), 70),),
        synthetic=True,
        data_sha256="d" * 64,
        run_sha256="e" * 64,
        encoder_source=ENCODER.source if MODELS[model].ct_encoder == "pretrained" else "",
        created_utc="2025-01-01T00:00:00+00:00",
        version="0.1.0",
        tabular_units=input_units(LABS),
    )


def member(model: str, seed: int) -> FittedModel:
    spec = MODELS[model]
    random = np.random.default_rng(seed)
    if spec.kind == "forest":
        return fit_forest(spec, QUICK.forest, random.uniform(5, 90, (40, 4)), random.integers(0, 2, 40), seed)
    torch.manual_seed(seed)
    labs = TabularNormaliser(np.full(4, 3.5), np.full(4, 0.8), log1p=True)
    image = ImageNormaliser(1.0, 2.0, (0.0, 20.0))
    return FittedNetwork(FusionNetwork(spec, QUICK, 4, ENCODER), image, image, labs)


def packed(out: Path, model: str = "pet_labs", count: int = 2) -> Path:
    save_bundle(out, [member(model, seed) for seed in range(count)], metadata(model), ENCODER)
    return out


@pytest.mark.parametrize("model", list(MODELS))
def test_a_packed_model_answers_as_before(tmp_path: Path, model: str) -> None:
    members = [member(model, seed) for seed in range(2)]
    identity = save_bundle(tmp_path / "model", members, metadata(model), ENCODER)
    bundle = load_bundle(tmp_path / "model", device="cpu")
    random = np.random.default_rng(0)
    pet, ct = (random.uniform(0, 9, (1, 75, 50, 50)).astype(np.float32) for _ in range(2))
    labs = random.uniform(10, 80, (1, 4))
    for before, after in zip(members, bundle.members, strict=True):
        np.testing.assert_array_equal(after.predict(pet, ct, labs), before.predict(pet, ct, labs))
    assert bundle.metadata == metadata(model)
    assert bundle.identity == identity
    assert bundle.identity.synthetic
    assert len(bundle.networks) == (0 if model == "rf_labs" else 2)


def test_the_folder_has_monais_layout_and_says_what_it_is_for(tmp_path: Path) -> None:
    out = packed(tmp_path / "model", "pet_ct_labs_pretrained")
    assert sorted(str(path.relative_to(out).as_posix()) for path in out.rglob("*") if path.is_file()) == [
        "configs/hashes.json",
        "configs/inference.json",
        "configs/metadata.json",
        "docs/README.md",
        "models/encoder.safetensors",
        "models/member-000.safetensors",
        "models/member-001.safetensors",
    ]
    stated = json.loads((out / "configs/metadata.json").read_text(encoding="utf-8"))
    required = "version monai_version pytorch_version numpy_version required_packages_version task description authors"
    assert not [key for key in [*required.split(), "copyright", "network_data_format"] if key not in stated]
    assert stated["intended_use"] == RESEARCH_USE_NOTICE
    card = (out / "docs/README.md").read_text(encoding="utf-8")
    assert RESEARCH_USE_NOTICE in card
    assert "SYNTHETIC" in card
    assert "0.72 to 0.89" in card
    assert ENCODER.source in card


def test_monais_own_parser_reads_the_inference_config(tmp_path: Path) -> None:
    from monai.bundle import ConfigParser

    out = packed(tmp_path / "model")
    parser = ConfigParser()
    parser.read_config(out / "configs/inference.json")
    parser["bundle_root"] = str(out)
    assert len(parser.get_parsed_content("ensemble").members) == 2


def test_equal_models_have_equal_identities(tmp_path: Path) -> None:
    first, second = (load_bundle(packed(tmp_path / name), device="cpu") for name in ("a", "b"))
    assert first.identity == second.identity


def test_a_model_is_replaced_but_nothing_else_is(tmp_path: Path) -> None:
    out = packed(tmp_path / "model", count=2)
    packed(out, count=1)
    assert len(load_bundle(out, device="cpu").members) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(InputRefused) as failed:
        packed(tmp_path / "thesis")
    assert failed.value.code is Code.OUTPUT
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "mine"


def test_a_model_that_a_killed_process_was_replacing_is_read_all_the_same(tmp_path: Path) -> None:
    """Where two names cannot be exchanged in one step, the older model has none between two renames."""
    out = packed(tmp_path / "model")
    waiting = disk.aside(out, disk.REPLACED).name.replace(f"-{os.getpid()}-", "-999999999-")  # nobody's number
    out.rename(tmp_path / waiting)
    assert read_hashes(out)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rename_in_hashes(out: Path, old: str, new: str) -> None:
    """As an attacker would: the list altered, and its sum made to agree."""
    from PRRTPredictorCore.models.bundle_files import overall

    listed = json.loads((out / "configs/hashes.json").read_text())
    listed["files"][new] = listed["files"].pop(old)
    listed["sha256"] = overall(listed["files"])
    (out / "configs/hashes.json").write_text(json.dumps(listed))


def link_elsewhere(out: Path) -> None:
    target = out.parent / "elsewhere.safetensors"
    (out / "models/member-000.safetensors").replace(target)
    try:
        (out / "models/member-000.safetensors").symlink_to(target)
    except OSError:
        pytest.skip("this system allows no symbolic links")


TAMPERINGS: dict[str, tuple[Callable[[Path], object], Code]] = {
    "weights altered": (lambda out: flip_a_bit(out / "models/member-000.safetensors"), Code.MODEL_TAMPERED),
    "metadata altered": (lambda out: flip_a_bit(out / "configs/metadata.json"), Code.MODEL_TAMPERED),
    "card altered": (lambda out: flip_a_bit(out / "docs/README.md"), Code.MODEL_TAMPERED),
    "hash list is text": (lambda out: (out / "configs/hashes.json").write_text("{"), Code.MODEL_TAMPERED),
    "hash list is a list": (lambda out: (out / "configs/hashes.json").write_text("[]"), Code.MODEL_TAMPERED),
    "way out of the folder": (
        lambda out: rename_in_hashes(out, "docs/README.md", "docs/../../secret"),
        Code.MODEL_TAMPERED,
    ),
    "link": (link_elsewhere, Code.MODEL_TAMPERED),
    "smuggled member": (lambda out: (out / "models/member-007.safetensors").write_bytes(b"x"), Code.MODEL_TAMPERED),
    "member gone": (lambda out: (out / "models/member-001.safetensors").unlink(), Code.MODEL_MISSING),
    "hash list gone": (lambda out: (out / "configs/hashes.json").unlink(), Code.MODEL_MISSING),
}


@pytest.mark.parametrize("case", TAMPERINGS)
def test_an_altered_model_is_refused(tmp_path: Path, case: str) -> None:
    tamper, code = TAMPERINGS[case]
    out = packed(tmp_path / "model")
    tamper(out)
    with pytest.raises(ModelRefused) as refused:
        load_bundle(out, device="cpu")
    assert refused.value.code is code
    assert refused.value.remedy


def test_an_oversized_file_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = packed(tmp_path / "model")
    monkeypatch.setattr("PRRTPredictorCore.models.bundle_files.MAX_TEXT_BYTES", 100)
    with pytest.raises(ModelRefused, match="larger"):
        load_bundle(out, device="cpu")


def test_another_schema_or_preprocessing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = packed(tmp_path / "model")
    monkeypatch.setattr("PRRTPredictorCore.models.metadata.SCHEMA", 3)
    with pytest.raises(ModelRefused) as refused:
        load_bundle(out, device="cpu")
    assert refused.value.code is Code.MODEL_MISMATCH
    monkeypatch.undo()
    other = replace(metadata("pet_labs"), preprocess_digest="of another version")
    save_bundle(out, [member("pet_labs", 0)], other)
    with pytest.raises(ModelRefused, match="another version"):
        load_bundle(out, device="cpu")


def test_members_of_another_preset_are_refused(tmp_path: Path) -> None:
    wider = replace(QUICK, network=replace(QUICK.network, embedding=32))
    save_bundle(tmp_path / "model", [member("pet_labs", 0)], replace(metadata("pet_labs"), preset=wider))
    with pytest.raises(ModelRefused) as refused:
        load_bundle(tmp_path / "model", device="cpu")
    assert refused.value.code is Code.WEIGHTS_MISMATCH


def test_a_model_that_makes_no_sense_is_not_packed(tmp_path: Path) -> None:
    pet = member("pet_labs", 0)
    for members, stated in (
        ([], metadata("pet_labs")),
        ([pet], metadata("ct_labs")),
        ([pet], replace(metadata("pet_labs"), tabular_names=(*LABS, "age"))),
        ([member("pet_ct_labs_pretrained", 0)], metadata("pet_ct_labs_pretrained")),
    ):
        with pytest.raises(ModelRefused):
            save_bundle(tmp_path / "model", members, stated)
    assert not (tmp_path / "model").exists()


def test_cuda_is_refused_where_there_is_none(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(PRRTError) as refused:
        load_bundle(packed(tmp_path / "model"), device="cuda")
    assert refused.value.code is Code.DEVICE_MISSING
