"""Predict one study of Slicer's DICOM database without a window; prints the prediction as JSON.

    Slicer --no-main-window --python-script prrt_predict_study.py --model MODEL --study UID \
        --ast 28 --alt 25 --ggt 61 --cga 419 --out FOLDER

Without --model everything is made first: SYNTHETIC patients, a small model trained on them, a database and a study in
it; that is how ctest runs it. Research use only.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import date
from pathlib import Path

import slicer

from PRRTPredictor import REQUIREMENTS, PRRTPredictorLogic, PRRTTrainingLogic
from PRRTPredictorCore.imaging.nrrd import write_nrrd
from PRRTPredictorCore.prediction.document import to_json
from PRRTPredictorCore.records import LABS
from PRRTPredictorLib.Database import findPair
from PRRTPredictorLib.DemoPatient import createDemoPatient
from PRRTPredictorLib.Dependencies import Dependencies
from PRRTPredictorLib.Headless import printProgress, runAndExit
from PRRTPredictorLib.LabSheet import LabEntry, LabSheet
from PRRTPredictorLib.PredictionLogic import PredictionOutcome
from PRRTPredictorLib.Study import addStudy, loadPair
from PRRTPredictorLib.TrainingLogic import TrainingPlan
from PRRTPredictorLib.Worker import Job

DEMO_LABS = {"ast": 28.0, "alt": 25.0, "ggt": 61.0, "cga": 419.0}


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(prog="prrt_predict_study.py", description=__doc__.splitlines()[0])
    words.add_argument("--model", type=Path, help="model folder; left out: one is made")
    words.add_argument("--study", metavar="UID", help="Study Instance UID in Slicer's DICOM database")
    words.add_argument("--database", type=Path, metavar="FOLDER", help="left out: the one that Slicer has open")
    for lab in LABS:
        words.add_argument(f"--{lab}", type=float)
        words.add_argument(f"--{lab}-unit", default="")
    words.add_argument("--labs-date", type=date.fromisoformat, metavar="YYYY-MM-DD")
    words.add_argument("--first-cycle", type=date.fromisoformat, metavar="YYYY-MM-DD")
    words.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    words.add_argument("--out", type=Path, metavar="FOLDER", help="left out: the prediction is only printed")
    return words


def main() -> None:
    arguments = parser().parse_args()
    if arguments.model is None:
        with tempfile.TemporaryDirectory() as folder:
            makeEverything(Path(folder), arguments)
            predictAndWrite(arguments)
    else:
        predictAndWrite(arguments)


def predictAndWrite(arguments: argparse.Namespace) -> None:
    if arguments.database is not None:
        openDatabase(arguments.database)
    outcome = predict(arguments)
    document = to_json(outcome.document)
    print(json.dumps(document, indent=2))
    if not 0 <= outcome.document.probability_long_pfs <= 1:
        raise AssertionError("no probability")
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "prediction.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
        for name, saliency in (("pet", outcome.petSaliency), ("ct", outcome.ctSaliency)):
            if saliency is not None:
                write_nrrd(arguments.out / f"saliency_{name}.nrrd", saliency)


def predict(arguments: argparse.Namespace) -> PredictionOutcome:
    """From the study's UID to the prediction; the saliency lies in the scene afterwards, under the study."""
    logic = PRRTPredictorLogic()
    pair = findPair(slicer.dicomDatabase, arguments.study)
    nodes = addStudy(slicer.mrmlScene, loadPair(pair), pair)
    entries = {lab: LabEntry(getattr(arguments, lab), getattr(arguments, f"{lab}_unit")) for lab in LABS}
    sheet = LabSheet(**entries, sampledOn=arguments.labs_date, firstCycle=arguments.first_cycle)
    outcome = logic.predict(nodes.pet, nodes.ct, sheet, arguments.model, arguments.device, onProgress=printProgress)
    added = logic.addResult(outcome, nodes.pet)
    if (added.pet is None) != (outcome.petSaliency is None):
        raise AssertionError("the saliency did not reach the scene")
    return outcome


def makeEverything(folder: Path, arguments: argparse.Namespace) -> None:
    """Made patients, a model trained on them in a minute or two, and a database with one more made patient."""
    Dependencies(REQUIREMENTS).ensure()
    Job.start(
        ["synth", f"--out={folder / 'cohort'}", "--patients=12", "--seed=5", "--jobs=2"], onProgress=printProgress
    ).wait()
    training = PRRTTrainingLogic()
    plan = TrainingPlan(
        folder / "cohort" / "cohort.csv", folder / "run", ("pet_ct_labs",), "quick", repeats=1, device="cpu", jobs=1
    )
    training.train(plan, onProgress=printProgress)
    training.packModel(plan.run, "pet_ct_labs", folder / "model").wait()
    (folder / "database").mkdir()
    openDatabase(folder / "database")
    arguments.model = folder / "model"
    arguments.study = createDemoPatient(slicer.dicomDatabase, folder / "patient")
    for lab, value in DEMO_LABS.items():
        setattr(arguments, lab, value)


def openDatabase(folder: Path) -> None:
    from DICOMLib import DICOMUtils

    if not DICOMUtils.openDatabase(str(folder)):
        raise SystemExit(f"no DICOM database in {folder}")


runAndExit(main)
