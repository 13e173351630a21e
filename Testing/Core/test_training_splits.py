"""Splits: a stratified partition by patient, the same for the same seed, whatever the order of the rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PRRTPredictorCore.errors import Code, CohortRefused, ModelRefused
from PRRTPredictorCore.training.inputs import inner_split
from PRRTPredictorCore.training.splits import Split, check_splits, make_splits, read_splits, write_splits


@settings(max_examples=40, deadline=None)
@given(
    n_short=st.integers(5, 40),
    n_long=st.integers(5, 40),
    folds=st.integers(2, 5),
    repeats=st.integers(1, 4),
    seed=st.integers(0, 2**31 - 1),
)
def test_every_patient_is_held_out_once_a_repeat_in_proportion(
    n_short: int, n_long: int, folds: int, repeats: int, seed: int
) -> None:
    codes = [f"P-{number:03d}" for number in range(n_short + n_long)]
    y = [0] * n_short + [1] * n_long
    outcome = dict(zip(codes, y, strict=True))
    splits = make_splits(codes, y, folds=folds, repeats=repeats, seed=seed)
    assert [(s.repeat, s.fold) for s in splits] == [(r, f) for r in range(repeats) for f in range(folds)]
    for split in splits:
        assert not set(split.train) & set(split.test)
        assert sorted(split.train + split.test) == sorted(codes)
        longs = sum(outcome[code] for code in split.test)
        assert abs(longs - n_long / folds) < 1
        assert abs(len(split.test) - longs - n_short / folds) < 1
    for repeat in range(repeats):
        held_out = [code for split in splits if split.repeat == repeat for code in split.test]
        assert sorted(held_out) == sorted(codes)


def test_splits_do_not_depend_on_the_order_of_the_rows() -> None:
    codes = [f"P-{number:03d}" for number in range(30)]
    y = [number % 2 for number in range(30)]
    order = np.random.default_rng(1).permutation(30)
    shuffled = make_splits([codes[i] for i in order], [y[i] for i in order], seed=7)
    assert shuffled == make_splits(codes, y, seed=7)
    assert shuffled != make_splits(codes, y, seed=8)


def test_repeats_are_reshuffled() -> None:
    splits = make_splits([f"P{n:02d}" for n in range(24)], [n % 2 for n in range(24)], folds=3, repeats=5)
    assert len({split.test for split in splits}) == 15


def test_splits_json_has_the_fixed_format(tmp_path: Path) -> None:
    splits = make_splits(["a", "b", "c", "d"], [0, 0, 1, 1], folds=2, repeats=1)
    write_splits(tmp_path / "splits.json", splits)
    entries = json.loads((tmp_path / "splits.json").read_text(encoding="utf-8"))
    assert [set(entry) for entry in entries] == [{"repeat", "fold", "train", "test"}] * 2
    assert all(isinstance(entry["train"], list) for entry in entries)
    assert read_splits(tmp_path / "splits.json") == splits
    (tmp_path / "splits.json").write_text('[{"repeat": 0}]', encoding="utf-8")
    with pytest.raises(ModelRefused) as refusal:
        read_splits(tmp_path / "splits.json")
    assert refusal.value.code is Code.RUN_MISMATCH


@pytest.mark.parametrize(
    ("codes", "y", "code"),
    [
        (["a", "a", "b", "c", "d", "e"], [0, 1, 0, 1, 0, 1], Code.COHORT_DUPLICATE),
        (list("abcdef"), [1] * 6, Code.ONE_CLASS),
        (list("abcdef"), [0] * 6, Code.ONE_CLASS),
        (list("abcde"), [0, 1, 0, 1, 0], Code.TOO_FEW_PATIENTS),
        (list("abcdefgh"), [0, 0, 1, 1, 1, 1, 1, 1], Code.TOO_FEW_PATIENTS),
    ],
)
def test_cohorts_that_cannot_be_split_are_refused(codes: list[str], y: list[int], code: Code) -> None:
    with pytest.raises(CohortRefused) as refusal:
        make_splits(codes, y, folds=3)
    assert refusal.value.code is code
    assert refusal.value.remedy


def test_a_leaking_split_is_refused() -> None:
    leaking = [Split(0, 0, ("a", "b"), ("b", "c")), Split(0, 1, ("b", "c"), ("a",))]
    with pytest.raises(ModelRefused):
        check_splits(leaking, "abc")
    with pytest.raises(ModelRefused):
        check_splits([Split(0, 0, ("b", "c"), ("a",))], "abc")


@given(n=st.integers(4, 80), share=st.floats(0.05, 0.5), seed=st.integers(0, 1000))
def test_the_inner_split_is_stratified_and_disjoint(n: int, share: float, seed: int) -> None:
    y = np.arange(n) % 2
    fitting, validation = inner_split(y, share, np.random.default_rng(seed))
    assert sorted([*fitting, *validation]) == list(range(n))
    assert set(y[fitting]) == set(y[validation]) == {0, 1}
    assert len(inner_split(y, 0.0, np.random.default_rng(seed))[1]) == 0
