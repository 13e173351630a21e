"""From the DICOM folders of a cohort to the tensors of all its patients, against MONAI's loaders and caches."""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..memory import peak_of
from ..side_by_side import Contender, Limit, Peer, Point, Stage, Sweep
from ..workplace import Workplace

if TYPE_CHECKING:
    from PRRTPredictorCore.imaging.cache import PreparedCohort
    from PRRTPredictorCore.records import CohortPatient, LoadedSeries, SeriesSource

GOAL = 0.4
FULL_PATIENTS = 3
SMALL_PATIENTS = 29
MEMORY_PATIENTS = (29, 116, 464, 1856)
SHAPE = (75, 50, 50)
TISSUE_HU = -300.0

Tensors = tuple[NDArray[np.float32], NDArray[np.float32]]
"""PET and CT of all patients, each [n, k, j, i]."""


def stages(bench: Workplace) -> Iterator[Stage]:
    """Clinical size and small images, each with nothing cached; then the second time."""
    full, small = _full_cohort(bench), _small_cohort(bench)
    # MONAI rounds its boxes to whole voxels, which blurs where the images are hardly finer than the model's grid.
    for key, title, patients, table, least in (
        ("cohort_tensors-cold", "cohort of clinical size to tensors, first time", FULL_PATIENTS, full, 0.95),
        ("cohort_tensors-small", "cohort of small images to tensors, first time", SMALL_PATIENTS, small, 0.85),
    ):
        workers = f"{bench.machine.cores} workers"
        yield Stage(
            key,
            title,
            f"{patients} SYNTHETIC patients, {_bytes_of(table) / 1e6:.0f} MB of DICOM, to 75 x 50 x 50; ours also "
            "hashes all files, makes SUV and cuts the couch away",
            Contender("ours", _ours(bench, table), f"{bench.machine.cores} processes"),
            tuple(
                Peer(Contender(f"MONAI LoadImaged({reader}) … CacheDataset", _monai(table, reader), workers), GOAL)
                for reader in ("ITKReader", "PydicomReader")
            ),
            _check(least),
            Limit(*bench.machine.reading("every file once", _bytes_of(table))),
            repeats=3,
        )
    yield Stage(
        "cohort_tensors-warm",
        "the same cohort of small images, the second time",
        f"{SMALL_PATIENTS} patients out of the cache on disk; ours looks whether any DICOM file has changed",
        Contender("ours", _ours(bench, small, warm=True), f"{bench.machine.cores} processes"),
        (Peer(Contender("MONAI PersistentDataset", _monai_warm(bench, table), "one thread")),),
        _check(0.85),
        Limit(*bench.machine.reading("every prepared voxel once", SMALL_PATIENTS * 2 * 4 * int(np.prod(SHAPE)))),
    )


def sweeps(bench: Workplace) -> Iterator[Sweep]:
    """Peak memory while a cohort is prepared and then read patient by patient, as the folds read it."""
    points = []
    for patients in MEMORY_PATIENTS:
        bench.say(f"cohort memory: {patients} patients")
        run = _prepare_repeated(bench, patients)
        seconds: list[float] = []
        peak = peak_of(lambda run=run, seconds=seconds: seconds.append(run()))
        points.append(Point(patients, seconds[0], peak))
    yield Sweep(
        "cohort_tensors-memory",
        "cohort to tensors, by patients",
        f"{MEMORY_PATIENTS[0]} SYNTHETIC patients repeated, each time prepared anew; peak memory above what was there",
        "patients",
        tuple(points),
    )


# --- inputs -----------------------------------------------------------------------------------------------------------


def _full_cohort(bench: Workplace) -> Path:
    from PRRTPredictorCore.cohort.synthetic import SyntheticConfig, make_cohort

    def make(folder: Path) -> None:
        make_cohort(folder / "made", SyntheticConfig(patients=FULL_PATIENTS, seed=6, size="full", censored=0))

    return bench.made(f"cohort-full-{FULL_PATIENTS}", make) / "made" / "cohort.csv"


def _small_cohort(bench: Workplace) -> Path:
    return bench.cohort(SMALL_PATIENTS)


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _bytes_of(table: Path) -> int:
    folders = [table.parent / row[name] for row in _rows(table) for name in ("pet", "ct")]
    return sum(path.stat().st_size for folder in folders for path in folder.iterdir())


@lru_cache(maxsize=2)
def _patients(table: Path) -> tuple[CohortPatient, ...]:
    """In the order of the table."""
    from PRRTPredictorCore.cohort.table import read_cohort

    return tuple(sorted(read_cohort(table).patients, key=lambda patient: patient.row))


# --- ours -------------------------------------------------------------------------------------------------------------


def _ours(bench: Workplace, table: Path, *, warm: bool = False) -> Callable[[], Tensors]:
    from PRRTPredictorCore.imaging.cache import prepare_cohort

    cache = bench.folder / ("cohort-cache-warm" if warm else "cohort-cache")

    def run() -> Tensors:
        if not warm:
            shutil.rmtree(cache, ignore_errors=True)
        prepared = prepare_cohort(_patients(table), cache_dir=cache, jobs=bench.machine.cores)
        return _stacked(prepared)

    return run


