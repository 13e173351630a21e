"""The tables of a run's report as plain text cells, so that page, test and later CSV share them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..cohort.describe import printed_p as table_one_p
from ..cohort.describe import table_one
from ..cohort.labs import input_title
from ..evaluation.calibration import calibrate
from ..evaluation.discrimination import METRICS
from ..evaluation.significance import PAPER, PRIMARY, SECONDARY
from ..evaluation.summary import interval, mean_and_error, model_title
from .content import PAPER_TABLE_TWO, RunContent, evidence, pretrained_in_words, printed_p
from .figures.performance import METRIC_TITLES
from .plates import median_months


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes
    ----------
    key, title : str
    header : tuple of str
    rows : tuple of tuple of str
        The first cell names the row; a row of one cell is a section heading.
    note : str
        Printed below.
    faint_from : int or None
        Columns from here on are for orientation only.
    """

    key: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    faint_from: int | None = None


def patients_table(content: RunContent) -> Table:
    """Table 1."""
    rows: list[tuple[str, ...]] = []
    section = ""
    table = table_one(content.cohort.cohort.patients)
    any_missing = any(row.missing for row in table.rows)
    for row in table.rows:
        if row.section != section:
            section = row.section
            rows.append((section,))
        cells = tuple("–" if cell is None else str(cell) for cell in (row.total, row.short, row.long))
        missing = (str(row.missing) if row.missing else "",) if any_missing else ()
        rows.append((row.label, *cells, table_one_p(row.p), *missing))
    return Table(
        key="patients",
        title="Table 1. Patients by progression-free survival",
        header=("", "All", "PFS ≤ 1 year", "PFS > 1 year", "p", *(("missing",) if any_missing else ())),
        rows=tuple(rows),
        note="Counts (%) with Fisher’s exact test against all other patients; median (min–max) with the Wilcoxon "
        "rank-sum test. Two-sided and not corrected for their number. PRRT cycles are known only after treatment and "
        "are never an input of a model.",
    )


def acquisition_table(content: RunContent) -> Table:
    """Scanner, contrast phase and tracer, which images can betray and outcomes should not depend on."""
    patients = content.cohort.cohort.patients
    rows: list[tuple[str, ...]] = []

    def count(heading: str, values: dict[str, str]) -> None:
        rows.append((heading,))
        for value in sorted(set(values.values())):
            members = [one for one in patients if values[one.code] == value]
            long = sum(one.outcome.long_pfs for one in members)
            rows.append((value or "unknown", str(len(members)), str(len(members) - long), str(long)))

    count("Scanner", {one.code: one.characteristics.scanner for one in patients})
    contrast = {"yes": "contrast-enhanced", "no": "non-contrast", "unknown": "unknown"}
    count("CT", {one.code: contrast[one.characteristics.contrast_ct] for one in patients})
    count("Tracer", {image.code: image.tracer for image in content.cohort.images})
    return Table(
        key="acquisition",
        title="How the images were made",
        header=("", "Patients", "PFS ≤ 1 year", "PFS > 1 year"),
        rows=tuple(rows),
    )


def results_table(content: RunContent) -> Table:
    """Table 2."""
    rows = []
    for model in content.summary.models:
        metrics = [f"{mean_and_error(model.metric(name))}\n{interval(model.metric(name).ci95)}" for name in METRICS]
        paper = PAPER_TABLE_TWO.get(model.model, ("–", "–"))
        collapsed = f"{model.collapsed_folds} of {len(model.folds)}"
        rows.append((model_title(model.model), *metrics, collapsed, *paper))
    titles = [f"{METRIC_TITLES[name]} ± SE\n[95 % interval]" for name in METRICS]
    return Table(
        key="results",
        title="Table 2. Discrimination of long from short PFS",
        header=("Model", *titles, "Collapsed\nfits", "Paper\nAUROC", "Paper\nAUPRC"),
        rows=tuple(rows),
        faint_from=5,
        note=f"Mean over the folds of a repeat, then mean ± standard error over repeats, as in the paper; the standard "
        f"error tells how much the shuffling of folds matters. The 95 % interval resamples patients "
        f"and is the one to trust. Positive class: long PFS; a model without skill reaches an AUPRC of "
        f"{content.summary.prevalence_long:.2f}, the prevalence. Accuracy at a probability of 0.5. The paper’s figures "
        "(116 other patients) are for orientation.",
    )


