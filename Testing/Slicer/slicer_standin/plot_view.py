"""A plot view: vtkMRMLPlotChartNode with its series and tables, drawn by vtkChartXY as in Slicer."""

from __future__ import annotations

from typing import Any

import vtk

from .views import RenderedView

_FONTS = {"Arial": vtk.VTK_ARIAL, "Times": vtk.VTK_TIMES, "Courier": vtk.VTK_COURIER}


class PlotView(RenderedView):
    """Draws the chart that the plot view node names; nothing but white without one."""

    def __init__(self, logics: Any, node: Any, size: tuple[int, int]) -> None:
        super().__init__(logics, node, size)
        self._renderer.SetBackground(1, 1, 1)
        self._context = vtk.vtkContextActor()
        self._renderer.AddViewProp(self._context)
        self._context.GetScene().SetRenderer(self._renderer)
        self.chart: Any = None
        self._drawn: Any = None

    def update(self) -> None:
        """Draw the chart anew; plots are few, and stale ones would be worse than slow ones."""
        scene = self._context.GetScene()
        scene.ClearItems()
        self.chart = None
        chartNode = self._logics.scene.GetNodeByID(self.node.GetPlotChartNodeID() or "")
        if chartNode is None:
            return
        # Bars are drawn beside each other only by a fresh chart.
        self.chart = vtk.vtkChartXY()
        scene.AddItem(self.chart)
        for index in range(chartNode.GetNumberOfPlotSeriesNodes()):
            seriesNode = chartNode.GetNthPlotSeriesNode(index)
            if seriesNode is not None:
                self._addSeries(seriesNode)
        self._describe(chartNode)

    def _addSeries(self, node: Any) -> None:
        tableNode = node.GetTableNode()
        if tableNode is None:
            return
        table = tableNode.GetTable()
        isBar = node.GetPlotType() in (node.PlotTypeBar, node.PlotTypeScatterBar)
        column = table.GetColumnByName(node.GetYColumnName() or "")
        if column is None:
            return
        needsX = node.GetPlotType() in (node.PlotTypeScatter, node.PlotTypeScatterBar)
        if needsX and table.GetColumnByName(node.GetXColumnName() or "") is None:
            return
        plot = self.chart.AddPlot(vtk.vtkChart.BAR if isBar else vtk.vtkChart.LINE)
        if needsX:
            plot.SetInputData(table, node.GetXColumnName(), node.GetYColumnName())
        else:
            plot.SetUseIndexForXSeries(True)
            plot.SetInputData(table, node.GetYColumnName(), node.GetYColumnName())
        plot.SetLabel(node.GetName())
        red, green, blue = node.GetColor()
        plot.SetColorF(red, green, blue, node.GetOpacity())
        plot.SetWidth(node.GetLineWidth())
        if not isBar:
            plot.GetPen().SetLineType(node.GetLineStyle())
            plot.SetMarkerStyle(node.GetMarkerStyle())
            plot.SetMarkerSize(node.GetMarkerSize())
        labels = table.GetColumnByName(node.GetLabelColumnName() or "")
        if labels is not None:
            plot.SetIndexedLabels(labels)

    def _describe(self, node: Any) -> None:
        family = _FONTS.get(node.GetFontType(), vtk.VTK_ARIAL)
        self.chart.SetTitle((node.GetTitle() or "") if node.GetTitleVisibility() else "")
        self._font(self.chart.GetTitleProperties(), family, node.GetTitleFontSize())
        self.chart.SetShowLegend(node.GetLegendVisibility())
        self._font(self.chart.GetLegend().GetLabelProperties(), family, node.GetLegendFontSize())
        for place in (vtk.vtkAxis.BOTTOM, vtk.vtkAxis.LEFT):
            axis, letter = self.chart.GetAxis(place), "X" if place == vtk.vtkAxis.BOTTOM else "Y"
            isTitled = getattr(node, f"Get{letter}AxisTitleVisibility")()
            axis.SetTitle((getattr(node, f"Get{letter}AxisTitle")() or "") if isTitled else "")
            axis.SetLogScale(getattr(node, f"Get{letter}AxisLogScale")())
            axis.SetGridVisible(node.GetGridVisibility())
            self._font(axis.GetTitleProperties(), family, node.GetAxisTitleFontSize())
            self._font(axis.GetLabelProperties(), family, node.GetAxisLabelFontSize())
            if getattr(node, f"Get{letter}AxisRangeAuto")():
                axis.SetBehavior(vtk.vtkAxis.AUTO)
            else:
                limits = getattr(node, f"Get{letter}AxisRange")()
                axis.SetBehavior(vtk.vtkAxis.FIXED)
                axis.SetUnscaledRange(*limits)

    def _font(self, properties: Any, family: int, size: int) -> None:
        properties.SetFontFamily(family)
        properties.SetFontSize(size)
