"""The two small charts: what is drawn is what the document says, nothing is cut off, whatever the size of letters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from test_models_bundle import packed
from test_prediction_document import document

from PRRTPredictorCore.errors import InputRefused
from PRRTPredictorCore.models.metadata import SurvivalCurve
from PRRTPredictorCore.prediction.card import ModelCard, read_card
from PRRTPredictorCore.prediction.document import PredictionDocument
from PRRTPredictorCore.report.charts import LAB_CHART, SURVIVAL_CHART, ChartLook, _drawing, draw_chart, write_charts
from PRRTPredictorCore.report.style import LONG_COLOUR, SHORT_COLOUR

LABS = {"ast": 0.12, "alt": -0.034, "ggt": -0.31, "cga": -0.0045}
CURVES = (
    SurvivalCurve("all", (0.0, 6.0, 12.0, 58.0), (1.0, 0.8, 0.6, 0.0), 116),
    SurvivalCurve("predicted long", (0.0, 9.0, 58.0), (1.0, 0.8, 0.0), 94),
    SurvivalCurve("predicted short", (0.0, 5.0, 30.0), (1.0, 0.5, 0.0), 22),
)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    return replace(read_card(packed(tmp_path_factory.mktemp("packed") / "model")), survival=CURVES)


def answer(**changes: object) -> PredictionDocument:
    return replace(document(), lab_contributions=LABS, **changes)  # type: ignore[arg-type]


LOOKS = [ChartLook(9), ChartLook(18), ChartLook(18, dark=True), ChartLook(9, notices=False)]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", [LAB_CHART, SURVIVAL_CHART])
def test_every_letter_lies_within_the_picture(card: ModelCard, name: str, look: ChartLook) -> None:
    with _drawing(name, look):
        figure = draw_chart(name, answer(), card, look)
        assert figure is not None
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        texts = [text for text in figure.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_text()]
        assert len(texts) >= 6
        for text in texts:
            box = text.get_window_extent(renderer)
            if text.get_visible() and box.width:
                assert box.x0 >= -1 and box.x1 <= figure.bbox.width + 1, text.get_text()  # noqa: PT018
                assert box.y0 >= -1 and box.y1 <= figure.bbox.height + 1, text.get_text()  # noqa: PT018


@pytest.mark.parametrize("scale", [1.0, 0.01])
@pytest.mark.parametrize("look", [*LOOKS, ChartLook(20)])
def test_no_number_lies_over_a_labs_name(card: ModelCard, look: ChartLook, scale: float) -> None:
    contributions = {name: scale * size for name, size in LABS.items()}
    asked = replace(answer(lab_contribution_method="decision path"), lab_contributions=contributions)
    with _drawing("labs", look):
        figure = draw_chart(LAB_CHART, asked, card, look)
        assert figure is not None
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        (ax,) = figure.axes
        names = [text.get_window_extent(canvas.get_renderer()) for text in ax.get_yticklabels()]
        numbers = [text.get_window_extent(canvas.get_renderer()) for text in ax.texts]
        assert len(names) == 4
        assert not [1 for name in names for number in numbers if name.overlaps(number)]
        assert "probability" in " ".join(figure.get_suptitle().split())


def test_the_bars_are_the_contributions(card: ModelCard) -> None:
    look = ChartLook()
    with _drawing("labs", look):
        figure = draw_chart(LAB_CHART, answer(), card, look)
    assert figure is not None
    (ax,) = figure.axes
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(list(LABS.values()))
    colours = [to_hex(bar.get_facecolor()) for bar in ax.patches]
    assert colours == [LONG_COLOUR, SHORT_COLOUR, SHORT_COLOUR, SHORT_COLOUR]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["AST", "ALT", "GGT", "CgA"]


@pytest.mark.parametrize("group", ["long", "short"])
def test_the_patients_group_stands_out(card: ModelCard, group: str) -> None:
    look = ChartLook(12)
    with _drawing("survival", look):
        figure = draw_chart(SURVIVAL_CHART, answer(group=group), card, look)
    assert figure is not None
    (ax,) = figure.axes
    lines = {str(line.get_label()).replace("\u00a0", " ").replace("\n", " "): line for line in ax.lines}
    (own,) = [label for label in lines if "this patient" in label]
    assert own.startswith(f"predicted {group}, n = {94 if group == 'long' else 22}")
    assert lines[own].get_linewidth() == max(line.get_linewidth() for line in ax.lines)
    curve = next(curve for curve in CURVES if curve.label == f"predicted {group}")
    np.testing.assert_array_equal(lines[own].get_xydata(), np.column_stack([curve.months, curve.survival]))


def test_the_files_are_made_and_the_ground_is_clear(card: ModelCard, tmp_path: Path) -> None:
    written = write_charts(tmp_path / "charts", answer(), card)
    assert sorted(path.name for path in (tmp_path / "charts").iterdir()) == ["lab_contributions.png", "survival.png"]
    for path in written.values():
        pixels = image.imread(path)
        assert pixels.shape[1] == 720
        assert pixels[2, -3, 3] == 0
        assert pixels[..., 3].max() == 1
    bright = {
        dark: image.imread(write_charts(tmp_path / str(dark), answer(), card, ChartLook(dark=dark))[SURVIVAL_CHART])
        for dark in (False, True)
    }
    ink = {dark: pixels[pixels[..., 3] == 1][:, :3].mean() for dark, pixels in bright.items()}
    assert ink[True] > ink[False] + 0.2


def test_a_model_without_labs_or_without_curves_has_less_to_show(card: ModelCard, tmp_path: Path) -> None:
    blind = replace(document(), lab_contributions={}, lab_contribution_method="none")
    assert list(write_charts(tmp_path / "a", blind, card)) == [SURVIVAL_CHART]
    assert list(write_charts(tmp_path / "b", answer(), replace(card, survival=()))) == [LAB_CHART]
    all_alike = {"ast": 0.0, "alt": 0.0}
    assert LAB_CHART in write_charts(tmp_path / "c", replace(document(), lab_contributions=all_alike), card)


def test_a_folder_that_cannot_be_is_refused(card: ModelCard, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputRefused):
        write_charts(tmp_path / "file", answer(), card)


@pytest.mark.parametrize("look", [ChartLook(), ChartLook(notices=False)])
def test_the_notices_are_on_the_picture(card: ModelCard, look: ChartLook) -> None:
    with _drawing("survival", look):
        figure = draw_chart(SURVIVAL_CHART, answer(synthetic_patient=True), card, look)
    assert figure is not None
    words = " ".join(text.get_text() for text in figure.texts)
    assert ("SYNTHETIC model and patient" in words) is look.notices
    assert ("Research use only" in words) is look.notices
