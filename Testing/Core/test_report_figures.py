"""Every figure draws on the axis it is given, and its SVG follows the page."""

from __future__ import annotations

import io
import re
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from test_evaluation_discrimination import simulated_run

from PRRTPredictorCore.evaluation.calibration import calibrate, decision_curve
from PRRTPredictorCore.evaluation.discrimination import discriminate, precision_recall_band, roc_band
from PRRTPredictorCore.evaluation.survival import kaplan_meier
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.records import Eligibility, Exclusion
from PRRTPredictorCore.report.figures.calibration import calibration, decision
from PRRTPredictorCore.report.figures.curves import precision_recall, roc
from PRRTPredictorCore.report.figures.flow import flow_chart, flow_height_inches
from PRRTPredictorCore.report.figures.importance import in_two_lines
from PRRTPredictorCore.report.figures.performance import Bracket, brackets, performance
from PRRTPredictorCore.report.figures.survival import SurvivalGroup, quartiles, survival
from PRRTPredictorCore.report.style import (
    INK,
    MODEL_COLOURS,
    Imprint,
    drawing,
    inline_svg,
    new_figure,
    png_bytes,
    svg_text,
    with_imprint,
)

FOLDS = simulated_run(patients=45, repeats=2, skill=1.0)


def axis() -> tuple[Figure, Axes]:
    figure = new_figure()
    return figure, figure.subplots()


def curve(months: tuple[float, ...]) -> SurvivalGroup:
    times = np.array(months)
    return SurvivalGroup("all (n)", kaplan_meier(times, np.ones(times.size, bool)), "#2980c4")


FLOW = Eligibility(
    screened=40,
    excluded=(
        Exclusion("prior_prrt", "PRRT before", 3),
        Exclusion("records_complete", "incomplete records or follow-up", 0),
        Exclusion("event", "no progression or death observed (censored)", 7),
    ),
    refused=1,
    included=29,
)

