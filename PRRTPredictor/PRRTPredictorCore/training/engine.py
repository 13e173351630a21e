"""The one door to fitting: many folds in, their results out.

A model is data: the registry entry's kind picks the fitter, the preset its settings. Every fold seeds itself from the
run's seed and its own name, so that the order of the folds changes no number, and company none but by rounding.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Code
from ..models.registry import ModelSpec, model_spec
from ..records import FoldPredictions
from ..shortage import is_out_of_memory, memory_told
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

    Where the device's memory does not hold so many, they are fitted in two halves, each of which is halved again where
    that is still too much. The results are the same to rounding, and tell which groups were halved.

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

    Raises
    ------
    RunFailed
        ``OUT_OF_MEMORY`` when not even one fold can be fitted.
    """
    for model, members in groupby(tasks, key=lambda task: task.model):
        group, side_by_side = tuple(members), model_spec(model).kind == "network"
        waiting: list[tuple[FoldTask, ...]] = [group] if side_by_side else [(task,) for task in group]
        halved: list[FoldTask] = []
        while waiting:
            company = waiting.pop(0)
            begun = time.perf_counter()
            fits = _fit_together(company, data, settings) if len(company) > 1 else {}
            if fits is None:
                halved.append(company[0])
                waiting[:0] = halves(company)
                continue
            share = (time.perf_counter() - begun) / len(company)
            for task in company:
                with one_thread(settings.device), memory_told():
                    result = _fit_one(task, data, settings, fits.get(task), share, len(company))
                yield replace(result, halved=tuple(halved))
                halved.clear()


def halves(group: tuple[FoldTask, ...]) -> list[tuple[FoldTask, ...]]:
    """A group as its first half, which is the larger one of an odd number, and its second."""
    middle = -(-len(group) // 2)
    return [group[:middle], group[middle:]]


def _fit_together(
    tasks: Sequence[FoldTask], data: TrainingData, settings: FitSettings
) -> dict[FoldTask, NetworkFit] | None:
    """The networks of these folds of one model; None where the device's memory does not hold so many."""
    setup = network_setup(model_spec(tasks[0].model), settings)
    folds = [FoldToFit(data.rows(task.train), fold_seed(settings.seed, task)) for task in tasks]
    try:
        with one_thread(settings.device):
            return dict(zip(tasks, fit_networks(setup, data, folds), strict=True))
    except (MemoryError, RuntimeError) as problem:
        if not is_out_of_memory(problem):
            raise
    # Out here, where what was tried has been freed.
    if settings.device == "cuda":
        torch.cuda.empty_cache()
    return None


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
    with np.errstate(over="ignore"):  # of a patient far beyond all others: the limit is right
        probability = 1 / (1 + np.exp(-logits))
    collapsed = bool(np.std(logits) < COLLAPSE_SD)
    return FoldResult(
        task=task,
        predictions=FoldPredictions(
            model=task.model,
            repeat=task.repeat,
            fold=task.fold,
            codes=task.test,
            y=data.y[data.rows(task.test)],
            probability=probability,
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
        **_readable(answer),
    )


def _readable(answer: _Answer) -> dict[str, Any]:
    """What a fold leaves besides its predictions, without what numbers that are not finite make unreadable."""
    gradients, embeddings, permutations = answer.gradients, answer.embeddings, answer.permutations
    labs = gradients.lab_contributions
    if labs is not None and not np.isfinite(labs).all():
        gradients = replace(gradients, lab_contributions=None, lab_method="none")
    if embeddings is not None and not np.isfinite(embeddings.values).all():
        embeddings = None
    if permutations is not None and (_untrained(answer) or not np.isfinite(permutations.logits).all()):
        permutations = None
    return {"gradients": gradients, "embeddings": embeddings, "permutations": permutations}


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
    learnt, tabular = data.tabular[train], data.tabular[test]
    reason = "" if np.isfinite(learnt).all() else f"{Code.NOT_FINITE.value}: A tabular input is not a number."
    if reason:
        learnt = np.zeros_like(learnt)  # from which a forest learns nothing but the prevalence
    forest = fit_forest(spec, settings.preset.forest, learnt, data.y[train], seed)

    def answer(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        # A comparison with NaN is false and one with infinity true, so that a tree answers whatever it is asked.
        return np.where(np.isfinite(inputs).all(axis=1), forest.predict(None, None, inputs), np.nan)

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
        reason=reason,
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
