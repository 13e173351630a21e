"""Normalisation: the training fold's statistics and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from PRRTPredictorCore.errors import Code, InputRefused
from PRRTPredictorCore.imaging.normalise import ImageNormaliser, TabularNormaliser


def images(n: int = 7) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(-300 + 10 * k, 200 + k, size=(5, 6, 7)).astype(np.float32) for k in range(n)]


@pytest.mark.parametrize("window", [None, (-400.0, 100.0)])
def test_streaming_equals_all_at_once(window) -> None:
    fitted = ImageNormaliser.fit(iter(images()), window)
    voxels = np.stack(images()).astype(np.float64)
    if window:
        voxels = np.clip(voxels, *window)
    assert fitted.mean == pytest.approx(voxels.mean(), rel=1e-12)
    assert fitted.std == pytest.approx(voxels.std(), rel=1e-12)
    applied = np.stack([fitted.apply(image) for image in images()])
    assert applied.dtype == np.float32
    assert applied.mean(dtype=float) == pytest.approx(0, abs=1e-5)
    assert applied.std(dtype=float) == pytest.approx(1, abs=1e-5)


def test_large_offsets_lose_no_digits() -> None:
    shifted = [image.astype(np.float64) + 1e9 for image in images()]
    assert ImageNormaliser.fit(shifted).std == pytest.approx(np.stack(images()).astype(np.float64).std(), rel=1e-6)


@pytest.mark.parametrize("window", [None, (0.0, 15.0)])
def test_image_arrays_round_trip(window) -> None:
    fitted = ImageNormaliser.fit(images(), window)
    assert ImageNormaliser.from_arrays(fitted.to_arrays()) == fitted


def test_constant_images_stay_finite() -> None:
    fitted = ImageNormaliser.fit([np.full((2, 2, 2), 5.0)])
    np.testing.assert_array_equal(fitted.apply(np.full((2, 2, 2), 5.0)), 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_refused(bad: float) -> None:
    broken = images()
    broken[3][0, 0, 0] = bad
    with pytest.raises(InputRefused) as caught:
        ImageNormaliser.fit(broken)
    assert caught.value.code is Code.NOT_FINITE
    assert "image 4" in caught.value.where
    with pytest.raises(InputRefused) as caught:
        TabularNormaliser.fit([[1.0, bad], [1.0, 2.0]])
    assert caught.value.code is Code.NOT_FINITE


def test_nothing_to_fit_is_refused() -> None:
    for fit in (lambda: ImageNormaliser.fit([]), lambda: TabularNormaliser.fit(np.empty((0, 4)))):
        with pytest.raises(InputRefused) as caught:
            fit()
        assert caught.value.code is Code.TOO_FEW_PATIENTS


@pytest.mark.parametrize("log1p", [False, True])
def test_table(log1p: bool) -> None:
    table = np.random.default_rng(1).lognormal(3, 1, size=(40, 4))
    fitted = TabularNormaliser.fit(table, log1p)
    applied = fitted.apply(table)
    assert applied.dtype == np.float32
    np.testing.assert_allclose(applied.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(applied.std(axis=0), 1, atol=1e-5)
    again = TabularNormaliser.from_arrays(fitted.to_arrays())
    np.testing.assert_array_equal(again.apply(table), applied)
    assert again.log1p is log1p
    if log1p:
        np.testing.assert_allclose(fitted.mean, np.log1p(table).mean(axis=0))


def test_a_constant_column_and_one_row() -> None:
    fitted = TabularNormaliser.fit([[3.0, 1.0], [3.0, 2.0]])
    np.testing.assert_allclose(fitted.apply([3.0, 1.5]), [0.0, 0.0], atol=1e-6)
    assert fitted.apply([3.0, 1.5]).shape == (2,)


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=20))
def test_the_log_is_defined_below_zero_and_keeps_the_order(column: list[float]) -> None:
    table = np.array(column)[:, None]
    applied = TabularNormaliser.fit(table, log1p=True).apply(table)[:, 0]
    assert np.isfinite(applied).all()
    assert (np.diff(applied[np.argsort(table[:, 0])]) >= -1e-6).all()
