"""Models, weights, runs and images that wish harm: nothing of them is executed, and no more is asked than they hold."""

from __future__ import annotations

import ast
import gzip
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile_files import AFFINE, COHORT, IMAGES, agree, edit_metadata, make_run, targets, try_one
from hypothesis import given, settings
from hypothesis import strategies as st
from training_stand_in import TINY

from PRRTPredictorCore.errors import Code, InputRefused, ModelRefused
from PRRTPredictorCore.imaging.nrrd import read_nrrd, read_series, write_nrrd, write_series
from PRRTPredictorCore.imaging.preprocess import PreprocessConfig
from PRRTPredictorCore.imaging.segmentation import read_segmentation
from PRRTPredictorCore.jsontext import parsed
from PRRTPredictorCore.models.bundle import load_bundle
from PRRTPredictorCore.models.bundle_files import HASHES, METADATA, overall
from PRRTPredictorCore.models.decoding import decode
from PRRTPredictorCore.models.encoder_files import read_encoder, unpack_encoder
from PRRTPredictorCore.models.forest import FittedForest
from PRRTPredictorCore.models.presets import PRESETS, Preset
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.models.weights import pack_tensors, read_checkpoint, read_tensors, unpack_facts, unpack_tensors
from PRRTPredictorCore.prediction.card import read_card
from PRRTPredictorCore.prediction.pack import pack_model
from PRRTPredictorCore.prediction.predictor import ask_ensemble
from PRRTPredictorCore.records import Acquisition, LoadedSeries, ModelIdentity, Prediction, Volume
from PRRTPredictorCore.report.publish import _files_of_earlier_report
from PRRTPredictorCore.training.store import RunStore

PACKAGE = Path(__file__).resolve().parents[2] / "PRRTPredictor"
DEEP = "[" * 200_000
MEMBER = "models/member-000.safetensors"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("hostile") / "run")


@pytest.fixture(scope="module")
def packed(run: Path) -> Mapping[str, Path]:
    folders = {name: run.parent / name for name in ("rf_labs", "pet_ct_labs", "pet_ct_labs_pretrained")}
    for name, folder in folders.items():
        pack_model(run, name, folder)
    return folders


@pytest.fixture
def network(packed: Mapping[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed["pet_ct_labs"], tmp_path / "model"))


def refused(model: Path, code: Code, words: str | None = None) -> None:
    with pytest.raises(ModelRefused, match=words) as refusal:
        load_bundle(model, device="cpu")
    assert refusal.value.code is code
    assert refusal.value.remedy


# --- nothing is executed ----------------------------------------------------------------------------------------------


class Harm:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.trace),)


def pickled(path: Path, harm: Harm) -> None:
    path.write_bytes(pickle.dumps({"weight": harm}))


def saved_by_torch(path: Path, harm: Harm) -> None:
    torch.save({"weight": torch.zeros(2), "more": harm}, path)


def saved_by_old_torch(path: Path, harm: Harm) -> None:
    torch.save({"weight": torch.zeros(2), "more": harm}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [pickled, saved_by_torch, saved_by_old_torch])
@pytest.mark.parametrize("name", ["model.pt", "model.safetensors", "model.ckpt"])
def test_a_pickle_is_refused_and_not_run(tmp_path: Path, write: Callable[[Path, Harm], None], name: str) -> None:
    write(tmp_path / name, Harm(tmp_path / "trace"))
    with pytest.raises(ModelRefused) as refusal:
        read_checkpoint(tmp_path / name)
    assert refusal.value.code is Code.WEIGHTS_MISMATCH
    assert not (tmp_path / "trace").exists()


def test_a_pickle_in_place_of_a_member_is_not_run_even_where_the_hashes_agree(network: Path, tmp_path: Path) -> None:
    pickled(network / MEMBER, Harm(tmp_path / "trace"))
    agree(network)
    refused(network, Code.WEIGHTS_MISMATCH)
    assert not (tmp_path / "trace").exists()


EXECUTING = {"eval", "exec", "joblib.load", "pickle.load", "pickle.loads", "pickle.Unpickler", "yaml.load"}
LOADERS = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}


