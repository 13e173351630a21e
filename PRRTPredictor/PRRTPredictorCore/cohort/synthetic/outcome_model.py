"""The stated risk from which made patients get their outcome, and the AUROC that no model can beat.

Four standard-normal latents describe a patient: ``labs``, ``burden`` and ``heterogeneity`` (PET), ``morphology`` (CT).
The log odds of short PFS are linear in them plus an interaction of burden with labs and morphology::

    eta = intercept + a·labs + b·burden + c·heterogeneity + d·morphology + e·burden·(labs + morphology)

``labs``, ``burden`` and ``morphology`` are slightly negatively correlated with each other, as among patients selected
for a therapy (who is bad in everything is not sent to PRRT): each alone is then weaker than it is beside the others.

Nobody sees the latents. What can be seen is latent plus noise: the four labs carry one latent with their own
variability, and an image, area-averaged to 75 x 50 x 50, shows burden, heterogeneity and morphology only so well. The
Bayes AUROC is that of P(short | what can be seen).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .seeds import SeedSpace, generator

SignalName = Literal["strong", "weak"]

LATENTS: tuple[str, ...] = ("labs", "burden", "heterogeneity", "morphology")
MODALITY_LATENTS: dict[str, tuple[int, ...]] = {"labs": (0,), "pet": (1, 2), "ct": (3,)}

CORRELATION = -0.05
"""Between labs, burden and morphology."""

OBSERVATION_SD: tuple[float, ...] = (0.31, 0.15, 0.88, 0.22)
"""Noise with which each latent can be seen, in units of its own standard deviation.

Labs: follows from ``clinic.LAB_MODEL``. The others were measured on made patients, scanned and area-averaged to
75 x 50 x 50. Burden: lesion uptake and volume correlate with it by 0.98 and 0.996 where the lesions are known; without
that knowledge, the share of voxels above SUV 20 still does by 0.94 to 0.97 (three cohorts of 116). Heterogeneity: the
spread of uptake over the known lesions, by 0.75; a network that must find them sees less. Morphology: the best of five
regressions on CT numbers of fat and muscle, by 0.977.

Not in the Bayes figures: lesions are faintly visible on CT, and Table 1's categories carry a little of the outcome.
"""


@dataclass(frozen=True)
class Signal:
    """Coefficients of the log odds of short PFS."""

    intercept: float
    labs: float
    burden: float
    heterogeneity: float
    morphology: float
    interaction: float

    def log_odds_short(self, latents: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log odds for latents of shape (..., 4), in the order of :data:`LATENTS`."""
        labs, burden, heterogeneity, morphology = np.moveaxis(np.asarray(latents), -1, 0)
        linear = self.labs * labs + self.burden * burden + self.heterogeneity * heterogeneity
        linear = linear + self.morphology * morphology + self.interaction * burden * (labs + morphology)
        return np.asarray(self.intercept + linear, dtype=np.float64)


SIGNALS: dict[SignalName, Signal] = {
    "strong": Signal(-1.54, labs=2.8, burden=3.4, heterogeneity=0.7, morphology=2.8, interaction=0.45),
    "weak": Signal(-0.64, labs=0.66, burden=0.82, heterogeneity=0.16, morphology=0.66, interaction=0.3),
}
"""Calibrated so that 36 % are short and the Bayes AUROCs are about: strong 0.70 labs, 0.79 PET, 0.69 CT, 0.95 all
three; weak 0.62, 0.66, 0.62, 0.77."""


@dataclass(frozen=True)
class BayesAuroc:
    """The best AUROC that any model can reach in the long run, for each set of inputs."""

    labs: float
    pet: float
    ct: float
    pet_labs: float
    ct_labs: float
    pet_ct: float
    pet_ct_labs: float

    def by_inputs(self) -> tuple[tuple[str, float], ...]:
        """Each set of inputs by name, and its AUROC."""
        return tuple((field.name, float(getattr(self, field.name))) for field in fields(self))


