"""The clinical side of made patients: Table 1's categories and counts, blood values, dates.

With the paper's 42 short and 74 long patients every count equals Table 1's; other sizes get proportional counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ...records import Characteristics, Labs, YesNo
from ..outcome import DAYS_PER_MONTH, one_year_after

Group = Literal["short", "long", "total"]
Counts = Mapping[str, tuple[int, int]]

# Table 1: counts among the 42 short and the 74 long patients.
SEX: Counts = {"male": (23, 45), "female": (19, 29)}
PRIMARY: Counts = {
    "small_intestine": (19, 30),
    "pancreas": (8, 26),
    "colon_rectum": (4, 8),
    "stomach": (0, 1),
    "cup": (11, 9),
}
METASTASES: Counts = {
    "hepatic": (28, 57),
    "lymphonodal": (26, 49),
    "osseous": (12, 23),
    "peritoneal": (6, 13),
    "pulmonary": (1, 4),
}
FUNCTIONAL: Counts = {"yes": (19, 21), "no": (22, 53), "unknown": (1, 0)}
GRADE: Counts = {"G1": (8, 15), "G2": (29, 53), "G3": (2, 4), "unknown": (3, 2)}
GROUP_SIZES = (42, 74)
CONTRAST_CT = {"yes": 74, "no": 42}
CYCLES: Mapping[Group, tuple[float, ...]] = {
    # Share of patients with 1, 2, … cycles; medians 2, 4 and 4.
    "short": (0.20, 0.36, 0.20, 0.24, 0.0, 0.0, 0.0),
    "long": (0.03, 0.09, 0.14, 0.48, 0.12, 0.09, 0.05),
    "total": (0.09, 0.19, 0.16, 0.39, 0.08, 0.06, 0.03),
}


@dataclass(frozen=True)
class SkewedLab:
    """A lab whose logarithm is normal, with one spread below and one above the median (Table 1: median, min, max)."""

    median: float
    lowest: float
    highest: float
    loading: float

    def value(self, normal: NDArray[np.float64]) -> NDArray[np.float64]:
        """The lab at standard-normal scores; the extremes lie where 116 patients reach them."""
        reach = 2.4
        below, above = np.log(self.median / self.lowest) / reach, np.log(self.highest / self.median) / reach
        logarithm = np.log(self.median) + np.where(normal < 0, below, above) * normal
        return np.asarray(np.clip(np.round(np.exp(logarithm)), self.lowest, self.highest), dtype=np.float64)


LAB_MODEL: Mapping[str, SkewedLab] = {
    "ast": SkewedLab(28, 14, 139, 0.45),
    "alt": SkewedLab(28, 7, 132, 0.02),
    "ggt": SkewedLab(61, 9, 691, 0.82),
    "cga": SkewedLab(419, 24, 99590, 0.94),
}
"""``loading``: correlation of the lab's score with the patient's latent "labs"."""

_AST_ALT_CORRELATION = 0.84
"""Of what the latent does not explain in AST and ALT."""


_ENOUGH_FOR_RANKS = 30


def _lab_noise_covariance() -> NDArray[np.float64]:
    loadings = np.array([lab.loading for lab in LAB_MODEL.values()])
    spread = np.sqrt(1.0 - loadings**2)
    correlation = np.eye(4)
    correlation[0, 1] = correlation[1, 0] = _AST_ALT_CORRELATION
    return np.asarray(correlation * np.outer(spread, spread), dtype=np.float64)


def labs_observation_sd() -> float:
    """Noise of the best estimate of the latent "labs" from all four labs, in units of the latent's deviation."""
    loadings = np.array([lab.loading for lab in LAB_MODEL.values()])
    return float((loadings @ np.linalg.solve(_lab_noise_covariance(), loadings)) ** -0.5)


def draw_lab_values(rng: np.random.Generator, latent: NDArray[np.float64]) -> NDArray[np.float64]:
    """AST, ALT, GGT (U/L) and CgA (µg/L) of patients with the given latents, shape (n, 4)."""
    loadings = np.array([lab.loading for lab in LAB_MODEL.values()])
    noise = rng.multivariate_normal(np.zeros(4), _lab_noise_covariance(), size=len(latent), method="cholesky")
    scores = _spread_evenly(latent[:, None] * loadings + noise)
    return np.stack([lab.value(scores[:, n]) for n, lab in enumerate(LAB_MODEL.values())], axis=1)