def faults(source: str) -> list[str]:
    """What in a module could execute the content of a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [
                one.name for one in node.names if one.name in {"pickle", "dill", "cloudpickle", "shelve", "marshal"}
            ]
        if isinstance(node, ast.ImportFrom) and node.module == "pickle":
            found += [one.name for one in node.names if one.name != "UnpicklingError"]
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {one.arg: ast.unparse(one.value) for one in node.keywords}
            keyword, safe = LOADERS.get(name, ("", None))
            if name in EXECUTING or given.get("shell") == "True" or (keyword and given.get(keyword) != str(safe)):
                found.append(name)
    return found


def test_no_line_of_the_package_can_execute_what_a_file_holds() -> None:
    modules = sorted(PACKAGE.rglob("*.py"))
    assert len(modules) > 200
    assert {path.name: found for path in modules if (found := faults(path.read_text(encoding="utf-8")))} == {}
    assert faults("import pickle\ntorch.load(p)\nnp.load(p, mmap_mode='r')\neval(x)") == [
        "pickle", "torch.load", "np.load", "eval",
    ]  # fmt: skip


# --- weight files -----------------------------------------------------------------------------------------------------


def repacked(path: Path, rename: Callable[[str], str], compression: int) -> None:
    """A torch file with its members named or packed otherwise."""
    with zipfile.ZipFile(path) as archive:
        members = {one.filename: archive.read(one.filename) for one in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(rename(name), content)


def test_a_torch_file_that_unpacks_to_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"weight": torch.zeros(1 << 22)}, path)
    repacked(path, str, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 17
    with pytest.raises(ModelRefused):
        read_checkpoint(path)


def test_a_few_numbers_cannot_stand_for_very_many(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1).expand(1 << 20, 1 << 20)}, tmp_path / "model.pt")
    with pytest.raises(ModelRefused):
        read_checkpoint(tmp_path / "model.pt")
    torch.save({"weight": torch.zeros(1 << 30, 1 << 30, device="meta")}, tmp_path / "model.pt")
    with pytest.raises(ModelRefused):
        read_checkpoint(tmp_path / "model.pt")


def test_members_of_a_torch_file_lead_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "inner" / "model.pt"
    path.parent.mkdir()
    torch.save({"weight": torch.zeros(4)}, path)
    repacked(path, lambda name: f"../../{name}", zipfile.ZIP_STORED)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelRefused):
        read_checkpoint(path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "content", [b"", b"\x80", b"PK\x05\x06" + bytes(18), b"(" * 100_000 + b"t" * 100_000, b"0" * 600]
)
@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_what_is_no_weight_file_is_refused_without_a_word_of_torch(
    tmp_path: Path, content: bytes, name: str, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelRefused) as refusal:
        read_checkpoint(tmp_path / name)
    assert refusal.value.code is Code.WEIGHTS_MISMATCH
    assert not [one for one in recwarn.list if one.category is not ResourceWarning]  # of other tests' garbage


def header(facts: Mapping[str, Any], rest: bytes = b"") -> bytes:
    stated = json.dumps(facts).encode()
    return len(stated).to_bytes(8, "little") + stated + rest


@pytest.mark.parametrize(
    "content",
    [
        (1 << 62).to_bytes(8, "little") + b"{}",
        header({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}}, bytes(4)),
        header({"a": {"dtype": "F32", "shape": [1 << 32, 1 << 32], "data_offsets": [0, 0]}}),
        header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 1 << 40]}}, bytes(4)),
        header({"a": {"dtype": "F128", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        len(DEEP).to_bytes(8, "little") + DEEP.encode(),
    ],
    ids=["header", "shape", "product", "offsets", "type", "depth"],
)
def test_a_safetensors_header_that_promises_more_than_the_file_is_refused(content: bytes) -> None:
    with pytest.raises(ModelRefused):
        unpack_tensors(content, "weights.safetensors")


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [DEEP, '{"a":' * 100_000, "NaN", "[Infinity]", "9" * 10_000, "\ud800", b"\xff\xfe\x00"]
)
def test_text_that_is_no_json_has_one_kind_of_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parsed(text)


def test_json_that_nests_for_ever_is_refused_wherever_it_is_read(network: Path, tmp_path: Path) -> None:
    (network / METADATA).write_text(DEEP)
    agree(network)
    refused(network, Code.MODEL_TAMPERED)
    (network / HASHES).write_text(DEEP)
    refused(network, Code.MODEL_TAMPERED)
    with pytest.raises(ModelRefused):
        read_card(network)
    with pytest.raises(ModelRefused):
        unpack_facts(len(DEEP).to_bytes(8, "little") + DEEP.encode(), "encoder.safetensors")
    with pytest.raises(ModelRefused):
        unpack_encoder(pack_tensors({"weight": torch.zeros(1)}, {"encoder": DEEP}), "encoder.safetensors")
    series(tmp_path / "series.nrrd")
    content = (tmp_path / "series.nrrd").read_bytes()
    start, stop = content.index(b"prrt_series:="), content.index(b"\n\n")
    (tmp_path / "series.nrrd").write_bytes(content[:start] + b"prrt_series:=" + DEEP.encode() + content[stop:])
    with pytest.raises(InputRefused):
        read_series(tmp_path / "series.nrrd")


@pytest.mark.parametrize("name", ["manifest.json", "cohort.json", "splits.json", "folds/rf_labs/0-0/done.json"])
@pytest.mark.parametrize("text", [DEEP, "[]", "NaN", '{"schema": 1e400}'])
def test_a_run_of_other_json_is_refused(run: Path, tmp_path: Path, name: str, text: str) -> None:
    damaged = Path(shutil.copytree(run, tmp_path / "run"))
    (damaged / name).write_text(text)
    store = RunStore(damaged)
    with pytest.raises(ModelRefused):
        _ = store.cohort, store.predictions("rf_labs")


def test_an_earlier_report_that_nests_for_ever_is_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(DEEP)
    assert _files_of_earlier_report(tmp_path / "report.json") == set()


def test_folds_that_no_split_can_have_are_refused(run: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(run, tmp_path / "run"))
    splits = json.loads((damaged / "splits.json").read_text(encoding="utf-8"))
    splits[1]["fold"] = 10**400
    (damaged / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(ModelRefused, match="splits"):
        RunStore(damaged).predictions("rf_labs")


# --- what a model says of itself --------------------------------------------------------------------------------------


def test_a_list_of_hashes_that_leads_out_of_the_folder_is_refused(network: Path) -> None:
    for name in ("../../etc/passwd", "/etc/passwd", "models/..", "models/../../x", "C:\\x", "configs/hashes.json", ""):
        files = {name: "0" * 64}
        (network / HASHES).write_text(json.dumps({"sha256": overall(files), "files": files}))
        refused(network, Code.MODEL_TAMPERED, "no part of a model")


def test_a_model_of_very_many_large_files_is_not_read(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PRRTPredictorCore.models.bundle_files.MAX_MODEL_BYTES", 1000)
    refused(network, Code.MODEL_TAMPERED, "GiB")


def altered(model: Path, name: str, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = read_tensors(model / name)
    change(tensors)
    (model / name).write_bytes(pack_tensors(tensors))
    agree(model)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(network: Path, value: float) -> None:
    altered(network, MEMBER, lambda tensors: tensors["network.output.1.weight"].fill_(value))
    refused(network, Code.WEIGHTS_MISMATCH, "no numbers")


CURVE = {"label": "all", "months": [0.0, 5.0], "survival": [1.0, 0.5], "patients": 2}


@pytest.mark.parametrize("value", [0.0, float("nan")], ids=["weights", "weights that are no numbers"])
def test_names_that_a_model_makes_up_do_not_flood_the_refusal(network: Path, value: float) -> None:
    name = "\x1b[2J" + "x" * 1_000_000
    altered(network, MEMBER, lambda tensors: tensors.update({name: torch.full((1,), value)}))
    torch.save({name: torch.zeros(1)}, network / "weights.pt")
    with pytest.raises(ModelRefused):
        read_checkpoint(network / "weights.pt")
    with pytest.raises(ModelRefused) as told:
        load_bundle(network, device="cpu")
    assert len(str(told.value)) < 1000
    assert "\x1b" not in str(told.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda block: block.update(patients=10**9),
        lambda block: block.update(survival=[CURVE] * 1000),
        lambda block: block.update(survival=[{**CURVE, "months": [-1.0, 5.0]}]),
        lambda block: block.update(survival=[{**CURVE, "months": [0.0, 1e300]}]),
        lambda block: block.update(survival=[{**CURVE, "patients": -5}]),
        lambda block: block.update(survival=[{**CURVE, "months": [0.0] * 999, "survival": [1.0] * 999}]),
        lambda block: block.update(survival=[{**CURVE, "label": "x" * 10_000}]),
        lambda block: block.update(version="x" * 10_000),
    ],
)
def test_a_card_that_nobody_could_draw_is_refused(network: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit_metadata(network, change)
    refused(network, Code.MODEL_MISMATCH, "metadata cannot be understood")
    with pytest.raises(ModelRefused):
        read_card(network)


def test_fields_that_a_model_makes_up_do_not_flood_the_refusal(network: Path) -> None:
    edit_metadata(network, lambda block: block["preset"].update({"x" * 1_000_000: 1}))
    with pytest.raises(ModelRefused) as told:
        load_bundle(network, device="cpu")
    assert len(str(told.value)) < 1000


def test_weights_of_another_shape_or_type_are_refused(network: Path) -> None:
    name = "network.output.1.weight"
    altered(network, MEMBER, lambda tensors: tensors.update({name: tensors[name].repeat(1, 2)}))
    refused(network, Code.WEIGHTS_MISMATCH, name)
    altered(network, MEMBER, lambda tensors: tensors.update({name: tensors[name][:, :8].double()}))
    refused(network, Code.WEIGHTS_MISMATCH, name)


def test_an_answer_that_is_no_number_is_no_answer(network: Path) -> None:
    altered(network, MEMBER, lambda tensors: tensors["pet_scaling.std"].zero_())
    bundle, patient = load_bundle(network, device="cpu"), COHORT.patients[0]
    for explain in (False, True):
        with pytest.raises(ModelRefused, match="1 of the model's 2 members") as refusal:
            ask_ensemble(bundle, IMAGES.study(patient.code), np.array(patient.tabular()), explain=explain)
        assert refusal.value.code is Code.NOT_FINITE


@pytest.mark.parametrize(
    ("probability", "interval"),
    [(np.nan, (0.1, 0.2)), (0.5, (np.nan, 0.6)), (0.5, (0.6, 0.4)), (1.2, (0.1, 0.2)), (0.5, (-0.1, 0.6))],
)
def test_a_prediction_is_a_probability(probability: float, interval: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="probability"):
        Prediction(probability, interval, {}, ModelIdentity("pet", "0" * 64, True))


def setting(*path: str, to: object) -> Callable[[dict[str, Any]], None]:
    def change(block: dict[str, Any]) -> None:
        *parents, last = path
        for parent in parents:
            block = block[parent]
        block[last] = to

    return change


SIZES = ("preset", "network")
ABSURD: dict[str, tuple[Callable[[dict[str, Any]], None], Code]] = {
    "width": (setting(*SIZES, "widths", to=[4, 200_000]), Code.MODEL_MISMATCH),
    "width below the bound": (setting(*SIZES, "widths", to=[4096, 4096]), Code.WEIGHTS_MISMATCH),
    "stages": (setting(*SIZES, "widths", to=[1] * 100_000), Code.MODEL_MISMATCH),
    "no stage": (setting(*SIZES, "widths", to=[]), Code.MODEL_MISMATCH),
    "kernel": (setting(*SIZES, "stem_kernel", to=10_000), Code.MODEL_MISMATCH),
    "no stride": (setting(*SIZES, "stem_stride", to=0), Code.MODEL_MISMATCH),
    "embedding": (setting(*SIZES, "embedding", to=10**12), Code.MODEL_MISMATCH),
    "layers": (setting(*SIZES, "mlp_widths", to=[4096, 4096]), Code.WEIGHTS_MISMATCH),
    "dropout": (setting(*SIZES, "dropout", to=7), Code.MODEL_MISMATCH),
    "levels": (setting(*SIZES, "pet_levels", to=[0.0] * 1000), Code.MODEL_MISMATCH),
    "falling levels": (setting(*SIZES, "pet_levels", to=[2.0, 1.0]), Code.MODEL_MISMATCH),
    "trees": (setting("preset", "forest", "trees", to=10**9), Code.MODEL_MISMATCH),
    "empty window": (setting("preset", "suv_window", to=[5.0, 5.0]), Code.MODEL_MISMATCH),
    "number of 400 digits": (setting(*SIZES, "dropout", to=10**400), Code.MODEL_MISMATCH),
    "grid": (setting("preprocess", "shape", to=[1024, 1024, 1024]), Code.MODEL_MISMATCH),
    "grid of nothing": (setting("preprocess", "shape", to=[0, 10, 10]), Code.MODEL_MISMATCH),
    "sub-voxels": (setting("preprocess", "fine_mm", to=1e-9), Code.MODEL_MISMATCH),
    "inputs": (setting("tabular_names", to=[*"abcd"]), Code.MODEL_MISMATCH),
    "ranges": (setting("training_ranges", "tabular", to={}), Code.MODEL_MISMATCH),
    "model": (setting("model", to="../../x"), Code.MODEL_MISSING),
    "another model": (setting("model", to="ct_labs"), Code.WEIGHTS_MISMATCH),
    "performance": (
        setting("performance", to={"auroc": 7.0, "auroc_se": None, "auroc_ci95": [0, 1]}),
        Code.MODEL_MISMATCH,
    ),
}


@pytest.mark.parametrize("case", ABSURD)
def test_a_model_that_asks_for_the_impossible_gets_nothing(network: Path, case: str) -> None:
    change, code = ABSURD[case]
    edit_metadata(network, lambda block: (change(block), _digest_agrees(block)))
    refused(network, code)


def _digest_agrees(block: dict[str, Any]) -> None:
    """As somebody would who knows how the preparation's digest is made."""
    stated = {**block["preprocess"]}
    config = PreprocessConfig(tuple(stated.pop("shape")), tuple(stated.pop("hu_limits")), **stated)
    block["preprocess_digest"] = config.digest()


