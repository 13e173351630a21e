"""Even, uneven, gapped, doubled and tilted stacks; affines under any orientation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from PRRTPredictorCore.dicom.geometry import affine, even_grid, orthonormal, resample_slices, slice_normal
from PRRTPredictorCore.errors import Code, GeometryRefused

HEAD = np.array([0.0, 0.0, 1.0])
PIXEL = (2.0, 2.0)


def stack_at(along: NDArray[np.float64] | list[float]) -> NDArray[np.float64]:
    return np.array([-10.0, -20.0, 0.0]) + np.outer(along, HEAD)


def refusal(along: NDArray[np.float64] | list[float]) -> Code:
    with pytest.raises(GeometryRefused) as caught:
        even_grid(stack_at(along), HEAD, PIXEL)
    assert caught.value.remedy
    return caught.value.code


def test_an_even_stack_is_its_own_grid() -> None:
    grid = even_grid(stack_at(np.arange(5) * 3.27 - 360.18), HEAD, PIXEL)
    assert grid.sampling is None
    assert grid.start_mm == pytest.approx(-360.18, abs=1e-9)
    assert grid.step_mm == pytest.approx(3.27, abs=1e-9)


def test_even_means_within_a_tenth_of_the_spacing() -> None:
    def shifted(share: float) -> NDArray[np.float64]:
        # Opposite shifts of two inner slices, placed so that the least-squares grid stays where it was.
        along = np.arange(11.0)
        along[[4, 6]] += share * np.array([1, -1])
        along[[0, 10]] += share * np.array([0.2, -0.2])
        return along

    residual = np.abs(shifted(1.0) - np.polyval(np.polyfit(np.arange(11), shifted(1.0), 1), np.arange(11))).max()
    assert even_grid(stack_at(shifted(0.099 / residual)), HEAD, PIXEL).sampling is None
    assert even_grid(stack_at(shifted(0.101 / residual)), HEAD, PIXEL).sampling is not None


def test_uneven_slices_are_read_where_the_grid_lies() -> None:
    along = np.cumsum([0, 3, 3, 3, 3.9, 3.9, 3, 3, 2.2, 2.2, 3, 3])
    grid = even_grid(stack_at(along), HEAD, PIXEL)
    assert grid.sampling is not None
    # An image that is linear in position must come out linear on the even grid.
    values = np.broadcast_to(along[:, None, None], (12, 2, 3)).astype(np.float32)
    wanted = np.clip(grid.start_mm + grid.step_mm * np.arange(12), along[0], along[-1])
    assert np.allclose(resample_slices(values, grid.sampling)[:, 1, 2], wanted, atol=1e-5)


def test_whole_numbers_survive_resampling_as_fractions() -> None:
    values = np.array([0, 100], np.int16)[:, None, None]
    assert resample_slices(values, np.array([0.25, 1.0])).ravel().tolist() == [25.0, 100.0]


def test_a_missing_slice_is_refused() -> None:
    assert refusal([0, 3, 6, 12, 15, 18]) is Code.MISSING_SLICES
    assert even_grid(stack_at([0, 3, 6, 10.4, 13.4, 16.4]), HEAD, PIXEL).step_mm > 0  # 1.47 of the median


def test_doubled_positions_are_refused_even_when_all_are_doubled() -> None:
    assert refusal([0, 3, 3, 6]) is Code.DUPLICATE_SLICES
    assert refusal(np.repeat([0.0, 3, 6], 4)) is Code.DUPLICATE_SLICES


def test_one_slice_is_no_volume() -> None:
    assert refusal([0.0]) is Code.BAD_GEOMETRY


def test_gantry_tilt_is_told_in_degrees() -> None:
    positions = stack_at(np.arange(20) * 3.0)
    positions[:, 1] += np.arange(20) * 3.0 * np.tan(np.radians(10))
    with pytest.raises(GeometryRefused, match=r"10\.0 degrees") as caught:
        even_grid(positions, HEAD, PIXEL)
    assert caught.value.code is Code.GANTRY_TILT


def test_a_sideways_jump_is_no_tilt() -> None:
    positions = stack_at(np.arange(20) * 3.0)
    positions[10:, 0] += 5
    with pytest.raises(GeometryRefused, match="sideways") as caught:
        even_grid(positions, HEAD, PIXEL)
    assert caught.value.code is Code.BAD_GEOMETRY


@pytest.mark.parametrize("slices", [20, 400, 1000])
def test_a_slice_that_jumps_by_a_pixel_is_seen_in_scans_of_any_length(slices: int) -> None:
    positions = stack_at(np.arange(slices) * 3.0)
    positions[slices // 2, 0] += min(PIXEL)
    with pytest.raises(GeometryRefused, match="sideways"):
        even_grid(positions, HEAD, PIXEL)


def test_rounding_of_directions_is_no_tilt() -> None:
    positions = stack_at(np.arange(400) * 3.0)
    positions[:, 1] += np.arange(400) * 3.0 * 1.5e-3
    assert even_grid(positions, HEAD, PIXEL).sampling is None


def test_rounding_of_positions_is_no_tilt() -> None:
    positions = stack_at(np.arange(300) * 1.25)
    positions[:, :2] += np.random.default_rng(0).uniform(-0.005, 0.005, (300, 2))
    assert even_grid(positions, HEAD, PIXEL).sampling is None


@pytest.mark.parametrize(
    "orientation",
    [None, (1, 0, 0), (1, 0, 0, 1, 0, 0), (1, 0, 0, 0.1, 1, 0), (0, 0, 0, 0, 1, 0), (2, 0, 0, 0, 2, 0)],
)
def test_impossible_orientations_are_refused(orientation: tuple[float, ...] | None) -> None:
    with pytest.raises(GeometryRefused) as caught:
        orthonormal(orientation)
    assert caught.value.code is Code.BAD_GEOMETRY


@given(st.integers(0, 10_000), st.floats(0, 5e-4))
@example(1382, 5e-4)  # among those that rounding to three decimals turns most
def test_rounded_orientations_become_exact(seed: int, error: float) -> None:
    rng = np.random.default_rng(seed)
    exact = Rotation.random(random_state=seed).as_matrix()
    written = np.concatenate([exact[0], exact[1]]) + rng.uniform(-error, error, 6)
    row, column = orthonormal(tuple(written))
    basis = np.array([row, column, np.cross(row, column)])
    assert np.allclose(basis @ basis.T, np.eye(3), atol=1e-12)
    assert np.abs(np.concatenate([row, column]) - written).max() <= 4 * error + 1e-12


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        ((1, 0, 0), (0, 1, 0), (0, 0, 1)),  # axial: to the head
        ((-1, 0, 0), (0, 1, 0), (0, 0, 1)),  # axial, mirrored: still to the head
        ((1, 0, 0), (0, 0, -1), (0, 1, 0)),  # coronal: to the back
        ((0, 1, 0), (0, 0, -1), (1, 0, 0)),  # sagittal: to the left
    ],
)
def test_slices_run_to_head_back_or_left(
    row: tuple[float, ...], column: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    assert slice_normal(np.array(row, float), np.array(column, float)).tolist() == list(expected)


@given(
    st.integers(0, 10_000),
    st.floats(0.3, 6),
    st.floats(0.3, 6),
    st.floats(0.5, 6),
    st.tuples(*[st.floats(-500, 500)] * 3),
)
def test_the_affine_puts_every_voxel_where_dicom_says(
    seed: int, rows_mm: float, columns_mm: float, step_mm: float, origin: tuple[float, float, float]
) -> None:
    row, column, normal = Rotation.random(random_state=seed).as_matrix()
    matrix = affine(np.array(origin), row, column, step_mm * normal, (rows_mm, columns_mm))
    i, j, k = 7, 11, 5
    # PS3.3 equation C.7.6.2.1-1, with the position of slice k.
    expected = np.array(origin) + k * step_mm * normal + row * columns_mm * i + column * rows_mm * j
    assert np.allclose((matrix @ [i, j, k, 1])[:3], expected, atol=1e-9)
