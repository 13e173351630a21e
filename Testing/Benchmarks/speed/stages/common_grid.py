"""PET and CT in memory to the networks' 75 x 50 x 50, against MONAI's transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..references import box_means, exact_boxes
from ..side_by_side import Contender, Limit, Peer, Stage
from ..workplace import Workplace

if TYPE_CHECKING:
    from PRRTPredictorCore.records import LoadedSeries, Volume

GOAL = 0.25
SHAPE = (75, 50, 50)
TISSUE_HU = -500.0
LEAST_CORRELATION = 0.999
MOST_TISSUE_HU = 5.0
MOST_UPTAKE = 1e-4

Images = tuple[NDArray[np.float32], NDArray[np.float32]]
"""PET (SUVbw) and CT (HU), each [k, j, i]."""


def stages(bench: Workplace) -> Iterator[Stage]:
    """The same work as MONAI does, then with the couch cut away, which MONAI leaves to the user."""
    pet, ct = _pair(bench)
    voxels = pet.volume.array.nbytes + ct.volume.array.nbytes
    work = f"CT {_size(ct.volume)} and PET {_size(pet.volume)} in memory to 75 x 50 x 50"
    peers = [
        Contender(f"MONAI ResampleToMatch + Resize(area), {words}", _monai(bench, dtype))
        for words, dtype in (("float32", "float32"), ("float64, its default", "float64"))
    ]
    for key, title, couch, goal in (
        ("common_grid-equal", "PET and CT to the model's grid", False, GOAL),
        ("common_grid-couch", "the same, ours cuts the couch away as well", True, None),
    ):
        yield Stage(
            key,
            title,
            work,
            Contender("ours", _ours(bench, remove_couch=couch), "one thread"),
            tuple(Peer(peer, goal) for peer in peers),
            _check(bench, couch=couch),
            Limit(*bench.machine.moving("every voxel once", voxels)),
        )


@lru_cache(maxsize=1)
def _pair(bench: Workplace) -> tuple[LoadedSeries, LoadedSeries]:
    """The patient in memory; CT values beyond the limits are clipped beforehand, since MONAI's transforms do not."""
    from dataclasses import replace

    from PRRTPredictorCore.dicom.series import load_ct
    from PRRTPredictorCore.dicom.suv import load_pet
    from PRRTPredictorCore.imaging.preprocess import PreprocessConfig

    folder = bench.full_patient()
    pet, ct = (load(tuple(sorted((folder / n).iterdir()))) for load, n in ((load_pet, "pet"), (load_ct, "ct")))
    low, high = (int(limit) for limit in PreprocessConfig().hu_limits)
    return pet, replace(ct, volume=replace(ct.volume, array=np.clip(ct.volume.array, low, high)))


def _size(volume: Volume) -> str:
    return " x ".join(str(n) for n in volume.shape)


def _ours(bench: Workplace, *, remove_couch: bool) -> Callable[[], Images]:
    from PRRTPredictorCore.imaging.preprocess import PreprocessConfig, prepare_study

    pet, ct = _pair(bench)
    config = PreprocessConfig(shape=SHAPE, remove_couch=remove_couch)

    def run() -> Images:
        study = prepare_study(pet, ct, config)
        return study.pet, study.ct

    return run


def _monai(bench: Workplace, dtype: str) -> Callable[[], Images]:
    import torch
    from monai.data import MetaTensor
    from monai.transforms import ResampleToMatch, Resize

    precision = getattr(torch, dtype)
    match = ResampleToMatch(mode="bilinear", padding_mode="border", dtype=precision)
    resize = Resize(SHAPE[::-1], mode="area", dtype=precision)

    @lru_cache(maxsize=1)
    def tensors() -> tuple[Any, Any]:
        return tuple(_meta_tensor(series.volume, MetaTensor) for series in _pair(bench))

    def run() -> Images:
        pet, ct = tensors()
        images = [resize(image) for image in (pet, match(ct, pet))]
        pet_values, ct_values = (image[0].numpy().transpose(2, 1, 0) for image in images)
        return pet_values, ct_values

    return run


def _meta_tensor(volume: Volume, kind: Any) -> Any:
    """As MONAI's own loader gives an image: channel, x, y, z in float32, with an affine to RAS."""
    import torch

    values = np.ascontiguousarray(volume.array.transpose(2, 1, 0)[None], dtype=np.float32)
    return kind(torch.from_numpy(values), affine=torch.from_numpy(np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.ijk_to_lps))


def _check(bench: Workplace, *, couch: bool) -> Callable[[Images, Images], str]:
    def check(ours: Images, theirs: Images) -> str:
        (pet, ct), (their_pet, their_ct) = ours, theirs
        exact_pet, exact_ct = _exact(bench)
        np.testing.assert_allclose(pet, exact_pet, rtol=1e-5, atol=1e-5)
        if not couch:
            np.testing.assert_allclose(ct, exact_ct, atol=2e-3)
        tissue = ct > TISSUE_HU
        uptake = float(their_pet.sum() / pet.sum()) - 1.0
        correlations = _correlation(pet, their_pet), _correlation(ct[tissue], their_ct[tissue])
        difference = float(np.abs(ct - their_ct)[tissue].mean())
        assert min(correlations) > LEAST_CORRELATION, correlations
        assert difference < MOST_TISSUE_HU, difference
        assert abs(uptake) < MOST_UPTAKE, uptake
        exactly = "on the PET" if couch else "on PET and CT"
        return (
            f"ours are the exact box means {exactly} (within 1e-5 SUV, 0.002 HU); the peer samples the CT at points: "
            f"{difference:.1f} HU apart on tissue (mean), r = {correlations[1]:.4f}; SUV r = {correlations[0]:.5f}, "
            f"total uptake {100 * uptake:+.3f} %"
        )

    return check


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@lru_cache(maxsize=1)
def _exact(bench: Workplace) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means over the model's voxels; PET and CT have one box."""
    pet, ct = (series.volume.array for series in _pair(bench))
    means = [
        box_means(array, [exact_boxes((0, n), m) for n, m in zip(array.shape, SHAPE, strict=True)])
        for array in (pet, ct)
    ]
    return means[0], means[1]
