"""`make soak`: 500 predictions in one process, and whether its memory stays flat; draws memory.svg beside this file.

All patients are SYNTHETIC. A prediction reads the DICOM files of one of twelve patients, PET and CT; every tenth also
maps saliency and loads the model anew, every twenty-fifth is given files that must be refused. What a process grows by
while it warms up (caches of decoders, torch's workspaces) is drawn, and left out of the verdict.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from PRRTPredictorCore.cli import main as prrt
from PRRTPredictorCore.console import listening, say
from PRRTPredictorCore.errors import DicomRefused
from PRRTPredictorCore.models.bundle import load_bundle
from PRRTPredictorCore.prediction.predictor import Patient, predict
from PRRTPredictorCore.progress import Progress, silent
from PRRTPredictorCore.records import Labs

HERE = Path(__file__).resolve().parent
PREDICTIONS = 500
PATIENTS = 12
WARM_UP = 0.2
"""Share of the predictions that the verdict leaves out."""

WITH_SALIENCY, REFUSED = 10, 25
"""Every so many predictions."""

MOST_KIB_EACH = 20.0
"""Growth a prediction that passes for flat: 500 of them add 10 MB, where one holds some 100 MB for a moment."""

MIB = 2**20


@dataclass(frozen=True)
class Sample:
    """The process after one prediction: resident bytes, open files, threads."""

    resident: int
    files: int
    threads: int


@dataclass(frozen=True)
class Verdict:
    """Whether the memory is flat, and the line that says it."""

    flat: bool
    words: str


def soak(model: Path, dicom: Path, predictions: int, progress: Progress = silent) -> Iterator[Sample]:
    """Predict again and again in this process; ``dicom`` holds a folder a patient with ``pet`` and ``ct`` in it."""
    process, patients = psutil.Process(), sorted(dicom.iterdir())
    bundle = load_bundle(model, device="cpu")
    labs = Patient(Labs(28.0, 25.0, 61.0, 419.0))
    for number in range(1, predictions + 1):
        folder = patients[number % len(patients)]
        pet, ct = folder / "pet", folder / "ct"
        if number % REFUSED == 0:
            try:
                predict(bundle, ct, pet, labs, device="cpu")
            except DicomRefused:
                pass
            else:
                raise AssertionError("a CT was taken for a PET")
        elif number % WITH_SALIENCY == 0:
            predict(model, pet, ct, labs, device="cpu", saliency=True)
        else:
            predict(bundle, pet, ct, labs, device="cpu", saliency=False)
        files = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
        sample = Sample(process.memory_info().rss, files, process.num_threads())
        progress("soak", number, predictions, f"{sample.resident / MIB:.0f} MB")
        yield sample


def verdict(samples: Sequence[Sample]) -> Verdict:
    """Judge what follows the warm-up: the slope of the memory, and that no file and no thread stays behind."""
    warm = round(WARM_UP * len(samples))
    settled = samples[warm:]
    resident = np.array([sample.resident for sample in settled], dtype=np.float64)
    slope = float(np.polyfit(np.arange(len(settled)), resident, 1)[0]) / 1024
    # Of the medians, so that a library that opens a file for a moment is no leak.
    thirds = np.array_split(np.array([(sample.files, sample.threads) for sample in settled]), 3)
    (files, threads), (files_now, threads_now) = np.median(thirds[0], axis=0), np.median(thirds[-1], axis=0)
    flat = bool(slope <= MOST_KIB_EACH and files_now <= files and threads_now <= threads)
    words = (
        f"{'FLAT' if flat else 'GROWING'}: {len(samples)} predictions in one process; after the first {warm}, "
        f"{resident.min() / MIB:.0f} to {resident.max() / MIB:.0f} MB resident, {slope:+.1f} KB a prediction (at most "
        f"{MOST_KIB_EACH:.0f} pass), {files_now:.0f} open files ({files_now - files:+.0f}), {threads_now:.0f} threads "
        f"({threads_now - threads:+.0f})"
    )
    return Verdict(flat, words)


def draw(samples: Sequence[Sample], judged: Verdict, path: Path) -> None:
    """Draw the resident memory over the predictions."""
    from matplotlib.figure import Figure

    resident = np.array([sample.resident for sample in samples]) / MIB
    number, warm = np.arange(1, len(samples) + 1), round(WARM_UP * len(samples))
    figure = Figure(figsize=(9.3, 4.2), layout="constrained")
    ax = figure.subplots()
    ax.axvspan(0, warm, color="0.93", lw=0, label="warm-up, not judged")
    ax.plot(number, resident, color="#1b6ca8", lw=1.2, label="resident memory after each prediction")
    slope, start = np.polyfit(number[warm:], resident[warm:], 1)
    ax.plot(
        number[warm:],
        start + slope * number[warm:],
        color="#c1440e",
        lw=1.5,
        ls="--",
        label=f"trend: {1024 * slope:+.1f} KB a prediction",
    )
    ax.set(xlim=(0, len(samples)), ylim=(0, 1.25 * resident.max()), xlabel="Predictions in one process", ylabel="MB")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="lower right", frameon=False)
    grows = "is flat" if judged.flat else "GROWS"
    ax.set_title(f"SYNTHETIC patients, research use only\nMemory {grows} while PET, CT and labs are read", loc="left")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def made_model(folder: Path) -> Path:
    """Make patients, train the fusion model on them and pack it, all through the command line; the model's folder."""
    run, model = folder / "run", folder / "model"
    trained = ("--models", "pet_ct_labs", "--preset", "quick")
    for line in (
        ("synth", "--out", folder, "--patients", PATIENTS, "--seed", 1),
        ("train", folder / "cohort.csv", "--out", run, *trained),
        ("fit", "--run", run, "--model", "pet_ct_labs", "--out", model),
    ):
        if code := prrt([*map(str, line), "--json"]):
            raise SystemExit(code)
    return model


def lines(stage: str, done: int, total: int, message: str = "") -> None:
    """Report in lines where there is no terminal for a bar."""
    if done % 50 == 0 or done == total:
        print(f"{stage}: {done} of {total}, {message}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the soak, draw its picture and print the verdict; 0 where the memory is flat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=PREDICTIONS, metavar="N", help="default: %(default)s")
    parser.add_argument("--picture", type=Path, default=HERE / "memory.svg", metavar="FILE", help="SVG or PNG")
    arguments = parser.parse_args()
    if arguments.predictions < 20:
        parser.error("fewer than 20 predictions show no trend")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="prrt-soak-") as folder:
        for name in ("CONFIG", "CACHE"):  # keys and caches of a soak must not mix with a user's
            os.environ[f"PRRT_{name}_DIR"] = str(Path(folder) / name.lower())
        print("Making twelve patients and a model ...", file=sys.stderr, flush=True)
        work = Path(folder) / "cohort"
        with redirect_stdout(io.StringIO()):
            model = made_model(work)
        with listening("auto") as bar:
            progress = bar if sys.stderr.isatty() else lines
            samples = list(soak(model, work / "dicom", arguments.predictions, progress))
    judged = verdict(samples)
    draw(samples, judged, arguments.picture)
    say(f"{judged.words}. {(time.monotonic() - begun) / 60:.1f} minutes; picture: {arguments.picture}")
    return 0 if judged.flat else 1


if __name__ == "__main__":
    sys.exit(main())
