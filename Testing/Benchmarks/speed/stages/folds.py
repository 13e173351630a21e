"""The 15 folds of one image model, against a plain PyTorch loop and MONAI's loaders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..side_by_side import Absent, Contender, Limit, Peer, Stage
from ..workplace import Workplace

if TYPE_CHECKING:
    import torch

    from PRRTPredictorCore.models.fusion import FusionNetwork
    from PRRTPredictorCore.models.presets import Preset
    from PRRTPredictorCore.training.data import TrainingData
    from PRRTPredictorCore.training.records import FoldTask

MODEL = "pet_labs"
PATIENTS, EPOCHS = 116, 21
AUROC_TOLERANCE = 0.02
"""Between all folds here and there. The peers' histogram is a chain of float32 means, whose rounding shows in the
logarithm of nearly empty bins: held-out logits lie some hundredths apart after training."""
CHECKED_EPOCHS, LOGIT_TOLERANCE = 8, 1e-3
"""Between a fold of ours and of the plain loop with our histogram, at one thread: only the order of sums differs. Every
further epoch doubles what rounding began."""
WORK = (
    f"`{MODEL}`, {PATIENTS} SYNTHETIC patients at 75 x 50 x 50, 3 folds x 5 repeats, {EPOCHS} epochs of preset tuned "
    "(the fewest it trains) without augmentation: the same first weights, batches of 8 in the same order, dropped "
    "features, AdamW, schedule, clipping and weight average; ours starts its worker processes anew and leaves saliency "
    "histograms, embeddings and shuffled answers besides"
)
Answers = dict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.float64]]]
"""Outcomes and logits of the held-out patients, by repeat and fold."""


def stages(bench: Workplace) -> Iterator[Stage | Absent]:
    """On the CPU, and on a GPU where there is one."""
    cores = bench.machine.cores
    yield Stage(
        "folds-cpu",
        "15 folds of one image model, CPU",
        WORK,
        Contender("PRRTPredictor", lambda: _ours(bench, "cpu", cores), f"{cores} processes at one thread"),
        (
            Peer(Contender("plain PyTorch loop", lambda: _loop(bench, "cpu", _plain_batches)), 0.65),
            Peer(Contender("MONAI CacheDataset + ThreadDataLoader", lambda: _loop(bench, "cpu", _monai_batches)), 0.65),
        ),
        lambda ours, theirs: _check(bench, ours, theirs),
        _limit(bench),
        repeats=2,
    )
    title = "15 folds of one image model, GPU"
    if not bench.device:
        yield Absent("folds-gpu", title, WORK, "no GPU at hand")
        return
    yield Stage(
        "folds-gpu",
        title,
        WORK,
        Contender("PRRTPredictor", lambda: _ours(bench, "cuda", 1), "folds side by side in one process"),
        (
            Peer(Contender("plain PyTorch loop", lambda: _loop(bench, "cuda", _plain_batches)), 0.12),
            Peer(
                Contender("MONAI CacheDataset + ThreadDataLoader", lambda: _loop(bench, "cuda", _monai_batches)), 0.12
            ),
        ),
        lambda ours, theirs: _check(bench, ours, theirs),
        repeats=3,
    )


@cache
def _data(bench: Workplace) -> TrainingData:
    from PRRTPredictorCore.cohort.table import read_cohort
    from PRRTPredictorCore.imaging.cache import prepare_cohort
    from PRRTPredictorCore.training.data import gather_training_data

    cohort = read_cohort(bench.cohort(PATIENTS))
    prepared = prepare_cohort(cohort.patients, cache_dir=bench.folder / "folds-cache", jobs=bench.machine.cores)
    return gather_training_data(cohort, prepared)[0]


@cache
def _tasks(bench: Workplace) -> list[FoldTask]:
    from PRRTPredictorCore.training.records import FoldTask
    from PRRTPredictorCore.training.splits import make_splits

    data = _data(bench)
    splits = make_splits(data.codes, data.y.tolist(), folds=3, repeats=5, seed=0)
    return [FoldTask(MODEL, split.repeat, split.fold, split.train, split.test) for split in splits]


def _preset(epochs: int = EPOCHS) -> Preset:
    from PRRTPredictorCore.models.presets import TUNED

    return replace(TUNED, epochs=epochs, patience=0, inner_validation=0.0, augmentation=None)


def _ours(bench: Workplace, device: str, jobs: int) -> Answers:
    from joblib.externals.loky import get_reusable_executor

    from PRRTPredictorCore.training.engine import FitSettings
    from PRRTPredictorCore.training.workers import LocalWorkers

    get_reusable_executor().shutdown(wait=True)  # a run starts its workers, and so do we in every round
    tasks = _tasks(bench)
    groups = [[task] for task in tasks] if device == "cpu" else [tasks]
    results = LocalWorkers(jobs).fit(groups, _data(bench), FitSettings(_preset(), 0, device))
    return {
        (result.task.repeat, result.task.fold): (result.predictions.y, result.predictions.logit) for result in results
    }


class Shuffled:
    """The order of the patients in every epoch, drawn as ours is, so that all contenders see the same batches."""

    def __init__(self, patients: int, generator: torch.Generator) -> None:
        self.patients, self.generator = patients, generator

    def __len__(self) -> int:
        return self.patients

    def __iter__(self) -> Iterator[int]:
        import torch

        return iter(torch.randperm(self.patients, generator=self.generator).tolist())


Loader = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor", Shuffled], Iterable[tuple[Any, Any, Any]]]


def _loop(
    bench: Workplace,
    device: str,
    load: Loader,
    tasks: Sequence[FoldTask] | None = None,
    build: Callable[[], FusionNetwork] | None = None,
    epochs: int = EPOCHS,
) -> Answers:
    """One fold after the other, as a user would write it."""
    import torch

    from PRRTPredictorCore.imaging.normalise import ImageNormaliser, TabularNormaliser
    from PRRTPredictorCore.training.engine import fold_seed

    data, preset, answers = _data(bench), _preset(), {}
    for task in tasks or _tasks(bench):
        torch.manual_seed(fold_seed(0, task))
        generator = torch.Generator().manual_seed(fold_seed(0, task))
        train, test = data.rows(task.train), data.rows(task.test)
        scale = ImageNormaliser.fit(data.iterate("pet", train), preset.suv_window)
        table = TabularNormaliser.fit(data.tabular[train], preset.log_labs)

        def inputs(rows: Any, scale: Any = scale, table: Any = table) -> tuple[torch.Tensor, torch.Tensor]:
            images = torch.stack([torch.from_numpy(scale.apply(image)) for image in data.iterate("pet", rows)])
            return images.unsqueeze(1), torch.from_numpy(table.apply(data.tabular[rows]))

        network = (build or _plain_network)().to(device)
        outcomes = torch.from_numpy(data.y[train].astype(np.float32))
        batches = load(*inputs(train), outcomes, Shuffled(len(train), generator))
        _fit(network, batches, len(train), generator, device, epochs)
        with torch.no_grad():
            pet, labs = inputs(test)
            parts = zip(pet.split(8), labs.split(8), strict=True)
            logits = torch.cat([network(p.to(device), None, t.to(device)).cpu() for p, t in parts])
        answers[task.repeat, task.fold] = (data.y[test], logits.double().numpy())
    return answers


def _fit(
    network: FusionNetwork,
    batches: Iterable[tuple[Any, Any, Any]],
    patients: int,
    generator: torch.Generator,
    device: str,
    epochs: int,
) -> None:
    """Leaves the average of the weights in the network."""
    import torch

    from PRRTPredictorCore.training.optimiser import rate_factor

    settings, weights = _preset().optimiser, list(network.parameters())
    optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    last = epochs * -(-patients // 8)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_factor(settings, step, last))
    averages, steps = [weight.detach().clone() for weight in weights], 0
    network.train()
    for _ in range(epochs):
        for pet, labs, y in batches:
            network.draw_dropout(len(y), generator)
            optimiser.zero_grad()
            logits = network(pet.to(device), None, labs.to(device))
            torch.nn.functional.binary_cross_entropy_with_logits(logits, y.to(device)).backward()
            torch.nn.utils.clip_grad_norm_(weights, settings.gradient_clip or torch.inf)
            optimiser.step()
            schedule.step()
            steps += 1
            with torch.no_grad():
                for average, weight in zip(averages, weights, strict=True):
                    average.lerp_(weight, max(1.0 - settings.averaging, 1.0 / steps))
    with torch.no_grad():
        for average, weight in zip(averages, weights, strict=True):
            weight.copy_(average)
    network.eval()


def _our_network() -> FusionNetwork:
    from PRRTPredictorCore.models.fusion import FusionNetwork
    from PRRTPredictorCore.models.registry import model_spec

    return FusionNetwork(model_spec(MODEL), _preset(), 4)


def _plain_network() -> FusionNetwork:
    """The same network with the intensity histogram as its definition reads, and torch's own memory format."""
    import torch

    class ChainOfClamps(torch.nn.Module):
        def __init__(self, centres: Sequence[float]) -> None:
            super().__init__()
            self.centres = centres

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            above = [torch.ones((len(image), 3), device=image.device)]
            for low, high in pairwise(self.centres):
                means = image.clamp(low, high).mean(dim=(1, 3, 4)).tensor_split(3, dim=1)
                above.append((torch.stack([third.mean(dim=1) for third in means], dim=1) - low) / (high - low))
            above.append(torch.zeros_like(above[0]))
            shares = [upper - lower for upper, lower in pairwise(above)]
            return (torch.cat(shares, dim=1).clamp(min=0.0) + 1e-5).log()

    network = _our_network()
    network.pet_branch.histogram = ChainOfClamps(_preset().network.pet_levels)
    return network.to(memory_format=torch.contiguous_format)


