"""The pipeline as configured: its figure, its matrix, and what the chapter says of frozen and pretrained parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from report_blocks import made_chapter, plates, words_of
from report_runs import made_run

from PRRTPredictorCore.models.describe import describe_model
from PRRTPredictorCore.models.encoder_files import write_encoder
from PRRTPredictorCore.models.fitted import FittedNetwork
from PRRTPredictorCore.models.fusion import FusionNetwork
from PRRTPredictorCore.models.presets import PAPER, PRESETS, TUNED, Preset
from PRRTPredictorCore.models.pretrained import random_encoder
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.models.weights import pack_tensors
from PRRTPredictorCore.report.chapter import Folded
from PRRTPredictorCore.report.chapters.pipeline import chapter
from PRRTPredictorCore.report.figures.pipeline import MARGIN, WIDTH, pipeline, whole_figure
from PRRTPredictorCore.report.material.sketch import sketch_of
from PRRTPredictorCore.report.style import drawing, new_figure, svg_text
from PRRTPredictorCore.training.store import CT_ENCODER, WEIGHTS, RunStore

LABS = ("ast", "alt", "ggt", "cga")


def test_a_run_of_every_model_but_the_pretrained_one(tmp_path: Path) -> None:
    names = [name for name in MODELS if name != "pet_ct_labs_pretrained"]
    found = made_chapter(chapter, made_run(tmp_path / "run", models=names))
    assert not found.missing
    shown = plates(found)
    assert list(shown) == ["pipeline", "combinations"]
    assert "SR-PET + CT + labs" in shown["pipeline"].title
    assert "4 + 4 + 4 = 12 numbers" in shown["pipeline"].alt
    assert "0 to 25 SUV, z-score" in shown["pipeline"].alt
    assert "−200 to 300 HU, z-score" in shown["pipeline"].alt
    numbers = shown["combinations"].numbers
    assert numbers is not None
    by_model = {row[0]: row for row in numbers.rows}
    assert list(by_model) == names
    assert by_model["rf_labs"][-1] == TUNED.forest.trees
    assert by_model["pet_labs"][1:4] == (True, False, True)
    assert "Nothing in this run was pretrained or frozen" in words_of(found)
    assert "12.0 × 8.0 × 8.0 mm" in words_of(found)
    layers = [block for block in found.blocks if isinstance(block, Folded)]
    assert len(layers) == 1


def test_labs_alone_are_a_forest(tmp_path: Path) -> None:
    found = made_chapter(chapter, made_run(tmp_path / "run", models=("rf_labs",)))
    assert not found.missing
    alt = plates(found)["pipeline"].alt
    assert "500 trees, at most 6 splits deep, leaves of 3 patients or more" in alt
    assert "Fusion" not in alt
    assert "pretrained" not in words_of(found)
    assert not any(isinstance(block, Folded) for block in found.blocks)


def test_the_pretrained_branch_says_what_is_frozen_and_where_it_comes_from(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", models=("pet_ct_labs_pretrained",))
    encoder = random_encoder(4, (1, 1, 1, 1), 4, (-300.0, 500.0), seed=1)
    write_encoder(run / CT_ENCODER, replace(encoder, dice=0.61))
    network = FusionNetwork(MODELS["pet_ct_labs_pretrained"], TUNED, 4, encoder, trainable_stages=2)
    fitted = FittedNetwork(network)
    assert fitted.pet_scaling is not None
    fitted.pet_scaling.low.fill_(0.0)
    fitted.pet_scaling.high.fill_(20.0)
    tensors = fitted.to_tensors()
    (RunStore(run).fold_folder("pet_ct_labs_pretrained", 0, 0) / WEIGHTS).write_bytes(pack_tensors(tensors, {}))
    found = made_chapter(chapter, run)
    assert not found.missing
    words = words_of(found)
    assert "made phantoms (synthetic), organ segmentation" in words
    assert "Dice of 0.61" in words
    # The fold fitted two stages, whatever the preset says for a CPU.
    assert "No fold changes the first 2 of its 4 stages" in words
    assert "the last 2 stages and the embedding are fitted" in words
    assert "Encoder stage 2, frozen" in plates(found)["pipeline"].alt
    assert "Encoder stage 3, fitted" in plates(found)["pipeline"].alt
    frozen = [row for row in plates(found)["pipeline"].numbers.rows if row[6] == 0 and row[5]]  # type: ignore[union-attr]
    assert len(frozen) == 2


def test_without_the_encoders_file_the_next_model_is_shown_and_the_gap_is_named(tmp_path: Path) -> None:
    found = made_chapter(chapter, made_run(tmp_path / "run", models=("pet", "pet_ct_labs_pretrained")))
    assert len(found.missing) == 1
    assert CT_ENCODER in found.missing[0]
    assert plates(found)["pipeline"].title.endswith("SR-PET")
    assert "cannot be shown" in plates(found)["pipeline"].text
    numbers = plates(found)["combinations"].numbers
    assert numbers is not None
    assert numbers.rows[1][5] is None
    only = made_chapter(chapter, made_run(tmp_path / "only", models=("pet_ct_labs_pretrained",)))
    assert list(plates(only)) == ["combinations"]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
@pytest.mark.parametrize("name", MODELS)
def test_letters_stay_inside_their_boxes(name: str, preset: Preset) -> None:
    encoder = random_encoder(4, (1, 1, 1, 1), 4, (-300.0, 500.0), seed=1)
    model = describe_model(MODELS[name], preset, 5, encoder)
    sketch = sketch_of(model, (*LABS, "tumour_volume_ml"))
    with drawing("sketch"):
        figure = new_figure(WIDTH + 2 * MARGIN, sketch.height + 2 * MARGIN)
        ax = pipeline(whole_figure(figure), sketch)
        figure.canvas.draw()
        assert "</svg>" in svg_text(figure)
    boxes = [patch.get_window_extent() for patch in ax.patches]
    texts = [text.get_window_extent() for text in ax.texts if text.get_text()]
    page = figure.bbox
    assert texts
    for text in texts:
        assert page.x0 <= text.x0
        assert text.x1 <= page.x1
        middle = ((text.x0 + text.x1) / 2, (text.y0 + text.y1) / 2)
        around = [box for box in boxes if box.contains(*middle)]
        assert all(box.x0 <= text.x0 and text.x1 <= box.x1 for box in around if box.width > text.width * 0.5)


def test_the_papers_preset_has_no_window_and_stages_as_wide_as_the_column() -> None:
    model = describe_model(MODELS["pet"], PAPER, 4)
    column = sketch_of(model, LABS).columns[0]
    assert column.beside is None
    assert column.head[1].lines == ("no window of SUV, z-score",)


def test_many_extra_inputs_are_counted_not_listed() -> None:
    names = (*LABS, *(f"a_long_column_name_{n}" for n in range(4)))
    column = sketch_of(describe_model(MODELS["rf_labs"], TUNED, len(names)), names).columns[0]
    assert column.head[0].lines == ("AST, ALT, GGT (U/L), CgA (µg/L)", "4 further inputs")


def test_the_same_model_gives_the_same_figure() -> None:
    sketch = sketch_of(describe_model(MODELS["pet_labs"], TUNED, 4), LABS)

    def drawn() -> str:
        with drawing("same"):
            figure = new_figure(WIDTH + 2 * MARGIN, sketch.height + 2 * MARGIN)
            pipeline(whole_figure(figure), sketch)
            return svg_text(figure)

    torch.manual_seed(1)
    first = drawn()
    torch.manual_seed(2)
    assert drawn() == first
