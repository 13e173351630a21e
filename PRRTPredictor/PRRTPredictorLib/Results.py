"""A run's results and a cohort's Table 1 as Slicer's table and plot nodes.

Showing again replaces the content: a table or chart keeps its node, so that views go on showing it, and nothing is left
behind. Marked by an attribute, the nodes are found again in a saved scene.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PRRTPredictorCore.cohort.describe import TableOne, printed_p
from PRRTPredictorCore.evaluation.results import Curve, MetricValue, ModelResult, RunResults
from PRRTPredictorCore.evaluation.summary import interval, mean_and_error
from PRRTPredictorCore.records import RESEARCH_USE_NOTICE
from PRRTPredictorCore.report.style import MODEL_COLOURS, OTHER_COLOUR
from PRRTPredictorLib.Translation import tr as _
from PRRTPredictorLib.Views import nodesOf
from PRRTPredictorLib.Volumes import mrml

ROLE_ATTRIBUTE = "PRRTPredictor.Results"

_METRICS = (_("AUROC"), _("AUPRC"), _("Accuracy"))
_CURVES_AND_LEGEND = (0.0, 1.7)
_BARS_AND_LEGEND = (-0.5, 3.8)
"""Slicer puts the legend over the right end of a chart: the axes run on below it, so that it hides nothing."""


@dataclass(frozen=True)
class PlotNodes:
    """The charts of a run (vtkMRMLPlotChartNode): ROC curves, precision-recall curves and bars of the metrics."""

    roc: Any
    pr: Any
    bars: Any


def showTableTwo(scene: Any, results: RunResults) -> Any:
    """Put the paper's Table 2 of a run into a table node (vtkMRMLTableNode), one row a model."""
    cells = (_("{metric} ± SE"), _("{metric} [95 % interval]"))
    header = [_("Model"), *(cell.format(metric=metric) for metric in _METRICS for cell in cells)]
    rows = []
    for model in results.models:
        metrics = (cell for metric in _metrics(model) for cell in (mean_and_error(metric), interval(metric.ci95)))
        fits = results.folds * results.repeats
        rows.append((model.title, *metrics, _("{n} of {total}").format(n=model.collapsed_folds, total=fits)))
    title = _title(_("Table 2: discrimination"), results.synthetic)
    return _fillTable(scene, "tableTwo", title, (*header, _("Collapsed fits")), rows)


def showTableOne(scene: Any, table: TableOne, *, synthetic: bool = False) -> Any:
    """Put a cohort's Table 1 into a table node (vtkMRMLTableNode), one row a characteristic."""
    header = (_("Characteristic"), "", _("All"), _("PFS ≤ 1 year"), _("PFS > 1 year"), "p", _("Missing"))
    rows = []
    for row in table.rows:
        cells = ("–" if cell is None else str(cell) for cell in (row.total, row.short, row.long))
        rows.append((row.section, row.label, *cells, printed_p(row.p), str(row.missing or "")))
    return _fillTable(scene, "tableOne", _title(_("Table 1: patients"), synthetic), header, rows)


def showPlots(scene: Any, results: RunResults) -> PlotNodes:
    """Draw a run's ROC and precision-recall curves and the bars of its metrics as chart nodes."""
    return PlotNodes(
        roc=_rocChart(scene, results),
        pr=_precisionRecallChart(scene, results),
        bars=_barChart(scene, results),
    )


# --- charts -----------------------------------------------------------------------------------------------------------


def _rocChart(scene: Any, results: RunResults) -> Any:
    chart = _emptyChart(scene, "roc", _title(_("ROC, out-of-fold"), results.synthetic))
    chart.SetXAxisTitle(_("1 − specificity"))
    chart.SetYAxisTitle(_("Sensitivity"))
    for model in results.models:
        _addCurve(scene, chart, "roc", f"{model.title}  {_mean(model.auroc)}", model.roc, _colour(model.name))
    _addReference(scene, chart, "roc", _("Chance  0.50"), Curve((0.0, 1.0), (0.0, 1.0)))
    return chart


def _precisionRecallChart(scene: Any, results: RunResults) -> Any:
    chart = _emptyChart(scene, "pr", _title(_("Precision–recall, out-of-fold"), results.synthetic))
    chart.SetXAxisTitle(_("Recall"))
    chart.SetYAxisTitle(_("Precision"))
    for model in results.models:
        _addCurve(scene, chart, "pr", f"{model.title}  {_mean(model.auprc)}", model.pr, _colour(model.name))
    prevalence = results.prevalence_long
    title = _("Prevalence  {share}").format(share=f"{prevalence:.2f}")
    _addReference(scene, chart, "pr", title, Curve((0.0, 1.0), (prevalence, prevalence)))
    return chart


