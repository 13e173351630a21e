"""Runs, models and cached images of an older version: read as what they are, or refused by name, never mixed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hostile_files import edit_metadata
from report_runs import made_run
from training_stand_in import tiny_cohort

from PRRTPredictorCore import __version__
from PRRTPredictorCore.errors import Code, ModelRefused
from PRRTPredictorCore.models.bundle import load_bundle
from PRRTPredictorCore.prediction.card import read_card
from PRRTPredictorCore.prediction.pack import pack_model
from PRRTPredictorCore.prediction.predictor import model_notices
from PRRTPredictorCore.training.manifest import SCHEMA, check_same_run, read_manifest, write_manifest
from PRRTPredictorCore.training.store import RunStore

FORMATS = Path(__file__).parent / "fixtures" / "formats"
UNITS = {"ast": "U/L", "alt": "U/L", "ggt": "U/L", "cga": "µg/L"}
COHORT, IMAGES = tiny_cohort(18)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made_run(tmp_path / "run", patients=12, models=("rf_labs",), folds=2, repeats=1)


def _edit(run: Path, change: Callable[[dict[str, object]], object]) -> None:
    content = json.loads((run / "manifest.json").read_text())
    change(content)
    (run / "manifest.json").write_text(json.dumps(content))


def test_a_manifest_of_schema_1_is_read_in_the_units_it_always_had(run: Path) -> None:
    before = read_manifest(run)
    _edit(run, lambda content: [content.pop("memory_short"), content.pop("tabular_units"), content.update(schema=1)])
    assert asdict(read_manifest(run)) == asdict(before)
    assert before.tabular_units == UNITS


def test_a_run_in_another_lab_unit_is_not_mixed_with_ours(run: Path) -> None:
    ours = read_manifest(run)
    in_katal = replace(ours, tabular_units={**ours.tabular_units, "ast": "µkat/L"})
    with pytest.raises(ModelRefused, match="units of the tabular inputs") as refused:
        check_same_run(in_katal, ours, "run")
    assert refused.value.code is Code.RUN_MISMATCH
    write_manifest(run, in_katal)
    with pytest.raises(ModelRefused) as refused:
        read_manifest(run)
    assert refused.value.code is Code.RUN_MISMATCH


def test_what_was_halved_for_memory_stays_with_the_run(run: Path) -> None:
    halved = replace(read_manifest(run), memory_short={"rf_labs": {"0-1": 2}})
    write_manifest(run, halved)
    assert read_manifest(run).memory_short == {"rf_labs": {"0-1": 2}}
    _edit(run, lambda content: content.update(memory_short={"rf_labs": {"0-1": 0}}))
    with pytest.raises(ModelRefused):
        read_manifest(run)


# --- folders that an older version wrote ------------------------------------------------------------------------------


def tabular(code: str) -> np.ndarray:
    (patient,) = (one for one in COHORT.patients if one.code == code)
    return np.array([patient.tabular(("haemoglobin",))])


def test_a_run_of_schema_1_is_read_as_what_it_was() -> None:
    store = RunStore(FORMATS / "run-1")
    assert json.loads((FORMATS / "run-1" / "manifest.json").read_text(encoding="utf-8"))["schema"] == 1
    assert store.manifest.tabular_units == {**UNITS, "haemoglobin": ""}
    assert store.manifest.memory_short == {}
    assert len(store.cohort.cohort.patients) == 18
    assert not store.missing()
    for fold in store.predictions("rf_labs"):
        member = store.load_fold("rf_labs", fold.repeat, fold.fold)
        again = np.concatenate([member.predict(None, None, tabular(code)) for code in fold.codes])
        np.testing.assert_allclose(again, fold.logit, rtol=1e-12)


def test_a_model_of_schema_1_answers_as_its_run_did(tmp_path: Path) -> None:
    old = load_bundle(FORMATS / "model-1", device="cpu")
    assert old.metadata.tabular_units == {**UNITS, "haemoglobin": ""}
    assert read_card(FORMATS / "model-1").tabular_names == (*UNITS, "haemoglobin")
    pack_model(FORMATS / "run-1", "rf_labs", tmp_path / "model")
    new = load_bundle(tmp_path / "model", device="cpu")
    for before, after in zip(old.members, new.members, strict=True):
        values = tabular("P-0003")
        np.testing.assert_array_equal(before.predict(None, None, values), after.predict(None, None, values))
    stated = json.loads((tmp_path / "model" / "configs" / "metadata.json").read_text(encoding="utf-8"))
    assert (stated["prrt_predictor"]["schema"], stated["prrt_predictor"]["tabular_units"]["cga"]) == (2, "µg/L")


def test_an_answer_says_that_another_version_packed_the_model(tmp_path: Path) -> None:
    model = Path(shutil.copytree(FORMATS / "model-1", tmp_path / "model"))
    edit_metadata(model, lambda block: block.update(version=__version__))
    assert [notice.code for notice in model_notices(load_bundle(model, device="cpu"))] == ["MODEL_SYNTHETIC"]
    edit_metadata(model, lambda block: block.update(version="0.0.9"))
    _, said = model_notices(load_bundle(model, device="cpu"))
    assert said.code == "MODEL_VERSION"
    assert f"0.0.9; this is {__version__}" in said.message


def test_a_newer_run_is_refused_by_its_version(run: Path) -> None:
    _edit(run, lambda content: content.update(schema=SCHEMA + 1, versions={"prrtpredictor": "9.1"}))
    with pytest.raises(ModelRefused, match=rf"9\.1, schema {SCHEMA + 1}.*{__version__}") as refused:
        read_manifest(run)
    assert refused.value.code is Code.RUN_MISMATCH


def test_a_newer_field_is_not_passed_over(run: Path) -> None:
    _edit(run, lambda content: content.update(suv_definition="lean body mass"))
    with pytest.raises(ModelRefused) as refused:
        read_manifest(run)
    assert refused.value.code is Code.RUN_MISMATCH


@pytest.mark.parametrize("package", ["prrtpredictor", "torch", "monai", "scikit-learn", "numpy", "scipy"])
def test_a_run_of_other_software_is_not_gone_on_with(run: Path, package: str) -> None:
    ours = read_manifest(run)
    theirs = replace(ours, versions={**ours.versions, package: "0.0.1"})
    with pytest.raises(ModelRefused, match=f"the version of {package}"):
        check_same_run(theirs, ours, "run")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda block: block.update(schema=7, version="9.1"), rf"9\.1, schema 7.*{__version__}"),
        (lambda block: block["tabular_units"].update(cga="nmol/L"), "tabular_units"),
        (lambda block: block["tabular_units"].pop("cga"), "tabular_units"),
        (lambda block: block.pop("tabular_units"), "tabular_units"),
        (lambda block: block["preprocess"].update(fine_mm=4.0), "another version"),
        (lambda block: block["preset"].update(further=1), "further"),
    ],
)
def test_a_model_of_another_version_unit_or_preparation_is_refused(
    tmp_path: Path, change: Callable[[dict[str, object]], object], words: str
) -> None:
    model = tmp_path / "model"
    pack_model(FORMATS / "run-1", "rf_labs", model)
    edit_metadata(model, change)
    for read in (lambda: load_bundle(model, device="cpu"), lambda: read_card(model)):
        with pytest.raises(ModelRefused, match=words) as refused:
            read()
        assert refused.value.code is Code.MODEL_MISMATCH


def test_an_old_run_is_never_altered_by_reading_it(tmp_path: Path) -> None:
    run = Path(shutil.copytree(FORMATS / "run-1", tmp_path / "run"))
    store = RunStore(run)
    assert store.cohort
    assert store.predictions("rf_labs")
    pack_model(run, "rf_labs", tmp_path / "model")
    for file in sorted(path for path in (FORMATS / "run-1").rglob("*") if path.is_file()):
        assert (run / file.relative_to(FORMATS / "run-1")).read_bytes() == file.read_bytes()
