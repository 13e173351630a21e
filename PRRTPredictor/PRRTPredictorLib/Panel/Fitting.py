"""Buttons and rows that fit into a narrow panel with large letters."""

from __future__ import annotations

from typing import Any

import qt

NARROW_PANEL = 320
"""Pixels for a widget in a frame of a section, in a module panel of 400, which is as narrow as Slicer's gets."""


def breakLongText(*buttons: Any) -> None:
    """Break a button's text in two, near its middle, where it would be wider than a narrow panel."""
    for button in buttons:
        text = button.text
        spaces = [place for place, character in enumerate(text) if character == " "]
        if spaces and "\n" not in text and button.sizeHint.width() > NARROW_PANEL:
            middle = min(spaces, key=lambda place: abs(place - len(text) / 2))
            button.setText(f"{text[:middle]}\n{text[middle + 1 :]}")


def stackLongRows(*rows: Any) -> None:
    """Put the widgets of a row one below the other where it would be wider than a narrow panel."""
    for row in rows:
        if row.sizeHint.width() > NARROW_PANEL:
            row.layout().setDirection(qt.QBoxLayout.TopToBottom)
