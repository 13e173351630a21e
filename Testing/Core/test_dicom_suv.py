"""PET series from disk in SUVbw: the reference objects, real scanners, and refusals before any pixel is decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_objects import DATA, multiframe, pet_series, write_series

import PRRTPredictorCore.dicom.suv as suv
from PRRTPredictorCore.dicom.suv import load_pet
from PRRTPredictorCore.errors import Code, DicomRefused, GeometryRefused, SuvRefused

REFERENCE_OBJECTS = ("DRO_0_0", "DRO_1_0", "DRO_2_0", "DRO_2_4", "DRO_3_1", "DRO_4_1", "DRO_5_0")
MADE_FACTOR = 70_000 / 1.5e8 * 2 ** (3600 / 4062.6)


def real(*parts: str) -> Path:
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"real data missing: {'/'.join(parts)}")
    return path


def stored(slices: int = 5) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 30_000, (slices, 6, 5)).astype(np.uint16)


@pytest.mark.parametrize("name", REFERENCE_OBJECTS)
def test_reference_object(name: str):
    nibabel = pytest.importorskip("nibabel")
    folder = real("suv-dro", name)
    volume = load_pet(folder / "PT").volume
    mask = nibabel.load(next(folder.rglob("*.nii.gz")))
    # From mask voxels through the patient to our voxels, so that neither file's axis order is taken for granted.
    ras = nibabel.affines.apply_affine(mask.affine, np.argwhere(np.asarray(mask.dataobj) > 0))
    i, j, k = (
        np.rint(nibabel.affines.apply_affine(np.linalg.inv(volume.ijk_to_lps), ras * [-1.0, -1.0, 1.0])).astype(int).T
    )
    inside = volume.array[k, j, i]
    assert inside.size > 10_000
    found = [round(float(value), 2) for value in (inside.min(), np.median(inside), inside.max())]
    assert found == [0.20, 1.00, 4.00]


def test_real_general_electric_series():
    series = load_pet(real("acrin-nsclc-042-petct", "PET"))
    assert series.suv is not None
    assert series.suv.factor == pytest.approx(0.00042111, abs=5e-9)  # (0009,100D) is 23 days off
    assert series.suv.tracer == series.acquisition.tracer == "FDG F-18"
    assert series.volume.shape == (135, 128, 128)
    assert "TRACER_UNEXPECTED" in {notice.code for notice in series.notices}


def test_real_siemens_series():
    series = load_pet(real("qin-headneck-0139-pet", "image"))
    assert series.suv is not None
    assert series.suv.factor == pytest.approx(0.000401664, abs=5e-10)
    assert series.volume.array.max() == pytest.approx(89.8588, abs=1e-4)
    assert series.volume.array.min() == 0


def test_series_that_is_suv_already():
    series = load_pet(real("ibsi-sts-petct-crops", "STS_002", "PET", "image"))
    assert series.suv is not None
    assert (series.suv.units, series.suv.suv_type, series.suv.factor) == ("GML", "BW", None)
    assert series.volume.array.max() == pytest.approx(21.6757, abs=1e-4)


def test_factor_and_slope_reach_every_slice(tmp_path: Path):
    values, slopes = stored(), np.linspace(0.1, 2.0, 5)
    write_series(pet_series(values, slopes), tmp_path)
    series = load_pet(tmp_path)
    np.testing.assert_allclose(series.volume.array, values * slopes[:, None, None] * MADE_FACTOR, rtol=1e-6)
    assert series.volume.unit == "SUVbw"
    assert series.notices == ()


@pytest.mark.parametrize("legacy", [False, True])
def test_multi_frame_equals_single_frame(tmp_path: Path, legacy: bool):
    made = pet_series(stored(), np.linspace(0.1, 2.0, 5))
    write_series(made, tmp_path / "single")
    joined = multiframe(made, legacy=legacy)
    if not legacy:  # an enhanced PET says it in its own words
        del joined.Units, joined.DecayCorrection, joined.CorrectedImage
        joined.DecayCorrected = joined.AttenuationCorrected = "YES"
        joined.DecayCorrectionDateTime = "20200102110000"
        for group in joined.PerFrameFunctionalGroupsSequence:
            group.PixelValueTransformationSequence[0].RescaleType = "BQML"
    write_series(joined, tmp_path / "multi")
    single, multi = load_pet(tmp_path / "single"), load_pet(tmp_path / "multi")
    np.testing.assert_allclose(multi.volume.array, single.volume.array, rtol=1e-6)
    np.testing.assert_allclose(multi.volume.ijk_to_lps, single.volume.ijk_to_lps, atol=1e-6)


def test_header_is_judged_before_pixels_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def never(*_: object) -> None:
        pytest.fail("pixels were decoded")

    monkeypatch.setattr(suv, "decode", never)
    write_series(pet_series(stored(), Units="PROPCNTS"), tmp_path / "counts")
    with pytest.raises(SuvRefused) as counts:
        load_pet(tmp_path / "counts")
    assert counts.value.code is Code.UNITS_UNSUPPORTED
    positions = [(0.0, 0.0, z) for z in (0.0, 3.0, 6.0, 15.0, 18.0)]
    write_series(pet_series(stored(), positions=positions), tmp_path / "gap")
    with pytest.raises(GeometryRefused) as gap:
        load_pet(tmp_path / "gap")
    assert gap.value.code is Code.MISSING_SLICES


def test_computed_tomography_is_no_pet():
    with pytest.raises(DicomRefused) as caught:
        load_pet(real("acrin-nsclc-042-petct", "CT"))
    assert caught.value.code is Code.WRONG_MODALITY


def test_refusals_carry_no_identity(tmp_path: Path):
    write_series(pet_series(stored(), PatientWeight=0), tmp_path)
    with pytest.raises(SuvRefused) as caught:
        load_pet(tmp_path)
    assert "CANARY" not in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("slope", ["1e-12", "1e12", "1e34", "1e39", "1e300"])
def test_a_scale_that_leads_to_impossible_values_is_refused(tmp_path: Path, slope: str):
    made = pet_series(stored())
    for item in made:
        item.RescaleSlope = slope
    write_series(made, tmp_path)
    with pytest.raises(SuvRefused) as caught:
        load_pet(tmp_path)
    assert caught.value.code is Code.SUV_SCALE_FACTOR
    assert "RescaleSlope" in caught.value.where


def test_one_slice_beyond_belief_is_enough_and_so_is_a_negative_one(tmp_path: Path):
    write_series(pet_series(stored(), [0.5, 0.5, 1e30, 0.5, 0.5]), tmp_path / "one")
    values = np.zeros((5, 6, 5), np.int16)
    values[2, 3, 3], values[1] = -30_000, 1
    write_series(pet_series(values, 1e5), tmp_path / "negative")
    for name in ("one", "negative"):
        with pytest.raises(SuvRefused) as caught:
            load_pet(tmp_path / name)
        assert caught.value.code is Code.SUV_SCALE_FACTOR


@pytest.mark.parametrize(("announced", "told"), [(None, False), (5, False), (4, False), (6, True)])
def test_slices_that_the_header_announces_are_missed(tmp_path: Path, announced: int | None, told: bool):
    write_series(pet_series(stored(), **({} if announced is None else {"NumberOfSlices": announced})), tmp_path)
    notices = load_pet(tmp_path).notices
    assert [notice.code for notice in notices if notice.code == "SLICES_ABSENT"] == ["SLICES_ABSENT"] * told


def test_a_hot_source_and_an_image_of_zeros_are_believed(tmp_path: Path):
    hot = np.zeros((5, 6, 5), np.uint16)
    write_series(pet_series(hot), tmp_path / "empty")
    assert load_pet(tmp_path / "empty").volume.array.max() == 0  # whether there is anything to see is asked later
    hot[2, 3, 3] = 60_000
    write_series(pet_series(hot, 900.0), tmp_path / "hot")
    assert 1e4 < load_pet(tmp_path / "hot").volume.array.max() < suv.LARGEST_SUV


def test_padding_that_is_no_number_does_not_hide_the_peak():
    padded = np.full((2, 3, 3), np.nan, np.float32)
    padded[0, 1, 1] = 7.0
    suv._require_possible(padded)
    padded[1, 1, 1] = np.inf
    with pytest.raises(SuvRefused):
        suv._require_possible(padded)
