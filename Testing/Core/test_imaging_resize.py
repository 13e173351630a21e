"""Area resize keeps the total: what the issue and SCIENCE.md ("Measured") promise, at their own sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PRRTPredictorCore.imaging.resize import Box, area_resize, box_weights


def brute_force(array: np.ndarray, shape: tuple[int, int, int], box: Box, outside: float) -> np.ndarray:
    """Each output voxel as the sum over all input voxels of their shared volume; slow and obvious."""
    out = np.full(shape, 0.0)
    edges = [np.linspace(low, high, n + 1) for (low, high), n in zip(box.spans, shape, strict=True)]
    for index in np.ndindex(*shape):
        total, covered = 0.0, 0.0
        whole = np.prod([edges[a][index[a] + 1] - edges[a][index[a]] for a in range(3)])
        for voxel in np.ndindex(*array.shape):
            share = np.prod(
                [
                    max(0.0, min(edges[a][index[a] + 1], voxel[a] + 1) - max(edges[a][index[a]], voxel[a]))
                    for a in range(3)
                ]
            )
            total += share * array[voxel]
            covered += share
        out[index] = (total + (whole - covered) * outside) / whole
    return out


def sphere(shape: tuple[int, int, int], spacing: tuple[float, float, float], centre: np.ndarray) -> np.ndarray:
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    distance = (
        ((k - centre[0]) * spacing[0]) ** 2 + ((j - centre[1]) * spacing[1]) ** 2 + ((i - centre[2]) * spacing[2]) ** 2
    )
    return np.where(distance <= 5.0**2, np.float32(20.0), np.float32(0.0))


@pytest.mark.parametrize("seed", range(5))
def test_a_10_mm_sphere_keeps_all_of_its_uptake(seed: int) -> None:
    spacing = (3.27, 4.07, 4.07)
    centre = np.array([150.0, 100.0, 100.0]) + np.random.default_rng(seed).uniform(-2, 2, 3)
    suv = sphere((300, 200, 200), spacing, centre)
    small = area_resize(suv, (75, 50, 50))
    assert small.shape == (75, 50, 50)
    assert small.dtype == np.float32
    assert small.sum(dtype=float) * (4 * 4 * 4) == pytest.approx(suv.sum(dtype=float), rel=1e-6)
    assert 1.0 < small.max() < 5.0


def test_integer_factors_are_plain_block_means() -> None:
    values = np.random.default_rng(0).normal(size=(12, 8, 10)).astype(np.float32)
    expected = values.reshape(4, 3, 4, 2, 5, 2).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(area_resize(values, (4, 4, 5)), expected, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    target=st.tuples(*[st.integers(1, 7)] * 3),
    low=st.tuples(*[st.floats(-2, 0.6)] * 3),
    size=st.tuples(*[st.floats(0.3, 7)] * 3),
    seed=st.integers(0, 99),
)
def test_any_box_equals_the_sum_of_shared_volumes(shape, target, low, size, seed) -> None:
    values = np.random.default_rng(seed).normal(size=shape)
    spans = [(start, start + length) for start, length in zip(low, size, strict=True)]
    box = Box(*spans)
    result = area_resize(values, target, box, outside=-3.0)
    np.testing.assert_allclose(result, brute_force(values, target, box, -3.0), atol=2e-5)


@settings(max_examples=40, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 90)] * 3), target=st.tuples(*[st.integers(1, 60)] * 3))
def test_the_mean_is_kept_up_and_down(shape, target) -> None:
    values = np.random.default_rng(1).gamma(1.0, 2.0, size=shape).astype(np.float32)
    assert area_resize(values, target).mean(dtype=float) == pytest.approx(values.mean(dtype=float), rel=1e-5)


def test_weights_sum_to_the_covered_share() -> None:
    np.testing.assert_allclose(box_weights(10, 4, (0.0, 10.0)).sum(axis=1), 1.0)
    np.testing.assert_allclose(box_weights(4, 4, (-2.0, 6.0)).sum(axis=1), [0.0, 1.0, 1.0, 0.0])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
def test_memory_order_does_not_matter(order: tuple[int, int, int]) -> None:
    values = np.random.default_rng(2).integers(-1000, 3000, size=(30, 41, 52)).astype(np.int16)
    strided = np.ascontiguousarray(values.transpose(order)).transpose(np.argsort(order))[::-1, :, ::-1]
    expected = area_resize(np.ascontiguousarray(strided), (7, 11, 13))
    np.testing.assert_allclose(area_resize(strided, (7, 11, 13)), expected, rtol=1e-5, atol=1e-3)


def test_cleaning_happens_before_averaging() -> None:
    values = np.full((4, 4, 4), -3024, dtype=np.int16)
    values[0, 0, 0] = 1000
    cleaned = area_resize(values, (1, 1, 1), clean=lambda block: np.maximum(block, -1000).astype(np.float32))
    assert cleaned[0, 0, 0] == pytest.approx((1000 - 63 * 1000) / 64)


def test_many_slabs_equal_one(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).normal(size=(37, 20, 20)).astype(np.float32)
    whole = area_resize(values, (9, 7, 7), outside=-1.0)
    monkeypatch.setattr("PRRTPredictorCore.imaging.resize._BLOCK_VOXELS", 900)
    np.testing.assert_allclose(area_resize(values, (9, 7, 7), outside=-1.0), whole, atol=1e-6)
