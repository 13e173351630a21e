"""What an addition buys: the comparisons fixed beforehand, any two models side by side, and the paper's own tests."""

from __future__ import annotations

import math

from ...evaluation.comparison import GroupAgreement, ModelComparison, compare_models
from ...evaluation.families import PAPER
from ...evaluation.significance import PLANNED_COMPARISONS, PRIMARY, SECONDARY, PairedComparison, matched_folds
from ...evaluation.summary import model_title
from ..chapter import Block, Cell, Chapter, Folded, Numbers, Plate, Table, Words
from ..content import RunContent
from ..figures.comparison import COMPARED_TITLES, differences, fold_pairs, patient_pairs
from ..figures.performance import METRIC_TITLES
from ..style import new_figure
from ..verdict import FITS_TAKEN_FOR_GIVEN, ONLY_IN_THESE_FITS, difference_in_words, evidence_of
from ..wording import (
    capitalised,
    counted,
    defined,
    minus,
    percent,
    printed,
    printed_interval,
    printed_p,
    with_sign,
)


def chapter(content: RunContent) -> Chapter | None:
    """Paired tests (SCIENCE: primary and secondary), two models in detail, the paper's tests folded away."""
    if len(content.names) < 2:
        return None
    blocks: list[Block] = []
    missing: list[str] = []
    if content.summary.significance.paired:
        blocks.append(paired_table(content))
    pair = chosen_pair(content)
    first, second = (content.predictions[name] for name in pair)
    if matched_folds(first, second):
        found = compare_models(first, second, 1.0 / (content.summary.folds - 1))
        blocks += [
            Words(in_words(content, found), heading=f"{model_title(pair[0])} against {model_title(pair[1])}"),
            pair_plate(found),
            differences_table(found),
            agreement_table(found),
        ]
    else:
        missing.append(
            f"{model_title(pair[0])} and {model_title(pair[1])} share no finished fold and cannot be compared yet. "
            "Repeat the prrt train command to resume."
        )
    if content.summary.significance.families:
        blocks.append(Folded("The paper’s own tests between model families", (families_table(content),)))
    return Chapter("comparison", "Comparisons between models", tuple(blocks), tuple(missing))


def chosen_pair(content: RunContent) -> tuple[str, str]:
    """The report's pair; where no two networks share an image, the two models with the most inputs."""
    return content.pair or (content.names[-1], content.names[-2])


def planned_test(content: RunContent, first: str, second: str) -> PairedComparison | None:
    """The comparison of two models, in either order, if it is one of those fixed beforehand."""
    for test in content.summary.significance.paired:
        if {test.model, test.reference} == {first, second}:
            return test
    return None


def in_words(content: RunContent, found: ModelComparison) -> tuple[str, ...]:
    """The comparison in sentences, with no more confidence than its numbers carry."""
    auroc, folds = found.differences[0], counted(len(found.folds), "fold")
    scope = f"Over the {folds} that both models finished, "
    if found.test is None:
        return (f"{scope}no fold holds both outcomes, so that the two AUROCs are undefined.",)
    lines = [
        f"{scope}the AUROC of {model_title(found.model)} is {printed(auroc.first)} and that of "
        f"{model_title(found.reference)} {printed(auroc.second)}: a difference of {printed(auroc.difference, '+.2f')} "
        f"(95 % interval {printed_interval(auroc.ci95)})."
    ]
    planned = planned_test(content, found.model, found.reference)
    if planned is not None:
        holm = " after Holm’s correction over the comparisons that were fixed beforehand, of which this is one"
        lines.append(f"{capitalised(difference_in_words(planned, holm))}.")
        if not planned.p_holm < 0.05 and not auroc.ci95[0] <= 0.0 <= auroc.ci95[1]:
            lines[-1] += (
                " That the interval leaves out 0 is no contradiction: the interval is that of this pair alone, as if "
                "nothing else had been compared."
            )
    else:
        lines.append(
            f"{capitalised(difference_in_words(found.test))}. This pair is not among the comparisons "
            "that were fixed beforehand. Its p-value stands outside of Holm’s correction and is not corrected for the "
            "choice of the pair; whoever picks the most striking pair of several will find small ones by chance."
        )
    agreement = found.agreement
    kappa = f" (Cohen’s κ {printed(agreement.kappa)})" if math.isfinite(agreement.kappa) else ""
    apart = (
        f" Where they differ, {model_title(found.model)} is right for {agreement.only_first_right} and "
        f"{model_title(found.reference)} for {agreement.only_second_right}."
    )
    lines.append(
        f"Both put {percent(agreement.same, agreement.patients)} of {agreement.patients} patients into the same "
        f"group{kappa}.{apart if agreement.same < agreement.patients else ''}"
    )
    return tuple(lines)


