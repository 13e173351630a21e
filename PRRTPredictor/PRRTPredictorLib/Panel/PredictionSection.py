"""The section Prediction: which model, where it computes, Predict, and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import ctk
import slicer
from slicer.i18n import tr as _

from PRRTPredictorCore.cohort.labs import lab_title
from PRRTPredictorCore.errors import Cancelled, LabRefused, PRRTError
from PRRTPredictorCore.models.bundle_files import METADATA
from PRRTPredictorCore.prediction.card import ModelCard
from PRRTPredictorCore.records import LABS
from PRRTPredictorLib.Messages import reporting, showError
from PRRTPredictorLib.Panel import Panel, Section, StoredResult
from PRRTPredictorLib.Panel.Fields import Choice, ChoiceField, Field, PathField
from PRRTPredictorLib.Panel.ModelCardView import cardHtml
from PRRTPredictorLib.Panel.Pictures import Picture, chartOptions
from PRRTPredictorLib.Panel.ResultView import resultHtml, warningsHtml
from PRRTPredictorLib.Panel.StoredResult import AskedFor
from PRRTPredictorLib.Panel.Words import badge, paragraph, refusalHtml, stepTitle, timeLeft
from PRRTPredictorLib.Volumes import removeVolumeNode


def deviceChoices() -> tuple[Choice, ...]:
    """Where torch may compute."""
    return (
        Choice("auto", _("Automatic"), _("The graphics card where there is a usable one, else the processor.")),
        Choice("cpu", _("Processor (CPU)"), _("Works everywhere.")),
        Choice("cuda", _("Graphics card (CUDA)"), _("Fails with a message where there is no usable NVIDIA card.")),
    )


@dataclass(frozen=True)
class _Model:
    """The model folder as it was read last: its card, or why there is none."""

    folder: Path
    card: ModelCard | None
    refusal: PRRTError | None
    stamp: tuple[int, ...]


class PredictionSection(Section):
    """Model card, Predict, progress and the result."""

    buttonName: ClassVar[str] = "predictionCollapsibleButton"

    def __init__(self, ui: Any, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._model: _Model | None = None
        self._job: Any | None = None
        self._asked: AskedFor | None = None
        self._shown: tuple[Any, ...] | None = None
        self._fields: tuple[Field, ...] = ()

    def connectWidgets(self) -> None:
        """Connect signals and finish what a .ui file cannot say."""
        self.ui.modelPathLineEdit.filters = ctk.ctkPathLineEdit.Dirs
        self._fields = (
            PathField("modelFolder", self.ui.modelPathLineEdit),
            ChoiceField("device", self.ui.deviceComboBox, deviceChoices()),
        )
        self._labChart = Picture(self.ui.labChartLabel)
        self._survivalChart = Picture(self.ui.survivalChartLabel)
        self.ui.predictionNoticeLabel.setText(f"<i>{escape(_('Research use only. Not a diagnostic device.'))}</i>")
        self.ui.predictButton.connect("clicked(bool)", self.onPredict)
        self.ui.predictionCancelButton.connect("clicked(bool)", self.onCancel)
        self._say("")
        self._showRunning(False)
        self._showResult(None)

    def enter(self) -> None:
        """Look at the model folder again; it may have changed while another module was shown."""
        self._model = None
        self.refresh()

    def setParameterNode(self, node: Any | None) -> None:
        """Begin to work on another parameter node."""
        for field in self._fields:
            field.bind(node)
        self._shown = None
        if node is None:
            self._showResult(None)
        else:
            self._say("")
        super().setParameterNode(node)

    def refresh(self) -> None:
        """Show the model's card, the kept result and what is still missing."""
        node = self.panel.parameterNode
        if node is None:
            return
        for field in self._fields:
            field.refresh()
        self._readModel(node.modelFolder)
        missing = self.missing()
        self.ui.predictButton.setEnabled(not missing and self._job is None)
        self.ui.predictButton.toolTip = " ".join(missing) or _(
            "Predict progression-free survival for the study and laboratory values above."
        )
        self._setText(self.ui.predictionMissingLabel, "<br>".join(map(escape, missing)) if self._job is None else "")
        self._showResult(node)

    # --- what the user does

    def onPredict(self, _checked: bool = False) -> None:
        """Start the prediction in a child process."""
        if self._job is not None:
            return
        with reporting():
            node = self.panel.parameterNode
            sheet = self.panel.labSheet()
            self._asked = StoredResult.askedFor(node, sheet)
            self._say(_("Starting …"))
            self.ui.predictionProgressBar.setRange(0, 0)
            self._showRunning(True)
            try:
                self._job = self.panel.logic.start(
                    node.petVolume,
                    node.ctVolume,
                    sheet,
                    node.modelFolder,
                    node.device,
                    assumeUnits=node.assumeUnits,
                    chartOptions=chartOptions(self.ui.labChartLabel),
                    onProgress=self._onProgress,
                    onFinished=self._onFinished,
                    onFailed=self._onFailed,
                )
                self.panel.jobs.add(self._job)
            finally:
                if self._job is None:  # refused before it began; the error goes on to reporting()
                    self._model = None  # it may be the model: look at it again
                    self._ended("")
            self.refresh()

    def onCancel(self, _checked: bool = False) -> None:
        """Stop the prediction; nothing of it is kept."""
        if self._job is not None:
            self._say(_("Cancelling …"))
            with reporting():
                self._job.cancel()

    # --- what the job tells

    def _onProgress(self, progressed: Any) -> None:
        self.ui.predictionProgressBar.setRange(0, progressed.total)
        self.ui.predictionProgressBar.setValue(progressed.done)
        step = stepTitle(progressed.message) if progressed.message else _("Predicting")
        self._say(escape(", ".join(part for part in (step, timeLeft(progressed.etaSeconds)) if part)))

    def _onFinished(self, outcome: Any) -> None:
        asked, node = self._asked, self.panel.parameterNode
        self._ended("")
        if node is None or asked is None or None in (asked.pet.GetScene(), asked.ct.GetScene()):
            self._say(escape(_("The study has left the scene meanwhile; the result was discarded.")))
            return
        former = (node.petSaliency, node.ctSaliency)
        nodes = self.panel.logic.addResult(outcome, asked.pet)
        with slicer.util.NodeModify(node):
            node.petSaliency, node.ctSaliency = nodes.pet, nodes.ct
            if nodes.ct is not None and nodes.pet is None:
                node.saliencyOf = "CT"
            elif nodes.pet is not None and nodes.ct is None:
                node.saliencyOf = "PET"
            StoredResult.store(node, outcome.document, outcome.charts, asked)
        for old in former:
            if old is not None and old is not nodes.pet and old is not nodes.ct:
                removeVolumeNode(old)

    def _onFailed(self, error: PRRTError) -> None:
        if isinstance(error, Cancelled):
            self._ended(escape(_("Cancelled.")))
            return
        self._model = None
        self._ended(refusalHtml(error))
        showError(error)

    def _ended(self, said: str) -> None:
        self._job = self._asked = None
        self._showRunning(False)
        self._say(said)
        self.refresh()

    # --- what is missing

    def missing(self) -> list[str]:
        """What the user still has to give before Predict works, one sentence each."""
        node = self.panel.parameterNode
        volumes = ((_("PET"), node.petVolume), (_("CT"), node.ctVolume))
        absent = [title for title, volume in volumes if volume is None]
        same = None not in (node.petVolume, node.ctVolume) and node.petVolume is node.ctVolume
        sheet = self.panel.labSheet()
        absent += [lab_title(name) for name, entry in sheet.entries().items() if not entry.given]
        if node.modelFolder == Path():
            absent.append(_("model folder"))
        found = [_("Still missing: {names}.").format(names=", ".join(absent))] if absent else []
        if same:  # as a volume selector may choose by itself when the user deletes a volume
            found.append(_("PET and CT are the same volume."))
        if not any(lab_title(name) in absent for name in LABS):
            try:
                sheet.labs()
            except LabRefused as refusal:
                found.append(refusal.message)
        if self._model is not None and self._model.refusal is not None:
            found.append(_("The model folder cannot be used."))
        elif self._model is not None and self._model.card is not None:
            found += _unfillable(self._model.card)
        return found

    # --- what is seen

    def _readModel(self, folder: Path) -> None:
        """Read the card of another folder, and say in place why one cannot be used."""
        stamp = _stamp(folder)
        if self._model is not None and (self._model.folder, self._model.stamp) == (folder, stamp):
            return
        card, refusal = None, None
        if folder != Path():
            try:
                card = self.panel.logic.card(folder)
            except PRRTError as error:
                refusal = error
        self._model = _Model(folder, card, refusal, stamp)
        text = cardHtml(card) if card else f"{badge(_('Unusable'))} {refusalHtml(refusal)}" if refusal else ""
        self._setText(self.ui.modelCardLabel, text)

    def _showResult(self, node: Any | None) -> None:
        """Show the kept result while it belongs to the volumes shown; say when labs or model have changed since."""
        if node is None or not StoredResult.isOfTheseVolumes(node):
            self.ui.predictionResultFrame.hide()
            self._shown = None
            return
        current = StoredResult.isOfTheseInputs(node, StoredResult.askedFor(node, self.panel.labSheet()))
        if self._shown == (node.prediction, current):
            return
        self._shown = (node.prediction, current)
        self.ui.predictionResultFrame.show()
        try:
            document = StoredResult.stored(node)
        except PRRTError as error:
            self._setText(self.ui.predictionResultLabel, refusalHtml(error))
            for label in (self.ui.predictionWarningsLabel, self.ui.labChartLabel, self.ui.survivalChartLabel):
                label.hide()
            return
        changed = _("Laboratory values or model have changed since: predict again.")
        stale = "" if current else paragraph(f"{badge(_('Out of date'))} {escape(changed)}")
        self._setText(self.ui.predictionResultLabel, stale + resultHtml(document))
        self._setText(self.ui.predictionWarningsLabel, warningsHtml(document))
        self._labChart.show(StoredResult.chart(node, "lab_contributions"))
        self._survivalChart.show(StoredResult.chart(node, "survival"))

    def _showRunning(self, running: bool) -> None:
        """Progress and Cancel while it runs; what the run was started with must not change meanwhile."""
        self.ui.predictionProgressBar.setVisible(running)
        self.ui.predictionCancelButton.setVisible(running)
        for widget in (self.ui.modelPathLineEdit, self.ui.deviceComboBox):
            widget.setEnabled(not running)
        if running:
            self.ui.predictButton.setEnabled(False)

    def _say(self, html: str) -> None:
        self._setText(self.ui.predictionStatusLabel, html)

    @staticmethod
    def _setText(label: Any, html: str) -> None:
        """An empty label takes no room."""
        label.setText(html)
        label.setVisible(bool(html))


def _stamp(folder: Path) -> tuple[int, ...]:
    """When the model in ``folder`` was put there, roughly; changes when the folder is replaced, removed or restored."""
    stamp = []
    for path in (folder, folder / METADATA) if folder != Path() else ():
        try:
            stamp.append(path.stat().st_mtime_ns)
        except OSError:
            stamp.append(0)
    return tuple(stamp)


def _unfillable(card: ModelCard) -> list[str]:
    """Inputs that the panel has no field for."""
    extras = [name for name in card.tabular_names if name not in LABS]
    if not extras:
        return []
    return [
        _("This model also needs {names}, which the panel has no field for: use “prrt predict --extra”.").format(
            names=", ".join(extras)
        )
    ]
