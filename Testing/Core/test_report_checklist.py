"""TRIPOD+AI in the report: the list is whole, and every item is filled with what the run holds and no more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from report_runs import made_run

from PRRTPredictorCore.records import input_units
from PRRTPredictorCore.report.chapter import Cards, Chapter, Table
from PRRTPredictorCore.report.chapters.checklist import answers, chapter
from PRRTPredictorCore.report.content import RunContent, read_content
from PRRTPredictorCore.report.request import ReportRequest
from PRRTPredictorCore.report.tripod.items import STATES, ItemAnswer, tripod_list
from PRRTPredictorCore.report.tripod.methods import ANSWERS as METHODS
from PRRTPredictorCore.report.tripod.results import ANSWERS as RESULTS
from PRRTPredictorCore.training.cohortfile import write_run_cohort
from PRRTPredictorCore.training.manifest import write_manifest

_NUMBERS = (
    "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 16 17 "
    "18a 18b 18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c"
)
NUMBERS = tuple(re.findall(r"\S+", _NUMBERS))
DEVELOPMENT = {"9a", "12a", "12b", "12c", "15", "22", "27a", "27b"}
EVALUATION = {"12f", "12g", "20c", "24"}


def told(content: RunContent) -> Mapping[str, ItemAnswer]:
    return {item.item: answer for item, answer in answers(content)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("whole") / "run", collapsed=[("pet", 0, 1)])


@pytest.fixture(scope="module")
def content(run: Path) -> RunContent:
    return read_content(run)


def table_of(found: Chapter | None) -> Table:
    assert found is not None
    tables = [block for block in found.blocks if isinstance(block, Table)]
    assert len(tables) == 1
    return tables[0]


def test_the_list_is_the_statements() -> None:
    statement = tripod_list()
    assert [item.item for item in statement.items] == list(NUMBERS)
    assert len({re.sub("[a-g]$", "", number) for number in NUMBERS}) == 27
    assert {item.item for item in statement.items if item.applies == "development"} == DEVELOPMENT
    assert {item.item for item in statement.items if item.applies == "evaluation"} == EVALUATION
    assert all(item.asks.endswith(".") and item.topic and item.section for item in statement.items)
    assert statement.doi == "10.1136/bmj-2023-078378"


def test_every_item_has_one_answer() -> None:
    assert not METHODS.keys() & RESULTS.keys()
    assert METHODS.keys() | RESULTS.keys() == set(NUMBERS)


def test_states_follow_from_what_is_said() -> None:
    assert ItemAnswer("all").state == "filled"
    assert ItemAnswer("some", "more.").state == "partly"
    assert ItemAnswer(authors="all.").state == "open"
    assert ItemAnswer("why", applies=False).state == "does not apply"
    assert ItemAnswer("Some.", "more.").text == "Some. Authors: more."


def test_what_the_run_knows_is_filled_with_its_numbers(content: RunContent) -> None:
    found = told(content)
    assert "46 screened, 10 left out, 36 included: 13 with short and 23 with long PFS" in found["20a"].text
    assert "3-fold cross-validation in 2 repeats" in found["12a"].text
    assert "24 patients for training, 12 held out" in found["12a"].text
    assert "PRRT before (3)" in found["6b"].text
    assert "Horizon: one year" in found["8a"].text
    assert "Long PFS in 23 (64 %)" in found["13"].text
    assert "AST, ALT, GGT and CgA (U/L; CgA µg/L)" in found["9b"].text
    assert "median of 36 days" in found["9b"].text
    assert "42 of 42 fits finished" in found["21"].text
    assert "ab12" * 16 in found["18e"].text
    assert "torch 2.13.0" in found["18f"].text
    assert "by scanner and contrast phase" in found["12d"].text
    assert "by sex and age group" in found["14"].text
    assert "1 fit collapsed" in found["26"].text
    assert "7 censored patients left out" in found["26"].text
    assert {"6b", "11", "12a", "12b", "12e", "13", "15", "20a", "21", "23a"} <= {
        number for number, answer in found.items() if answer.state == "filled"
    }


def test_the_performance_of_every_model_has_its_interval(content: RunContent) -> None:
    text = told(content)["23a"].text
    assert text.count("AUROC") == len(content.names)
    head = content.headline.auroc
    assert f"{head.mean:.2f} [{head.ci95[0]:.2f}, {head.ci95[1]:.2f}]" in text


def test_what_only_authors_know_stays_open(content: RunContent) -> None:
    found = told(content)
    for number in ("2", "3a", "3b", "3c", "5b", "6a", "8b", "8c", "17", "18a", "18b", "18c", "18d", "19", "25", "27c"):
        assert found[number].state == "open", number
        assert found[number].text.startswith("The authors write: ")
    assert {number for number, answer in found.items() if answer.state == "does not apply"} == EVALUATION


def test_the_table_counts_and_hides_no_item(content: RunContent) -> None:
    found = chapter(content)
    table = table_of(found)
    assert found is not None
    cards = next(block for block in found.blocks if isinstance(block, Cards))
    assert [name for name, _, _ in cards.cards] == [state.capitalize() for state in STATES]
    assert sum(int(count) for _, count, _ in cards.cards) == len(NUMBERS)
    rows = [row for row in table.rows if len(row) > 1]
    assert [row[0].split(".")[0] for row in rows] == list(NUMBERS)
    for state, (_, count, _) in zip(STATES, cards.cards, strict=True):
        assert sum(row[1] == state for row in rows) == int(count)
    assert table.numbers is not None
    assert len(table.numbers.rows) == len(NUMBERS)
    assert all(len(row) == len(table.numbers.columns) for row in table.numbers.rows)


def test_no_patient_is_named(content: RunContent) -> None:
    everything = " ".join(answer.text for answer in told(content).values())
    assert not any(code in everything for code in content.patients)


def test_labs_alone_speak_of_no_image(tmp_path: Path) -> None:
    found = told(read_content(made_run(tmp_path / "run", models=("rf_labs",), repeats=1)))
    assert "DICOM" not in found["7"].text
    assert "SUV" not in found["9b"].text + found["12b"].text
    assert "in 1 repeat," in found["12a"].text
    assert not any("early stopping" in found[number].text.lower() for number in ("12b", "12c", "21"))
    assert found["1"].text.startswith("Development and internal validation of 1 model ")


def test_images_alone_speak_of_no_blood_value(tmp_path: Path) -> None:
    found = told(read_content(made_run(tmp_path / "run", models=("ct",))))
    assert found["9b"].says.startswith("CT (HU).")
    assert "tabular" not in found["12b"].text
    assert "SR-PET" not in found["12b"].text


def test_an_unfinished_run_is_not_called_filled(tmp_path: Path) -> None:
    unfinished = [("pet", 1, fold) for fold in range(3)]
    found = told(read_content(made_run(tmp_path / "run", models=("rf_labs", "pet"), unfinished=unfinished)))
    assert found["23a"].state == "partly"
    assert "3 fits not finished" in found["23a"].authors
    assert "9 of 12 fits finished" in found["21"].text


def test_a_chapter_that_was_left_out_is_not_pointed_to(run: Path) -> None:
    without = frozenset({"brief", "subgroups", "probabilities", "patients", "pipeline"})
    found = told(read_content(run, ReportRequest(without=without)))
    assert not any("In brief" in answer.text or "The models" in answer.text for answer in found.values())
    assert found["12d"].state == "open"
    assert "by sex" not in found["14"].text
    assert "left out of this report" in found["12e"].authors
    assert {found[number].state for number in ("12e", "20a", "20b", "23a")} == {"partly"}


def test_further_inputs_are_named_and_left_to_the_authors(tmp_path: Path) -> None:
    path = made_run(tmp_path / "run", models=("rf_labs",))
    content = read_content(path)
    measured = [replace(patient, extras={"tumour_volume_ml": 12.0}) for patient in content.patients.values()]
    cohort = replace(content.cohort, cohort=replace(content.cohort.cohort, patients=tuple(measured)))
    write_run_cohort(path, cohort)
    names = (*content.manifest.feature_names, "tumour_volume_ml")
    units = input_units(names)
    write_manifest(path, replace(content.manifest, feature_names=names, tabular_units=units, synthetic=False))
    found = told(read_content(path))
    assert "tumour_volume_ml (as in the cohort table)" in found["9b"].text
    assert found["9c"].state == "partly"
    assert "computer" not in found["5a"].text + found["26"].text
