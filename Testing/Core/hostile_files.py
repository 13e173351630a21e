"""Models, runs and images as somebody who wishes harm would alter them: damaged anywhere, with hashes that agree."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training_stand_in import tiny_cohort, tiny_config

from PRRTPredictorCore.errors import PRRTError
from PRRTPredictorCore.imaging.nrrd import read_nrrd, read_series, write_nrrd, write_series
from PRRTPredictorCore.imaging.segmentation import Segmentation, read_segmentation, write_segmentation
from PRRTPredictorCore.models.bundle import load_bundle
from PRRTPredictorCore.models.bundle_files import HASHES, METADATA, overall
from PRRTPredictorCore.models.encoder_files import read_encoder
from PRRTPredictorCore.models.weights import read_checkpoint
from PRRTPredictorCore.prediction.card import read_card
from PRRTPredictorCore.prediction.pack import pack_model
from PRRTPredictorCore.prediction.predictor import ask_ensemble
from PRRTPredictorCore.records import Acquisition, LoadedSeries, Notice, Volume
from PRRTPredictorCore.training.crossval import run_crossval
from PRRTPredictorCore.training.store import RunStore

COHORT, IMAGES = tiny_cohort()
MODELS = ("rf_labs", "pet_ct_labs", "pet_ct_labs_pretrained")
AFFINE = np.array([[4.0, 0, 0, -20], [0, 4.0, 0, -30], [0, 0, 5.0, -500], [0, 0, 0, 1]])


def make_run(out: Path) -> Path:
    """A whole run of a forest, a network and one with a pretrained branch."""
    return run_crossval(COHORT, IMAGES, tiny_config(*MODELS), out).path


def agree(model: Path) -> None:
    """Make the hashes of a model folder agree with what lies there now, as whoever altered it would."""
    listed = json.loads((model / HASHES).read_text(encoding="utf-8"))
    hashes = {name: hashlib.sha256((model / name).read_bytes()).hexdigest() for name in listed["files"]}
    (model / HASHES).write_text(json.dumps({"sha256": overall(hashes), "files": hashes}), encoding="utf-8")


def edit_metadata(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter our block of a model's metadata, hashes included."""
    content = json.loads((model / METADATA).read_text(encoding="utf-8"))
    change(content["prrt_predictor"])
    (model / METADATA).write_text(json.dumps(content), encoding="utf-8")
    agree(model)


