"""Buttons and rows that fit into a narrow panel with large letters."""

from __future__ import annotations

import textwrap
from typing import Any

import qt

NARROW_PANEL = 310
"""Pixels for a widget in a frame of a section, in a module panel of 400, which is as narrow as Slicer's gets."""

_MOST_LINES = 3


def breakLongText(*buttons: Any) -> None:
    """Break a button's text into lines of about the same length, as few as fit into a narrow panel."""
    for button in buttons:
        text = button.text
        for lines in range(2, _MOST_LINES + 1):
            if button.sizeHint.width() > NARROW_PANEL:
                button.setText("\n".join(_balanced(text, lines)))


def stackLongRows(*rows: Any) -> None:
    """Put the widgets of rows that belong together one below the other where one row is too wide for a narrow panel."""
    if any(row.sizeHint.width() > NARROW_PANEL for row in rows):
        for row in rows:
            row.layout().setDirection(qt.QBoxLayout.TopToBottom)


def _balanced(text: str, lines: int) -> list[str]:
    """The words of a text on so many lines, the longest as short as it can be."""
    widths = range(1, len(text) + 1)
    fits = (textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) for width in widths)
    return next(found for found in fits if len(found) <= lines)
