"""PET and CT on one grid, whatever their axes; and the exact way back to the patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from PRRTPredictorCore.errors import Code, GeometryRefused
from PRRTPredictorCore.imaging.grid import box_in, canonical_view, common_box, trim_constant_ends
from PRRTPredictorCore.imaging.mapping import lps_to_model_voxel, model_voxel_to_lps, to_pet_geometry
from PRRTPredictorCore.imaging.preprocess import PreprocessConfig, prepare_study
from PRRTPredictorCore.records import Acquisition, CommonGrid, LoadedSeries, Volume

SMALL = PreprocessConfig(shape=(15, 10, 10), remove_couch=False)


def affine(spacing_kji, centre_lps, shape, rotation=None) -> np.ndarray:
    """An affine whose volume is centred on ``centre_lps``."""
    matrix = np.eye(4)
    turn = np.eye(3) if rotation is None else Rotation.from_euler("xyz", rotation, degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.diag(spacing_kji[::-1])
    middle = (np.array(shape[::-1]) - 1) / 2
    matrix[:3, 3] = np.asarray(centre_lps) - matrix[:3, :3] @ middle
    return matrix


def blob(volume_shape, ijk_to_lps, centre_lps, sigma_mm=25.0, peak=10.0) -> np.ndarray:
    """A Gaussian in patient space, sampled at voxel centres."""
    index = np.moveaxis(np.indices(volume_shape), 0, -1)[..., ::-1]
    lps = index @ ijk_to_lps[:3, :3].T + ijk_to_lps[:3, 3]
    far = 1e-3 * np.exp(-((lps - centre_lps) ** 2).sum(axis=-1) / 1e5)  # no slice of one single value
    return (peak * (far + np.exp(-((lps - centre_lps) ** 2).sum(axis=-1) / (2 * sigma_mm**2)))).astype(np.float32)


def series(array, ijk_to_lps, modality, frame="1.2") -> LoadedSeries:
    unit = "SUVbw" if modality == "PT" else "HU"
    acquisition = Acquisition("Maker", "Model", None)
    return LoadedSeries(Volume(array, ijk_to_lps, modality, unit), acquisition, frame, "1", "2")


def study(pet_rotation=None, ct_rotation=None, pet_centre=(3.0, -8.0, 40.0)) -> tuple[LoadedSeries, LoadedSeries]:
    pet_shape, ct_shape = (60, 50, 50), (80, 120, 120)
    at = affine((4.0, 6.0, 6.0), pet_centre, pet_shape, pet_rotation)
    ct_at = affine((3.0, 2.0, 2.0), pet_centre, ct_shape, ct_rotation)
    spot = np.array(pet_centre) + np.array([20.0, 15.0, -30.0])
    pet = series(blob(pet_shape, at, spot), at, "PT")
    ct = series((blob(ct_shape, ct_at, spot, peak=1500.0) - 1000.0).astype(np.float32), ct_at, "CT")
    return pet, ct


def rearranged(volume: Volume, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """The same image stored with permuted and reversed array axes."""
    array, matrix = volume.array.transpose(order), np.eye(4)
    columns = [2 - order[2 - c] for c in range(3)]
    matrix[:3, :3] = volume.ijk_to_lps[:3, columns]
    matrix[:3, 3] = volume.ijk_to_lps[:3, 3]
    for axis, flip in enumerate(flips):
        if flip:
            column = 2 - axis
            matrix[:3, 3] += matrix[:3, column] * (array.shape[axis] - 1)
            matrix[:3, column] *= -1
            array = np.flip(array, axis)
    return replace(volume, array=np.ascontiguousarray(array), ijk_to_lps=matrix)


@pytest.mark.parametrize(
    ("order", "flips"),
    [
        ((0, 1, 2), (True, False, False)),  # head to foot
        ((0, 1, 2), (False, True, True)),  # patient prone in the scanner's frame
        ((1, 0, 2), (False, False, False)),  # coronal slices
        ((1, 0, 2), (True, True, False)),
        ((2, 0, 1), (False, True, False)),  # sagittal slices
        ((2, 1, 0), (True, False, True)),
    ],
)
def test_storage_order_does_not_reach_the_model(order, flips) -> None:
    pet, ct = study(pet_rotation=(4, -3, 7))
    expected = prepare_study(pet, ct, SMALL)
    stored = replace(pet, volume=rearranged(pet.volume, order, flips))
    stored_ct = replace(ct, volume=rearranged(ct.volume, order, flips))
    result = prepare_study(stored, stored_ct, SMALL)
    np.testing.assert_allclose(result.grid.ijk_to_lps, expected.grid.ijk_to_lps, atol=1e-9)
    np.testing.assert_allclose(result.pet, expected.pet, atol=1e-5)
    np.testing.assert_allclose(result.ct, expected.ct, atol=1e-2)


def test_the_model_grid_is_head_up_and_follows_the_pet() -> None:
    pet, ct = study(pet_rotation=(10, 5, -15), ct_rotation=(10, 5, -15))
    grid = prepare_study(pet, ct, SMALL).grid
    directions = grid.ijk_to_lps[:3, :3] / np.linalg.norm(grid.ijk_to_lps[:3, :3], axis=0)
    assert (np.diag(directions) > 0.9).all()  # i to the left, j to the back, k to the head
    expected = Rotation.from_euler("xyz", (10, 5, -15), degrees=True).as_matrix()
    np.testing.assert_allclose(directions, expected, atol=1e-9)
    # 60 x 4 mm by 50 x 6 mm, cut to the CT's 80 x 3 mm by 120 x 2 mm.
    np.testing.assert_allclose(grid.field_of_view_mm, (240.0, 240.0, 240.0), atol=1e-6)


@pytest.mark.parametrize("ct_rotation", [None, (0, 0, 90), (8, -6, 12), (35, 10, -20)])
@pytest.mark.parametrize("pet_rotation", [None, (5, 10, -15)])
def test_one_model_voxel_is_the_same_tissue_in_both(pet_rotation, ct_rotation) -> None:
    pet, ct = study(pet_rotation, ct_rotation)
    prepared = prepare_study(pet, ct, SMALL)
    # Both images hold the same Gaussian; away from the edges, HU + 1000 is 150 times the SUV.
    inner = (slice(3, -3),) * 3
    scaled = (prepared.ct[inner] + 1000.0) / 150.0
    assert prepared.pet[inner].max() > 7
    np.testing.assert_allclose(scaled, prepared.pet[inner], atol=0.25)
    assert np.corrcoef(scaled.ravel(), prepared.pet[inner].ravel())[0, 1] > 0.999


def test_a_turned_ct_keeps_its_total_within_two_percent() -> None:
    pet, straight = study()
    _, turned = study(ct_rotation=(20, 15, -25))
    totals = []
    for ct in (straight, turned):
        prepared = prepare_study(pet, ct, SMALL)
        totals.append((prepared.ct + 1000.0).sum() * abs(np.linalg.det(prepared.grid.ijk_to_lps)))
    assert totals[1] == pytest.approx(totals[0], rel=0.02)


@settings(max_examples=60, deadline=None)
@given(
    rotation=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.5, 8)] * 3),
    offset=st.tuples(*[st.floats(-800, 800)] * 3),
    seed=st.integers(0, 1000),
)
def test_voxel_to_patient_to_saliency_voxel(rotation, spacing, offset, seed) -> None:
    rng = np.random.default_rng(seed)
    shape = (20, 16, 18)
    pet = series(rng.random(shape, dtype=np.float32), affine(spacing, offset, shape, rotation), "PT")
    ct = series(rng.random(shape, dtype=np.float32), affine(spacing, offset, shape, rotation), "CT")
    grid = prepare_study(pet, ct, SMALL).grid
    voxels = rng.uniform(0, shape, size=(50, 3))
    lps = voxels[:, ::-1] @ pet.volume.ijk_to_lps[:3, :3].T + pet.volume.ijk_to_lps[:3, 3]
    back = model_voxel_to_lps(grid, lps_to_model_voxel(grid, lps))
    assert np.abs(back - lps).max() < 1e-4
    # The model voxel found through the patient is the one found by counting voxels in the canonical volume.
    view = canonical_view(pet.volume)
    corner = model_voxel_to_lps(grid, (-0.5, -0.5, -0.5))
    first_edge = view.ijk_to_lps[:3, :3] @ (-0.5, -0.5, -0.5) + view.ijk_to_lps[:3, 3]
    assert np.abs(corner - first_edge).max() < 1e-4


@pytest.mark.parametrize("rotation", [None, (25, -10, 40), (0, 0, 180), (90, 0, 0)])
def test_a_hot_model_voxel_comes_back_to_its_place_on_the_pet(rotation) -> None:
    pet, ct = study(rotation, rotation)
    grid = prepare_study(pet, ct, SMALL).grid
    saliency = np.zeros(grid.shape, dtype=np.float32)
    saliency[9, 3, 6] = 1.0
    mapped = to_pet_geometry(saliency, grid, pet.volume)
    assert mapped.array.shape == pet.volume.shape
    assert mapped.array.dtype == np.float32
    np.testing.assert_array_equal(mapped.ijk_to_lps, pet.volume.ijk_to_lps)
    assert mapped.unit == "saliency"
    assert 0.0 <= mapped.array.min() <= mapped.array.max() <= 1.0
    weights = mapped.array / mapped.array.sum()
    index = np.array([(weights * grid_axis).sum() for grid_axis in np.indices(mapped.shape)])
    lps = mapped.ijk_to_lps[:3, :3] @ index[::-1] + mapped.ijk_to_lps[:3, 3]
    # The centre of mass is exact but for the beat of the two samplings.
    assert np.linalg.norm(lps - model_voxel_to_lps(grid, (9, 3, 6))) < 1.5


def test_mapping_equals_trilinear_interpolation_and_is_zero_outside() -> None:
    from scipy.ndimage import map_coordinates

    pet, ct = study((5, 10, -15), (5, 10, -15))
    grid = prepare_study(pet, ct, SMALL).grid
    saliency = np.random.default_rng(4).random(grid.shape, dtype=np.float32)
    mapped = to_pet_geometry(saliency, grid, pet.volume)
    index = np.moveaxis(np.indices(mapped.shape), 0, -1)
    lps = index[..., ::-1] @ pet.volume.ijk_to_lps[:3, :3].T + pet.volume.ijk_to_lps[:3, 3]
    position = lps_to_model_voxel(grid, lps)
    inside = ((position > -0.5 + 1e-6) & (position < np.array(grid.shape) - 0.5 - 1e-6)).all(axis=-1)
    expected = map_coordinates(saliency, np.moveaxis(position, -1, 0), order=1, mode="nearest")
    np.testing.assert_allclose(mapped.array[inside], expected[inside], atol=1e-5)
    beyond = ((position < -0.5 - 1e-6) | (position > np.array(grid.shape) - 0.5 + 1e-6)).any(axis=-1)
    assert beyond.any()
    assert (mapped.array[beyond] == 0).all()


def test_a_map_of_another_pet_is_refused() -> None:
    pet, ct = study()
    grid = prepare_study(pet, ct, SMALL).grid
    other, _ = study(pet_rotation=(30, 0, 0))
    with pytest.raises(GeometryRefused) as caught:
        to_pet_geometry(np.zeros(grid.shape, np.float32), grid, other.volume)
    assert caught.value.code is Code.BAD_GEOMETRY
    with pytest.raises(GeometryRefused):
        to_pet_geometry(np.zeros((2, 2, 2), np.float32), grid, pet.volume)


def test_pet_and_ct_of_different_places_are_refused() -> None:
    pet, _ = study()
    _, ct = study(pet_centre=(0.0, 0.0, 1500.0))
    with pytest.raises(GeometryRefused) as caught:
        prepare_study(pet, ct, SMALL)
    assert caught.value.code is Code.NO_OVERLAP
    assert caught.value.remedy


def test_a_ct_of_a_part_is_named() -> None:
    pet, ct = study()
    short = replace(ct, volume=replace(ct.volume, array=ct.volume.array[:20]))
    codes = {notice.code for notice in prepare_study(pet, short, SMALL).notices}
    assert "SMALL_OVERLAP" in codes
    assert "SMALL_OVERLAP" not in {notice.code for notice in prepare_study(pet, ct, SMALL).notices}


def test_different_frames_of_reference_are_named() -> None:
    pet, ct = study()
    other = replace(ct, frame_of_reference_uid="9.9")
    assert "FRAME_OF_REFERENCE_DIFFERS" in {notice.code for notice in prepare_study(pet, other, SMALL).notices}


def test_parallel_means_within_a_tenth_of_a_millimetre() -> None:
    shape = (40, 40, 40)
    grid = CommonGrid((10, 10, 10), affine((20, 20, 20), (0, 0, 0), (10, 10, 10)))
    straight = Volume(np.zeros(shape), affine((5, 5, 5), (1, 2, 3), shape, (0, 0, 0.01)), "CT", "HU")
    turned = replace(straight, ijk_to_lps=affine((5, 5, 5), (1, 2, 3), shape, (0, 0, 0.1)))
    assert box_in(straight, grid) is not None
    assert box_in(turned, grid) is None


def test_box_counts_voxel_edges() -> None:
    pet = Volume(np.zeros((10, 20, 20)), affine((4, 4, 4), (0, 0, 0), (10, 20, 20)), "PT", "SUVbw")
    ct = Volume(np.zeros((30, 25, 25)), affine((2, 2, 2), (0, 0, 5), (30, 25, 25)), "CT", "HU")
    box, notices = common_box(pet, ct)
    assert box.k == pytest.approx((0.0, 10.0))  # CT from -25 to 35 mm, PET from -20 to 20
    assert box.j == pytest.approx((10 - 6.25, 10 + 6.25))
    assert not notices


def test_constant_end_slices_are_left_out_and_the_affine_follows() -> None:
    pet, _ = study()
    array = pet.volume.array.copy()
    array[:3], array[-2:] = 0.0, np.nan
    padded = replace(pet.volume, array=array)
    trimmed, left_out = trim_constant_ends(padded)
    assert left_out == 5
    assert trimmed.shape == (55, 50, 50)
    expected = padded.ijk_to_lps @ (0, 0, 3, 1)
    np.testing.assert_allclose(trimmed.ijk_to_lps[:3, 3], expected[:3])
    with pytest.raises(GeometryRefused) as caught:
        trim_constant_ends(replace(padded, array=np.zeros_like(array)))
    assert caught.value.code is Code.EMPTY_IMAGE


def test_a_singular_affine_is_refused() -> None:
    broken = Volume(np.zeros((3, 3, 3)), np.diag([1.0, 0.0, 1.0, 1.0]), "PT", "SUVbw")
    with pytest.raises(GeometryRefused) as caught:
        canonical_view(broken)
    assert caught.value.code is Code.BAD_GEOMETRY
