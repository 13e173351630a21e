"""Can the probabilities be believed? Calibration, Brier score and decision curves, out of fold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...evaluation.calibration import Calibration, DecisionCurve, Estimate, calibrate, decision_curve
from ...evaluation.summary import model_title
from ...records import FoldPredictions
from ..chapter import Cell, Chapter, Folded, Numbers, Plate, Table, Words
from ..content import RunContent
from ..figures.calibration import calibration, decision
from ..style import new_figure
from ..wording import defined, printed, printed_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BIN_COLUMNS = ("model", "predicted", "observed", "ci95_low", "ci95_high", "predictions")
CURVE_COLUMNS = (
    "model",
    "threshold",
    "net_benefit",
    "ci95_low",
    "ci95_high",
    "net_benefit_of_acting_on_everyone",
)


@dataclass(frozen=True, eq=False)
class Judged:
    """One model's probabilities, all folds pooled, and what became of them."""

    result: Calibration
    curve: DecisionCurve
    probability: NDArray[np.float64]

    @staticmethod
    def of(folds: Sequence[FoldPredictions]) -> Judged:
        """Judge the out-of-fold predictions of one model."""
        pooled = np.concatenate([fold.probability for fold in folds])
        return Judged(calibrate(folds), decision_curve(folds), pooled)


def chapter(content: RunContent) -> Chapter:
    """The headline model large, all others folded below."""
    judged = {name: Judged.of(content.predictions[name]) for name in content.names}
    head = judged.pop(content.headline.model)
    others = tuple(judged.values())
    folded = (
        (Folded("The same for every other model", (calibrations_plate(others), decisions_plate(others))),)
        if others
        else ()
    )
    words = Words(
        (
            "A model may rank patients well and still give wrong probabilities. Here its out-of-fold probabilities are "
            "held against what happened, all folds and repeats together; intervals resample patients.",
        )
    )
    blocks = (words, head_plate(head), calibration_table([one.result for one in (*others, head)]), *folded)
    return Chapter("probabilities", "Can the probabilities be believed?", blocks)


def head_plate(head: Judged) -> Plate:
    """Calibration and decision curve."""
    name = head.result.model
    figure = new_figure(8.8, 4.3)
    left, right = figure.subplots(1, 2)
    calibration(left, head.result, head.probability)
    decision(right, head.curve, name)
    figures = in_words(head.result)
    return Plate(
        key="calibration",
        title=f"Calibration and decision curve: {model_title(name)}",
        alt=f"Left: observed share of long PFS against predicted probability in {len(head.result.bins)} bins with 95 % "
        f"intervals, beside the diagonal. Right: net benefit against the risk threshold. {figures}.",
        text="Left, points on the dashed diagonal are right: of the patients given 70 %, about 70 % had long PFS; the "
        f"bars along the bottom count the probabilities given. {figures}. Right, what is gained by acting, for "
        "instance with closer follow-up, on patients whose predicted risk of short PFS reaches a threshold: the model "
        "is of use only at thresholds where its line lies above both others. The shade is the 95 % interval of that "
        "line; acting on everyone is as uncertain, since it depends on the same patients.",
        figure=figure,
        numbers=Numbers(
            ("curve", "model", "x", "y", "ci95_low", "ci95_high", "predictions", CURVE_COLUMNS[-1]),
            (
                *(("calibration", *row, None) for row in bin_rows(head.result)),
                *(("decision", *row[:-1], None, row[-1]) for row in curve_rows(name, head.curve)),
            ),
        ),
    )


def in_words(result: Calibration) -> str:
    """Brier score, slope and intercept with their intervals and what would be right."""
    brier = (
        f"Brier score {printed(result.brier.value, '.3f')} {printed_interval(result.brier.ci95, '.3f')} (always "
        f"giving the prevalence: {printed(result.brier_of_prevalence, '.3f')})"
    )
    slope_interval = (
        printed_interval(result.slope.ci95)
        if math.isfinite(result.slope.ci95[0])
        else "without an interval, because too many resamples separate the groups perfectly"
    )
    slope = (
        f"slope {printed(result.slope.value)} {slope_interval} (1 is right; below 1, "
        "too extreme; above 1, too cautious)"
        if math.isfinite(result.slope.value)
        else "no slope, because the predictions hardly vary or separate the groups perfectly"
    )
    intercept = (
        f"intercept {printed(result.intercept.value, '+.2f')} {printed_interval(result.intercept.ci95)} logits (0 is "
        "right)"
        if math.isfinite(result.intercept.value)
        else "no intercept, because only one outcome occurs"
    )
    return f"{brier}; {slope}; {intercept}"


