"""What a fold leaves of its held-out patients besides the prediction.

Embeddings, statistics of the gradients, and answers to shuffled inputs. This is the one place that knows the layout of
``embeddings.npz``, ``gradients.npz`` and ``permutations.npz``; the report reads the records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ..records import LabMethod

LOG10_EDGES: NDArray[np.float64] = np.linspace(-16.0, 4.0, 201)
"""Edges of the bins of log10 |∂ probability / ∂ voxel| (per SUV or per HU); values beyond fall into the end bins."""

UNIT_EDGES: NDArray[np.float64] = np.linspace(0.0, 1.0, 101)
"""Edges of the bins of |∂ probability / ∂ voxel| after min-max scaling of each patient's map (paper, Fig. 8)."""


@dataclass(frozen=True, eq=False)
class HeldOutEmbeddings:
    """Fused embeddings (the MLP's second layer) of the held-out patients.

    Attributes
    ----------
    codes : tuple of str, length n
    values : ndarray, shape (n, E), float32
    """

    codes: tuple[str, ...]
    values: NDArray[np.float32]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """``codes`` (n,) text, ``embeddings`` (n, E)."""
        return {"codes": np.array(self.codes, dtype=np.str_), "embeddings": self.values}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> HeldOutEmbeddings:
        """The inverse of :meth:`to_arrays`."""
        codes = _texts(arrays["codes"])
        return cls(codes, _table(arrays["embeddings"], (len(codes), None), np.float32))


