"""The run folder: whole or absent, resumable to the same bytes, one process at a time, never mixed."""

from __future__ import annotations

import csv
import json
import multiprocessing
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from training_stand_in import TINY, tiny_cohort, tiny_config

from PRRTPredictorCore.errors import Cancelled, Code, CohortRefused, ModelRefused, RunFailed
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.training.crossval import run_crossval
from PRRTPredictorCore.training.lock import run_lock
from PRRTPredictorCore.training.records import FoldResult
from PRRTPredictorCore.training.store import RunStore
from PRRTPredictorCore.training.workers import LocalWorkers

COHORT, IMAGES = tiny_cohort()
MIX = ("rf_labs", "pet_labs", "pet_ct_labs_pretrained")


def stored_bytes(run: Path) -> dict[str, bytes]:
    """Everything that metrics come from."""
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.glob("folds/*/*/*")) if _lasting(path)}


def _lasting(path: Path) -> bool:
    return path.suffix in (".csv", ".safetensors")


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    run_crossval(COHORT, IMAGES, tiny_config(*MODELS), run)
    return run


# --- what a run leaves ------------------------------------------------------------------------------------------------


def test_all_seven_models_leave_what_the_architecture_says(whole_run: Path) -> None:
    for model in MODELS:
        for fold in range(2):
            names = {path.name for path in (whole_run / "folds" / model / f"0-{fold}").iterdir()}
            expected = {"done.json", "predictions.csv", "weights.safetensors", "gradients.npz", "permutations.npz"}
            assert names == (expected if model == "rf_labs" else expected | {"embeddings.npz"})
    leftovers = {path.name for path in whole_run.iterdir()}
    known = {"manifest.json", "splits.json", "cohort.json", "ct_encoder.safetensors", "folds"}
    assert known <= leftovers <= known | {".lock"}


def test_predictions_csv_is_the_fixed_table_in_full_precision(whole_run: Path) -> None:
    store = RunStore(whole_run)
    path = whole_run / "folds" / "pet_labs" / "0-1" / "predictions.csv"
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["patient", "repeat", "fold", "y", "probability", "logit"]
    predictions = store.predictions("pet_labs")[1]
    assert [row["patient"] for row in rows] == list(predictions.codes) == list(store.splits[1].test)
    assert [float(row["logit"]) for row in rows] == predictions.logit.tolist()
    np.testing.assert_array_equal(predictions.probability, 1 / (1 + np.exp(-predictions.logit)))
    outcomes = {patient.code: int(patient.outcome.long_pfs) for patient in COHORT.patients}
    assert predictions.y.tolist() == [outcomes[code] for code in predictions.codes]


def test_done_json_tells_how_the_fit_went(whole_run: Path) -> None:
    done = json.loads((whole_run / "folds" / "pet" / "0-0" / "done.json").read_text(encoding="utf-8"))
    told = {"finished_utc", "epochs", "best_epoch", "collapsed", "seconds", "device", "reason", "folds_together"}
    assert told == set(done)
    assert done["device"] == "cpu"
    assert 1 <= done["best_epoch"] <= done["epochs"] <= 3


def test_the_manifest_says_what_the_run_is(whole_run: Path) -> None:
    manifest = RunStore(whole_run).manifest
    assert manifest.models == tuple(MODELS)
    assert manifest.synthetic
    assert manifest.preset_record() == TINY
    assert manifest.exclusions == {"event": 1}
    assert manifest.feature_names == ("ast", "alt", "ggt", "cga")
    assert (manifest.n_patients, manifest.n_long) == (18, 12)
    assert {"prrtpredictor", "torch", "scikit-learn", "python"} <= set(manifest.versions)
    assert set(manifest.folds_together) == set(MODELS)
    assert manifest.pretrained is not None
    assert manifest.pretrained.sha256 == RunStore(whole_run).ct_encoder().sha256
    assert "Research use only" in (whole_run / "manifest.json").read_text(encoding="utf-8")


