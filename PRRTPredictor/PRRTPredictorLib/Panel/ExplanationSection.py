"""The section Explanation: where the model looked, over the CT; and everything that may leave, without identity."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from PRRTPredictorCore.errors import PRRTError
from PRRTPredictorCore.prediction.card import ModelCard
from PRRTPredictorLib import Export
from PRRTPredictorLib.Display import SaliencyDisplay
from PRRTPredictorLib.Messages import reporting
from PRRTPredictorLib.Panel import Panel, Section, StoredResult
from PRRTPredictorLib.Panel.Ask import Asks, AskUser
from PRRTPredictorLib.Panel.Fields import NodeField, RadioField
from PRRTPredictorLib.Panel.Fitting import breakLongText, stackLongRows
from PRRTPredictorLib.Panel.Labels import showText
from PRRTPredictorLib.Scene import INFERNO, PET_HEAT


class ExplanationSection(Section):
    """Saliency controls, which act at once, and exports.

    Parameters
    ----------
    display : SaliencyDisplay, optional
    export : module, optional
        Gives the functions of ``PRRTPredictorLib.Export``.
    asks : Asks, optional
        Where to write.
    """

    def __init__(
        self, ui: Any, panel: Panel, *, display: Any | None = None, export: Any = Export, asks: Asks | None = None
    ) -> None:
        super().__init__(ui, panel)
        self._display = display or SaliencyDisplay(panel.scene)
        self._export = export
        self.asks = asks or AskUser()
        self._shown: tuple[Any, ...] = ()
        self._applied: dict[str, Any] = {}

    def connectWidgets(self) -> None:
        """Connect signals and finish what a .ui file cannot say."""
        ui = self.ui
        self._buttons = {"PET": ui.petSaliencyRadioButton, "CT": ui.ctSaliencyRadioButton}
        self.fields = (RadioField("saliencyOf", self._buttons), NodeField("colour", ui.colourComboBox))
        self._ofTheMap = (
            ui.thresholdSliderWidget,
            ui.opacitySliderWidget,
            ui.colourComboBox,
            ui.surfaceCheckBox,
            ui.hottestSpotButton,
            ui.exportSaliencyButton,
        )
        breakLongText(ui.hottestSpotButton)
        stackLongRows(ui.exportPagesRow, ui.exportDataRow)
        ui.hottestSpotButton.connect("clicked(bool)", self.onJump)
        ui.exportReportButton.connect("clicked(bool)", self.onExportReport)
        ui.exportScreenshotsButton.connect("clicked(bool)", self.onExportScreenshots)
        ui.exportSaliencyButton.connect("clicked(bool)", self.onExportSaliency)
        ui.exportSceneButton.connect("clicked(bool)", self.onExportScene)
        self._say("")
        self._showReason()

    def setParameterNode(self, node: Any | None) -> None:
        """Begin to work on another parameter node; without one nothing is shown."""
        if node is not None and node.colour is None:
            scene = self.panel.scene
            node.colour = scene.GetNodeByID(INFERNO) or scene.GetNodeByID(PET_HEAT)
        if node is None:
            self._clear()
            self._showReason()
        self._say("")
        super().setParameterNode(node)

    def show(self, node: Any) -> None:
        """Show the chosen saliency; whatever has not changed is left alone."""
        self._showReason()
        saliency = self.saliencyNode()
        with reporting():
            if saliency is None:
                self._clear()
                return
            wanted = (node.petVolume, node.ctVolume, saliency)
            if wanted != self._shown:
                self._display.show(*wanted)
                self._shown, self._applied = wanted, {}
            self._apply("threshold", node.threshold, self._display.setThreshold)
            self._apply("opacity", node.opacity, self._display.setOpacity)
            self._apply("colour", node.colour, self._display.setColour)
            self._apply("surface", node.surface, self._display.setSurfaceVisible)

    def close(self) -> None:
        """Leave no overlay behind."""
        self._clear()

    def saliencyNode(self) -> Any | None:
        """The saliency to be shown; None where there is none, or it belongs to other volumes than those chosen."""
        node = self.panel.parameterNode
        if node is None or not StoredResult.isOfTheseVolumes(node):
            return None
        return node.petSaliency if node.saliencyOf == "PET" else node.ctSaliency

    # --- what the user does

    def onJump(self, _checked: bool = False) -> None:
        """Bring the planes to the hottest spot."""
        with reporting():
            self._display.jumpToHottest()

    def onExportReport(self, _checked: bool = False) -> None:
        """Write the patient's report."""
        node = self.panel.parameterNode

        def write(path: Path) -> None:
            with tempfile.TemporaryDirectory(prefix="prrt-charts-") as folder:
                self._export.exportReport(
                    path,
                    StoredResult.stored(node),
                    self._card(node.modelFolder),
                    self.panel.labSheet().labs(),
                    petNode=node.petVolume,
                    ctNode=node.ctVolume,
                    saliencyNode=self.saliencyNode(),
                    charts=StoredResult.chartFiles(node, Path(folder)),
                    database=self.panel.database,
                    assumeUnits=node.assumeUnits,
                )

        self._exportFile(_("Report without identity"), "prrt-report.html", _("Web page (*.html)"), write)

    def onExportScreenshots(self, _checked: bool = False) -> None:
        """Write pictures of the views."""
        folder = self.asks.folder(_("Folder for screenshots without identity"))
        if folder is None:
            return
        node = self.panel.parameterNode
        with reporting():
            self._export.exportScreenshots(
                folder,
                node.petVolume,
                node.ctVolume,
                self.saliencyNode(),
                database=self.panel.database,
                assumeUnits=node.assumeUnits,
            )
            self._written(folder)

    def onExportSaliency(self, _checked: bool = False) -> None:
        """Write the saliency that is shown."""
        node = self.panel.parameterNode
        name = f"prrt-saliency-{node.saliencyOf.lower()}.nrrd"
        self._exportFile(
            _("Saliency without identity"),
            name,
            _("NRRD volume (*.nrrd)"),
            lambda path: self._export.exportSaliency(self.saliencyNode(), path),
        )

    def onExportScene(self, _checked: bool = False) -> None:
        """Write a scene that opens as the fused view."""
        node = self.panel.parameterNode
        self._exportFile(
            _("Scene without identity"),
            "prrt-scene.mrb",
            _("Slicer scene (*.mrb)"),
            lambda path: self._export.exportScene(
                node.petVolume,
                node.ctVolume,
                self.saliencyNode(),
                path,
                database=self.panel.database,
                assumeUnits=node.assumeUnits,
            ),
        )

    # --- inside

    def _exportFile(self, title: str, name: str, pattern: str, write: Callable[[Path], Any]) -> None:
        path = self.asks.file(title, name, pattern)
        if path is None:
            return
        with reporting():
            write(path)
            self._written(path)

    def _card(self, folder: Path) -> ModelCard | None:
        """The model's card, if its folder is still the one that answered."""
        try:
            return self.panel.logic.card(folder)
        except PRRTError:
            return None

    def _apply(self, name: str, value: Any, show: Callable[[Any], Any]) -> None:
        if name not in self._applied or self._applied[name] != value:
            show(value)
            self._applied[name] = value

    def _clear(self) -> None:
        if self._shown:
            self._shown, self._applied = (), {}
            with reporting():
                self._display.clear()

    def _showReason(self) -> None:
        """Enable what works, and say why the rest does not."""
        node = self.panel.parameterNode
        ofThese = node is not None and StoredResult.isOfTheseVolumes(node)
        maps = {"PET": node.petSaliency, "CT": node.ctSaliency} if ofThese else {}
        for name, button in self._buttons.items():
            button.setEnabled(maps.get(name) is not None)
        self.ui.explanationControls.setEnabled(ofThese)  # a result without saliency can be reported too
        shown = self.saliencyNode() is not None
        for widget in self._ofTheMap:
            widget.setEnabled(shown)
        current = ofThese and StoredResult.isOfTheseInputs(node, StoredResult.askedFor(node, self.panel.labSheet()))
        self.ui.exportReportButton.setEnabled(current)
        self.ui.exportReportButton.toolTip = (
            _("Write one HTML page with result, model, laboratory values and pictures, without identity.")
            if current
            else _("Laboratory values or model have changed since the prediction: predict again.")
        )
        reason = ""
        if node is None or not node.prediction:
            reason = _("Predict first: the model's saliency is shown here.")
        elif not ofThese:
            reason = _(
                "The latest prediction is of another study. Predict again to see where the model looks in this one."
            )
        elif not any(volume is not None for volume in maps.values()):
            reason = _("This model sees no images, so there is no saliency to show.")
        elif maps[node.saliencyOf] is None:
            reason = _("This model does not see the {image}.").format(image=node.saliencyOf)
        showText(self.ui.explanationReasonLabel, escape(reason))

    def _written(self, path: Path) -> None:
        link = f'<a href="{escape(path.absolute().as_uri())}">{escape(path.name)}</a>'
        self._say(_("Written without identity: {link}").format(link=link))

    def _say(self, html: str) -> None:
        showText(self.ui.exportStatusLabel, html)
