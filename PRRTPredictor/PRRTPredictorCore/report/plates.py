"""The figures of a run's report, each with its title, its explanation and its words for those who cannot see it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..cohort.labs import input_title
from ..evaluation.calibration import calibrate, decision_curve
from ..evaluation.discrimination import precision_recall_band, roc_band
from ..evaluation.summary import interval, model_title
from ..evaluation.survival import KaplanMeier
from .content import RunContent, with_sign
from .figures import calibration, importance, survival
from .figures import curves as curve_figures
from .figures import performance as performance_figures
from .figures.survival import SurvivalGroup
from .style import LONG_COLOUR, SHORT_COLOUR, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Plate:
    """A figure with everything that stands around it.

    Attributes
    ----------
    key : str
        File name without suffix, and anchor in the page.
    title : str
    alt : str
        What can be seen, for screen readers.
    text : str
        What it shows and how to read it.
    """

    key: str
    title: str
    alt: str
    text: str
    figure: Figure


def cohort_survival(content: RunContent) -> Plate:
    """Paper, Fig. 2."""
    curve = content.cohort_survival()
    figure = new_figure(7.4, 4.1)
    survival.survival(figure.subplots(), [SurvivalGroup("all patients", curve, LONG_COLOUR)])
    quartiles = f"{_months(curve.lower_quartile_months)} to {_months(curve.upper_quartile_months)}"
    return Plate(
        key="cohort-survival",
        title="Progression-free survival of the cohort",
        alt=f"Kaplan–Meier curve of {curve.patients} patients with {curve.events} events. Median PFS "
        f"{_months(curve.median_months)}, quartiles {quartiles}. A dashed line marks 12 months.",
        text=f"Median PFS {_months(curve.median_months)}; a quarter of the patients had progressed after "
        f"{_months(curve.lower_quartile_months)}, three quarters after {_months(curve.upper_quartile_months)}. The "
        "dashed line is where short and long PFS part. The shade is the pointwise 95 % interval.",
        figure=figure,
    )


def performance(content: RunContent) -> Plate:
    """Paper, Fig. 3."""
    models, prevalence = content.summary.models, content.summary.prevalence_long
    figure = new_figure(9.4, 1.3 + 0.48 * len(models))
    left, right = figure.subplots(1, 2, sharey=True)
    performance_figures.performance(left, models, "auroc", 0.5, "chance 0.50")
    performance_figures.performance(right, models, "auprc", prevalence, f"prevalence {prevalence:.2f}")
    listed = "; ".join(
        f"{model_title(model.model)} {model.auroc.mean:.2f} {interval(model.auroc.ci95)}" for model in models
    )
    hollow = " Hollow points are collapsed fits." if any(model.collapsed_folds for model in models) else ""
    return Plate(
        key="performance",
        title="How well each model tells long from short PFS",
        alt="Bars of mean AUROC and AUPRC for each model with 95 % intervals and every fold as a point. "
        f"AUROC: {listed}.",
        text="Diamond and bar: mean over all folds. Line with end marks: 95 % interval, from resampling the "
        "patients. Each point is one held-out fold; the folds scatter because each tests few patients. Dashed: a "
        f"model without any skill.{hollow}",
        figure=figure,
    )


def curves(content: RunContent) -> Plate | None:
    """Paper, Fig. 4, with all folds instead of one."""
    names = [content.headline.model] + ([content.baseline.model] if content.baseline else [])
    rocs = [(name, band) for name in names if (band := roc_band(content.predictions[name])) is not None]
    recalls = [(name, band) for name in names if (band := precision_recall_band(content.predictions[name])) is not None]
    if not rocs or not recalls:
        return None
    figure = new_figure(8.8, 4.3)
    left, right = figure.subplots(1, 2)
    curve_figures.roc(left, rocs)
    curve_figures.precision_recall(right, recalls, content.summary.prevalence_long)
    titles = " and ".join(model_title(name) for name, _ in rocs)
    return Plate(
        key="curves",
        title="ROC and precision–recall curves",
        alt=f"Median ROC curve and median precision–recall curve of {titles} over {rocs[0][1].folds} folds, with "
        "shaded central 80 % bands, the diagonal of chance and the line of the prevalence.",
        text=f"All {rocs[0][1].folds} finished folds, not a chosen one: the line is the median fold, the shade holds "
        "the middle 80 % of the folds. Overlapping shades are what honest uncertainty looks like at this cohort size.",
        figure=figure,
    )


def predicted_survival(content: RunContent) -> Plate | None:
    """Paper, Fig. 5, out of fold."""
    name = content.headline.model
    result = content.group_survival(name)
    groups = [
        SurvivalGroup(f"predicted {word} (n = {curve.patients})", curve, colour, line)
        for word, curve, colour, line in (
            ("long", result.long, LONG_COLOUR, "-"),
            ("short", result.short, SHORT_COLOUR, (0, (5, 1.5))),
        )
        if curve is not None
    ]
    figure = new_figure(7.4, 4.3)
    survival.survival(figure.subplots(), groups)
    medians = "; ".join(f"{group.label}: median {_months(group.curve.median_months)}" for group in groups)
    test = (
        f"Log-rank test: statistic {result.test.statistic:.2f}, p {with_sign(result.test.p)}."
        if result.test
        else "The model puts everyone into one group, so there is nothing to compare."
    )
    return Plate(
        key="predicted-survival",
        title=f"Survival by predicted group: {model_title(name)}",
        alt=f"Kaplan–Meier curves by predicted group. {medians}. {test}",
        text=f"{medians[0].upper()}{medians[1:]}. {test} Each patient stands here once, with the mean of the "
        "probabilities given by models that had never seen that patient; long means 0.5 or more.",
        figure=figure,
    )


def probability_quality(content: RunContent) -> Plate:
    """Calibration and decision curve."""
    name = content.headline.model
    folds = content.predictions[name]
    result = calibrate(folds)
    figure = new_figure(8.8, 4.3)
    left, right = figure.subplots(1, 2)
    calibration.calibration(left, result)
    calibration.decision(right, decision_curve(folds), name)
    slope = (
        f"slope {result.slope.value:.2f} {interval(result.slope.ci95)} (1 is right; below 1, too extreme)"
        if math.isfinite(result.slope.value)
        else "no slope, because the predictions hardly vary or separate the groups perfectly"
    )
    numbers = (
        f"Brier score {result.brier.value:.3f} {interval(result.brier.ci95)} (always telling the prevalence: "
        f"{result.brier_of_prevalence:.3f}); {slope}; intercept {result.intercept.value:+.2f} "
        f"{interval(result.intercept.ci95)} logits (0 is right)"
    ).replace("-", "−")
    return Plate(
        key="calibration",
        title=f"Calibration and decision curve: {model_title(name)}",
        alt=f"Left: observed share of long PFS against predicted probability in {len(result.bins)} bins with 95 % "
        f"intervals, beside the diagonal. Right: net benefit against the risk threshold. {numbers}.",
        text="Left, points on the dashed diagonal mean that of patients told 70 %, about 70 % had long PFS. "
        f"{numbers}. "
        "Right, the model earns its keep only at thresholds where its line lies above both others.",
        figure=figure,
    )


METHOD_WORDS = {
    "gradient x input": "for networks, gradient times the standardised value at the fusion layer, in logits",
    "decision path": "for the forest, the change of probability along its decision paths",
}


def labs(content: RunContent) -> Plate | None:
    """Paper, Fig. 7: the gradient method."""
    methods = sorted({model.method for model in content.importance}, key=lambda method: method != "gradient x input")
    if not methods:
        return None
    by_method = [[model for model in content.importance if model.method == method] for method in methods]
    rows = len(content.importance[0].names)
    figure = new_figure(8.4 if len(methods) > 1 else 7.4, 1.6 + 0.62 * rows)
    axes = figure.subplots(1, len(methods), squeeze=False)[0]
    for ax, models in zip(axes, by_method, strict=True):
        importance.lab_importance(ax, models)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    strongest = "; ".join(
        f"{model_title(model.model)}: {input_title(model.names[int(model.by_fold.mean(axis=0).argmax())])}"
        for model in content.importance
    )
    return Plate(
        key="labs",
        title="What the blood values contributed",
        alt=f"Mean absolute contribution of each blood value by model. Largest: {strongest}.",
        text="How far each blood value moved the answer for a held-out patient, on average: "
        + "; ".join(METHOD_WORDS[method] for method in methods)
        + ". Thin line: middle 80 % of the folds. This tells what the models used, not what causes progression."
        + (" Different methods stand on axes of their own and cannot be compared." if len(methods) > 1 else ""),
        figure=figure,
    )


PLATES: tuple[Callable[[RunContent], Plate | None], ...] = (
    cohort_survival,
    performance,
    curves,
    predicted_survival,
    probability_quality,
    labs,
)
"""In the order of the report; each is drawn inside ``drawing``, and gives None where the run lacks the numbers."""


def median_months(curve: KaplanMeier | None) -> str:
    """The median of a curve in words; a dash without one."""
    return "–" if curve is None else _months(curve.median_months)


def _months(value: float) -> str:
    return f"{value:.1f} months" if math.isfinite(value) else "not reached"
