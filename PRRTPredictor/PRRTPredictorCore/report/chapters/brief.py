"""The result on half a page: who was in, what came out, how sure one may be."""

from __future__ import annotations

import math

from ...cohort.outcome import THRESHOLD_MONTHS
from ...evaluation.discrimination import Discrimination
from ...evaluation.significance import PairedComparison
from ...evaluation.summary import model_title
from ...models.registry import MODELS
from ..chapter import Cards, Chapter, Folded, Words
from ..content import RunContent
from ..verdict import chance_in_words, difference_in_words
from ..wording import counted, listed

TERMS = (
    "PRRT: peptide receptor radionuclide therapy. PFS: progression-free survival, from the first PRRT cycle to "
    "progression or death. SR-PET: somatostatin-receptor PET. Labs: the blood values, and further columns if a run was "
    "given any.",
    "Fold: one of the parts into which the cohort is cut; each is held out once while models are fitted on the others. "
    "Repeat: the same with other cuts.",
    "Fit: a model fitted on the training patients of one fold; a network, where the model sees images. Collapsed: a "
    "fit that gives every patient the same answer.",
    "Out of fold: said of an answer from a fit that had not seen the patient.",
    "AUROC (area under the receiver operating characteristic curve): of a patient with long and one with short PFS, "
    "how often the first is given the higher probability; 0.5 is chance, 1 perfect.",
    "AUPRC (area under the precision–recall curve): how pure the group called long stays while it is widened until it "
    "holds every patient with long PFS; chance is their share of the cohort (prevalence), 1 perfect.",
    "SE: standard error. 95 % interval, [low, high]: how far a number may be off because these patients and not others "
    "were studied; from drawing the patients again at random, with replacement (bootstrap).",
    "p: how often chance alone would give a difference at least as large. Holm, Bonferroni: corrections for having "
    "made several comparisons. Corrected t-test: Nadeau and Bengio’s, which allows for folds that share patients.",
    "Logit: the logarithm of p / (1 − p) for a probability p; 0 is a probability of 0.5.",
)
"""For readers from another field: the words that all chapters use."""


def chapter(content: RunContent) -> Chapter:
    """Cards with the cohort's size and a few sentences on the headline model."""
    long = content.long
    n_long, n = sum(long.values()), len(long)
    summary = content.summary
    done = sum(len(model.folds) for model in summary.models)
    protocol = f"{summary.folds} folds × {counted(summary.repeats, 'repeat')}"
    cards = Cards(
        (
            ("Patients", f"{n}", ""),
            (f"Long PFS, over {THRESHOLD_MONTHS:g} months", f"{n_long}", f"{100 * n_long / n:.0f} % of the cohort"),
            ("Short PFS", f"{n - n_long}", f"{100 * (n - n_long) / n:.0f} %"),
            ("Finished fits", f"{done}", f"of {content.manifest.fits}: {protocol}"),
        )
    )
    terms = Folded("Terms and abbreviations", (Words(TERMS, listed=True),))
    return Chapter("brief", "In brief", (cards, Words(in_brief(content)), terms), missing(content))


def in_brief(content: RunContent) -> tuple[str, ...]:
    """The result in a few sentences, without more confidence than the numbers carry."""
    head, summary = content.headline, content.summary
    against_labs = [
        test for test in summary.significance.paired if (test.model, test.reference) == (head.model, "rf_labs")
    ]
    collapsed = sum(model.collapsed_folds for model in summary.models)
    return (
        *headline_in_words(head, summary.folds, content.headline_role),
        *(comparison_in_words(test) for test in against_labs),
        *(
            (f"{counted(collapsed, 'fit')} collapsed to the same answer for everyone; Results names them.",)
            * (collapsed > 0)
        ),
    )


def headline_in_words(head: Discrimination, folds: int, role: str) -> tuple[str, ...]:
    """What the headline model reached, and whether that is more than chance."""
    title = f"{model_title(head.model)}, {role},"
    low, high = head.auroc.ci95
    if not math.isfinite(head.auroc.mean):
        return (f"{title} could not be scored: no finished fold holds both outcomes.",)
    times = f"{100 * head.auroc.mean:.0f} times in 100. Chance would be 50."
    reached = (
        f"{title} reached an AUROC of {head.auroc.mean:.2f} (95 % interval {low:.2f} to {high:.2f}): shown one patient "
        f"with long and one with short PFS, it ranks the two correctly {times}"
    )
    return (reached, chance_in_words(head, folds))


def comparison_in_words(test: PairedComparison) -> str:
    """One paired comparison of the headline model as a sentence; says "no evidence" where there is none."""
    direction = "higher" if test.difference >= 0 else "lower"
    found = difference_in_words(test, ", corrected for the number of comparisons")
    return f"Its AUROC is {abs(test.difference):.2f} {direction} than that of {model_title(test.reference)}: {found}."


def missing(content: RunContent) -> tuple[str, ...]:
    """What a complete run of all models would hold besides, in sentences."""
    summary = content.summary
    whole = summary.folds * summary.repeats
    unfinished = tuple(
        f"{model_title(name)}: {count} of {whole} fits are not finished. Repeat the prrt train command to resume."
        for name, count in summary.missing_folds.items()
    )
    absent = [model_title(name) for name in MODELS if name not in summary.asked]
    if not absent:
        return unfinished
    return (*unfinished, f"Not part of this run: {listed(absent)}. Train a run with --models to have them.")