def test_every_preset_of_ours_is_possible(network: Path) -> None:
    from PRRTPredictorCore.models.bounds import refuse_absurd_preparation, refuse_absurd_preset

    for preset in (*PRESETS.values(), TINY):
        refuse_absurd_preset(preset)
        refuse_absurd_preset(preset.with_ct_control(init="random", trainable_stages=4))
    refuse_absurd_preparation(PreprocessConfig())


# --- forests and encoders ---------------------------------------------------------------------------------------------


def forest(**changes: Any) -> dict[str, torch.Tensor]:
    arrays = {
        "tree_start": [0],
        "left": [1, -1, -1],
        "right": [2, -1, -1],
        "feature": [0, -1, -1],
        "threshold": [5.0, 0.0, 0.0],
        "probability": [0.5, 0.2, 0.8],
        "n_features": [4],
    }
    floats = ("threshold", "probability")
    return {
        name: torch.tensor(value, dtype=torch.float64 if name in floats else torch.int64)
        for name, value in (arrays | changes).items()
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": [float("nan"), 0.0, 0.0]},
        {"probability": [0.5, float("nan"), 0.8]},
        {"n_features": [0]},
        {"n_features": [10**6]},
        {"tree_start": [0] * 200_000},
        {"left": [0, -1, -1]},
    ],
)
def test_arrays_that_make_no_forest_are_refused(changes: dict[str, Any]) -> None:
    assert FittedForest.from_tensors(MODELS["rf_labs"], forest())
    with pytest.raises(ModelRefused):
        FittedForest.from_tensors(MODELS["rf_labs"], forest(**changes))


