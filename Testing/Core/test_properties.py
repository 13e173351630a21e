"""Properties that hold whatever the numbers are: grids there and back, units, splits, names that become codes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from PRRTPredictorCore.cohort.labs import accepted_range, accepted_units, canonical_unit, lab_value
from PRRTPredictorCore.freetext import LONGEST, one_line, printable
from PRRTPredictorCore.imaging.grid import box_in, canonical_view, grid_of
from PRRTPredictorCore.imaging.mapping import lps_to_model_voxel, model_voxel_to_lps, to_pet_geometry
from PRRTPredictorCore.imaging.resize import Box, area_resize
from PRRTPredictorCore.records import LABS, CommonGrid, Volume
from PRRTPredictorCore.training.splits import check_splits, make_splits

COUNTS = st.tuples(*[st.integers(2, 9)] * 3)
ANGLES = st.tuples(*[st.floats(-180, 180)] * 3)
SPACINGS = st.tuples(*[st.floats(0.3, 9.0)] * 3)
ORIGINS = st.tuples(*[st.floats(-900, 900)] * 3)
SEEDS = st.integers(0, 2**31 - 1)


def affine_of(angles, spacing, origin) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


def made(shape, affine, seed: int = 0) -> Volume:
    values = np.random.default_rng(seed).random(shape).astype(np.float32)
    return Volume(values, affine, "PT", "SUVbw")


# --- from the patient to the grid and back ----------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(shape=COUNTS, angles=ANGLES, spacing=SPACINGS, origin=ORIGINS, seed=SEEDS)
def test_a_place_in_the_patient_is_found_again(shape, angles, spacing, origin, seed) -> None:
    grid = CommonGrid(shape, affine_of(angles, spacing, origin))
    places = np.random.default_rng(seed).uniform(-500, 500, (7, 3))
    np.testing.assert_allclose(model_voxel_to_lps(grid, lps_to_model_voxel(grid, places)), places, atol=1e-6)
    voxels = np.array(list(np.ndindex(*shape)))
    np.testing.assert_allclose(lps_to_model_voxel(grid, model_voxel_to_lps(grid, voxels)), voxels, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(shape=COUNTS, angles=ANGLES, spacing=SPACINGS, origin=ORIGINS)
def test_turning_a_volume_head_up_moves_no_voxel(shape, angles, spacing, origin) -> None:
    values = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    volume = Volume(values, affine_of(angles, spacing, origin), "PT", "SUVbw")
    turned = canonical_view(volume)
    assert np.shares_memory(turned.array, volume.array)
    assert np.linalg.det(turned.ijk_to_lps[:3, :3]) > 0
    number = turned.array.ravel().astype(int)
    np.testing.assert_allclose(places_of(turned), places_of(volume)[number], atol=1e-6)


def places_of(volume: Volume) -> np.ndarray:
    kji = np.array(list(np.ndindex(*volume.array.shape)))
    homogeneous = np.column_stack([kji[:, ::-1], np.ones(len(kji))])
    return (homogeneous @ volume.ijk_to_lps.T)[:, :3]


@settings(max_examples=50, deadline=None)
@given(
    shape=COUNTS,
    target=COUNTS,
    angles=ANGLES,
    spacing=SPACINGS,
    origin=ORIGINS,
    low=st.tuples(*[st.floats(0.0, 0.4)] * 3),
    high=st.tuples(*[st.floats(0.6, 1.0)] * 3),
    seed=SEEDS,
)
def test_the_grid_knows_its_box_and_a_map_comes_back_within_it(
    shape, target, angles, spacing, origin, low, high, seed
) -> None:
    pet = made(shape, affine_of(angles, spacing, origin), seed)
    canonical = canonical_view(pet)
    box = Box(*((n * start, n * end) for n, start, end in zip(canonical.shape, low, high, strict=True)))
    grid = grid_of(canonical, box, target)
    found = box_in(canonical, grid)
    assert found is not None
    np.testing.assert_allclose(found.spans, box.spans, atol=1e-6)
    values = np.random.default_rng(seed).random(target).astype(np.float32)
    mapped = to_pet_geometry(values, grid, pet)
    assert mapped.shape == pet.shape
    np.testing.assert_array_equal(mapped.ijk_to_lps, pet.ijk_to_lps)
    assert 0.0 <= mapped.array.min() <= mapped.array.max() <= values.max()
    inside = lps_to_model_voxel(grid, places_of(pet))
    beyond = ((inside < -0.5 - 1e-6) | (inside > np.array(target) - 0.5 + 1e-6)).any(axis=1)
    assert not mapped.array.ravel()[beyond].any()


@settings(max_examples=60, deadline=None)
@given(shape=COUNTS, target=COUNTS, seed=SEEDS)
def test_resizing_a_whole_volume_keeps_its_total_and_its_range(shape, target, seed) -> None:
    values = np.random.default_rng(seed).gamma(0.5, 5.0, shape).astype(np.float32)
    small = area_resize(values, target)
    voxel = math.prod(shape) / math.prod(target)
    assert small.sum(dtype=float) * voxel == pytest.approx(values.sum(dtype=float), rel=1e-5)
    assert values.min() * (1 - 1e-5) <= small.min() <= small.max() <= values.max() * (1 + 1e-5)


@settings(max_examples=40, deadline=None)
@given(shape=COUNTS, angles=ANGLES, spacing=SPACINGS, origin=ORIGINS, kind=st.sampled_from(["PT", "CT"]))
def test_slicer_and_dicom_mean_the_same_place(shape, angles, spacing, origin, kind) -> None:
    """LPS to RAS and back through a node, and each voxel where Slicer says it is."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    import slicer

    from PRRTPredictorLib.Volumes import addVolumeNode, ijkToRasOfNode, rasFromLps, volumeFromNode

    values = np.arange(math.prod(shape)).reshape(shape).astype(np.float32 if kind == "PT" else np.int16)
    volume = Volume(values, affine_of(angles, spacing, origin), kind, "SUVbw" if kind == "PT" else "HU")
    node = addVolumeNode(slicer.vtkMRMLScene(), volume, "Image")
    read = volumeFromNode(node)
    np.testing.assert_array_equal(read.array, values)
    np.testing.assert_allclose(read.ijk_to_lps, volume.ijk_to_lps, atol=1e-9)
    corner = np.array([shape[2] - 1, shape[1] - 1, shape[0] - 1, 1.0])
    expected = rasFromLps((volume.ijk_to_lps @ corner)[:3])
    np.testing.assert_allclose((ijkToRasOfNode(node) @ corner)[:3], expected, atol=1e-9)
    np.testing.assert_allclose(rasFromLps(expected), (volume.ijk_to_lps @ corner)[:3], atol=1e-9)


