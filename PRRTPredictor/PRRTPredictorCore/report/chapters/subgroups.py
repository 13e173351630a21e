"""Each model on each scanner, with and without contrast medium, and by sex and age."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...evaluation.calibration import Estimate
from ...evaluation.subgroups import (
    LEAST_OF_EACH_OUTCOME,
    SUBGROUP_METRICS,
    SubgroupAnalysis,
    SubgroupScore,
    SubgroupSize,
    analyse_subgroups,
)
from ...evaluation.summary import model_title
from ..chapter import Block, Cell, Chapter, Folded, Numbers, Plate, Table, Words
from ..content import RunContent
from ..figures.subgroups import MOST_SUBGROUPS, subgroup_differences, subgroup_scores
from ..material.categories import Category, acquisition_categories, person_categories
from ..style import new_figure
from ..wording import NO_EVIDENCE, counted, defined, evidence, listed, printed, printed_interval, printed_p, with_sign


def chapter(content: RunContent) -> Chapter | None:
    """The chapter; its Words say "no evidence" where no interval of a difference excludes zero."""
    acquisition, persons = acquisition_categories(content), person_categories(content)
    analyses = [(one, _analyse(content, one)) for one in (*acquisition, *persons)]
    front, behind = analyses[: len(acquisition)], analyses[len(acquisition) :]
    blocks: list[Block] = [Words(_introduction(front))]
    blocks += [plate for one in front if (plate := _plate(*one)) is not None]
    headline = content.headline.model
    known = [one for one in analyses if one[1].sizes]
    if known:
        blocks.append(_headline_table(headline, known))
    if any(analysis.models for _, analysis in analyses):
        tables = (_full_table(analyses), *((_differences_table(analyses),) if _compared(analyses) else ()))
        blocks.append(Folded("Every model in every subgroup", tables))
    persons_plates = tuple(plate for one in behind if (plate := _plate(*one)) is not None)
    if persons_plates:
        words = Words(tuple(_in_words(category, analysis) for category, analysis in behind))
        blocks.append(Folded("By sex and age", (words, *persons_plates)))
    return Chapter(
        key="subgroups",
        title="The same on every scanner?",
        blocks=tuple(blocks),
        missing=tuple(sentence for one in analyses for sentence in _missing(*one)),
    )


def _analyse(content: RunContent, category: Category) -> SubgroupAnalysis:
    return analyse_subgroups(category.title, content.predictions, category.of, content.long)


# --- in words ---------------------------------------------------------------------------------------------------------


def _introduction(analyses: Sequence[tuple[Category, SubgroupAnalysis]]) -> tuple[str, ...]:
    return (
        "A model that works on one scanner only, or only with contrast medium, may have learnt the machine instead of "
        "the disease. So every fold is scored again on the patients of one subgroup alone, and averaged as in the main "
        "results. The numbers are small and the intervals wide: they can show a large difference, never its absence.",
        *(_in_words(category, analysis) for category, analysis in analyses),
    )


def _in_words(category: Category, analysis: SubgroupAnalysis) -> str:
    """What can be said about one category: sizes that matter, and whether any difference is more than chance."""
    sentences = []
    if not analysis.sizes:
        return f"{category.title}: not known for any patient."
    if len(analysis.sizes) == 1 and not analysis.unknown:
        return f"{category.title}: all {counted(analysis.sizes[0].patients, 'patient')} {analysis.sizes[0].name}."
    if len(analysis.scored) < 2:
        sentences.append(
            f"{category.title}: fewer than two subgroups have {LEAST_OF_EACH_OUTCOME} patients of each outcome, so "
            "nothing can be compared."
        )
    else:
        sentences.append(f"{category.title}: {_differences_in_words(category, analysis)}")
    linked = [size for size in analysis.sizes if size.p_outcome < 0.05]
    if linked:
        sentences.append(
            "Outcome and subgroup go together here ("
            + "; ".join(f"{_share(size)}, p {with_sign(size.p_outcome)}" for size in linked)
            + "), so a network can gain from recognising the subgroup."
        )
    if analysis.too_small:
        named = listed([f"{size.name} ({size.patients})" for size in analysis.too_small])
        sentences.append(f"Too few patients of one outcome to be scored: {named}.")
    if analysis.unknown:
        sentences.append(f"Not known for {counted(analysis.unknown, 'patient')}.")
    return " ".join(sentences)


def _differences_in_words(category: Category, analysis: SubgroupAnalysis) -> str:
    differences = [
        (model.model, one) for model in analysis.models for one in model.differences if math.isfinite(one.p_holm)
    ]
    if not differences:
        return "no difference could be estimated."
    apart = [(name, one) for name, one in differences if evidence(one.p_holm) != NO_EVIDENCE]
    if not apart:
        return (
            f"{NO_EVIDENCE} that a model ranks patients better in one of the {category.plural} than in another "
            f"({counted(len(differences), 'comparison')}, smallest corrected p "
            f"{with_sign(min(one.p_holm for _, one in differences))})."
        )
    named = "; ".join(
        f"{model_title(name)}, AUROC {printed(one.auroc.value, '+.2f')} {printed_interval(one.auroc.ci95)} in "
        f"{one.subgroup} against {one.reference}, {evidence(one.p_holm)}, corrected p {with_sign(one.p_holm)}"
        for name, one in apart
    )
    return (
        f"a difference beyond chance in {len(apart)} of {counted(len(differences), 'comparison')} ({named}). It need "
        f"not come from the {category.title.lower()} itself: subgroups differ in other things, too."
    )


def _share(size: SubgroupSize) -> str:
    return f"{size.name}: {100 * size.long_patients / size.patients:.0f} % long PFS"


def _missing(category: Category, analysis: SubgroupAnalysis) -> tuple[str, ...]:
    if analysis.sizes or not category.column:
        return ()
    return (
        f"{category.title} is not known for any patient, so there are no results by {category.column}. Fill the "
        f"column {category.column} of cohort.csv and train again.",
    )


# --- figures and tables -----------------------------------------------------------------------------------------------

_LONGEST_BESIDE = 56
"""Letters of a legend's entry that still leave room for another one beside it."""