def _barChart(scene: Any, results: RunResults) -> Any:
    """Three groups of bars, one bar a model; Slicer numbers the groups, so that the axis title names them."""
    import vtk

    slicer = mrml()
    chart = _emptyChart(scene, "bars", _title(_("Metrics, mean over repeats"), results.synthetic))
    chart.SetXAxisTitle(" · ".join(f"{place} = {metric}" for place, metric in enumerate(_METRICS)))
    chart.SetYAxisTitle("")
    table = _addNode(scene, "vtkMRMLTableNode", "bars part", _("Metrics"))
    labels = vtk.vtkStringArray()
    labels.SetName("Metric")
    for metric in _METRICS:
        labels.InsertNextValue(metric)
    table.AddColumn(labels)
    for model in results.models:
        table.AddColumn(_numbers(model.title, tuple(metric.mean for metric in _metrics(model))))
        series = _addNode(scene, "vtkMRMLPlotSeriesNode", "bars part", model.title)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
        series.SetYColumnName(model.title)
        series.SetLabelColumnName("Metric")
        series.SetColor(*_colour(model.name))
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    return chart


def _emptyChart(scene: Any, role: str, title: str) -> Any:
    """The chart node of that role without series, its axes with room for the legend."""
    for node in _own(scene, f"{role} part"):
        scene.RemoveNode(node)
    chart = next(iter(_own(scene, role)), None) or _addNode(scene, "vtkMRMLPlotChartNode", role, title)
    chart.RemoveAllPlotSeriesNodeIDs()
    chart.SetName(title)
    chart.SetTitle(title.partition(". ")[0])  # the whole notice is wider than a plot view; the name has it
    chart.SetTitleFontSize(12)
    chart.SetLegendFontSize(12)
    chart.SetAxisTitleFontSize(13)
    chart.SetXAxisRangeAuto(False)
    chart.SetXAxisRange(*(_BARS_AND_LEGEND if role == "bars" else _CURVES_AND_LEGEND))
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0.0, 1.0)
    return chart


def _addCurve(
    scene: Any, chart: Any, role: str, name: str, curve: Curve, colour: tuple[float, float, float]
) -> Any | None:
    """Draw a line through the points of a curve; None for a curve without points."""
    if not curve.x:
        return None
    kinds = mrml().vtkMRMLPlotSeriesNode
    table = _addNode(scene, "vtkMRMLTableNode", f"{role} part", name)
    table.AddColumn(_numbers("x", curve.x))
    table.AddColumn(_numbers("y", curve.y))
    series = _addNode(scene, "vtkMRMLPlotSeriesNode", f"{role} part", name)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetPlotType(kinds.PlotTypeScatter)
    series.SetXColumnName("x")
    series.SetYColumnName("y")
    series.SetMarkerStyle(kinds.MarkerStyleNone)
    series.SetLineStyle(kinds.LineStyleSolid)
    series.SetLineWidth(2)
    series.SetColor(*colour)
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    return series


def _addReference(scene: Any, chart: Any, role: str, name: str, curve: Curve) -> None:
    """The dashed line of a model without skill."""
    series = _addCurve(scene, chart, role, name, curve, _rgb(OTHER_COLOUR))
    if series is not None:
        series.SetLineStyle(mrml().vtkMRMLPlotSeriesNode.LineStyleDash)
        series.SetLineWidth(1)


# --- nodes ------------------------------------------------------------------------------------------------------------


def _fillTable(scene: Any, role: str, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    import vtk

    content = vtk.vtkTable()
    for place, name in enumerate(header):
        column = vtk.vtkStringArray()
        column.SetName(name or " ")
        for row in rows:
            column.InsertNextValue(row[place])
        content.AddColumn(column)
    node = next(iter(_own(scene, role)), None) or _addNode(scene, "vtkMRMLTableNode", role, title)
    node.SetName(title)
    node.SetLocked(True)
    node.SetUseColumnTitleAsColumnHeader(True)  # else Slicer heads the columns A, B, C and shows the titles as a row
    node.SetAndObserveTable(content)
    return node


def _addNode(scene: Any, className: str, role: str, name: str) -> Any:
    node = scene.AddNewNodeByClass(className, name)
    node.SetAttribute(ROLE_ATTRIBUTE, role)
    return node


def _own(scene: Any, role: str) -> list[Any]:
    classes = ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode")
    return [node for name in classes for node in nodesOf(scene, name) if node.GetAttribute(ROLE_ATTRIBUTE) == role]


def _metrics(model: ModelResult) -> tuple[MetricValue, ...]:
    return (model.auroc, model.auprc, model.accuracy)


def _mean(metric: MetricValue) -> str:
    return f"{metric.mean:.2f}" if math.isfinite(metric.mean) else "–"


def _numbers(name: str, values: Sequence[float]) -> Any:
    import vtk

    column = vtk.vtkDoubleArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(value)
    return column


def _colour(model: str) -> tuple[float, float, float]:
    return _rgb(MODEL_COLOURS.get(model, OTHER_COLOUR))


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return (red, green, blue)


def _title(what: str, synthetic: bool) -> str:
    return f"{'SYNTHETIC · ' if synthetic else ''}{what} · {RESEARCH_USE_NOTICE}"
