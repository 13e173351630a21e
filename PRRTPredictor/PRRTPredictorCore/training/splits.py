"""Which patients train and which are held out: stratified, patient-grouped, repeated, seeded, saved (paper, 2.6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..cohort.eligibility import require_groups
from ..errors import Code, CohortRefused, ModelRefused
from ..files import write_json
from ..models.decoding import decode
from .files import read_json


@dataclass(frozen=True)
class Split:
    """One fold of one repeat; the entries of ``splits.json``.

    Attributes
    ----------
    repeat, fold : int
        Counted from 0.
    train, test : tuple of str
        Study codes, sorted.
    """

    repeat: int
    fold: int
    train: tuple[str, ...]
    test: tuple[str, ...]


def make_splits(
    codes: Sequence[str], y: Sequence[int], *, folds: int = 3, repeats: int = 5, seed: int = 0
) -> tuple[Split, ...]:
    """Divide the patients for repeated stratified cross-validation.

    The outcome does not depend on the order in which the patients are given: they are sorted by study code first.

    Parameters
    ----------
    codes : sequence of str, length n
        Study codes, one a patient.
    y : sequence of int, length n
        1 = long PFS.
    folds, repeats, seed : int

    Returns
    -------
    tuple of Split, length ``folds * repeats``
        By repeat, then fold. In each repeat every patient is held out exactly once.

    Raises
    ------
    CohortRefused
        ``COHORT_DUPLICATE``, ``ONE_CLASS`` or ``TOO_FEW_PATIENTS``.

    Notes
    -----
    Paper, section 2.6: three folds, five repeats, reshuffled each time.
    """
    from sklearn.model_selection import RepeatedStratifiedKFold

    _require_one_row_each(codes)
    n_long = sum(one == 1 for one in y)
    require_groups(len(y) - n_long, n_long, folds)
    order = np.argsort(np.asarray(codes, dtype=str), kind="stable")
    sorted_codes = [codes[index] for index in order]
    sorted_y = np.asarray(y, dtype=np.int64)[order]
    divider = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    splits = tuple(
        Split(
            repeat=number // folds,
            fold=number % folds,
            train=tuple(sorted_codes[index] for index in train),
            test=tuple(sorted_codes[index] for index in test),
        )
        for number, (train, test) in enumerate(divider.split(np.zeros(len(sorted_y)), sorted_y))
    )
    check_splits(splits, codes)
    return splits


def check_splits(splits: Iterable[Split], codes: Iterable[str]) -> None:
    """Make sure that no patient both trains and is held out, and that each is held out once a repeat.

    Raises
    ------
    ModelRefused
        ``RUN_MISMATCH`` for splits that are no partition of ``codes``.
    """
    everyone = sorted(codes)
    held_out: dict[int, list[str]] = {}
    for split in splits:
        if sorted((*split.train, *split.test)) != everyone:
            raise _not_a_partition(f"repeat {split.repeat}, fold {split.fold}")
        held_out.setdefault(split.repeat, []).extend(split.test)
    for repeat, members in held_out.items():
        if sorted(members) != everyone:
            raise _not_a_partition(f"repeat {repeat}")


def write_splits(path: Path, splits: Sequence[Split]) -> None:
    """Save splits in the run folder's format: a list of {repeat, fold, train, test}."""
    write_json(path, [asdict(split) for split in splits])


def read_splits(path: Path) -> tuple[Split, ...]:
    """Read ``splits.json``.

    Raises
    ------
    ModelRefused
        ``RUN_MISMATCH`` when the file is no list of splits.
    """
    entries = read_json(path)
    try:
        return tuple(decode(Split, entry) for entry in entries)
    except (TypeError, ValueError) as problem:
        raise ModelRefused(
            Code.RUN_MISMATCH,
            "splits.json is not in this version's format.",
            where=path.name,
            remedy="Train into a new, empty folder.",
        ) from problem


def _require_one_row_each(codes: Sequence[str]) -> None:
    if len(set(codes)) != len(codes):
        raise CohortRefused(
            Code.COHORT_DUPLICATE,
            "A patient stands in the cohort more than once, so training and held-out patients could overlap.",
            remedy="Keep one row a patient in cohort.csv.",
        )


def _not_a_partition(where: str) -> ModelRefused:
    return ModelRefused(
        Code.RUN_MISMATCH,
        "The stored splits do not hold out each patient of this cohort exactly once.",
        where=where,
        remedy="Train into a new, empty folder.",
    )
