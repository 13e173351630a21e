"""MONAI's whole-body CT bundle by its real layout, and the encoder pretrained on made phantoms."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from PRRTPredictorCore.errors import Code, ModelRefused
from PRRTPredictorCore.files import cache_folder
from PRRTPredictorCore.models import pretrained
from PRRTPredictorCore.models.encoder_files import read_encoder, write_encoder
from PRRTPredictorCore.models.encoders import PretrainedCtEncoder
from PRRTPredictorCore.models.organs import LabelledCt, embedded_encoder
from PRRTPredictorCore.models.presets import QUICK, PretrainingSettings
from PRRTPredictorCore.models.pretrained import (
    BUNDLE_NAME,
    bundle_layout,
    ct_encoder_for,
    download_bundle,
    load_bundle_encoder,
    resolve_weights,
)

LAYOUT = Path(__file__).parents[2].parent / "shared" / "reference" / "segresnet_wholebody_ct_state_dict_layout.txt"
TINY = PretrainingSettings(
    init_filters=4,
    blocks_down=(1, 1, 1, 1),
    phantoms=14,
    batches=100,
    batch_size=2,
    shape=(24, 16, 16),
)


def layout_from_the_reference() -> dict[str, tuple[int, ...]]:
    if not LAYOUT.is_file():
        pytest.skip("reference missing: shared/reference")
    lines = (re.fullmatch(r"(\S+) (\(.*\))", line) for line in LAYOUT.read_text().splitlines())
    return {match[1]: ast.literal_eval(match[2]) for match in lines if match and not match[1].startswith("#")}


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=random) * 0.02 + (name.endswith("norm1.weight"))
        for name, shape in bundle_layout().items()
    }


def made(seed: int, shape: tuple[int, int, int]) -> LabelledCt:
    """A stand-in phantom: a bright and a dark box in air."""
    random = np.random.default_rng(seed)
    ct, labels = np.full(shape, -1000.0, np.float32), np.zeros(shape, np.int16)
    for label, hu in ((1, 60.0), (2, 300.0)):
        k, j, i = (int(random.integers(1, size // 2)) for size in shape)
        box = (slice(k, k + shape[0] // 3), slice(j, j + shape[1] // 3), slice(i, i + shape[2] // 3))
        ct[box], labels[box] = hu, label
    return LabelledCt(ct, labels, 3)


def test_our_segresnet_has_the_bundles_83_tensors() -> None:
    real = layout_from_the_reference()
    assert len(real) == 83
    assert bundle_layout() == real
    assert sum(int(np.prod(shape)) for shape in real.values()) == 18_799_401


@pytest.mark.parametrize("form", ["bare.pt", "model.pt", "bare.safetensors"])
def test_the_bundles_weights_load_in_every_form(tmp_path: Path, state: dict[str, torch.Tensor], form: str) -> None:
    path = tmp_path / form
    if form.endswith(".safetensors"):
        save_file(state, path)
    else:
        torch.save({"model": state} if form == "model.pt" else state, path)
    encoder = load_bundle_encoder(path)
    assert torch.equal(encoder.tensors["convInit.conv.weight"], state["convInit.conv.weight"])
    assert not [name for name in encoder.tensors if name.startswith(("up_", "conv_final"))]
    assert encoder.channels == 256
    assert encoder.dice is None


def test_the_bundles_encoder_gives_256_channels_at_an_eighth(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, tmp_path / "model.pt")
    branch = PretrainedCtEncoder(load_bundle_encoder(tmp_path / "model.pt"), QUICK.network, trainable_stages=0).eval()
    with torch.no_grad():
        features = branch.frozen_features(torch.zeros(1, 1, 75, 50, 50))
    assert features.shape == (1, 256, 7, 7, 10)  # x, y, z: our 75 slices are the last axis


def test_weights_of_another_layout_are_refused_by_name(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    lacking = {name: tensor for name, tensor in state.items() if not name.startswith("down_layers.3.4")}
    other = {**state, "convInit.conv.weight": torch.zeros(16, 1, 3, 3, 3)}
    broken = {**state, "convInit.conv.weight": torch.full((32, 1, 3, 3, 3), float("nan"))}
    for changed, text in ((lacking, "down_layers.3.4"), (other, "convInit.conv.weight"), (broken, "no numbers")):
        torch.save(changed, tmp_path / "model.pt")
        with pytest.raises(ModelRefused, match=text) as refused:
            load_bundle_encoder(tmp_path / "model.pt")
        assert refused.value.code is Code.WEIGHTS_MISMATCH


class Danger:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("this must never run",))


def test_a_file_with_code_in_it_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model": Danger()}, tmp_path / "model.pt")
    (tmp_path / "text.pt").write_text("not a checkpoint")
    (tmp_path / "text.safetensors").write_text("not a checkpoint")
    torch.save([1, 2, 3], tmp_path / "list.pt")
    for name in ("model.pt", "text.pt", "text.safetensors", "list.pt"):
        with pytest.raises(ModelRefused) as refused:
            load_bundle_encoder(tmp_path / name)
        assert refused.value.code is Code.WEIGHTS_MISMATCH
    assert "never run" not in capsys.readouterr().out


def test_missing_weights_are_told_before_any_work(tmp_path: Path) -> None:
    for call in (load_bundle_encoder, resolve_weights):
        with pytest.raises(ModelRefused) as refused:
            call(tmp_path / "none.pt")
        assert refused.value.code is Code.MODEL_MISSING
    assert resolve_weights(None) is None


def test_the_download_is_whole_or_absent_and_happens_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, told = [], []

    def fetch(*, name: str, bundle_dir: str, **_: object) -> None:
        calls.append(name)
        models = Path(bundle_dir) / name / "models"
        models.mkdir(parents=True)
        if len(calls) == 1:
            raise OSError("the network broke")
        (models / "model_lowres.pt").write_bytes(b"weights")

    monkeypatch.setattr("monai.bundle.scripts.download", fetch)
    monkeypatch.setenv("PRRT_CACHE_DIR", str(tmp_path))

    def listener(stage: str, done: int, total: int, message: str = "") -> None:
        told.append(message)

    with pytest.raises(ModelRefused) as refused:
        download_bundle(progress=listener)
    assert refused.value.code is Code.MODEL_MISSING
    assert "MB" in told[0]
    assert not list(tmp_path.rglob("*.pt"))
    path = resolve_weights(Path("download"))
    assert path == tmp_path / "bundles" / BUNDLE_NAME / "models" / "model_lowres.pt"
    assert download_bundle() == path
    assert len(calls) == 2


# --- the embedded encoder ---------------------------------------------------------------------------------------------


def test_the_embedded_encoder_learns_is_kept_and_mended(tmp_path: Path) -> None:
    made_seeds: list[int] = []

    def make(seed: int, shape: tuple[int, int, int]) -> LabelledCt:
        made_seeds.append(seed)
        return made(seed, shape)

    first = embedded_encoder(TINY, cache_dir=tmp_path, make=make)
    assert first.dice is not None
    assert first.dice > 0.5
    count = len(made_seeds)
    assert embedded_encoder(TINY, cache_dir=tmp_path, make=make).sha256 == first.sha256
    assert len(made_seeds) == count, "a kept encoder must not be made again"
    (kept,) = tmp_path.rglob("*.safetensors")
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    assert embedded_encoder(TINY, cache_dir=tmp_path, make=make).sha256 == first.sha256
    assert len(made_seeds) == 2 * count


def test_pretraining_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    embedded_encoder(TINY, cache_dir=tmp_path, make=made)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_the_controls_are_a_matter_of_the_preset(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    random = QUICK.with_ct_control(init="random", trainable_stages=0)
    first, second = ct_encoder_for(random), ct_encoder_for(random)
    assert "random" in first.source
    assert first.sha256 == second.sha256
    assert first.init_filters == QUICK.pretraining.init_filters
    torch.save(state, tmp_path / "model.pt")
    assert ct_encoder_for(random, tmp_path / "model.pt").init_filters == 32
    assert BUNDLE_NAME in ct_encoder_for(QUICK, tmp_path / "model.pt").source


def test_the_default_is_the_embedded_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(pretrained, "embedded_encoder", lambda settings, **_: asked.append(settings))
    ct_encoder_for(QUICK, cache_dir=tmp_path)
    assert asked == [QUICK.pretraining]
    monkeypatch.setenv("PRRT_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path


def test_an_encoders_file_says_where_it_comes_from(tmp_path: Path) -> None:
    encoder = pretrained.random_encoder(4, (1, 1, 1, 1), 4, (-300.0, 500.0), seed=0)
    write_encoder(tmp_path / "encoder.safetensors", encoder)
    again = read_encoder(tmp_path / "encoder.safetensors")
    assert (again.source, again.sha256, again.blocks_down) == (encoder.source, encoder.sha256, encoder.blocks_down)
    save_file(dict(encoder.tensors), tmp_path / "bare.safetensors")
    with pytest.raises(ModelRefused, match="no pretrained encoder"):
        read_encoder(tmp_path / "bare.safetensors")
