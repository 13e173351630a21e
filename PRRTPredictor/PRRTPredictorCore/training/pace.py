"""How long the missing fits of a run will still take: a forest is done at once, a pretrained branch takes longest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean

from ..models.registry import ModelSpec, model_spec
from .records import FoldTask


def expected_cost(spec: ModelSpec) -> float:
    """Time of a fit as a multiple of that of a network with one image, measured on a CPU with the tuned preset."""
    if spec.kind == "forest":
        return 0.09
    return (2.0 if spec.uses_pet and spec.uses_ct else 1.0) * (2.7 if spec.ct_encoder == "pretrained" else 1.0)


class Pace:
    """Keeps the time of each model's fits and tells what the missing ones will take.

    Parameters
    ----------
    missing : sequence of FoldTask
        Still to be fitted, in the order in which they will be.
    known : mapping of str to sequence of float
        Seconds of earlier fits on the same device, by model.
    side_by_side : int
        Fits at a time; may be set anew when workers come or go.
    """

    def __init__(self, missing: Sequence[FoldTask], known: Mapping[str, Sequence[float]], side_by_side: int) -> None:
        self._missing = list(missing)
        self._seconds = {model: list(seconds) for model, seconds in known.items() if seconds}
        self._fresh: set[str] = set()
        self.side_by_side = side_by_side

    def finished(self, task: FoldTask, seconds: float) -> None:
        """Note that a fit is done and how long it took."""
        self._missing.remove(task)
        if task.model not in self._fresh:  # what was timed in an earlier session may be of another machine
            self._fresh.add(task.model)
            self._seconds[task.model] = []
        self._seconds[task.model].append(seconds)

    @property
    def in_work(self) -> str:
        """Label of the fit that has been waited for longest; empty when none is missing."""
        return self._missing[0].label if self._missing else ""

    def seconds_left(self) -> float | None:
        """Of all missing fits together; None before anything was timed."""
        if not self._missing:
            return 0.0
        if not self._seconds:
            return None
        known = {model: mean(seconds) for model, seconds in self._seconds.items()}
        scale = sum(known.values()) / sum(_costs(known))
        work = sum(
            known[task.model] if task.model in known else scale * expected_cost(model_spec(task.model))
            for task in self._missing
        )
        return work / min(max(self.side_by_side, 1), len(self._missing))


def _costs(models: Iterable[str]) -> list[float]:
    return [expected_cost(model_spec(model)) for model in models]