# --- units ------------------------------------------------------------------------------------------------------------


@given(lab=st.sampled_from(LABS), data=st.data())
def test_every_unit_keeps_order_and_proportion(lab: str, data: st.DataObject) -> None:
    unit = data.draw(st.sampled_from(accepted_units(lab)))
    limits = accepted_range(lab, unit)
    value = data.draw(st.floats(limits.low, limits.high / 2, exclude_min=True))
    assume(2 * value in limits)
    one, two = lab_value(lab, value, unit), lab_value(lab, 2 * value, unit)
    assert two == pytest.approx(2 * one, rel=1e-12)
    assert lab_value(lab, repr(value), unit) == one


@given(lab=st.sampled_from(LABS), data=st.data())
def test_a_unit_may_be_spelled_in_any_case_and_with_spaces(lab: str, data: st.DataObject) -> None:
    unit = data.draw(st.sampled_from(accepted_units(lab)))
    spelled = data.draw(st.sampled_from([unit, unit.lower(), unit.upper(), f" {unit} ", unit.replace("/", " / ")]))
    assert canonical_unit(lab, spelled) == unit


# --- splits -----------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(short=st.integers(5, 6), long=st.integers(5, 90), folds=st.integers(2, 5), seed=SEEDS, turned=st.booleans())
def test_even_the_rarest_outcome_is_in_every_fold_and_no_patient_on_both_sides(
    short, long, folds, seed, turned
) -> None:
    codes = [f"P-{number:04d}" for number in range(short + long)]
    y = [int(turned)] * short + [1 - int(turned)] * long
    outcome = dict(zip(codes, y, strict=True))
    splits = make_splits(codes, y, folds=folds, repeats=3, seed=seed)
    check_splits(splits, codes)
    for split in splits:
        assert not set(split.train) & set(split.test)
        assert {outcome[code] for code in split.test} == {outcome[code] for code in split.train} == {0, 1}
    order = np.random.default_rng(seed).permutation(len(codes))
    assert make_splits([codes[i] for i in order], [y[i] for i in order], folds=folds, repeats=3, seed=seed) == splits


# --- free text --------------------------------------------------------------------------------------------------------


@given(st.text(max_size=300))
def test_free_text_becomes_one_line_that_commands_nothing(text: str) -> None:
    line = one_line(text)
    assert len(line) <= LONGEST
    assert line == one_line(line)
    assert printable(text) == printable(printable(text))
    assert len(printable(text)) == len(text)
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in printable(text))