def _plate(category: Category, analysis: SubgroupAnalysis) -> Plate | None:
    if len(analysis.scored) < 2 or not analysis.models:
        return None
    labels = {
        size.name: f"{size.name}: n = {size.patients} ({size.short_patients} short, {size.long_patients} long)"
        for size in analysis.scored
    }
    drawn = min(len(labels), MOST_SUBGROUPS)
    figure = new_figure(9.4, 1.3 + 0.2 * drawn + len(analysis.models) * max(0.42, 0.2 * drawn))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    subgroup_scores(left, analysis.models, labels)
    subgroup_differences(right, analysis.models, labels)
    handles, entries = left.get_legend_handles_labels()
    side_by_side = drawn <= 4 and max(len(entry) for entry in entries) <= _LONGEST_BESIDE
    figure.legend(handles, entries, loc="outside upper left", ncols=2 if side_by_side else 1)
    more = len(labels) - drawn
    return Plate(
        key=f"subgroups-{category.key}",
        title=f"Every model by {category.title.lower()}",
        alt=f"Forest plot of the AUROC with 95 % intervals by {category.title.lower()}: {_alt(analysis)}. Beside it "
        "the differences between the subgroups.",
        text="Left, a mark for every subgroup with its 95 % interval. Right, by how much the other subgroups differ "
        f"from the first, {analysis.scored[0].name}, the largest. Intervals resample patients and are not corrected "
        "for their number; the words above rest on a test that is."
        + (f" {counted(more, 'further subgroup')} in the table below." if more > 0 else ""),
        figure=figure,
        numbers=_figure_numbers(analysis),
    )


def _alt(analysis: SubgroupAnalysis) -> str:
    return "; ".join(
        f"{model_title(model.model)} "
        + ", ".join(f"{score.subgroup} {printed(score.auroc.value)}" for score in model.scores)
        for model in analysis.models
    )


def _figure_numbers(analysis: SubgroupAnalysis) -> Numbers:
    rows: list[tuple[Cell, ...]] = []
    for model in analysis.models:
        rows += [(model.model, score.subgroup, None, *_three(score.auroc)) for score in model.scores]
        rows += [(model.model, one.subgroup, one.reference, *_three(one.auroc)) for one in model.differences]
    return Numbers(
        ("model", "subgroup", "minus_subgroup", "auroc", "auroc_ci95_low", "auroc_ci95_high"),
        tuple(rows),
    )


def _headline_table(model: str, analyses: Sequence[tuple[Category, SubgroupAnalysis]]) -> Table:
    rows: list[tuple[str, ...]] = []
    for _, analysis in analyses:
        rows.append((analysis.category,))
        scores = _scores(analysis, model)
        for size in analysis.sizes:
            counts = (str(size.patients), str(size.short_patients), str(size.long_patients), printed_p(size.p_outcome))
            rows.append((size.name, *counts, *_score_cells(scores.get(size.name))))
    return Table(
        key="subgroups-headline",
        title=f"Subgroups, and {model_title(model)} within them",
        header=("", "Patients", "PFS ≤ 1 year", "PFS > 1 year", "p", *_METRIC_HEADERS),
        rows=tuple(rows),
        note="p: Fisher’s exact test of the outcome against all other patients, not corrected for the number of tests. "
        "Scores with 95 % intervals from resampling patients; a dash where fewer than "
        f"{LEAST_OF_EACH_OUTCOME} patients have one of the outcomes. AUPRC and Brier score depend on the share of long "
        "PFS, which differs between subgroups: hold AUROC against AUROC. Undefined: folds whose patients of the "
        "subgroup all had the same outcome; they are left out of the mean.",
        numbers=_headline_numbers(model, analyses),
    )


