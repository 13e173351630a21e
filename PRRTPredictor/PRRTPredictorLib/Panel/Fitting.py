"""Buttons that fit into a narrow panel with large letters."""

from __future__ import annotations

from typing import Any

NARROW_PANEL = 340
"""Pixels for a button in a module panel of 400, which is as narrow as Slicer's gets."""


def breakLongText(*buttons: Any) -> None:
    """Break a button's text in two, near its middle, where it would be wider than a narrow panel."""
    for button in buttons:
        text = button.text
        spaces = [place for place, character in enumerate(text) if character == " "]
        if spaces and "\n" not in text and button.sizeHint.width() > NARROW_PANEL:
            middle = min(spaces, key=lambda place: abs(place - len(text) / 2))
            button.setText(f"{text[:middle]}\n{text[middle + 1 :]}")
