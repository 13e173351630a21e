"""A dialog that shows how far work on Qt's own thread is, and lets the user stop it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer
from slicer.i18n import tr as _

from PRRTPredictorCore.errors import Cancelled, Code
from PRRTPredictorCore.progress import Progress


@contextmanager
def progressDialog(title: str) -> Iterator[Progress]:
    """Show a modal dialog while the block works; give the block what to report to.

    Raises
    ------
    Cancelled
        From the reporting function, when the user pressed Cancel.
    """
    dialog = slicer.util.createProgressDialog(
        windowTitle=title, labelText=title, autoClose=False, autoReset=False, modal=True
    )
    # At once, since the panel must not take another click from the first event on that the work lets through.
    dialog.show()

    def report(stage: str, done: int, total: int, message: str = "") -> None:
        dialog.maximum = max(total, 1)
        dialog.value = min(done, total)
        dialog.labelText = message or title
        slicer.app.processEvents()
        if dialog.wasCanceled:
            raise Cancelled(Code.CANCELLED, _("Cancelled."))

    try:
        yield report
    finally:
        dialog.close()
        dialog.deleteLater()