def calibrations_plate(others: Sequence[Judged]) -> Plate:
    """Calibration of the other models, three in a row."""
    figure = _panels(others, 3.5, lambda ax, one: calibration(ax, one.result, one.probability))
    told = "; ".join(
        f"{model_title(one.result.model)}: Brier {printed(one.result.brier.value, '.3f')}, slope "
        f"{printed(one.result.slope.value)}"
        for one in others
    )
    return Plate(
        key="calibration-others",
        title="Calibration: the other models",
        alt=f"Observed share of long PFS against predicted probability, a panel a model. {told}.",
        text="As above.",
        figure=figure,
        numbers=Numbers(BIN_COLUMNS, tuple(row for one in others for row in bin_rows(one.result))),
    )


def decisions_plate(others: Sequence[Judged]) -> Plate:
    """Decision curves of the other models, three in a row."""
    figure = _panels(others, 2.8, lambda ax, one: decision(ax, one.curve, one.result.model))
    return Plate(
        key="decision-others",
        title="Decision curves: the other models",
        alt="Net benefit of acting on the predicted risk of short PFS against the risk threshold, a panel a model, "
        "beside acting on everyone and on nobody.",
        text="As above: coloured, the model with its 95 % interval; dashed, act on everyone; the line at zero, act on "
        "nobody.",
        figure=figure,
        numbers=Numbers(CURVE_COLUMNS, tuple(row for one in others for row in curve_rows(one.result.model, one.curve))),
    )


def calibration_table(results: Sequence[Calibration]) -> Table:
    """Calibration of every model."""

    def cells(estimate: Estimate, form: str) -> tuple[str, str]:
        known = math.isfinite(estimate.value)
        return printed(estimate.value, form), printed_interval(estimate.ci95, form.lstrip("+")) if known else "–"

    def numbers(estimate: Estimate) -> tuple[Cell, ...]:
        return tuple(defined(value) for value in (estimate.value, *estimate.ci95))

    return Table(
        key="calibrations",
        title="Calibration, every model",
        header=("Model", "Brier", "95 %", "Intercept", "95 %", "Slope", "95 %"),
        rows=tuple(
            (
                model_title(one.model),
                *cells(one.brier, ".3f"),
                *cells(one.intercept, "+.2f"),
                *cells(one.slope, ".2f"),
            )
            for one in results
        ),
        note="Brier score: lower is better; always giving the prevalence gives "
        f"{printed(results[-1].brier_of_prevalence, '.3f')}. Intercept 0 and slope 1 are right. Intervals resample "
        "patients.",
        numbers=Numbers(
            (
                "model",
                *(
                    f"{what}{end}"
                    for what in ("brier", "intercept", "slope")
                    for end in ("", "_ci95_low", "_ci95_high")
                ),
                "brier_of_prevalence",
            ),
            tuple(
                (
                    one.model,
                    *numbers(one.brier),
                    *numbers(one.intercept),
                    *numbers(one.slope),
                    defined(one.brier_of_prevalence),
                )
                for one in results
            ),
        ),
    )


def bin_rows(result: Calibration) -> tuple[tuple[Cell, ...], ...]:
    """A model's bins for a CSV file."""
    return tuple(
        (result.model, *(defined(value) for value in (one.predicted, one.observed, *one.ci95)), one.predictions)
        for one in result.bins
    )


def curve_rows(name: str, curve: DecisionCurve) -> tuple[tuple[Cell, ...], ...]:
    """A model's decision curve for a CSV file."""
    points = zip(curve.threshold, curve.model, curve.low, curve.high, curve.act_on_all, strict=True)
    return tuple((name, *(defined(value) for value in point)) for point in points)


def _panels(others: Sequence[Judged], height: float, draw: Callable[[Axes, Judged], Axes]) -> Figure:
    """A panel a model, at most three in a row, with the axes named once."""
    columns = min(3, len(others))
    rows = math.ceil(len(others) / columns)
    figure = new_figure(max(4.2, 3.4 * columns), height * rows + 0.3)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, one in zip(axes, others, strict=False):
        draw(ax, one)
        ax.set_title(model_title(one.result.model))
        legend = ax.get_legend()
        if legend is not None:
            legend.remove()
    figure.supxlabel(axes[0].get_xlabel(), fontsize=9.5)
    figure.supylabel(axes[0].get_ylabel(), fontsize=9.5)
    for ax in axes:
        ax.set_xlabel("")
        ax.set_ylabel("")
    for ax in axes[len(others) :]:
        ax.remove()
    return figure