# --- what is read, and how --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """One file to damage, in a folder of its own that is whole again afterwards.

    Attributes
    ----------
    file : Path
    read : callable
        Reads what the file belongs to; a refusal is a :class:`PRRTError`, an answer is checked.
    hashed : Path or None
        The model folder whose list of hashes must agree.
    """

    file: Path
    read: Callable[[], None]
    hashed: Path | None = None


def targets(folder: Path, run: Path) -> Mapping[str, Target]:
    """Every kind of file that others may have written, by name."""
    own_run = Path(shutil.copytree(run, folder / "run"))
    found = {name: Target(own_run / name, _reads_run(own_run)) for name in ("manifest.json", "cohort.json")}
    found["splits.json"] = Target(own_run / "splits.json", _reads_run(own_run))
    found["ct_encoder"] = Target(own_run / "ct_encoder.safetensors", lambda: _ignore(read_encoder(found_encoder)))
    found_encoder = found["ct_encoder"].file
    for model in ("rf_labs", "pet_ct_labs"):
        for file in sorted((own_run / "folds" / model / "0-1").iterdir()):
            found[f"{model} {file.name}"] = Target(file, _reads_run(own_run, model))
        packed = folder / f"model-{model}"
        pack_model(run, model, packed)
        for name in (METADATA, "models/member-000.safetensors"):
            found[f"{model} {name}"] = Target(packed / name, _asks(packed), packed)
        found[f"{model} card"] = Target(packed / METADATA, lambda packed=packed: _ignore(read_card(packed)), packed)
        found[f"{model} {HASHES}"] = Target(packed / HASHES, _asks(packed))
    packed = folder / "model-pretrained"
    pack_model(run, "pet_ct_labs_pretrained", packed)
    found["encoder"] = Target(packed / "models/encoder.safetensors", _asks(packed), packed)
    return found | _images(folder) | _weights(folder)


def _images(folder: Path) -> dict[str, Target]:
    array = np.random.default_rng(0).gamma(2, 2, (5, 4, 3)).astype(np.float32)
    volume = Volume(array, AFFINE, "PT", "SUVbw")
    acquisition = Acquisition("GE", "MI", None, tracer="DOTATOC Ga-68")
    series = LoadedSeries(volume, acquisition, "1.2.3", "1.2.4", "1.2.5", (Notice("TRACER_UNEXPECTED", "Look."),))
    labels = Segmentation((array > 3).astype(np.int16), AFFINE, {1: "liver"})
    write_nrrd(folder / "map.nrrd", volume)
    write_series(folder / "series.nrrd", series)
    write_segmentation(folder / "organs.seg.nrrd", labels)
    return {
        "map.nrrd": Target(folder / "map.nrrd", lambda: _sound(read_nrrd(folder / "map.nrrd"))),
        "series.nrrd": Target(folder / "series.nrrd", lambda: _sound(read_series(folder / "series.nrrd").volume)),
        "organs.seg.nrrd": Target(
            folder / "organs.seg.nrrd", lambda: _ignore(read_segmentation(folder / "organs.seg.nrrd"))
        ),
    }


def _weights(folder: Path) -> dict[str, Target]:
    tensors = {"convInit.conv.weight": torch.zeros(2, 3), "bias": torch.ones(4, dtype=torch.float64)}
    torch.save({"model": tensors}, folder / "model.pt")
    return {"model.pt": Target(folder / "model.pt", lambda: _plain(read_checkpoint(folder / "model.pt")))}


def _asks(model: Path) -> Callable[[], None]:
    def read() -> None:
        bundle = load_bundle(model, device="cpu")
        patient = COHORT.patients[0]
        tabular = np.array([{**patient.extras}.get(name, 20.0) for name in bundle.metadata.tabular_names])
        answer = ask_ensemble(bundle, IMAGES.study(patient.code), tabular, explain=False)
        assert np.isfinite(answer.probabilities).all()

    return read


def _reads_run(run: Path, model: str = "rf_labs") -> Callable[[], None]:
    def read() -> None:
        store = RunStore(run)
        _ignore(store.cohort)
        for fold in store.predictions(model):
            assert ((fold.probability >= 0) & (fold.probability <= 1)).all()
        for part in (store.outcome, store.embeddings, store.gradients, store.permutations, store.load_fold):
            _ignore(part(model, 0, 1))

    return read


def _ignore(_: object) -> None:
    """What was read is whole; nothing more is asked of it."""


def _sound(volume: Volume) -> None:
    assert np.isfinite(volume.array).all()
    assert np.isfinite(volume.ijk_to_lps).all()


def _plain(tensors: Mapping[str, torch.Tensor]) -> None:
    assert sum(tensor.contiguous().nbytes for tensor in tensors.values()) < 1 << 30


# --- damage -----------------------------------------------------------------------------------------------------------

NUMBERS: tuple[Any, ...] = (0, -1, 1, 2**31, 2**63, 10**400, 1e308, -1e308, 1e-308, 0.5, True)
VALUES: tuple[Any, ...] = (*NUMBERS, None, "", "../../x", "<script>", "=cmd()", "\x1b]0;x", [], {}, [[]], "9" * 5000)
WORDS = (b"[" * 100_000, b"NaN", b"Infinity", b"-1", b"1e999", b"\x00", b"\xff\xfe", b"\n\n", b'"', b"../")


def damaged(content: bytes, rng: np.random.Generator, *, text: bool) -> bytes:
    """The content with a few random faults; a JSON text keeps its form half of the time."""
    if text and rng.random() < 0.5:
        return json.dumps(_altered(json.loads(content), rng)).encode()
    raw = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, len(raw) + 1) if rng.random() < 0.5 else rng.integers(0, min(len(raw), 400) + 1))
        length = int(rng.integers(1, 17))
        kind = rng.integers(0, 6)
        if kind == 0:
            raw[at : at + length] = rng.bytes(length)
        elif kind == 1:
            del raw[at : at + length]
        elif kind == 2:
            raw[at:at] = WORDS[rng.integers(0, len(WORDS))]
        elif kind == 3:
            del raw[at:]
        elif kind == 4:
            raw[at : at + 8] = int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**62])).to_bytes(8, "little")
        elif at < len(raw):
            raw[at] ^= 1 << int(rng.integers(0, 8))
    return bytes(raw)


def _altered(value: Any, rng: np.random.Generator) -> Any:
    """One value somewhere in a JSON document replaced, removed, or given twice."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = list(value)[rng.integers(0, len(value))]
        if rng.random() < 0.1:
            return {key: one for key, one in value.items() if key != name}
        return {**value, name: _altered(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = int(rng.integers(0, len(value)))
        return [*value[:at], _altered(value[at], rng), *value[at + int(rng.random() < 0.9) :]]
    if isinstance(value, (int, float)) and rng.random() < 0.6:
        return NUMBERS[rng.integers(0, len(NUMBERS))]
    return VALUES[rng.integers(0, len(VALUES))]


def try_one(target: Target, rng: np.random.Generator) -> str:
    """Damage the target's file, read what it belongs to, and put the file back.

    Returns
    -------
    str
        "refused" or "read"; whatever else is raised is a fault.
    """
    whole = target.file.read_bytes()
    listed = (target.hashed / HASHES).read_bytes() if target.hashed else b""
    try:
        target.file.write_bytes(damaged(whole, rng, text=target.file.suffix == ".json"))
        if target.hashed:
            agree(target.hashed)
        target.read()
    except PRRTError as refusal:
        return "refused" if refusal.remedy else f"refused as {refusal.code} without a remedy"
    finally:
        target.file.write_bytes(whole)
        if target.hashed:
            (target.hashed / HASHES).write_bytes(listed)
    return "read"
