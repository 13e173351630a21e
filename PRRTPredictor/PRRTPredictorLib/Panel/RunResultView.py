"""The results of a run in the panel: Table 2, plots on request, and which model to use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from PRRTPredictorCore.evaluation.results import ModelResult, RunResults
from PRRTPredictorCore.evaluation.summary import mean_and_error
from PRRTPredictorCore.records import Notice
from PRRTPredictorLib.Messages import reporting
from PRRTPredictorLib.Panel.Fitting import stackLongRows
from PRRTPredictorLib.Panel.Words import badge, paragraph
from PRRTPredictorLib.TrainingLogic import CohortCheck

_ROWS_SEEN = 10


class RunResultView:
    """Fills the result frame and the two table views of the section Training.

    Parameters
    ----------
    ui, panel
        As a section gets them.
    results : module
        Gives the functions of ``PRRTPredictorLib.Results``.
    """

    def __init__(self, ui: Any, panel: Any, results: Any) -> None:
        self._ui, self._panel, self._results = ui, panel, results
        self.run: Path | None = None
        """The run whose results are shown."""
        self._shown: RunResults | None = None
        self._models: tuple[ModelResult, ...] = ()
        self._charts: tuple[Any, ...] = ()
        for view in (ui.tableOneView, ui.tableTwoView):
            view.verticalHeader().hide()
            view.verticalHeader().setDefaultSectionSize(round(1.5 * view.fontMetrics().height()))
        for title in (_("ROC curves"), _("Precision–recall curves"), _("Bars of the metrics")):
            ui.plotComboBox.addItem(title)
        stackLongRows(ui.plotRow, ui.deployRow)
        ui.showPlotsButton.connect("clicked(bool)", self.onShowPlots)
        ui.plotComboBox.connect("currentIndexChanged(int)", self.onChooseChart)
        self.clear()

    def clear(self, tableOne: bool = True) -> None:
        """Show nothing; the nodes stay in the scene, where the user may still want them."""
        self.run = self._shown = None
        self._models = self._charts = ()
        self._ui.trainingResultFrame.hide()
        if tableOne:
            self.showTableOne(None)

    def show(self, run: Path, results: RunResults, notices: Sequence[Notice] = ()) -> None:
        """Show Table 2 of a finished run and what is worth telling of it, and offer its models, the best first."""
        ui = self._ui
        self.run, self._shown = run, results
        self._models = tuple(sorted(results.models, key=_byAuroc))
        made = f"{badge('SYNTHETIC')} " if results.synthetic else ""
        said = _("{n} patients, {folds} folds × {repeats} repeats; long PFS in {share} %.").format(
            n=results.patients,
            folds=results.folds,
            repeats=results.repeats,
            share=f"{100 * results.prevalence_long:.0f}",
        )
        lines = (
            f"<b>{escape(_('Results'))}</b> {made}",
            escape(said),
            *(f"⚠ {escape(one.message)}" for one in notices),
        )
        ui.trainingResultLabel.setText("".join(map(paragraph, lines)))
        _showTable(ui.tableTwoView, self._results.showTableTwo(self._panel.scene, results))
        ui.deployComboBox.clear()
        for row, model in enumerate(self._models):
            ui.deployComboBox.addItem(model.title)
            ui.deployComboBox.setItemData(row, f"{model.title}, AUROC {mean_and_error(model.auroc)}", qt.Qt.ToolTipRole)
        ui.trainingResultFrame.show()

    def showTableOne(self, check: CohortCheck | None) -> None:
        """Show Table 1 of a checked cohort; None, or a cohort without any usable patient, hides it."""
        view = self._ui.tableOneView
        if check is None or check.tableOne is None:
            view.setMRMLTableNode(None)
            view.hide()
            return
        made = any(patient.synthetic for patient in check.cohort.patients)
        _showTable(view, self._results.showTableOne(self._panel.scene, check.tableOne, synthetic=made))
        view.show()

    def chosenModel(self) -> str:
        """Registry name of the model to be used for prediction."""
        return self._models[max(self._ui.deployComboBox.currentIndex, 0)].name

    def onShowPlots(self, _checked: bool = False) -> None:
        """Draw the charts and show the chosen one."""
        with reporting():
            plots = self._results.showPlots(self._panel.scene, self._shown)
            self._charts = (plots.roc, plots.pr, plots.bars)
            self._showChart()

    def onChooseChart(self, _index: int = 0) -> None:
        """Show another chart, once they are drawn."""
        if self._charts:
            with reporting():
                self._showChart()

    def _showChart(self) -> None:
        slicer.modules.plots.logic().ShowChartInLayout(self._charts[self._ui.plotComboBox.currentIndex])


def _byAuroc(model: ModelResult) -> tuple[bool, float]:
    undefined = math.isnan(model.auroc.mean)
    return undefined, 0.0 if undefined else -model.auroc.mean


def _showTable(view: Any, node: Any) -> None:
    """Show a table as high as its rows, up to a limit."""
    view.setMRMLTableNode(node)
    view.resizeColumnsToContents()
    rows = min(node.GetNumberOfRows(), _ROWS_SEEN) * view.verticalHeader().defaultSectionSize
    edges = view.horizontalHeader().sizeHint.height() + view.horizontalScrollBar().sizeHint.height()
    view.setFixedHeight(rows + edges + 2 * view.frameWidth)
