"""A run's results as table and plot nodes: right numbers, honest titles, and nothing left behind."""

from __future__ import annotations

import math

import numpy as np
import pytest

from PRRTPredictorCore.cohort.describe import Share, Spread, TableOne, TableRow
from PRRTPredictorCore.evaluation.discrimination import MetricSummary
from PRRTPredictorCore.evaluation.results import Curve, ModelResult, RunResults
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorLib import Results

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")

NO_CURVE = Curve((), ())


def metric(mean: float) -> MetricSummary:
    return MetricSummary(mean=mean, se=0.01, per_repeat=(mean,), ci95=(mean - 0.1, mean + 0.1))


def run_results(names=("pet", "pet_ct_labs"), synthetic=True) -> RunResults:
    models = tuple(
        ModelResult(
            name=name,
            title=MODELS[name].title,
            auroc=metric(0.60 + 0.05 * place),
            auprc=metric(0.50 + 0.05 * place),
            accuracy=metric(0.55),
            collapsed_folds=place,
            roc=Curve((0.0, 0.2, 1.0), (0.0, 0.7, 1.0)),
            pr=Curve((0.0, 0.5, 1.0), (1.0, 0.8, 0.4)),
        )
        for place, name in enumerate(names)
    )
    return RunResults(models, prevalence_long=0.4, patients=48, folds=3, repeats=5, synthetic=synthetic)


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


def cells(node) -> list[list[str]]:
    return [
        [node.GetCellText(row, column) for column in range(node.GetNumberOfColumns())]
        for row in range(node.GetNumberOfRows())
    ]


def header(node) -> list[str]:
    return [node.GetColumnName(column) for column in range(node.GetNumberOfColumns())]


def series_of(chart) -> list:
    return [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]


def points(series) -> np.ndarray:
    from vtk.util.numpy_support import vtk_to_numpy

    table = series.GetTableNode().GetTable()
    names = (series.GetXColumnName(), series.GetYColumnName())
    return np.stack([vtk_to_numpy(table.GetColumnByName(name)) for name in names])


def test_table_two(scene) -> None:
    node = Results.showTableTwo(scene, run_results())
    assert header(node)[:3] == ["Model", "AUROC ± SE", "AUROC [95 % interval]"]
    assert cells(node)[1] == [
        MODELS["pet_ct_labs"].title,
        *("0.65 ± 0.01", "[0.55, 0.75]", "0.55 ± 0.01", "[0.45, 0.65]", "0.55 ± 0.01", "[0.45, 0.65]"),
        "1 of 15",
    ]
    assert node.GetLocked()
    assert node.GetName().startswith("SYNTHETIC")
    assert "Research use only" in node.GetName()


def test_an_undefined_metric_is_a_dash(scene) -> None:
    results = run_results(("pet",))
    nothing = MetricSummary(mean=math.nan, se=math.nan, per_repeat=(), ci95=(math.nan, math.nan))
    (model,) = results.models
    lost = ModelResult(model.name, model.title, nothing, nothing, nothing, 15, NO_CURVE, NO_CURVE)
    results = RunResults((lost,), 0.4, 48, 3, 5, False)
    assert cells(Results.showTableTwo(scene, results))[0][1:3] == ["–", "–"]
    plots = Results.showPlots(scene, results)
    assert [series.GetName() for series in series_of(plots.roc)] == ["Chance  0.50"]


