"""Looks after the panel's child processes: asks each for news every 50 ms, on Qt's own thread, while one runs."""

from __future__ import annotations

from typing import Protocol

import qt

from PRRTPredictorLib.Messages import reporting

POLL_MILLISECONDS = 50


class PolledJob(Protocol):
    """The part of :class:`PRRTPredictorLib.Worker.Job` that the timer needs."""

    running: bool

    def poll(self) -> None:
        """Deliver what has come in since; never blocks."""

    def cancel(self) -> None:
        """End the process with all its children."""


class JobTimer:
    """Polls jobs until each has delivered its end.

    Examples
    --------
    >>> job = panel.jobs.add(panel.logic.start(..., onFinished=self._onFinished, onFailed=self._onFailed))
    >>> job.cancel()  # the Cancel button
    """

    def __init__(self, interval: int = POLL_MILLISECONDS) -> None:
        self._jobs: list[PolledJob] = []
        self._timer = qt.QTimer()
        self._timer.setInterval(interval)
        self._timer.connect("timeout()", self.poll)

    @property
    def running(self) -> bool:
        """Whether there is a job that has not delivered its end."""
        return bool(self._jobs)

    def add(self, job: PolledJob) -> PolledJob:
        """Poll ``job`` from now on; gives it back."""
        self._jobs.append(job)
        self._timer.start()
        return job

    def poll(self) -> None:
        """Ask every job once; forget those that had ended before they were asked, and so have told everything."""
        for job in tuple(self._jobs):
            ended = not job.running
            with reporting():
                job.poll()
            if ended and job in self._jobs:
                self._jobs.remove(job)
        if not self._jobs:
            self._timer.stop()

    def cancelAll(self) -> None:
        """End every process now and let each job tell it: scene, module or application close."""
        for job in tuple(self._jobs):
            with reporting():
                job.cancel()
        self.poll()
