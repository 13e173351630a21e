"""How well each model tells long from short PFS, on patients it had not seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ...evaluation.discrimination import METRICS, CurveBand, precision_recall_band, roc_band
from ...evaluation.significance import PairedComparison
from ...evaluation.summary import RunSummary, interval, mean_and_error, model_title
from ..chapter import Block, Cell, Chapter, Numbers, Plate, Table, Words
from ..content import RunContent
from ..figures.curves import precision_recall, roc
from ..figures.performance import METRIC_TITLES, Bracket, brackets, performance
from ..style import new_figure
from ..verdict import INTERVAL_TAKES_FITS_FOR_GIVEN, ONLY_IN_THESE_FITS, evidence_of, is_evidence
from ..wording import counted, defined, listed, printed_interval, printed_p, with_sign

PAPER_TABLE_TWO: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "rf_labs": ("0.59 ± 0.02", "0.67 ± 0.01"),
        "pet": ("0.42 ± 0.03", "0.58 ± 0.03"),
        "ct": ("0.54 ± 0.01", "0.57 ± 0.03"),
        "pet_labs": ("0.68 ± 0.01", "0.80 ± 0.01"),
        "ct_labs": ("0.62 ± 0.03", "0.72 ± 0.04"),
        "pet_ct_labs": ("0.69 ± 0.01", "0.80 ± 0.01"),
        "pet_ct_labs_pretrained": ("0.72 ± 0.01", "0.80 ± 0.02"),
    }
)
"""AUROC and AUPRC that the paper prints for its 116 patients."""

SYMBOLS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
"""Upper bounds of the greater of both tests' p and the marks of Fig. 3."""


def chapter(content: RunContent) -> Chapter:
    """Paper, Fig. 3, Table 2 and Fig. 4."""
    summary = content.summary
    again = f", and the whole is done {summary.repeats} times with other cuts" if summary.repeats > 1 else ""
    blocks: list[Block] = [
        Words(
            (
                "Every number comes from patients whom the model in question had not seen: the cohort is cut into "
                f"{summary.folds} folds, each is held out once{again}.",
            )
        ),
        performance_plate(summary),
        results_table(summary),
        collapsed_words(summary),
    ]
    if content.stopped:
        blocks.append(Words(content.stopped, heading="Fits that were stopped before their end", listed=True))
    drawn = curves_plate(content)
    if drawn is None:
        lack = "No finished fold holds both outcomes, so there is no ROC curve: resume the run, or add patients."
        return Chapter("results", "Results", tuple(blocks), (lack,))
    return Chapter("results", "Results", (*blocks, drawn))


def collapsed_words(summary: RunSummary) -> Words:
    """Name every collapsed fold, one line a model: "SR-PET: 0-1, 3-2" (repeat-fold, as in the run folder)."""
    lines = tuple(
        f"{model_title(model.model)}: "
        + ", ".join(f"{fold.repeat}-{fold.fold}" for fold in model.folds if fold.collapsed)
        for model in summary.models
        if model.collapsed_folds
    )
    if not lines:
        return Words(("No fit collapsed to the same answer for everyone.",))
    heading = (
        "Collapsed fits. These networks gave every patient the same answer but for traces of rounding; they count in "
        "the means above with whatever order the traces gave. Folds are named repeat-fold."
    )
    return Words(lines, heading=heading, listed=True)


# --- Fig. 3 -----------------------------------------------------------------------------------------------------------


def performance_plate(summary: RunSummary) -> Plate:
    """Bars, intervals, folds, the lines of no skill and the marks of the primary test."""
    models, prevalence = summary.models, summary.prevalence_long
    figure = new_figure(9.4, 1.3 + 0.48 * len(models))
    left, right = figure.subplots(1, 2, sharey=True)
    performance(left, models, "auroc", 0.5, "chance 0.50")
    performance(right, models, "auprc", prevalence, f"prevalence {prevalence:.2f}")
    marks = significance_marks(summary.significance.paired)
    brackets(left, [model.model for model in models], marks)
    values = "; ".join(
        f"{model_title(model.model)} {model.auroc.mean:.2f} {interval(model.auroc.ci95)}" for model in models
    )
    hollow = " Hollow points are collapsed fits." if any(model.collapsed_folds for model in models) else ""
    told = marks_in_words(summary.significance.paired)
    return Plate(
        key="performance",
        title="How well each model tells long from short PFS",
        alt="Bars of mean AUROC and AUPRC for each model with 95 % intervals and every fold as a point. "
        f"AUROC: {values}. {told}",
        text="Diamond and bar: mean over all folds. Line with end marks: 95 % interval, from resampling the "
        "patients. Each point is one held-out fold; the folds scatter because each tests few patients. Dashed: a "
        f"model without any skill.{hollow} {told}",
        figure=figure,
        numbers=Numbers(
            ("model", "repeat", "fold", "patients", "long_patients", *METRICS, "collapsed"),
            tuple(
                (
                    model.model,
                    fold.repeat,
                    fold.fold,
                    fold.patients,
                    fold.long_patients,
                    *(defined(getattr(fold, metric)) for metric in METRICS),
                    fold.collapsed,
                )
                for model in models
                for fold in model.folds
            ),
        ),
    )


def significance_marks(tests: Sequence[PairedComparison]) -> tuple[Bracket, ...]:
    """The planned comparisons with evidence of a difference."""
    return tuple(Bracket(test.model, test.reference, _symbol(test)) for test in tests if is_evidence(evidence_of(test)))


def _symbol(test: PairedComparison) -> str:
    return next(mark for bound, mark in SYMBOLS if max(test.p_holm, test.p_corrected_t) < bound)


