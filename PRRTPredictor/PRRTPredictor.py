"""PRRTPredictor in 3D Slicer: module, parameter node, panel, logic and self-test. Shells only.

The work is done in ``PRRTPredictorLib`` (Slicer's side: nodes, views, panel sections, child processes) and in
``PRRTPredictorCore`` (the science, in a child process where it needs torch). Nothing here imports a package that
Slicer does not bring along.
"""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import slicer
import vtk
from slicer import vtkMRMLColorNode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from PRRTPredictorCore.cohort.labs import accepted_units
from PRRTPredictorLib.Dependencies import Dependencies
from PRRTPredictorLib.LabSheet import LabSheet
from PRRTPredictorLib.Panel import Section
from PRRTPredictorLib.Panel.ExplanationSection import ExplanationSection
from PRRTPredictorLib.Panel.JobTimer import JobTimer
from PRRTPredictorLib.Panel.LabsSection import LabsSection, labSheetOf
from PRRTPredictorLib.Panel.PredictionSection import PredictionSection
from PRRTPredictorLib.Panel.StudySection import StudySection
from PRRTPredictorLib.Panel.TrainingSection import TrainingSection
from PRRTPredictorLib.PredictionLogic import PredictionLogic
from PRRTPredictorLib.TrainingLogic import TrainingLogic

PRRTTrainingLogic = TrainingLogic
"""Batch cross-validation without widgets, for headless scripts."""

REQUIREMENTS = Path(__file__).parent / "Resources" / "requirements.txt"
SECTIONS = (StudySection, LabsSection, PredictionSection, ExplanationSection, TrainingSection)
"""The panel from top to bottom, in the order of work."""

_PAPER = (
    "Baur S, Ruhwedel T, Böke E, et al. Multimodal Deep Learning for Prediction of Progression-Free Survival in "
    "Patients with Neuroendocrine Tumors Undergoing <sup>177</sup>Lu-based Peptide Receptor Radionuclide Therapy."
)


