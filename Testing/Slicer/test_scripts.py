"""The scripts that ctest runs inside Slicer run in the stand-in host as well, as a user would start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image
from trained_run import private_environment

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

FOLDER = Path(__file__).resolve().parent
SCRIPTS = FOLDER.parent / "Python"
PATIENCE_S = 550


@pytest.fixture(autouse=True)
def private(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never the study key and the cache of whoever runs the tests."""
    for name, value in private_environment(tmp_path_factory).items():
        monkeypatch.setenv(name, value)


def run_script(name: str, home: Path, *flags: str, words: tuple[str, ...] = ()) -> str:
    """Run a script in a host of its own; what it printed. Fails where it failed, or left a process behind."""
    environment = dict(os.environ, PYTHONPATH=str(FOLDER), QT_QPA_PLATFORM="offscreen", PRRT_TEST_MARK=str(home))
    command = [
        sys.executable,
        "-m",
        "slicer_standin",
        "--testing",
        *flags,
        "--python-script",
        str(SCRIPTS / name),
        *words,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "Research use only" in done.stdout
    end = time.monotonic() + PATIENCE_S / 10
    while left := [process for process in psutil.process_iter() if _is_marked(process, str(home))]:
        assert time.monotonic() < end, left  # what was told to end may take a moment
        time.sleep(0.1)
    return done.stdout


def _is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("PRRT_TEST_MARK") == mark and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.mark.slow
def test_a_study_is_predicted_without_a_window(tmp_path: Path) -> None:
    printed = run_script("prrt_predict_study.py", tmp_path, "--no-main-window", words=("--out", str(tmp_path / "out")))
    document = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
    assert 0 <= document["probability_long_pfs"] <= 1
    assert document["model"]["synthetic"] is True
    assert set(document["lab_contributions"]) == {"ast", "alt", "ggt", "cga"}
    assert json.loads((tmp_path / "out" / "prediction.json").read_text(encoding="utf-8")) == document
    assert {path.name for path in (tmp_path / "out").glob("*.nrrd")} == {"saliency_pet.nrrd", "saliency_ct.nrrd"}


@pytest.mark.slow
def test_a_cohort_is_trained_cancelled_and_gone_on_with_without_a_window(tmp_path: Path) -> None:
    printed = run_script("prrt_train_cohort.py", tmp_path, "--no-main-window")
    assert "SYNTHETIC patients" in printed
    assert [line.split(";")[0] for line in printed.splitlines()[-2:]] == ["Random forest (labs)", "SR-PET + labs"]


@pytest.mark.slow
def test_the_whole_way_through_the_panel(tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = run_script("prrt_panel_journey.py", tmp_path, words=("--out", str(out), "--patients", "12"))
    assert "exported prrt-report.html, prrt-saliency-pet.nrrd, prrt-scene.mrb" in printed
    sections = {path.stem.removeprefix("panel-") for path in out.glob("panel-*.png")}
    assert sections == {"study", "labs", "prediction", "explanation", "training", "training-running"}
    for picture in out.glob("*.png"):
        with Image.open(picture) as image:
            colours = image.convert("RGB").getcolors(2**24)
        assert len(colours) > 20, f"{picture.name} is blank"


def test_every_script_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{path.name}"' in text for path in SCRIPTS.glob("*.py"))
