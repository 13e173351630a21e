"""Artefacts, the couch, and the preparation of real series."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from PRRTPredictorCore.imaging.body import _over_windows, body_mask
from PRRTPredictorCore.imaging.preprocess import PreprocessConfig, clean_ct, clean_pet, prepare_study
from PRRTPredictorCore.records import Acquisition, LoadedSeries, Volume

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SHAPE = (40, 128, 128)
SPACING = 4.0


def centred(array: np.ndarray, spacing: float, modality) -> LoadedSeries:
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = -spacing * (np.array(array.shape[::-1]) - 1) / 2
    volume = Volume(array, matrix, modality, "SUVbw" if modality == "PT" else "HU")
    return LoadedSeries(volume, Acquisition("Maker", "Model", None), "1.2", "1", "2")


def patient_on_couch() -> tuple[np.ndarray, np.ndarray]:
    """HU of a thorax with lungs, two arms and a hollow carbon couch under it; and where the patient is."""
    ct = np.full(SHAPE, -1000, dtype=np.int16)
    j, i = np.ogrid[: SHAPE[1], : SHAPE[2]]
    trunk = ((j - 55) / 28) ** 2 + ((i - 64) / 38) ** 2 < 1
    lungs = ((j - 52) / 14) ** 2 + ((abs(i - 64) - 17) / 12) ** 2 < 1
    arms = ((j - 60) / 9) ** 2 + ((abs(i - 64) - 52) / 8) ** 2 < 1
    couch = np.zeros(SHAPE[1:], dtype=bool)
    couch[84:86, 10:118] = couch[100:102, 30:98] = True
    couch[84:102, 10:12] = couch[84:102, 116:118] = True
    for mask, hu in ((trunk | arms, 40), (lungs, -850), (couch, -150)):
        ct[:, mask] = hu
    ct[:10, (np.abs(i - 64) < 46) & (j > 1000)] = 40
    body = np.broadcast_to(trunk | arms, SHAPE)
    return ct, body


def uptake() -> np.ndarray:
    return np.random.default_rng(0).gamma(2.0, 1.0, size=SHAPE).astype(np.float32)


def test_the_couch_goes_and_the_patient_stays() -> None:
    ct, body = patient_on_couch()
    mask = body_mask(ct.astype(np.float32), (SPACING,) * 3)
    assert mask is not None
    assert mask[body].mean() > 0.999  # lungs and both arms included
    assert not mask[:, 90:].any()
    assert mask.sum() < 1.2 * body.sum()


@pytest.mark.parametrize("size", [(1, 3, 5), (2, 4, 1), (3, 3, 3), (6, 2, 5)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_windows_are_those_of_the_rank_filters(size: tuple[int, int, int], order: str) -> None:
    mask = np.asarray(np.random.default_rng(1).random((9, 8, 7)) < 0.5, order=order)
    before = mask.copy()
    for join, rank_filter in ((np.logical_and, ndimage.minimum_filter), (np.logical_or, ndimage.maximum_filter)):
        expected = rank_filter(mask.astype(np.uint8), size=size, mode="nearest").astype(bool)
        np.testing.assert_array_equal(_over_windows(mask, size, join), expected)
    np.testing.assert_array_equal(mask, before)


def test_air_around_the_patient_changes_nothing() -> None:
    ct, _ = patient_on_couch()
    # Lying free on all sides but head and foot, so that the field of view ends within air both times.
    wide = np.full((SHAPE[0], 150, 170), -1000, dtype=np.float32)
    wide[:, 9 : 9 + SHAPE[1], 30 : 30 + SHAPE[2]] = ct
    small, large = body_mask(ct.astype(np.float32), (SPACING,) * 3), body_mask(wide, (SPACING,) * 3)
    assert small is not None
    assert large is not None
    np.testing.assert_array_equal(large[:, 9 : 9 + SHAPE[1], 30 : 30 + SHAPE[2]], small)
    assert large.sum() == small.sum()


def test_without_the_couch_removal_the_sub_voxels_change_nothing() -> None:
    pet = centred(uptake(), SPACING, "PT")
    config = PreprocessConfig(shape=(20, 50, 50), remove_couch=False)
    lying = np.full(SHAPE, -1000, dtype=np.int16)
    lying[5:9, 20:25, 30:36] = 40  # too small for a body: with the removal switched on, nothing is cut
    with_search = prepare_study(pet, centred(lying, SPACING, "CT"), replace(config, remove_couch=True))
    without = prepare_study(pet, centred(lying, SPACING, "CT"), config)
    assert "NO_BODY" in {notice.code for notice in with_search.notices}
    np.testing.assert_allclose(without.ct, with_search.ct, atol=1e-3)


def test_no_body_no_cut() -> None:
    assert body_mask(np.full(SHAPE, -1000.0, np.float32), (SPACING,) * 3) is None
    lump = np.full(SHAPE, -1000.0, np.float32)
    lump[10:16, 10:16, 10:16] = 0
    assert body_mask(lump, (SPACING,) * 3) is None
    pet, ct = centred(uptake(), SPACING, "PT"), centred(lump + np.random.default_rng(0).random(SHAPE), SPACING, "CT")
    prepared = prepare_study(pet, ct)
    assert "NO_BODY" in {notice.code for notice in prepared.notices}
    assert prepared.ct.max() > -500


def test_prepared_voxels() -> None:
    ct, _ = patient_on_couch()
    config = PreprocessConfig(shape=(20, 64, 64))
    pet = uptake()
    prepared = prepare_study(centred(pet, SPACING, "PT"), centred(ct, SPACING, "CT"), config)
    assert prepared.pet.shape == prepared.ct.shape == (20, 64, 64)
    assert prepared.pet.dtype == prepared.ct.dtype == np.float32
    np.testing.assert_allclose(prepared.pet, pet.reshape(20, 2, 64, 2, 64, 2).mean(axis=(1, 3, 5)), rtol=1e-5)
    assert prepared.ct[10, 27, 32] == pytest.approx(40, abs=1)
    assert prepared.ct[10, 26, 23] == pytest.approx(-850, abs=1)
    assert (prepared.ct[:, 46:] == -1000).all()
    kept = prepare_study(centred(pet, SPACING, "PT"), centred(ct, SPACING, "CT"), replace(config, remove_couch=False))
    assert kept.ct[10, 42, 20] > -300


@pytest.mark.parametrize("padding", [-3024, -2000, -1024])
def test_padding_becomes_air_and_metal_is_clipped(padding: int) -> None:
    block = np.array([padding, -1000, 0, 1500, 30000], dtype=np.int16)
    np.testing.assert_array_equal(clean_ct(block, (-1000.0, 2000.0)), [-1000, -1000, 0, 1500, 2000])
    np.testing.assert_array_equal(clean_ct(np.array([np.nan, 5.0]), (-1000.0, 2000.0)), [-1000, 5])


def test_pet_is_finite_and_not_negative() -> None:
    block = np.array([np.nan, np.inf, -np.inf, -0.5, 0.0, 7.25], dtype=np.float64)
    cleaned = clean_pet(block)
    np.testing.assert_array_equal(cleaned, np.array([0, 0, 0, 0, 0, 7.25], dtype=np.float32))
    assert cleaned.dtype == np.float32
    original = np.array([-1.0], dtype=np.float32)
    clean_pet(original)
    assert original[0] == -1.0  # the loaded series is not altered


def test_padded_circle_does_not_bleed_into_the_patient() -> None:
    """A voxel half padding, half water must be half air, not half -3024."""
    ct, _ = patient_on_couch()
    padded = ct.copy()
    padded[:, :, :3] = -3024
    pet = centred(uptake(), SPACING, "PT")
    config = PreprocessConfig(shape=(10, 16, 16), remove_couch=False)
    np.testing.assert_array_equal(
        prepare_study(pet, centred(padded, SPACING, "CT"), config).ct,
        prepare_study(pet, centred(ct, SPACING, "CT"), config).ct,
    )


def test_end_slices_are_named() -> None:
    ct, _ = patient_on_couch()
    pet = uptake()
    pet[-3:] = 0
    prepared = prepare_study(centred(pet, SPACING, "PT"), centred(ct, SPACING, "CT"))
    assert "END_SLICES_LEFT_OUT" in {notice.code for notice in prepared.notices}
    assert prepared.grid.field_of_view_mm[0] == pytest.approx(37 * SPACING)
    assert prepared.pet[-1].mean() == pytest.approx(2.0, abs=0.2)


def test_every_setting_reaches_the_digest() -> None:
    config = PreprocessConfig()
    changed = [
        replace(config, shape=(10, 10, 10)),
        replace(config, hu_limits=(-1000.0, 3000.0)),
        replace(config, remove_couch=False),
        replace(config, trim_end_slices=False),
        replace(config, fine_mm=4.0),
    ]
    assert len({config.digest(), *(one.digest() for one in changed)}) == 6
    assert config.digest() == PreprocessConfig().digest()


def test_the_real_thorax_pair() -> None:
    folder = DATA / "acrin-nsclc-042-petct"
    if not folder.is_dir():
        pytest.skip(f"real data missing: {folder}")
    series = pytest.importorskip("PRRTPredictorCore.dicom.series")
    suv = pytest.importorskip("PRRTPredictorCore.dicom.suv")
    pet, ct = suv.load_pet(folder / "PET"), series.load_ct(folder / "CT")
    prepared = prepare_study(pet, ct)
    assert prepared.ct.shape == (75, 50, 50)
    k, j, i = prepared.grid.field_of_view_mm
    assert k == pytest.approx(135 * 3.27, abs=4)
    assert j == pytest.approx(500, abs=1)
    assert i == pytest.approx(500, abs=1)
    # The total uptake within the box is that of the PET: its field of view is cut in the plane only.
    middle = prepared.ct[37]
    assert (middle[38:] == -1000).all()  # the couch
    assert (middle[:36] > -200).mean() > 0.25  # the patient
    # The tumour beside the heart, SUV above 10 at full resolution, stays the hottest spot of the lungs.
    assert prepared.pet.max() > 5


def test_the_real_crops_keep_their_tissue() -> None:
    folder = DATA / "ibsi-sts-petct-crops" / "STS_018"
    if not folder.is_dir():
        pytest.skip(f"real data missing: {folder}")
    series = pytest.importorskip("PRRTPredictorCore.dicom.series")
    suv = pytest.importorskip("PRRTPredictorCore.dicom.suv")
    pet, ct = suv.load_pet(folder / "PET" / "image"), series.load_ct(folder / "CT" / "image")
    before = prepare_study(pet, ct, PreprocessConfig(remove_couch=False)).ct
    after = prepare_study(pet, ct).ct
    soft = (before > -100) & (np.arange(50)[None, :, None] < 30)
    assert soft.any()
    np.testing.assert_array_equal(after[soft], before[soft])