def test_the_cohort_is_remembered_without_files_and_dates(whole_run: Path) -> None:
    remembered = RunStore(whole_run).cohort
    assert [patient.code for patient in remembered.cohort.patients] == sorted(p.code for p in COHORT.patients)
    patient, original = remembered.cohort.patients[3], COHORT.patients[3]
    assert patient.labs.values() == original.labs.values()
    assert patient.outcome == original.outcome
    assert patient.characteristics.metastases == ("hepatic",)
    assert patient.characteristics.scanner == "GE MI"
    assert patient.characteristics.contrast_ct == "yes"
    assert patient.prrt_start is None
    assert patient.pet.folder is None
    assert patient.extras == {}  # no column that is not an input
    ranges = remembered.training_ranges(("ast", "alt", "ggt", "cga"))
    assert ranges.field_of_view_mm[0] == (120.0, 120.0)
    assert ranges.tabular["cga"][0] == min(p.labs.cga_ug_per_l for p in COHORT.patients)


@pytest.mark.parametrize("model", MODELS)
def test_a_stored_fold_answers_as_it_did(whole_run: Path, model: str) -> None:
    store = RunStore(whole_run)
    fitted = store.load_fold(model, 0, 1)
    predictions = store.predictions(model)[1]
    patients = {patient.code: patient for patient in COHORT.patients}
    logits = fitted.predict(
        np.stack([IMAGES.study(code).pet for code in predictions.codes]),
        np.stack([IMAGES.study(code).ct for code in predictions.codes]),
        np.array([patients[code].tabular() for code in predictions.codes]),
    )
    np.testing.assert_allclose(logits, predictions.logit, atol=1e-5)


def test_pretrained_ct_gradients_are_taken_for_some_patients_and_marked(whole_run: Path) -> None:
    gradients = RunStore(whole_run).gradients("pet_ct_labs_pretrained", 0, 0)
    assert gradients is not None
    assert gradients.pet is not None
    assert gradients.ct is not None
    assert gradients.pet.known.all()
    assert gradients.ct.known.sum() == 4


def test_reading_what_is_no_run_or_not_finished_is_refused(tmp_path: Path, whole_run: Path) -> None:
    with pytest.raises(ModelRefused) as refusal:
        _ = RunStore(tmp_path).manifest
    assert refusal.value.code is Code.PATH_MISSING
    with pytest.raises(ModelRefused) as unfinished:
        RunStore(whole_run).load_fold("pet", 4, 0)
    assert unfinished.value.code is Code.RUN_INCOMPLETE


# --- resuming ---------------------------------------------------------------------------------------------------------


def test_a_run_cut_at_any_fold_resumes_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(*MIX)
    run_crossval(COHORT, IMAGES, config, tmp_path / "whole")
    whole = stored_bytes(tmp_path / "whole")
    save = RunStore.save_fold
    saved = 0

    def interrupted_after_two(self: RunStore, result: FoldResult) -> None:
        nonlocal saved
        if saved == 2:
            raise KeyboardInterrupt
        saved += 1
        save(self, result)

    monkeypatch.setattr(RunStore, "save_fold", interrupted_after_two)
    with pytest.raises(Cancelled) as cancelled:
        run_crossval(COHORT, IMAGES, config, tmp_path / "cut")
    assert cancelled.value.exit_code == 130
    monkeypatch.setattr(RunStore, "save_fold", save)
    assert len(stored_bytes(tmp_path / "cut")) == 4

    steps: list[tuple[int, int]] = []

    def listen(stage: str, done: int, total: int, message: str = "") -> None:
        if stage == "train":
            steps.append((done, total))

    store = run_crossval(COHORT, IMAGES, config, tmp_path / "cut", listen)
    assert steps == [(2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]
    assert stored_bytes(tmp_path / "cut") == whole
    assert store.missing() == ()


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)  # in a container nobody may bury the dead
    except psutil.NoSuchProcess:
        return False


