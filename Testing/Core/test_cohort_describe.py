"""Table 1: the paper's 18 Fisher p-values, the rank-sum test, counts, medians and missing values."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from PRRTPredictorCore.cohort.describe import (
    Share,
    Spread,
    fisher_p,
    format_table_one,
    printed_p,
    rank_sum_p,
    table_one,
)
from PRRTPredictorCore.records import Characteristics, CohortPatient, Labs, Outcome, SeriesSource

# Table 1 of the paper: counts with short (of 42) and long PFS (of 74), and the printed p.
PAPER: dict[tuple[str, str], tuple[int, int, str]] = {
    ("Patient Statistics", "Male"): (23, 45, "0.560"),
    ("Primary Location", "Small intestine"): (19, 30, "0.697"),
    ("Primary Location", "Pancreas"): (8, 26, "0.090"),
    ("Primary Location", "Colon/Rectum"): (4, 8, "1.000"),
    ("Primary Location", "Stomach"): (0, 1, "1.000"),
    ("Primary Location", "CUP"): (11, 9, "0.073"),
    ("Metastatic Spread", "Hepatic"): (28, 57, "0.276"),
    ("Metastatic Spread", "Lymphonodal"): (26, 49, "0.689"),
    ("Metastatic Spread", "Osseous"): (12, 23, "0.836"),
    ("Metastatic Spread", "Peritoneal"): (6, 13, "0.796"),
    ("Metastatic Spread", "Pulmonal"): (1, 4, "0.652"),
    ("Functionality", "Yes"): (19, 21, "0.072"),
    ("Functionality", "No"): (22, 53, "0.045"),
    ("Functionality", "Unknown"): (1, 0, "0.362"),
    ("Grading", "G1"): (8, 15, "1.000"),
    ("Grading", "G2"): (29, 53, "0.833"),
    ("Grading", "G3"): (2, 4, "1.000"),
    ("Grading", "Unknown"): (3, 2, "0.351"),
}
N_SHORT, N_LONG = 42, 74


def dealt(section: str, labels: Sequence[str], group: int, n: int) -> list[str]:
    """One label a patient, each as often as the paper counts it in that group."""
    words = [label for label in labels for _ in range(PAPER[section, label][group])]
    assert len(words) == n
    return words


def papers_group(group: int) -> list[CohortPatient]:
    """Patients whose categories have the paper's counts; their numbers are made up."""
    n = (N_SHORT, N_LONG)[group]
    primary = dealt("Primary Location", ["Small intestine", "Pancreas", "Colon/Rectum", "Stomach", "CUP"], group, n)
    names = {"Small intestine": "small_intestine", "Colon/Rectum": "colon_rectum"}
    functional = dealt("Functionality", ["Yes", "No", "Unknown"], group, n)
    grade = dealt("Grading", ["G1", "G2", "G3", "Unknown"], group, n)
    patients = []
    for number in range(n):
        sites = tuple(
            {"Pulmonal": "pulmonary"}.get(site, site.lower())
            for site in ("Hepatic", "Lymphonodal", "Osseous", "Peritoneal", "Pulmonal")
            if number < PAPER["Metastatic Spread", site][group]
        )
        characteristics = Characteristics(
            age_years=40 + number,
            sex="male" if number < PAPER["Patient Statistics", "Male"][group] else "female",
            primary=names.get(primary[number], primary[number].lower()),
            metastases=sites or ("other",),
            functional=functional[number].lower(),  # type: ignore[arg-type]
            grade=grade[number].replace("Unknown", "unknown"),
            ki67_percent=None if number == 0 else 5,
            prrt_cycles=4 if group else 2,
        )
        patients.append(
            CohortPatient(
                code=f"P-{group}-{number}",
                row=number,
                pet=SeriesSource(),
                ct=SeriesSource(),
                labs=Labs(28 + number, 25, 61, 419 + 400 * (1 - group) + number),
                outcome=Outcome(18 if group else 6, True, bool(group)),
                characteristics=characteristics,
            )
        )
    return patients


@pytest.fixture(scope="module")
def patients() -> list[CohortPatient]:
    return papers_group(0) + papers_group(1)


@pytest.mark.parametrize(("row", "expected"), PAPER.items(), ids=lambda value: value[-1] if len(value) == 2 else "")
def test_the_papers_fisher_p_values(row: tuple[str, str], expected: tuple[int, int, str]) -> None:
    short, long, printed = expected
    assert printed_p(fisher_p(short, N_SHORT, long, N_LONG)) == printed


def test_the_papers_figures_are_those_beside_the_paper() -> None:
    path = Path(__file__).parents[2].parent / "shared" / "paper" / "facts.json"
    if not path.exists():
        pytest.skip(f"real data missing: {path.name}")
    facts = json.loads(path.read_text(encoding="utf-8"))["table1_fisher"]
    facts.pop("_about")
    assert len(facts) == len(PAPER) == 18
    for (short, long, printed), (fact_short, fact_long, fact_p) in zip(PAPER.values(), facts.values(), strict=True):
        assert (short, long, float(printed)) == (fact_short, fact_long, fact_p)