@dataclass(frozen=True, eq=False)
class GradientHistograms:
    """Distribution of |∂ probability / ∂ voxel| over the voxels of one modality; one row a held-out patient.

    Attributes
    ----------
    log10_counts : ndarray of int, shape (n, 200)
        Voxels in each bin of :data:`LOG10_EDGES`; voxels without any gradient are not among them.
    zeros : ndarray of int, shape (n,)
        Voxels whose gradient is exactly zero (beyond the window, for instance).
    unit_counts : ndarray of int, shape (n, 100)
        Voxels in each bin of :data:`UNIT_EDGES`; every voxel is counted.
    maximum : ndarray, shape (n,)
        The largest |∂ probability / ∂ voxel|, per SUV or per HU.
    """

    log10_counts: NDArray[np.int64]
    zeros: NDArray[np.int64]
    unit_counts: NDArray[np.int64]
    maximum: NDArray[np.float64]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Rows that were computed: gradients through a large frozen encoder are taken for some patients only."""
        return np.asarray(self.unit_counts.sum(axis=1) > 0)

    @classmethod
    def of(cls, gradients: NDArray[np.floating]) -> GradientHistograms:
        """Count the voxels of gradient maps [n, K, J, I] (sign ignored)."""
        rows = [_count(np.abs(gradient).ravel()) for gradient in gradients]
        return cls(*(np.stack(column) for column in zip(*rows, strict=True)))

    @classmethod
    def stack(cls, parts: list[GradientHistograms], n: int) -> GradientHistograms:
        """Join histograms of consecutive patients; rows missing at the end, up to ``n``, are left empty."""

        def joined(name: str) -> NDArray[Any]:
            rows = np.concatenate([getattr(part, name) for part in parts])
            return np.concatenate([rows, np.zeros((n - len(rows), *rows.shape[1:]), dtype=rows.dtype)])

        return cls(joined("log10_counts"), joined("zeros"), joined("unit_counts"), joined("maximum"))


@dataclass(frozen=True, eq=False)
class HeldOutGradients:
    """Gradient statistics of the held-out patients; None for what the model does not see.

    Attributes
    ----------
    codes : tuple of str, length n
    feature_names : tuple of str, length F
        The tabular inputs.
    pet, ct : GradientHistograms or None
    lab_contributions : ndarray or None, shape (n, F)
        Positive towards long PFS: ∂ logit / ∂ z · z of the standardised inputs z at the fusion layer, in logits, or
        for a random forest the contributions along the decision paths, in probability.
    lab_method : {"gradient x input", "decision path", "none"}
        Which of the two; they must not be drawn on one axis without saying so.
    """

    codes: tuple[str, ...]
    feature_names: tuple[str, ...]
    pet: GradientHistograms | None = None
    ct: GradientHistograms | None = None
    lab_contributions: NDArray[np.float64] | None = None
    lab_method: LabMethod = "none"

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """``codes``, ``feature_names``, ``lab_method``, ``lab_contributions`` and, for each image, its four tables.

        The tables of the PET are ``pet_log10_counts``, ``pet_zeros``, ``pet_unit_counts``, ``pet_maximum``; those of
        the CT begin with ``ct_``. ``log10_edges`` and ``unit_edges`` are the bins.
        """
        arrays: dict[str, NDArray[Any]] = {
            "codes": np.array(self.codes, dtype=np.str_),
            "feature_names": np.array(self.feature_names, dtype=np.str_),
            "lab_method": np.array(self.lab_method, dtype=np.str_),
            "log10_edges": LOG10_EDGES,
            "unit_edges": UNIT_EDGES,
        }
        if self.lab_contributions is not None:
            arrays["lab_contributions"] = self.lab_contributions
        for image, histograms in (("pet", self.pet), ("ct", self.ct)):
            if histograms is not None:
                arrays |= {f"{image}_{name}": getattr(histograms, name) for name in _TABLES}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> HeldOutGradients:
        """The inverse of :meth:`to_arrays`."""

        codes, names = _texts(arrays["codes"]), _texts(arrays["feature_names"])

        def histograms(image: str) -> GradientHistograms | None:
            if f"{image}_zeros" not in arrays:
                return None
            log10, zeros, units, maximum = (arrays[f"{image}_{name}"] for name in _TABLES)
            return GradientHistograms(
                _table(log10, (len(codes), len(LOG10_EDGES) - 1), np.int64),
                _table(zeros, (len(codes),), np.int64),
                _table(units, (len(codes), len(UNIT_EDGES) - 1), np.int64),
                _table(maximum, (len(codes),), np.float64),
            )

        method = str(arrays["lab_method"])
        if method not in get_args(LabMethod):
            raise ValueError("an unknown method")
        labs = arrays.get("lab_contributions")
        return cls(
            codes=codes,
            feature_names=names,
            pet=histograms("pet"),
            ct=histograms("ct"),
            lab_contributions=None if labs is None else _table(labs, (len(codes), len(names)), np.float64),
            lab_method=method,  # type: ignore[arg-type]  # one of its literals
        )


@dataclass(frozen=True, eq=False)
class HeldOutPermutations:
    """Answers about the held-out patients with one input, or one group of inputs, shuffled among them.

    Attributes
    ----------
    codes : tuple of str, length n
    inputs : tuple of str, length G
        What was shuffled: a tabular input by its name, "labs" for all of them together, "pet" or "ct" for an image.
    logits : ndarray, shape (G, R, n)
        Recalibrated logits under R shuffles.
    """

    codes: tuple[str, ...]
    inputs: tuple[str, ...]
    logits: NDArray[np.float64]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """``codes`` (n,) and ``inputs`` (G,) text, ``logits`` (G, R, n)."""
        return {
            "codes": np.array(self.codes, dtype=np.str_),
            "inputs": np.array(self.inputs, dtype=np.str_),
            "logits": self.logits,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> HeldOutPermutations:
        """The inverse of :meth:`to_arrays`."""
        codes, inputs = _texts(arrays["codes"]), _texts(arrays["inputs"])
        return cls(codes, inputs, _table(arrays["logits"], (len(inputs), None, len(codes)), np.float64))


_TABLES = tuple(GradientHistograms.__dataclass_fields__)


def _texts(stored: NDArray[Any]) -> tuple[str, ...]:
    if stored.ndim != 1 or stored.dtype.kind != "U" or len(set(stored.tolist())) < len(stored):
        raise ValueError("not a list of different names")
    return tuple(stored.tolist())


def _table(stored: NDArray[Any], shape: tuple[int | None, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """A stored array if it has this shape (None: any length but zero) and holds finite numbers, counts from zero on."""
    fits = stored.ndim == len(shape) and all(
        have > 0 if want is None else have == want for have, want in zip(stored.shape, shape, strict=True)
    )
    kinds = "iu" if issubclass(dtype, np.integer) else "fiu"
    if not fits or stored.dtype.kind not in kinds or not np.isfinite(stored).all():
        raise ValueError("an array of another shape or kind, or with undefined values")
    if issubclass(dtype, np.integer) and (stored < 0).any():
        raise ValueError("a count below zero")
    return stored.astype(dtype, copy=False)


def _count(
    magnitudes: NDArray[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    magnitudes = np.nan_to_num(magnitudes, posinf=0.0)
    positive = magnitudes[magnitudes > 0]
    bins = len(LOG10_EDGES) - 1
    per_decade = bins / (LOG10_EDGES[-1] - LOG10_EDGES[0])
    index = np.clip(((np.log10(positive) - LOG10_EDGES[0]) * per_decade).astype(np.int64), 0, bins - 1)
    low, high = float(magnitudes.min()), float(magnitudes.max())
    units = len(UNIT_EDGES) - 1
    scaled = (magnitudes - low) / (high - low) if high > low else np.zeros_like(magnitudes)
    unit_index = np.minimum((scaled * units).astype(np.int64), units - 1)
    return (
        np.bincount(index, minlength=bins).astype(np.int64),
        np.array(magnitudes.size - positive.size, dtype=np.int64),
        np.bincount(unit_index, minlength=units).astype(np.int64),
        np.array(high, dtype=np.float64),
    )
