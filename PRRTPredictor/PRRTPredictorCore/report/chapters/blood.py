"""What the blood values contributed, by two methods, beside the images (paper, Fig. 7)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...cohort.labs import input_title
from ...evaluation.summary import model_title
from ...explain.importance import (
    ContributionSummary,
    ImportanceMeasure,
    PermutationImportance,
    permutation_importance,
    summarise_contributions,
)
from ...models.registry import MODELS
from ...records import LABS
from ..chapter import Block, Cell, Chapter, Folded, Numbers, Plate, Table, Words
from ..content import RunContent
from ..figures.importance import ImportanceRow, importance_rows, model_legend, rows_height
from ..style import new_figure
from ..wording import defined, listed, printed, printed_interval
from .contributions import contributions_plate, contributions_table

KEY, TITLE = "blood", "Blood values"
GROUP_TITLES: Mapping[str, str] = {"labs": "All blood values", "pet": "SR-PET", "ct": "CT"}
"""Whole groups of inputs that are shuffled together."""


@dataclass(frozen=True, eq=False)
class ModelInputs:
    """What is known about one model's inputs; None where the run kept nothing."""

    model: str
    shuffled: PermutationImportance | None
    contributions: ContributionSummary | None


def chapter(content: RunContent) -> Chapter | None:
    """Both methods for every model that sees blood values; None where the run has no such model."""
    models = [found for name in content.names if (found := _inputs_of(content, name)) is not None]
    if not models:
        return None
    shuffled = [(one.model, one.shuffled) for one in models if one.shuffled is not None]
    split = [(one.model, one.contributions) for one in models if one.contributions is not None]
    blocks: list[Block] = [Words(_introduction(content))] if shuffled or split else []
    if shuffled:
        blocks += [permutation_plate(shuffled, "auroc_drop"), Words(relied_on(shuffled), _RELIANCE, listed=True)]
    if split:
        blocks.append(contributions_plate(split))
    details: list[Plate | Table] = []
    if shuffled:
        details += [permutation_plate(shuffled, "log_loss_rise"), permutation_table(shuffled)]
    if split:
        details.append(contributions_table(split))
    if details:
        blocks.append(Folded("The same as log loss, and every number", tuple(details)))
    return Chapter(KEY, TITLE, tuple(blocks), tuple(_missing(content, models)))


def _inputs_of(content: RunContent, name: str) -> ModelInputs | None:
    """None for a model without blood values: shuffling an only image costs all it knows, which is its AUROC."""
    if not MODELS[name].uses_labs:
        return None
    pairs = content.permutations(name)
    extras = tuple(one for one in content.manifest.feature_names if one not in LABS)
    tabular = {code: patient.tabular(extras) for code, patient in content.patients.items()}
    contributions = summarise_contributions(content.gradients(name), tabular)
    return ModelInputs(name, permutation_importance(pairs) if pairs else None, contributions)


def _missing(content: RunContent, models: Sequence[ModelInputs]) -> list[str]:
    """Fits without answers to shuffled inputs or without contributions."""
    lacking = []
    for one in models:
        finished = len(content.predictions[one.model])
        without = finished - (one.shuffled.folds if one.shuffled else 0)
        if without:
            lacking.append(
                f"Permutation importance of {model_title(one.model)}: {without} of {finished} finished fits kept no "
                "answers to shuffled inputs, because they learnt nothing or come from an earlier version. Remove their "
                "folders and repeat the prrt train command to fit them anew."
            )
        if one.contributions is None:
            lacking.append(f"Contributions of {model_title(one.model)}: its finished fits kept none.")
    return lacking


# --- in words ---------------------------------------------------------------------------------------------------------

_RELIANCE = "What each model’s right answers rest on"


def _introduction(content: RunContent) -> tuple[str, ...]:
    return (
        "Two questions that are easily confused. What do right answers rest on: how much worse does a model get on "
        "held-out patients when one input comes from another of them (permutation)? And what moved the answers, right "
        "or wrong: the gradient at the fusion layer times the input (networks), or the steps along the decision paths "
        "(random forest). The paper’s text names the second method and its caption the first; here are both.",
        "Neither tells what causes progression. Blood values that carry the same information, such as AST and ALT, "
        "stand in for each other when one is shuffled, so each looks less important than both are; hence the row for "
        "all blood values together.",
    )


def relied_on(models: Sequence[tuple[str, PermutationImportance]]) -> tuple[str, ...]:
    """A sentence a model; an input counts where the interval of the AUROC that it is worth lies above 0."""
    sentences = []
    for name, found in models:
        measure = found.auroc_drop
        clear = [place for place in range(len(found.inputs)) if measure.ci95[place, 0] > 0]
        rest = [_in_words(one) for place, one in enumerate(found.inputs) if place not in clear]
        clear.sort(key=lambda place: -float(measure.mean[place]))
        costs = [
            f"{_in_words(found.inputs[place])} {printed(float(measure.mean[place]), '.3f')} "
            f"{printed_interval(_bounds(measure, place), '.3f')}"
            for place in clear
        ]
        parts = [f"shuffling costs AUROC for {listed(costs)}"] if costs else []
        parts += [f"no evidence that it rests on {_either(rest)}"] if rest else []
        sentences.append(f"{model_title(name)}: {'; '.join(parts)}.")
    return tuple(sentences)


def _title(name: str) -> str:
    return GROUP_TITLES[name] if name in GROUP_TITLES else input_title(name)


