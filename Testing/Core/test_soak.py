"""The short form of `make soak`: twenty predictions in one process leave its memory flat."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

import matplotlib
import pytest
from training_stand_in import tiny_cohort, tiny_config

from PRRTPredictorCore.cli import main
from PRRTPredictorCore.prediction.pack import pack_model
from PRRTPredictorCore.training.crossval import run_crossval

sys.path.insert(0, str(Path(__file__).parents[1] / "Soak"))
from soak import MIB, Sample, draw, soak, verdict

pytestmark = pytest.mark.usefixtures("private_folders")


def test_twenty_predictions_in_one_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", "--out", str(tmp_path / "made"), "--patients", "2", "--seed", "3", "--jobs", "1"]) == 0
    cohort, images = tiny_cohort()
    run_crossval(cohort, images, tiny_config("pet_ct_labs"), tmp_path / "run")
    pack_model(tmp_path / "run", "pet_ct_labs", tmp_path / "model")
    samples = list(soak(tmp_path / "model", tmp_path / "made" / "dicom", 20))
    assert len(samples) == 20
    # Too few for a slope: one prediction's images, some 30 MB, can be freed one prediction later, and a pool's last
    # thread may still be ending when it is counted. What each of the ten predictions between kept would show.
    early, late = samples[5:10], samples[15:]
    assert median(one.resident for one in late) - median(one.resident for one in early) < 40 * MIB
    assert median(one.files for one in late) - median(one.files for one in early) < 5
    assert median(one.threads for one in late) - median(one.threads for one in early) < 5


def steady(step: float = 0.0, files: int = 0, threads: int = 0) -> list[Sample]:
    """A process of 300 MB that warms up for 50 predictions, then grows by so many bytes, files, threads each."""
    after = [max(0, n - 50) for n in range(500)]
    warm = [min(n, 50) * MIB for n in range(500)]
    return [
        Sample(int(300 * MIB + w + step * n), 8 + files * n // 450, 4 + threads * n // 450)
        for w, n in zip(warm, after, strict=True)
    ]


@pytest.mark.parametrize(
    ("samples", "flat"),
    [
        (steady(), True),
        (steady(step=10 * 1024), True),
        (steady(step=30 * 1024), False),
        (steady(files=5), False),
        (steady(threads=5), False),
    ],
)
def test_what_grows_is_told_from_what_is_flat(samples: list[Sample], flat: bool) -> None:
    judged = verdict(samples)
    assert judged.flat is flat
    assert judged.words.startswith("FLAT: 500 predictions" if flat else "GROWING: 500 predictions")


@pytest.mark.parametrize("name", ["memory.svg", "memory.png"])
def test_the_memory_is_drawn(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")  # words as words
    samples = steady()
    draw(samples, verdict(samples), tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert len(content) > 5000
    if name.endswith("svg"):
        assert b"SYNTHETIC patients, research use only" in content