def test_a_tree_that_is_walked_for_hours_is_refused() -> None:
    nodes = 100_001
    chain = [*range(1, nodes), -1]
    shared = {
        "left": chain,
        "right": chain,
        "feature": [0] * nodes,
        "threshold": [5.0] * nodes,
        "probability": [0.5] * nodes,
    }
    with pytest.raises(ModelRefused):
        FittedForest.from_tensors(MODELS["rf_labs"], forest(**shared))


@pytest.mark.parametrize(
    "facts",
    [
        {"init_filters": 10**9},
        {"init_filters": 3},
        {"num_groups": 0},
        {"blocks_down": []},
        {"blocks_down": [1] * 10_000},
        {"blocks_down": [1, 1, 1, 2]},
        {"hu_window": [5.0, 5.0]},
        {"hu_window": [float("nan"), 5.0]},
        {"dice": "much"},
    ],
)
def test_an_encoder_that_its_weights_do_not_make_is_refused(run: Path, tmp_path: Path, facts: dict[str, Any]) -> None:
    path = Path(shutil.copy(run / "ct_encoder.safetensors", tmp_path / "encoder.safetensors"))
    content = path.read_bytes()
    stated = json.loads(unpack_facts(content, "")["encoder"])
    path.write_bytes(pack_tensors(unpack_tensors(content, ""), {"encoder": json.dumps(stated)}))
    assert read_encoder(path)
    path.write_bytes(pack_tensors(unpack_tensors(content, ""), {"encoder": json.dumps({**stated, **facts})}))
    with pytest.raises(ModelRefused) as refusal:
        read_encoder(path)
    assert refusal.value.code is Code.WEIGHTS_MISMATCH


