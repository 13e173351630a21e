"""What moved the answers: contributions of the blood values to held-out answers, as a figure and as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ...cohort.labs import input_title
from ...evaluation.summary import model_title
from ...explain.importance import ContributionSummary
from ..chapter import Numbers, Plate, Table
from ..figures.importance import ImportanceRow, importance_rows, model_legend, rows_height
from ..style import new_figure
from ..wording import capitalised, defined, printed

AGREEING = 0.8
"""Share of the folds that must agree on a direction for it to be told."""

METHODS: Mapping[str, tuple[str, str]] = {
    "gradient x input": ("Networks: gradient × input", "mean |contribution| to the logit"),
    "decision path": ("Random forest: decision paths", "mean |contribution| to the probability"),
}
"""Title and unit of each way to split an answer; the units differ, so each has an axis of its own."""


def contributions_plate(models: Sequence[tuple[str, ContributionSummary]]) -> Plate:
    """How far each value moved the answers; forest and networks on axes of their own."""
    panels = [
        (method, [(name, found) for name, found in models if found.method == method])
        for method in METHODS
        if any(found.method == method for _, found in models)
    ]
    by_panel = [(method, [row for name, found in own for row in _rows_of(name, found)]) for method, own in panels]
    figure = new_figure(9.4 if len(panels) > 1 else 7.0, 0.55 + max(rows_height(rows) for _, rows in by_panel))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (method, rows) in zip(axes, by_panel, strict=True):
        ordered = sorted(rows, key=lambda row, own=rows: [one.label for one in own].index(row.label))  # type: ignore[misc]
        importance_rows(ax, ordered, *METHODS[method])
        ax.margins(x=0.1)
        ax.set_xlim(left=0)
    model_legend(figure, [name for name, _ in models])
    told = "; ".join(
        f"{model_title(name)}: "
        + ", ".join(f"{row.label} {printed(row.mean)} ({row.mark or 'no direction'})" for row in _rows_of(name, found))
        for name, found in models
    )
    apart = " The two methods have different units and axes of their own; do not compare across them."
    return Plate(
        key="importance-contributions",
        title="How far each blood value moved the answers",
        alt=f"Mean absolute contribution of each blood value by model, a point for each fold. {told}.",
        text="Mean over held-out patients of the absolute contribution, then over folds. Line: middle 80 % of the "
        "folds; small points: the folds. The word behind it: high values speak for "
        f"“long” or for “short” PFS in at least {100 * AGREEING:.0f} % of the folds; “either”: the folds "
        f"disagree.{apart if len(panels) > 1 else ''}",
        figure=figure,
        numbers=_contribution_numbers(models),
    )


def direction(agreement: float) -> str:
    """Where high values point, as far as enough folds agree."""
    if not math.isfinite(agreement):
        return ""
    return "long" if agreement >= AGREEING else "short" if agreement <= 1 - AGREEING else "either"


def _rows_of(name: str, found: ContributionSummary) -> list[ImportanceRow]:
    low, high = found.spread
    return [
        ImportanceRow(
            name,
            input_title(one),
            float(found.mean[place]),
            float(low[place]),
            float(high[place]),
            tuple(float(value) for value in found.magnitude[:, place]),
            direction(float(found.agreement[place])),
        )
        for place, one in enumerate(found.names)
    ]


def _contribution_numbers(models: Sequence[tuple[str, ContributionSummary]]) -> Numbers:
    columns = ("model", "method", "input", "fold", "mean_absolute_contribution", "rank_correlation_with_value")
    return Numbers(
        columns,
        tuple(
            (name, found.method, one, fold, float(magnitude[place]), defined(float(turned[place])))
            for name, found in models
            for fold, (magnitude, turned) in enumerate(zip(found.magnitude, found.direction, strict=True))
            for place, one in enumerate(found.names)
        ),
    )


def contributions_table(models: Sequence[tuple[str, ContributionSummary]]) -> Table:
    """Contributions and their directions."""
    words = {"long": "high values: long PFS", "short": "high values: short PFS", "either": "folds disagree", "": "–"}
    rows: list[tuple[str, ...]] = []
    for name, found in models:
        rows.append((f"{model_title(name)} ({found.method.replace(' x ', ' × ')})",))
        for place, row in enumerate(_rows_of(name, found)):
            share = found.agreement[place]
            agreeing = f"{100 * max(share, 1 - share):.0f} %" if math.isfinite(share) else "–"
            span = f"{printed(row.low, '.3f')} to {printed(row.high, '.3f')}"
            rows.append((row.label, printed(row.mean, ".3f"), span, words[row.mark], agreeing))
    return Table(
        key="importance-contributions-table",
        title="Contributions of the blood values to held-out answers",
        header=("Input", "Mean |contribution|", "middle 80 % of folds", "Direction", "folds that agree"),
        rows=tuple(rows),
        note=f"{capitalised('gradient × input')} in logits, decision path in probability. Direction: sign of the rank "
        "correlation between a patient’s value and its contribution, fold by fold.",
        numbers=_contribution_numbers(models),
    )