DRAWINGS = {
    "performance": lambda ax: performance(ax, [discriminate(FOLDS, 20)], "auroc", 0.5, "chance"),
    "roc": lambda ax: roc(ax, [("pet", roc_band(FOLDS))]),
    "precision_recall": lambda ax: precision_recall(ax, [("pet", precision_recall_band(FOLDS))], 0.64),
    "survival": lambda ax: survival(ax, [curve((3, 8, 14, 20)), curve((9, 18, 30))]),
    "quartiles": lambda ax: quartiles(ax, curve((3, 8, 14, 20)).curve),
    "flow": lambda ax: flow_chart(ax, FLOW, 12, 17),
    "brackets": lambda ax: brackets(ax, ["pet", "ct"], [Bracket("ct", "pet", "*")]),
    "calibration": lambda ax: calibration(ax, calibrate(FOLDS, resamples=20)),
    "decision": lambda ax: decision(ax, decision_curve(FOLDS), "pet"),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_draws_on_its_axis_and_returns_it(name: str) -> None:
    with drawing(name):
        figure, ax = axis()
        assert DRAWINGS[name](ax) is ax
        assert ax.has_data()
        assert len(svg_text(figure)) > 2000


def words_of(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_the_flow_chart_counts_those_left_out_and_names_no_empty_reason() -> None:
    with drawing("flow"):
        _, ax = axis()
        told = words_of(flow_chart(ax, FLOW, 12, 17))
        everybody = words_of(flow_chart(axis()[1], Eligibility(9, (), 0, 9), 4, 5))
    for words in ("n = 40", "Left out (n = 11)", "3  PRRT before", "n = 29", "n = 12", "n = 17"):
        assert words in told, words
    assert any(line.startswith("1  rows that break") for line in told)
    assert not any("incomplete" in line for line in told)
    assert "Nobody was left out" in everybody
    assert flow_height_inches(FLOW) > flow_height_inches(Eligibility(9, (), 0, 9))


def test_brackets_do_not_share_a_place_and_leave_out_models_that_are_not_drawn() -> None:
    rows = ["a", "b", "c", "d"]
    marks = [Bracket("b", "a", "1"), Bracket("d", "c", "2"), Bracket("d", "a", "3"), Bracket("x", "a", "4")]
    with drawing("brackets"):
        _, ax = axis()
        brackets(ax, rows, marks)
    assert sorted(words_of(ax)) == ["1", "2", "3"]
    at = {text.get_text(): text.get_position()[0] for text in ax.texts}
    assert at["1"] == at["2"] < at["3"]


def test_quartiles_that_are_not_reached_are_not_drawn() -> None:
    with drawing("quartiles"):
        _, ax = axis()
        few = kaplan_meier(np.array([3.0, 9.0, 9.0, 9.0]), np.array([True, False, False, False]))
        assert words_of(quartiles(ax, few)) == ["a quarter by 3.0"]


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


def test_the_page_carries_no_finer_coordinates_than_it_can_show() -> None:
    with drawing("roc"):
        figure, ax = axis()
        DRAWINGS["roc"](ax)
        ax.text(0.5, 0.5, "AUROC 0.71234")
        whole = svg_text(figure)
        svg = inline_svg(whole, "roc", "AUROC 0.71234")
    assert len(svg) < 0.9 * len(whole)
    assert 'aria-label="AUROC 0.71234"' in svg
    assert ">AUROC 0.71234<" in svg
    drawn = re.findall(r'<path[^>]* d="([^"]+)"', svg)
    assert len(drawn) > 5
    assert not re.search(r"\.\d{3}", " ".join(drawn))


@pytest.mark.parametrize("width", [3.0, 9.0])
def test_a_figure_that_leaves_the_page_tells_where_it_came_from(width: float) -> None:
    imprint = Imprint("SYNTHETIC patients · Research use only. Not a diagnostic device.", "PRRTPredictor 1 · data a<1")
    with drawing("roc"):
        figure = new_figure(width, 3.0)
        DRAWINGS["roc"](figure.subplots())
        svg, png = with_imprint(svg_text(figure, "A <curve>"), imprint), png_bytes(figure, 100, imprint=imprint)
        bare = png_bytes(figure, 100, title="A <curve>")
    told = [text for element in fromstring(svg).iterfind(".//{*}text") if (text := element.text)]
    said = " · ".join(told[-2:] if width < 5 else told[-1:])
    assert said == f"{imprint.notice} · {imprint.origin}"
    assert "A <curve>" in "".join(fromstring(svg).itertext())
    assert "A &lt;curve&gt;" not in inline_svg(svg_text(figure, "A <curve>"), "roc", "")
    strip = round(100 * (20 if width < 5 else 10) / 72)
    sizes = [Image.open(io.BytesIO(picture)) for picture in (bare, png)]
    assert sizes[1].size[0] == sizes[0].size[0]
    assert abs(sizes[1].size[1] - sizes[0].size[1] - strip) <= 1
    assert sizes[0].info["Title"] == "A <curve>"
    assert imprint.origin in sizes[1].info["Description"]
    ground = np.asarray(sizes[1].convert("L"))[sizes[0].size[1] :]
    assert ground.max() == 255
    assert ground.min() < 200, "nothing is printed below"


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


def test_light_letters_keep_their_dark_ground_as_a_file() -> None:
    with drawing():
        figure = new_figure(2, 1)
        figure.set_facecolor("#0e0f11")
        figure.text(0.5, 0.5, "light", color="white")
        assert "fill: #0e0f11" in svg_text(figure, own_ground=True)
        assert "#0e0f11" not in svg_text(figure)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("AST", ["AST"]),
        ("lactate_dehydrogenase_five", ["lactate_", "dehydrogenase_five"]),
        ("x" * 60, ["x" * 20, "x" * 19 + "…"]),
        ("SR-PET and a column with a long name", ["SR-PET and a column", "with a long name"]),
    ],
)
def test_long_inputs_are_named_in_two_lines(name: str, lines: list[str]) -> None:
    assert in_two_lines(name).split("\n") == lines