# --- NRRD -------------------------------------------------------------------------------------------------------------


def series(path: Path) -> None:
    volume = Volume(np.zeros((2, 3, 4), dtype=np.float32), AFFINE, "PT", "SUVbw")
    write_series(path, LoadedSeries(volume, Acquisition("GE", "MI", None), "1.2", "1.3", "1.4"))


def image(content: bytes, **fields: str) -> bytes:
    stated = {
        "type": "float",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "2 2 2",
        "space directions": "(1,0,0) (0,1,0) (0,0,1)",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(0,0,0)",
    } | {name.replace("_", " "): value for name, value in fields.items()}
    lines = [f"{name}: {value}" for name, value in stated.items()]
    return "\n".join(["NRRD0005", *lines, "modality:=PT", "unit:=SUVbw", "", ""]).encode() + content


VOXELS = np.arange(8, dtype="<f4").tobytes()
NRRDS = {
    "another file": image(b"", data_file="secret.raw"),
    "another file, in one word": image(b"", datafile="secret.raw"),
    "a list of files": image(b"", data_file="LIST"),
    "skipped bytes": image(b"x" + VOXELS, byte_skip="1"),
    "from the end": image(b"x" + VOXELS, byte_skip="-1"),
    "skipped lines": image(b"\n" + VOXELS, line_skip="1"),
    "too few": image(VOXELS[:-1]),
    "too many": image(VOXELS + b"x"),
    "cut gzip": image(gzip.compress(VOXELS)[:-4], encoding="gzip"),
    "gzip of more": image(gzip.compress(VOXELS + b"x"), encoding="gzip"),
    "gzip bomb": image(gzip.compress(bytes(64 << 20)), encoding="gzip"),
    "very many": image(VOXELS, sizes="60000 60000 60000"),
    "very many, packed": image(gzip.compress(VOXELS), encoding="gzip", sizes="60000 60000 60000"),
    "negative": image(VOXELS, sizes="-2 -2 2"),
    "four axes": image(VOXELS, dimension="4", sizes="1 2 2 2"),
    "text": image(b"0 1 2 3 4 5 6 7", encoding="ascii"),
    "block": image(VOXELS, type="block", block_size="4"),
    "voxels that are no numbers": image(np.full(8, np.nan, "<f4").tobytes()),
    "infinite voxels": image(np.full(8, np.inf, "<f4").tobytes()),
    "no direction": image(VOXELS, space_directions="(nan,0,0) (0,1,0) (0,0,1)"),
    "no spacing": image(VOXELS, space_directions="(0,0,0) (0,1,0) (0,0,1)"),
    "no such spacing": image(VOXELS, space_directions="(1e-300,0,0) (0,1,0) (0,0,1)"),
    "nowhere": image(VOXELS, space_origin="(1e300,0,0)"),
    "a header without end": b"NRRD0005\n" + b"x" * (2 << 20),
}


