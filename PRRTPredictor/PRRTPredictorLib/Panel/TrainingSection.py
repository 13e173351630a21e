"""The section Training: a cohort table in, a cross-validation run in the background, its results and a model out."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, ClassVar

import ctk
import qt
from slicer.i18n import tr as _

from PRRTPredictorCore.errors import Cancelled, PRRTError
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorLib import Results
from PRRTPredictorLib.Messages import reporting, showError
from PRRTPredictorLib.Panel import Panel, Section
from PRRTPredictorLib.Panel.CohortView import ViolationsView, cohortHtml
from PRRTPredictorLib.Panel.Fields import ChecklistField, Choice, ChoiceField, Field, PathField
from PRRTPredictorLib.Panel.PredictionSection import deviceChoices
from PRRTPredictorLib.Panel.Resizing import RowsFit
from PRRTPredictorLib.Panel.RunLog import RunLog, trainingWords
from PRRTPredictorLib.Panel.RunResultView import RunResultView
from PRRTPredictorLib.Panel.Words import refusalHtml
from PRRTPredictorLib.TrainingLogic import TrainingPlan


class TrainingSection(Section):
    """Cohort, plan, Start/Resume/Cancel, progress, log and results.

    Parameters
    ----------
    results : module, optional
        Gives the functions of ``PRRTPredictorLib.Results``.
    """

    buttonName: ClassVar[str] = "trainingCollapsibleButton"

    def __init__(self, ui: Any, panel: Panel, *, results: Any = Results) -> None:
        super().__init__(ui, panel)
        self._results = results
        self._job: Any | None = None
        self._known: tuple[TrainingPlan, str, PRRTError | None] | None = None
        self._fields: tuple[Field, ...] = ()

    def connectWidgets(self) -> None:
        """Connect signals and finish what a .ui file cannot say."""
        ui = self.ui
        ui.cohortPathLineEdit.filters = ctk.ctkPathLineEdit.Files
        ui.runPathLineEdit.filters = ctk.ctkPathLineEdit.Dirs
        models = tuple(Choice(spec.name, spec.title, _sees(spec)) for spec in MODELS.values())
        self._fields = (
            PathField("cohortFile", ui.cohortPathLineEdit),
            PathField("runFolder", ui.runPathLineEdit),
            ChecklistField("models", ui.modelsList, models),
            ChoiceField("preset", ui.presetComboBox, _presetChoices()),
            ChoiceField("device", ui.trainingDeviceComboBox, deviceChoices()),
        )
        self._rows = RowsFit(ui.modelsList)
        self._log = RunLog(ui.trainingLog)
        self._violations = ViolationsView(ui.violationsTable)
        self._tables = RunResultView(ui, self.panel, self._results)
        for button, slot in (
            (ui.checkCohortButton, self.onCheckCohort),
            (ui.trainButton, self.onTrain),
            (ui.trainingCancelButton, self.onCancel),
            (ui.openReportButton, self.onOpenReport),
            (ui.deployButton, self.onDeploy),
        ):
            button.connect("clicked(bool)", slot)
        self._say("")
        self._setText(ui.cohortSummaryLabel, "")
        self._showRunning(False)

    def enter(self) -> None:
        """Look at the run folder again; it may have changed while another module was shown."""
        self._known = None
        self.refresh()

    def setParameterNode(self, node: Any | None) -> None:
        """Begin to work on another parameter node."""
        for field in self._fields:
            field.bind(node)
        self._known = None
        self._tables.clear()
        self._violations.show(())
        self._setText(self.ui.cohortSummaryLabel, "")
        super().setParameterNode(node)

    def refresh(self) -> None:
        """Show the plan, what is missing, and the results of a finished run."""
        node = self.panel.parameterNode
        if node is None:
            return
        for field in self._fields:
            field.refresh()
        state, refusal = self._state()
        missing = self._missing(node)
        if refusal is not None:
            missing = [*missing, refusalHtml(refusal)]
        if state == "finished" and not missing:
            missing = [escape(_("This run is finished. For another one choose another run folder."))]
        idle = self._job is None
        self.ui.trainButton.setText(_("Resume") if state == "resumable" else _("Start"))
        self.ui.trainButton.setEnabled(idle and not missing)
        self.ui.checkCohortButton.setEnabled(idle and node.cohortFile != Path())
        self._setText(self.ui.trainingMissingLabel, "<br>".join(missing) if idle else "")
        if idle:
            self._showResults(node.runFolder if state == "finished" else None)

    def plan(self) -> TrainingPlan:
        """What the panel says to train."""
        node = self.panel.parameterNode
        return TrainingPlan(
            cohort=node.cohortFile,
            run=node.runFolder,
            models=tuple(node.models),
            preset=node.preset,
            folds=node.folds,
            repeats=node.repeats,
            seed=node.seed,
            device=node.device,
        )

    # --- what the user does

    def onCheckCohort(self, _checked: bool = False) -> None:
        """Check the table, and describe the cohort."""
        self._violations.show(())
        self._tables.showTableOne(None)
        self._setText(self.ui.cohortSummaryLabel, "")
        with reporting():
            try:
                check = self.panel.trainingLogic.checkCohort(self.panel.parameterNode.cohortFile)
            except PRRTError as error:
                self._setText(self.ui.cohortSummaryLabel, refusalHtml(error))
                raise
            self._setText(self.ui.cohortSummaryLabel, cohortHtml(check.cohort))
            self._violations.show(check.cohort.violations)
            self._tables.showTableOne(check)

    def onTrain(self, _checked: bool = False) -> None:
        """Start the run, or go on with it."""
        logic = self.panel.trainingLogic
        self._log.clear()
        self._tables.clear()
        self._begin(
            lambda callbacks: logic.start(self.plan(), onLine=self._log.add, onFinished=self._onTrained, **callbacks)
        )

    def onCancel(self, _checked: bool = False) -> None:
        """Stop what runs; every finished fold is kept."""
        if self._job is not None:
            self._say(escape(_("Cancelling …")))
            with reporting():
                self._job.cancel()

    def onOpenReport(self, _checked: bool = False) -> None:
        """Write the run's report, then open it."""
        run = self.panel.parameterNode.runFolder

        def opened(page: Path) -> None:
            self._ended(f'<a href="{escape(page.absolute().as_uri())}">{escape(page.name)}</a>')
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(page.absolute())))

        self._begin(lambda callbacks: self.panel.trainingLogic.writeReport(run, onFinished=opened, **callbacks))

    def onDeploy(self, _checked: bool = False) -> None:
        """Pack the chosen model and choose it for prediction."""
        node = self.panel.parameterNode
        name = self._tables.chosenModel()
        folder = node.runFolder.absolute() / "models" / name

        def packed(_card: Any) -> None:
            self._ended(escape(_("{model} is chosen in the section Prediction.").format(model=MODELS[name].title)))
            if self.panel.parameterNode is not None:
                self.panel.parameterNode.modelFolder = folder
            self.ui.predictionCollapsibleButton.collapsed = False

        self._begin(
            lambda callbacks: self.panel.trainingLogic.packModel(
                node.runFolder, name, folder, onFinished=packed, **callbacks
            )
        )

    # --- what the job tells

    def _begin(self, start: Any) -> None:
        """Start a job through ``start(callbacks)``; whatever is refused leaves the panel as it was."""
        if self._job is not None:
            return
        with reporting():
            self._say(escape(_("Starting …")))
            self.ui.trainingProgressBar.setRange(0, 0)
            self._showRunning(True)
            try:
                self._job = start({"onProgress": self._onProgress, "onFailed": self._onFailed})
                self.panel.jobs.add(self._job)
            finally:
                if self._job is None:
                    self._ended("")
            self.refresh()

    def _onProgress(self, progressed: Any) -> None:
        self.ui.trainingProgressBar.setRange(0, progressed.total)
        self.ui.trainingProgressBar.setValue(progressed.done)
        self._say(escape(trainingWords(progressed)))

    def _onTrained(self, _results: Any = None) -> None:
        self._ended("")

    def _onFailed(self, error: PRRTError) -> None:
        if isinstance(error, Cancelled):
            self._ended(escape(_("Cancelled. Every finished fold is kept; Resume goes on from there.")))
            return
        self._ended(refusalHtml(error))
        showError(error)

    def _ended(self, said: str) -> None:
        self._job = self._known = None
        self._showRunning(False)
        self._say(said)
        self.refresh()

    # --- what is seen

    def _missing(self, node: Any) -> list[str]:
        absent = []
        if node.cohortFile == Path():
            absent.append(_("cohort table"))
        if node.runFolder == Path():
            absent.append(_("run folder"))
        found = [escape(_("Still missing: {names}.").format(names=", ".join(absent)))] if absent else []
        if node.cohortFile != Path() and not _isFile(node.cohortFile):
            found.append(escape(_("There is no such cohort table.")))
        return found

    def _state(self) -> tuple[str, PRRTError | None]:
        """ "new", "resumable" or "finished", read from the folder once a plan; and why the folder cannot be used."""
        plan = self.plan()
        if plan.run == Path():
            return "new", None
        if self._known is None or self._known[0] != plan:
            try:
                self._known = (plan, self.panel.trainingLogic.runState(plan.run, plan), None)
            except PRRTError as error:
                self._known = (plan, "new", error)
        return self._known[1:]

    def _showResults(self, run: Path | None) -> None:
        if run is None:
            self._tables.clear(tableOne=False)
            return
        if self._tables.run == run:
            return
        with reporting():
            self._tables.show(run, self.panel.trainingLogic.results(run))

    def _showRunning(self, running: bool) -> None:
        """Progress and Cancel while it runs; what the run was started with must not change meanwhile."""
        ui = self.ui
        ui.trainingProgressBar.setVisible(running)
        ui.trainingCancelButton.setVisible(running)
        plan = (ui.cohortPathLineEdit, ui.runPathLineEdit, ui.modelsList, ui.presetComboBox, ui.foldsSpinBox)
        for widget in (*plan, ui.repeatsSpinBox, ui.seedSpinBox, ui.trainingDeviceComboBox, ui.trainingResultFrame):
            widget.setEnabled(not running)
        if running:
            ui.trainButton.setEnabled(False)
            ui.checkCohortButton.setEnabled(False)

    def _say(self, html: str) -> None:
        self._setText(self.ui.trainingStatusLabel, html)

    @staticmethod
    def _setText(label: Any, html: str) -> None:
        """An empty label takes no room."""
        label.setText(html)
        label.setVisible(bool(html))


def _isFile(path: Path) -> bool:
    """Whether there is such a file, as far as we may know."""
    try:
        return path.is_file()
    except OSError:  # in a folder that we may not look into, or a name longer than the system allows
        return False


def _presetChoices() -> tuple[Choice, ...]:
    return (
        Choice("tuned", _("Tuned"), _("Smaller networks with augmentation and early stopping; the better choice.")),
        Choice("paper", _("As in the paper"), _("Network and training as the paper describes them.")),
        Choice("quick", _("Quick"), _("Few epochs: to see that everything works, not for results.")),
    )


def _sees(spec: Any) -> str:
    return _("Sees {inputs}.").format(inputs=", ".join(spec.inputs))
