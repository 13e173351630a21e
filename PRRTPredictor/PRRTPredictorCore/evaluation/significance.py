"""Is one model better than another? Patient-level paired permutation first, the corrected resampled t-test second.

The fold values of a repeated cross-validation share their patients, so tests that take them for independent (the
paper's Mann–Whitney between model families) find differences where there are none. The primary test swaps patients.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import Code, RunFailed
from ..records import FoldPredictions
from .discrimination import concordance, score_fold
from .families import FamilyComparison
from .resampling import Floats, check_folds, patient_codes, positions

PERMUTATIONS = 20_000
PRIMARY = "primary: patient-level paired permutation"
SECONDARY = "secondary: Nadeau–Bengio corrected resampled t"

PLANNED_COMPARISONS: tuple[tuple[str, str], ...] = (
    ("pet_labs", "pet"),
    ("pet_labs", "rf_labs"),
    ("ct_labs", "ct"),
    ("ct_labs", "rf_labs"),
    ("pet_ct_labs", "pet_labs"),
    ("pet_ct_labs", "ct_labs"),
    ("pet_ct_labs", "rf_labs"),
    ("pet_ct_labs_pretrained", "pet_ct_labs"),
    ("pet_ct_labs_pretrained", "rf_labs"),
)
"""(richer, poorer): what adding a modality, or pretraining, buys. Fixed before any result is seen; Holm spans it."""


@dataclass(frozen=True)
class PairedComparison:
    """Two models on the same patients.

    Attributes
    ----------
    model, reference : str
        The richer model and the one it is held against.
    difference : float
        Mean AUROC of ``model`` minus that of ``reference``, over the folds that both finished.
    p_permutation : float
        Two-sided, (b + 1) / (permutations + 1).
    p_holm : float
        The same after Holm's correction over the comparisons made together.
    t_corrected, p_corrected_t : float
        Nadeau–Bengio corrected resampled t over the fold differences; NaN where the folds leave nothing to judge by.
    folds : int
        Folds that entered.
    """

    model: str
    reference: str
    difference: float
    p_permutation: float
    p_holm: float
    t_corrected: float
    p_corrected_t: float
    folds: int
    permutations: int


@dataclass(frozen=True)
class Significance:
    """Every test of a run."""

    paired: tuple[PairedComparison, ...]
    families: tuple[FamilyComparison, ...]


# --- primary ----------------------------------------------------------------------------------------------------------


def paired_permutation(
    model: Sequence[FoldPredictions],
    reference: Sequence[FoldPredictions],
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> tuple[float, float]:
    """Swap two models' out-of-fold scores patient by patient, in all repeats at once.

    Scores are replaced by their ranks within the fold first, so that models on different scales can be exchanged.
    Under the null hypothesis that the two models know equally much about each patient, every such swap is as likely
    as the data seen, but for ranks that depend a little on the others of the fold: at 0.05 the test rejects 5 to 7 % of
    simulated null sets of 116 patients (Testing/Benchmarks). It takes the fitted models as given. What luck with their
    training patients adds, shared by all patients of a fold, it does not see; the corrected resampled t allows for it.

    With u = +1 for a patient kept and -1 for one swapped, the difference of the two AUROCs after swapping is *linear*
    in u. For a pair of one long patient i and one short patient j, write AA, AB, BA, BB for the concordance of i's
    and j's ranks when taken from the model (A) or the reference (B): the pair adds
    (AA - BB)(u_i + u_j)/2 + (AB - BA)(u_i - u_j)/2. Summed over pairs and averaged over folds, one weight a patient
    remains and a permutation is a dot product; ties are exact.

    Parameters
    ----------
    model, reference : sequence of FoldPredictions
        The same folds of two models; patients may come in any order.
    permutations : int
    seed : int

    Returns
    -------
    difference : float
        Mean over folds and repeats of AUROC(model) - AUROC(reference).
    p : float
        Two-sided, (b + 1) / (permutations + 1).

    Raises
    ------
    RunFailed
        ``RUN_MISMATCH`` when the two models' folds hold different patients.
    """
    weights = swap_weights(model, reference)
    difference = float(weights.sum())
    rng = np.random.default_rng(seed)
    # A hair of tolerance: sums of the same numbers in another order must count as equal to the observed one.
    bound = abs(difference) - 1e-12
    extreme = 0
    for start in range(0, permutations, 4096):
        size = min(4096, permutations - start)
        kept = rng.integers(0, 2, size=(size, weights.size)) * 2 - 1
        extreme += int(np.count_nonzero(np.abs(kept @ weights) >= bound))
    return difference, (extreme + 1) / (permutations + 1)


def swap_weights(model: Sequence[FoldPredictions], reference: Sequence[FoldPredictions]) -> Floats:
    """One weight a patient; their sum is the observed difference, their sum under signs a permuted one.

    Returns
    -------
    ndarray, shape (patients,)
        In the order of :func:`patient_codes`.
    """
    from scipy.stats import rankdata

    pairs = [(a, b) for a, b in matched_folds(model, reference) if 0 < a.y.sum() < a.y.size]
    codes = patient_codes(a for a, _ in pairs)
    weights = np.zeros(len(codes))
    repeats = [a.repeat for a, _ in pairs]
    for a, b in pairs:
        share = 1.0 / (len(set(repeats)) * repeats.count(a.repeat))
        long = a.y == 1
        rank_a, rank_b = rankdata(a.probability), rankdata(b.probability)
        own = concordance(rank_a[long], rank_a[~long]) - concordance(rank_b[long], rank_b[~long])
        mixed = concordance(rank_a[long], rank_b[~long]) - concordance(rank_b[long], rank_a[~long])
        per_pair = 0.5 * share / (long.sum() * (~long).sum())
        place = positions(codes, a)
        weights[place[long]] += per_pair * (own + mixed).sum(axis=1)
        weights[place[~long]] += per_pair * (own - mixed).sum(axis=0)
    return weights


def matched_folds(
    model: Sequence[FoldPredictions], reference: Sequence[FoldPredictions]
) -> list[tuple[FoldPredictions, FoldPredictions]]:
    """Folds that both models finished, the reference's patients brought into the model's order.

    Raises
    ------
    RunFailed
        ``RUN_MISMATCH`` when a common fold holds different patients or outcomes.
    """
    others = {(fold.repeat, fold.fold): fold for fold in reference}
    pairs = []
    for fold in sorted(model, key=lambda fold: (fold.repeat, fold.fold)):
        other = others.get((fold.repeat, fold.fold))
        if other is None:
            continue
        place = {code: index for index, code in enumerate(other.codes)}
        if set(place) != set(fold.codes):
            raise _different_patients(fold, other)
        order = np.array([place[code] for code in fold.codes])
        if not np.array_equal(other.y[order], fold.y):
            raise _different_patients(fold, other)
        aligned = FoldPredictions(
            model=other.model,
            repeat=other.repeat,
            fold=other.fold,
            codes=fold.codes,
            y=other.y[order],
            probability=other.probability[order],
            logit=other.logit[order],
            collapsed=other.collapsed,
        )
        pairs.append((fold, aligned))
    return pairs


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down correction; keeps the order of ``p_values``."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return tuple(float(value) for value in adjusted)


# --- secondary --------------------------------------------------------------------------------------------------------


def corrected_resampled_t(differences: Floats, test_share: float) -> tuple[float, float]:
    """Nadeau and Bengio's corrected resampled t-test (Machine Learning 52, 2003).

    Parameters
    ----------
    differences : ndarray, shape (J,)
        One difference a fold.
    test_share : float
        Test patients over training patients, n2 / n1; 1 / (folds - 1) in k-fold cross-validation.

    Returns
    -------
    t, p : float
        Two-sided, J - 1 degrees of freedom. NaN below two folds, and where all folds differ by the same amount: a few
        small folds do so by their coarseness, and no spread is nothing to judge a mean by.
    """
    from scipy.stats import t as student

    known = differences[np.isfinite(differences)]
    if known.size < 2:
        return float("nan"), float("nan")
    mean, variance = float(known.mean()), float(known.var(ddof=1))
    if np.isclose(mean, 0.0, atol=1e-15):
        return 0.0, 1.0
    spread = np.sqrt((1.0 / known.size + test_share) * variance)
    # Equal differences leave a spread of rounding errors.
    if spread < 1e-12 * abs(mean):
        return float("nan"), float("nan")
    t = mean / spread
    return float(t), float(2.0 * student.sf(abs(t), known.size - 1))


def compare_pair(
    model: Sequence[FoldPredictions],
    reference: Sequence[FoldPredictions],
    test_share: float,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> PairedComparison:
    """Both patient-honest tests of one pair of models; ``p_holm`` is that of a single comparison.

    Raises
    ------
    RunFailed
        When the models share no fold with both outcomes, or their folds hold different patients.
    """
    check_folds(model)
    check_folds(reference)
    pairs = [(a, b) for a, b in matched_folds(model, reference) if 0 < a.y.sum() < a.y.size]
    if not pairs:
        raise RunFailed(
            Code.RUN_INCOMPLETE,
            "The two models share no finished fold with both outcomes.",
            where=f"{model[0].model} against {reference[0].model}",
            remedy="Resume the run until both models have finished the same folds.",
        )
    difference, p = paired_permutation(model, reference, permutations, seed)
    by_fold = np.array([score_fold(a).auroc - score_fold(b).auroc for a, b in pairs])
    t, p_t = corrected_resampled_t(by_fold, test_share)
    return PairedComparison(
        model=model[0].model,
        reference=reference[0].model,
        difference=difference,
        p_permutation=p,
        p_holm=p,
        t_corrected=t,
        p_corrected_t=p_t,
        folds=len(pairs),
        permutations=permutations,
    )


def compare_planned(
    predictions: Mapping[str, Sequence[FoldPredictions]],
    test_share: float,
    comparisons: Iterable[tuple[str, str]] = PLANNED_COMPARISONS,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> tuple[PairedComparison, ...]:
    """The comparisons whose two models share finished folds, with Holm's correction over them."""
    made = []
    for richer, poorer in comparisons:
        a, b = predictions.get(richer, ()), predictions.get(poorer, ())
        if any(0 < fold.y.sum() < fold.y.size for fold, _ in matched_folds(a, b)):
            made.append(compare_pair(a, b, test_share, permutations, seed))
    corrected = holm([comparison.p_permutation for comparison in made])
    return tuple(replace(comparison, p_holm=p) for comparison, p in zip(made, corrected, strict=True))


def _different_patients(fold: FoldPredictions, other: FoldPredictions) -> RunFailed:
    return RunFailed(
        Code.RUN_MISMATCH,
        "Two models were tested on different patients in the same fold and cannot be compared in pairs.",
        where=f"{fold.model} against {other.model}, repeat {fold.repeat}, fold {fold.fold}",
        remedy="Compare models of one run; all of them share its splits.json.",
    )
