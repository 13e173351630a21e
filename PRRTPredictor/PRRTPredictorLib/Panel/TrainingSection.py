"""The section Training: a cohort table in, a cross-validation run in the background, its results and a model out."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from PRRTPredictorCore.errors import PRRTError
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorLib import Results
from PRRTPredictorLib.Messages import reporting
from PRRTPredictorLib.Panel import Panel
from PRRTPredictorLib.Panel.CohortView import ViolationsView, cohortHtml
from PRRTPredictorLib.Panel.Fields import ChecklistField, Choice, ChoiceField, PathField
from PRRTPredictorLib.Panel.JobSection import JobSection, JobWidgets
from PRRTPredictorLib.Panel.Labels import showText
from PRRTPredictorLib.Panel.PredictionSection import deviceChoices
from PRRTPredictorLib.Panel.ReportView import ReportView
from PRRTPredictorLib.Panel.Resizing import RowsFit
from PRRTPredictorLib.Panel.RunLog import RunLog, trainingWords
from PRRTPredictorLib.Panel.RunResultView import RunResultView
from PRRTPredictorLib.Panel.Words import HasProgress, refusalHtml
from PRRTPredictorLib.TrainingLogic import TrainingPlan


@dataclass(frozen=True)
class _RunSeen:
    """What the run folder held when it was last looked at with this plan.

    Attributes
    ----------
    state : {"new", "resumable", "finished"}
    refusal : PRRTError or None
        Why the folder cannot be used.
    models : tuple of str
        Those with a finished fold, which a report can show.
    """

    plan: TrainingPlan
    state: str = "new"
    refusal: PRRTError | None = None
    models: tuple[str, ...] = ()


class TrainingSection(JobSection):
    """Cohort, plan, Start/Resume/Cancel, progress, log and results.

    Parameters
    ----------
    results : module, optional
        Gives the functions of ``PRRTPredictorLib.Results``.
    """

    def __init__(self, ui: Any, panel: Panel, *, results: Any = Results) -> None:
        super().__init__(ui, panel)
        self._results = results
        self._known: _RunSeen | None = None
        self._cancelled = ""

    def connectWidgets(self) -> None:
        """Connect signals and finish what a .ui file cannot say."""
        ui = self.ui
        ui.cohortPathLineEdit.filters = ctk.ctkPathLineEdit.Files
        ui.runPathLineEdit.filters = ctk.ctkPathLineEdit.Dirs
        models = tuple(Choice(spec.name, spec.title, _sees(spec)) for spec in MODELS.values())
        self.fields = (
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
        self._report = ReportView(ui)
        for button, slot in (
            (ui.checkCohortButton, self.onCheckCohort),
            (ui.trainButton, self.onTrain),
            (ui.openReportButton, self.onOpenReport),
            (ui.deployButton, self.onDeploy),
        ):
            button.connect("clicked(bool)", slot)
        showText(ui.cohortSummaryLabel, "")
        super().connectWidgets()

    def jobWidgets(self) -> JobWidgets:
        """The widgets around a run, a report and a packing."""
        ui = self.ui
        plan = (ui.cohortPathLineEdit, ui.runPathLineEdit, ui.modelsList, ui.presetComboBox, ui.foldsSpinBox)
        results = (ui.trainingResultFrame, ui.reportFrame)
        return JobWidgets(
            progressBar=ui.trainingProgressBar,
            cancelButton=ui.trainingCancelButton,
            statusLabel=ui.trainingStatusLabel,
            startButtons=(ui.trainButton, ui.checkCohortButton),
            frozen=(*plan, ui.repeatsSpinBox, ui.seedSpinBox, ui.trainingDeviceComboBox, *results),
        )

    def enter(self) -> None:
        """Look at the run folder again; it may have changed while another module was shown."""
        self._known = None
        self.refresh()

    def setParameterNode(self, node: Any | None) -> None:
        """Begin to work on another parameter node."""
        self._known = None
        self._tables.clear()
        self._report.show(())
        self._violations.show(())
        showText(self.ui.cohortSummaryLabel, "")
        super().setParameterNode(node)

    def show(self, node: Any) -> None:
        """Show the plan, what is missing, the results of a finished run, and what any run can report."""
        seen = self._seen()
        state, refusal = seen.state, seen.refusal
        missing = self._missing(node)
        if refusal is not None:
            missing = [*missing, refusalHtml(refusal)]
        if state == "finished" and not missing:
            missing = [escape(_("This run is finished. For another one choose another run folder."))]
        self.ui.trainButton.setText(_("Resume") if state == "resumable" else _("Start"))
        self.ui.trainButton.setEnabled(self.idle and not missing)
        self.ui.checkCohortButton.setEnabled(self.idle and node.cohortFile != Path())
        showText(self.ui.trainingMissingLabel, "<br>".join(missing) if self.idle else "")
        if self.idle:
            self._showResults(node.runFolder if state == "finished" else None)
            self._report.show(seen.models)

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
        showText(self.ui.cohortSummaryLabel, "")
        with reporting():
            try:
                check = self.panel.trainingLogic.checkCohort(self.panel.parameterNode.cohortFile)
            except PRRTError as error:
                showText(self.ui.cohortSummaryLabel, refusalHtml(error))
                raise
            showText(self.ui.cohortSummaryLabel, cohortHtml(check.cohort))
            self._violations.show(check.cohort.violations)
            self._tables.showTableOne(check)

    def onTrain(self, _checked: bool = False) -> None:
        """Start the run, or go on with it."""
        self._log.clear()
        self._tables.clear()
        self._cancelled = _("Cancelled. Every finished fold is kept; Resume goes on from there.")
        with reporting():
            self.begin(
                self.panel.trainingLogic.start,
                self.plan(),
                onLine=self._log.add,
                onFinished=lambda _results: self.ended(),
            )

    def onOpenReport(self, _checked: bool = False) -> None:
        """Write the run's report, then open it."""

        def opened(page: Path) -> None:
            link = f'<a href="{escape(page.absolute().as_uri())}">{escape(page.name)}</a>'
            self.ended(escape(_("Written, and opened in the browser: {link}")).format(link=link))
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(page.absolute())))

        plan, compare = self.plan(), self._report.compare
        self._cancelled = _("Cancelled. No new report was written.")
        with reporting():
            self.begin(self.panel.trainingLogic.writeReport, plan.run, plan.cohort, compare, onFinished=opened)

    def onDeploy(self, _checked: bool = False) -> None:
        """Pack the chosen model and choose it for prediction."""
        run = self.panel.parameterNode.runFolder
        name = self._tables.chosenModel()
        folder = run.absolute() / "models" / name

        def packed(_card: Any) -> None:
            self.ended(escape(_("{model} is chosen in the section Prediction.").format(model=MODELS[name].title)))
            if self.panel.parameterNode is not None:
                self.panel.parameterNode.modelFolder = folder
            self.ui.predictionCollapsibleButton.collapsed = False

        self._cancelled = _("Cancelled. No model was packed.")
        with reporting():
            self.begin(self.panel.trainingLogic.packModel, run, name, folder, onFinished=packed)

    # --- what the job tells

    def inWords(self, progressed: HasProgress) -> str:
        """The fold, its model and the time left; of a report or a packing, its stage."""
        return trainingWords(progressed)

    def cancelledWords(self) -> str:
        """What Cancel has left, which depends on the job."""
        return self._cancelled

    def ended(self, html: str = "") -> None:
        """Look at the run folder again: the job has written there, however it ended."""
        self._known = None
        super().ended(html)

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

    def _seen(self) -> _RunSeen:
        """What the run folder holds, read once a plan."""
        plan = self.plan()
        if plan.run == Path():
            return _RunSeen(plan)
        if self._known is None or self._known.plan != plan:
            logic = self.panel.trainingLogic
            try:
                state = logic.runState(plan.run, plan)
                models = () if state == "new" else logic.finishedModels(plan.run)
                self._known = _RunSeen(plan, state, models=models)
            except PRRTError as error:
                self._known = _RunSeen(plan, refusal=error)
        return self._known

    def _showResults(self, run: Path | None) -> None:
        if run is None:
            self._tables.clear(tableOne=False)
            return
        if self._tables.run == run:
            return
        logic = self.panel.trainingLogic
        with reporting():
            self._tables.show(run, logic.results(run), logic.notices(run))


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
