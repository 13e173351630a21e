"""The report's numbers, worked out a second time from the run's files: plainly, and with nothing of the product.

The statistics have tests of their own. Here the whole way is held: the right model's folds in the right row, each
patient's outcome and follow-up where they belong, every average over the right things.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test
from report_blocks import made_chapter, plates, tables
from report_runs import made_run
from scipy.optimize import brentq
from scipy.stats import mannwhitneyu, rankdata
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

from PRRTPredictorCore.report.chapters import CHAPTERS
from PRRTPredictorCore.report.content import read_content

FOLDS, REPEATS = 3, 3
KEYS = ("patients", "results", "comparison", "survival", "probabilities", "subgroups")
METRICS: dict[str, Callable[[pd.DataFrame], float]] = {
    "auroc": lambda rows: roc_auc_score(rows.y, rows.probability) if rows.y.nunique() > 1 else np.nan,
    "auprc": lambda rows: average_precision_score(rows.y, rows.probability) if rows.y.nunique() > 1 else np.nan,
    "accuracy": lambda rows: accuracy_score(rows.y, rows.probability >= 0.5),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(
        tmp_path_factory.mktemp("run") / "run",
        models=("rf_labs", "pet", "ct", "pet_labs", "pet_ct_labs"),
        patients=60,
        folds=FOLDS,
        repeats=REPEATS,
        collapsed={("ct", 1, 2)},
        unfinished={("pet", 2, 1)},
        seed=5,
    )


@pytest.fixture(scope="module")
def told(run: Path) -> dict[str, pd.DataFrame]:
    """What the report writes into its CSV files, by key."""
    content = read_content(run)
    makers = {entry.key: entry.make for entry in CHAPTERS if entry.key in KEYS}
    assert set(makers) == set(KEYS)
    found = {}
    for maker in makers.values():
        chapter = made_chapter(maker, content)
        for key, shown in (tables(chapter) | plates(chapter)).items():
            if shown.numbers:
                found[key] = pd.DataFrame(shown.numbers.rows, columns=shown.numbers.columns)
    return found


@pytest.fixture(scope="module")
def predictions(run: Path) -> pd.DataFrame:
    """Every held-out prediction; model, repeat and fold as the folders say."""
    rows = []
    for path in sorted(run.glob("folds/*/*/predictions.csv")):
        repeat, fold = map(int, path.parent.name.split("-"))
        rows.append(pd.read_csv(path).assign(model=path.parents[1].name, repeat=repeat, fold=fold))
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def cohort(run: Path) -> pd.DataFrame:
    patients = json.loads((run / "cohort.json").read_text("utf-8"))["patients"]
    return pd.json_normalize(patients).set_index("code").sort_index()


def over_folds(rows: pd.DataFrame, metric: str) -> tuple[float, float]:
    """Mean over the folds of a repeat, then mean and standard error over repeats."""
    by_fold = rows.groupby(["repeat", "fold"])[["y", "probability"]].apply(METRICS[metric])
    by_repeat = by_fold.groupby("repeat").mean().dropna()
    return float(by_repeat.mean()), float(by_repeat.std(ddof=1) / np.sqrt(len(by_repeat)))


def fisher(first: int, of_first: int, second: int, of_second: int) -> float:
    """Sum of the hypergeometric probabilities no larger than that of the table seen."""
    both, everybody = first + second, of_first + of_second

    def probability(count: int) -> float:
        return comb(of_first, count) * comb(of_second, both - count) / comb(everybody, both)

    seen = probability(first) * (1 + 1e-7)
    possible = range(max(0, both - of_second), min(of_first, both) + 1)
    return sum(value for value in map(probability, possible) if value <= seen)


def test_table_one(told: dict[str, pd.DataFrame], cohort: pd.DataFrame) -> None:
    rows = told["patients"].set_index("characteristic")
    long = cohort["outcome.long_pfs"].astype(bool)
    counted = {
        "Male": cohort["characteristics.sex"] == "male",
        "Pancreas": cohort["characteristics.primary"] == "pancreas",
        "Osseous": cohort["characteristics.metastases"].map(lambda sites: "osseous" in sites),
        "G2": cohort["characteristics.grade"] == "G2",
    }
    for name, has in counted.items():
        short_n, long_n = int((has & ~long).sum()), int((has & long).sum())
        assert (rows.short_count[name], rows.long_count[name]) == (short_n, long_n)
        assert rows.p[name] == pytest.approx(fisher(short_n, int((~long).sum()), long_n, int(long.sum())))
    measured = {
        "Age in years": cohort["characteristics.age_years"],
        "CgA in µg/L": cohort["labs.cga_ug_per_l"],
        "De Ritis ratio": cohort["labs.ast_u_per_l"] / cohort["labs.alt_u_per_l"],
    }
    for name, values in measured.items():
        for group, members in (("short", values[~long]), ("long", values[long]), ("all", values)):
            seen = rows.loc[name, [f"{group}_median", f"{group}_min", f"{group}_max"]].astype(float)
            assert list(seen) == pytest.approx([members.median(), members.min(), members.max()])
        assert rows.p[name] == pytest.approx(mannwhitneyu(values[long], values[~long]).pvalue)


def test_table_two(told: dict[str, pd.DataFrame], predictions: pd.DataFrame) -> None:
    assert len(told["results"]) == 5 * len(METRICS)
    for row in told["results"].itertuples():
        mean, error = over_folds(predictions[predictions.model == row.model], row.metric)
        assert (row.mean, row.se) == pytest.approx((mean, error))
        assert row.ci95_low < mean < row.ci95_high
        assert row.folds == FOLDS * REPEATS - (row.model == "pet")
        assert row.collapsed_folds == (row.model == "ct")


def test_the_interval_is_that_of_another_bootstrap(
    told: dict[str, pd.DataFrame], predictions: pd.DataFrame, cohort: pd.DataFrame
) -> None:
    """Patients drawn with replacement, with another seed: equal within what so many draws scatter."""
    rows = predictions[predictions.model == "pet_labs"]
    folds = [
        (fold.probability.to_numpy(), fold.y.to_numpy() == 1, cohort.index.get_indexer(fold.patient))
        for _, fold in rows.groupby(["repeat", "fold"])
    ]
    rng, drawn = np.random.default_rng(77), []
    for _ in range(2500):
        times = np.bincount(rng.integers(0, len(cohort), len(cohort)), minlength=len(cohort))
        chosen = [(np.repeat(p, times[who])[None], np.repeat(y, times[who])) for p, y, who in folds]
        drawn.append(np.mean([_auroc(p, y)[0] for p, y in chosen if 0 < y.sum() < y.size]))
    seen = told["results"].set_index(["model", "metric"]).loc[("pet_labs", "auroc")]
    # Standard error of a quantile at 2.5 %: sqrt(p (1 - p) / draws) over the normal density there; three of them.
    scatter = 3 * np.std(drawn) * np.sqrt(0.025 * 0.975 * (1 / 2500 + 1 / 2000)) / 0.0584
    assert (seen.ci95_low, seen.ci95_high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=scatter)


def test_paired_tests(told: dict[str, pd.DataFrame], predictions: pd.DataFrame) -> None:
    """The ranks really swapped and every AUROC scored anew, where the product sums one weight a patient."""
    rows = predictions.assign(rank=predictions.groupby(["model", "repeat", "fold"]).probability.rank())
    paired = told["paired"]
    assert len(paired) == 4
    for number, row in enumerate(paired.itertuples()):
        sides = [
            rows[rows.model == name].set_index(["repeat", "fold", "patient"]) for name in (row.model, row.reference)
        ]
        both = sides[0][["y", "rank"]].join(sides[1]["rank"], how="inner", rsuffix="_other").reset_index()
        codes = np.sort(both.patient.unique())
        swapped = np.random.default_rng(number).random((1500, codes.size)) < 0.5
        swapped[0] = False
        by_fold, repeats = [], []
        for (repeat, _), fold in both.groupby(["repeat", "fold"]):
            turned = swapped[:, np.searchsorted(codes, fold.patient)]
            ranks, others, y = fold["rank"].to_numpy(), fold["rank_other"].to_numpy(), fold.y.to_numpy() == 1
            repeats.append(repeat)
            by_fold.append(_auroc(np.where(turned, others, ranks), y) - _auroc(np.where(turned, ranks, others), y))
        assert len(by_fold) == FOLDS * REPEATS - (row.reference == "pet") == row.folds
        differences = pd.DataFrame(by_fold, index=repeats).groupby(level=0).mean().mean().to_numpy()
        assert row.auroc_difference == pytest.approx(differences[0])
        p = np.mean(np.abs(differences) >= abs(differences[0]) - 1e-12)
        assert row.p_permutation == pytest.approx(p, abs=4 * np.sqrt(max(p, 0.002) / 1500) + 1 / 1500)
        folds = np.array([values[0] for values in by_fold])
        t = folds.mean() / np.sqrt((1 / folds.size + 1 / (FOLDS - 1)) * folds.var(ddof=1))
        assert (row.t_corrected, row.p_corrected_t) == pytest.approx((t, 2 * student.sf(abs(t), folds.size - 1)))
    assert list(paired.p_holm) == pytest.approx(holm(paired.p_permutation))


def _auroc(scores: Any, positive: Any) -> Any:
    """One AUROC a row, from the sum of ranks."""
    n, of = positive.sum(), positive.size
    return (rankdata(scores, axis=1)[:, positive].sum(axis=1) - n * (n + 1) / 2) / (n * (of - n))


def holm(p_values: pd.Series) -> list[float]:
    """Each p times the number of those at least as large, never less than for a smaller one."""
    ordered = sorted(p_values)
    return [max(min(1.0, (len(ordered) - rank) * p) for rank, p in enumerate(ordered) if p <= own) for own in p_values]


def test_survival_by_predicted_group(
    told: dict[str, pd.DataFrame], predictions: pd.DataFrame, cohort: pd.DataFrame
) -> None:
    mean = predictions.groupby(["model", "patient"]).probability.mean()
    months = cohort["outcome.pfs_months"]
    for row in told["group-survival"].itertuples():
        long = (mean[row.model] >= 0.5).reindex(cohort.index)
        assert (row.long_n, row.short_n) == (long.sum(), (~long).sum())
        assert (row.long_median_months, row.short_median_months) == pytest.approx(
            (months[long].median(), months[~long].median())  # nobody is censored
        )
        test = logrank_test(months[long], months[~long])
        assert (row.log_rank_statistic, row.p) == pytest.approx((test.test_statistic, test.p_value))
    assert list(told["group-survival"].p_holm) == pytest.approx(holm(told["group-survival"].p))
    whole = told["cohort-survival"]
    share = KaplanMeierFitter().fit(months).survival_function_.iloc[:, 0]
    assert list(whole.progression_free) == pytest.approx(list(share))
    assert whole.median_months.iloc[0] == pytest.approx(months.median())


def test_probabilities(told: dict[str, pd.DataFrame], predictions: pd.DataFrame) -> None:
    for row in told["calibrations"].itertuples():
        rows = predictions[predictions.model == row.model]
        logit, y = rows.logit.to_numpy(), rows.y.to_numpy()
        assert row.brier == pytest.approx(np.mean((rows.probability - y) ** 2))
        offset = brentq(lambda shift, z=logit, y=y: np.sum(y - 1 / (1 + np.exp(-z - shift))), -9, 9)
        assert row.intercept == pytest.approx(offset, abs=1e-6)
        slope = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit[:, None], y).coef_[0, 0]
        assert row.slope == pytest.approx(slope, abs=1e-4)
    figure = told["calibration"]
    curve = figure[figure.curve == "decision"]
    rows = predictions[predictions.model == curve.model.iloc[0]]
    assert len(curve) > 50
    for row in curve.itertuples():
        alarm, odds = 1 - rows.probability >= row.x, row.x / (1 - row.x)
        gain = (alarm & (rows.y == 0)).mean() - (alarm & (rows.y == 1)).mean() * odds
        assert row.y == pytest.approx(gain)


def test_subgroups(told: dict[str, pd.DataFrame], predictions: pd.DataFrame, cohort: pd.DataFrame) -> None:
    old = cohort["characteristics.age_years"] >= 65
    members = {
        "GE Discovery MI": cohort["characteristics.scanner"] == "GE Discovery MI",
        "contrast-enhanced CT": cohort["characteristics.contrast_ct"] == "yes",
        "women": cohort["characteristics.sex"] == "female",
        "65 years or older": old,
        "younger than 65": ~old,
    }
    seen = told["subgroups-all"].set_index(["subgroup", "model"])
    for name, inside in members.items():
        for model in predictions.model.unique():
            rows = predictions[(predictions.model == model) & predictions.patient.isin(inside.index[inside])]
            row = seen.loc[(name, model)]
            for metric in METRICS:
                assert row[metric] == pytest.approx(over_folds(rows, metric)[0])
            assert row.brier == pytest.approx(np.mean((rows.probability - rows.y) ** 2))
