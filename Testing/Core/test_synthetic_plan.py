"""Made cohorts before any image: Table 1, labs, dates, and an outcome whose best AUROC is known."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from PRRTPredictorCore.cohort.synthetic import SeedSpace, SyntheticConfig, bayes_auroc, plan_cohort, seed_sequence
from PRRTPredictorCore.cohort.synthetic.clinic import (
    FUNCTIONAL,
    GRADE,
    METASTASES,
    PRIMARY,
    SEX,
    deal,
    labs_observation_sd,
)
from PRRTPredictorCore.cohort.synthetic.outcome_model import (
    OBSERVATION_SD,
    SIGNALS,
    bayes_auroc_of,
    draw_latents,
    probability_short,
)
from PRRTPredictorCore.cohort.synthetic.plan import PatientPlan
from PRRTPredictorCore.errors import Code, CohortRefused


@pytest.fixture(scope="module")
def paper_sized() -> tuple[PatientPlan, ...]:
    return plan_cohort(SyntheticConfig(seed=3))


@pytest.fixture(scope="module")
def null_cohort() -> tuple[PatientPlan, ...]:
    return plan_cohort(SyntheticConfig(seed=3, null=True))


def counts_of(plans: tuple[PatientPlan, ...], column: str, long_pfs: bool) -> Counter[str]:
    return Counter(getattr(plan.characteristics, column) for plan in plans if plan.long_pfs == long_pfs)


@pytest.mark.parametrize(
    ("column", "table"), [("sex", SEX), ("primary", PRIMARY), ("functional", FUNCTIONAL), ("grade", GRADE)]
)
def test_categories_equal_table_1_exactly(
    paper_sized: tuple[PatientPlan, ...], column: str, table: dict[str, tuple[int, int]]
) -> None:
    for group, long_pfs in ((0, False), (1, True)):
        expected = {word: pair[group] for word, pair in table.items() if pair[group]}
        assert counts_of(paper_sized, column, long_pfs) == expected


def test_metastatic_sites_equal_table_1_and_nobody_is_without(paper_sized: tuple[PatientPlan, ...]) -> None:
    for site, pair in METASTASES.items():
        for long_pfs in (False, True):
            having = sum(site in p.characteristics.metastases for p in paper_sized if p.long_pfs == long_pfs)
            assert having == pair[long_pfs]
    assert all(plan.characteristics.metastases for plan in paper_sized)


def test_a_null_cohort_matches_the_total_column_only(null_cohort: tuple[PatientPlan, ...]) -> None:
    for column, table in (("sex", SEX), ("primary", PRIMARY), ("functional", FUNCTIONAL), ("grade", GRADE)):
        found = counts_of(null_cohort, column, True) + counts_of(null_cohort, column, False)
        assert found == {word: sum(pair) for word, pair in table.items()}
    assert Counter(plan.long_pfs for plan in null_cohort) == {True: 74, False: 42}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_labs_lie_near_table_1(seed: int) -> None:
    labs = np.array([plan.labs.values() for plan in plan_cohort(SyntheticConfig(seed=seed))])
    # median, lowest, highest of AST, ALT, GGT, CgA (Table 1, total)
    for column, (median, low, high) in enumerate(((28, 14, 139), (28, 7, 132), (61, 9, 691), (419, 24, 99590))):
        assert np.median(labs[:, column]) == pytest.approx(median, rel=0.08)
        assert low <= labs[:, column].min() <= 1.35 * low
        assert 0.6 * high <= labs[:, column].max() <= high
    ratio = labs[:, 0] / labs[:, 1]
    assert np.median(ratio) == pytest.approx(1.12, abs=0.12)
    assert 0.2 < ratio.min() < 0.8
    assert 2.0 < ratio.max() < 6.0


def test_pfs_and_waiting_time_have_the_papers_quartiles(paper_sized: tuple[PatientPlan, ...]) -> None:
    months = [plan.pfs_months for plan in paper_sized]
    assert np.percentile(months, [25, 50, 75]) == pytest.approx([9.1, 15.7, 26.7], abs=0.4)
    waits = [(plan.calendar.prrt_start - plan.calendar.pet).days for plan in paper_sized]
    assert np.percentile(waits, [25, 50, 75]) == pytest.approx([15.5, 36, 59.5], abs=2)


def test_dates_agree_with_the_group(paper_sized: tuple[PatientPlan, ...]) -> None:
    from PRRTPredictorCore.cohort.outcome import outcome_of

    for plan in paper_sized:
        dates = plan.calendar
        outcome = outcome_of(dates.prrt_start, dates.progression, None, plan.event)
        assert outcome.long_pfs == plan.long_pfs
        assert 0 <= (dates.prrt_start - dates.labs).days <= 28
        assert dates.pet < dates.prrt_start


@pytest.mark.parametrize("n", [1, 2, 4, 5, 12, 24, 60])
def test_other_sizes_keep_the_proportions(n: int) -> None:
    plans = plan_cohort(SyntheticConfig(patients=n, seed=1))
    short = sum(not plan.long_pfs for plan in plans)
    assert len(plans) == n
    assert short == (max(2, round(0.36 * n)) if n >= 4 else round(0.36 * n))


def test_dealing_gives_largest_remainders_and_never_more_than_asked() -> None:
    rng = np.random.default_rng(0)
    assert Counter(deal({"a": 3, "b": 1}, 8, rng)) == {"a": 6, "b": 2}
    assert len(deal({"a": 1, "b": 1, "c": 1}, 10, rng)) == 10
    assert deal({"a": 1, "b": 0}, 3, rng) == ["a"] * 3


# --- the outcome --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signal", "labs", "pet", "ct", "all_three"),
    [("strong", 0.70, 0.80, 0.70, 0.95), ("weak", 0.62, 0.66, 0.62, 0.78)],
)
def test_bayes_auroc_is_what_was_promised(signal: str, labs: float, pet: float, ct: float, all_three: float) -> None:
    bayes = bayes_auroc(SyntheticConfig(signal=signal))  # type: ignore[arg-type]
    assert bayes.labs == pytest.approx(labs, abs=0.03)
    assert bayes.pet == pytest.approx(pet, abs=0.03)
    assert bayes.ct == pytest.approx(ct, abs=0.03)
    assert bayes.pet_ct_labs == pytest.approx(all_three, abs=0.02)
    assert max(bayes.labs, bayes.pet) < bayes.pet_labs < bayes.pet_ct_labs
    assert max(bayes.labs, bayes.ct) < bayes.ct_labs < bayes.pet_ct_labs


def test_a_null_cohort_has_nothing_to_find() -> None:
    assert {value for _, value in bayes_auroc(SyntheticConfig(null=True)).by_inputs()} == {0.5}


def test_bayes_auroc_with_everything_seen_equals_that_of_drawn_outcomes() -> None:
    signal = SIGNALS["strong"]
    rng = np.random.default_rng(5)
    latents = draw_latents(rng, 60_000)
    risk = probability_short(signal, latents)
    drawn = roc_auc_score(rng.random(len(risk)) < risk, risk)
    integrated = bayes_auroc_of(signal, observation_sd=(1e-6,) * 4).pet_ct_labs
    assert integrated == pytest.approx(drawn, abs=0.01)
    assert risk.mean() == pytest.approx(0.36, abs=0.02)


def test_noise_lowers_the_bayes_auroc() -> None:
    clear = bayes_auroc_of(SIGNALS["strong"], (0.01,) * 4, patients=3000, inner=64)
    blurred = bayes_auroc_of(SIGNALS["strong"], (1.0,) * 4, patients=3000, inner=64)
    for (name, low), (_, high) in zip(blurred.by_inputs(), clear.by_inputs(), strict=True):
        assert low < high, name


def test_the_stated_noise_of_the_labs_follows_from_their_model() -> None:
    assert OBSERVATION_SD[0] == pytest.approx(labs_observation_sd(), abs=0.005)


def test_group_quotas_leave_the_signal_as_stated() -> None:
    plans = [plan for seed in range(6) for plan in plan_cohort(SyntheticConfig(seed=seed))]
    risk = [plan.log_odds_short for plan in plans]
    latent_bayes = bayes_auroc_of(SIGNALS["strong"], (1e-6,) * 4, patients=3000, inner=16).pet_ct_labs
    assert roc_auc_score([not plan.long_pfs for plan in plans], risk) == pytest.approx(latent_bayes, abs=0.02)


def test_in_a_null_cohort_nothing_goes_with_the_outcome() -> None:
    plans = [plan for seed in range(8) for plan in plan_cohort(SyntheticConfig(seed=seed, null=True))]
    y = np.array([plan.long_pfs for plan in plans])
    columns = {f"latent {n}": [plan.latents[n] for plan in plans] for n in range(4)}
    columns |= {f"lab {n}": [plan.labs.values()[n] for plan in plans] for n in range(4)}
    columns["cycles"] = [float(plan.characteristics.prrt_cycles or 0) for plan in plans]
    columns["sites"] = [len(plan.characteristics.metastases) for plan in plans]
    for name, values in columns.items():
        # 928 patients: the standard error of an AUROC of 0.5 is 0.02.
        assert abs(roc_auc_score(y, values) - 0.5) < 0.08, name


# --- seeds and refusals -------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_cohort_and_another_another() -> None:
    config = SyntheticConfig(patients=12, seed=9)
    assert plan_cohort(config) == plan_cohort(config)
    assert plan_cohort(config) != plan_cohort(dataclasses.replace(config, seed=10))


def test_pretraining_and_cohorts_never_share_a_stream() -> None:
    seen = set()
    for space in SeedSpace:
        for seed in range(12):
            for index in ((), (0,), (1,), (1, 0), (seed,)):
                sequence = seed_sequence(space, seed, *index)
                key = tuple(sequence.generate_state(8).tolist())
                if index != (seed,) or seed > 1:
                    assert key not in seen
                    seen.add(key)
    assert len(set(SeedSpace)) == len(SeedSpace)


@pytest.mark.parametrize(
    "config",
    [
        SyntheticConfig(patients=0),
        SyntheticConfig(seed=-1),
        SyntheticConfig(signal="loud"),  # type: ignore[arg-type]
        SyntheticConfig(size="huge"),  # type: ignore[arg-type]
        SyntheticConfig(patients=4, censored=5),
    ],
)
def test_impossible_cohorts_are_refused(config: SyntheticConfig) -> None:
    with pytest.raises(CohortRefused) as refusal:
        plan_cohort(config)
    assert refusal.value.code is Code.COHORT_VALUE
    assert refusal.value.remedy


def test_censored_patients_have_no_event() -> None:
    plans = plan_cohort(SyntheticConfig(patients=20, seed=2, censored=3))
    assert sum(not plan.event for plan in plans) == 3
    assert all(plan.event for plan in plan_cohort(SyntheticConfig(patients=20, seed=2)))