def test_curves_are_those_of_the_run(scene) -> None:
    plots = Results.showPlots(scene, run_results())
    roc = series_of(plots.roc)
    assert [series.GetName() for series in roc] == [
        f"{MODELS['pet'].title}  0.60",
        f"{MODELS['pet_ct_labs'].title}  0.65",
        "Chance  0.50",
    ]
    np.testing.assert_array_equal(points(roc[0]), [[0.0, 0.2, 1.0], [0.0, 0.7, 1.0]])
    np.testing.assert_array_equal(points(series_of(plots.pr)[1]), [[0.0, 0.5, 1.0], [1.0, 0.8, 0.4]])
    np.testing.assert_array_equal(points(series_of(plots.pr)[-1])[1], [0.4, 0.4])
    assert roc[0].GetColor() != roc[1].GetColor()
    for chart in (plots.roc, plots.pr):
        assert chart.GetTitle().startswith("SYNTHETIC")
        assert chart.GetYAxisRange() == (0, 1)
        assert chart.GetXAxisRange()[1] > 1.5, "the legend hides the curves' ends"


def test_bars_stand_in_groups_that_the_axis_names(scene) -> None:
    bars = Results.showPlots(scene, run_results()).bars
    series = series_of(bars)
    assert [one.GetName() for one in series] == [MODELS["pet"].title, MODELS["pet_ct_labs"].title]
    from vtk.util.numpy_support import vtk_to_numpy

    for one, expected in zip(series, ((0.60, 0.50, 0.55), (0.65, 0.55, 0.55)), strict=True):
        assert one.GetPlotTypeAsString(one.GetPlotType()) == "Bar"
        column = one.GetTableNode().GetTable().GetColumnByName(one.GetYColumnName())
        np.testing.assert_allclose(vtk_to_numpy(column), expected)
    assert bars.GetXAxisTitle() == "0 = AUROC · 1 = AUPRC · 2 = Accuracy"


def test_real_results_are_not_called_synthetic(scene) -> None:
    assert "SYNTHETIC" not in Results.showTableTwo(scene, run_results(synthetic=False)).GetName()
    assert "SYNTHETIC" not in Results.showPlots(scene, run_results(synthetic=False)).roc.GetTitle()


def test_showing_again_keeps_the_nodes_and_leaves_none_behind(scene) -> None:
    first = (Results.showTableTwo(scene, run_results()), *plots(scene, run_results()))
    count = scene.GetNumberOfNodes()
    again = (Results.showTableTwo(scene, run_results()), *plots(scene, run_results()))
    assert scene.GetNumberOfNodes() == count
    assert all(one is other for one, other in zip(first, again, strict=True))
    more = run_results(("pet", "ct", "pet_ct_labs"))
    assert len(series_of(Results.showPlots(scene, more).roc)) == 4
    plots(scene, run_results())
    assert scene.GetNumberOfNodes() == count


def test_a_deleted_series_or_chart_is_no_hindrance(scene) -> None:
    shown = Results.showPlots(scene, run_results())
    scene.RemoveNode(series_of(shown.roc)[0])
    scene.RemoveNode(shown.pr)
    again = Results.showPlots(scene, run_results())
    assert len(series_of(again.roc)) == len(series_of(again.pr)) == 3


def test_titles_stand_above_the_columns(scene) -> None:
    """Slicer's table view would otherwise head the columns A, B, C."""
    for node in (Results.showTableTwo(scene, run_results()), Results.showTableOne(scene, TableOne(()))):
        assert node.GetUseColumnTitleAsColumnHeader()


def test_table_one(scene) -> None:
    rows = (
        TableRow("Age", "years", Spread(3, 60, 50, 70), Spread(1, 50, 50, 50), None, 0.0001, missing=2),
        TableRow("Sex", "female", Share(1, 3), Share(0, 1), Share(1, 2), 1.0),
    )
    node = Results.showTableOne(scene, TableOne(rows), synthetic=True)
    assert cells(node) == [
        ["Age", "years", "60 (50–70)", "50 (50–50)", "–", "< 0.001", "2"],
        ["Sex", "female", "1 (33%)", "0 (0%)", "1 (50%)", "1.000", ""],
    ]
    assert node.GetName().startswith("SYNTHETIC")


def plots(scene, results) -> tuple:
    shown = Results.showPlots(scene, results)
    return (shown.roc, shown.pr, shown.bars)
