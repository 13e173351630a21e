"""How long work tells how far it is, without knowing who listens.

A room calls a :class:`Progress`; the front door decides whether that becomes a bar, a JSON line or nothing.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


class Progress(Protocol):
    """Receives the state of a long piece of work; called from one thread, cheaply and often."""

    def __call__(self, stage: str, done: int, total: int, message: str = "") -> None:
        """Report that ``done`` of ``total`` steps of ``stage`` are finished.

        Parameters
        ----------
        stage : str
            Short name of the work ("index", "prepare", "train" …); a new name starts a new bar.
        done, total : int
            Finished and expected steps.
        message : str
            What is being worked on; free of patient identity.
        """


def silent(stage: str, done: int, total: int, message: str = "") -> None:
    """A :class:`Progress` that nobody listens to."""


@runtime_checkable
class EstimateListener(Protocol):
    """A :class:`Progress` that also takes an estimate of the time left, for steps of very different length."""

    def expect(self, seconds: float | None) -> None:
        """Take over the estimate for the next report; None where there is none yet."""


def expect(progress: Progress, seconds: float | None) -> None:
    """Tell how long the current stage will still take, right before reporting; whoever does not ask is not told."""
    if isinstance(progress, EstimateListener):
        progress.expect(seconds)
