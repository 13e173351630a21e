"""A training run in words: where it is, and what it has said."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorLib.Panel.Words import HasProgress, progressWords, stageTitle, timeLeft

LINES_KEPT = 2000
"""A run of days must not fill the memory."""

_LINES_SEEN = 8


class RunLog:
    """The live log in a ``QPlainTextEdit``: the newest lines, and no more than are worth keeping."""

    def __init__(self, view: Any) -> None:
        self._view = view
        view.setMaximumBlockCount(LINES_KEPT)
        view.setFixedHeight(_LINES_SEEN * view.fontMetrics().height())
        view.hide()

    def clear(self) -> None:
        """Begin anew; an empty log takes no room."""
        self._view.clear()
        self._view.hide()

    def add(self, line: str) -> None:
        """Add one line; the view follows unless the user has scrolled back."""
        self._view.appendPlainText(line)
        self._view.show()


def trainingWords(progressed: HasProgress) -> str:
    """ "Fold 7 of 105, SR-PET + labs, 12 min left"; "Writing the report: Survival, 1 min left"; else as elsewhere."""
    if progressed.stage == "report":  # its steps are shares of the time; the chapter tells more than their number
        parts = (": ".join(filter(None, (stageTitle("report"), progressed.message))), timeLeft(progressed.etaSeconds))
        return ", ".join(filter(None, parts))
    if progressed.stage != "train":
        return progressWords(progressed)
    fold = min(progressed.done + 1, progressed.total)
    place = _("Fold {n} of {total}").format(n=fold, total=progressed.total)
    return ", ".join(part for part in (place, modelTitle(progressed.message), timeLeft(progressed.etaSeconds)) if part)


def modelTitle(message: str) -> str:
    """The model that a progress message begins with, by its title; "" where it names none."""
    name = message.split(" ", 1)[0].rstrip(",:")
    return MODELS[name].title if name in MODELS else ""
