"""How an error reaches the user: what is wrong, where, and what to do about it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from PRRTPredictorCore.errors import Cancelled, Code, PRRTError, RunFailed

_SHOWN_MILLISECONDS = 5000


def describe(error: PRRTError) -> str:
    """The error's message, place and remedy, each in a paragraph of its own."""
    parts = [error.message]
    if error.where:
        parts.append(_("Where: {place}").format(place=error.where))
    if error.remedy:
        parts.append(_("What to do: {remedy}").format(remedy=error.remedy))
    return "\n\n".join(parts)


def showError(error: PRRTError) -> None:
    """Tell the user of a typed error; who cancelled is told in the status bar only."""
    logging.info("PRRTPredictor: %s", error.code.value)
    if isinstance(error, Cancelled):
        slicer.util.showStatusMessage(error.message, _SHOWN_MILLISECONDS)
    else:
        slicer.util.errorDisplay(describe(error), windowTitle=_("PRRT Predictor"))


@contextmanager
def reporting() -> Iterator[None]:
    """Show whatever the block raises instead of raising it: the boundary between Qt's slots and our code.

    Examples
    --------
    >>> def onPredict(self) -> None:
    ...     with reporting():
    ...         self.panel.jobs.add(self.panel.logic.start(...))
    """
    try:
        yield
    except PRRTError as error:
        showError(error)
    except OSError as error:  # a full disk, a drive that is gone, a folder without permission
        logging.exception("PRRTPredictor: the system refused")
        showError(_refusedBySystem(error))
    except Exception as error:  # the one place: Qt would swallow it
        logging.exception("PRRTPredictor: unexpected error")
        slicer.util.errorDisplay(
            _("Something went wrong that should not have: {kind}. The panel can still be used.").format(
                kind=type(error).__name__
            ),
            windowTitle=_("PRRT Predictor"),
            detailedText=traceback.format_exc(),
        )


def _refusedBySystem(error: OSError) -> RunFailed:
    name = Path(str(error.filename)).name if error.filename else _("A file")
    return RunFailed(
        Code.OUTPUT,
        _("{name} could not be read or written: {reason}.").format(
            name=name, reason=error.strerror or type(error).__name__
        ),
        remedy=_("Make room on the disk, and check that the folder is there and that you may write to it."),
    )
