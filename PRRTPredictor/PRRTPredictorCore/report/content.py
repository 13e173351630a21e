"""Everything that a report takes from a run folder, as one record."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from ..errors import ModelRefused
from ..evaluation.discrimination import Discrimination
from ..evaluation.summary import RunSummary, model_title, summarise_run
from ..models.registry import MODELS
from ..progress import Progress, silent
from ..records import CohortPatient, FoldPredictions
from ..training.cohortfile import RunCohort
from ..training.heldout import HeldOutEmbeddings, HeldOutGradients, HeldOutPermutations
from ..training.manifest import Manifest
from ..training.store import RunStore
from .request import EVERYTHING, ReportRequest

PAPER_PAIR = ("pet_labs", "pet")
"""The two models whose gradients the paper compares (Fig. 8 and 9), the richer first."""


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
    _damage: list[str] = field(default_factory=list, repr=False)

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
        """The model with the most inputs that has results, of equals the last in the registry, never by score."""
        return self.summary.models[-1]

    @property
    def headline_role(self) -> str:
        """What the headline model is among those with results, in words."""
        most = len(MODELS[self.headline.model].inputs)
        as_many = sum(len(MODELS[model.model].inputs) == most for model in self.summary.models)
        if as_many == len(self.summary.models) == 1:
            return "the only model with results"
        return (
            "the model with the most inputs that has results"
            if as_many == 1
            else "chosen beforehand among the models with the most inputs"
        )

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
        return usual_pair(self.names)

    @property
    def long(self) -> Mapping[str, bool]:
        """Whether PFS was longer than one year, by study code."""
        return {patient.code: patient.outcome.long_pfs for patient in self.cohort.cohort.patients}

    def gradients(self, model: str) -> tuple[HeldOutGradients, ...]:
        """Gradient statistics of a model's finished folds, by repeat, then fold.

        Folds without them are left out; so are damaged files, which :attr:`damage` then names.
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
            folds = ((fold, self._read(what, fold)) for fold in self.predictions.get(model, ()))
            self._kept[model, what] = tuple((fold, found) for fold, found in folds if found is not None)
        kept: tuple[tuple[FoldPredictions, Any], ...] = self._kept[model, what]
        return kept

    def _read(self, what: str, fold: FoldPredictions) -> Any:
        try:
            return getattr(self.store, what)(fold.model, fold.repeat, fold.fold)
        except ModelRefused as problem:
            self._damage.append(f"{problem.message} {problem.remedy}")
            return None

    @property
    def damage(self) -> tuple[str, ...]:
        """Folds that chapters had to do without so far, in sentences that say how to get them back."""
        return tuple(dict.fromkeys(self._damage))

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


def usual_pair(names: Collection[str]) -> tuple[str, str] | None:
    """The two models that a report compares unasked: the paper's, else as :func:`richest_pair`."""
    return PAPER_PAIR if set(PAPER_PAIR) <= set(names) else richest_pair(names)


def richest_pair(names: Collection[str]) -> tuple[str, str] | None:
    """The two networks with the most inputs that share an image, the richer first; None where there are no two."""
    networks = [spec for spec in MODELS.values() if spec.name in names and spec.kind == "network"]
    richest = sorted(networks, key=lambda spec: len(spec.inputs))[::-1]  # of equals, the later in the registry
    for first, second in combinations(richest, 2):
        if (first.uses_pet and second.uses_pet) or (first.uses_ct and second.uses_ct):
            return first.name, second.name
    return None
