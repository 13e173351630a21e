"""``prrt demo``: the main job on made patients, as the command lines that a user would type.

Every step is one ``prrt`` line, printed before it runs, so that the demo is also a lesson. Interrupted, the same
command goes on: cohorts that are there are kept, finished folds as well.
"""

from __future__ import annotations

import csv
import shlex
import time
from pathlib import Path

from .cli import build_parser
from .console import say
from .progress import Progress
from .records import LABS, RESEARCH_USE_NOTICE

PATIENTS = 48
REPEATS = 2
UNSEEN_SEED_OFFSET = 10_000
"""Far from any seed that a cohort is likely to get, so that no model has seen this patient."""

MODEL = "pet_ct_labs"


def run_demo(out: Path, seed: int, progress: Progress) -> int:
    """Make patients, train all seven models, pack one, predict an unseen patient and write the report.

    Parameters
    ----------
    out : Path
        Gets cohort/, unseen/, run/, model/, prediction/ and, inside run/, report.html.
    seed : int
        Of the cohort, the splits and the fits.

    Returns
    -------
    int
        Exit code.
    """
    started = time.monotonic()
    cohort, unseen, run, model, shown = (out / name for name in ("cohort", "unseen", "run", "model", "prediction"))
    say("PRRTPredictor on SYNTHETIC (made) patients, as real DICOM files.")
    say(RESEARCH_USE_NOTICE)

    prrt = Lines(progress)
    prrt.run("Make a cohort", "synth", "--out", cohort, "--patients", PATIENTS, "--seed", seed)
    prrt.run(
        "Make one more patient, whom no model will see",
        *("synth", "--out", unseen, "--patients", 1, "--seed", seed + UNSEEN_SEED_OFFSET),
    )
    prrt.run("Find the PET/CT pair among the files", "index", unseen / "dicom")
    prrt.run("Check the cohort's table", "cohort", "check", cohort / "cohort.csv")
    prrt.run("Describe it as the paper's Table 1", "cohort", "describe", cohort / "cohort.csv")
    prrt.run(
        "Train the seven models",
        *("train", cohort / "cohort.csv", "--out", run, "--preset", "quick", "--repeats", REPEATS, "--seed", seed),
    )
    prrt.run("Pack the fusion model", "fit", "--run", run, "--model", MODEL, "--out", model)
    patient = _read_unseen(unseen / "cohort.csv")
    prrt.run(
        "Predict the unseen patient",
        *("predict", "--model", model, "--pet", unseen / patient["pet"], "--ct", unseen / patient["ct"]),
        *(word for lab in LABS for word in (f"--{lab}", patient[lab])),
        *("--labs-date", patient["labs_date"], "--prrt-start", patient["prrt_start"]),
        *("--saliency", shown / "saliency.nrrd", "--overlay", shown / "overlay.png", "--scene", shown / "scene.mrb"),
    )
    say(f"(The made patient's truth: progression on {patient['progression_date']}.)")
    prrt.run(
        "Write the report, with the organs that the cohort names", "report", run, "--cohort", cohort / "cohort.csv"
    )

    say()
    say(f"Done in {(time.monotonic() - started) / 60:.1f} minutes. Where to look:")
    for path, what in (
        (shown / "overlay.png", "PET over CT, and where the network looked"),
        (shown / "scene.mrb", "the same as a scene for 3D Slicer"),
        (shown / "saliency.nrrd", "the saliency in the PET's geometry"),
        (run / "report.html", "tables and figures of the cross-validation"),
        (model / "docs" / "README.md", "the model card"),
    ):
        say(f"  {path!s:<34} {what}")
    _repeat_table_two(run)
    return 0


class Lines:
    """Runs ``prrt`` lines one after the other, each printed as it would be typed."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._parser = build_parser()

    def run(self, title: str, *words: object) -> None:
        """Print and run one line; a refusal raises its typed error."""
        line = [str(word) for word in words]
        say(f"\n{title}\n$ prrt {shlex.join(line)}")
        arguments = self._parser.parse_args(line)
        arguments.command(arguments, self._progress)


def _read_unseen(table: Path) -> dict[str, str]:
    with table.open(encoding="utf-8", newline="") as file:
        return next(csv.DictReader(file))


def _repeat_table_two(run: Path) -> None:
    from .evaluation.summary import format_table_two, summarise_run

    say(f"\nThe paper's Table 2 on these {PATIENTS} SYNTHETIC patients (far too few for a firm figure):")
    say(format_table_two(summarise_run(run)))