def _spread_evenly(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace each column's scores by the normal scores of their ranks, so that Table 1's medians and ranges come out.

    Cohorts too small to have a distribution keep their draws.
    """
    n = len(scores)
    if n < _ENOUGH_FOR_RANKS:
        return scores
    ranks = np.argsort(np.argsort(scores, axis=0), axis=0)
    return np.asarray(ndtri((ranks + 0.6) / (n + 0.2)), dtype=np.float64)


# --- categories ---------------------------------------------------------------------------------------------------


def draw_characteristics(
    rng: np.random.Generator, long_pfs: NDArray[np.bool_], *, by_group: bool
) -> tuple[Characteristics, ...]:
    """Deal Table 1's categories to the patients.

    Parameters
    ----------
    long_pfs : ndarray of bool, shape (n,)
    by_group : bool
        False: Table 1's total column is dealt without regard to the outcome.
    """
    n = len(long_pfs)
    groups: list[tuple[Group, NDArray[np.int64]]] = (
        [("short", np.flatnonzero(~long_pfs)), ("long", np.flatnonzero(long_pfs))]
        if by_group
        else [("total", np.arange(n))]
    )
    columns: dict[str, list[str]] = {name: [""] * n for name in ("sex", "primary", "functional", "grade")}
    sites: list[tuple[str, ...]] = [()] * n
    cycles = [1] * n
    for group, members in groups:
        for name, counts in (("sex", SEX), ("primary", PRIMARY), ("functional", FUNCTIONAL), ("grade", GRADE)):
            for patient, word in zip(members, deal(_column(counts, group), len(members), rng), strict=True):
                columns[name][patient] = word
        for patient, found in zip(members, _deal_sites(group, len(members), rng), strict=True):
            sites[patient] = found
        for patient in members:
            cycles[patient] = int(rng.choice(7, p=CYCLES[group])) + 1
    contrast = deal(CONTRAST_CT, n, rng)
    scanners = deal({"Philips Gemini TF 16": 1, "GE Discovery MI": 1}, n, rng)
    ages = SkewedLab(66, 36, 87, 0.0).value(_spread_evenly(rng.standard_normal((n, 1)))[:, 0])
    return tuple(
        Characteristics(
            age_years=float(ages[patient]),
            sex=cast("Literal['male', 'female']", columns["sex"][patient]),
            primary=columns["primary"][patient],
            metastases=sites[patient],
            functional=cast("YesNo", columns["functional"][patient]),
            grade=columns["grade"][patient],
            ki67_percent=_draw_ki67(rng, columns["grade"][patient]),
            prrt_cycles=cycles[patient],
            contrast_ct=cast("YesNo", contrast[patient]),
            scanner=scanners[patient],
        )
        for patient in range(n)
    )


def _column(counts: Counts, group: Group) -> dict[str, int]:
    pick = {"short": lambda pair: pair[0], "long": lambda pair: pair[1], "total": sum}[group]
    return {word: int(pick(pair)) for word, pair in counts.items()}


def deal(counts: Mapping[str, int], n: int, rng: np.random.Generator) -> list[str]:
    """``n`` words in random order, in the proportions of ``counts`` (largest remainders get the odd ones)."""
    shares = np.array(list(counts.values()), dtype=float)
    exact = shares * n / shares.sum()
    whole = np.floor(exact + 1e-9).astype(int)
    for index in np.argsort(whole - exact, kind="stable")[: n - int(whole.sum())]:
        whole[index] += 1
    words = [word for word, count in zip(counts, whole.tolist(), strict=True) for _ in range(count)]
    return [words[index] for index in rng.permutation(n)]


def _deal_sites(group: Group, n: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Metastatic sites with Table 1's counts, so that nobody is without: all have metastatic disease."""
    size = {"short": GROUP_SIZES[0], "long": GROUP_SIZES[1], "total": sum(GROUP_SIZES)}[group]
    counts = {site: round(count * n / size) for site, count in _column(METASTASES, group).items()}
    has = np.zeros((n, len(counts)), dtype=bool)
    for column, count in enumerate(counts.values()):
        has[rng.permutation(n)[:count], column] = True
    for patient in np.flatnonzero(~has.any(axis=1)):
        givers = np.flatnonzero(has.sum(axis=1) > 1)
        if givers.size == 0:
            has[patient, 0] = True
            continue
        giver = int(rng.choice(givers))
        column = int(rng.choice(np.flatnonzero(has[giver])))
        has[giver, column], has[patient, column] = False, True
    names = tuple(counts)
    return [tuple(name for name, present in zip(names, row, strict=True) if present) for row in has]


def _draw_ki67(rng: np.random.Generator, grade: str) -> float:
    if grade == "G1":
        return float(rng.integers(1, 3))
    if grade == "G3":
        return float(rng.choice((22, 25, 25, 30, 40)))
    return float(np.clip(round(3 + rng.gamma(1.2, 3.2)), 3, 20))


# --- time ---------------------------------------------------------------------------------------------------------

# Quantiles of PFS: range, quartiles (paper, section 3.2) and the one-year split at 42 of 116.
_PFS_LEVEL = (0.0, 0.12, 0.25, 42 / 116, 0.5, 0.75, 0.93, 1.0)
_PFS_MONTHS = (1.2, 5.5, 9.1, 12.0, 15.7, 26.7, 48.0, 74.0)
# Days from PET to the first cycle (paper, section 2.2).
_WAIT_LEVEL = (0.0, 0.25, 0.5, 0.75, 1.0)
_WAIT_DAYS = (2.0, 15.5, 36.0, 59.5, 112.0)


def draw_pfs_months(
    rng: np.random.Generator, long_pfs: NDArray[np.bool_], log_odds_short: NDArray[np.float64]
) -> NDArray[np.float64]:
    """PFS in months: the paper's distribution within each group, earlier where the risk is higher, with noise."""
    months = np.zeros(len(long_pfs))
    for group, low, high in ((False, 0.0, 42 / 116), (True, 42 / 116, 1.0)):
        members = np.flatnonzero(long_pfs == group)
        if members.size == 0:
            continue
        spread = float(np.std(log_odds_short[members])) or 1.0
        order = np.argsort(np.argsort(-log_odds_short[members] + rng.normal(0, spread, size=members.size)))
        level = low + (high - low) * (order + 0.5) / members.size
        months[members] = np.interp(level, _PFS_LEVEL, _PFS_MONTHS)
    return months


@dataclass(frozen=True)
class Calendar:
    """The dates of one patient."""

    pet: date
    labs: date
    prrt_start: date
    progression: date


def draw_calendars(
    rng: np.random.Generator, pfs_months: NDArray[np.float64], long_pfs: NDArray[np.bool_]
) -> tuple[Calendar, ...]:
    """Dates between 2015 and 2022 with the paper's interval from PET to first cycle; PFS in whole days."""
    n = len(pfs_months)
    waits = np.interp((rng.permutation(n) + 0.5) / n, _WAIT_LEVEL, _WAIT_DAYS)
    calendars = []
    for months, is_long, wait in zip(pfs_months, long_pfs, waits, strict=True):
        start = date(2015, 4, 1) + timedelta(days=int(rng.integers(0, 2750)))
        progression = start + timedelta(days=round(float(months) * DAYS_PER_MONTH))
        if (progression > one_year_after(start)) != bool(is_long):  # rounding must not change the group
            progression = one_year_after(start) + timedelta(days=4 if is_long else -4)
        labs = start - timedelta(days=int(rng.integers(0, 22)))
        calendars.append(Calendar(start - timedelta(days=round(float(wait))), labs, start, progression))
    return tuple(calendars)


def make_labs(values: Sequence[float], sampled_on: date) -> Labs:
    """A record of AST, ALT, GGT (U/L) and CgA (µg/L)."""
    ast, alt, ggt, cga = (float(value) for value in values)
    return Labs(ast, alt, ggt, cga, sampled_on)
