"""Separate random streams, so that no phantom for pretraining ever shares its draws with a cohort."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class SeedSpace(IntEnum):
    """What a random stream is for; the first element of every spawn key."""

    COHORT_PLAN = 1  # who the patients of a cohort are
    COHORT_IMAGES = 2  # what their images look like
    PRETRAINING = 3  # phantoms on which encoders learn the organs
    BAYES = 4  # Monte Carlo integration


def seed_sequence(space: SeedSpace, seed: int, *index: int) -> np.random.SeedSequence:
    """The seed of one stream; different (space, index) never coincide, whatever the seeds.

    Parameters
    ----------
    space : SeedSpace
    seed : int
        Non-negative; what the user chose.
    index : int
        Position within the space, e.g. the patient's number.
    """
    return np.random.SeedSequence(seed, spawn_key=(int(space), *index))


def generator(space: SeedSpace, seed: int, *index: int) -> np.random.Generator:
    """A generator on :func:`seed_sequence`."""
    return np.random.default_rng(seed_sequence(space, seed, *index))
