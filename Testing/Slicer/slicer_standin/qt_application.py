"""The one QApplication: off screen unless told otherwise, in Slicer's light colours and with a font that is there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from .pythonqt import QtCore, QtGui, QtWidgets

#: Window, button and highlight of Slicer's light style, as in the pictures.
_WINDOW, _BASE, _HIGHLIGHT = "#efefef", "#ffffff", "#308cc6"

#: What Qt says of every window off screen, and what concerns nobody.
_SAID_OFF_SCREEN = frozenset({"This plugin does not support propagateSizeHints()"})


def ensureApplication(fontScale: float = 1.0) -> QtWidgets.QApplication:
    """The running application, made when there is none yet."""
    application = QtWidgets.QApplication.instance()
    if application is None:
        if os.name == "posix" and not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
            os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        QtCore.qInstallMessageHandler(_tell)
        application = QtWidgets.QApplication(["slicer_standin"])
        application.setStyle("Fusion")
        application.setPalette(_lightPalette())
    _setFont(application, fontScale)
    return application


def _tell(kind: Any, context: Any, message: str) -> None:
    """Qt's own messages go to stderr, as ever."""
    if message not in _SAID_OFF_SCREEN:
        print(message, file=sys.stderr)


def _setFont(application: QtWidgets.QApplication, scale: float) -> None:
    if "DejaVu Sans" not in QtGui.QFontDatabase.families():
        import matplotlib

        QtGui.QFontDatabase.addApplicationFont(
            str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
        )
    font = QtGui.QFont("DejaVu Sans")
    font.setPixelSize(round(14 * scale))
    application.setFont(font)


def _lightPalette() -> QtGui.QPalette:
    palette = QtGui.QPalette(QtGui.QColor(_WINDOW), QtGui.QColor(_WINDOW))
    palette.setColor(QtGui.QPalette.ColorRole.Base, QtGui.QColor(_BASE))
    palette.setColor(QtGui.QPalette.ColorRole.AlternateBase, QtGui.QColor("#f7f7f7"))
    palette.setColor(QtGui.QPalette.ColorRole.Highlight, QtGui.QColor(_HIGHLIGHT))
    palette.setColor(QtGui.QPalette.ColorRole.HighlightedText, QtGui.QColor("#ffffff"))
    for role in (
        QtGui.QPalette.ColorRole.Text,
        QtGui.QPalette.ColorRole.WindowText,
        QtGui.QPalette.ColorRole.ButtonText,
    ):
        palette.setColor(QtGui.QPalette.ColorGroup.Disabled, role, QtGui.QColor("#bebebe"))
    return palette
