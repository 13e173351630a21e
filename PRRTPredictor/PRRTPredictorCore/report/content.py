"""What the report says: everything it takes from a run folder, as one record, and that record put into words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..evaluation.discrimination import Discrimination
from ..evaluation.significance import PairedComparison
from ..evaluation.summary import RunSummary, model_title, summarise_run
from ..evaluation.survival import KaplanMeier, LogRank, kaplan_meier, log_rank, predicted_groups
from ..records import CohortPatient, FoldPredictions
from ..training.cohortfile import RunCohort
from ..training.manifest import Manifest
from ..training.store import RunStore
from .figures.importance import LabImportance

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
    """A run as the report sees it.

    Attributes
    ----------
    predictions : mapping of str to tuple of FoldPredictions
        Models with at least one finished fold, in the registry's order.
    importance : tuple of LabImportance
        Of the models whose finished folds kept lab contributions.
    stopped : tuple of str
        Fits that were cut short, in words.
    """

    manifest: Manifest
    cohort: RunCohort
    summary: RunSummary
    predictions: Mapping[str, tuple[FoldPredictions, ...]]
    importance: tuple[LabImportance, ...]
    stopped: tuple[str, ...]

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


def read_content(run: Path) -> RunContent:
    """Evaluate a run folder (which also writes its metrics) and gather what the report shows.

    Raises
    ------
    ModelRefused, RunFailed
        As :func:`PRRTPredictorCore.evaluation.summary.summarise_run`.
    """
    summary = summarise_run(run)
    store = RunStore(run)
    names = [model.model for model in summary.models]
    importance = (_importance(store, name) for name in names)
    return RunContent(
        manifest=store.manifest,
        cohort=store.cohort,
        summary=summary,
        predictions={name: store.predictions(name) for name in names},
        importance=tuple(found for found in importance if found is not None),
        stopped=tuple(
            f"{model_title(name)}, fold {task.repeat}-{task.fold}: {reason}"
            for name in names
            for task in store.finished(name)
            if (reason := store.outcome(name, task.repeat, task.fold).reason)
        ),
    )


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


def _importance(store: RunStore, model: str) -> LabImportance | None:
    by_fold = []
    names: tuple[str, ...] = ()
    method = ""
    for task in store.finished(model):
        stored = store.gradients(model, task.repeat, task.fold)
        if stored is None or stored.lab_contributions is None:
            continue
        by_fold.append(np.abs(stored.lab_contributions).mean(axis=0))
        names, method = stored.feature_names, stored.lab_method
    if not by_fold:
        return None
    unit = "in logits" if method == "gradient x input" else "in probability"
    return LabImportance(model=model, names=names, by_fold=np.stack(by_fold), method=method, unit=unit)


def _follow_up(
    patients: tuple[CohortPatient, ...],
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    months = np.array([patient.outcome.pfs_months for patient in patients], dtype=np.float64)
    event = np.array([patient.outcome.event for patient in patients], dtype=np.bool_)
    return months, event
