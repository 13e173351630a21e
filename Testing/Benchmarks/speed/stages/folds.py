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
PATIENTS, EPOCHS = 116, 8
AUROC_TOLERANCE = 0.05
LOGIT_TOLERANCE = 1e-3
WORK = (
    f"`{MODEL}`, {PATIENTS} SYNTHETIC patients at 75 x 50 x 50, 3 folds x 5 repeats, preset tuned, {EPOCHS} epochs: "
    "the same network, batches of 8, kinds of augmentation, AdamW, schedule, clipping and weight average; held-out "
    "predictions (ours leaves saliency histograms, embeddings and shuffled answers besides)"
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
        repeats=3,
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


def _preset() -> Preset:
    from PRRTPredictorCore.models.presets import TUNED

    return replace(TUNED, epochs=EPOCHS, patience=0, inner_validation=0.0)


def _ours(bench: Workplace, device: str, jobs: int) -> Answers:
    from PRRTPredictorCore.training.engine import FitSettings
    from PRRTPredictorCore.training.workers import LocalWorkers

    tasks = _tasks(bench)
    groups = [[task] for task in tasks] if device == "cpu" else [tasks]
    results = LocalWorkers(jobs).fit(groups, _data(bench), FitSettings(_preset(), 0, device))
    return {
        (result.task.repeat, result.task.fold): (result.predictions.y, result.predictions.logit) for result in results
    }


Batches = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor"], Iterable[tuple[Any, Any, Any]]]


def _loop(bench: Workplace, device: str, batches: Batches) -> Answers:
    """One fold after the other, as a user would write it."""
    import torch

    from PRRTPredictorCore.imaging.normalise import ImageNormaliser, TabularNormaliser

    data, preset, answers = _data(bench), _preset(), {}
    for number, task in enumerate(_tasks(bench)):
        torch.manual_seed(number)
        train, test = data.rows(task.train), data.rows(task.test)
        scale = ImageNormaliser.fit(data.iterate("pet", train), preset.suv_window)
        table = TabularNormaliser.fit(data.tabular[train], preset.log_labs)

        def inputs(rows: Any, scale: Any = scale, table: Any = table) -> tuple[torch.Tensor, torch.Tensor]:
            images = torch.stack([torch.from_numpy(scale.apply(image)) for image in data.iterate("pet", rows)])
            return images.unsqueeze(1), torch.from_numpy(table.apply(data.tabular[rows]))

        network = _plain_network().to(device)
        outcomes = torch.from_numpy(data.y[train].astype(np.float32))
        network = _fit(network, batches(*inputs(train), outcomes), len(train), device)
        with torch.no_grad():
            pet, labs = inputs(test)
            parts = zip(pet.split(8), labs.split(8), strict=True)
            logits = torch.cat([network(p.to(device), None, t.to(device)).cpu() for p, t in parts])
        answers[task.repeat, task.fold] = (data.y[test], logits.double().numpy())
    return answers


def _fit(network: FusionNetwork, batches: Iterable[tuple[Any, Any, Any]], patients: int, device: str) -> Any:
    import torch
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    from PRRTPredictorCore.training.trainer import make_schedule

    settings = _preset().optimiser
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = make_schedule(settings, optimiser, EPOCHS * -(-patients // 8))
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.averaging))
    network.train()
    for _ in range(EPOCHS):
        for pet, labs, y in batches:
            optimiser.zero_grad()
            logits = network(pet.to(device), None, labs.to(device))
            torch.nn.functional.binary_cross_entropy_with_logits(logits, y.to(device)).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip or torch.inf)
            optimiser.step()
            schedule.step()
            average.update_parameters(network)
    return average.eval()


def _plain_network() -> FusionNetwork:
    """The same network with the intensity histogram as its definition reads, and torch's own memory format."""
    import torch

    from PRRTPredictorCore.models.fusion import FusionNetwork
    from PRRTPredictorCore.models.registry import model_spec

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

    network = FusionNetwork(model_spec(MODEL), _preset(), 4)
    network.pet_branch.histogram = ChainOfClamps(_preset().network.pet_levels)
    return network.to(memory_format=torch.contiguous_format)


def _plain_batches(pet: torch.Tensor, labs: torch.Tensor, y: torch.Tensor) -> Iterable[tuple[Any, Any, Any]]:
    import torch

    augmentation = _preset().augmentation
    assert augmentation is not None
    reach = augmentation.shift_voxels

    class Patients(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(y)

        def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            image = torch.nn.functional.pad(pet[row], (reach,) * 6, mode="replicate")
            k, j, i = torch.randint(0, 2 * reach + 1, (3,)).tolist()
            _, depth, height, width = pet[row].shape
            image = image[:, k : k + depth, j : j + height, i : i + width]
            image = image * (1 + augmentation.scale_sd * torch.randn(()))
            return image + augmentation.noise_sd * torch.randn_like(image), labs[row], y[row]

    return torch.utils.data.DataLoader(Patients(), batch_size=8, shuffle=True)


def _monai_batches(pet: torch.Tensor, labs: torch.Tensor, y: torch.Tensor) -> Iterable[tuple[Any, Any, Any]]:
    from monai.data import CacheDataset, ThreadDataLoader
    from monai.transforms import Compose, RandGaussianNoised, RandScaleIntensityd, RandSpatialCropd, SpatialPadd

    augmentation = _preset().augmentation
    assert augmentation is not None
    size = pet.shape[2:]
    padded = [length + 2 * augmentation.shift_voxels for length in size]
    changes = Compose(
        [
            SpatialPadd("pet", padded, mode="edge"),
            RandSpatialCropd("pet", size, random_size=False),
            RandScaleIntensityd("pet", factors=augmentation.scale_sd, prob=1.0),
            RandGaussianNoised("pet", std=augmentation.noise_sd, prob=1.0),
        ]
    )
    rows = [{"pet": image, "labs": row, "y": outcome} for image, row, outcome in zip(pet, labs, y, strict=True)]
    loader = ThreadDataLoader(CacheDataset(rows, changes, progress=False), batch_size=8, shuffle=True, num_workers=0)

    class Loaded:
        def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
            for batch in loader:
                yield batch["pet"].as_tensor(), batch["labs"], batch["y"]

    return Loaded()


def _check(bench: Workplace, ours: Answers, theirs: Answers) -> str:
    import torch
    from sklearn.metrics import roc_auc_score

    from PRRTPredictorCore.models.fusion import FusionNetwork
    from PRRTPredictorCore.models.registry import model_spec

    plain = _plain_network().eval()
    network = FusionNetwork(model_spec(MODEL), _preset(), 4).eval()
    network.load_state_dict(plain.state_dict())
    pet, labs = torch.from_numpy(_data(bench).stack("pet", range(8))).unsqueeze(1), torch.zeros(8, 4)
    with torch.no_grad():
        apart = float((network(pet, None, labs) - plain(pet, None, labs)).abs().max())
    assert apart < LOGIT_TOLERANCE, apart
    assert ours.keys() == theirs.keys()
    mine, other = (float(np.mean([roc_auc_score(*fold) for fold in answers.values()])) for answers in (ours, theirs))
    assert abs(mine - other) < AUROC_TOLERANCE, (mine, other)
    return f"mean AUROC {mine:.3f} and {other:.3f} (to {AUROC_TOLERANCE}); one network's logits to {LOGIT_TOLERANCE:g}"


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
