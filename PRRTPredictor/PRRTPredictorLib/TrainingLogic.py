"""A cohort -> a run of repeated cross-validation, its results, report and model; no widgets, for panel and scripts.

The run folder is the truth: whatever was cancelled goes on from there when it is started again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PRRTPredictorCore.cohort.describe import TableOne, table_one
from PRRTPredictorCore.cohort.table import check_cohort, read_cohort
from PRRTPredictorCore.errors import Code, ModelRefused, PRRTError
from PRRTPredictorCore.evaluation.results import RunResults, read_results
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.prediction.card import ModelCard, read_card
from PRRTPredictorCore.records import Cohort, Notice
from PRRTPredictorCore.training.manifest import MANIFEST_NAME
from PRRTPredictorCore.training.notices import run_notices
from PRRTPredictorCore.training.store import RunStore
from PRRTPredictorLib.Worker import Job, OnFailed, OnLine, OnProgress
from PRRTPredictorLib.WorkerLogic import WorkerLogic

RunState = Literal["new", "resumable", "finished"]

REPORT_NAME = "report.html"


@dataclass(frozen=True)
class TrainingPlan:
    """What ``prrt train`` is asked to do.

    Attributes
    ----------
    cohort : Path
        ``cohort.csv``.
    run : Path
        The run folder, new or begun.
    models : tuple of str
        Registry names; none means all seven.
    preset : {"tuned", "paper", "quick"}
    folds, repeats, seed : int
    device : {"auto", "cpu", "cuda"}
    jobs : int or None
        Processes side by side; None: one a core.
    """

    cohort: Path
    run: Path
    models: tuple[str, ...] = ()
    preset: str = "tuned"
    folds: int = 3
    repeats: int = 5
    seed: int = 0
    device: str = "auto"
    jobs: int | None = None

    def words(self) -> list[str]:
        """The command line."""
        return [
            "train",
            str(self.cohort),
            f"--out={self.run}",
            f"--preset={self.preset}",
            f"--folds={self.folds}",
            f"--repeats={self.repeats}",
            f"--seed={self.seed}",
            f"--device={self.device}",
            *([f"--jobs={self.jobs}"] if self.jobs is not None else []),
            *(["--models", *self.models] if self.models else []),
        ]


@dataclass(frozen=True)
class CohortCheck:
    """A cohort with its violations, and Table 1 of the patients without any; None where there is no such patient."""

    cohort: Cohort
    tableOne: TableOne | None


class TrainingLogic(WorkerLogic):
    """Checks a cohort, trains on it, reads what came out.

    Examples
    --------
    >>> logic = TrainingLogic()
    >>> results = logic.train(TrainingPlan(Path("cohort.csv"), Path("run"), models=("rf_labs", "pet_labs")))
    >>> [(model.name, model.auroc.mean) for model in results.models]
    """

    def checkCohort(self, path: Path) -> CohortCheck:
        """Check every row of a cohort table; works before anything is installed.

        Raises
        ------
        CohortRefused
            No such file, or no table at all; what is wrong with single rows is in the answer.
        """
        cohort = check_cohort(Path(path))
        return CohortCheck(cohort, table_one(cohort.patients) if cohort.patients else None)

    def runState(self, run: Path, plan: TrainingPlan) -> RunState:
        """What starting ``plan`` in ``run`` would mean: begin, go on, or nothing left to do.

        Raises
        ------
        ModelRefused
            ``RUN_MISMATCH``: the folder holds a run with other settings, or of another version. ``PATH_MISSING``: it
            cannot be read.
        """
        run = Path(run)
        try:
            begun = (run / MANIFEST_NAME).is_file()
        except OSError as problem:  # a folder that we may not look into, or a name longer than the system allows
            raise ModelRefused(
                Code.PATH_MISSING,
                f"The run folder cannot be read: {problem.strerror or type(problem).__name__}.",
                where=run.name[-60:],
                remedy="Choose a folder that you may read and write.",
            ) from problem
        if not begun:
            return "new"
        store = RunStore(run)
        _requireSameSettings(store, plan)
        asked = set(plan.models or MODELS)
        if not asked <= set(store.manifest.models) or any(task.model in asked for task in store.missing()):
            return "resumable"
        try:
            read_results(run)
        except ModelRefused:  # every fold is there, and not evaluated yet
            return "resumable"
        return "finished"

    def start(
        self,
        plan: TrainingPlan,
        *,
        onProgress: OnProgress | None = None,
        onLine: OnLine | None = None,
        onFinished: Callable[[RunResults], None] | None = None,
        onFailed: OnFailed | None = None,
    ) -> Job:
        """Begin the run, or go on with it, in a child process; callbacks as for :class:`Job`.

        Raises
        ------
        PRRTError
            Packages are missing, or the child cannot be started. What is wrong with the cohort reaches ``onFailed``.
        """
        self._install()
        return self._launch(
            plan.words(),
            lambda _answer: read_results(plan.run),
            onProgress=onProgress,
            onLine=onLine,
            onFinished=onFinished,
            onFailed=onFailed,
        )

    def train(
        self, plan: TrainingPlan, onProgress: OnProgress | None = None, onLine: OnLine | None = None
    ) -> RunResults:
        """As :meth:`start`, but wait for the results; for scripts.

        Raises
        ------
        PRRTError
            As :meth:`start`, and what went wrong in the child process.
        """
        self.start(plan, onProgress=onProgress, onLine=onLine).wait()
        return read_results(plan.run)

    def results(self, run: Path) -> RunResults:
        """What a run has shown.

        Raises
        ------
        ModelRefused
            No run there, not evaluated yet, or damaged.
        """
        return read_results(Path(run))

    def notices(self, run: Path) -> tuple[Notice, ...]:
        """What is worth telling beside a run's results: fits that stopped, groups that memory did not hold.

        Raises
        ------
        ModelRefused
            No run there, or damaged.
        """
        return run_notices(RunStore(Path(run)))

    def finishedModels(self, run: Path) -> tuple[str, ...]:
        """Registry names of the models with a finished fold: those that a report can show.

        Raises
        ------
        ModelRefused
            No run there, or damaged.
        """
        store = RunStore(Path(run))
        return tuple(name for name in MODELS if name in store.manifest.models and store.finished(name))

    def packModel(
        self,
        run: Path,
        model: str,
        out: Path,
        *,
        onProgress: OnProgress | None = None,
        onLine: OnLine | None = None,
        onFinished: Callable[[ModelCard], None] | None = None,
        onFailed: OnFailed | None = None,
    ) -> Job:
        """Pack the fold ensemble of a finished model as a model folder; ``onFinished(ModelCard)``."""
        self._install()
        return self._launch(
            ["fit", f"--run={run}", f"--model={model}", f"--out={out}"],
            lambda _answer: read_card(out),
            onProgress=onProgress,
            onLine=onLine,
            onFinished=onFinished,
            onFailed=onFailed,
        )

    def writeReport(
        self,
        run: Path,
        cohort: Path | None = None,
        compare: tuple[str, str] | None = None,
        *,
        onProgress: OnProgress | None = None,
        onLine: OnLine | None = None,
        onFinished: Callable[[Path], None] | None = None,
        onFailed: OnFailed | None = None,
    ) -> Job:
        """Write figures and report of a run; ``onFinished`` receives the page's path.

        ``cohort`` is the table that it was trained on: for organ labels, and for images that are no longer cached. A
        table that broke since, or of another run, is left out: a report can do without. ``compare`` names two models to
        hold against each other; None leaves them to the report.
        """
        self._install()
        table = cohort if cohort is not None and _isTableOf(Path(cohort), Path(run)) else None
        return self._launch(
            [
                "report",
                str(run),
                *([f"--cohort={table}"] if table is not None else []),
                *(["--compare", *compare] if compare is not None else []),
            ],
            lambda _answer: Path(run) / REPORT_NAME,
            onProgress=onProgress,
            onLine=onLine,
            onFinished=onFinished,
            onFailed=onFailed,
        )


def _isTableOf(cohort: Path, run: Path) -> bool:
    """Whether the run was trained on patients of this table, and the table is still whole."""
    try:
        there = {patient.code for patient in read_cohort(cohort).patients}
        return not there.isdisjoint(patient.code for patient in RunStore(run).cohort.cohort.patients)
    except PRRTError:
        return False


def _requireSameSettings(store: RunStore, plan: TrainingPlan) -> None:
    manifest = store.manifest
    differing = [
        name
        for name, before, now in (
            ("preset", manifest.preset, plan.preset),
            ("folds", manifest.folds, plan.folds),
            ("repeats", manifest.repeats, plan.repeats),
            ("seed", manifest.seed, plan.seed),
        )
        if before != now
    ]
    if differing:
        raise ModelRefused(
            Code.RUN_MISMATCH,
            f"This folder holds a run with another setting: {', '.join(differing)}.",
            where=store.path.name,
            remedy=f"Set preset {manifest.preset}, {manifest.folds} folds, {manifest.repeats} repeats and seed "
            f"{manifest.seed} to go on with it, or choose a new folder.",
        )