def _stacked(prepared: PreparedCohort) -> Tensors:
    studies = [prepared.study(code) for code in prepared.codes]
    return np.stack([study.pet for study in studies]), np.stack([study.ct for study in studies])


# --- MONAI ------------------------------------------------------------------------------------------------------------


def _transforms(reader: str) -> Any:
    import torch
    from monai.transforms import Compose, LoadImaged, ResampleToMatchd, Resized

    both = ("pet", "ct")
    return Compose(
        [
            LoadImaged(both, reader=reader, ensure_channel_first=True),
            ResampleToMatchd("ct", key_dst="pet", mode="bilinear", padding_mode="border", dtype=torch.float32),
            Resized(both, SHAPE[::-1], mode="area", dtype=torch.float32),
        ]
    )


def _items(table: Path) -> list[dict[str, str]]:
    return [{name: str(table.parent / row[name]) for name in ("pet", "ct")} for row in _rows(table)]


def _monai(table: Path, reader: str) -> Callable[[], Tensors]:
    def run() -> Tensors:
        import os

        from monai.data import CacheDataset

        items = _items(table)
        return _gathered(CacheDataset(items, _transforms(reader), num_workers=os.cpu_count(), progress=False), items)

    return run


def _monai_warm(bench: Workplace, table: Path) -> Callable[[], Tensors]:
    def run() -> Tensors:
        from monai.data import PersistentDataset

        items = _items(table)
        kept = bench.folder / "monai-cache"
        data = PersistentDataset(items, _transforms("ITKReader"), kept, track_meta=True, weights_only=False)
        return _gathered(data, items)

    return run


def _gathered(data: Any, items: list[dict[str, str]]) -> Tensors:
    """All images as [k, j, i] with k to the head, j to the back and i to the left, as ours are."""
    loaded = [data[n] for n in range(len(items))]
    pet, ct = (np.stack([_head_up(one[name]) for one in loaded]) for name in ("pet", "ct"))
    return pet, ct


def _head_up(image: Any) -> NDArray[np.float32]:
    # MONAI's affine leads to RAS; ours to LPS.
    steps = np.diag(image.affine.numpy())[:3] * (-1, -1, 1)
    axes = tuple(axis for axis in range(3) if steps[axis] < 0)
    return np.flip(image[0].numpy(), axes).transpose(2, 1, 0)


def _check(least: float) -> Callable[[Tensors, Tensors], str]:
    def check(ours: Tensors, theirs: Tensors) -> str:
        (pets, cts), (their_pets, their_cts) = ours, theirs
        worst = [1.0, 1.0]
        for pet, ct, their_pet, their_ct in zip(pets, cts, their_pets, their_cts, strict=True):
            tissue = ct > TISSUE_HU
            pairs = (pet.ravel(), their_pet.ravel()), (ct[tissue], their_ct[tissue])
            worst = [min(w, float(np.corrcoef(*pair)[0, 1])) for w, pair in zip(worst, pairs, strict=True)]
        assert min(worst) > least, worst
        return (
            f"each patient's images correlate with r >= {worst[0]:.3f} (PET, up to the SUV factor, which the peer's "
            f"user would apply) and {worst[1]:.3f} (CT, tissue)"
        )

    return check


# --- memory -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Repetition:
    """One of several times that the same series stands in a cohort."""

    source: SeriesSource
    marker: Path


class _RepeatingReader:
    """Reads a patient's DICOM files anew for every repetition, as if each were another patient.

    A file of the repetition's own, last among the series' files, gives it a content key of its own; one PET voxel is
    altered by the repetition's number, since the same images under two codes are refused.
    """

    def files(self, source: _Repetition) -> tuple[Path, ...]:
        from PRRTPredictorCore.dicom.index import series_files

        return (*series_files(source.source), source.marker)

    def load_pet(self, files: tuple[Path, ...]) -> LoadedSeries:
        from PRRTPredictorCore.dicom.suv import load_pet

        series = load_pet(files[:-1])
        array = series.volume.array.copy()
        array[tuple(n // 2 for n in array.shape)] += float(files[-1].stem)
        return replace(series, volume=replace(series.volume, array=array))

    def load_ct(self, files: tuple[Path, ...]) -> LoadedSeries:
        from PRRTPredictorCore.dicom.series import load_ct

        return load_ct(files[:-1])


def _prepare_repeated(bench: Workplace, patients: int) -> Callable[[], float]:
    """Prepare so many patients and go through their images once; the seconds that it took."""
    from PRRTPredictorCore.imaging.cache import prepare_cohort

    own = _patients(_small_cohort(bench))
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
        prepared = prepare_cohort(repeated, cache_dir=cache, jobs=cores, reader=_RepeatingReader())
        for code in prepared.codes:
            study = prepared.study(code)
            np.stack([study.pet, study.ct]).mean()
        seconds = time.perf_counter() - begun
        shutil.rmtree(cache)
        return seconds

    return run
