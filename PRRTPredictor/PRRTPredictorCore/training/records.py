"""The records of the training room: a fold to fit, and what fitting it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..records import FoldPredictions
from .heldout import HeldOutEmbeddings, HeldOutGradients, HeldOutPermutations

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FoldTask:
    """One fit of the protocol.

    Attributes
    ----------
    model : str
        Registry name.
    repeat, fold : int
        Counted from 0.
    train, test : tuple of str
        Study codes.
    """

    model: str
    repeat: int
    fold: int
    train: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def label(self) -> str:
        """As progress shows it, e.g. "pet_labs 2-0"."""
        return f"{self.model} {self.place}"

    @property
    def place(self) -> str:
        """Where it stands in the protocol, e.g. "2-0": repeat 2, fold 0."""
        return f"{self.repeat}-{self.fold}"


@dataclass(frozen=True)
class FoldOutcome:
    """How a fit went; the contents of ``done.json``.

    Attributes
    ----------
    finished_utc : str
        ISO 8601.
    epochs, best_epoch : int
        Epochs that ran, and the one whose weights were kept, counted from 1; 0 for a forest.
    collapsed : bool
        The model says the same for everyone: the standard deviation of its held-out logits is below
        :data:`COLLAPSE_SD`.
    seconds : float
    device : str
        "cpu" or the name of the GPU.
    reason : str
        Why the fit was stopped before its end; empty for a complete one. The predictions of a stopped fit come from
        its last finite state, or are the training prevalence where there was none.
    folds_together : int
        Folds that were fitted side by side, this one included: 1 where memory was short of what the manifest asks for.
    """

    finished_utc: str
    epochs: int
    best_epoch: int
    collapsed: bool
    seconds: float
    device: str
    reason: str = ""
    folds_together: int = 1


COLLAPSE_SD = 1e-3
"""Logits that spread less than this cannot rank patients; a collapsed network stays below 1e-6, a living one is above
0.05."""


@dataclass(frozen=True, eq=False)
class FoldResult:
    """Everything that a fold leaves.

    Attributes
    ----------
    tensors : mapping of str to Tensor
        ``FittedModel.to_tensors()``: weights and normalisation, on the CPU.
    embeddings : HeldOutEmbeddings or None
        None for a forest.
    permutations : HeldOutPermutations or None
        None for a fit that learnt nothing.
    halved : tuple of FoldTask
        First folds of the groups that were halved on the way to this result, because memory was short, in order.
    """

    task: FoldTask
    predictions: FoldPredictions
    tensors: Mapping[str, Tensor]
    outcome: FoldOutcome
    gradients: HeldOutGradients
    embeddings: HeldOutEmbeddings | None = None
    permutations: HeldOutPermutations | None = None
    halved: tuple[FoldTask, ...] = ()
