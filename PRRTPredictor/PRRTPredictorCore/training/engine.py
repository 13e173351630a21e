"""The one door to fitting: many folds in, their results out.

A model is data: the registry entry's kind picks the fitter, the preset its settings. Every fold seeds itself from the
run's seed and its own name, so that the order of the folds changes no number, and company none but by rounding.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.registry import ModelSpec, model_spec
from ..records import FoldPredictions
from .ask import ask_network, shuffled_network_answers
from .data import TrainingData
from .heldout import HeldOutEmbeddings, HeldOutGradients, HeldOutPermutations
from .network import FoldToFit, NetworkFit, NetworkSetup, fit_network, fit_networks
from .permuting import shuffled_answers, tabular_groups
from .records import COLLAPSE_SD, FoldOutcome, FoldResult, FoldTask

if TYPE_CHECKING:
    from ..models.encoders import PretrainedEncoder
    from ..models.presets import Preset


@dataclass(frozen=True)
class FitSettings:
    """What every fit of a run shares; travels to worker processes.

    Attributes
    ----------
    preset : Preset
    seed : int
        The run's.
    device : str
        "cpu" or "cuda".
    ct_encoder : Path or None
        The run's copy of the pretrained CT encoder.
    """

    preset: Preset
    seed: int
    device: str = "cpu"
    ct_encoder: Path | None = None


def fold_seed(seed: int, task: FoldTask) -> int:
    """The seed of one fit: a hash of the run's seed and the fold's name."""
    name = f"{seed}|{task.model}|{task.repeat}|{task.fold}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")


def fit_folds(tasks: Sequence[FoldTask], data: TrainingData, settings: FitSettings) -> Iterator[FoldResult]:
    """Fit folds; the networks of one model are fitted side by side, everything else one by one.

    Parameters
    ----------
    tasks : sequence of FoldTask
        Any folds of any models.
    data : TrainingData
    settings : FitSettings

    Yields
    ------
    FoldResult
        One a task. A fit that meets non-finite numbers is stopped with a reason and still gives a result.
    """
    for model, members in groupby(tasks, key=lambda task: task.model):
        spec, group = model_spec(model), list(members)
        asked = group if spec.kind == "network" and len(group) > 1 else []
        begun = time.perf_counter()
        with one_thread(settings.device):
            fits = _fit_together(asked, spec, data, settings)
        share = (time.perf_counter() - begun) / len(group)
        for task in group:
            with one_thread(settings.device):
                company = len(group) if task in fits else 1
                result = _fit_one(task, data, settings, fits.get(task), share, company)
            yield result


def _fit_together(
    tasks: Sequence[FoldTask], spec: ModelSpec, data: TrainingData, settings: FitSettings
) -> dict[FoldTask, NetworkFit]:
    """The networks of these folds; none where the device's memory does not hold so many, so that each is fitted alone.

    Each outcome keeps how many folds were in its company; the results are the same to rounding.
    """
    if not tasks:
        return {}
    folds = [FoldToFit(data.rows(task.train), fold_seed(settings.seed, task)) for task in tasks]
    try:
        return dict(zip(tasks, fit_networks(network_setup(spec, settings), data, folds), strict=True))
    except torch.OutOfMemoryError:
        pass  # what was tried is freed before the memory is given back
    if settings.device == "cuda":
        torch.cuda.empty_cache()
    return {}


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """One thread on the CPU, whatever runs beside: sums in another order would be other numbers."""
    threads = torch.get_num_threads()
    devices = [torch.cuda.current_device()] if device == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)  # a collapsing network is full of denormals, which cost a hundredfold
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
            torch.set_num_threads(threads)


@dataclass(frozen=True, eq=False)
class _Answer:
    """What a fitter gives, whatever the kind of model."""

    logits: NDArray[np.float64]
    tensors: Mapping[str, torch.Tensor]
    gradients: HeldOutGradients
    embeddings: HeldOutEmbeddings | None = None
    permutations: HeldOutPermutations | None = None
    epochs: int = 0
    best_epoch: int = 0
    reason: str = ""


Fitter = Callable[[FoldTask, ModelSpec, TrainingData, FitSettings], _Answer]


def _fit_one(
    task: FoldTask, data: TrainingData, settings: FitSettings, fit: NetworkFit | None, share: float, company: int
) -> FoldResult:
    """The result of one fold; ``share`` are its seconds of a fit that was made together, with ``company`` folds."""
    begun = time.perf_counter() - share
    spec = model_spec(task.model)
    answer = FITTERS[spec.kind](task, spec, data, settings) if fit is None else _answer_of(fit, task, data, settings)
    logits, reason = _finite_or_prevalence(answer, data, task)
    collapsed = bool(np.std(logits) < COLLAPSE_SD)
    return FoldResult(
        task=task,
        predictions=FoldPredictions(
            model=task.model,
            repeat=task.repeat,
            fold=task.fold,
            codes=task.test,
            y=data.y[data.rows(task.test)],
            probability=1 / (1 + np.exp(-logits)),
            logit=logits,
            collapsed=collapsed,
        ),
        tensors=answer.tensors,
        outcome=FoldOutcome(
            finished_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            epochs=answer.epochs,
            best_epoch=answer.best_epoch,
            collapsed=collapsed,
            seconds=round(time.perf_counter() - begun, 3),
            device=torch.cuda.get_device_name() if settings.device == "cuda" else "cpu",
            reason=reason,
            folds_together=company,
        ),
        gradients=answer.gradients,
        embeddings=answer.embeddings,
        permutations=None if _untrained(answer) else answer.permutations,
    )


def _untrained(answer: _Answer) -> bool:
    """Whether a fit ended before it had learnt anything."""
    return bool(answer.reason) and answer.epochs == 0


def _finite_or_prevalence(answer: _Answer, data: TrainingData, task: FoldTask) -> tuple[NDArray[np.float64], str]:
    """The held-out logits; where nothing was learnt or an answer is no number, the log odds of the training fold."""
    share = float(data.y[data.rows(task.train)].mean())
    prevalence = np.log(share) - np.log1p(-share)
    finite = np.isfinite(answer.logits)
    if _untrained(answer):
        return np.full(len(answer.logits), prevalence), answer.reason
    if not finite.all():
        reason = answer.reason or f"{int((~finite).sum())} held-out patient(s) got an answer that is not a number."
        return np.where(finite, answer.logits, prevalence), reason
    return answer.logits, answer.reason


def _fit_forest(task: FoldTask, spec: ModelSpec, data: TrainingData, settings: FitSettings) -> _Answer:
    from ..models.forest import fit_forest

    train, test = data.rows(task.train), data.rows(task.test)
    seed = fold_seed(settings.seed, task) % 2**32
    forest = fit_forest(spec, settings.preset.forest, data.tabular[train], data.y[train], seed)
    tabular = data.tabular[test]

    def answer(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        return forest.predict(None, None, inputs)

    return _Answer(
        logits=answer(tabular),
        tensors=forest.to_tensors(),
        gradients=HeldOutGradients(
            task.test,
            data.feature_names,
            lab_contributions=forest.contributions(tabular),
            lab_method="decision path",
        ),
        permutations=shuffled_answers(tabular, tabular_groups(data.feature_names), answer, task, settings.seed),
    )


def _fit_network(task: FoldTask, spec: ModelSpec, data: TrainingData, settings: FitSettings) -> _Answer:
    fit = fit_network(network_setup(spec, settings), data, data.rows(task.train), fold_seed(settings.seed, task))
    return _answer_of(fit, task, data, settings)


def _answer_of(fit: NetworkFit, task: FoldTask, data: TrainingData, settings: FitSettings) -> _Answer:
    answers = ask_network(fit.fitted, data, data.rows(task.test))
    return _Answer(
        logits=answers.logits,
        tensors=fit.fitted.to_tensors(),
        gradients=answers.gradients,
        embeddings=answers.embeddings,
        permutations=shuffled_network_answers(fit.fitted, answers, data.feature_names, task, settings.seed),
        epochs=fit.epochs,
        best_epoch=fit.best_epoch,
        reason=fit.reason,
    )


FITTERS: Mapping[str, Fitter] = {"forest": _fit_forest, "network": _fit_network}


def network_setup(spec: ModelSpec, settings: FitSettings) -> NetworkSetup:
    """What the folds of one network share, its pretrained encoder included."""
    encoder = None
    stages = 0
    if spec.ct_encoder == "pretrained" and settings.ct_encoder is not None:
        from ..models.pretrained import stages_to_fit

        encoder = _encoder(settings.ct_encoder)
        stages = stages_to_fit(settings.preset, encoder, gpu=settings.device == "cuda")
    return NetworkSetup(spec, settings.preset, torch.device(settings.device), encoder, stages)


@lru_cache(maxsize=1)
def _encoder(path: Path) -> PretrainedEncoder:
    from ..models.encoder_files import read_encoder

    return read_encoder(path)
