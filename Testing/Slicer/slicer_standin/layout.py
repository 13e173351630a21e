"""slicer.app.layoutManager(): Slicer's layouts, read from the layout node, as nested boxes of view widgets."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import slicer
import vtk
from PySide6 import QtWidgets

from .pythonqt import dress
from .strict import Emitter
from .view_widgets import WIDGETS


class LayoutManager(Emitter):
    """Shows the arrangement of the scene's layout node; makes a widget for each view in it."""

    _signals = ("layoutChanged",)

    def __init__(self, logics: Any) -> None:
        super().__init__()
        self._logics = logics
        self._widgets: dict[str, Any] = {}
        self._placed: list[Any] = []
        self._shown: str | None = None
        self._viewport = dress(QtWidgets.QWidget)()
        self._viewport.setObjectName("CentralWidget")
        box = QtWidgets.QVBoxLayout(self._viewport)
        box.setContentsMargins(0, 0, 0, 0)
        self._sliceLogics, self._viewLogics = vtk.vtkCollection(), vtk.vtkCollection()
        logics.application.SetSliceLogics(self._sliceLogics)
        logics.application.SetViewLogics(self._viewLogics)
        self._layoutLogic = slicer.vtkMRMLLayoutLogic()
        self._layoutLogic.SetMRMLApplicationLogic(logics.application)
        self._layoutLogic.SetMRMLScene(logics.scene)
        self._node().SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self._node().AddObserver(vtk.vtkCommand.ModifiedEvent, self._layoutModified)
        for event in (slicer.vtkMRMLScene.EndCloseEvent, slicer.vtkMRMLScene.EndImportEvent):
            logics.scene.AddObserver(event, self._sceneChanged)
        logics.scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, self._nodeRemoved)
        self._arrange()

    # --- what modules ask for -----------------------------------------------------------------------------------------

    @property
    def layout(self) -> int:
        return int(self._node().GetViewArrangement())

    @layout.setter
    def layout(self, number: int) -> None:
        self.setLayout(number)

    def setLayout(self, number: int) -> None:
        self._node().SetViewArrangement(number)

    def layoutLogic(self) -> Any:
        return self._layoutLogic

    def mrmlScene(self) -> Any:
        return self._logics.scene

    def mrmlSliceLogics(self) -> Any:
        return self._sliceLogics

    def mrmlViewLogics(self) -> Any:
        return self._viewLogics

    def viewport(self) -> Any:
        return self._viewport

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(widget.sliceViewName for widget in self._ofClass("vtkMRMLSliceNode"))

    def sliceWidget(self, name: str) -> Any:
        found = (widget for widget in self._ofClass("vtkMRMLSliceNode") if widget.sliceViewName == name)
        return next(found, None)

    def viewWidget(self, node: Any) -> Any:
        return self._widgets.get(node.GetID())

    def threeDWidget(self, index: int) -> Any:
        return self._nth("vtkMRMLViewNode", index)

    def plotWidget(self, index: int) -> Any:
        return self._nth("vtkMRMLPlotViewNode", index)

    def tableWidget(self, index: int) -> Any:
        return self._nth("vtkMRMLTableViewNode", index)

    @property
    def threeDViewCount(self) -> int:
        return len(self._ofClass("vtkMRMLViewNode"))

    @property
    def plotViewCount(self) -> int:
        return len(self._ofClass("vtkMRMLPlotViewNode"))

    @property
    def tableViewCount(self) -> int:
        return len(self._ofClass("vtkMRMLTableViewNode"))

    def activeMRMLPlotViewNode(self) -> Any:
        return next((widget.mrmlPlotViewNode() for widget in self._ofClass("vtkMRMLPlotViewNode")), None)

    def resetSliceViews(self) -> None:
        for widget in self._ofClass("vtkMRMLSliceNode"):
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        for widget in self._ofClass("vtkMRMLViewNode"):
            widget.threeDView().resetFocalPoint()

    def refresh(self) -> None:
        """Bring the bars and tables into step with the scene (the pixels are, whenever they are painted)."""
        for widget in self._widgets.values():
            widget.refresh()

    # --- arranging ----------------------------------------------------------------------------------------------------

    def _node(self) -> Any:
        return self._layoutLogic.GetLayoutNode()

    def _layoutModified(self, caller: Any, event: str) -> None:
        if self._node().GetCurrentLayoutDescription() != self._shown:
            self._arrange()
            self.layoutChanged.emit(self.layout)

    def _sceneChanged(self, caller: Any, event: str) -> None:
        self._dropMissing()
        self._shown = None
        self._arrange()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _nodeRemoved(self, caller: Any, event: str, node: Any) -> None:
        if not self._logics.scene.IsBatchProcessing() and self._widgets.pop(node.GetID() or "", None) is not None:
            self._shown = None

    def _arrange(self) -> None:
        """Build the boxes of the current layout and put the view widgets into them."""
        description = self._node().GetCurrentLayoutDescription()
        if not description:
            return
        self._shown = description
        box = self._viewport.layout()
        for identifier, widget in self._widgets.items():
            widget.setParent(None)
            node = self._logics.scene.GetNodeByID(identifier)
            if node is not None:
                node.SetMappedInLayout(False)
        while box.count():
            item = box.takeAt(0).widget()
            item.setParent(None)
            item.deleteLater()
        self._placed.clear()
        box.addWidget(self._build(ElementTree.fromstring(description)))
        for widget in self._placed:
            widget.show()  # a widget that changed its parent is hidden
        self._sortLogics()
        box.activate()
        self.refresh()

    def _build(self, element: ElementTree.Element) -> QtWidgets.QWidget:
        if element.tag == "view":
            return self._viewWidget(element)
        kind = element.get("type", "horizontal")
        holder: QtWidgets.QWidget
        if kind == "tab":
            holder = QtWidgets.QTabWidget()
            for item in element.findall("item"):
                holder.addTab(self._build(item[0]), item.get("name", ""))
            return holder
        holder = QtWidgets.QWidget()
        grid = QtWidgets.QGridLayout(holder)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(1)
        for index, item in enumerate(element.findall("item")):
            row, column = (index, 0) if kind == "vertical" else (0, index)
            if kind == "grid":
                row, column = int(item.get("row", "0")), int(item.get("column", "0"))
            grid.addWidget(self._build(item[0]), row, column)
            stretch = int(item.get("splitSize", "1"))
            grid.setRowStretch(row, stretch if kind == "vertical" else 1)
            grid.setColumnStretch(column, stretch if kind == "horizontal" else 1)
        return holder

    def _viewWidget(self, element: ElementTree.Element) -> QtWidgets.QWidget:
        className = element.get("class", "")
        node = self._logics.scene.GetSingletonNode(element.get("singletontag"), className)
        if node.GetID() not in self._widgets:
            self._widgets[node.GetID()] = WIDGETS[className](self._logics, node)
        widget = self._widgets[node.GetID()]
        widget.setSizePolicy(QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Ignored)
        self._placed.append(widget)
        node.SetMappedInLayout(True)
        return widget

    def _dropMissing(self) -> None:
        """End the widgets of views that the scene no longer has."""
        for identifier in list(self._widgets):
            node = self._logics.scene.GetNodeByID(identifier)
            if node is None or not node.IsA("vtkMRMLAbstractViewNode"):
                self._widgets.pop(identifier).release()

    def _sortLogics(self) -> None:
        self._sliceLogics.RemoveAllItems()
        self._viewLogics.RemoveAllItems()
        for widget in self._ofClass("vtkMRMLSliceNode"):
            self._sliceLogics.AddItem(widget.sliceLogic())
        for widget in self._ofClass("vtkMRMLViewNode"):
            self._viewLogics.AddItem(widget.viewLogic())

    def _ofClass(self, className: str) -> list[Any]:
        return [widget for widget in self._widgets.values() if isinstance(widget, WIDGETS[className])]

    def _nth(self, className: str, index: int) -> Any:
        widgets = self._ofClass(className)
        return widgets[index] if 0 <= index < len(widgets) else None
