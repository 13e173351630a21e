"""The chapter on subgroups: equal scanners, a planted difference, and runs that lack something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_blocks import made_chapter, plates, tables, words_of
from report_runs import made_run

from PRRTPredictorCore.records import Characteristics, FoldPredictions
from PRRTPredictorCore.report.chapters.subgroups import chapter
from PRRTPredictorCore.report.content import RunContent, read_content
from PRRTPredictorCore.report.style import svg_text
from PRRTPredictorCore.training.store import RunStore


def with_characteristics(content: RunContent, **unknown: object) -> RunContent:
    """The same run, its patients' characteristics replaced."""
    store = RunStore(content.run)
    patients = tuple(
        replace(one, characteristics=replace(one.characteristics, **unknown)) for one in store.cohort.cohort.patients
    )
    store.cohort = replace(store.cohort, cohort=replace(store.cohort.cohort, patients=patients))
    return replace(content, store=store)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> RunContent:
    return read_content(made_run(tmp_path_factory.mktemp("made") / "run", ("rf_labs", "pet", "pet_labs"), patients=80))


def test_every_category_has_its_figure_and_its_numbers(content: RunContent) -> None:
    result = made_chapter(chapter, content)
    assert list(plates(result)) == [f"subgroups-{name}" for name in ("scanner", "contrast", "sex", "age")]
    for plate in plates(result).values():
        assert plate.alt
        assert plate.numbers is not None
        assert len(plate.numbers.rows) == 3 * 3  # two scores and a difference a model
        assert all(len(row) == len(plate.numbers.columns) for row in plate.numbers.rows)
        assert "SR-PET" in svg_text(plate.figure)
    headline, everything, differences = tables(result).values()
    assert "SR-PET + labs" in headline.title
    assert len(everything.numbers.rows) == 8 * 3
    assert len(differences.numbers.rows) == 4 * 3
    for table in (headline, everything, differences):
        assert {len(row) for row in table.rows} == {1, len(table.header)}
        assert {len(row) for row in table.numbers.rows} == {len(table.numbers.columns)}
    assert result.missing == ()


def test_equal_scanners_give_no_evidence_in_words(content: RunContent) -> None:
    alike = with_characteristics(content)
    coins = np.random.default_rng(3)
    patients = tuple(
        replace(
            one, characteristics=replace(one.characteristics, scanner="first" if coins.random() < 0.5 else "second")
        )
        for one in alike.cohort.cohort.patients
    )
    alike.store.cohort = replace(alike.cohort, cohort=replace(alike.cohort.cohort, patients=patients))
    assert "Scanner: no evidence that a model ranks patients better in one of the scanners" in words_of(
        made_chapter(chapter, alike)
    )


def test_the_longest_scanner_names_stay_inside_the_picture(content: RunContent) -> None:
    named = with_characteristics(content)
    models = ("Philips Medical Systems Gemini TF TOF 16, extended field of view", "GE MEDICAL SYSTEMS Discovery MI DR")
    patients = tuple(
        replace(one, characteristics=replace(one.characteristics, scanner=models[place % 2]))
        for place, one in enumerate(named.cohort.cohort.patients)
    )
    named.store.cohort = replace(named.cohort, cohort=replace(named.cohort.cohort, patients=patients))
    figure = plates(made_chapter(chapter, named))["subgroups-scanner"].figure
    svg_text(figure)  # the layout is made while drawing
    (legend,) = figure.legends
    assert legend.get_window_extent().x1 <= figure.bbox.x1


def test_a_planted_difference_is_named_with_its_interval(content: RunContent) -> None:
    on_first = {code: one.characteristics.scanner.startswith("GE") for code, one in content.patients.items()}
    noise = np.random.default_rng(0)

    def blind_on_first(item: FoldPredictions) -> FoldPredictions:
        blind = np.array([on_first[code] for code in item.codes])
        told = 0.2 + 0.6 * item.y + 0.1 * noise.random(item.y.size)
        return replace(item, probability=np.where(blind, noise.random(item.y.size), told))

    planted = replace(
        content, predictions={"pet_labs": tuple(blind_on_first(item) for item in content.predictions["pet_labs"])}
    )
    text = words_of(made_chapter(chapter, planted))
    assert "a difference beyond chance in 1 of 1 comparison (SR-PET + labs, AUROC " in text
    assert "clear evidence" in text


def test_unknown_scanners_are_missing_with_a_remedy(content: RunContent) -> None:
    result = made_chapter(chapter, with_characteristics(content, scanner="", contrast_ct="unknown"))
    assert list(plates(result)) == ["subgroups-sex", "subgroups-age"]
    assert len(result.missing) == 2
    assert all("cohort.csv" in sentence for sentence in result.missing)
    nothing = with_characteristics(content)
    patients = tuple(replace(one, characteristics=Characteristics()) for one in nothing.cohort.cohort.patients)
    nothing.store.cohort = replace(nothing.cohort, cohort=replace(nothing.cohort.cohort, patients=patients))
    result = made_chapter(chapter, nothing)
    assert len(result.missing) == 4
    assert plates(result) == tables(result) == {}


def test_one_scanner_for_all_has_nothing_to_compare(content: RunContent) -> None:
    result = made_chapter(chapter, with_characteristics(content, scanner="the only one"))
    assert "Scanner: all 80 patients the only one." in words_of(result)
    assert "subgroups-scanner" not in list(plates(result))


@pytest.mark.parametrize(
    ("models", "options"),
    [
        (("rf_labs",), {}),
        (("pet",), {"repeats": 1, "folds": 2}),
        (("pet",), {"collapsed": {("pet", 0, 0), ("pet", 1, 1)}}),
        (("pet", "pet_labs"), {"unfinished": {("pet", r, f) for r in (0, 1) for f in (0, 1, 2)} - {("pet", 0, 1)}}),
        (("pet",), {"patients": 12}),
    ],
    ids=["forest alone", "one repeat of two folds", "collapsed", "partial", "tiny"],
)
def test_runs_that_lack_something(tmp_path: Path, models: tuple[str, ...], options: dict) -> None:
    result = made_chapter(chapter, read_content(made_run(tmp_path / "run", models, **options)))
    assert words_of(result)
    for plate in plates(result).values():
        assert svg_text(plate.figure)
    for table in tables(result).values():
        assert {len(row) for row in table.rows} == {1, len(table.header)}
