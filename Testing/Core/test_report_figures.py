"""Every figure draws on the axis it is given, and its SVG follows the page."""

from __future__ import annotations

import re

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from test_evaluation_discrimination import simulated_run

from PRRTPredictorCore.evaluation.calibration import calibrate, decision_curve
from PRRTPredictorCore.evaluation.discrimination import discriminate, precision_recall_band, roc_band
from PRRTPredictorCore.evaluation.survival import kaplan_meier
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.report.figures.calibration import calibration, decision
from PRRTPredictorCore.report.figures.curves import precision_recall, roc
from PRRTPredictorCore.report.figures.importance import LabImportance, lab_importance
from PRRTPredictorCore.report.figures.performance import performance
from PRRTPredictorCore.report.figures.survival import SurvivalGroup, survival
from PRRTPredictorCore.report.style import INK, MODEL_COLOURS, drawing, inline_svg, new_figure, svg_text

FOLDS = simulated_run(patients=45, repeats=2, skill=1.0)


def axis() -> tuple[Figure, Axes]:
    figure = new_figure()
    return figure, figure.subplots()


def curve(months: tuple[float, ...]) -> SurvivalGroup:
    times = np.array(months)
    return SurvivalGroup("all (n)", kaplan_meier(times, np.ones(times.size, bool)), "#2980c4")


DRAWINGS = {
    "performance": lambda ax: performance(ax, [discriminate(FOLDS, 20)], "auroc", 0.5, "chance"),
    "roc": lambda ax: roc(ax, [("pet", roc_band(FOLDS))]),
    "precision_recall": lambda ax: precision_recall(ax, [("pet", precision_recall_band(FOLDS))], 0.64),
    "survival": lambda ax: survival(ax, [curve((3, 8, 14, 20)), curve((9, 18, 30))]),
    "calibration": lambda ax: calibration(ax, calibrate(FOLDS, resamples=20)),
    "decision": lambda ax: decision(ax, decision_curve(FOLDS), "pet"),
    "lab_importance": lambda ax: lab_importance(
        ax,
        [LabImportance("pet_labs", ("ast", "cga"), np.array([[0.1, 0.4], [0.2, 0.3]]), "gradient x input", "")],
    ),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_draws_on_its_axis_and_returns_it(name: str) -> None:
    with drawing(name):
        figure, ax = axis()
        assert DRAWINGS[name](ax) is ax
        assert ax.has_data()
        assert len(svg_text(figure)) > 2000


def test_the_same_figure_gives_the_same_bytes_and_no_date() -> None:
    texts = []
    for _ in range(2):
        with drawing("same"):
            figure, ax = axis()
            DRAWINGS["roc"](ax)
            texts.append(svg_text(figure))
    assert texts[0] == texts[1]
    assert "dc:date" not in texts[0]


def test_an_inline_figure_is_named_themed_and_keeps_its_names_to_itself() -> None:
    with drawing("roc"):
        figure, ax = axis()
        DRAWINGS["roc"](ax)
        svg = inline_svg(svg_text(figure), "roc", 'A <curve> & "more"')
    assert svg.startswith("<svg")
    assert 'role="img"' in svg
    assert 'aria-label="A &lt;curve&gt; &amp; &#34;more&#34;"' in svg
    assert "var(--ink)" in svg
    assert INK not in svg
    assert all(name.startswith("roc-") for name in re.findall(r'\bid="([^"]+)"', svg))
    used = re.findall(r'(?:url\(#|href="#)([^)"]+)', svg)
    assert used
    assert set(used) <= set(re.findall(r'\bid="([^"]+)"', svg))


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    with drawing("x"):
        pass
    assert dict(matplotlib.rcParams) == before


def luminance(colour: str) -> float:
    channels = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_colour_that_is_seen_on_light_and_dark_pages(name: str) -> None:
    on_dark = (luminance(MODEL_COLOURS[name]) + 0.05) / (luminance("#14181d") + 0.05)
    on_light = 1.05 / (luminance(MODEL_COLOURS[name]) + 0.05)
    assert on_dark >= 3.0
    assert on_light >= 2.0