def _is_worker(child: psutil.Process) -> bool:
    try:
        return "popen_loky" in " ".join(child.cmdline())
    except psutil.NoSuchProcess:
        return False


def test_a_killed_run_leaves_no_worker_and_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    code = f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        import psutil
        from PRRTPredictorCore import files
        from PRRTPredictorCore.training.crossval import run_crossval
        from training_stand_in import tiny_cohort, tiny_config
        run, flush, count = Path(sys.argv[1]), files._flush_to_disk, 0
        def flush_or_die(file):
            global count
            count += file.parent.name.startswith(files.PARTIAL)
            if count == 7:  # in the middle of writing a fold
                workers = [child.pid for child in psutil.Process().children(recursive=True)]
                run.with_name("workers").write_text(" ".join(map(str, workers)))
                psutil.Process().kill()
            flush(file)
        files._flush_to_disk = flush_or_die
        if __name__ == "__main__":
            run_crossval(*tiny_cohort(), tiny_config("rf_labs", "pet_labs", jobs=2), run)
    """
    run = tmp_path / "killed"
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(run)], check=False)
    assert killed.returncode != 0
    workers = [int(pid) for pid in (tmp_path / "workers").read_text(encoding="ascii").split()]
    assert len(workers) >= 2
    assert any(path.name.startswith(".partial-") for path in run.glob("folds/*/*"))
    assert len(stored_bytes(run)) < 8

    run_crossval(COHORT, IMAGES, tiny_config("rf_labs", "pet_labs"), run)
    run_crossval(COHORT, IMAGES, tiny_config("rf_labs", "pet_labs"), tmp_path / "whole")
    assert stored_bytes(run) == stored_bytes(tmp_path / "whole")
    assert not list(run.glob("folds/*/.partial-*"))
    deadline = time.monotonic() + 120
    while alive := [pid for pid in workers if _is_alive(pid)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.2)


def test_further_models_extend_a_run_and_leave_the_others_alone(tmp_path: Path) -> None:
    run_crossval(COHORT, IMAGES, tiny_config("rf_labs"), tmp_path)
    before = stored_bytes(tmp_path)
    store = run_crossval(COHORT, IMAGES, tiny_config("pet"), tmp_path)
    assert store.manifest.models == ("rf_labs", "pet")
    after = stored_bytes(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(store.predictions("pet")) == 2


def test_a_finished_run_is_not_fitted_again(tmp_path: Path) -> None:
    run_crossval(COHORT, IMAGES, tiny_config("rf_labs"), tmp_path)
    asked: list[int] = []

    class Counting(LocalWorkers):
        def fit(self, groups, data, settings):  # type: ignore[no-untyped-def]
            asked.append(len(groups))
            return super().fit(groups, data, settings)

    run_crossval(COHORT, IMAGES, tiny_config("rf_labs"), tmp_path, workers=Counting())
    assert asked == [0]


def test_jobs_change_no_result(tmp_path: Path) -> None:
    config = tiny_config(*MIX)
    run_crossval(COHORT, IMAGES, config, tmp_path / "one")
    run_crossval(COHORT, IMAGES, replace(config, jobs=2), tmp_path / "two")
    assert stored_bytes(tmp_path / "one") == stored_bytes(tmp_path / "two")


def test_cancelling_side_by_side_leaves_no_worker(tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int, message: str = "") -> None:
        if stage == "train" and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(Cancelled):
        run_crossval(COHORT, IMAGES, tiny_config("rf_labs", "pet", jobs=2), tmp_path, stop)
    workers = [child for child in psutil.Process().children(recursive=True) if _is_worker(child)]
    _, alive = psutil.wait_procs(workers, timeout=120)
    assert not alive
    assert len(list(tmp_path.glob("folds/*/*/done.json"))) == 1


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "the seed"),
        ({"folds": 3}, "the number of folds"),
        ({"repeats": 2}, "the number of repeats"),
        ({"preset": replace(TINY, epochs=4)}, "preset"),
        ({"extras": ("haemoglobin",)}, "tabular inputs"),
    ],
)
def test_another_configuration_is_refused_and_named(tmp_path: Path, change: dict[str, object], named: str) -> None:
    config = tiny_config("rf_labs")
    run_crossval(COHORT, IMAGES, config, tmp_path)
    before = stored_bytes(tmp_path)
    with pytest.raises(ModelRefused) as refusal:
        run_crossval(COHORT, IMAGES, replace(config, **change), tmp_path)  # type: ignore[arg-type]
    assert refusal.value.code is Code.RUN_MISMATCH
    assert named in refusal.value.message
    assert stored_bytes(tmp_path) == before


def test_another_cohort_is_refused(tmp_path: Path) -> None:
    run_crossval(COHORT, IMAGES, tiny_config("rf_labs"), tmp_path)
    first, *others = COHORT.patients
    other_labs = replace(first, labs=replace(first.labs, ast_u_per_l=first.labs.ast_u_per_l + 1))
    for cohort, images in (
        (replace(COHORT, patients=(other_labs, *others)), IMAGES),
        (COHORT, replace(IMAGES, salt="other pixels")),
    ):
        with pytest.raises(ModelRefused) as refusal:
            run_crossval(cohort, images, tiny_config("rf_labs"), tmp_path)
        assert "cohort" in refusal.value.message


def test_the_order_of_the_rows_is_no_other_cohort(tmp_path: Path) -> None:
    run_crossval(COHORT, IMAGES, tiny_config("rf_labs"), tmp_path)
    turned = replace(COHORT, patients=tuple(reversed(COHORT.patients)))
    run_crossval(turned, IMAGES, tiny_config("rf_labs"), tmp_path)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("years of work", encoding="utf-8")
    with pytest.raises(ModelRefused) as refusal:
        run_crossval(COHORT, IMAGES, tiny_config("rf_labs"), tmp_path)
    assert refusal.value.code is Code.RUN_MISMATCH
    assert not (tmp_path / "manifest.json").exists()


def test_one_class_leaves_nothing_behind(tmp_path: Path) -> None:
    only_long = replace(COHORT, patients=tuple(p for p in COHORT.patients if p.outcome.long_pfs))
    with pytest.raises(CohortRefused) as refusal:
        run_crossval(only_long, IMAGES, tiny_config("rf_labs"), tmp_path / "run")
    assert refusal.value.code is Code.ONE_CLASS
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_one_clear_error_and_keeps_finished_folds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PRRTPredictorCore import files

    flush: Callable[[Path], None] = files._flush_to_disk

    def full(file: Path) -> None:
        if "0-1" in str(file.parent.relative_to(tmp_path)):
            raise OSError(28, "No space left on device")
        flush(file)

    monkeypatch.setattr(files, "_flush_to_disk", full)
    with pytest.raises(RunFailed) as failure:
        run_crossval(COHORT, IMAGES, tiny_config("rf_labs"), tmp_path)
    assert failure.value.code is Code.OUTPUT
    assert "No space left" in failure.value.message
    assert [path.name for path in (tmp_path / "folds" / "rf_labs").iterdir()] == ["0-0"]


def _hold(run: str, ready: multiprocessing.synchronize.Event) -> None:
    with run_lock(Path(run)):
        ready.set()
        signal.pause() if hasattr(signal, "pause") else ready.wait()


def test_a_second_process_is_refused_and_a_dead_ones_lock_taken_over(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    other = context.Process(target=_hold, args=(str(tmp_path), ready), daemon=True)
    other.start()
    assert ready.wait(300)  # it imports torch first
    with pytest.raises(RunFailed) as refusal:
        run_crossval(COHORT, IMAGES, tiny_config("rf_labs"), tmp_path)
    assert refusal.value.code is Code.RUN_BUSY
    assert str(other.pid) in refusal.value.message
    other.kill()
    other.join()
    run_crossval(COHORT, IMAGES, tiny_config("rf_labs"), tmp_path)
    assert RunStore(tmp_path).missing() == ()
