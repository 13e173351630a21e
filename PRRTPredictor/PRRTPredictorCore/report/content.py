"""What the report says: everything it takes from a run folder, as one record, and that record put into words."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..evaluation.discrimination import Discrimination
from ..evaluation.significance import PairedComparison
from ..evaluation.summary import RunSummary, model_title, summarise_run
from ..evaluation.survival import KaplanMeier, LogRank, kaplan_meier, log_rank, predicted_groups
from ..models.registry import MODELS
from ..progress import Progress, silent
from ..records import CohortPatient, FoldPredictions
from ..training.cohortfile import RunCohort
from ..training.heldout import HeldOutEmbeddings, HeldOutGradients, HeldOutPermutations
from ..training.manifest import Manifest
from ..training.store import RunStore
from .figures.importance import LabImportance
from .request import EVERYTHING, ReportRequest

PAPER_PAIR = ("pet_labs", "pet")
"""The two models whose gradients the paper compares (Fig. 8 and 9), the richer first."""

PAPER_TABLE_TWO: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "rf_labs": ("0.59 ± 0.02", "0.67 ± 0.01"),
        "pet": ("0.42 ± 0.03", "0.58 ± 0.03"),
        "ct": ("0.54 ± 0.01", "0.57 ± 0.03"),
        "pet_labs": ("0.68 ± 0.01", "0.80 ± 0.01"),
        "ct_labs": ("0.62 ± 0.03", "0.72 ± 0.04"),
        "pet_ct_labs": ("0.69 ± 0.01", "0.80 ± 0.01"),
        "pet_ct_labs_pretrained": ("0.72 ± 0.01", "0.80 ± 0.02"),
    }
)
"""AUROC and AUPRC that the paper prints for its 116 patients."""


@dataclass(frozen=True, eq=False)
class GroupSurvival:
    """Survival of the patients whom a model puts into its two groups, out of fold.

    Attributes
    ----------
    long, short : KaplanMeier or None
        None where the model puts nobody there.
    test : LogRank or None
        None where there is one group only.
    """

    model: str
    long: KaplanMeier | None
    short: KaplanMeier | None
    test: LogRank | None


@dataclass(frozen=True, eq=False)
class RunContent:
    """A run as the report sees it; what folds left beside their predictions is read when a chapter asks for it.

    Attributes
    ----------
    run : Path
        The run folder.
    predictions : mapping of str to tuple of FoldPredictions
        Models with at least one finished fold, in the registry's order.
    progress : Progress
        For the steps inside a long chapter: ``content.progress("saliency", done, total, message)``.
    """

    run: Path
    request: ReportRequest
    store: RunStore
    summary: RunSummary
    predictions: Mapping[str, tuple[FoldPredictions, ...]]
    progress: Progress = silent
    _kept: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)

    @property
    def manifest(self) -> Manifest:
        """What the run is."""
        return self.store.manifest

    @property
    def cohort(self) -> RunCohort:
        """The cohort as the run remembers it."""
        return self.store.cohort

    @property
    def names(self) -> tuple[str, ...]:
        """Models with at least one finished fold, in the registry's order."""
        return tuple(self.predictions)

    @property
    def headline(self) -> Discrimination:
        """The model with the most inputs that has results: fixed by the registry's order, never by its score."""
        return self.summary.models[-1]

    @property
    def baseline(self) -> Discrimination | None:
        """Labs alone, where the run has it beside another model."""
        found = [model for model in self.summary.models if model.model == "rf_labs"]
        return found[0] if found and found[0] is not self.headline else None

    @property
    def pair(self) -> tuple[str, str] | None:
        """The two models to hold against each other, the one with more inputs first.

        What the reader asked for, in the order asked; else the paper's pair; else the two networks with the most inputs
        that share an image.
        """
        if self.request.compare is not None:
            return self.request.compare
        if set(PAPER_PAIR) <= set(self.names):
            return PAPER_PAIR
        return richest_pair(self.names)

    @property
    def long(self) -> Mapping[str, bool]:
        """Whether PFS was longer than one year, by study code."""
        return {patient.code: patient.outcome.long_pfs for patient in self.cohort.cohort.patients}

    def gradients(self, model: str) -> tuple[HeldOutGradients, ...]:
        """Gradient statistics of a model's finished folds, by repeat, then fold; folds without them are left out.

        Raises
        ------
        ModelRefused
            For a damaged file; likewise in the two below.
        """
        return tuple(found for _, found in self._held_out(model, "gradients"))

    def embeddings(self, model: str) -> tuple[HeldOutEmbeddings, ...]:
        """Fused embeddings of the held-out patients, in the same manner."""
        return tuple(found for _, found in self._held_out(model, "embeddings"))

    def permutations(self, model: str) -> tuple[tuple[FoldPredictions, HeldOutPermutations], ...]:
        """A fold's predictions beside its answers to shuffled inputs, in the same manner."""
        return self._held_out(model, "permutations")

    def _held_out(self, model: str, what: str) -> tuple[tuple[FoldPredictions, Any], ...]:
        if (model, what) not in self._kept:
            read = getattr(self.store, what)
            folds = ((fold, read(model, fold.repeat, fold.fold)) for fold in self.predictions.get(model, ()))
            self._kept[model, what] = tuple((fold, found) for fold, found in folds if found is not None)
        kept: tuple[tuple[FoldPredictions, Any], ...] = self._kept[model, what]
        return kept

    @property
    def importance(self) -> tuple[LabImportance, ...]:
        """Of the models whose finished folds kept lab contributions."""
        found = (_importance(self, name) for name in self.names)
        return tuple(one for one in found if one is not None)

    @property
    def stopped(self) -> tuple[str, ...]:
        """Fits that were cut short, in words."""
        return tuple(
            f"{model_title(name)}, fold {fold.repeat}-{fold.fold}: {reason}"
            for name, folds in self.predictions.items()
            for fold in folds
            if (reason := self.store.outcome(name, fold.repeat, fold.fold).reason)
        )

    @property
    def patients(self) -> Mapping[str, CohortPatient]:
        """The cohort by study code."""
        return {patient.code: patient for patient in self.cohort.cohort.patients}

    def cohort_survival(self) -> KaplanMeier:
        """PFS of the whole cohort."""
        months, event = _follow_up(tuple(self.patients.values()))
        return kaplan_meier(months, event)

    def group_survival(self, model: str) -> GroupSurvival:
        """PFS by the group that a model predicts (paper, Fig. 5), each patient once."""
        groups, known = predicted_groups(self.predictions[model]), self.patients
        members = tuple(known[code] for code in groups.codes)
        months, event = _follow_up(members)
        long = groups.long
        ticks = kaplan_meier(months, event).ticks

        def curve(of: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> KaplanMeier | None:
            return kaplan_meier(months[of], event[of], ticks) if of.any() else None

        test = log_rank(months, event, long.astype(np.int64))
        return GroupSurvival(model, long=curve(long), short=curve(~long), test=test)


def read_content(run: Path, request: ReportRequest = EVERYTHING, progress: Progress = silent) -> RunContent:
    """Evaluate a run folder (which also writes its metrics) and gather what the report shows.

    Raises
    ------
    InputRefused
        ``NOT_IN_RUN`` for a request that this run cannot serve, before anything is computed.
    ModelRefused, RunFailed
        As :func:`PRRTPredictorCore.evaluation.summary.summarise_run`.
    """
    store = RunStore(run)
    request.require(
        models=[name for name in store.manifest.models if store.finished(name)],
        patients=[patient.code for patient in store.cohort.cohort.patients],
    )
    summary = summarise_run(run)
    predictions = {model.model: store.predictions(model.model) for model in summary.models}
    return RunContent(run, request, store, summary, predictions, progress)


def richest_pair(names: Collection[str]) -> tuple[str, str] | None:
    """The two networks with the most inputs that share an image, the richer first; None where there are no two."""
    networks = [spec for spec in MODELS.values() if spec.name in names and spec.kind == "network"]
    richest = sorted(networks, key=lambda spec: len(spec.inputs))[::-1]  # of equals, the later in the registry
    for first, second in combinations(richest, 2):
        if (first.uses_pet and second.uses_pet) or (first.uses_ct and second.uses_ct):
            return first.name, second.name
    return None


# --- in words ---------------------------------------------------------------------------------------------------------


def in_brief(content: RunContent) -> tuple[str, ...]:
    """The result in a few sentences, without more confidence than the numbers carry."""
    head, summary = content.headline, content.summary
    low, high = head.auroc.ci95
    sentences = [
        f"{model_title(head.model)}, the model with the most inputs, reached an AUROC of {head.auroc.mean:.2f} "
        f"(95 % interval {low:.2f} to {high:.2f}): shown one patient with long and one with short PFS, it ranks the "
        f"two rightly {100 * head.auroc.mean:.0f} times in 100. Chance would be 50."
        if math.isfinite(low)
        else f"{model_title(head.model)}, the model with the most inputs, could not be scored: no finished fold holds "
        "both outcomes."
    ]
    if math.isfinite(low) and low <= 0.5 <= high:
        sentences.append("That interval includes 0.5, so there is no evidence that it does better than chance.")
    against_labs = [
        test for test in summary.significance.paired if (test.model, test.reference) == (head.model, "rf_labs")
    ]
    sentences += [comparison_in_words(test) for test in against_labs]
    collapsed = sum(model.collapsed_folds for model in summary.models)
    if collapsed:
        which = "1 fit collapsed" if collapsed == 1 else f"{collapsed} fits collapsed"
        sentences.append(f"{which} to the same answer for everyone, as named below Table 2.")
    return tuple(sentences)


def comparison_in_words(test: PairedComparison) -> str:
    """One paired comparison as a sentence; says "no evidence" where there is none."""
    direction = "higher" if test.difference >= 0 else "lower"
    return (
        f"Its AUROC is {abs(test.difference):.2f} {direction} than that of {model_title(test.reference)}: "
        f"{evidence(test.p_holm)} of a difference (p {with_sign(test.p_holm)}, corrected for "
        "the number of comparisons)."
    )


def evidence(p: float) -> str:
    """How much a corrected p-value supports a difference, in words."""
    if not p < 0.05:
        return "no evidence"
    return "some evidence" if p >= 0.01 else "clear evidence"


def printed_p(p: float) -> str:
    """A p-value with no more figures than it deserves."""
    if not math.isfinite(p):
        return "–"
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def with_sign(p: float) -> str:
    """A p-value after the letter p: "= 0.009", "< 0.001"."""
    printed = printed_p(p)
    return printed if printed.startswith("<") else f"= {printed}"


def collapsed_folds(summary: RunSummary) -> tuple[str, ...]:
    """Name every collapsed fold, one entry a model: "SR-PET: 0-1, 3-2" (repeat-fold, as in the run folder)."""
    return tuple(
        f"{model_title(model.model)}: "
        + ", ".join(f"{fold.repeat}-{fold.fold}" for fold in model.folds if fold.collapsed)
        for model in summary.models
        if model.collapsed_folds
    )


def what_is_missing(content: RunContent) -> tuple[str, ...]:
    """What a complete run of this kind would hold besides, in sentences."""
    summary = content.summary
    whole = summary.folds * summary.repeats
    missing = [
        f"{model_title(name)}: {count} of {whole} fits are not finished. Repeat the prrt train command to resume."
        for name, count in summary.missing_folds.items()
    ]
    absent = [name for name in PAPER_TABLE_TWO if name not in summary.asked]
    if absent:
        missing.append("Not part of this run: " + ", ".join(model_title(name) for name in absent) + ".")
    if content.cohort.cohort.pet_interval.known == 0:
        missing.append("The interval from PET to the first cycle is unknown, because dates are not in the cohort.")
    return tuple(missing)


def pretrained_in_words(manifest: Manifest) -> str:
    """Where the pretrained CT encoder came from."""
    if manifest.pretrained is None:
        return "none in this run"
    return f"{manifest.pretrained.source} (weights {manifest.pretrained.sha256[:12]}…)"


# --- gathering --------------------------------------------------------------------------------------------------------


def _importance(content: RunContent, model: str) -> LabImportance | None:
    stored = content.gradients(model)
    by_fold = np.array(
        [np.abs(one.lab_contributions).mean(axis=0) for one in stored if one.lab_contributions is not None]
    )
    if not by_fold.size:
        return None
    names, method = stored[0].feature_names, stored[0].lab_method
    unit = "in logits" if method == "gradient x input" else "in probability"
    return LabImportance(model=model, names=names, by_fold=by_fold, method=method, unit=unit)


def _follow_up(
    patients: tuple[CohortPatient, ...],
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    months = np.array([patient.outcome.pfs_months for patient in patients], dtype=np.float64)
    event = np.array([patient.outcome.event for patient in patients], dtype=np.bool_)
    return months, event
