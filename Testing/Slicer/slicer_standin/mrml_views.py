"""Slicer's widgets that show a table node or a plot: `qMRMLTableView` and `qMRMLPlotView`."""

from __future__ import annotations

from string import ascii_uppercase
from typing import Any

import vtk

from .mrml_widgets import SceneWatcher, SceneWidget
from .pythonqt import QtCore, QtGui, QtWidgets, dress
from .ui_loader import ownWidgets


class qMRMLTableView(SceneWidget, dress(QtWidgets.QTableView)):  # type: ignore[misc]
    """A table node as a table: column titles above and first column as row titles where the node says so.

    Without the former the columns are headed A, B, C, and their names stand in a first row of their own.
    """

    mrmlSceneChanged = QtCore.Signal(object)
    ownProperties = ("transposed", "firstRowLocked", "firstColumnLocked")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._tableNode: Any = None
        self._transposed = False
        self._watcher = SceneWatcher()
        self._model = dress(QtGui.QStandardItemModel)(self)
        self.setModel(self._model)

    transposed = property(lambda self: self._transposed, lambda self, value: self.setTransposed(value))
    firstRowLocked = property(lambda self: self._locked("ColumnTitleAsColumnHeader"))
    firstColumnLocked = property(lambda self: self._locked("FirstColumnAsRowHeader"))

    def mrmlTableNode(self) -> Any:
        return self._tableNode

    def setMRMLTableNode(self, node: Any) -> None:
        self._tableNode = node
        self._watcher.watch(node, vtk.vtkCommand.ModifiedEvent, call=lambda caller, event: self._refresh())
        self._refresh()

    def setTransposed(self, transposed: bool) -> None:
        if transposed:
            raise NotImplementedError("the stand-in host shows no transposed tables")

    def setFirstRowLocked(self, locked: bool) -> None:
        self._tableNode.SetUseColumnTitleAsColumnHeader(locked)

    def setFirstColumnLocked(self, locked: bool) -> None:
        self._tableNode.SetUseFirstColumnAsRowHeader(locked)

    def _locked(self, name: str) -> bool:
        return self._tableNode is not None and bool(getattr(self._tableNode, f"GetUse{name}")())

    def _onSceneSet(self) -> None:
        if self._scene is None:
            self.setMRMLTableNode(None)

    def _refresh(self) -> None:
        self._model.clear()
        node, table = self._tableNode, self._tableNode.GetTable() if self._tableNode is not None else None
        if table is None:
            return
        first = 1 if node.GetUseFirstColumnAsRowHeader() else 0
        titled = bool(node.GetUseColumnTitleAsColumnHeader())
        above = 0 if titled else 1
        locked = bool(node.GetLocked())
        columns = [table.GetColumn(index) for index in range(table.GetNumberOfColumns())]
        self._model.setColumnCount(max(0, len(columns) - first))
        self._model.setRowCount(table.GetNumberOfRows() + above)
        for place, column in enumerate(columns[first:]):
            name = column.GetName() or ""
            header = (node.GetColumnTitle(name) or name) if titled else ascii_uppercase[place]
            self._model.setHorizontalHeaderItem(place, QtGui.QStandardItem(header))
            if not titled:
                self._model.setItem(0, place, _cell(name, locked))
            for row in range(table.GetNumberOfRows()):
                self._model.setItem(row + above, place, _cell(column.GetVariantValue(row).ToString(), locked))
        for row in range(table.GetNumberOfRows() if first else 0):
            text = columns[0].GetVariantValue(row).ToString()
            self._model.setVerticalHeaderItem(row + above, QtGui.QStandardItem(text))


def _cell(text: str, locked: bool) -> QtGui.QStandardItem:
    item = QtGui.QStandardItem(text)
    if locked:
        item.setFlags(item.flags() & ~QtCore.Qt.ItemFlag.ItemIsEditable)
    return item


ownWidgets.update({"qMRMLTableView": qMRMLTableView})