def _plain_batches(
    pet: torch.Tensor, labs: torch.Tensor, y: torch.Tensor, order: Shuffled
) -> Iterable[tuple[Any, Any, Any]]:
    from torch.utils.data import DataLoader, TensorDataset

    return DataLoader(TensorDataset(pet, labs, y), batch_size=8, sampler=order)


def _monai_batches(
    pet: torch.Tensor, labs: torch.Tensor, y: torch.Tensor, order: Shuffled
) -> Iterable[tuple[Any, Any, Any]]:
    from monai.data import CacheDataset, ThreadDataLoader

    rows = [{"pet": image, "labs": row, "y": outcome} for image, row, outcome in zip(pet, labs, y, strict=True)]
    loader = ThreadDataLoader(CacheDataset(rows, progress=False), batch_size=8, sampler=order, num_workers=0)

    class Loaded:
        def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
            for batch in loader:
                yield batch["pet"], batch["labs"], batch["y"]

    return Loaded()


def _check(bench: Workplace, ours: Answers, theirs: Answers) -> str:
    from sklearn.metrics import roc_auc_score

    assert ours.keys() == theirs.keys()
    apart = _apart(bench)
    assert apart < LOGIT_TOLERANCE, apart
    mine, other = (float(np.mean([roc_auc_score(*fold) for fold in answers.values()])) for answers in (ours, theirs))
    assert abs(mine - other) < AUROC_TOLERANCE, (mine, other)
    return (
        f"mean AUROC {mine:.3f} and {other:.3f}; a fold of {CHECKED_EPOCHS} epochs with our histogram: held-out logits "
        f"to {LOGIT_TOLERANCE:g}"
    )


@cache
def _apart(bench: Workplace) -> float:
    """Largest difference of the first fold's held-out logits between us and the plain loop with our network."""
    from PRRTPredictorCore.training.engine import FitSettings, fit_folds, one_thread

    task = _tasks(bench)[0]
    (ours,) = fit_folds([task], _data(bench), FitSettings(_preset(CHECKED_EPOCHS), 0))
    with one_thread("cpu"):
        plain = _loop(bench, "cpu", _plain_batches, [task], _our_network, CHECKED_EPOCHS)
    return float(np.abs(ours.predictions.logit - plain[task.repeat, task.fold][1]).max())


def _limit(bench: Workplace) -> Limit:
    """Operations of the convolutions and products of all steps, at the speed of a large matrix product."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network = _plain_network()
    with FlopCounterMode(display=False) as counted:
        network(torch.rand(1, 1, 75, 50, 50), None, torch.rand(1, 4)).sum().backward()
    patients = 15 * PATIENTS * 2 / 3 * EPOCHS
    operations = counted.get_total_flops() * patients
    return Limit(*bench.machine.computing("convolutions of all steps", operations))
