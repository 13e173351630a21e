"""From the DICOM folders of a cohort to the tensors of all its patients, against MONAI's loaders and caches."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..memory import peak_of
from ..references import box_means, exact_boxes, sampled, whole_voxel_boxes
from ..repetition import prepare_repeated
from ..side_by_side import Contender, Limit, Peer, Point, Stage, Sweep
from ..workplace import Workplace

if TYPE_CHECKING:
    from PRRTPredictorCore.imaging.cache import PreparedCohort
    from PRRTPredictorCore.records import CohortPatient

GOAL = 0.4
FULL_PATIENTS = 3
SMALL_PATIENTS = 29
MEMORY_PATIENTS = (29, 232, 1856)
SHAPE = (75, 50, 50)
HU_LIMITS = (-1000, 2000)
LEAST_CORRELATION = 0.9999

Tensors = tuple[NDArray[np.float32], NDArray[np.float32]]
"""PET and CT of all patients, each [n, k, j, i]."""


def stages(bench: Workplace) -> Iterator[Stage]:
    """Clinical size and small images, each with nothing cached, without and with the couch; then the second time."""
    readers = ("ITKReader", "PydicomReader")
    for size, patients, table in (
        ("full", FULL_PATIENTS, _full_cohort(bench)),
        ("small", SMALL_PATIENTS, _small_cohort(bench)),
    ):
        title = f"cohort of {'clinical size' if size == 'full' else 'small images'} to tensors, first time"
        dicom = f"{patients} SYNTHETIC patients, {_bytes_of(table) / 1e6:.0f} MB of DICOM, to 75 x 50 x 50"
        for key, words, more, couch, against in (
            (f"cohort_tensors-{size}", title, "ours also hashes all files and makes SUV", False, readers),
            (f"cohort_tensors-{size}-couch", f"{title}, ours cuts the couch away as well", "", True, readers[:1]),
        ):
            yield Stage(
                key,
                words,
                f"{dicom}; {more}" if more else dicom,
                Contender("ours", _ours(bench, table, couch=couch), f"{bench.machine.cores} processes"),
                tuple(Peer(_monai(bench, table, reader), GOAL) for reader in against),
                _check(table, couch=couch),
                Limit(*bench.machine.reading("every file once", _bytes_of(table))),
                repeats=3,
            )
    small = _small_cohort(bench)
    yield Stage(
        "cohort_tensors-warm",
        "the same cohort of small images, the second time",
        f"{SMALL_PATIENTS} patients out of the cache on disk; ours looks whether any DICOM file has changed",
        Contender("ours", _ours(bench, small, couch=True, warm=True), f"{bench.machine.cores} processes"),
        (Peer(Contender("MONAI PersistentDataset", _monai_warm(bench, small), "one thread")),),
        _check(small, couch=True),
        Limit(*bench.machine.reading("every prepared voxel once", SMALL_PATIENTS * 2 * 4 * int(np.prod(SHAPE)))),
    )


def sweeps(bench: Workplace) -> Iterator[Sweep]:
    """Peak memory while a cohort is prepared and then read patient by patient, as the folds read it."""
    points = []
    own = _patients(_small_cohort(bench))
    prepare_repeated(bench, own, bench.machine.cores)()  # starts the worker processes, which all sizes share
    for patients in MEMORY_PATIENTS:
        bench.say(f"cohort memory: {patients} patients")
        run = prepare_repeated(bench, own, patients)
        seconds: list[float] = []
        peak = peak_of(lambda run=run, seconds=seconds: seconds.append(run()))
        points.append(Point(patients, seconds[0], peak))
    yield Sweep(
        "cohort_tensors-memory",
        "cohort to tensors, by patients",
        f"{MEMORY_PATIENTS[0]} SYNTHETIC patients repeated, each time prepared anew "
        "without looking for the couch; peak memory above what was there",
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


def _ours(bench: Workplace, table: Path, *, couch: bool, warm: bool = False) -> Callable[[], Tensors]:
    from PRRTPredictorCore.imaging.cache import prepare_cohort
    from PRRTPredictorCore.imaging.preprocess import PreprocessConfig

    config = PreprocessConfig(shape=SHAPE, remove_couch=couch)
    cache = bench.folder / ("cohort-cache-warm" if warm else "cohort-cache")

    def run() -> Tensors:
        if not warm:
            shutil.rmtree(cache, ignore_errors=True)
        prepared = prepare_cohort(_patients(table), config, cache, jobs=bench.machine.cores)
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


def _monai(bench: Workplace, table: Path, reader: str) -> Contender:
    workers = bench.machine.cores

    def run() -> Tensors:
        from monai.data import CacheDataset

        items = _items(table)
        return _gathered(CacheDataset(items, _transforms(reader), num_workers=workers, progress=False), items)

    return Contender(f"MONAI LoadImaged({reader}) … CacheDataset", run, f"{workers} workers")


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


# --- equality ---------------------------------------------------------------------------------------------------------


def _check(table: Path, *, couch: bool) -> Callable[[Tensors, Tensors], str]:
    """Ours are the means over the model's voxels; the peer's, what its definition makes of the same DICOM voxels."""

    def check(ours: Tensors, theirs: Tensors) -> str:
        (exact_pets, exact_cts), (whole_pets, whole_cts) = _references(table)
        np.testing.assert_allclose(ours[0], exact_pets, rtol=1e-4, atol=1e-4)
        if not couch:
            np.testing.assert_allclose(ours[1], exact_cts, atol=0.01)
        same = _least_correlation(theirs[0], whole_pets), _least_correlation(theirs[1], whole_cts)
        assert min(same) > LEAST_CORRELATION, same
        apart = _least_correlation(theirs[0], exact_pets), _least_correlation(theirs[1], exact_cts)
        return (
            f"ours are the exact box means {'of the PET' if couch else 'of PET and CT'} (within 1e-4 SUV, 0.01 HU); "
            "the peer's are what its definition (CT sampled at the PET's voxels, boxes widened to whole voxels) makes "
            f"of the same voxels, r >= {min(same):.5f}, PET up to the SUV factor; from the exact means that definition "
            f"departs: r >= {apart[0]:.3f} (PET), {apart[1]:.3f} (CT, with the padding around the scan left in)"
        )

    return check


def _least_correlation(images: NDArray[np.floating], others: NDArray[np.floating]) -> float:
    return min(float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in zip(images, others, strict=True))


@lru_cache(maxsize=2)
def _references(table: Path) -> tuple[Tensors, Tensors]:
    """By either definition, from our own loaded volumes: exact boxes, and samples in boxes of whole voxels."""
    from PRRTPredictorCore.imaging.cache import DicomReader
    from PRRTPredictorCore.imaging.grid import canonical_view, common_box, trim_constant_ends

    reader = DicomReader()
    exact, whole = [], []
    for patient in _patients(table):
        pet = canonical_view(reader.load_pet(reader.files(patient.pet)).volume)
        ct = canonical_view(reader.load_ct(reader.files(patient.ct)).volume)
        # Both lie along the patient's axes: a PET voxel edge e is edge step[a] * e + start[a] of the CT.
        step = [float(p / c) for p, c in zip(pet.spacing_mm, ct.spacing_mm, strict=True)]
        centre = np.flip((np.linalg.inv(ct.ijk_to_lps) @ pet.ijk_to_lps)[:3, 3])
        start = [float(c + 0.5 - s / 2) for c, s in zip(centre, step, strict=True)]
        # Ours is cut to what the CT covers as well; the peer keeps all of the PET.
        box, _ = common_box(trim_constant_ends(pet)[0], trim_constant_ends(ct)[0])
        boxes = [exact_boxes(span, m) for span, m in zip(box.spans, SHAPE, strict=True)]
        ct_boxes = [(b + s * low, b + s * high) for b, s, (low, high) in zip(start, step, boxes, strict=True)]
        exact.append((box_means(pet.array, boxes), box_means(np.clip(ct.array, *HU_LIMITS), ct_boxes)))
        touched = [whole_voxel_boxes(n, m) for n, m in zip(pet.shape, SHAPE, strict=True)]
        positions = [c + s * np.arange(n) for c, s, n in zip(centre, step, pet.shape, strict=True)]
        whole.append((box_means(pet.array, touched), box_means(sampled(ct.array, positions), touched)))
    return _stack(exact), _stack(whole)


def _stack(images: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> Tensors:
    pets, cts = zip(*images, strict=True)
    return np.stack(pets).astype(np.float32), np.stack(cts).astype(np.float32)
