"""`qMRMLColorTableComboBox`: a node selector that draws the colours beside their names."""

from __future__ import annotations

from typing import Any

from .mrml_widgets import qMRMLNodeComboBox
from .pythonqt import QtCore, QtGui, QtWidgets
from .ui_loader import ownWidgets


class qMRMLColorTableComboBox(qMRMLNodeComboBox):
    """A box to choose a colour table, with the colours drawn beside the names."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._flags |= {"showHidden": True, "addEnabled": False, "removeEnabled": False}
        self._box.setIconSize(QtCore.QSize(30, 20))
        self.setNodeTypes(("vtkMRMLColorTableNode", "vtkMRMLProceduralColorNode"))

    def _entry(self, node: Any) -> tuple[Any, ...]:
        return (_swatch(node), node.GetName() or "", node.GetID())


_swatches: dict[tuple[str, str, int], QtGui.QIcon] = {}


def _swatch(node: Any, width: int = 30, height: int = 20) -> QtGui.QIcon:
    """The colours of a colour node from left to right."""
    key = (node.GetID(), node.GetName() or "", node.GetMTime())
    if key not in _swatches:
        _swatches[key] = QtGui.QIcon(QtGui.QPixmap.fromImage(_rampOf(node, width).scaled(width, height)))
    return _swatches[key]


def _rampOf(node: Any, width: int) -> QtGui.QImage:
    table = node.GetScalarsToColors()
    ramp = QtGui.QImage(width, 1, QtGui.QImage.Format.Format_RGB32)
    ramp.fill(QtGui.QColor("white"))
    if table is None:
        return ramp
    low, high = table.GetRange()
    for column in range(width):
        colour = [0.0, 0.0, 0.0]
        table.GetColor(low + (high - low) * column / max(1, width - 1), colour)
        ramp.setPixelColor(column, 0, QtGui.QColor.fromRgbF(*(min(max(part, 0.0), 1.0) for part in colour)))
    return ramp


ownWidgets["qMRMLColorTableComboBox"] = qMRMLColorTableComboBox
