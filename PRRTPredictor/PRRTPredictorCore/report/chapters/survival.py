"""Do the predicted groups fare differently? Kaplan–Meier and log-rank by predicted group, out of fold."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...evaluation.summary import model_title
from ...evaluation.survival import GroupSurvival, KaplanMeier, survival_by_model
from ...records import LONG_PFS_FROM
from ..chapter import Cell, Chapter, Folded, Numbers, Plate, Table, Words
from ..content import RunContent
from ..figures.survival import SurvivalGroup, survival
from ..style import LONG_COLOUR, SHORT_COLOUR, new_figure
from ..wording import capitalised, counted, defined, evidence, printed, printed_months, printed_p, with_sign

LEAST_IN_A_GROUP = 5
"""Below, the log-rank test's p is far too small: the one who progresses first of 12, alone, gives 0.0009, not 1/12."""

COLUMNS = ("months", "progression_free", "ci95_low", "ci95_high")


def chapter(content: RunContent) -> Chapter:
    """Paper, Fig. 5: the headline model large, all others folded below."""
    outcomes = {code: patient.outcome for code, patient in content.patients.items()}
    results = survival_by_model((content.predictions[name] for name in content.names), outcomes)
    head = next(result for result in results if result.model == content.headline.model)
    others = [result for result in results if result is not head]
    folded = (Folded("The same for every other model", (others_plate(others),)),) if others else ()
    words = Words(
        (
            f"Long means a mean out-of-fold probability of {LONG_PFS_FROM:g} or more. Each patient stands here once, "
            "judged only by models that had never seen that patient. The models learnt to tell PFS over one year from "
            "PFS up to one year, so a gap between the curves shows the same skill as the AUROC, not a second proof.",
        )
    )
    return Chapter(
        "survival", "Survival by predicted group", (words, head_plate(head), survival_table(results), *folded)
    )


def curve_rows(name: str, curve: KaplanMeier) -> tuple[tuple[Cell, ...], ...]:
    """A curve's steps for a CSV file: group, months, share and its interval."""
    steps = zip(curve.times, curve.survival, curve.ci_low, curve.ci_high, strict=True)
    return tuple((name, *(defined(value) for value in step)) for step in steps)


def head_plate(result: GroupSurvival) -> Plate:
    """The headline model's two curves."""
    figure = new_figure(7.4, 4.3)
    survival(figure.subplots(), groups_of(result))
    medians = "; ".join(
        f"{group.label}: median {printed_months(group.curve.median_months)}" for group in groups_of(result)
    )
    return Plate(
        key="predicted-survival",
        title=f"Survival by predicted group: {model_title(result.model)}",
        alt=f"Kaplan–Meier curves by predicted group. {medians}. {log_rank_in_words(result)}",
        text=f"{capitalised(medians)}. {log_rank_in_words(result)} Shades are pointwise 95 % intervals; the dashed "
        "line divides short from long PFS.",
        figure=figure,
        numbers=Numbers(("model", "predicted_group", *COLUMNS), numbered(result)),
    )


def others_plate(results: Sequence[GroupSurvival]) -> Plate:
    """The other models' curves, two in a row."""
    columns = min(2, len(results))
    rows = math.ceil(len(results) / columns)
    figure = new_figure(max(7.4, 4.7 * columns), 4.1 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw={"hspace": 0.08}).ravel()
    for ax, result in zip(axes, results, strict=False):
        survival(ax, groups_of(result))
        ax.set_title(f"{model_title(result.model)}{log_rank_in_short(result)}")
    for ax in axes[len(results) :]:
        ax.remove()
    told = " ".join(f"{model_title(result.model)}: {log_rank_in_words(result)}" for result in results)
    return Plate(
        key="predicted-survival-others",
        title="Survival by predicted group: the other models",
        alt=f"Kaplan–Meier curves by predicted group, a panel a model. {told}",
        text="As above. The p-values are those of the log-rank test, corrected for the number of models.",
        figure=figure,
        numbers=Numbers(
            ("model", "predicted_group", *COLUMNS), tuple(row for result in results for row in numbered(result))
        ),
    )


def groups_of(result: GroupSurvival) -> list[SurvivalGroup]:
    """The curves that exist, each with its looks."""
    looks = (("long", result.long, LONG_COLOUR, "-"), ("short", result.short, SHORT_COLOUR, (0, (5, 1.5))))
    return [
        SurvivalGroup(f"predicted {word} (n = {curve.patients})", curve, colour, line)
        for word, curve, colour, line in looks
        if curve is not None
    ]


def numbered(result: GroupSurvival) -> tuple[tuple[Cell, ...], ...]:
    """Both curves' steps behind the model's name."""
    curves = (("long", result.long), ("short", result.short))
    return tuple((result.model, *row) for name, curve in curves if curve is not None for row in curve_rows(name, curve))


def log_rank_in_words(result: GroupSurvival) -> str:
    """The log-rank test as a sentence; says so where there is only one group, or one of very few."""
    if result.test is None:
        return "The model puts everyone into one group, so there is nothing to compare."
    p, fewest = result.test.p, result.smaller_group
    corrected = f" (corrected for the number of models: {printed_p(result.p_holm)})" if result.p_holm != p else ""
    verdict = (
        f"{evidence(result.p_holm)} that the groups differ"
        if fewest >= LEAST_IN_A_GROUP
        else f"no evidence can rest on it, since one group holds only {counted(fewest, 'patient')}"
    )
    return f"Log-rank test: statistic {result.test.statistic:.2f}, p {with_sign(p)}{corrected}: {verdict}."


def log_rank_in_short(result: GroupSurvival) -> str:
    """The corrected log-rank p for a panel's title."""
    if result.test is None:
        return " (one group only)"
    few = f", n = {result.smaller_group} in a group" if result.smaller_group < LEAST_IN_A_GROUP else ""
    return f" (p {with_sign(result.p_holm)}{few})"


def survival_table(results: Sequence[GroupSurvival]) -> Table:
    """Survival by predicted group, for every model."""

    def cells(curve: KaplanMeier | None) -> tuple[str, str]:
        return (str(curve.patients), printed_months(curve.median_months)) if curve else ("0", "–")

    def numbers(curve: KaplanMeier | None) -> tuple[Cell, ...]:
        return (curve.patients, curve.events, defined(curve.median_months)) if curve else (0, 0, None)

    return Table(
        key="group-survival",
        title="Survival by predicted group, every model",
        header=("Model", "Long, n", "median PFS", "Short, n", "median PFS", "Log-rank", "p", "p (Holm)"),
        rows=tuple(
            (
                model_title(result.model),
                *cells(result.long),
                *cells(result.short),
                printed(result.test.statistic) if result.test else "–",
                printed_p(result.test.p) if result.test else "–",
                printed_p(result.p_holm),
            )
            for result in results
        ),
        note="Out-of-fold predictions only. Holm’s correction spans the models that make two groups; with fewer than "
        f"{LEAST_IN_A_GROUP} patients in a group the p-values mean nothing.",
        numbers=Numbers(
            (
                "model",
                *(f"{group}_{what}" for group in ("long", "short") for what in ("n", "events", "median_months")),
                "log_rank_statistic",
                "p",
                "p_holm",
            ),
            tuple(
                (
                    result.model,
                    *numbers(result.long),
                    *numbers(result.short),
                    defined(result.test.statistic) if result.test else None,
                    defined(result.test.p) if result.test else None,
                    defined(result.p_holm),
                )
                for result in results
            ),
        ),
    )
