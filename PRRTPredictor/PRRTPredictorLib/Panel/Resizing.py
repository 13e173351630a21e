"""Widgets whose height follows their width: what Qt's layouts cannot know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt


class OnResize(qt.QObject):
    """Calls a function each time a widget has got another size."""

    def __init__(self, widget: Any, function: Callable[[], None]) -> None:
        qt.QObject.__init__(self)
        self._function = function
        widget.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Look, but let the widget have the event."""
        if event.type() == qt.QEvent.Resize:
            self._function()
        return False


class RowsFit:
    """Keeps a ``QListWidget`` as high as its rows, which wrap where it is narrow."""

    def __init__(self, view: Any) -> None:
        self._view = view
        self._resized = OnResize(view, self._fit)
        self._fit()

    def _fit(self) -> None:
        view = self._view
        last = view.visualItemRect(view.item(view.count - 1))
        bottom = last.y() + last.height() + view.verticalScrollBar().value
        view.setFixedHeight(bottom + 2 * view.frameWidth)