def test_the_sound_image_is_read(tmp_path: Path) -> None:
    for content in (image(VOXELS), image(gzip.compress(VOXELS), encoding="gzip")):
        (tmp_path / "image.nrrd").write_bytes(content)
        np.testing.assert_array_equal(read_nrrd(tmp_path / "image.nrrd").array.ravel(), np.arange(8))


@pytest.mark.parametrize("case", NRRDS)
def test_an_nrrd_that_wishes_harm_is_refused(tmp_path: Path, case: str) -> None:
    (tmp_path / "secret.raw").write_bytes(VOXELS)
    (tmp_path / "image.nrrd").write_bytes(NRRDS[case])
    with pytest.raises(InputRefused) as refusal:
        read_nrrd(tmp_path / "image.nrrd")
    assert refusal.value.code is Code.BAD_GEOMETRY
    with pytest.raises(InputRefused):
        read_series(tmp_path / "image.nrrd")


def test_a_segmentation_whose_voxels_lie_elsewhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(bytes(8))
    (tmp_path / "organs.seg.nrrd").write_bytes(image(b"", type="uchar", data_file=str(tmp_path / "secret.raw")))
    with pytest.raises(InputRefused):
        read_segmentation(tmp_path / "organs.seg.nrrd")


# --- many at once -----------------------------------------------------------------------------------------------------


