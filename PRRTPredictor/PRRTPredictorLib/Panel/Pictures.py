"""A picture in a label that follows the panel's width."""

from __future__ import annotations

from typing import Any

import qt

from PRRTPredictorLib.Panel.Colours import isDark
from PRRTPredictorLib.Panel.Resizing import OnResize


def chartOptions(widget: Any) -> tuple[str, ...]:
    """Options of ``prrt predict`` that draw its charts in the letters and on the ground of ``widget``."""
    points = 0.75 * widget.fontInfo().pixelSize()  # a chart counts 96 dots an inch, whatever the screen
    return (f"--charts-font={points:g}", *(("--charts-dark",) if isDark(widget) else ()))


class Picture:
    """Shows a PNG in a ``QLabel``, never wider than the label nor than the picture itself.

    The label gives up its own wish for a width, so that a wide picture cannot widen the panel.
    """

    def __init__(self, label: Any) -> None:
        self._label = label
        self._pixmap: Any | None = None
        self._width = 0
        label.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
        label.setAlignment(qt.Qt.AlignHCenter)
        label.hide()
        self._resized = OnResize(label, self._fit)

    def show(self, png: str) -> None:
        """Show a PNG, given in base64 (which has no zero bytes for Qt's strings to end at); "" hides the label."""
        pixmap = qt.QPixmap()
        if png:
            pixmap.loadFromData(qt.QByteArray.fromBase64(png.encode("ascii")))
        self._pixmap = None if pixmap.isNull() else pixmap
        self._width = 0
        self._label.setVisible(self._pixmap is not None)
        self._fit()

    def _fit(self) -> None:
        if self._pixmap is None:
            return
        width = min(max(self._label.width, 1), self._pixmap.width())
        if width == self._width:
            return
        self._width = width
        scaled = self._pixmap.scaledToWidth(width, qt.Qt.SmoothTransformation)
        self._label.setPixmap(scaled)
        self._label.setFixedHeight(scaled.height())
