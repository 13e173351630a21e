"""The section Prediction: which model, where it computes, Predict, and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import ctk
import slicer
from slicer.i18n import tr as _

from PRRTPredictorCore.cohort.labs import lab_title
from PRRTPredictorCore.errors import LabRefused, PRRTError
from PRRTPredictorCore.models.bundle_files import METADATA
from PRRTPredictorCore.prediction.card import ModelCard
from PRRTPredictorCore.records import LABS
from PRRTPredictorLib.Messages import reporting
from PRRTPredictorLib.Panel import Panel, StoredResult
from PRRTPredictorLib.Panel.Fields import Choice, ChoiceField, PathField
from PRRTPredictorLib.Panel.JobSection import JobSection, JobWidgets
from PRRTPredictorLib.Panel.Labels import showText
from PRRTPredictorLib.Panel.ModelCardView import cardHtml
from PRRTPredictorLib.Panel.Pictures import Picture, chartOptions
from PRRTPredictorLib.Panel.ResultView import resultHtml, warningsHtml
from PRRTPredictorLib.Panel.StoredResult import AskedFor
from PRRTPredictorLib.Panel.Words import HasProgress, badge, paragraph, refusalHtml, stepTitle, timeLeft
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


class PredictionSection(JobSection):
    """Model card, Predict, progress and the result."""

    def __init__(self, ui: Any, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._model: _Model | None = None
        self._shown: tuple[Any, ...] | None = None

    def connectWidgets(self) -> None:
        """Connect signals and finish what a .ui file cannot say."""
        self.ui.modelPathLineEdit.filters = ctk.ctkPathLineEdit.Dirs
        self.fields = (
            PathField("modelFolder", self.ui.modelPathLineEdit),
            ChoiceField("device", self.ui.deviceComboBox, deviceChoices()),
        )
        self._labChart = Picture(self.ui.labChartLabel)
        self._survivalChart = Picture(self.ui.survivalChartLabel)
        self.ui.predictionNoticeLabel.setText(f"<i>{escape(_('Research use only. Not a diagnostic device.'))}</i>")
        self.ui.predictButton.connect("clicked(bool)", self.onPredict)
        super().connectWidgets()
        self._showResult(None)

    def jobWidgets(self) -> JobWidgets:
        """The widgets around a prediction."""
        ui = self.ui
        return JobWidgets(
            progressBar=ui.predictionProgressBar,
            cancelButton=ui.predictionCancelButton,
            statusLabel=ui.predictionStatusLabel,
            startButtons=(ui.predictButton,),
            frozen=(ui.modelPathLineEdit, ui.deviceComboBox),
        )

    def enter(self) -> None:
        """Look at the model folder again; it may have changed while another module was shown."""
        self._model = None
        self.refresh()

    def setParameterNode(self, node: Any | None) -> None:
        """Begin to work on another parameter node."""
        self._shown = None
        if node is None:
            self._showResult(None)
        else:
            self.say("")
        super().setParameterNode(node)

    def show(self, node: Any) -> None:
        """Show the model's card, the kept result and what is still missing."""
        self._readModel(node.modelFolder)
        missing = self.missing()
        self.ui.predictButton.setEnabled(not missing and self.idle)
        self.ui.predictButton.toolTip = " ".join(missing) or _(
            "Predict progression-free survival for the study and laboratory values above."
        )
        showText(self.ui.predictionMissingLabel, "<br>".join(map(escape, missing)) if self.idle else "")
        self._showResult(node)

    # --- what the user does

    def onPredict(self, _checked: bool = False) -> None:
        """Start the prediction in a child process."""
        with reporting():
            node = self.panel.parameterNode
            sheet = self.panel.labSheet()
            asked = StoredResult.askedFor(node, sheet)
            self.begin(
                self.panel.logic.start,
                node.petVolume,
                node.ctVolume,
                sheet,
                node.modelFolder,
                node.device,
                assumeUnits=node.assumeUnits,
                chartOptions=chartOptions(self.ui.labChartLabel),
                onFinished=lambda outcome: self._onPredicted(outcome, asked),
            )

    # --- what the job tells

    def inWords(self, progressed: HasProgress) -> str:
        """The step of the prediction, and the time left."""
        step = stepTitle(progressed.message) if progressed.message else _("Predicting")
        return ", ".join(part for part in (step, timeLeft(progressed.etaSeconds)) if part)

    def lookAgain(self) -> None:
        """It may be the model."""
        self._model = None

    def _onPredicted(self, outcome: Any, asked: AskedFor) -> None:
        """Keep the result with the scene, in the place of the former one."""
        node = self.panel.parameterNode
        self.ended()
        if node is None or None in (asked.pet.GetScene(), asked.ct.GetScene()):
            self.say(escape(_("The study has left the scene meanwhile; the result was discarded.")))
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
        showText(self.ui.modelCardLabel, text)

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
            showText(self.ui.predictionResultLabel, refusalHtml(error))
            for label in (self.ui.predictionWarningsLabel, self.ui.labChartLabel, self.ui.survivalChartLabel):
                label.hide()
            return
        changed = _("Laboratory values or model have changed since: predict again.")
        stale = "" if current else paragraph(f"{badge(_('Out of date'))} {escape(changed)}")
        showText(self.ui.predictionResultLabel, stale + resultHtml(document))
        showText(self.ui.predictionWarningsLabel, warningsHtml(document))
        self._labChart.show(StoredResult.chart(node, "lab_contributions"))
        self._survivalChart.show(StoredResult.chart(node, "survival"))


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
