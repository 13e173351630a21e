"""The chapters that hold two models against each other, on whole, partial, collapsed and imageless runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from report_blocks import made_chapter, plates, tables, words_of
from report_runs import made_run

from PRRTPredictorCore.explain.distances import DISTANCES
from PRRTPredictorCore.report.chapter import Chapter
from PRRTPredictorCore.report.chapters import comparison, gradients
from PRRTPredictorCore.report.content import RunContent, read_content
from PRRTPredictorCore.report.request import ReportRequest
from PRRTPredictorCore.report.style import drawing
from PRRTPredictorCore.training.heldout import GradientHistograms, HeldOutGradients
from PRRTPredictorCore.training.store import GRADIENTS

PAIR = ("pet_labs", "pet")
FACTS = Path(__file__).parents[2].parent / "shared" / "paper" / "facts.json"


def content(run: Path, compare: tuple[str, str] | None = None) -> RunContent:
    return read_content(run, ReportRequest(compare=compare))


def compared(run: Path, compare: tuple[str, str] | None = None) -> Chapter:
    return made_chapter(comparison.chapter, content(run, compare))


def with_gradients(run: Path, models: tuple[str, ...], images: tuple[str, ...] = ("pet",), shift: float = 1.0) -> Path:
    """Give the folds of a made run gradient maps; the first model's are ``shift`` powers of ten larger."""
    from PRRTPredictorCore.training.foldfiles import npz_bytes
    from PRRTPredictorCore.training.store import RunStore

    store = RunStore(run)
    for place, model in enumerate(models):
        for task in store.finished(model):
            rng = np.random.default_rng([place, task.repeat, task.fold])
            level = -5 + (shift if place == 0 else 0.0) + 0.2 * rng.normal(size=(len(task.test), 1, 1, 1))
            maps = 10 ** (level + 0.5 * rng.normal(size=(len(task.test), 5, 5, 5)))
            counted = GradientHistograms.of(maps)
            kept = HeldOutGradients(
                task.test,
                ("ast", "alt", "ggt", "cga"),
                pet=counted if "pet" in images else None,
                ct=counted if "ct" in images else None,
            )
            folder = store.fold_folder(model, task.repeat, task.fold)
            (folder / GRADIENTS).write_bytes(npz_bytes(kept.to_arrays()))
    return run


# --- comparisons ------------------------------------------------------------------------------------------------------


def test_two_models_that_agree_on_everybody_differ_nowhere(tmp_path: Path) -> None:
    collapsed = [(name, 0, fold) for name in PAIR for fold in range(3)]
    told = words_of(compared(made_run(tmp_path / "run", PAIR, patients=20, repeats=1, collapsed=collapsed)))
    assert "Both put 20 (100 %) of 20 patients into the same group." in told
    assert "Where they differ" not in told


def test_planned_comparisons_and_the_papers_pair_are_told(tmp_path: Path) -> None:
    made = compared(made_run(tmp_path / "run", patients=60))
    found = tables(made)
    assert list(found) == ["paired", "model-pair-differences", "model-pair-agreement", "families"]
    assert len(found["paired"].rows) == 9
    assert "of which this is one" in words_of(made)
    assert list(plates(made)) == ["model-pair"]
    assert "not to be relied on" in found["families"].note
    assert sum(int(row[2]) for row in found["model-pair-agreement"].rows) == 60
    for table in found.values():
        assert table.numbers is not None
        assert {len(row) for row in table.numbers.rows} == {len(table.numbers.columns)}
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_a_pair_chosen_afterwards_is_said_to_stand_outside_of_the_correction(tmp_path: Path) -> None:
    made = compared(made_run(tmp_path / "run"), ("ct", "pet"))
    assert "not among the comparisons that were fixed beforehand" in words_of(made)
    assert "outside of Holm" in words_of(made)


