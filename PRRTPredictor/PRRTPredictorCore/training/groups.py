"""Which folds are fitted side by side: chosen once, from the memory there is, and kept in the run's manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..models.registry import MODELS, ModelSpec
from ..records import Notice
from .data import TrainingData
from .engine import FitSettings
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
        groups += [
            list(group)
            for group in _groups(store, model, 1 if device == "cpu" else store.manifest.folds_together.get(model, 1))
            if wanted.intersection(group)
        ]
    order = {name: place for place, name in enumerate(MODELS)}
    return sorted(groups, key=lambda group: (group[0].repeat, order[group[0].model], group[0].fold))


def _groups(store: RunStore, model: str, size: int) -> list[tuple[FoldTask, ...]]:
    tasks = store.tasks(model)
    return [tuple(tasks[start : start + size]) for start in range(0, len(tasks), size)]


def company_notices(store: RunStore) -> tuple[Notice, ...]:
    """What to tell of folds that a GPU should have fitted side by side, but whose memory was short then."""
    notices = []
    for model in store.manifest.models:
        size = store.manifest.folds_together.get(model, 1)
        finished = set(store.finished(model))
        asked = [task for group in _groups(store, model, size) if len(group) > 1 for task in group]
        outcomes = [store.outcome(model, task.repeat, task.fold) for task in asked if task in finished]
        alone = sum(outcome.folds_together == 1 and outcome.device != "cpu" for outcome in outcomes)
        if alone:
            message = (
                f"The GPU's memory did not hold {size} folds of {model} side by side; {alone} of its fits were made "
                "one by one, which takes longer and gives the same results to rounding."
            )
            notices.append(Notice("MEMORY_SHORT", message))
    return tuple(notices)