def pair_plate(found: ModelComparison) -> Plate:
    """Differences, folds and patients of two models."""
    first, second = model_title(found.model), model_title(found.reference)
    figure = new_figure(10.4, 3.9)
    axes = figure.subplots(1, 3)
    differences(axes[0], found.differences)
    fold_pairs(axes[1], found.folds, found.model, found.reference)
    patient_pairs(axes[2], found.patients, found.model, found.reference)
    told = "; ".join(
        f"{COMPARED_TITLES[one.metric]} {printed(one.difference, '+.2f')} {printed_interval(one.ci95)}"
        for one in found.differences
    )
    judged = [pair for pair in found.folds if math.isfinite(pair.first.auroc)]
    ahead = sum(pair.first.auroc > pair.second.auroc for pair in judged)
    collapsed = sum(pair.first.collapsed or pair.second.collapsed for pair in judged)
    hollow = f" Hollow: one of the two fits collapsed ({counted(collapsed, 'fold')})." if collapsed else ""
    return Plate(
        key="model-pair",
        title=f"{first} (first) and {second} (second) side by side",
        alt=f"Left: differences with 95 % intervals around zero: {told}. Middle: both models’ AUROC in each fold; "
        f"the first is ahead in {ahead} of {len(judged)}. Right: each patient’s mean out-of-fold probability by both "
        "models, by outcome.",
        text=f"Left, a difference whose interval reaches over 0 may be chance. Middle, every fold: {first} is ahead in "
        f"{ahead} of {len(judged)}; folds share their patients, so counting them proves nothing.{hollow} Right, every "
        "patient once: upper right and lower left, both models choose the same group; the other two corners are where "
        "they disagree.",
        figure=figure,
        numbers=Numbers(
            ("what", "repeat", "fold", "patient", "long_pfs", found.model, found.reference),
            tuple(
                ("auroc", pair.first.repeat, pair.first.fold, None, None, *_both(pair.first.auroc, pair.second.auroc))
                for pair in found.folds
            )
            + tuple(
                ("probability", None, None, code, bool(long), float(a), float(b))
                for code, long, a, b in zip(
                    found.patients.codes, found.patients.long, found.patients.first, found.patients.second, strict=True
                )
            ),
        ),
    )


def differences_table(found: ModelComparison) -> Table:
    """Both models' metrics and their differences."""
    test = found.test
    tests = (
        f" The AUROC’s difference: p {with_sign(test.p_permutation)} by the {PRIMARY.partition(': ')[2]} "
        f"({test.permutations:,} permutations), p {with_sign(test.p_corrected_t)} by the "
        f"{SECONDARY.partition(': ')[2]}, neither corrected for the number of comparisons."
        if test is not None
        else ""
    )
    return Table(
        key="model-pair-differences",
        title=f"{model_title(found.model)} against {model_title(found.reference)}",
        header=("", model_title(found.model), model_title(found.reference), "Difference", "95 % interval"),
        rows=tuple(
            (
                COMPARED_TITLES[one.metric] + (" (less is better)" if one.metric == "brier" else ""),
                printed(one.first, ".3f"),
                printed(one.second, ".3f"),
                printed(one.difference, "+.3f"),
                _interval(one.ci95),
            )
            for one in found.differences
        ),
        note="On the folds that both models finished. The intervals resample patients, the same ones for both models, "
        "so that what the two share cancels; they take the fitted models as given, so fitting anew would widen "
        f"them.{tests}",
        numbers=Numbers(
            ("metric", "first", "second", "difference", "ci95_low", "ci95_high"),
            tuple(
                (
                    one.metric,
                    defined(one.first),
                    defined(one.second),
                    defined(one.difference),
                    defined(one.ci95[0]),
                    defined(one.ci95[1]),
                )
                for one in found.differences
            ),
        ),
    )


