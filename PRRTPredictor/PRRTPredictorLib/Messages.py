"""How an error reaches the user: what is wrong, where, and what to do about it."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from PRRTPredictorCore.errors import Cancelled, Code, PRRTError, RunFailed
from PRRTPredictorCore.freetext import printable

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
        _dialog(describe(error))


def _dialog(text: str, details: str = "") -> None:
    """What slicer.util.errorDisplay shows; that one also writes the text, which may name a patient's file, to the log.

    Without a window it is said on the terminal; in Slicer's testing mode, nobody would close a dialog.
    """
    if slicer.util.mainWindow() is None:
        print(printable(text), file=sys.stderr, flush=True)
    elif not slicer.app.testingEnabled():
        slicer.util.messageBox(
            unmarked(text),
            windowTitle=_("PRRT Predictor"),
            icon=qt.QMessageBox.Critical,
            standardButtons=qt.QMessageBox.Ok,
            **({"detailedText": details} if details else {}),
        )


def unmarked(text: str) -> str:
    """Words from outside for a tool tip or a dialog, which take for mark-up whatever looks like it.

    A patient's name or a file's may hold "<"; it is to be read, not obeyed.
    """
    return f"<qt>{escape(text).replace(chr(10), '<br>')}</qt>" if set(text) & {"<", "&"} else text


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
        logging.error("PRRTPredictor: the system refused: %s", _trace(error))
        showError(_refusedBySystem(error))
    except Exception as error:  # noqa: BLE001  # the one place: Qt would swallow it
        logging.error("PRRTPredictor: unexpected error: %s", _trace(error))
        _dialog(
            _("Something went wrong that should not have: {kind}. The panel can still be used.").format(
                kind=type(error).__name__
            ),
            traceback.format_exc(),
        )


def _trace(error: BaseException) -> str:
    """What was raised and where in the code, for Slicer's log.

    The log is what users send when they ask for help: neither the error's own words nor any path goes into it, since
    folders are often named after patients.
    """
    calls = traceback.extract_tb(error.__traceback__)
    places = " > ".join(f"{Path(call.filename).name}:{call.lineno} {call.name}" for call in calls)
    return f"{type(error).__name__} in {places}"


def _refusedBySystem(error: OSError) -> RunFailed:
    name = Path(str(error.filename)).name if error.filename else _("A file")
    return RunFailed(
        Code.OUTPUT,
        _("{name} could not be read or written: {reason}.").format(
            name=name, reason=error.strerror or type(error).__name__
        ),
        remedy=_("Make room on the disk, and check that the folder is there and that you may write to it."),
    )
