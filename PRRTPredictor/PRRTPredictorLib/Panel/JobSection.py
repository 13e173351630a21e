"""A section of the panel with a job: one child process at a time, its progress, Cancel, and how it went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from slicer.i18n import tr as _

from PRRTPredictorCore.errors import Cancelled, PRRTError
from PRRTPredictorLib.Messages import reporting, showError
from PRRTPredictorLib.Panel import Panel, Section
from PRRTPredictorLib.Panel.JobTimer import PolledJob
from PRRTPredictorLib.Panel.Labels import showText
from PRRTPredictorLib.Panel.Words import HasProgress, progressWords, refusalHtml


@dataclass(frozen=True)
class JobWidgets:
    """The widgets around a job.

    Attributes
    ----------
    progressBar, cancelButton
        Seen only while it runs.
    statusLabel
        Says how far it is, and how it ended.
    startButtons
        Disabled while it runs; afterwards the section's ``show`` enables those that work.
    frozen
        Disabled while it runs, and enabled afterwards: what the job was started with must not change meanwhile.
    """

    progressBar: Any
    cancelButton: Any
    statusLabel: Any
    startButtons: tuple[Any, ...]
    frozen: tuple[Any, ...]


class JobSection(Section):
    """The base of the sections that let a child process work.

    A subclass names its widgets (:meth:`jobWidgets`), starts its jobs through :meth:`begin`, calls :meth:`ended` when
    one has finished, and says in its own words how far a job is and what Cancel has left.
    """

    def __init__(self, ui: Any, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._job: PolledJob | None = None
        self._around = self.jobWidgets()

    # --- what a subclass says

    def jobWidgets(self) -> JobWidgets:
        """The widgets around the job."""
        raise NotImplementedError

    def inWords(self, progressed: HasProgress) -> str:
        """How far the job is."""
        return progressWords(progressed)

    def cancelledWords(self) -> str:
        """What the user reads after Cancel."""
        return _("Cancelled.")

    def lookAgain(self) -> None:
        """Forget what was read from the disk: a job was refused or has failed, which may be the reason."""

    # --- what a subclass uses

    @property
    def idle(self) -> bool:
        """Whether no job runs."""
        return self._job is None

    def connectWidgets(self) -> None:
        """Connect Cancel; nothing runs yet."""
        self._around.cancelButton.connect("clicked(bool)", self.onCancel)
        self.say("")
        self._showRunning(False)

    def begin(self, start: Callable[..., PolledJob], *values: Any, **options: Any) -> None:
        """Start a job through ``start(*values, **options, onProgress=…, onFailed=…)``, unless one runs already.

        Raises
        ------
        PRRTError
            What ``start`` refuses; the panel is as it was then.
        """
        if not self.idle:
            return
        self.say(escape(_("Starting …")))
        self._around.progressBar.setRange(0, 0)
        self._showRunning(True)
        try:
            self._job = start(*values, onProgress=self._onProgress, onFailed=self._onFailed, **options)
            self.panel.jobs.add(self._job)
        finally:
            if self.idle:
                self.lookAgain()
                self.ended()
        self.refresh()

    def ended(self, html: str = "") -> None:
        """Take back the widgets; ``html`` says how it ended."""
        self._job = None
        self._showRunning(False)
        self.say(html)
        self.refresh()

    def say(self, html: str) -> None:
        """Say how the job is; nothing hides the line."""
        showText(self._around.statusLabel, html)

    # --- what the user does, and what the job tells

    def onCancel(self, _checked: bool = False) -> None:
        """End the job's processes."""
        if self._job is not None:
            self.say(escape(_("Cancelling …")))
            with reporting():
                self._job.cancel()

    def _onProgress(self, progressed: HasProgress) -> None:
        self._around.progressBar.setRange(0, progressed.total)
        self._around.progressBar.setValue(progressed.done)
        self.say(escape(self.inWords(progressed)))

    def _onFailed(self, error: PRRTError) -> None:
        if isinstance(error, Cancelled):
            self.ended(escape(self.cancelledWords()))
            return
        self.lookAgain()
        self.ended(refusalHtml(error))
        showError(error)

    def _showRunning(self, running: bool) -> None:
        around = self._around
        around.progressBar.setVisible(running)
        around.cancelButton.setVisible(running)
        for widget in around.frozen:
            widget.setEnabled(not running)
        if running:
            for button in around.startButtons:
                button.setEnabled(False)
