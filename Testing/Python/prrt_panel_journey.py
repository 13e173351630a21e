"""The whole way through the panel, by its own buttons, on SYNTHETIC patients; leaves a picture of every section.

    Slicer --python-script prrt_panel_journey.py [--out FOLDER] [--patients N] [--preset quick]

A researcher checks a cohort, trains, cancels, resumes, looks at the results and chooses a model for prediction; a
clinician creates a demo patient, loads it from the DICOM database, completes the laboratory values, predicts, moves the
saliency's threshold and exports. The user's own database and settings are left alone. Research use only.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from PRRTPredictor import REQUIREMENTS
from PRRTPredictorLib.Dependencies import Dependencies
from PRRTPredictorLib.Headless import runAndExit
from PRRTPredictorLib.Worker import Job

PATIENCE_S = 600
ANSWER_S = 0.1
MODELS = ("rf_labs", "pet_ct_labs")
SECTIONS = ("study", "labs", "prediction", "explanation", "training")


@dataclass(frozen=True)
class Journey:
    """The panel, the folder for what is exported and pictured, and a folder that is thrown away afterwards."""

    panel: Any
    out: Path
    work: Path
    patients: int
    preset: str

    @property
    def ui(self) -> Any:
        return self.panel.ui

    @property
    def node(self) -> Any:
        return self.panel.parameterNode

    @property
    def busy(self) -> bool:
        """Whether a progress bar says that a child process is at work."""
        return not (self.ui.predictionProgressBar.isHidden() and self.ui.trainingProgressBar.isHidden())

    def section(self, name: str) -> Any:
        return next(one for one in self.panel.sections if type(one).__name__ == name)

    def open(self, *names: str) -> None:
        """Open these sections of the panel and close the others."""
        for name in SECTIONS:
            getattr(self.ui, f"{name}CollapsibleButton").collapsed = name not in names
        slicer.app.processEvents()

    def picture(self, section: str) -> None:
        """Keep a picture of one section as it stands."""
        self.open(section)
        save(getattr(self.ui, f"{section}CollapsibleButton"), self.out / f"panel-{section}.png")

    def wait(self, until: Callable[[], bool] | None = None) -> float:
        """Let the panel work until its job has ended, or ``until`` holds; the longest time without an answer, in s."""
        longest, began = 0.0, time.monotonic()
        while self.panel.jobs.running and not (until and until()):
            require(time.monotonic() - began < PATIENCE_S, "the job takes too long")
            before = time.monotonic()
            slicer.app.processEvents()
            if self.busy:  # the end itself brings volumes and views, once
                longest = max(longest, time.monotonic() - before)
            time.sleep(0.005)
        return longest


class Answers:
    """Stands in for the file dialogs."""

    def __init__(self, folder: Path) -> None:
        self.folderName = folder
        self.files: list[Path] = []

    def file(self, _title: str, name: str, _pattern: str) -> Path:
        self.files.append(self.folderName / name)
        return self.files[-1]

    def folder(self, _title: str) -> Path:
        return self.folderName


def main() -> None:
    words = argparse.ArgumentParser(prog="prrt_panel_journey.py", description=__doc__.splitlines()[0])
    words.add_argument("--out", type=Path, metavar="FOLDER", help="pictures and exports; left out: thrown away")
    words.add_argument("--patients", type=int, default=18, help="size of the made cohort")
    words.add_argument("--preset", choices=("quick", "tuned", "paper"), default="quick")
    arguments = words.parse_args()
    Dependencies(REQUIREMENTS).ensure()
    from DICOMLib import DICOMUtils

    with tempfile.TemporaryDirectory(prefix="prrt-journey-", ignore_cleanup_errors=True) as name:
        work = Path(name)
        out = arguments.out or work / "out"
        out.mkdir(parents=True, exist_ok=True)
        (work / "database").mkdir()
        slicer.util.selectModule("PRRTPredictor")
        with DICOMUtils.TemporaryDICOMDatabase(str(work / "database")):
            journey = Journey(
                slicer.util.getModuleWidget("PRRTPredictor"), out, work, arguments.patients, arguments.preset
            )
            journey.panel.enter()
            research(journey)
            consult(journey)
            slicer.mrmlScene.Clear()


# --- the researcher ---------------------------------------------------------------------------------------------------


def research(journey: Journey) -> None:
    """From a cohort table to a model that the section Prediction uses."""
    ui, node = journey.ui, journey.node
    synth = ["synth", f"--out={journey.work / 'cohort'}", f"--patients={journey.patients}", "--seed=5", "--jobs=2"]
    Job.start(synth).wait()
    journey.open("training")
    ui.cohortPathLineEdit.currentPath = str(journey.work / "cohort" / "cohort.csv")
    ui.checkCohortButton.click()
    require(str(journey.patients) in ui.cohortSummaryLabel.text, "the cohort was not described")
    ui.runPathLineEdit.currentPath = str(journey.work / "run")
    node.models, node.preset, node.folds, node.repeats = list(MODELS), journey.preset, 2, 1
    slicer.app.processEvents()
    require(ui.trainButton.enabled and ui.trainButton.text == "Start", ui.trainingMissingLabel.text)
    ui.trainButton.click()
    finished = journey.work / "run" / "folds" / MODELS[0] / "0-0" / "done.json"
    slowest = journey.wait(until=finished.is_file)
    save(ui.trainingCollapsibleButton, journey.out / "panel-training-running.png")
    ui.trainingCancelButton.click()
    journey.wait()
    require(ui.trainButton.text == "Resume", f"a cancelled run cannot be resumed: {ui.trainingStatusLabel.text}")
    ui.trainButton.click()
    slowest = max(slowest, journey.wait())
    say(f"trained, cancelled and resumed; the panel answered within {1000 * slowest:.0f} ms")
    require(slowest < ANSWER_S, "the panel froze while it trained")
    require(ui.tableTwoView.mrmlTableNode().GetNumberOfRows() == len(MODELS), "Table 2 is not there")
    journey.picture("training")
    for row, name in enumerate(("roc", "pr", "bars")):
        ui.plotComboBox.setCurrentIndex(row)
        ui.showPlotsButton.click()
        pictureWindow(journey.out / f"plot-{name}.png")
    ui.deployComboBox.setCurrentIndex(ui.deployComboBox.findText("SR-PET + CT + labs"))
    ui.deployButton.click()
    journey.wait()
    require(node.modelFolder.is_dir(), "no model was chosen for prediction")


# --- the clinician ----------------------------------------------------------------------------------------------------


def consult(journey: Journey) -> None:
    """From the DICOM database to an explained prediction, exported without identity."""
    ui, node = journey.ui, journey.node
    journey.open("study")
    ui.demoPatientButton.click()
    require(ui.studyTable.rowCount == 1, "the demo patient is not in the database")
    ui.loadStudyButton.click()
    require(node.petVolume is not None and node.ctVolume is not None, "the study was not loaded")
    journey.picture("study")
    pictureWindow(journey.out / "fused-study.png")
    ui.astSpinBox.setValue(31)
    require(ui.deRitisLabel.text != "", "there is no De Ritis ratio")
    journey.picture("labs")
    journey.open("prediction")
    require("SYNTHETIC" in ui.modelCardLabel.text, "the card does not say that the model is made")
    require(ui.predictButton.enabled, ui.predictionMissingLabel.text)
    ui.predictButton.click()
    slowest = journey.wait()
    require(bool(node.prediction) and node.petSaliency is not None, ui.predictionStatusLabel.text)
    say(f"predicted; the panel answered within {1000 * slowest:.0f} ms")
    require(slowest < ANSWER_S, "the panel froze while it predicted")
    journey.picture("prediction")
    explain(journey)


def explain(journey: Journey) -> None:
    ui, node = journey.ui, journey.node
    journey.open("explanation")
    display = node.petSaliency.GetDisplayNode()
    before = time.monotonic()
    ui.thresholdSliderWidget.value = 0.5
    elapsed = time.monotonic() - before
    require(abs(display.GetLowerThreshold() - 0.5) < 1e-6, "the threshold did not act")
    say(f"threshold moved in {1000 * elapsed:.0f} ms")
    ui.hottestSpotButton.click()
    ui.surfaceCheckBox.checked = True
    pictureWindow(journey.out / "fused-surface.png")
    ui.surfaceCheckBox.checked = False
    ui.thresholdSliderWidget.value = 0.3
    pictureWindow(journey.out / "fused-view.png")
    answers = journey.section("ExplanationSection").asks = Answers(journey.out)
    for button in (ui.exportReportButton, ui.exportScreenshotsButton, ui.exportSaliencyButton, ui.exportSceneButton):
        button.click()
    for path in answers.files:
        require(path.is_file() and path.stat().st_size > 1000, f"{path.name} was not exported")
    say("exported " + ", ".join(path.name for path in answers.files))
    journey.picture("explanation")


# --- small things -----------------------------------------------------------------------------------------------------


def save(widget: Any, path: Path) -> None:
    for _ in range(5):  # wrapped labels and scaled pictures settle one after the other
        slicer.app.processEvents()
        time.sleep(0.02)
    require(widget.grab().save(str(path)), f"{path.name} could not be written")


def pictureWindow(path: Path) -> None:
    slicer.app.processEvents()
    slicer.util.forceRenderAllViews()
    save(slicer.util.mainWindow(), path)


def require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def say(text: str) -> None:
    print(text, flush=True)


runAndExit(main)
