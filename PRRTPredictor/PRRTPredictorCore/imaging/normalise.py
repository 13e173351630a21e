"""Normalisation that is fitted on training patients alone and carried with the model.

Only numpy: the same numbers serve in training, in prediction and inside of Slicer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import Code, InputRefused

_STD_FLOOR = 1e-6
"""A constant input carries no information; dividing by its rounding noise would make some up."""


@dataclass(frozen=True)
class ImageNormaliser:
    """Window, then z-score over all voxels of all training images: ``(clip(x) - mean) / std``.

    Attributes
    ----------
    mean, std : float
        In the image's unit (SUVbw or HU), after the window; ``std`` is the population value with a floor of 1e-6.
    window : tuple of float or None
        Lower and upper limit in the image's unit; None leaves the values as they are.
    """

    mean: float
    std: float
    window: tuple[float, float] | None = None

    @classmethod
    def fit(cls, images: Iterable[NDArray[np.floating]], window: tuple[float, float] | None = None) -> ImageNormaliser:
        """Mean and standard deviation over every voxel of ``images``, one image in memory at a time, in float64.

        Raises
        ------
        InputRefused
            ``NOT_FINITE``: an image holds a NaN or an infinity. ``TOO_FEW_PATIENTS``: there is no image at all.
        """
        count, mean, squares = 0, 0.0, 0.0
        for image in finite_images(images):
            voxels = _clip(np.asarray(image, dtype=np.float64), window)
            # Merging of partial moments after Chan et al. (1979): exact, and no second pass over the images.
            image_mean, total = float(voxels.mean()), count + voxels.size
            shift = image_mean - mean
            squares += float(np.square(voxels - image_mean).sum()) + shift**2 * count * voxels.size / total
            mean += shift * voxels.size / total
            count = total
        if not count:
            raise _nothing_to_fit()
        return cls(mean, max(float(np.sqrt(squares / count)), _STD_FLOOR), window)

    def apply(self, image: NDArray[np.floating]) -> NDArray[np.float32]:
        """The normalised image, float32, same shape."""
        return np.asarray((_clip(np.asarray(image), self.window) - self.mean) / self.std, dtype=np.float32)

    def to_arrays(self) -> Mapping[str, NDArray[np.float64]]:
        """``mean`` (), ``std`` (), ``window`` (2,); no window is written as minus and plus infinity."""
        window = self.window or (-np.inf, np.inf)
        return {"mean": np.float64(self.mean) * np.ones(()), "std": self.std * np.ones(()), "window": np.array(window)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.floating]]) -> ImageNormaliser:
        """The inverse of :meth:`to_arrays`."""
        low, high = (float(limit) for limit in arrays["window"])
        window = None if np.isneginf(low) and np.isposinf(high) else (low, high)
        return cls(float(arrays["mean"]), float(arrays["std"]), window)


def finite_images(images: Iterable[NDArray[np.floating]]) -> Iterator[NDArray[np.floating]]:
    """The same images, looked at before any window, which would make a number of an infinity.

    Raises
    ------
    InputRefused
        ``NOT_FINITE``: an image holds a NaN or an infinity.
    """
    for number, image in enumerate(images):
        if not np.isfinite(image).all():
            raise _not_finite(f"image {number + 1} of the training fold")
        yield image


@dataclass(frozen=True, eq=False)
class TabularNormaliser:
    """Optional log, then z-score of every column over the training patients.

    The log is ``sign(x) * log1p(|x|)``: plain log1p for blood values, and defined for an extra input below zero.

    Attributes
    ----------
    mean, std : ndarray, shape (F,)
        After the log; ``std`` is the population value with a floor of 1e-6.
    log1p : bool
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    log1p: bool = False

    @classmethod
    def fit(cls, table: ArrayLike, log1p: bool = False) -> TabularNormaliser:
        """Fit on ``table`` [n, F], one row a training patient, columns in the units of the records (U/L, µg/L).

        Raises
        ------
        InputRefused
            ``NOT_FINITE``: a cell is no number. ``TOO_FEW_PATIENTS``: the table has no row.
        """
        rows = np.atleast_2d(np.asarray(table, dtype=np.float64))
        if not rows.size:
            raise _nothing_to_fit()
        if not np.isfinite(rows).all():
            row, column = np.argwhere(~np.isfinite(rows))[0]
            raise _not_finite(f"training patient {row + 1}, tabular input {column + 1}")
        values = _signed_log1p(rows) if log1p else rows
        return cls(values.mean(axis=0), np.maximum(values.std(axis=0), _STD_FLOOR), log1p)

    def apply(self, table: ArrayLike) -> NDArray[np.float32]:
        """The normalised table, float32, same shape (..., F)."""
        values = np.asarray(table, dtype=np.float64)
        return np.asarray(((_signed_log1p(values) if self.log1p else values) - self.mean) / self.std, dtype=np.float32)

    def to_arrays(self) -> Mapping[str, NDArray[np.float64]]:
        """``mean`` (F,), ``std`` (F,), ``log1p`` () as 0 or 1."""
        return {"mean": self.mean, "std": self.std, "log1p": np.float64(self.log1p) * np.ones(())}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.floating]]) -> TabularNormaliser:
        """The inverse of :meth:`to_arrays`."""
        mean, std = (np.asarray(arrays[name], dtype=np.float64) for name in ("mean", "std"))
        return cls(mean, std, bool(arrays["log1p"] > 0.5))


def _clip(values: NDArray[np.floating], window: tuple[float, float] | None) -> NDArray[np.floating]:
    return values if window is None else np.clip(values, *window)


def _signed_log1p(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)), dtype=np.float64)


def _not_finite(where: str) -> InputRefused:
    return InputRefused(
        Code.NOT_FINITE,
        "A model input is not a number.",
        where=where,
        remedy="Check the cohort table with `prrt cohort check` and prepare the images again.",
    )


def _nothing_to_fit() -> InputRefused:
    return InputRefused(
        Code.TOO_FEW_PATIENTS,
        "There is no training patient to normalise with.",
        remedy="Use fewer folds or more patients.",
    )