class PRRTPredictor(ScriptedLoadableModule):
    """What the module selector and the help section show."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("PRRT Predictor")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Nuclear Medicine")]
        parent.dependencies = []
        parent.contributors = ["The PRRTPredictor developers"]
        parent.helpText = _(
            "<p><b>Research use only. Not a diagnostic device.</b></p>"
            "<p>Predicts progression-free survival (PFS) longer than one year after <sup>177</sup>Lu peptide receptor "
            "radionuclide therapy of neuroendocrine tumors, from the somatostatin receptor PET/CT and four blood "
            "values (AST, ALT, GGT, chromogranin A) taken before the first cycle, and shows where the model looked. "
            "Trains and compares the seven models of the paper on a cohort of your own.</p>"
            "<p><b>Steps:</b> load a study (or create a SYNTHETIC demo patient), enter the laboratory values, choose "
            "a model folder, press Predict, look at the saliency over the CT. Model and patient stay on this "
            "computer.</p>"
            "<p><b>Method:</b> {paper}</p>"
        ).format(paper=_PAPER)
        parent.acknowledgementText = _(
            "<p>An independent implementation of the method published in: {paper}</p>"
            "<p>Please cite the paper, and 3D Slicer, when you use it.</p>"
        ).format(paper=_PAPER)


@parameterNodeWrapper
class PRRTPredictorParameterNode:
    """Everything the user chose or was told; saved with the scene.

    Attributes
    ----------
    petVolume, ctVolume
        The study; SUVbw and HU.
    assumeUnits
        The user vouches that volumes without a unit hold SUVbw and HU.
    petSaliency, ctSaliency
        Where the model looked, of the latest prediction.
    ast, alt, ggt, cga, astUnit, altUnit, ggtUnit, cgaUnit
        Laboratory values in their units as entered; 0 = not given.
    labsDate, firstCycleDate
        Sampling date and day of the first PRRT cycle, ISO 8601; "" = not given.
    modelFolder, cohortFile, runFolder
        The current folder (".") = not chosen.
    prediction
        JSON of the latest PredictionDocument; "" = none.
    saliencyOf, threshold, opacity, colour, surface
        How the saliency is shown.
    models, preset, folds, repeats, seed
        The training plan; no model named = all seven.
    """

    petVolume: vtkMRMLScalarVolumeNode
    ctVolume: vtkMRMLScalarVolumeNode
    assumeUnits: bool = False
    petSaliency: vtkMRMLScalarVolumeNode
    ctSaliency: vtkMRMLScalarVolumeNode

    # Wider than what is accepted: a field that stops taking digits must not turn 12345 into 1234 unnoticed.
    ast: Annotated[float, WithinRange(0, 99_999)]
    alt: Annotated[float, WithinRange(0, 99_999)]
    ggt: Annotated[float, WithinRange(0, 99_999)]
    cga: Annotated[float, WithinRange(0, 9_999_999)]
    astUnit: Annotated[str, Choice(accepted_units("ast")), Default(accepted_units("ast")[0])]
    altUnit: Annotated[str, Choice(accepted_units("alt")), Default(accepted_units("alt")[0])]
    ggtUnit: Annotated[str, Choice(accepted_units("ggt")), Default(accepted_units("ggt")[0])]
    cgaUnit: Annotated[str, Choice(accepted_units("cga")), Default(accepted_units("cga")[0])]
    labsDate: str
    firstCycleDate: str

    modelFolder: Path
    device: Annotated[str, Choice(["auto", "cpu", "cuda"]), Default("auto")]
    prediction: str

    saliencyOf: Annotated[str, Choice(["PET", "CT"]), Default("PET")]
    threshold: Annotated[float, WithinRange(0, 1), Default(0.3)]
    opacity: Annotated[float, WithinRange(0, 1), Default(0.6)]
    colour: vtkMRMLColorNode
    surface: bool = False

    cohortFile: Path
    models: list[str]
    preset: Annotated[str, Choice(["tuned", "paper", "quick"]), Default("tuned")]
    folds: Annotated[int, WithinRange(2, 20), Default(3)]
    repeats: Annotated[int, WithinRange(1, 100), Default(5)]
    seed: Annotated[int, WithinRange(0, 2_147_483_647), Default(0)]
    runFolder: Path


class PRRTPredictorWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: makes the sections and tells them of the scene; see ``PRRTPredictorLib.Panel.Panel``."""

    def __init__(self, parent: Any | None = None) -> None:
        # Before the base class: without a parent it calls setup() from its constructor.
        VTKObservationMixin.__init__(self)
        self.logic: PRRTPredictorLogic | None = None
        self.trainingLogic: TrainingLogic | None = None
        self.parameterNode: PRRTPredictorParameterNode | None = None
        self.sections: tuple[Section, ...] = ()
        self.jobs = JobTimer()
        self._guiTag: int | None = None
        ScriptedLoadableModuleWidget.__init__(self, parent)

    @property
    def scene(self) -> Any:
        """The scene on which the panel works."""
        return slicer.mrmlScene

    @property
    def database(self) -> Any | None:
        """Slicer's DICOM database; None in an application without one."""
        return getattr(slicer, "dicomDatabase", None)

    def labSheet(self) -> LabSheet:
        """The laboratory values as they stand in the panel."""
        return labSheetOf(self.parameterNode)

    def setup(self) -> None:
        """Build the panel when the module is opened for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/PRRTPredictor.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)

        self.logic = PRRTPredictorLogic()
        self.trainingLogic = TrainingLogic(dependencies=Dependencies(REQUIREMENTS))
        self.sections = tuple(section(self.ui, self) for section in SECTIONS)
        for section in self.sections:
            section.connectWidgets()

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        # A scene brings its node references in after the parameter node: read them again when all is there.
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.initializeParameterNode()
        if self.database is None:
            # Slicer starts with this module, and the DICOM module brings the database when everything is loaded.
            slicer.app.connect("startupCompleted()", self.onStartupCompleted)

    def onStartupCompleted(self) -> None:
        """List the studies of the database that has come meanwhile."""
        if self.parent.isEntered:
            for section in self.sections:
                section.enter()

    def cleanup(self) -> None:
        """Leave nothing behind when the module is reloaded or the application ends."""
        self.jobs.cancelAll()
        self.setParameterNode(None)
        for section in self.sections:
            section.close()
        self.removeObservers()

    def enter(self) -> None:
        """Show the current state each time the module is opened."""
        self.initializeParameterNode()
        for section in self.sections:
            section.enter()

    def exit(self) -> None:
        """Stop following the parameter node while another module is shown; jobs go on."""
        self._unfollow()

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """End what still runs, since its results would have nowhere to go."""
        self.jobs.cancelAll()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """Begin anew at once if the panel is in view."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller: Any, event: Any) -> None:
        """Show what an opened scene brought along."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Make sure that there is a parameter node, and follow it."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, node: "PRRTPredictorParameterNode | None") -> None:
        """Follow another parameter node; None when the scene closes."""
        self._unfollow()
        self.parameterNode = node
        if node is not None:
            self._guiTag = node.connectGui(self.ui)
            # Of the inner node: the mixin keeps what it has ever observed, and a kept wrapper goes on reading values.
            self.addObserver(node.parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        for section in self.sections:
            section.setParameterNode(node)

    def onParameterNodeModified(self, caller: Any, event: Any) -> None:
        """Let every section show the change."""
        for section in self.sections:
            section.refresh()

    def _unfollow(self) -> None:
        if self.parameterNode is not None and self._guiTag is not None:
            self.parameterNode.disconnectGui(self._guiTag)
            inner = self.parameterNode.parameterNode
            self.removeObserver(inner, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self._guiTag = None


class _DatabaseOfSlicer:
    """``slicer.dicomDatabase``, looked for at each use: there is none before Slicer has started altogether."""

    @property
    def isOpen(self) -> bool:
        database = getattr(slicer, "dicomDatabase", None)
        return database is not None and bool(database.isOpen)

    def __getattr__(self, name: str) -> Any:
        return getattr(slicer.dicomDatabase, name)


class PRRTPredictorLogic(ScriptedLoadableModuleLogic):
    """Study and laboratory values -> prediction and saliency, without widgets; for the panel and for scripts alike.

    Parameters
    ----------
    prediction : PredictionLogic, optional
        Does the work; by default with child processes, installation on demand and Slicer's DICOM database.
    """

    def __init__(self, prediction: PredictionLogic | None = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.prediction = prediction or PredictionLogic(
            dependencies=Dependencies(REQUIREMENTS), database=_DatabaseOfSlicer()
        )
        self.card = self.prediction.card
        self.start = self.prediction.start
        self.predict = self.prediction.predict
        self.addResult = self.prediction.addResult

    def getParameterNode(self) -> PRRTPredictorParameterNode:
        """The scene's parameter node of this module, made when there is none."""
        return PRRTPredictorParameterNode(super().getParameterNode())


