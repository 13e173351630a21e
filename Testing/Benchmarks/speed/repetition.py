"""A cohort that stands many times in a larger one, each time as if it were other patients."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .workplace import Workplace

if TYPE_CHECKING:
    from PRRTPredictorCore.records import CohortPatient, LoadedSeries, SeriesSource


@dataclass(frozen=True)
class _Repetition:
    """One of several times that the same series stands in a cohort."""

    source: SeriesSource
    marker: Path
    series_uid: str = ""


class _RepeatingReader:
    """Reads a patient's DICOM files anew for every repetition, as if each were another patient.

    A file of the repetition's own, last among the series' files, gives it a content key of its own. One PET voxel is
    altered by the repetition's number, and nobody is named, since two rows of one patient are refused.
    """

    def files(self, source: _Repetition) -> tuple[Path, ...]:
        from PRRTPredictorCore.dicom.index import series_files

        return (*series_files(source.source), source.marker)

    def load_pet(self, files: tuple[Path, ...]) -> LoadedSeries:
        from PRRTPredictorCore.dicom.suv import load_pet
        from PRRTPredictorCore.records import Person

        series = load_pet(files[:-1])
        array = series.volume.array.copy()
        array[tuple(n // 2 for n in array.shape)] += float(files[-1].stem)
        return replace(series, volume=replace(series.volume, array=array), person=Person())

    def load_ct(self, files: tuple[Path, ...]) -> LoadedSeries:
        from PRRTPredictorCore.dicom.series import load_ct
        from PRRTPredictorCore.records import Person

        return replace(load_ct(files[:-1]), person=Person())


def prepare_repeated(bench: Workplace, own: Sequence[CohortPatient], patients: int) -> Callable[[], float]:
    """Prepare so many patients and go through their images once; the seconds that it took."""
    from PRRTPredictorCore.imaging.cache import prepare_cohort
    from PRRTPredictorCore.imaging.preprocess import PreprocessConfig

    # The couch takes half of a small patient's time, and its memory is told by the stages above.
    config = PreprocessConfig(remove_couch=False)

    # Asked for here: measuring the machine needs memory of its own.
    cores = bench.machine.cores
    cache, markers = bench.folder / "memory-cache", bench.folder / "memory-markers"
    shutil.rmtree(cache, ignore_errors=True)
    markers.mkdir(exist_ok=True)
    repeated = []
    for number in range(patients):
        patient, marker = own[number % len(own)], markers / f"{number // len(own)}.txt"
        marker.write_text(marker.stem, encoding="ascii")
        pet, ct = (_Repetition(source, marker) for source in (patient.pet, patient.ct))
        repeated.append(replace(patient, code=f"{patient.code}-{marker.stem}", pet=pet, ct=ct))

    def run() -> float:
        begun = time.perf_counter()
        prepared = prepare_cohort(repeated, config, cache, jobs=cores, reader=_RepeatingReader())
        for code in prepared.codes:
            study = prepared.study(code)
            np.stack([study.pet, study.ct]).mean()
        seconds = time.perf_counter() - begun
        shutil.rmtree(cache)
        return seconds

    return run
