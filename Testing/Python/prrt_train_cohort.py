"""Train and compare models on a cohort without a window; prints Table 2. The same command again goes on with the run.

    Slicer --no-main-window --python-script prrt_train_cohort.py --cohort cohort.csv --out RUN \
        --models rf_labs pet_ct_labs --model MODEL

Without --cohort a small SYNTHETIC cohort is made, trained on, cancelled and gone on with; that is how ctest runs it.
Research use only.
"""

from __future__ import annotations

import argparse
import tempfile
from math import isfinite
from pathlib import Path

from PRRTPredictor import REQUIREMENTS, PRRTTrainingLogic
from PRRTPredictorCore.cohort.text import format_check
from PRRTPredictorCore.errors import Cancelled
from PRRTPredictorCore.evaluation.results import RunResults
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorLib.Dependencies import Dependencies
from PRRTPredictorLib.Headless import printProgress, runAndExit
from PRRTPredictorLib.TrainingLogic import TrainingPlan
from PRRTPredictorLib.Worker import Job, Progressed


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(prog="prrt_train_cohort.py", description=__doc__.splitlines()[0])
    words.add_argument("--cohort", type=Path, metavar="cohort.csv", help="left out: a SYNTHETIC one is made")
    words.add_argument("--out", type=Path, metavar="RUN", help="the run folder")
    words.add_argument("--models", nargs="+", choices=tuple(MODELS), default=(), metavar="NAME", help="default: all")
    words.add_argument("--preset", choices=("tuned", "paper", "quick"), default="tuned")
    words.add_argument("--folds", type=int, default=3)
    words.add_argument("--repeats", type=int, default=5)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    words.add_argument("--jobs", type=int, default=None)
    words.add_argument("--pack", choices=tuple(MODELS), metavar="NAME", help="pack this model when all is trained")
    words.add_argument("--model", type=Path, metavar="MODEL", help="the folder to pack it into")
    return words


def main() -> None:
    arguments = parser().parse_args()
    if arguments.cohort is None:
        tryItOut()
        return
    plan = TrainingPlan(
        arguments.cohort, arguments.out, tuple(arguments.models), arguments.preset, arguments.folds, arguments.repeats,
        arguments.seed, arguments.device, arguments.jobs,
    )  # fmt: skip
    logic = PRRTTrainingLogic(dependencies=Dependencies(REQUIREMENTS))
    check = logic.checkCohort(plan.cohort)
    print(format_check(check.cohort))
    printTableTwo(logic.train(plan, onProgress=printProgress))
    logic.writeReport(plan.run, plan.cohort).wait()
    if arguments.pack is not None:
        logic.packModel(plan.run, arguments.pack, arguments.model).wait()


def tryItOut() -> None:
    """The whole way on made patients: check, train, cancel, go on, report, pack."""
    logic = PRRTTrainingLogic(dependencies=Dependencies(REQUIREMENTS))
    Dependencies(REQUIREMENTS).ensure()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = folder / "cohort"
        Job.start(["synth", f"--out={made}", "--patients=12", "--seed=5", "--jobs=2"], onProgress=printProgress).wait()
        plan = TrainingPlan(
            made / "cohort.csv", folder / "run", ("rf_labs", "pet_labs"), "quick", repeats=1, device="cpu", jobs=1
        )
        check = logic.checkCohort(plan.cohort)
        require(len(check.cohort.patients) == 12 and not check.cohort.violations, "the cohort was not read")
        require(logic.runState(plan.run, plan) == "new", "the run is not new")
        cancelInTheMiddle(logic, plan)
        require(logic.runState(plan.run, plan) == "resumable", "the run cannot be resumed")
        results = logic.train(plan, onProgress=printProgress)
        require([model.name for model in results.models] == ["rf_labs", "pet_labs"], "a model is missing")
        require(logic.runState(plan.run, plan) == "finished", "the run is not finished")
        printTableTwo(results)
        logic.writeReport(plan.run, plan.cohort).wait()
        require((plan.run / "report.html").is_file(), "there is no report")
        logic.packModel(plan.run, "pet_labs", folder / "model").wait()
        require((folder / "model" / "configs" / "metadata.json").is_file(), "there is no model")


def cancelInTheMiddle(logic: PRRTTrainingLogic, plan: TrainingPlan) -> None:
    """Stop the run after its first fold."""
    stages: list[Progressed] = []
    job = logic.start(plan, onProgress=stages.append)
    try:
        while job.running and not any(one.stage == "train" and one.done > 0 for one in stages):
            job.poll()
        job.cancel()
        job.wait()
    except Cancelled:
        return
    raise AssertionError("the run ended before it could be cancelled")


def require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def printTableTwo(results: RunResults) -> None:
    print("Model; AUROC (SE); AUPRC (SE); accuracy (SE)" + ("; SYNTHETIC patients" if results.synthetic else ""))
    for model in results.models:
        figures = (model.auroc, model.auprc, model.accuracy)
        print(
            "; ".join(
                [
                    model.title,
                    *(f"{one.mean:.2f} ({one.se:.2f})" if isfinite(one.se) else f"{one.mean:.2f}" for one in figures),
                ]
            )
        )


runAndExit(main)