def agreement_table(found: ModelComparison) -> Table:
    """Patients by the groups that both models put them into, and by what became of them."""
    agreement: GroupAgreement = found.agreement
    names = ("short", "long")
    cells = [(a, b, *agreement.counts[a][b]) for a in (1, 0) for b in (1, 0)]
    return Table(
        key="model-pair-agreement",
        title="Where the two models agree",
        header=(
            f"{model_title(found.model)}\nsays",
            f"{model_title(found.reference)}\nsays",
            "Patients",
            "PFS\n> 1 year",
            "PFS\n≤ 1 year",
        ),
        rows=tuple((names[a], names[b], str(short + long), str(long), str(short)) for a, b, short, long in cells),
        note="Each patient once, by the mean of the out-of-fold probabilities. "
        f"Cohen’s κ {printed(agreement.kappa)} (0: as often as chance, 1: always); Spearman’s correlation of the "
        f"probabilities {printed(agreement.rank_correlation)}.",
        numbers=Numbers(
            ("first_group", "second_group", "patients", "long_pfs", "short_pfs"),
            tuple((names[a], names[b], short + long, long, short) for a, b, short, long in cells),
        ),
    )


def paired_table(content: RunContent) -> Table:
    """The primary and the secondary test of the comparisons fixed beforehand."""
    paired = content.summary.significance.paired
    count = paired[0].permutations
    absent = len(PLANNED_COMPARISONS) - len(paired)
    return Table(
        key="paired",
        title="What each addition buys",
        header=("Comparison", "AUROC difference", "p", "p (Holm)", "p, corrected t", "In words", "Folds"),
        rows=tuple(
            (
                f"{model_title(test.model)} against {model_title(test.reference)}",
                printed(test.difference, "+.3f"),
                printed_p(test.p_permutation),
                printed_p(test.p_holm),
                printed_p(test.p_corrected_t),
                evidence_of(test),
                str(test.folds),
            )
            for test in paired
        ),
        note=f"{capitalised(PRIMARY)}, {count:,} permutations; the comparisons were fixed beforehand and "
        f"Holm’s correction spans the {'one' if len(paired) == 1 else len(paired)} of them that this run can make"
        + (f" ({absent} more {'needs' if absent == 1 else 'need'} models or folds that it lacks)" if absent else "")
        + f". {FITS_TAKEN_FOR_GIVEN} {capitalised(SECONDARY)}, not corrected for the number of comparisons. Some "
        "evidence: p (Holm) and p of the corrected t-test both below 0.05; clear: both below 0.01; "
        f"{ONLY_IN_THESE_FITS}: p (Holm) alone below 0.05.",
        numbers=Numbers(
            (
                "model",
                "reference",
                "auroc_difference",
                "p_permutation",
                "p_holm",
                "t_corrected",
                "p_corrected_t",
                "in_words",
                "folds",
                "permutations",
            ),
            tuple(
                (
                    test.model,
                    test.reference,
                    defined(test.difference),
                    defined(test.p_permutation),
                    defined(test.p_holm),
                    defined(test.t_corrected),
                    defined(test.p_corrected_t),
                    evidence_of(test),
                    test.folds,
                    test.permutations,
                )
                for test in paired
            ),
        ),
    )


def families_table(content: RunContent) -> Table:
    """The paper's own tests (section 2.6)."""
    families = content.summary.significance.families
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
                minus(f"{test.cliffs_delta:+.2f}"),
                test.effect,
            )
            for test in families
        ),
        note=f"{capitalised(PAPER)}, two-sided; Bonferroni over two comparisons a metric. Shown to be comparable with "
        "the paper, not to be relied on: repeated folds share their patients. In simulations of equally good models it "
        "called p < 0.01 in 10 to 21 % of comparisons, where 1 % would be right.",
        numbers=Numbers(
            ("metric", "family", "reference", "u", "p", "p_bonferroni", "cliffs_delta", "effect"),
            tuple(
                (
                    test.metric,
                    test.family,
                    test.reference,
                    defined(test.u),
                    defined(test.p),
                    defined(test.p_bonferroni),
                    defined(test.cliffs_delta),
                    test.effect,
                )
                for test in families
            ),
        ),
    )


def _interval(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return f"[{printed(low, '.3f')}, {printed(high, '.3f')}]" if math.isfinite(low) else "–"


def _both(first: float, second: float) -> tuple[Cell, Cell]:
    return defined(first), defined(second)
