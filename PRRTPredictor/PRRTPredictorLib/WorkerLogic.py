"""The base of the logics: their work is done by child processes, for which Slicer first needs some packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from PRRTPredictorCore.errors import PRRTError
from PRRTPredictorLib.Worker import Job, OnFailed, OnFinished, OnLine, OnProgress

Record = TypeVar("Record")


class StartJob(Protocol):
    """The part of :meth:`Job.start` that the logics need; tests give them another."""

    def __call__(
        self,
        words: Sequence[str],
        *,
        onProgress: OnProgress | None = None,
        onLine: OnLine | None = None,
        onFinished: OnFinished | None = None,
        onFailed: OnFailed | None = None,
    ) -> Job:
        """Start a ``prrt`` command."""


class Installer(Protocol):
    """The part of ``Dependencies`` that the logics need."""

    def ensure(self) -> None:
        """Install what is missing, after asking."""


class WorkerLogic:
    """Starts ``prrt`` commands and turns their answers into records.

    Parameters
    ----------
    startJob : callable
        Starts a child process.
    dependencies : Dependencies, optional
        Asked before a child starts; None where everything is known to be there.
    """

    def __init__(self, startJob: StartJob = Job.start, dependencies: Installer | None = None) -> None:
        self._startJob = startJob
        self._dependencies = dependencies

    def _install(self) -> None:
        """Make sure that a child will find its packages.

        Raises
        ------
        RunFailed
            ``DEPENDENCY_MISSING``: the user declined, or the installation failed.
        """
        if self._dependencies is not None:
            self._dependencies.ensure()

    def _launch(
        self,
        words: Sequence[str],
        read: Callable[[Mapping[str, Any]], Record],
        *,
        onProgress: OnProgress | None = None,
        onLine: OnLine | None = None,
        onFinished: Callable[[Record], None] | None = None,
        onFailed: OnFailed | None = None,
    ) -> Job:
        """Start a command; ``onFinished`` gets what ``read`` makes of its answer.

        An answer that ``read`` refuses reaches ``onFailed``.
        """

        def onAnswer(answer: Mapping[str, Any]) -> None:
            try:
                record = read(answer)
            except PRRTError as error:
                if onFailed is not None:
                    onFailed(error)
                return
            if onFinished is not None:
                onFinished(record)

        return self._startJob(words, onProgress=onProgress, onLine=onLine, onFinished=onAnswer, onFailed=onFailed)