def test_a_cohort_of_the_papers_counts_gives_the_papers_table(patients: list[CohortPatient]) -> None:
    table = table_one(patients)
    for (section, label), (short, long, printed) in PAPER.items():
        row = table.row(section, label)
        assert (row.short, row.long, printed_p(row.p)) == (Share(short, 42), Share(long, 74), printed)
    assert str(table.row("Patient Statistics", "Male").total) == "68 (59%)"
    assert printed_p(table.row("Patient Statistics", "Female").p) == "0.560"
    assert str(table.row("Patient Statistics", "Patient Count").short) == "42 (36%)"
    assert str(table.row("Metastatic Spread", "Hepatic").long) == "57 (77%)"


def test_rows_come_in_the_papers_order(patients: list[CohortPatient]) -> None:
    labels = [row.label for row in table_one(patients).rows]
    assert [label for label in labels if label != "Other"] == [
        "Patient Count", "Age in years", "Male", "Female",
        "Small intestine", "Pancreas", "Colon/Rectum", "Stomach", "CUP",
        "Hepatic", "Lymphonodal", "Osseous", "Peritoneal", "Pulmonal",
        "Yes", "No", "Unknown",
        "G1", "G2", "G3", "Unknown", "Ki67-Index %",
        "CgA in µg/L", "AST in U/L", "ALT in U/L", "GGT in U/L", "De Ritis ratio",
        "PRRT Cycles",
    ]  # fmt: skip


def test_medians_ranges_and_missing_values(patients: list[CohortPatient]) -> None:
    table = table_one(patients)
    age = table.row("Patient Statistics", "Age in years")
    assert age.short == Spread(42, 60.5, 40, 81)
    assert str(age.short) == "60.5 (40–81)"
    ki67 = table.row("Grading", "Ki67-Index %")
    assert ki67.missing == 2
    assert isinstance(ki67.long, Spread)
    assert ki67.long.n == 73
    assert ki67.p == 1.0
    assert str(table.row("Laboratory Parameters", "De Ritis ratio").short) == "1.94 (1.12–2.76)"
    cycles = table.row("Treatment", "PRRT Cycles")
    assert (str(cycles.short), printed_p(cycles.p)) == ("2 (2–2)", "< 0.001")
    assert table.row("Functionality", "Yes").missing == 1


def test_the_rank_sum_test_against_hand_worked_values() -> None:
    # All of one group below the other: 2 of C(6, 3) = 20 rankings are as extreme.
    assert rank_sum_p([1, 2, 3], [4, 5, 6]) == pytest.approx(0.1)
    assert rank_sum_p([5, 5, 5], [5, 5]) == 1.0
    assert rank_sum_p([], [1.0]) is None
    rng = np.random.default_rng(0)
    short, long = rng.integers(1, 5, 42).tolist(), rng.integers(2, 8, 74).tolist()
    assert rank_sum_p(short, long) == pytest.approx(by_hand(short, long), rel=1e-9)


def by_hand(short: list[float], long: list[float]) -> float:
    """Normal approximation with corrections for ties and continuity, written out."""
    from scipy.stats import norm, rankdata

    pooled = np.array([*short, *long])
    m, n = len(short), len(long)
    u = rankdata(pooled)[:m].sum() - m * (m + 1) / 2
    _, ties = np.unique(pooled, return_counts=True)
    variance = m * n / 12 * (m + n + 1 - (ties**3 - ties).sum() / ((m + n) * (m + n - 1)))
    return float(2 * norm.sf((abs(u - m * n / 2) - 0.5) / np.sqrt(variance)))


def test_one_group_or_nobody_gives_a_table_without_p() -> None:
    for patients in (papers_group(1), []):
        table = table_one(patients)
        assert all(row.p is None for row in table.rows)
        assert format_table_one(table)


def test_the_text_is_aligned_and_complete(patients: list[CohortPatient]) -> None:
    text = format_table_one(table_one(patients))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    # Every p ends where its heading ends, but for the columns behind it.
    end = lines[0].index("p-value") + len("p-value")
    for label, p in (("  Male", "0.560"), ("  Hepatic", "0.276"), ("  PRRT Cycles", "< 0.001")):
        (line,) = (line for line in lines if line.startswith(label))
        assert line[:end].endswith(p)
    assert "Wilcoxon rank-sum" in text


def test_csv_and_records(patients: list[CohortPatient]) -> None:
    table = table_one(patients)
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert len(rows) == len(table.rows)
    assert rows[2]["metric"] == "Male"
    assert float(rows[2]["p_value"]) == pytest.approx(0.560, abs=5e-4)
    assert json.loads(json.dumps(table.to_records()))[0]["p_value"] is None
