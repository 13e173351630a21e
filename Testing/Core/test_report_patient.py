"""One patient's page: whole, self-contained, escaped, without identity and without a date, honest about made data."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from test_models_bundle import packed
from test_prediction_document import document
from test_report_charts import CURVES, LABS
from test_report_html import Page

from PRRTPredictorCore.errors import Code, InputRefused
from PRRTPredictorCore.prediction.card import ModelCard, read_card
from PRRTPredictorCore.prediction.document import PredictionDocument
from PRRTPredictorCore.records import RESEARCH_USE_NOTICE, Labs, ModelIdentity
from PRRTPredictorCore.report.patient import write_patient_report

VALUES = Labs(28.0, 25.0, 900.0, 419.0, date(2020, 1, 2))


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    return replace(read_card(packed(tmp_path_factory.mktemp("packed") / "model")), survival=CURVES)


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    matplotlib.image.imsave(tmp_path / "Mustermann_Erika.png", np.zeros((8, 8)))
    return tmp_path / "Mustermann_Erika.png"


def answer(card: ModelCard, **changes: object) -> PredictionDocument:
    identity = ModelIdentity(card.name, card.sha256, card.synthetic)
    return replace(document(), model=identity, lab_contributions=LABS, **changes)  # type: ignore[arg-type]


def test_the_page_says_what_the_document_says(card: ModelCard, overlay: Path, tmp_path: Path) -> None:
    told = []
    path = write_patient_report(
        tmp_path / "patient.html",
        answer(card),
        card,
        VALUES,
        {"overlay": overlay, "survival": tmp_path / "not-asked-for.png"},
        lambda stage, done, total, message="": told.append((stage, done, total)),
    )
    page = Page(path)
    text = page.text.replace("\u00a0", " ")
    for words in (
        "71 %",
        "long PFS",
        "between 61 and 83 %",
        "CgA of 5 µg/L is unusually low",
        "900 U/L",
        "1.12",
        "+0.120",
        "\N{MINUS SIGN}0.310",
        f"{card.patients} patients, {card.long_pfs} of them with long PFS",
        card.sha256,
    ):
        assert words in text, words
    assert text.count("outside") >= 1
    assert text.count(RESEARCH_USE_NOTICE) == 2
    assert "SYNTHETIC MODEL." in text
    assert "SYNTHETIC PATIENT." not in text
    assert told[-1] == ("report", 3, 3)
    assert [tag for tag, _ in page.tags].count("svg") == 2
    (image,) = (attributes for tag, attributes in page.tags if tag == "img")
    assert str(image["src"]).startswith("data:image/png;base64,iVBOR")


def test_no_identity_no_date_no_network(card: ModelCard, overlay: Path, tmp_path: Path) -> None:
    page = Page(write_patient_report(tmp_path / "page.html", answer(card), card, VALUES, {"overlay": overlay}))
    assert "Mustermann" not in page.source
    assert str(tmp_path) not in page.source
    assert not re.search(r"\b(19|20)\d\d-\d\d", page.source)
    assert card.created_utc[:10] not in page.source
    assert "<metadata" not in page.source
    for tag, attributes in page.tags:
        assert tag not in {"script", "iframe", "object"}
        for name in ("src", "href", "xlink:href", "action"):
            assert str(attributes.get(name) or "#").startswith(("#", "data:"))
    identifiers = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(identifiers) == len(set(identifiers))


def test_what_is_typed_in_cannot_become_markup(card: ModelCard, tmp_path: Path) -> None:
    evil = answer(card, warnings=("X: <script>alert(1)</script>", "no code <b>"))
    page = Page(write_patient_report(tmp_path / "page.html", evil, card, None, {}))
    assert "<script>" not in page.source
    assert "alert(1)" in page.text


def test_a_made_patient_is_called_so_and_less_is_shown_where_less_is_known(card: ModelCard, tmp_path: Path) -> None:
    blind = answer(card, synthetic_patient=True)
    blind = replace(blind, lab_contributions={}, lab_contribution_method="none", warnings=())
    page = Page(write_patient_report(tmp_path / "page.html", blind, None, None, {}))
    assert "SYNTHETIC PATIENT." in page.text
    assert "svg" not in [tag for tag, _ in page.tags]
    with_labs = Page(write_patient_report(tmp_path / "labs.html", blind, None, VALUES, {}))
    assert "does not use blood values" in with_labs.text
    assert "Training cohort" not in with_labs.text


def test_wrong_places_pictures_and_models_are_refused(card: ModelCard, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    for name, pictures, used, code in (
        ("page.txt", {}, card, Code.OUTPUT),
        ("page.html", {"overlay": tmp_path / "text.png"}, card, Code.PATH_MISSING),
        ("page.html", {"overlay": tmp_path / "absent.png"}, card, Code.PATH_MISSING),
        ("page.html", {}, replace(card, sha256="0" * 64), Code.MODEL_MISMATCH),
    ):
        with pytest.raises(InputRefused) as refused:
            write_patient_report(tmp_path / name, answer(card), used, None, pictures)
        assert refused.value.code is code
        assert refused.value.remedy
    assert not list(tmp_path.glob("*.html"))
