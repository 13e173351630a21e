"""The chapters on patients, results, survival and probabilities: right numbers, honest words, any run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from report_blocks import all_said, leaves, made_chapter, plates, tables
from report_runs import made_run

from PRRTPredictorCore.evaluation.discrimination import METRICS, MetricSummary
from PRRTPredictorCore.evaluation.significance import PairedComparison
from PRRTPredictorCore.report.chapter import Cards, Chapter, Folded, Numbers, Plate, Table
from PRRTPredictorCore.report.chapters.brief import headline_in_words
from PRRTPredictorCore.report.chapters.patients import patients_table
from PRRTPredictorCore.report.chapters.results import PAPER_TABLE_TWO, marks_in_words, significance_marks
from PRRTPredictorCore.report.content import RunContent, read_content
from PRRTPredictorCore.report.request import ReportRequest
from PRRTPredictorCore.report.style import drawing, svg_text
from PRRTPredictorCore.report.wording import listed, printed, printed_interval, printed_months

FACTS = Path(__file__).parents[2].parent / "shared" / "paper" / "facts.json"
KEYS = ("brief", "patients", "results", "survival", "probabilities")
EVERY_FOLD = tuple((repeat, fold) for repeat in range(2) for fold in range(3))
RUNS: dict[str, Callable[[Path], Path]] = {
    "whole": lambda out: made_run(out, collapsed={("pet", 0, 1)}),
    "partial": lambda out: made_run(
        out,
        models=("pet", "pet_labs", "ct"),
        patients=14,
        repeats=1,
        unfinished={("pet", 0, 1), ("ct", 0, 0), ("ct", 0, 1), ("ct", 0, 2)},
    ),
    "labs alone": lambda out: made_run(out, models=("rf_labs",), patients=12, folds=2, repeats=1),
    "collapsed": lambda out: made_run(out, models=("pet",), patients=18, collapsed={("pet", *f) for f in EVERY_FOLD}),
}


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunContent]:
    root = tmp_path_factory.mktemp("runs")
    return {name: read_content(make(root / name.replace(" ", "-"))) for name, make in RUNS.items()}


def made(content: RunContent, key: str) -> Chapter:
    return made_chapter(import_module(f"PRRTPredictorCore.report.chapters.{key}").chapter, content)


def records(numbers: Numbers | None) -> list[dict[str, Any]]:
    assert numbers is not None
    return [dict(zip(numbers.columns, row, strict=True)) for row in numbers.rows]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("run", RUNS)
def test_a_chapter_copes_with_the_run(contents: dict[str, RunContent], run: str, key: str) -> None:
    chapter = made(contents[run], key)
    assert chapter.key == key
    assert chapter.blocks
    keys = [one.key for one in leaves(chapter) if isinstance(one, Plate | Table)]
    assert len(keys) == len(set(keys))
    for block in leaves(chapter):
        if isinstance(block, Plate):
            assert len(block.alt) > 40
            with drawing(block.key):
                assert len(svg_text(block.figure)) > 2000
        if isinstance(block, Table):
            assert all(len(row) in (1, len(block.header)) for row in block.rows)
        if isinstance(block, Plate | Table):
            numbers = records(block.numbers)
            assert numbers
            assert all(math.isfinite(cell) for row in numbers for cell in row.values() if isinstance(cell, float))
    assert not {"nan", "inf", "[nan,", "-inf"} & set(all_said(chapter).lower().split())
    assert "P-0" not in all_said(chapter)


def test_the_brief_counts_patients_and_says_what_the_headline_reached(contents: dict[str, RunContent]) -> None:
    content = contents["whole"]
    chapter = made(content, "brief")
    first = chapter.blocks[0]
    assert isinstance(first, Cards)
    cards = {name: value for name, value, _ in first.cards}
    assert cards["Patients"] == "36"
    assert cards["Finished fits"] == "42"
    assert f"AUROC of {content.headline.auroc.mean:.2f}" in all_said(chapter)
    assert "1 fit collapsed" in all_said(chapter)
    assert chapter.missing == ()
    terms = chapter.blocks[-1]
    assert isinstance(terms, Folded)
    told = all_said(chapter)
    assert all(f"{term}:" in told for term in ("PRRT", "Fold", "Fit", "Out of fold", "SE", "p", "Logit"))


def test_without_evidence_the_brief_says_so(contents: dict[str, RunContent]) -> None:
    assert "no evidence that it does better than chance" in all_said(made(contents["collapsed"], "brief"))
    assert "the only model with results" in all_said(made(contents["collapsed"], "brief"))
    assert "chosen beforehand among the models with the most inputs" in all_said(made(contents["whole"], "brief"))
    head = contents["whole"].headline
    worse = type(head)(head.model, head.folds, _metric(0.3, 0.2, 0.4), head.auprc, head.accuracy)
    assert "worse than chance" in " ".join(headline_in_words(worse, 3, ""))
    unknown = type(head)(head.model, head.folds, _metric(*(math.nan,) * 3), head.auprc, head.accuracy)
    assert "could not be scored" in " ".join(headline_in_words(unknown, 3, ""))


def test_a_partial_run_says_what_is_missing(contents: dict[str, RunContent]) -> None:
    told = " ".join(made(contents["partial"], "brief").missing)
    assert "SR-PET: 1 of 3 fits are not finished" in told
    assert "CT: 3 of 3 fits are not finished" in told
    assert "prrt train" in told
    assert "Not part of this run: Random forest (labs), CT + labs" in told


def test_the_flow_chart_and_table_one_count_the_same_patients(contents: dict[str, RunContent]) -> None:
    chapter = made(contents["whole"], "patients")
    flow = {row["criterion"]: row["patients"] for row in records(plates(chapter)["flow"].numbers)}
    left_out = sum(flow[name] for name in ("prior_prrt", "event", "refused"))
    assert flow["screened"] == left_out + flow["included"] == 46
    first = records(tables(chapter)["patients"].numbers)[0]
    assert first["all_count"] == flow["included"] == 36
    assert (first["short_count"], first["long_count"]) == (flow["short"], flow["long"])
    scanners = [row for row in records(tables(chapter)["acquisition"].numbers) if row["section"] == "Scanner"]
    assert sum(row["all"] for row in scanners) == 36
    assert all(row["short"] + row["long"] == row["all"] for row in scanners)
    assert scanners[0]["p"] == pytest.approx(scanners[1]["p"])  # of two categories, each is the other's complement


def test_further_inputs_stand_at_the_end_of_table_one(contents: dict[str, RunContent]) -> None:
    members = contents["whole"].cohort.cohort.patients
    with_values = tuple(replace(one, extras={"weight_kg": 50.0 + place}) for place, one in enumerate(members))
    rows = patients_table(with_values, ("weight_kg", "height_cm")).rows
    assert rows[-3:][0] == ("Further Inputs",)
    assert rows[-2][:2] == ("weight_kg", "67.50 (50.00–85.00)")
    assert rows[-1][1] == "–"
    assert rows[-1][-1] == "36"  # nobody's is known


@pytest.mark.skipif(not FACTS.is_file(), reason="the paper's numbers are not at hand")
def test_the_papers_table_two_is_quoted_rightly() -> None:
    facts = json.loads(FACTS.read_text(encoding="utf-8"))["table2_auroc_auprc"]
    del facts["_about"]
    said = {name: tuple(f"{mean:.2f} ± {error:.2f}" for mean, error in pair) for name, pair in facts.items()}
    assert said == dict(PAPER_TABLE_TWO)


def test_censored_patients_are_counted_beside_the_curve(contents: dict[str, RunContent]) -> None:
    curve = plates(made(contents["whole"], "patients"))["cohort-survival"]
    assert "7 patients without an event (censored) are not in this curve" in curve.text
    assert {row["censored_left_out"] for row in records(curve.numbers)} == {7}
    assert "At risk: 36 at 0" in curve.alt


def test_unknown_acquisition_is_reported_as_missing(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", models=("rf_labs",), patients=12, repeats=1)
    cohort = json.loads((run / "cohort.json").read_text(encoding="utf-8"))
    for patient in cohort["patients"]:
        patient["characteristics"] |= {"scanner": "", "contrast_ct": "unknown"}
    (run / "cohort.json").write_text(json.dumps(cohort), encoding="utf-8")
    chapter = made(read_content(run), "patients")
    assert any("scanner" in line for line in chapter.missing)
    assert any("contrast_ct" in line for line in chapter.missing)
    assert ("unknown", "12 (100 %)") in [row[:2] for row in tables(chapter)["acquisition"].rows]


def test_every_fold_stands_behind_the_bars_and_collapsed_ones_are_named(contents: dict[str, RunContent]) -> None:
    content = contents["whole"]
    chapter = made(content, "results")
    folds = records(plates(chapter)["performance"].numbers)
    assert len(folds) == 7 * 6
    assert [(row["model"], row["repeat"], row["fold"]) for row in folds if row["collapsed"]] == [("pet", 0, 1)]
    assert "SR-PET: 0-1" in all_said(chapter)
    assert "Hollow points are collapsed fits" in all_said(chapter)
    printed_table = tables(chapter)["results"]
    assert {(row["model"], row["metric"]) for row in records(printed_table.numbers)} == {
        (name, metric) for name in PAPER_TABLE_TWO for metric in METRICS
    }
    printed_rows = {row[0]: row[1] for row in printed_table.rows}
    pet = content.summary.models[1]
    assert printed_rows["SR-PET"].startswith(f"{pet.auroc.mean:.2f} ± {pet.auroc.se:.2f}\n[")


def test_brackets_need_both_tests() -> None:
    tests = [
        _paired("pet_labs", "pet", p_holm=0.0004, p_other=0.5),
        _paired("ct_labs", "ct", p_holm=0.051, p_other=0.0001),
        _paired("pet_ct_labs", "ct_labs", p_holm=0.03, p_other=0.002, difference=-0.1),
        _paired("pet_ct_labs", "pet_labs", p_holm=0.0004, p_other=0.0009),
    ]
    assert [(mark.model, mark.reference, mark.symbol) for mark in significance_marks(tests)] == [
        ("pet_ct_labs", "ct_labs", "*"),
        ("pet_ct_labs", "pet_labs", "***"),
    ]
    told = marks_in_words(tests)
    assert "SR-PET + CT + labs below CT + labs (p = 0.030, by the corrected t-test 0.002)" in told
    assert (
        "only in these fits and without a bracket: SR-PET + labs above SR-PET (p < 0.001, by the corrected t-test 0.50)"
        in told
    )
    alone = marks_in_words(tests[1:2])
    assert "No bracket is drawn: no evidence" in alone
    assert "the one planned comparison" in alone
    assert marks_in_words([]) == ""


def test_the_reader_chooses_whose_curves_are_drawn(contents: dict[str, RunContent]) -> None:
    def drawn(content: RunContent) -> set[object]:
        return {row["model"] for row in records(plates(made(content, "results"))["curves"].numbers)}

    assert drawn(contents["whole"]) == {"pet_ct_labs_pretrained", "rf_labs"}
    chosen = read_content(contents["whole"].run, ReportRequest(compare=("pet", "ct")))
    assert drawn(chosen) == {"pet", "ct"}
    text = plates(made(chosen, "results"))["curves"].text
    assert "6 folds of SR-PET and 6 folds of CT" in text


def test_stopped_fits_are_named(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", models=("pet",), patients=14, repeats=1)
    done = run / "folds" / "pet" / "0-2" / "done.json"
    done.write_text(
        json.dumps(json.loads(done.read_text(encoding="utf-8")) | {"reason": "out of memory"}), encoding="utf-8"
    )
    assert "SR-PET, fold 0-2: out of memory" in all_said(made(read_content(run), "results"))


def test_each_patient_stands_once_behind_the_predicted_groups(contents: dict[str, RunContent]) -> None:
    chapter = made(contents["whole"], "survival")
    rows = records(tables(chapter)["group-survival"].numbers)
    assert [row["model"] for row in rows] == list(PAPER_TABLE_TWO)
    assert all(row["long_n"] + row["short_n"] == 36 for row in rows)
    others = {row["model"] for row in records(plates(chapter)["predicted-survival-others"].numbers)}
    assert others == set(PAPER_TABLE_TWO) - {"pet_ct_labs_pretrained"}
    assert "not a second proof" in all_said(chapter)
    alone = all_said(made(contents["collapsed"], "survival"))
    assert "puts everyone into one group" in alone


def test_probabilities_are_judged_for_every_model(contents: dict[str, RunContent]) -> None:
    chapter = made(contents["whole"], "probabilities")
    rows = records(tables(chapter)["calibrations"].numbers)
    assert [row["model"] for row in rows] == list(PAPER_TABLE_TWO)
    curves = {row["curve"] for row in records(plates(chapter)["calibration"].numbers)}
    assert curves == {"calibration", "decision"}
    assert "no slope, because the predictions hardly vary" in all_said(made(contents["collapsed"], "probabilities"))


def test_numbers_in_words() -> None:
    assert printed(-0.123) == "−0.12"
    assert printed(math.nan) == "–"
    assert printed_interval((-0.5, 0.25)) == "[−0.50, 0.25]"
    assert printed_interval((math.nan, math.nan)) == "–"
    assert printed_months(math.inf) == "not reached"
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


def _metric(mean: float, low: float, high: float) -> MetricSummary:
    return MetricSummary(mean, 0.01, (mean,), (low, high))


def _paired(model: str, reference: str, p_holm: float, p_other: float, difference: float = 0.1) -> PairedComparison:
    return PairedComparison(
        model=model,
        reference=reference,
        difference=difference,
        p_permutation=p_holm / 3,
        p_holm=p_holm,
        t_corrected=0.0,
        p_corrected_t=p_other,
        folds=15,
        permutations=20_000,
    )
