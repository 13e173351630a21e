"""What may be said of a model against another or against chance: the one place where both tests become words.

The primary permutation test and the bootstrap interval take the fitted models as given. On null cohorts with models
really fitted they find something far too often; the corrected resampled t-test, which allows for fitting the models
anew, does not (Testing/Benchmarks). Words of evidence therefore need both.
"""

from __future__ import annotations

import math

import numpy as np

from ..evaluation.discrimination import Discrimination
from ..evaluation.significance import PairedComparison, corrected_resampled_t
from .wording import NO_EVIDENCE, evidence, with_sign

NO_T_TEST = "one fold, or folds that are all alike, leave no corrected t-test"

ONLY_IN_THESE_FITS = "only in these fits"
"""What :func:`paired_evidence` says where the primary test alone finds a difference."""

FITS_TAKEN_FOR_GIVEN = (
    "The primary test takes the fitted models as given: in 100 made cohorts without any signal, where random forests "
    "were really fitted, it found a difference at p < 0.05 in 17 instead of 5. The corrected t-test, which allows for "
    "fitting anew, did so in 3. So words of evidence need both."
)
"""Of the primary test; the figures are those of Testing/Benchmarks/significance_level.json."""

INTERVAL_TAKES_FITS_FOR_GIVEN = (
    "it takes the fitted models as given, and fitting anew would widen it (in 100 made cohorts without any signal a "
    "random forest’s interval missed 0.5 in 15 instead of 5)"
)
"""Of an AUROC's interval; the figures are those of Testing/Benchmarks/significance_level.json."""


def paired_evidence(p: float, p_corrected_t: float) -> str:
    """How much both tests of a pair of models support a difference, in words.

    Parameters
    ----------
    p : float
        Of the primary test, corrected for the number of comparisons where several were made.
    p_corrected_t : float
        NaN where the folds leave nothing to judge by: a single one, or all alike.

    Returns
    -------
    str
        "no evidence" where the primary test finds none, :data:`ONLY_IN_THESE_FITS` where it alone does; else "some
        evidence" or, with both below 0.01, "clear evidence".
    """
    if not p < 0.05:
        return NO_EVIDENCE
    return evidence(max(p, p_corrected_t)) if p_corrected_t < 0.05 else ONLY_IN_THESE_FITS


def is_evidence(words: str) -> bool:
    """Whether the words of :func:`paired_evidence` claim a difference."""
    return words not in (NO_EVIDENCE, ONLY_IN_THESE_FITS)


def evidence_of(test: PairedComparison) -> str:
    """The words for one comparison, corrected for the comparisons that were made together."""
    return paired_evidence(test.p_holm, test.p_corrected_t)


def difference_in_words(test: PairedComparison, corrected: str = "") -> str:
    """A clause on one comparison with the p-values that it rests on.

    Parameters
    ----------
    test : PairedComparison
    corrected : str
        How ``p_holm`` was corrected, after the word "test": ", corrected for the number of comparisons".

    Returns
    -------
    str
        "no evidence of a difference (p = 0.31 by the permutation test)", and so on.
    """
    words = evidence_of(test)
    first = f"p {with_sign(test.p_holm)} by the permutation test{corrected}"
    if words == NO_EVIDENCE:
        return f"{words} of a difference ({first})"
    second = f"p {with_sign(test.p_corrected_t)} by the corrected t-test"
    if words != ONLY_IN_THESE_FITS:
        return f"{words} of a difference ({first}, and {second})"
    allowing = f"but {second}, which allows for fitting the models anew"
    if not math.isfinite(test.p_corrected_t):
        allowing = f"but {NO_T_TEST}"
    return f"a difference {words} ({first}, {allowing}); models fitted anew may not show it"


def chance_in_words(model: Discrimination, folds: int) -> str:
    """Whether a model's AUROC is more than chance: a sentence; "" where it is undefined.

    Parameters
    ----------
    model : Discrimination
    folds : int
        Of the protocol, for the corrected t-test of the folds' AUROCs against 0.5.
    """
    if not math.isfinite(model.auroc.mean):
        return ""
    low, high = model.auroc.ci95
    if high < 0.5:
        return "That interval lies below 0.5: its ranking is worse than chance, which speaks for a fault or bad luck."
    if not low > 0.5:
        return "That interval includes 0.5, so there is no evidence that it does better than chance."
    p = p_against_chance(model, folds)
    if not math.isfinite(p):
        return (
            f"That is more than chance for these fits and these patients alone: {NO_T_TEST}, so this is no evidence "
            "that models fitted anew would do better than chance."
        )
    if p < 0.05:
        return (
            "That is more than chance, both for the models as they were fitted and by the corrected t-test (p "
            f"{with_sign(p)}), which allows for fitting them anew."
        )
    return (
        "That is more than chance for the models as they were fitted. The corrected t-test, which allows for fitting "
        f"them anew, gives no evidence of it (p {with_sign(p)}), so models fitted anew may do no better than chance."
    )


def p_against_chance(model: Discrimination, folds: int) -> float:
    """Two-sided p of the corrected resampled t-test of the folds' AUROCs against 0.5; NaN for one fold or all alike."""
    return corrected_resampled_t(np.array(model.fold_values("auroc")) - 0.5, 1.0 / (folds - 1))[1]