def marks_in_words(tests: Sequence[PairedComparison]) -> str:
    """What the brackets mean and whom they join; "no evidence" in words where there is none."""
    if not tests:
        return ""
    planned = "the one planned comparison" if len(tests) == 1 else f"{len(tests)} planned comparisons"
    marked = [_joined(test) for test in tests if is_evidence(evidence_of(test))]
    alone = [_joined(test) for test in tests if evidence_of(test) == ONLY_IN_THESE_FITS]
    without = (
        f" By the permutation test alone, and so {ONLY_IN_THESE_FITS} and without a bracket: {listed(alone)}."
        if alone
        else ""
    )
    if not marked:
        return (
            f"No bracket is drawn: no evidence of a difference of AUROC by both tests (patient-level paired "
            f"permutation with Holm’s correction, and the corrected t-test) in {planned}.{without}"
        )
    return (
        "Brackets: AUROC differs by both tests (patient-level paired permutation with Holm’s correction over "
        f"{planned}, and the corrected t-test; both * p < 0.05, ** p < 0.01, *** p < 0.001): {listed(marked)}."
        f"{without} Where no bracket is drawn, there is no such evidence, or no comparison was planned."
    )


def _joined(test: PairedComparison) -> str:
    side = "above" if test.difference > 0 else "below"
    second = f", by the corrected t-test {printed_p(test.p_corrected_t)}" if math.isfinite(test.p_corrected_t) else ""
    return f"{model_title(test.model)} {side} {model_title(test.reference)} (p {with_sign(test.p_holm)}{second})"


# --- Table 2 ----------------------------------------------------------------------------------------------------------


def results_table(summary: RunSummary) -> Table:
    """Table 2."""
    rows = []
    for model in summary.models:
        metrics = [
            f"{mean_and_error(model.metric(name))}\n{printed_interval(model.metric(name).ci95)}" for name in METRICS
        ]
        paper = PAPER_TABLE_TWO.get(model.model, ("–", "–"))
        collapsed = f"{model.collapsed_folds} of {len(model.folds)}"
        rows.append((model_title(model.model), *metrics, collapsed, *paper))
    titles = [f"{METRIC_TITLES[name]} ± SE\n[95 % interval]" for name in METRICS]
    error = (
        "then mean ± standard error over repeats, as in the paper; the standard error tells how much the shuffling of "
        "folds matters"
        if summary.repeats > 1
        else "without a standard error, since there is one repeat only"
    )
    numbers: list[tuple[Cell, ...]] = [
        (
            model.model,
            name,
            defined(model.metric(name).mean),
            defined(model.metric(name).se),
            *(defined(bound) for bound in model.metric(name).ci95),
            len(model.folds),
            model.collapsed_folds,
        )
        for model in summary.models
        for name in METRICS
    ]
    return Table(
        key="results",
        title="Discrimination of long from short PFS",
        header=("Model", *titles, "Collapsed\nfits", "Paper\nAUROC", "Paper\nAUPRC"),
        rows=tuple(rows),
        faint_from=5,
        note=f"Mean over the folds of a repeat, {error}. The 95 % interval resamples patients and is the one to "
        f"trust, although {INTERVAL_TAKES_FITS_FOR_GIVEN}. Positive class: long PFS; a model without skill "
        f"reaches an AUPRC of {summary.prevalence_long:.2f}, the prevalence. Accuracy at a probability of 0.5; "
        "predicting the more frequent outcome for everyone reaches "
        f"{max(summary.prevalence_long, 1 - summary.prevalence_long):.2f}. The paper’s "
        "figures (116 other patients) are for orientation.",
        numbers=Numbers(
            ("model", "metric", "mean", "se", "ci95_low", "ci95_high", "folds", "collapsed_folds"), tuple(numbers)
        ),
    )


# --- Fig. 4 -----------------------------------------------------------------------------------------------------------


def curves_plate(content: RunContent) -> Plate | None:
    """ROC and precision–recall curves of the headline model and labs alone, or of the two that the reader chose."""
    names = list(content.request.compare or (content.headline.model,))
    if content.request.compare is None and content.baseline is not None:
        names.append(content.baseline.model)
    rocs = [(name, band) for name in names if (band := roc_band(content.predictions[name])) is not None]
    recalls = [(name, band) for name in names if (band := precision_recall_band(content.predictions[name])) is not None]
    if not rocs or not recalls:
        return None
    figure = new_figure(8.8, 4.3)
    left, right = figure.subplots(1, 2)
    roc(left, rocs)
    precision_recall(right, recalls, content.summary.prevalence_long)
    folds = " and ".join(f"{counted(band.folds, 'fold')} of {model_title(name)}" for name, band in rocs)
    found = " and ".join(
        f"{float(band.median[int(abs(band.x - 0.25).argmin())]):.2f} for {model_title(name)}" for name, band in rocs
    )
    return Plate(
        key="curves",
        title="ROC and precision–recall curves",
        alt=f"Median ROC curve and median precision–recall curve over {folds}, with shaded central 80 % bands, the "
        f"diagonal of chance and the line of the prevalence. At a specificity of 0.75, median sensitivity {found}.",
        text=f"All finished folds of all repeats ({folds}), not a chosen one: the line is the median fold, the shade "
        "holds the middle 80 % of the folds. Where shades overlap, single folds can come out either way.",
        figure=figure,
        numbers=Numbers(
            ("model", "curve", "x", "median", "low_10", "high_90"),
            (*_band_rows("roc", rocs), *_band_rows("precision_recall", recalls)),
        ),
    )


def _band_rows(curve: str, bands: Sequence[tuple[str, CurveBand]]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        (name, curve, *(defined(value) for value in point))
        for name, band in bands
        for point in zip(band.x, band.median, band.low, band.high, strict=True)
    )
