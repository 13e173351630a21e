"""Colours of words in the panel, readable on Slicer's light and dark themes alike."""

from __future__ import annotations

from typing import Any

import qt

_ON_LIGHT, _ON_DARK = "#b3261e", "#ff8a80"
_DARK_BELOW = 128


def isDark(widget: Any) -> bool:
    """Whether the ground of a widget is dark."""
    return widget.palette.color(qt.QPalette.Window).lightness() < _DARK_BELOW


def alertColour(widget: Any) -> str:
    """Red for what must not be overlooked, as "#rrggbb"; never the only sign, always beside words."""
    return _ON_DARK if isDark(widget) else _ON_LIGHT
