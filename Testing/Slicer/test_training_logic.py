"""Training without widgets: check, train, cancel, go on, results, report, model."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trained_run import TrainedRun, made_cohort, private_folders, trained_run

from PRRTPredictorCore.cli import build_parser
from PRRTPredictorCore.errors import Cancelled, Code, CohortRefused, ModelRefused, PRRTError, RunFailed
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorLib.TrainingLogic import TrainingLogic, TrainingPlan
from PRRTPredictorLib.Worker import MODULE_FOLDER, Job, Progressed

PLAN = TrainingPlan(Path("a cohort.csv"), Path("a run"), ("rf_labs", "pet"), "quick", 4, 2, 9, "cpu", 3)


@pytest.fixture(scope="module", autouse=True)
def private(tmp_path_factory: pytest.TempPathFactory):
    yield from private_folders(tmp_path_factory)


@pytest.fixture(scope="module")
def cohort(private: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_cohort(tmp_path_factory) / "cohort.csv"


@pytest.fixture(scope="module")
def trained(private: None, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return trained_run(tmp_path_factory)


def test_the_plan_is_what_the_command_line_understands() -> None:
    said = build_parser().parse_args([*PLAN.words(), "--json", "--progress", "jsonl"])
    assert (said.cohort, said.out, tuple(said.models)) == (PLAN.cohort, PLAN.run, PLAN.models)
    assert (said.preset, said.folds, said.repeats, said.seed) == ("quick", 4, 2, 9)
    assert (said.device, said.jobs, said.json) == ("cpu", 3, True)
    usual = build_parser().parse_args([*TrainingPlan(Path("c"), Path("r")).words(), "--json"])
    assert (tuple(usual.models), usual.preset, usual.folds, usual.repeats) == (tuple(MODELS), "tuned", 3, 5)
    assert (usual.seed, usual.device, usual.jobs) == (0, "auto", None)


def test_a_cohort_is_checked_in_this_process(cohort: Path) -> None:
    check = TrainingLogic(startJob=None).checkCohort(cohort)  # type: ignore[arg-type]
    assert len(check.cohort.patients) == 12
    assert check.cohort.violations == ()
    assert check.tableOne.row("Patient Statistics", "Patient Count").total.count == 12


def test_a_cohort_is_checked_before_anything_is_installed(cohort: Path, tmp_path: Path) -> None:
    """In a process that finds nothing of what Slicer does not bring along, and with no key yet."""
    absent = (
        "filelock jinja2 joblib lifelines matplotlib monai nrrd pandas platformdirs psutil rich safetensors sklearn "
    )
    code = (
        "import sys, importlib.abc\n"
        "class Absent(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name in {(absent + 'torch umap').split()!r}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        f"sys.path.insert(0, {str(MODULE_FOLDER)!r})\n"
        "from pathlib import Path\n"
        "from PRRTPredictorLib.TrainingLogic import TrainingLogic\n"
        f"print(len(TrainingLogic().checkCohort(Path({str(cohort)!r})).cohort.patients))\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    environment.pop("PRRT_CONFIG_DIR")
    environment.pop("XDG_CONFIG_HOME", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "12", done.stderr


def test_violations_are_part_of_the_check(cohort: Path, tmp_path: Path) -> None:
    lines = cohort.read_text(encoding="utf-8").splitlines()
    broken = tmp_path / "cohort.csv"
    broken.write_text("\n".join([lines[0], *lines[1:3]]), encoding="utf-8")  # its folders are elsewhere
    check = TrainingLogic().checkCohort(broken)
    assert check.cohort.patients == ()
    assert check.tableOne is None
    assert {one.code for one in check.cohort.violations} == {Code.COHORT_PATH}
    assert all(one.remedy for one in check.cohort.violations)
    with pytest.raises(CohortRefused):
        TrainingLogic().checkCohort(tmp_path / "none.csv")


def test_a_folder_without_a_run_is_new(tmp_path: Path) -> None:
    assert TrainingLogic().runState(tmp_path, PLAN) == "new"
    assert TrainingLogic().runState(tmp_path / "nothing", PLAN) == "new"


def test_installation_is_asked_for_before_the_child_starts() -> None:
    class Declines:
        def ensure(self) -> None:
            raise RunFailed(Code.DEPENDENCY_MISSING, "no")

    started: list[Any] = []
    logic = TrainingLogic(lambda *words, **callbacks: started.append(words), Declines())
    for start in (
        lambda: logic.start(PLAN),
        lambda: logic.packModel(Path("r"), "pet", Path("m")),
        lambda: logic.writeReport(Path("r")),
    ):
        with pytest.raises(RunFailed):
            start()
    assert started == []


def test_a_report_does_without_a_table_that_is_not_the_runs(tmp_path: Path) -> None:
    started: list[Any] = []
    logic = TrainingLogic(lambda words, **callbacks: started.append(words))
    (tmp_path / "other.csv").write_text("no,table")
    for table in (None, Path(), tmp_path, tmp_path / "other.csv", tmp_path / "none.csv"):
        logic.writeReport(tmp_path / "run", table)
    assert started == [["report", str(tmp_path / "run")]] * 5


@pytest.mark.slow
def test_a_report_is_told_the_runs_own_table(trained: TrainedRun) -> None:
    started: list[Any] = []
    logic = TrainingLogic(lambda words, **callbacks: started.append(words))
    logic.writeReport(trained.plan.run, trained.plan.cohort)
    logic.writeReport(trained.plan.run, compare=("pet_ct_labs", "rf_labs"))
    assert started == [
        ["report", str(trained.plan.run), f"--cohort={trained.plan.cohort}"],
        ["report", str(trained.plan.run), "--compare", "pet_ct_labs", "rf_labs"],
    ]


@pytest.mark.slow
def test_models_with_a_finished_fold_can_be_reported(trained: TrainedRun, tmp_path: Path) -> None:
    logic = TrainingLogic()
    assert logic.finishedModels(trained.plan.run) == ("rf_labs", "pet_ct_labs")
    part = tmp_path / "part"
    shutil.copytree(trained.plan.run, part)
    shutil.rmtree(part / "folds" / "rf_labs")
    assert logic.finishedModels(part) == ("pet_ct_labs",)
    with pytest.raises(ModelRefused):
        logic.finishedModels(tmp_path)


def test_results_that_cannot_be_read_are_a_failure(tmp_path: Path) -> None:
    callbacks: dict[str, Any] = {}
    errors: list[PRRTError] = []
    finished: list[Any] = []
    logic = TrainingLogic(lambda words, **given: callbacks.update(given))
    logic.start(replace(PLAN, run=tmp_path), onFinished=finished.append, onFailed=errors.append)
    callbacks["onFinished"]({})
    assert finished == []
    assert [error.code for error in errors] == [Code.PATH_MISSING]


@pytest.mark.slow
def test_a_cohort_that_is_refused_comes_back_typed(tmp_path: Path) -> None:
    with pytest.raises(CohortRefused) as caught:
        TrainingLogic().train(replace(PLAN, cohort=tmp_path / "none.csv", run=tmp_path / "run"))
    assert caught.value.code is Code.PATH_MISSING
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_finished_run_has_results_a_report_and_a_model(trained: TrainedRun) -> None:
    logic = TrainingLogic()
    assert logic.runState(trained.plan.run, trained.plan) == "finished"
    results = logic.results(trained.plan.run)
    assert logic.notices(trained.plan.run) == ()
    assert [model.name for model in results.models] == ["rf_labs", "pet_ct_labs"]
    assert results.synthetic
    more = replace(trained.plan, models=(*trained.plan.models, "pet"))
    assert logic.runState(trained.plan.run, more) == "resumable"
    fewer = replace(trained.plan, models=("rf_labs",))
    assert logic.runState(trained.plan.run, fewer) == "finished"
    with pytest.raises(ModelRefused) as caught:
        logic.runState(trained.plan.run, replace(trained.plan, seed=77, folds=5))
    assert caught.value.code is Code.RUN_MISMATCH
    assert "folds, seed" in caught.value.message
    assert "seed 2" in caught.value.remedy

    pages: list[Path] = []
    logic.writeReport(trained.plan.run, onFinished=pages.append).wait()
    assert pages == [trained.plan.run / "report.html"]
    assert pages[0].is_file()

    cards: list[Any] = []
    out = trained.model.with_name("labs model")
    logic.packModel(trained.plan.run, "rf_labs", out, onFinished=cards.append).wait()
    assert [card.name for card in cards] == ["rf_labs"]
    with pytest.raises(PRRTError):
        logic.packModel(trained.plan.run, "ct", trained.model.with_name("none")).wait()


@pytest.mark.slow
def test_a_cancelled_run_goes_on_at_once_and_keeps_its_folds(cohort: Path, tmp_path: Path) -> None:
    plan = TrainingPlan(cohort, tmp_path / "run", ("rf_labs", "pet_labs"), "quick", repeats=1, device="cpu", jobs=2)
    logic = TrainingLogic()
    seen: list[Progressed] = []
    failed: list[PRRTError] = []
    job = logic.start(plan, onProgress=seen.append, onFailed=failed.append)
    deadline = time.monotonic() + 240
    while not list((plan.run / "folds").glob("*/[0-9]*/done.json")):
        assert job.running, failed
        assert time.monotonic() < deadline
        job.poll()
        time.sleep(0.01)
    job.cancel()
    while job.running:
        job.poll()
    assert [type(error) for error in failed] == [Cancelled]
    assert logic.runState(plan.run, plan) == "resumable"

    before = {path: path.stat().st_mtime_ns for path in (plan.run / "folds").glob("*/[0-9]*/done.json")}
    results = logic.train(plan, onProgress=seen.append)  # no RUN_BUSY: the lock has gone with its process
    assert [model.name for model in results.models] == ["rf_labs", "pet_labs"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert logic.runState(plan.run, plan) == "finished"
    assert any(one.total == 6 for one in seen), {(one.stage, one.total) for one in seen}


@pytest.mark.slow
def test_a_second_process_on_the_same_run_is_refused(cohort: Path, tmp_path: Path) -> None:
    plan = TrainingPlan(cohort, tmp_path / "run", ("rf_labs", "pet"), "quick", repeats=5, device="cpu", jobs=1)
    logic = TrainingLogic()
    first = logic.start(plan)
    while not (plan.run / "manifest.json").exists():
        first.poll()
        assert first.running
        time.sleep(0.02)
    try:
        with pytest.raises(RunFailed) as caught:
            logic.train(plan)
        assert caught.value.code is Code.RUN_BUSY
    finally:
        first.cancel()


def test_jobs_are_real_by_default() -> None:
    assert TrainingLogic()._startJob == Job.start
