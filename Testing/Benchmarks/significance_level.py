"""Do the tests between models hold their level where there is nothing to find? (`make science`; alone: minutes.)

First, 1,000 SYNTHETIC sets of out-of-fold scores a scenario: 116 patients, 42 of them with short PFS, 3 folds x 5
repeats on the product's own splits, and models of equal skill. A patient's scores agree between the repeats about as
much as those of trained models do (rank correlation 0.70 to 0.82 in a run of all seven models on 116 made patients).
The primary test must reject at 0.05 in at most 7 % of the sets. Beside it stand the corrected resampled t-test and the
paper's Mann-Whitney test, which takes the 15 fold values of a model for independent.

Then SYNTHETIC null cohorts: the random forest, fitted on labs that tell nothing, against noise; at most 3 rejections in
the first 20. The cohorts behind them show what the simulated sets cannot: permutation test and bootstrap interval take
the fitted models as given, whereas here a model's luck with its training patients is shared by all whom it judges.
Therefore the report's words need both tests, and so do the words on the AUROC against chance; beside them stands the
log-rank test between the forest's predicted groups.
Everything is written to significance_level.json and README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from readme import write_section

from PRRTPredictorCore.cohort.synthetic.plan import SyntheticConfig, plan_cohort
from PRRTPredictorCore.evaluation.discrimination import (
    Discrimination,
    FoldScore,
    MetricSummary,
    discriminate,
    weighted_auroc,
)
from PRRTPredictorCore.evaluation.families import compare_families
from PRRTPredictorCore.evaluation.significance import corrected_resampled_t, paired_permutation
from PRRTPredictorCore.evaluation.survival import log_rank, predicted_groups
from PRRTPredictorCore.models.forest import fit_forest
from PRRTPredictorCore.models.presets import PRESETS
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.records import FoldPredictions
from PRRTPredictorCore.report.verdict import is_evidence, paired_evidence
from PRRTPredictorCore.training.splits import Split, make_splits

HERE = Path(__file__).parent
PATIENTS, SHORT = 116, 42
FOLDS, REPEATS = 3, 5
PERMUTATIONS = 10_000
MOST_REJECTED = 0.07
MOST_FOREST_REJECTIONS = 3
MOST_CLAIMS = 1
JUDGED_COHORTS = 20
FIRST_NULL_SEED = 1000
PAIR = ("pet_labs", "pet")
FAMILY = ("pet_labs", "ct_labs", "rf_labs", "pet", "ct")
"""The pair, and around it the paper's one-image fusion and unimodal families."""


@dataclass(frozen=True)
class Scenario:
    """What the models of a set have in common; they all have the same skill.

    Attributes
    ----------
    stable, stable_reference : float
        Correlation of a patient's scores between repeats, of the fusion models and of the others.
    shared : float
        Correlation of two models' lasting part of the score: models that share an input agree.
    skill : float
        Distance of the two outcomes' mean scores in standard deviations; 0.74 gives an AUROC of 0.70.
    """

    name: str
    stable: float = 0.75
    stable_reference: float = 0.75
    shared: float = 0.0
    skill: float = 0.0


SCENARIOS = (
    Scenario("no skill, repeats agree as measured"),
    Scenario("no skill, the models share half of what they say", shared=0.5),
    Scenario("no skill, one model steady, the other fickle", stable=0.95, stable_reference=0.3),
    Scenario("equal skill (AUROC 0.70)", skill=0.74),
)

Rows = NDArray[np.int64]


def folds_of(model: str, splits: Sequence[Split], rows: Sequence[Rows], y: Rows, logit: NDArray[np.float64]) -> list:
    """Out-of-fold predictions from logits of shape (repeats, patients)."""
    return [
        FoldPredictions(
            model=model,
            repeat=split.repeat,
            fold=split.fold,
            codes=split.test,
            y=y[held],
            probability=1.0 / (1.0 + np.exp(-logit[split.repeat, held])),
            logit=logit[split.repeat, held],
        )
        for split, held in zip(splits, rows, strict=True)
    ]