def test_damage_anywhere_is_refused_or_harmless(run: Path, tmp_path: Path) -> None:
    """The long form is ``Testing/Fuzz/parts.py``."""
    told = {
        try_one(target, np.random.default_rng([20261123, number, kind]))
        for kind, target in enumerate(targets(tmp_path, run).values())
        for number in range(12)
    }
    assert told == {"refused", "read"}


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    dtype=st.sampled_from([np.int16, np.float32]),
    seed=st.integers(0, 2**32 - 1),
    spacing=st.tuples(*[st.floats(0.1, 50.0)] * 3),
    origin=st.tuples(*[st.floats(-2000.0, 2000.0)] * 3),
)
def test_an_image_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int, int],
    dtype: type,
    seed: int,
    spacing: tuple[float, ...],
    origin: tuple[float, ...],
) -> None:
    draws = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(draws.normal(size=(3, 3)))[0] * spacing
    affine[:3, 3] = origin
    written = Volume(draws.normal(0, 1000, shape).astype(dtype), affine, "CT", "HU")
    folder = tmp_path_factory.mktemp("nrrd")
    write_nrrd(folder / "packed.nrrd", written)
    write_series(folder / "raw.nrrd", LoadedSeries(written, Acquisition("GE", "", None), "1", "2", "3"))
    for read in (read_nrrd(folder / "packed.nrrd"), read_series(folder / "raw.nrrd").volume):
        np.testing.assert_array_equal(read.array, written.array)
        np.testing.assert_array_equal(read.ijk_to_lps, affine)
        assert read.array.flags.writeable


@settings(max_examples=50, deadline=None)
@given(
    name=st.sampled_from(sorted(PRESETS)),
    epochs=st.integers(0, 10**6),
    rate=st.floats(allow_nan=False, allow_infinity=False),
    window=st.none() | st.tuples(st.floats(-1e6, 0), st.floats(1, 1e6)),
)
def test_a_record_comes_back_from_json_as_it_was(
    name: str, epochs: int, rate: float, window: tuple[float, float] | None
) -> None:
    preset = PRESETS[name]
    changed = replace(preset, epochs=epochs, suv_window=window, optimiser=replace(preset.optimiser, learning_rate=rate))
    assert decode(Preset, parsed(json.dumps(asdict(changed)))) == changed
