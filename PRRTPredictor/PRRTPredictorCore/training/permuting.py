"""What a model says when an input comes from another held-out patient: the raw material of permutation importance.

Training stores the answers, not a score, so that the report can weigh them as it likes without opening a network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .heldout import HeldOutPermutations
from .records import FoldTask

SHUFFLES = 20
"""Shuffles of every input; each costs one pass through the last layers."""

ALL_LABS = "labs"
"""Name of the group that shuffles every tabular input together."""

Answer = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def shuffled_rows(n: int, task: FoldTask, seed: int, shuffles: int = SHUFFLES) -> NDArray[np.int64]:
    """Orders of the held-out patients, shape (shuffles, n): the same for every model of a fold, so that they pair."""
    name = f"{seed}|shuffle|{task.repeat}|{task.fold}"
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big"))
    return rng.permuted(np.broadcast_to(np.arange(n), (shuffles, n)), axis=1)


def shuffled_answers(
    inputs: NDArray[np.float64],
    groups: Mapping[str, Sequence[int]],
    answer: Answer,
    task: FoldTask,
    seed: int,
    shuffles: int = SHUFFLES,
) -> HeldOutPermutations:
    """Ask a model about the held-out patients with one group of inputs shuffled among them.

    Parameters
    ----------
    inputs : ndarray, shape (n, D)
        One row a held-out patient, in the order of ``task.test``.
    groups : mapping of str to sequence of int
        Columns that are shuffled together, by the group's name.
    answer : callable
        Inputs (m, D) to logits (m,).
    """
    orders = shuffled_rows(len(inputs), task, seed, shuffles)
    logits = np.empty((len(groups), *orders.shape))
    for place, columns in enumerate(groups.values()):
        shuffled = np.repeat(inputs[None], len(orders), axis=0)
        shuffled[:, :, list(columns)] = inputs[orders][:, :, list(columns)]
        logits[place] = answer(shuffled.reshape(-1, inputs.shape[1])).reshape(orders.shape)
    return HeldOutPermutations(codes=task.test, inputs=tuple(groups), logits=logits)


def tabular_groups(names: Sequence[str], first: int = 0) -> dict[str, list[int]]:
    """Every tabular input by itself, and all of them together; ``first`` is the column of the first."""
    groups = {name: [first + place] for place, name in enumerate(names)}
    return groups | {ALL_LABS: list(range(first, first + len(names)))} if len(names) > 1 else groups