def noise_scores(rng: np.random.Generator, stable: float, lasting: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of unit variance, shape (repeats, patients), whose repeats correlate by ``stable``."""
    fresh = rng.standard_normal((REPEATS, lasting.size))
    return np.sqrt(stable) * lasting + np.sqrt(1.0 - stable) * fresh


def draw_set(scenario: Scenario, seed: int) -> dict[str, list[FoldPredictions]]:
    """One set of null scores: five models on the same splits."""
    rng = np.random.default_rng([seed, SCENARIOS.index(scenario)])
    codes = [f"P-{index:03d}" for index in range(PATIENTS)]
    y = (np.arange(PATIENTS) >= SHORT).astype(np.int64)
    splits = make_splits(codes, y.tolist(), folds=FOLDS, repeats=REPEATS, seed=seed)
    rows = rows_of(splits, codes)
    common = rng.standard_normal(PATIENTS)
    drawn = {}
    for name in FAMILY:
        lasting = np.sqrt(scenario.shared) * common + np.sqrt(1.0 - scenario.shared) * rng.standard_normal(PATIENTS)
        stable = scenario.stable if name.endswith("_labs") and name != "rf_labs" else scenario.stable_reference
        drawn[name] = folds_of(name, splits, rows, y, noise_scores(rng, stable, lasting) + scenario.skill * y)
    return drawn


def rows_of(splits: Sequence[Split], codes: Sequence[str]) -> list[Rows]:
    """Positions of each split's held-out patients."""
    place = {code: index for index, code in enumerate(codes)}
    return [np.array([place[code] for code in split.test]) for split in splits]


def aurocs(folds: Sequence[FoldPredictions]) -> NDArray[np.float64]:
    """AUROC of every fold."""
    return np.array(
        [weighted_auroc(fold.y, fold.probability, np.ones((1, fold.y.size), np.int64))[0] for fold in folds]
    )


def as_scores(model: str, folds: Sequence[FoldPredictions], values: NDArray[np.float64]) -> Discrimination:
    """What the paper's test reads of a model: its AUROC in every fold; the other metrics are left undefined."""
    undefined = MetricSummary(float("nan"), float("nan"), (), (float("nan"), float("nan")))
    scores = tuple(
        FoldScore(
            fold.repeat, fold.fold, fold.y.size, int(fold.y.sum()), float(value), float("nan"), float("nan"), False
        )
        for fold, value in zip(folds, values, strict=True)
    )
    return Discrimination(model, scores, undefined, undefined, undefined)


def p_values(models: Mapping[str, Sequence[FoldPredictions]], seed: int) -> dict[str, float]:
    """Every test of the pair, and the paper's test with the families as large as the paper's."""
    values = {name: aurocs(folds) for name, folds in models.items()}
    scores = {name: as_scores(name, folds, values[name]) for name, folds in models.items()}
    (of_two,) = compare_families({name: scores[name] for name in PAIR})
    (of_families,) = compare_families(scores)
    return {
        "primary": paired_permutation(models[PAIR[0]], models[PAIR[1]], PERMUTATIONS, seed)[1],
        "corrected_t": corrected_resampled_t(values[PAIR[0]] - values[PAIR[1]], 1.0 / (FOLDS - 1))[1],
        "paper_two_models": of_two.p,
        "paper_two_models_bonferroni": of_two.p_bonferroni,
        "paper_families": of_families.p,
        "paper_families_bonferroni": of_families.p_bonferroni,
    }


def shares(p: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Share of sets rejected at 0.05 and at 0.01, by test."""
    return {
        name: {f"at_{level}": float(np.mean([one[name] < level for one in p])) for level in (0.05, 0.01)}
        for name in p[0]
    }


def simulate(scenario: Scenario, sets: int) -> dict[str, object]:
    begun = time.monotonic()
    p = [p_values(draw_set(scenario, seed), seed) for seed in range(sets)]
    return {
        "scenario": asdict(scenario),
        "sets": sets,
        "rejected": shares(p),
        "seconds": round(time.monotonic() - begun, 1),
    }


def forest_against_noise(seed: int, preset: str) -> dict[str, float | str]:
    """One null cohort: the random forest on its labs against scores that know nothing, and against chance."""
    plans = plan_cohort(SyntheticConfig(patients=PATIENTS, seed=seed, null=True))
    codes = [plan.patient_id for plan in plans]
    y = np.array([plan.long_pfs for plan in plans], dtype=np.int64)
    labs = np.array([plan.labs.values() for plan in plans], dtype=np.float64)
    splits = make_splits(codes, y.tolist(), folds=FOLDS, repeats=REPEATS, seed=seed)
    rows, train_rows = (
        rows_of(splits, codes),
        [np.setdiff1d(np.arange(PATIENTS), held) for held in rows_of(splits, codes)],
    )
    logit = np.zeros((REPEATS, PATIENTS))
    for number, (split, held, train) in enumerate(zip(splits, rows, train_rows, strict=True)):
        forest = fit_forest(MODELS["rf_labs"], PRESETS[preset].forest, labs[train], y[train], seed * 100 + number)
        logit[split.repeat, held] = forest.predict(None, None, labs[held])
    rng = np.random.default_rng([seed, 7])
    forests = folds_of("rf_labs", splits, rows, y, logit)
    noise = folds_of("pet", splits, rows, y, noise_scores(rng, 0.75, rng.standard_normal(PATIENTS)))
    difference, p = paired_permutation(forests, noise, PERMUTATIONS, seed)
    p_corrected_t = corrected_resampled_t(aurocs(forests) - aurocs(noise), 1.0 / (FOLDS - 1))[1]
    score = discriminate(forests, seed=seed).auroc
    groups = predicted_groups(forests)
    outcomes = {plan.patient_id: (plan.pfs_months, plan.event) for plan in plans}
    months, event = (np.array(column) for column in zip(*(outcomes[code] for code in groups.codes), strict=True))
    between = log_rank(months, event.astype(bool), groups.long)
    return {
        "seed": seed,
        "auroc": score.mean,
        "ci95_low": score.ci95[0],
        "ci95_high": score.ci95[1],
        "difference": difference,
        "p": p,
        "p_corrected_t": p_corrected_t,
        "words": paired_evidence(p, p_corrected_t),
        "p_against_chance": corrected_resampled_t(aurocs(forests) - 0.5, 1.0 / (FOLDS - 1))[1],
        "p_log_rank": between.p if between else 1.0,
    }


TESTS = {
    "primary": "primary: patient-level paired permutation",
    "corrected_t": "second: Nadeau-Bengio corrected t",
    "paper_two_models": "paper's Mann-Whitney, 15 against 15 fold values",
    "paper_two_models_bonferroni": "the same, Bonferroni",
    "paper_families": "paper's Mann-Whitney, its families (30 against 45)",
    "paper_families_bonferroni": "the same, Bonferroni",
}


def table(result: dict) -> str:
    """The README's section, as Markdown."""
    simulated, cohorts, verdict = result["simulated"], result["cohorts"], result["verdict"]
    rows = [
        "| rejected at 0.05 / at 0.01 | " + " | ".join(one["scenario"]["name"] for one in simulated) + " |",
        "|---" * (len(simulated) + 1) + "|",
    ]
    for name, title in TESTS.items():
        cells = [
            f"{100 * one['rejected'][name]['at_0.05']:.1f} % / {100 * one['rejected'][name]['at_0.01']:.1f} %"
            for one in simulated
        ]
        rows.append(f"| {title} | {' | '.join(cells)} |")
    yes = {True: "yes", False: "**no**"}
    judged = sum(one["p"] < 0.05 for one in cohorts[:JUDGED_COHORTS])
    p, p_t, low, high, auroc = (
        np.array([one[name] for one in cohorts]) for name in ("p", "p_corrected_t", "ci95_low", "ci95_high", "auroc")
    )
    held = np.mean((low <= 0.5) & (high >= 0.5))
    claims = [is_evidence(one["words"]) for one in cohorts]
    above = np.array([one["ci95_low"] > 0.5 for one in cohorts])
    p_chance, p_log_rank = (np.array([one[name] for one in cohorts]) for name in ("p_against_chance", "p_log_rank"))
    return "\n".join(
        [
            *rows,
            "",
            f"- {simulated[0]['sets']} SYNTHETIC sets a column, {PATIENTS} patients ({SHORT} short), {FOLDS} folds x "
            f"{REPEATS} repeats, {PERMUTATIONS} permutations",
            f"- The primary test rejects at 0.05 in at most {100 * MOST_REJECTED:.0f} % of every column: "
            f"{yes[verdict['primary_holds_its_level']]}",
            f"- Random forest (`{result['preset']}`) against noise: in {judged} of the first {JUDGED_COHORTS} "
            f"SYNTHETIC null cohorts the primary test rejects at 0.05; at most {MOST_FOREST_REJECTIONS}: "
            f"{yes[verdict['forest_rejections_within_limit']]}",
            f"- **All {len(cohorts)} null cohorts: the primary test rejects in {100 * np.mean(p < 0.05):.0f} % at 0.05 "
            f"and {100 * np.mean(p < 0.01):.0f} % at 0.01**, the corrected t in {100 * np.mean(p_t < 0.05):.0f} % and "
            f"{100 * np.mean(p_t < 0.01):.0f} %; the forest's AUROC is {auroc.mean():.3f} on average (sd "
            f"{auroc.std(ddof=1):.3f}), and its 95 % interval holds 0.5 in {100 * held:.0f} %",
            "- **The report’s words, which rest on both tests, claim evidence of a difference in "
            f"{sum(claims[:JUDGED_COHORTS])} of the first {JUDGED_COHORTS} and in {sum(claims)} of all "
            f"{len(cohorts)}**; at most {MOST_CLAIMS} of the first {JUDGED_COHORTS}: "
            f"{yes[verdict['words_within_limit']]}",
            f"- The interval lies above 0.5 in {100 * np.mean(above):.0f} %, and with a corrected t against 0.5 below "
            f"0.05, as the report’s words need it, in {100 * np.mean(above & (p_chance < 0.05)):.0f} %; the log-rank "
            f"test between the forest’s predicted groups rejects in {100 * np.mean(p_log_rank < 0.05):.0f} % at 0.05",
            f"- {result['date']}, {result['machine']}; {result['seconds'] / 60:.0f} min; "
            "`python Testing/Benchmarks/significance_level.py`",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1000, help="simulated sets a scenario")
    parser.add_argument("--cohorts", type=int, default=100, help="null cohorts with the random forest")
    parser.add_argument("--preset", default="quick", help="of the random forest")
    parser.add_argument("--out", type=Path, default=None, help="write the JSON there and leave README.md alone")
    arguments = parser.parse_args()
    begun = time.monotonic()
    simulated = [simulate(scenario, arguments.sets) for scenario in SCENARIOS]
    seeds = range(FIRST_NULL_SEED, FIRST_NULL_SEED + arguments.cohorts)
    cohorts = [forest_against_noise(seed, arguments.preset) for seed in seeds]
    rejections = sum(one["p"] < 0.05 for one in cohorts[:JUDGED_COHORTS])
    claims = sum(is_evidence(one["words"]) for one in cohorts[:JUDGED_COHORTS])
    verdict = {
        "primary_holds_its_level": all(one["rejected"]["primary"]["at_0.05"] <= MOST_REJECTED for one in simulated),
        "forest_rejections_within_limit": rejections <= MOST_FOREST_REJECTIONS,
        "words_within_limit": claims <= MOST_CLAIMS,
    }
    result = {
        "synthetic": True,
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        "seconds": round(time.monotonic() - begun, 1),
        "preset": arguments.preset,
        "simulated": simulated,
        "cohorts": cohorts,
        "verdict": verdict,
    }
    written = HERE / "significance_level.json" if arguments.out is None else arguments.out
    written.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    text = table(result)
    if arguments.out is None:
        write_section("significance", text)
    sys.stdout.write(text + "\n")
    return 0 if all(verdict.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
