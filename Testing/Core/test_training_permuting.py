"""The stored answers to shuffled inputs."""

from __future__ import annotations

import numpy as np

from PRRTPredictorCore.training.permuting import ALL_LABS, shuffled_answers, shuffled_rows, tabular_groups
from PRRTPredictorCore.training.records import FoldTask

TASK = FoldTask("pet_labs", 1, 2, (), tuple(f"p{place}" for place in range(8)))


def _answers(shuffles: int = 6):
    inputs = np.random.default_rng(0).normal(size=(8, 3))
    groups = tabular_groups(("ast", "alt"), first=1)
    return inputs, shuffled_answers(inputs, groups, lambda rows: rows @ [4.0, 2.0, 1.0], TASK, 5, shuffles)


def test_only_the_named_columns_move():
    inputs, found = _answers()
    orders = shuffled_rows(8, TASK, 5, 6)
    assert found.inputs == ("ast", "alt", ALL_LABS)
    assert found.logits.shape == (3, 6, 8)
    expected = 4 * inputs[:, 0] + 2 * inputs[orders][:, :, 1] + inputs[:, 2]
    np.testing.assert_allclose(found.logits[0], expected)
    together = 4 * inputs[:, 0] + 2 * inputs[orders][:, :, 1] + inputs[orders][:, :, 2]
    np.testing.assert_allclose(found.logits[2], together)


def test_every_model_of_a_fold_meets_the_same_shuffles():
    other = FoldTask("ct_labs", TASK.repeat, TASK.fold, (), TASK.test)
    elsewhere = FoldTask("pet_labs", 0, 2, (), TASK.test)
    np.testing.assert_array_equal(shuffled_rows(8, TASK, 5), shuffled_rows(8, other, 5))
    assert not np.array_equal(shuffled_rows(8, TASK, 5), shuffled_rows(8, elsewhere, 5))
    assert not np.array_equal(shuffled_rows(8, TASK, 5), shuffled_rows(8, TASK, 6))
    np.testing.assert_array_equal(np.sort(shuffled_rows(8, TASK, 5), axis=1), np.tile(np.arange(8), (20, 1)))


def test_one_input_has_no_group_of_all():
    assert tabular_groups(("cga",)) == {"cga": [0]}
    assert tabular_groups(()) == {}


def test_the_stored_arrays_come_back():
    _, found = _answers()
    back = type(found).from_arrays(found.to_arrays())
    assert back.codes == TASK.test
    assert back.inputs == found.inputs
    np.testing.assert_array_equal(back.logits, found.logits)
