"""Saliency by organ: cases worked by hand, and what holds for every map."""

from __future__ import annotations

import numpy as np
import pytest

from PRRTPredictorCore.explain.organs import UNLABELLED, gather_small, mean_over_patients, saliency_by_organ
from PRRTPredictorCore.imaging.segmentation import OrganShares


def halves() -> OrganShares:
    """Four voxels: the first is liver, the second half liver and half stomach, the others nothing."""
    fractions = np.zeros((2, 1, 1, 4), np.float32)
    fractions[0, 0, 0, :2] = 1.0, 0.5
    fractions[1, 0, 0, 1] = 0.5
    return OrganShares(("liver", "stomach"), fractions)


def test_a_case_worked_by_hand() -> None:
    saliency = np.array([[[2.0, 4.0, 1.0, 1.0]]])
    pet = np.array([[[6.0, 2.0, 0.0, 0.0]]])
    liver, stomach, rest = saliency_by_organ(saliency, halves(), pet)
    assert (liver.name, stomach.name, rest.name) == ("liver", "stomach", UNLABELLED)
    assert liver.saliency_share == pytest.approx(4 / 8)
    assert liver.volume_share == pytest.approx(1.5 / 4)
    assert liver.uptake_share == pytest.approx(7 / 8)
    assert liver.enrichment == pytest.approx((4 / 8) / (1.5 / 4))
    assert stomach.saliency_share == pytest.approx(2 / 8)
    assert stomach.enrichment == pytest.approx(2.0)
    assert rest.saliency_share == pytest.approx(2 / 8)
    assert rest.uptake_share == pytest.approx(0.0, abs=1e-7)


def test_shares_sum_to_one_and_do_not_depend_on_the_unit() -> None:
    rng = np.random.default_rng(0)
    fractions = rng.dirichlet(np.ones(4), size=(3, 4, 5)).transpose(3, 0, 1, 2)[:3].astype(np.float32)
    shares = OrganShares(("a", "b", "c"), fractions)
    saliency, pet = rng.random((3, 4, 5)), rng.random((3, 4, 5))
    small = saliency_by_organ(saliency * 1e-9, shares, pet)
    large = saliency_by_organ(saliency, shares, pet)
    for kind in ("saliency_share", "volume_share", "uptake_share"):
        assert sum(getattr(organ, kind) for organ in large) == pytest.approx(1.0)
    assert [one.saliency_share for one in small] == pytest.approx([one.saliency_share for one in large])


def test_a_network_that_does_not_care_where_has_enrichment_one() -> None:
    for organ in saliency_by_organ(np.full((1, 1, 4), 0.3), halves()):
        assert organ.enrichment == pytest.approx(1.0)
        assert np.isnan(organ.uptake_share)


def test_a_map_without_gradient_has_no_shares() -> None:
    liver, *_ = saliency_by_organ(np.zeros((1, 1, 4)), halves())
    assert np.isnan(liver.saliency_share)
    assert np.isnan(liver.enrichment)
    assert liver.volume_share == pytest.approx(1.5 / 4)


def test_an_organ_out_of_view_has_no_enrichment() -> None:
    shares = OrganShares(("bladder",), np.zeros((1, 1, 1, 4), np.float32))
    bladder, rest = saliency_by_organ(np.ones((1, 1, 4)), shares)
    assert (bladder.saliency_share, bladder.volume_share) == (0.0, 0.0)
    assert np.isnan(bladder.enrichment)
    assert rest.saliency_share == 1.0


def test_maps_of_another_grid_or_sign_are_programming_errors() -> None:
    with pytest.raises(ValueError, match="grids"):
        saliency_by_organ(np.ones((1, 1, 5)), halves())
    with pytest.raises(ValueError, match="negative"):
        saliency_by_organ(np.array([[[1.0, -1.0, 0.0, 0.0]]]), halves())


def test_means_are_over_the_patients_whose_labels_name_the_organ() -> None:
    first = saliency_by_organ(np.array([[[2.0, 4.0, 1.0, 1.0]]]), halves())
    second = saliency_by_organ(np.array([[[1.0, 0.0, 3.0, 0.0]]]), OrganShares(("liver",), halves().fractions[:1]))
    liver, stomach, rest = mean_over_patients([first, second])
    assert (liver.name, liver.patients, liver.saliency_share) == ("liver", 2, pytest.approx((4 / 8 + 1 / 4) / 2))
    assert liver.saliency_shares == pytest.approx((4 / 8, 1 / 4))
    assert (stomach.name, stomach.patients, stomach.saliency_share) == ("stomach", 1, pytest.approx(2 / 8))
    assert rest.name == UNLABELLED
    assert liver.enrichment == pytest.approx(liver.saliency_share / liver.volume_share)


def test_patients_without_gradient_do_not_make_the_mean_undefined() -> None:
    empty = saliency_by_organ(np.zeros((1, 1, 4)), halves())
    full = saliency_by_organ(np.array([[[2.0, 4.0, 1.0, 1.0]]]), halves())
    liver = next(organ for organ in mean_over_patients([empty, full]) if organ.name == "liver")
    assert liver.saliency_share == pytest.approx(4 / 8)
    assert mean_over_patients([]) == ()


def test_the_interval_is_that_of_a_mean_over_patients() -> None:
    rng = np.random.default_rng(3)
    shares = halves()
    patients = [saliency_by_organ(rng.random((1, 1, 4)), shares) for _ in range(60)]
    liver = next(organ for organ in mean_over_patients(patients) if organ.name == "liver")
    error = np.std(liver.saliency_shares, ddof=1) / np.sqrt(60)
    assert liver.ci95[0] == pytest.approx(liver.saliency_share - 1.96 * error, abs=0.25 * error)
    assert liver.ci95[1] == pytest.approx(liver.saliency_share + 1.96 * error, abs=0.25 * error)
    assert mean_over_patients(patients) == mean_over_patients(patients)
    few = next(iter(mean_over_patients(patients[:5])))
    assert np.isnan(few.ci95[0])


def test_small_organs_are_taken_together_patient_by_patient() -> None:
    shares = OrganShares(("a", "b", "c"), np.full((3, 1, 1, 4), 0.25, np.float32))
    one = saliency_by_organ(np.array([[[2.0, 4.0, 1.0, 1.0]]]), shares)
    gathered = gather_small([one], ["b"], "2 other organs")[0]
    assert [organ.name for organ in gathered] == ["b", UNLABELLED, "2 other organs"]
    assert gathered[-1].volume_share == pytest.approx(0.5)
    assert gathered[-1].enrichment == pytest.approx(1.0)
    assert np.isnan(gathered[-1].uptake_share)