class PRRTPredictorTest(ScriptedLoadableModuleTest):
    """From a made patient in the DICOM database to checked laboratory values, through the panel.

    Needs nothing that Slicer does not bring along; the user's own database is left alone.
    """

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run everything."""
        self.setUp()
        self.test_studyAndLabs()

    def test_studyAndLabs(self) -> None:
        """Demo patient -> study table -> Load -> SUV over HU -> labs with a remark where one is due."""
        from DICOMLib import DICOMUtils

        panel = slicer.util.getModuleWidget("PRRTPredictor")
        with (
            tempfile.TemporaryDirectory(prefix="prrt-test-", ignore_cleanup_errors=True) as folder,
            DICOMUtils.TemporaryDICOMDatabase(folder),
        ):
            panel.enter()
            self.delayDisplay(_("Creating a SYNTHETIC patient"))
            panel.ui.demoPatientButton.click()
            assert panel.ui.studyTable.rowCount == 1
            self.delayDisplay(_("Loading the study"))
            panel.ui.loadStudyButton.click()
            self._checkStudy(panel)
            self._checkLabs(panel)
        panel.enter()
        self.delayDisplay(_("Test passed"))

    def _checkStudy(self, panel: PRRTPredictorWidget) -> None:
        node = panel.parameterNode
        assert node.petVolume is not None
        assert node.ctVolume is not None
        highest = slicer.util.arrayFromVolume(node.petVolume).max()
        assert highest > 5, "a demo patient's PET has metastases"
        assert highest < 1000, "the PET is not in SUVbw"
        assert slicer.util.arrayFromVolume(node.ctVolume).min() < -500, "the CT is not in HU"
        assert "SYNTHETIC" in panel.ui.studyStatusLabel.text
        assert panel.ui.petVolumeComboBox.currentNode() is node.petVolume

    def _checkLabs(self, panel: PRRTPredictorWidget) -> None:
        ui = panel.ui
        for spinBox, value in ((ui.astSpinBox, 30), (ui.altSpinBox, 24), (ui.ggtSpinBox, 55), (ui.cgaSpinBox, 120)):
            spinBox.setValue(value)
        assert ui.deRitisLabel.text == "1.25"
        assert ui.altRemarkLabel.text == ""
        assert panel.labSheet().labs().values() == (30, 24, 55, 120)
        ui.altSpinBox.setValue(24_000)
        assert "ALT" in ui.altRemarkLabel.text
        ui.altSpinBox.setValue(24)
        assert ui.altRemarkLabel.text == ""
