"""Which folds are fitted side by side: chosen once, from the memory there is, and kept in the run's manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..models.registry import MODELS, ModelSpec
from .data import TrainingData
from .engine import FitSettings, halves
from .manifest import Manifest
from .records import FoldTask
from .splits import Split
from .store import RunStore

if TYPE_CHECKING:
    from ..models.encoders import PretrainedEncoder


def folds_together(
    specs: Sequence[ModelSpec],
    settings: FitSettings,
    data: TrainingData,
    splits: Sequence[Split],
    encoder: PretrainedEncoder | None,
) -> dict[str, int]:
    """How many folds of each model are fitted side by side, from the memory there is.

    On a CPU, folds gain from processes of their own, not from company.
    """
    if settings.device == "cpu":
        return {spec.name: 1 for spec in specs}
    import torch

    from .company import folds_that_fit

    free, _ = torch.cuda.mem_get_info()
    patients = max(len(split.train) for split in splits)
    voxels = data.images.study(data.codes[0]).pet.size
    channels = encoder.init_filters if encoder else 0
    return {
        spec.name: folds_that_fit(spec, settings.preset, patients, voxels, len(splits), free, channels)
        for spec in specs
    }


def group_tasks(missing: Sequence[FoldTask], store: RunStore, device: str) -> list[list[FoldTask]]:
    """The groups that the manifest fixes, where a fold of them is missing; a repeat of every model before the next one.

    A group is fitted whole, whatever of it is there already: by its rounding, a fold's numbers depend on its company.
    Not so where a run that was begun on a GPU goes on on a CPU, which rounds otherwise anyway: there, each fold is
    fitted by itself. A run that is cut short has whole cross-validations of all models, not all repeats of a few.
    """
    wanted = set(missing)
    groups: list[list[FoldTask]] = []
    for model in store.manifest.models:
        own = [(task,) for task in store.tasks(model)] if device == "cpu" else fitted_together(store, model)
        groups += [list(group) for group in own if wanted.intersection(group)]
    order = {name: place for place, name in enumerate(MODELS)}
    return sorted(groups, key=lambda group: (group[0].repeat, order[group[0].model], group[0].fold))


def fitted_together(store: RunStore, model: str) -> list[tuple[FoldTask, ...]]:
    """The groups of a model's folds as the manifest has them, those halved that a GPU's memory did not hold."""
    tasks, size = store.tasks(model), store.manifest.folds_together.get(model, 1)
    halvings = store.manifest.memory_short.get(model, {})
    whole = [tuple(tasks[start : start + size]) for start in range(0, len(tasks), size)]
    return [part for group in whole for part in _parts(group, halvings)]


def _parts(group: tuple[FoldTask, ...], halvings: Mapping[str, int]) -> Iterator[tuple[FoldTask, ...]]:
    """A group, halved as often as is noted of its first fold; its second halves have first folds of their own."""
    seconds = []
    for _ in range(halvings.get(group[0].place, 0)):
        if len(group) > 1:
            group, second = halves(group)
            seconds.append(second)
    yield group
    for second in reversed(seconds):
        yield from _parts(second, halvings)


def with_halved(manifest: Manifest, halved: Sequence[FoldTask]) -> Manifest:
    """The manifest that also says which groups were halved, named by their first folds, for want of memory."""
    short = {model: dict(halvings) for model, halvings in manifest.memory_short.items()}
    for task in halved:
        own = short.setdefault(task.model, {})
        own[task.place] = own.get(task.place, 0) + 1
    return replace(manifest, memory_short=short)