def latent_covariance() -> NDArray[np.float64]:
    """Covariance of the latents, shape (4, 4)."""
    covariance = np.eye(4)
    for a in (0, 1, 3):
        for b in (0, 1, 3):
            if a != b:
                covariance[a, b] = CORRELATION
    return covariance


def draw_latents(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Latents of ``count`` patients, shape (count, 4)."""
    return rng.multivariate_normal(np.zeros(4), latent_covariance(), size=count, method="cholesky")


def draw_patients(
    rng: np.random.Generator, signal: Signal, n_short: int, n_long: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Draw patients by the stated risk until both groups are full.

    Returns
    -------
    latents : ndarray, shape (n_short + n_long, 4)
    long_pfs : ndarray of bool
    """
    wanted = {False: n_short, True: n_long}
    kept: list[NDArray[np.float64]] = []
    groups: list[bool] = []
    while any(wanted.values()):
        latents = draw_latents(rng, 64)
        is_long = rng.random(64) >= probability_short(signal, latents)
        for row, group in zip(latents, is_long.tolist(), strict=True):
            if wanted[group]:
                wanted[group] -= 1
                kept.append(row)
                groups.append(group)
    return np.array(kept).reshape(-1, 4), np.array(groups, dtype=bool)


def probability_short(signal: Signal, latents: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(short PFS) for latents of shape (..., 4)."""
    return np.asarray(1.0 / (1.0 + np.exp(-signal.log_odds_short(latents))), dtype=np.float64)


def bayes_auroc_of(
    signal: Signal | None, observation_sd: tuple[float, ...] | None = None, patients: int = 12000, inner: int = 192
) -> BayesAuroc:
    """Integrate the Bayes AUROC of every set of inputs by Monte Carlo.

    Parameters
    ----------
    signal : Signal or None
        None for a null cohort: 0.5 throughout.
    observation_sd : tuple of float, optional
        Default: :data:`OBSERVATION_SD`.
    patients, inner : int
        Sampled patients, and samples of what cannot be seen for each of them.
    """
    if signal is None:
        return BayesAuroc(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    noise = np.asarray(OBSERVATION_SD if observation_sd is None else observation_sd)
    rng = generator(SeedSpace.BAYES, 0)
    latents = draw_latents(rng, patients)
    seen = latents + noise * rng.standard_normal(latents.shape)
    inner_normals = rng.standard_normal((inner, 4))
    sets = {
        "labs": ("labs",),
        "pet": ("pet",),
        "ct": ("ct",),
        "pet_labs": ("pet", "labs"),
        "ct_labs": ("ct", "labs"),
        "pet_ct": ("pet", "ct"),
        "pet_ct_labs": ("pet", "ct", "labs"),
    }
    values = {}
    for name, modalities in sets.items():
        columns = sorted(column for modality in modalities for column in MODALITY_LATENTS[modality])
        values[name] = _auroc_of_posterior(_posterior(signal, seen[:, columns], columns, noise, inner_normals))
    return BayesAuroc(**values)


def _posterior(
    signal: Signal,
    seen: NDArray[np.float64],
    columns: list[int],
    noise: NDArray[np.float64],
    normals: NDArray[np.float64],
) -> NDArray[np.float64]:
    """P(short | what is seen), shape (patients,), by integrating over the latents given it."""
    prior = latent_covariance()
    gain = prior[:, columns] @ np.linalg.inv((prior + np.diag(noise**2))[np.ix_(columns, columns)])
    rest = prior - gain @ prior[columns, :]
    values, vectors = np.linalg.eigh(rest)
    spread = normals @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    likely = probability_short(signal, (seen @ gain.T)[:, None, :] + spread[None, :, :])
    return np.asarray(likely.mean(axis=1), dtype=np.float64)


def _auroc_of_posterior(short: NDArray[np.float64]) -> float:
    """AUROC of a calibrated score against the outcome that it expects, without drawing outcomes."""
    score = np.sort(short)
    short_below = np.cumsum(1.0 - score) - (1.0 - score)  # expected long patients ranked below each
    return float((score * (short_below + 0.5 * (1.0 - score))).sum() / (score.sum() * (1.0 - score).sum()))
