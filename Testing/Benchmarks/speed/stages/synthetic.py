"""How fast made patients are made; there is no peer."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

from ..side_by_side import Contender, Stage
from ..workplace import Workplace

SMALL_PATIENTS = 16


def stages(bench: Workplace) -> Iterator[Stage]:
    """A cohort with small images, as for `prrt demo`, and one patient in a scanner's usual matrix."""
    yield Stage(
        "synthetic-small",
        "made patients, small images",
        f"{SMALL_PATIENTS} SYNTHETIC patients as DICOM files with cohort.csv, organs and truth",
        Contender("ours", _small(bench), f"{bench.machine.cores} processes"),
        repeats=3,
        rate=("patients", float(SMALL_PATIENTS)),
    )
    yield Stage(
        "synthetic-full",
        "a made patient, full size",
        "one SYNTHETIC patient, CT of 512² and PET of 256² a slice, as DICOM files with organs and truth",
        Contender("ours", _full(bench), "one thread"),
        repeats=3,
        rate=("patients", 1.0),
    )


def _small(bench: Workplace) -> Callable[[], Any]:
    from PRRTPredictorCore.cohort.synthetic import SyntheticConfig, make_cohort

    out = bench.folder / "synthetic"

    def run() -> None:
        shutil.rmtree(out, ignore_errors=True)
        make_cohort(out, SyntheticConfig(patients=SMALL_PATIENTS, seed=1), jobs=bench.machine.cores)

    return run


def _full(bench: Workplace) -> Callable[[], Any]:
    from PRRTPredictorCore.cohort.synthetic import make_patient

    out = bench.folder / "synthetic"

    def run() -> None:
        shutil.rmtree(out, ignore_errors=True)
        make_patient(out, seed=2, size="full")

    return run
