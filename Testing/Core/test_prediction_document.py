"""The answer as a document, and a model's card: read back as written, refused when altered, light to import."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_models_bundle import TAMPERINGS, packed

from PRRTPredictorCore.errors import Code, InputRefused, ModelRefused
from PRRTPredictorCore.models.bundle import load_bundle
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.prediction.card import read_card
from PRRTPredictorCore.prediction.document import PredictionDocument, read_document, to_json
from PRRTPredictorCore.records import ModelIdentity

HEAVY = ("torch", "monai", "sklearn", "pandas", "matplotlib", "jinja2", "lifelines", "safetensors", "platformdirs")


def document() -> PredictionDocument:
    return PredictionDocument(
        probability_long_pfs=0.7123456789012345,
        group="long",
        interval=(0.61, 0.83),
        lab_contributions={"ast": 0.1, "cga": -0.25},
        lab_contribution_method="gradient x input",
        warnings=("LAB_UNUSUAL: CgA of 5 µg/L is unusually low; check value and unit.",),
        model=ModelIdentity("pet_labs", "ab" * 32, True),
        synthetic_patient=False,
    )


def test_a_document_comes_back_from_its_text() -> None:
    text = json.dumps(to_json(document()), allow_nan=False)
    assert read_document(json.loads(text)) == document()
    assert json.loads(text)["research_use_only"] is True


def without(name: str) -> Callable[[dict], object]:
    return lambda content: content.pop(name)


@pytest.mark.parametrize(
    "damage",
    [
        without("interval"),
        without("model"),
        lambda content: content.update(group="perhaps"),
        lambda content: content.update(group="short"),
        lambda content: content.update(probability_long_pfs=1.2),
        lambda content: content.update(probability_long_pfs=float("nan")),
        lambda content: content.update(interval=[0.9, 0.1]),
        lambda content: content.update(lab_contributions={"ast": float("inf")}),
        lambda content: content.update(warnings="none"),
        lambda content: content.update(patient="somebody"),
    ],
)
def test_a_damaged_document_is_refused(damage: Callable[[dict], object]) -> None:
    content = to_json(document())
    damage(content)
    with pytest.raises(InputRefused) as refused:
        read_document(content)
    assert refused.value.code is Code.RESULT_UNREADABLE
    assert refused.value.remedy


@pytest.mark.parametrize("content", [[], "text", 7, None])
def test_what_is_no_document_at_all_is_refused(content: object) -> None:
    with pytest.raises(InputRefused):
        read_document(content)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["rf_labs", "pet_labs"])
def test_the_card_says_what_the_loaded_model_says(tmp_path: Path, model: str) -> None:
    folder = packed(tmp_path / "model", model)
    card, bundle = read_card(folder), load_bundle(folder, device="cpu")
    assert (card.name, card.title, card.inputs) == (model, MODELS[model].title, MODELS[model].inputs)
    assert card.sha256 == bundle.identity.sha256
    assert card.synthetic is bundle.identity.synthetic is True
    assert card.members == len(bundle.members)
    assert (card.patients, card.long_pfs) == (bundle.metadata.patients, bundle.metadata.long_pfs)
    assert bundle.metadata.performance is not None
    assert (card.auroc, card.auroc_ci95) == (
        bundle.metadata.performance.auroc,
        bundle.metadata.performance.auroc_ci95,
    )
    assert card.survival == bundle.metadata.survival
    assert card.training_ranges == bundle.metadata.training_ranges
    assert card.tabular_names == bundle.metadata.tabular_names


@pytest.mark.parametrize("case", TAMPERINGS)
def test_an_altered_model_shows_no_card(tmp_path: Path, case: str) -> None:
    tamper, code = TAMPERINGS[case]
    folder = packed(tmp_path / "model")
    tamper(folder)
    with pytest.raises(ModelRefused) as refused:
        read_card(folder)
    assert refused.value.code is code
    assert refused.value.remedy


def test_a_folder_without_a_model_has_no_card(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ModelRefused) as refused:
            read_card(folder)
        assert refused.value.code is Code.MODEL_MISSING


@pytest.mark.parametrize("module", ["prediction.document", "prediction.card", "evaluation.results"])
def test_reading_results_needs_nothing_heavy(module: str) -> None:
    script = f"import sys, PRRTPredictorCore.{module}; print(sorted({set(HEAVY)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
