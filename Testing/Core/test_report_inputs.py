"""The report's chapters on blood values and embeddings, on made runs of every kind."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from report_blocks import leaves, made_chapter, plates, tables, words_of
from report_runs import made_run

from PRRTPredictorCore.explain import embedding
from PRRTPredictorCore.explain.separation import PermutedScore
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.records import LABS
from PRRTPredictorCore.report.chapter import Chapter, Plate, Table
from PRRTPredictorCore.report.chapters import blood, embeddings
from PRRTPredictorCore.report.chapters.contributions import direction
from PRRTPredictorCore.report.content import read_content
from PRRTPredictorCore.report.figures.embedding import ScoreRow, embedding_map, separation_scores
from PRRTPredictorCore.report.figures.importance import MODEL_SHAPES, ImportanceRow, importance_rows
from PRRTPredictorCore.report.style import drawing, new_figure, svg_text
from PRRTPredictorCore.training.heldout import HeldOutEmbeddings
from PRRTPredictorCore.training.permuting import shuffled_answers, tabular_groups
from PRRTPredictorCore.training.store import EMBEDDINGS, PERMUTATIONS, RunStore

WEIGHTS = np.array([0.0, 0.0, -0.4, -1.2])
SEPARATION = 3.0


def filled_run(out: Path, *args: object, separated: bool = True, flat: str = "", **kwargs: object) -> Path:
    """A made run whose folds also keep embeddings and answers to shuffled inputs; ``flat`` names a collapsed model."""
    run = made_run(out, *args, **kwargs)  # type: ignore[arg-type]
    store = RunStore(run)
    long = {one.code: one.outcome.long_pfs for one in store.cohort.cohort.patients}
    rng = np.random.default_rng(0)
    for name in store.manifest.models:
        spec = MODELS[name]
        for task in store.finished(name):
            folder = store.fold_folder(name, task.repeat, task.fold)
            if spec.kind == "network":
                values = rng.normal(size=(len(task.test), 4))
                values[:, 0] += SEPARATION * separated * np.array([long[code] for code in task.test])
                kept = HeldOutEmbeddings(task.test, (0.0 if name == flat else 1.0) * values.astype(np.float32))
                write(folder / EMBEDDINGS, kept.to_arrays())
            inputs = rng.normal(size=(len(task.test), 5))
            groups = tabular_groups(LABS) if spec.uses_labs else {}
            groups |= {image: [4] for image, used in (("pet", spec.uses_pet), ("ct", spec.uses_ct)) if used}
            weights = np.append(WEIGHTS, 0.8)
            shuffled = shuffled_answers(inputs, groups, lambda x, w=weights: x @ w, task, seed=0, shuffles=3)
            write(folder / PERMUTATIONS, shuffled.to_arrays())
    return run


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    path.write_bytes(stream.getvalue())


def keys(chapter: Chapter) -> list[str]:
    return [leaf.key for leaf in leaves(chapter) if isinstance(leaf, Plate | Table)]


@pytest.fixture(autouse=True)
def _no_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    """UMAP itself is tested in test_explain_embedding.py; here any layout will do."""
    monkeypatch.setattr(
        embedding, "_one_layout", lambda values, seed: np.random.default_rng(seed).normal(size=(len(values), 2))
    )


NAN = float("nan")
FIGURES = {
    "importance_rows": lambda ax: importance_rows(
        ax,
        [
            ImportanceRow("pet_labs", "AST", 0.1, 0.0, 0.2, (0.05, 0.15), "short"),
            ImportanceRow("pet_labs", "CgA", NAN, NAN, NAN, (NAN,)),
        ],
        "One value shuffled",
        "AUROC lost",
    ),
    "embedding_map": lambda ax: embedding_map(ax, np.eye(4, 2), np.array([True, True, False, False]), "SR-PET"),
    "separation_scores": lambda ax: separation_scores(
        ax,
        [
            ScoreRow("pet", PermutedScore(0.6, 0.5, (0.45, 0.55), 0.01), (0.58, 0.61)),
            ScoreRow("ct", PermutedScore(NAN, NAN, (NAN, NAN), NAN), ()),
        ],
        "Nearest neighbours",
        "share with like outcome",
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_draws_on_its_axis_and_returns_it(name):
    with drawing(name):
        figure = new_figure()
        ax = figure.subplots()
        assert FIGURES[name](ax) is ax
        assert ax.has_data()
        assert len(svg_text(figure)) > 2000


def test_every_model_has_a_shape_of_its_own():
    assert set(MODEL_SHAPES) == set(MODELS)
    assert len(set(MODEL_SHAPES.values())) == len(MODELS)


# --- embeddings -------------------------------------------------------------------------------------------------------


def test_every_network_is_mapped_with_the_other_seeds_folded(tmp_path):
    chapter = made_chapter(embeddings.chapter, filled_run(tmp_path / "run", repeats=3))
    assert chapter is not None
    assert not chapter.missing
    assert "Clear evidence for" in words_of(chapter)
    assert [key for key in keys(chapter) if key.startswith("embedding-seeds-")] == [
        f"embedding-seeds-{name}" for name, spec in MODELS.items() if spec.kind == "network"
    ]
    maps = next(block for block in chapter.blocks if isinstance(block, Plate))
    assert maps.numbers is not None
    assert len(maps.numbers.rows) == 6 * 36


def test_without_separation_it_says_no_evidence(tmp_path):
    run = filled_run(tmp_path / "run", ["pet", "pet_labs"], repeats=3, separated=False)
    chapter = made_chapter(embeddings.chapter, run)
    assert chapter is not None
    assert "No evidence for SR-PET and SR-PET + labs" in words_of(chapter)


def test_few_repeats_give_a_map_a_fold(tmp_path):
    chapter = made_chapter(embeddings.chapter, filled_run(tmp_path / "run", ["pet", "ct_labs"], folds=2, repeats=1))
    assert chapter is not None
    assert "each fold of the first repeat" in words_of(chapter)
    assert keys(chapter) == ["embedding-maps", "embedding-scores", "embedding-scores-table"]


def test_collapsed_embeddings_and_partial_runs_are_named(tmp_path):
    run = filled_run(
        tmp_path / "run", ["rf_labs", "pet", "ct"], repeats=3, flat="pet", unfinished=[("ct", 2, 0), ("ct", 2, 1)]
    )
    chapter = made_chapter(embeddings.chapter, run)
    assert chapter is not None
    assert len(chapter.missing) == 1
    assert "Embeddings of SR-PET" in chapter.missing[0]
    assert "CT" in words_of(chapter)
    flat_alone = made_chapter(embeddings.chapter, filled_run(tmp_path / "flat", ["pet"], flat="pet"))
    assert flat_alone is not None
    assert not flat_alone.blocks


def test_tiny_cohorts_are_scored_but_not_mapped(tmp_path):
    chapter = made_chapter(embeddings.chapter, filled_run(tmp_path / "run", ["pet"], patients=12, repeats=1))
    assert chapter is not None
    assert keys(chapter) == ["embedding-scores", "embedding-scores-table"]
    assert "at least 8 patients" in chapter.missing[0]


def test_a_run_without_networks_has_no_such_chapter(tmp_path):
    assert embeddings.chapter(read_content(filled_run(tmp_path / "run", ["rf_labs"]))) is None


def test_a_run_that_kept_no_embeddings_says_so(tmp_path):
    chapter = made_chapter(embeddings.chapter, made_run(tmp_path / "run", ["pet"]))
    assert chapter is not None
    assert "kept none" in chapter.missing[0]


# --- blood values -----------------------------------------------------------------------------------------------------


def test_both_methods_stand_beside_each_other(tmp_path):
    chapter = made_chapter(blood.chapter, filled_run(tmp_path / "run"))
    assert chapter is not None
    assert keys(chapter) == [
        "importance-auroc-drop",
        "importance-contributions",
        "importance-log-loss-rise",
        "importance-permutation",
        "importance-contributions-table",
    ]
    assert [line for line in chapter.missing if "Random forest" in line]  # made forests keep no contributions
    told = words_of(chapter)
    assert "SR-PET + labs: " in told
    assert "SR-PET: " not in told  # an image alone


def test_the_numbers_of_a_figure_are_those_that_it_shows(tmp_path):
    chapter = made_chapter(blood.chapter, filled_run(tmp_path / "run"))
    found = {**plates(chapter), **tables(chapter)}
    measures = {
        key: {row[2] for row in shown.numbers.rows}
        for key, shown in found.items()
        if shown.numbers is not None and "measure" in shown.numbers.columns
    }
    assert measures == {
        "importance-auroc-drop": {"auroc_drop"},
        "importance-log-loss-rise": {"log_loss_rise"},
        "importance-permutation": {"auroc_drop", "log_loss_rise"},
    }


def test_inputs_that_cost_nothing_have_no_evidence(tmp_path):
    chapter = made_chapter(blood.chapter, filled_run(tmp_path / "run", ["pet_labs"]))
    assert chapter is not None
    sentence = words_of(chapter).split("SR-PET + labs: ")[1]
    assert "no evidence that it rests on AST" in sentence


def test_the_forest_alone_is_enough(tmp_path):
    chapter = made_chapter(blood.chapter, filled_run(tmp_path / "run", ["rf_labs"], folds=2, repeats=1))
    assert chapter is not None
    assert "importance-auroc-drop" in keys(chapter)


def test_a_run_that_kept_nothing_of_its_blood_values_says_so(tmp_path):
    chapter = made_chapter(blood.chapter, made_run(tmp_path / "run", ["rf_labs"]))
    assert chapter.blocks == ()
    shuffles, contributions = chapter.missing
    assert "6 of 6 finished fits kept no answers to shuffled inputs" in shuffles
    assert contributions == "Contributions of Random forest (labs): its finished fits kept none."


def test_a_run_without_blood_values_has_no_such_chapter(tmp_path):
    assert blood.chapter(read_content(filled_run(tmp_path / "run", ["pet", "ct"]))) is None


def test_a_run_that_kept_no_answers_shows_contributions_and_says_what_is_missing(tmp_path):
    chapter = made_chapter(blood.chapter, made_run(tmp_path / "run", ["pet_labs"]))
    assert chapter is not None
    assert keys(chapter) == ["importance-contributions", "importance-contributions-table"]
    assert "6 of 6 finished fits kept no answers" in chapter.missing[0]


def test_a_fit_that_learnt_nothing_is_named(tmp_path):
    run = filled_run(tmp_path / "run", ["pet_labs"])
    (run / "folds" / "pet_labs" / "0-1" / PERMUTATIONS).unlink()
    chapter = made_chapter(blood.chapter, run)
    assert chapter is not None
    assert "1 of 6 finished fits kept no answers" in chapter.missing[0]


@pytest.mark.parametrize(
    ("share", "word"), [(1.0, "long"), (0.8, "long"), (0.5, "either"), (0.1, "short"), (float("nan"), "")]
)
def test_a_direction_is_told_only_where_folds_agree(share, word):
    assert direction(share) == word