def test_two_models_without_any_skill_give_no_evidence(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", PAIR, skill={"pet_labs": 0.0, "pet": 0.0})
    assert "No evidence of a difference" in words_of(compared(run))


def test_a_forest_alone_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", ("rf_labs",))
    assert comparison.chapter(content(run)) is None
    assert gradients.chapter(content(run)) is None


def test_a_forest_and_one_network_are_compared(tmp_path: Path) -> None:
    made = compared(made_run(tmp_path / "run", ("rf_labs", "ct_labs"), folds=2, repeats=1))
    assert tables(made)["model-pair-differences"].header[1:3] == ("CT + labs", "Random forest (labs)")


def test_partial_and_collapsed_runs_say_what_entered(tmp_path: Path) -> None:
    run = made_run(
        tmp_path / "run",
        PAIR,
        unfinished=[("pet", 0, 1), ("pet_labs", 1, 2)],
        collapsed=[("pet", 0, 0), ("pet", 1, 0)],
    )
    made = compared(run)
    assert "Over the 4 folds that both models finished" in words_of(made)
    assert "Hollow: one of the two fits collapsed (2 folds)" in plates(made)["model-pair"].text


def test_models_without_a_common_fold_are_named(tmp_path: Path) -> None:
    split = [(0, 0), (0, 1), (0, 2)]
    unfinished = [("pet", *split[0]), ("pet_labs", *split[1]), ("pet_labs", *split[2])]
    made = compared(made_run(tmp_path / "run", PAIR, repeats=1, unfinished=unfinished))
    assert len(made.missing) == 1
    assert "share no finished fold" in made.missing[0]
    assert not plates(made)


# --- gradients --------------------------------------------------------------------------------------------------------


def test_gradients_of_the_pair_are_shown_for_every_common_image(tmp_path: Path) -> None:
    models = ("pet_ct_labs_pretrained", "pet_ct_labs")
    run = with_gradients(made_run(tmp_path / "run", models), models, ("pet", "ct"))
    with drawing():
        made = gradients.chapter(content(run))
    assert made is not None
    assert list(plates(made)) == ["gradients-pet", "gradients-ct"]
    found = tables(made)
    assert len(found["gradient-tests"].rows) == 4 * 3
    numbers = found["gradient-distances"].numbers
    assert numbers is not None
    assert len(numbers.rows) == 4 * len(DISTANCES)
    assert "Paper" not in found["gradient-distances"].header
    by_scale = {(row[0], row[1], row[2]): row[3] for row in numbers.rows}
    assert by_scale["pet", "log10", "wasserstein"] == pytest.approx(1.0, abs=0.2)
    histograms = plates(made)["gradients-pet"].numbers
    assert histograms is not None
    shares = np.array([[float(str(cell)) for cell in row[3:]] for row in histograms.rows])
    assert shares.sum(axis=0) == pytest.approx([2.0, 2.0]), "either scale holds all voxels"


def test_the_papers_values_stand_beside_the_papers_pair_alone(tmp_path: Path) -> None:
    run = with_gradients(made_run(tmp_path / "run", PAIR, repeats=1), PAIR)
    with drawing():
        made = gradients.chapter(content(run))
    assert made is not None
    table = tables(made)["gradient-distances"]
    assert table.header[-1] == "Paper"
    assert [row[-1] for row in table.rows[1:8]] == ["0.090", "0.241", "–", "0.418", "0.183", "0.207", "0.518"]
    assert all(row[3] == "–" for row in table.rows if len(row) > 1), "one repeat: no second fit to compare with"
    assert "Fewer than six pairs of fits" in tables(made)["gradient-tests"].note


@pytest.mark.skipif(not FACTS.is_file(), reason="the paper's numbers are not at hand")
def test_the_papers_values_are_the_papers() -> None:
    facts = json.loads(FACTS.read_text(encoding="utf-8"))["gradient_distances_pet_vs_pet_labs"]
    names = {"jensen_shannon": "js_distance", "histogram_overlap": "overlap"}
    assert {names.get(name, name): value for name, value in facts.items()} == dict(gradients.PAPER_DISTANCES)


def test_pairs_without_common_gradients_are_told_with_a_remedy(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", ("rf_labs", "pet", "ct", "pet_labs"), repeats=1)
    for pair, told in (
        (("pet", "ct"), "no common image"),
        (("pet_labs", "rf_labs"), "no common image"),
        (PAIR, "holds no SR-PET gradients"),
    ):
        made = gradients.chapter(content(run, pair))
        assert made is not None
        assert not made.blocks
        assert told in made.missing[0]
    lonely = gradients.chapter(content(made_run(tmp_path / "lonely", ("rf_labs", "pet"), repeats=1)))
    assert lonely is not None
    assert "No two networks" in lonely.missing[0]