def _in_words(name: str) -> str:
    return "all blood values together" if name == "labs" else _title(name)


def _either(names: Sequence[str]) -> str:
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _bounds(measure: ImportanceMeasure, place: int) -> tuple[float, float]:
    return float(measure.ci95[place, 0]), float(measure.ci95[place, 1])


# --- permutation ------------------------------------------------------------------------------------------------------

_MEASURES: Mapping[str, tuple[str, str]] = {
    "auroc_drop": ("AUROC lost by shuffling", "AUROC lost"),
    "log_loss_rise": ("Log loss gained by shuffling", "log loss gained, nats"),
}


def permutation_plate(models: Sequence[tuple[str, PermutationImportance]], measure: str) -> Plate:
    """Single blood values beside whole groups of inputs, by one measure of what a model is worth."""
    rows = [row for name, found in models for row in _permutation_rows(name, found, measure)]
    whole = [row for row in rows if row.label in GROUP_TITLES.values()]
    single = [row for row in rows if row.label not in GROUP_TITLES.values()]
    panels = [
        (each, title) for each, title in ((single, "One value shuffled"), (whole, "A whole group shuffled")) if each
    ]
    ratios = [max(len({row.label for row in each}), 1) for each, _ in panels]
    figure = new_figure(9.4, 0.55 + max(rows_height(each) for each, _ in panels))
    axes = figure.subplots(1, len(ratios), sharex=True, squeeze=False)[0]
    for ax, (each, title) in zip(axes, panels, strict=True):
        importance_rows(ax, each, title, _MEASURES[measure][1])
    model_legend(figure, [name for name, _ in models])
    shuffles = models[0][1].shuffles
    told = "; ".join(
        f"{model_title(name)}: " + ", ".join(f"{row.label} {printed(row.mean)}" for row in rows if row.model == name)
        for name, _ in models
    )
    return Plate(
        key=f"importance-{measure.replace('_', '-')}",
        title=_MEASURES[measure][0],
        alt=f"{_MEASURES[measure][0]} for each input of {listed([model_title(name) for name, _ in models])}, with 95 % "
        f"intervals and a point for each fold. {told}.",
        text=_how_to_read(shuffles) if measure == "auroc_drop" else _LOG_LOSS,
        figure=figure,
        numbers=_permutation_numbers(models, (measure,)),
    )


_LOG_LOSS = (
    "The same shuffles scored by log loss, which also sees how sure the answers were. Line: 95 % interval from "
    "resampling patients, for these fits; small points: the folds."
)


def _how_to_read(shuffles: int) -> str:
    return (
        "Permutation, the same for forest and networks: each input of the held-out patients is shuffled among them "
        f"({shuffles} times a fold), and the model is scored with and without that. A model that knows little has "
        "little to lose, so compare inputs within a model rather than models with each other. Line: 95 % interval from "
        "resampling patients, for these fits; small points: the folds. Intervals are not corrected for their number. "
        "At 0 or below, shuffling costs nothing."
    )


def _permutation_rows(name: str, found: PermutationImportance, measure: str) -> list[ImportanceRow]:
    values: ImportanceMeasure = getattr(found, measure)
    return [
        ImportanceRow(
            name,
            _title(one),
            float(values.mean[place]),
            *_bounds(values, place),
            tuple(float(value) for value in values.by_fold[:, place]),
        )
        for place, one in enumerate(found.inputs)
    ]


def _permutation_numbers(models: Sequence[tuple[str, PermutationImportance]], measures: Sequence[str]) -> Numbers:
    columns = ("model", "input", "measure", "mean", "ci95_low", "ci95_high", "fold", "fold_value")
    rows: list[tuple[Cell, ...]] = []
    for name, found in models:
        for measure in measures:
            for place, row in enumerate(_permutation_rows(name, found, measure)):
                known = tuple(map(defined, (row.mean, row.low, row.high)))
                rows += [
                    (name, found.inputs[place], measure, *known, fold, defined(value))
                    for fold, value in enumerate(row.folds)
                ]
    return Numbers(columns, tuple(rows))


def permutation_table(models: Sequence[tuple[str, PermutationImportance]]) -> Table:
    """Both measures of permutation importance."""
    rows: list[tuple[str, ...]] = []
    for name, found in models:
        rows.append((model_title(name),))
        for place, one in enumerate(found.inputs):
            cells = [
                cell
                for measure in (found.auroc_drop, found.log_loss_rise)
                for cell in (
                    printed(float(measure.mean[place]), "+.3f"),
                    printed_interval(_bounds(measure, place), ".3f"),
                    _fold_range(measure.by_fold[:, place].tolist()),
                )
            ]
            rows.append((_title(one), *cells))
    return Table(
        key="importance-permutation",
        title="Permutation importance",
        header=("Input", "AUROC lost", "95 %", "folds", "Log loss gained", "95 %", "folds"),
        rows=tuple(rows),
        note="Mean over the folds of a repeat, then over repeats. Intervals resample patients and hold for these fits "
        "and shuffles; they do not tell what models fitted anew would have learnt. Folds: smallest to largest.",
        numbers=_permutation_numbers(models, tuple(_MEASURES)),
    )


def _fold_range(values: Sequence[float]) -> str:
    known = [value for value in values if math.isfinite(value)]
    return f"{printed(min(known))} to {printed(max(known))}" if known else "–"