def _full_table(analyses: Sequence[tuple[Category, SubgroupAnalysis]]) -> Table:
    rows: list[tuple[str, ...]] = []
    numbers: list[tuple[Cell, ...]] = []
    for category, analysis in analyses:
        for size in analysis.scored:
            rows.append((f"{analysis.category}: {size.name}, {counted(size.patients, 'patient')}",))
            for model in analysis.models:
                score = _scores(analysis, model.model).get(size.name)
                rows.append((model_title(model.model), *_score_cells(score)))
                numbers.append((category.key, size.name, model.model, *_score_values(score)))
    return Table(
        key="subgroups-all",
        title="Every model in every subgroup",
        header=("Model", *_METRIC_HEADERS),
        rows=tuple(rows),
        numbers=Numbers(("category", "subgroup", "model", *_VALUE_COLUMNS), tuple(numbers)),
    )


_METRIC_HEADERS = ("AUROC\n[95 %]", "AUPRC\n[95 %]", "Accuracy\n[95 %]", "Brier score\n[95 %]", "Undefined\nfolds")


def _score_cells(score: SubgroupScore | None) -> tuple[str, ...]:
    if score is None:
        return ("–",) * len(_METRIC_HEADERS)
    cells = (
        f"{printed(score.metric(name).value, '.3f' if name == 'brier' else '.2f')}\n"
        f"{printed_interval(score.metric(name).ci95)}"
        for name in SUBGROUP_METRICS
    )
    return (*cells, f"{score.undefined_folds} of {score.folds}")


def _headline_numbers(model: str, analyses: Sequence[tuple[Category, SubgroupAnalysis]]) -> Numbers:
    rows: list[tuple[Cell, ...]] = []
    for category, analysis in analyses:
        scores = _scores(analysis, model)
        for size in analysis.sizes:
            counts = (size.patients, size.short_patients, size.long_patients, defined(size.p_outcome))
            rows.append((category.key, size.name, *counts, *_score_values(scores.get(size.name))))
    columns = ("category", "subgroup", "patients", "short_pfs", "long_pfs", "fisher_p", *_VALUE_COLUMNS)
    return Numbers(columns, tuple(rows))


def _compared(analyses: Sequence[tuple[Category, SubgroupAnalysis]]) -> bool:
    return any(model.differences for _, analysis in analyses for model in analysis.models)


def _differences_table(analyses: Sequence[tuple[Category, SubgroupAnalysis]]) -> Table:
    rows: list[tuple[str, ...]] = []
    numbers: list[tuple[Cell, ...]] = []
    for category, analysis in analyses:
        for size in analysis.scored[1:]:
            rows.append((f"{analysis.category}: {size.name} against {analysis.scored[0].name}",))
            for model in analysis.models:
                for one in (found for found in model.differences if found.subgroup == size.name):
                    p = (one.p_auroc, one.p_holm)
                    interval = printed_interval(one.auroc.ci95)
                    cells = (printed(one.auroc.value, "+.2f"), interval, *map(printed_p, p), evidence(one.p_holm))
                    rows.append((model_title(model.model), *cells))
                    values = [*_three(one.auroc), *map(defined, p), *_three(one.accuracy), *_three(one.brier)]
                    numbers.append((category.key, one.subgroup, one.reference, model.model, *values))
    three = ("", "_ci95_low", "_ci95_high")
    columns = (
        *(f"auroc_difference{end}" for end in three),
        "p_permutation",
        "p_holm",
        *(f"accuracy_difference{end}" for end in three),
        *(f"brier_difference{end}" for end in three),
    )
    return Table(
        key="subgroups-differences",
        title="Differences between subgroups",
        header=("Model", "AUROC difference", "95 %", "p", "p (Holm)", "In words"),
        rows=tuple(rows),
        note="p: two-sided permutation test; who belongs to which subgroup is shuffled among patients of the same "
        "outcome. Holm’s correction spans the models and subgroups of a category, not the categories.",
        numbers=Numbers(("category", "subgroup", "minus_subgroup", "model", *columns), tuple(numbers)),
    )


def _scores(analysis: SubgroupAnalysis, model: str) -> dict[str, SubgroupScore]:
    return {score.subgroup: score for one in analysis.models if one.model == model for score in one.scores}


_VALUE_COLUMNS = (
    *(f"{name}{end}" for name in SUBGROUP_METRICS for end in ("", "_ci95_low", "_ci95_high")),
    "folds",
    "undefined_folds",
)


def _score_values(score: SubgroupScore | None) -> tuple[Cell, ...]:
    if score is None:
        return (None,) * len(_VALUE_COLUMNS)
    values = [number for name in SUBGROUP_METRICS for number in _three(score.metric(name))]
    return (*values, score.folds, score.undefined_folds)


def _three(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    return defined(estimate.value), defined(estimate.ci95[0]), defined(estimate.ci95[1])
