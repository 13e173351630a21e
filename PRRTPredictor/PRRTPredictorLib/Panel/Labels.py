"""Labels that take no room while they have nothing to say."""

from __future__ import annotations

from typing import Any

from PRRTPredictorLib.Panel.Colours import alertColour


def showText(label: Any, text: str) -> None:
    """Show ``text``, plain or HTML as the label takes it; an empty one hides the label."""
    label.setText(text)
    label.setVisible(bool(text))


def showAlert(label: Any, text: str, alert: bool = True) -> None:
    """Show ``text`` in the alert colour with a sign before it or, with ``alert`` False, plainly."""
    label.setStyleSheet(f"color: {alertColour(label)}" if alert else "")
    showText(label, f"⚠ {text}" if alert and text else text)