def paired_table(content: RunContent) -> Table:
    """The primary and the secondary test."""
    paired = content.summary.significance.paired
    count = paired[0].permutations if paired else 0
    return Table(
        key="paired",
        title="What each addition buys",
        header=("Comparison", "AUROC difference", "p", "p (Holm)", "In words", "p, corrected t", "Folds"),
        rows=tuple(
            (
                f"{model_title(test.model)} against {model_title(test.reference)}",
                _minus(f"{test.difference:+.3f}"),
                printed_p(test.p_permutation),
                printed_p(test.p_holm),
                evidence(test.p_holm),
                printed_p(test.p_corrected_t),
                str(test.folds),
            )
            for test in paired
        ),
        note=f"{PRIMARY[0].upper()}{PRIMARY[1:]}, {count:,} permutations; the comparisons were fixed beforehand and "
        f"Holm’s correction spans them. {SECONDARY[0].upper()}{SECONDARY[1:]} (uncorrected for the number of "
        "comparisons).",
    )


def families_table(content: RunContent) -> Table:
    """The paper's own tests."""
    return Table(
        key="families",
        title="The paper’s tests between model families",
        header=("Comparison", "Metric", "U", "p", "p (Bonferroni)", "Cliff’s δ", "Effect"),
        rows=tuple(
            (
                f"{test.family} against {test.reference}",
                METRIC_TITLES[test.metric],
                f"{test.u:.1f}",
                printed_p(test.p),
                printed_p(test.p_bonferroni),
                _minus(f"{test.cliffs_delta:+.2f}"),
                test.effect,
            )
            for test in content.summary.significance.families
        ),
        note=f"{PAPER[0].upper()}{PAPER[1:]}, two-sided; Bonferroni over two comparisons a metric. Shown to be "
        "comparable with the paper, not to be relied on: repeated folds share their patients. In simulations without "
        "any signal it called p < 0.01 in up to 30 % of comparisons, where 1 % would be right.",
    )


def survival_table(content: RunContent) -> Table:
    """Survival by predicted group, for every model."""
    rows = []
    for model in content.summary.models:
        result = content.group_survival(model.model)
        rows.append(
            (
                model_title(model.model),
                str(result.long.patients if result.long else 0),
                median_months(result.long),
                str(result.short.patients if result.short else 0),
                median_months(result.short),
                f"{result.test.statistic:.2f}" if result.test else "–",
                printed_p(result.test.p) if result.test else "–",
            )
        )
    return Table(
        key="group-survival",
        title="Survival by predicted group, every model",
        header=("Model", "Long, n", "median PFS", "Short, n", "median PFS", "Log-rank", "p"),
        rows=tuple(rows),
        note="Out-of-fold predictions only. The p-values are not corrected for the number of models.",
    )


def calibration_table(content: RunContent) -> Table:
    """Calibration of every model."""
    rows = []
    for model in content.summary.models:
        result = calibrate(content.predictions[model.model])
        estimates = (result.brier, result.intercept, result.slope)
        cells = [
            cell
            for estimate, form in zip(estimates, ("{:.3f}", "{:+.2f}", "{:.2f}"), strict=True)
            for cell in (
                (_minus(form.format(estimate.value)), _minus(interval(estimate.ci95)))
                if math.isfinite(estimate.value)
                else ("–", "–")
            )
        ]
        rows.append((model_title(model.model), *cells))
    prevalence = content.summary.prevalence_long
    return Table(
        key="calibrations",
        title="Calibration, every model",
        header=("Model", "Brier", "95 %", "Intercept", "95 %", "Slope", "95 %"),
        rows=tuple(rows),
        note=f"Brier score: lower is better; always telling the prevalence gives {prevalence * (1 - prevalence):.3f}. "
        "Intercept 0 and slope 1 are right. Intervals resample patients.",
    )


def configuration_table(content: RunContent) -> Table:
    """How the run was made, for whoever repeats it."""
    manifest = content.manifest
    shape = manifest.preprocess.get("shape")
    rows = [
        ("Preset", manifest.preset),
        ("Cross-validation", f"{manifest.folds} folds × {manifest.repeats} repeats, stratified, grouped by patient"),
        ("Models", ", ".join(model_title(name) for name in manifest.models)),
        ("Blood values and further inputs", ", ".join(input_title(name) for name in manifest.feature_names)),
        ("Model image size (k, j, i)", " × ".join(str(side) for side in shape) if shape else "–"),
        ("Pretrained CT encoder", pretrained_in_words(manifest)),
        ("Seed", str(manifest.seed)),
        ("Begun", manifest.created_utc),
        ("Data hash (SHA-256)", manifest.data_sha256),
        ("Image preparation (digest)", manifest.preprocess_digest),
        ("Versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
    ]
    return Table(key="configuration", title="Configuration of the run", header=("", ""), rows=tuple(rows))


def _minus(number: str) -> str:
    return number.replace("-", "−")
