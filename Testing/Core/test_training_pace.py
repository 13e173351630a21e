"""What a panel is told while a run goes on: which fold, which model, how long still; also on resuming."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from training_stand_in import tiny_cohort, tiny_config

from PRRTPredictorCore.console import JsonLines
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.training.crossval import run_crossval
from PRRTPredictorCore.training.pace import Pace, expected_cost
from PRRTPredictorCore.training.records import FoldTask
from PRRTPredictorCore.training.store import RunStore

TUNED_SECONDS = {
    "rf_labs": 0.63,
    "pet": 7.2,
    "ct": 6.9,
    "pet_labs": 7.2,
    "ct_labs": 7.2,
    "pet_ct_labs": 14.3,
    "pet_ct_labs_pretrained": 38.1,
}
"""Seconds of a fit of 50 epochs, about the mean, on one CPU core with 116 made patients and the tuned preset."""

COHORT, IMAGES = tiny_cohort()


def protocol(repeats: int = 5) -> list[FoldTask]:
    """The order in which a run of all models fits its folds."""
    return [FoldTask(model, repeat, fold, (), ()) for repeat in range(repeats) for model in MODELS for fold in range(3)]


def test_the_costs_are_about_those_that_were_measured() -> None:
    for name, seconds in TUNED_SECONDS.items():
        assert 7.1 * expected_cost(MODELS[name]) == pytest.approx(seconds, rel=0.25), name


@pytest.mark.parametrize("speed", [1.0, 7.0])
@pytest.mark.parametrize("jobs", [1, 8])
def test_the_estimate_is_fair_from_the_first_fold_on(speed: float, jobs: int) -> None:
    tasks = protocol()
    pace = Pace(tasks, {}, jobs)
    assert pace.seconds_left() is None
    left = sum(TUNED_SECONDS[task.model] for task in tasks) * speed
    for task in tasks[:-8]:
        assert pace.in_work == task.label
        pace.finished(task, TUNED_SECONDS[task.model] * speed)
        left -= TUNED_SECONDS[task.model] * speed
        estimate = pace.seconds_left()
        assert estimate is not None
        assert 0.7 < estimate * jobs / left < 1.3, task.label
    for task in tasks[-8:]:
        pace.finished(task, TUNED_SECONDS[task.model] * speed)
    assert pace.seconds_left() == 0.0
    assert pace.in_work == ""


def test_earlier_folds_count_until_the_model_is_timed_anew() -> None:
    tasks = [FoldTask("pet", 0, fold, (), ()) for fold in range(4)]
    pace = Pace(tasks, {"pet": [10.0, 20.0], "ct": []}, 1)
    assert pace.seconds_left() == pytest.approx(60.0)
    pace.finished(tasks[2], 1.0)  # another machine
    assert pace.seconds_left() == pytest.approx(3.0)
    assert pace.in_work == "pet 0-0"


def lines(run: Path) -> list[dict]:
    stream = io.StringIO()
    run_crossval(COHORT, IMAGES, tiny_config("rf_labs", "pet_labs", repeats=2), run, JsonLines(stream))
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_the_lines_of_a_run_let_a_panel_say_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = lines(tmp_path / "run")
    assert [(line["stage"], line["done"], line["total"]) for line in told] == [("train", n, 8) for n in range(9)]
    models = [line["message"].split(" ")[0] for line in told]
    assert models == ["rf_labs", "rf_labs", "pet_labs", "pet_labs", "rf_labs", "rf_labs", "pet_labs", "pet_labs", ""]
    assert told[0]["eta_s"] is None
    assert all(line["eta_s"] >= 0 for line in told[1:])
    assert told[-1]["eta_s"] == 0

    # Resumed, the time left is known before the first fold is done; finished, there is nothing left.
    (RunStore(tmp_path / "run").fold_folder("pet_labs", 1, 0) / "done.json").unlink()
    resumed = lines(tmp_path / "run")
    assert [(line["done"], line["message"]) for line in resumed] == [(7, "pet_labs 1-0"), (8, "")]
    assert resumed[0]["eta_s"] is not None  # 0.0 where a fold takes less than 50 ms
    assert [(line["done"], line["eta_s"]) for line in lines(tmp_path / "run")] == [(8, 0.0)]


def test_other_stages_are_timed_by_their_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("PRRTPredictorCore.console.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = JsonLines(stream)
    progress.expect(99.0)
    for done in range(3):
        progress("prepare", done, 4)
        now[0] += 2.0
    assert [json.loads(line)["eta_s"] for line in stream.getvalue().splitlines()] == [99.0, None, 4.0]


def test_the_work_goes_on_when_nobody_reads() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(22, "Invalid argument")  # what Windows says of a closed pipe

    JsonLines(Closed())("train", 1, 2)
