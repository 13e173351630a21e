"""Qt widgets around the rendered views: the coloured bar above, the pixels below.

They answer like qMRMLSliceWidget, qMRMLThreeDWidget, qMRMLPlotWidget and qMRMLTableWidget; what the module does not
need raises :class:`NotProvided`.
"""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .plot_view import PlotView
from .pythonqt import dress
from .strict import NotProvided
from .views import RenderedView, SliceView, ThreeDView

_DressedWidget: Any = dress(QtWidgets.QWidget)
_START = (360, 320)
"""Pixels of a view before a layout gives it its place."""


class _Named(_DressedWidget):
    """A widget that says so when asked for what the host does not have."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotProvided(f"The stand-in host has no {type(self).__name__}.{name}.")


class ViewPixels(_Named):
    """The view itself (``sliceView()``, ``threeDView()``, ``plotView()``): rendered whenever it is painted."""

    def __init__(self, view: RenderedView) -> None:
        super().__init__()
        self._view = view
        self.setMinimumSize(40, 40)

    def resizeEvent(self, event: Any) -> None:
        size = event.size()
        if size.width() > 0 and size.height() > 0:
            self._view.resize(size.width(), size.height())

    def paintEvent(self, event: Any) -> None:
        QtGui.QPainter(self).drawImage(0, 0, self._picture())

    def _picture(self) -> QtGui.QImage:
        pixels = self._view.render()
        height, width, _ = pixels.shape
        image = QtGui.QImage(pixels.data, width, height, 3 * width, QtGui.QImage.Format.Format_RGB888)
        return image.copy()  # the array ends with this function

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(*_START)

    # --- as the application's views -----------------------------------------------------------------------------------

    def forceRender(self) -> None:
        self._view.update()
        self._view.renderWindow().Render()
        self.update()

    def scheduleRender(self) -> None:
        self.update()

    def renderWindow(self) -> Any:
        return self._view.renderWindow()

    def renderer(self) -> Any:
        return self._view.renderer()

    def cornerAnnotation(self) -> Any:
        return self._view.cornerAnnotation()

    def displayableManagerByClassName(self, className: str) -> Any:
        return self._view.displayableManager(className)


class SlicePixels(ViewPixels):
    def mrmlSliceNode(self) -> Any:
        return self._view.node


class ThreeDPixels(ViewPixels):
    def mrmlViewNode(self) -> Any:
        return self._view.node

    def cameraNode(self) -> Any:
        return self._view.cameraNode()

    def resetFocalPoint(self) -> None:
        self._view.resetFocalPoint()
        self.update()

    def resetCamera(
        self, resetRotation: bool = True, resetTranslation: bool = True, resetDistance: bool = True
    ) -> None:
        self._view.resetCamera()
        self.update()


class PlotPixels(ViewPixels):
    def mrmlPlotViewNode(self) -> Any:
        return self._view.node

    def chart(self) -> Any:
        self._view.update()
        return self._view.chart


class Bar(_Named):
    """The coloured bar above a view: its letter and, for slices, slider and position."""

    def __init__(self, node: Any, logic: Any = None, offsetText: Any = None) -> None:
        super().__init__()
        self._node, self._logic, self._offsetText = node, logic, offsetText
        self._slider, self._text = dress(QtWidgets.QSlider)(QtCore.Qt.Orientation.Horizontal), _label("")
        self._letter = _label("")
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(12, 2, 12, 2)
        row.addWidget(self._letter)
        row.addWidget(self._slider, 1)
        row.addWidget(self._text, 0 if logic is not None else 1)
        self._slider.setVisible(logic is not None)
        self.setFixedHeight(max(28, QtGui.QFontMetrics(QtWidgets.QApplication.font()).height() + 8))
        self._tag = node.AddObserver("ModifiedEvent", lambda caller, event: self.refresh())
        self.refresh()

    def paintEvent(self, event: Any) -> None:
        colour = QtGui.QColor.fromRgbF(*self._node.GetLayoutColor())
        shade = QtGui.QLinearGradient(0, 0, 0, self.rect.height())
        shade.setColorAt(0, colour.lighter(112))
        shade.setColorAt(1, colour)
        QtGui.QPainter(self).fillRect(self.rect, shade)

    def refresh(self) -> None:
        """Show the view's letter and where the slice is now."""
        self._letter.setText(self._node.GetLayoutLabel() or self._node.GetName())
        if self._logic is None:
            return
        limits, resolution = [0.0, 1.0], _reference(0.0)
        self._logic.GetSliceOffsetRangeResolution(limits, resolution)
        self._slider.setRange(0, 1000)
        span = max(limits[1] - limits[0], 1e-6)
        self._slider.setValue(round(1000 * (self._logic.GetSliceOffset() - limits[0]) / span))
        self._text.setText(self._offsetText())

    def release(self) -> None:
        self._node.RemoveObserver(self._tag)

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()
        self._logic.SnapSliceOffsetToIJK()

    def setSliceOffsetValue(self, offset: float) -> None:
        self._logic.SetSliceOffset(offset)


class _ViewWidget(_Named):
    """Bar above, view below."""

    def __init__(self, bar: QtWidgets.QWidget, view: QtWidgets.QWidget, name: str) -> None:
        super().__init__()
        self._bar, self._pixels = bar, view
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(bar)
        column.addWidget(view, 1)
        self.setObjectName(name)

    def refresh(self) -> None:
        """What a changed scene changes in the widget."""
        if isinstance(self._bar, Bar):
            self._bar.refresh()
        self._pixels.update()

    def release(self) -> None:
        self._bar.release()
        if isinstance(self._pixels, ViewPixels):
            self._pixels._view.release()
        self.setParent(None)
        self.deleteLater()


class SliceWidget(_ViewWidget):
    """qMRMLSliceWidget."""

    def __init__(self, logics: Any, node: Any) -> None:
        self._sliceView = SliceView(logics, node, _START)
        bar = Bar(node, self._sliceView.logic, self._sliceView.offsetText)
        super().__init__(bar, SlicePixels(self._sliceView), f"qMRMLSliceWidget{node.GetLayoutName()}")
        self._name = node.GetLayoutName()

    @property
    def sliceViewName(self) -> str:
        return self._name

    @property
    def sliceOrientation(self) -> str:
        return self.mrmlSliceNode().GetOrientation()

    def sliceLogic(self) -> Any:
        return self._sliceView.logic

    def sliceView(self) -> SlicePixels:
        return self._pixels

    def sliceController(self) -> Bar:
        return self._bar

    def mrmlSliceNode(self) -> Any:
        return self._sliceView.node

    def mrmlSliceCompositeNode(self) -> Any:
        return self._sliceView.logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        self._bar.fitSliceToBackground()


class ThreeDWidget(_ViewWidget):
    """qMRMLThreeDWidget."""

    def __init__(self, logics: Any, node: Any) -> None:
        self._threeDView = ThreeDView(logics, node, _START)
        super().__init__(Bar(node), ThreeDPixels(self._threeDView), f"ThreeDWidget{node.GetLayoutLabel()}")

    def threeDView(self) -> ThreeDPixels:
        return self._pixels

    def threeDController(self) -> Bar:
        return self._bar

    def mrmlViewNode(self) -> Any:
        return self._threeDView.node

    def viewLogic(self) -> Any:
        return self._threeDView.logic


class PlotWidget(_ViewWidget):
    """qMRMLPlotWidget."""

    def __init__(self, logics: Any, node: Any) -> None:
        super().__init__(Bar(node), PlotPixels(PlotView(logics, node, _START)), f"PlotWidget{node.GetLayoutLabel()}")

    def plotView(self) -> PlotPixels:
        return self._pixels

    def plotController(self) -> Bar:
        return self._bar

    def mrmlPlotViewNode(self) -> Any:
        return self._pixels.mrmlPlotViewNode()


class TableWidget(_ViewWidget):
    """qMRMLTableWidget: the table node that the table view node names, in Slicer's table view."""

    def __init__(self, logics: Any, node: Any) -> None:
        import slicer

        self._node, self._scene = node, logics.scene
        view = slicer.qMRMLTableView()
        view.setMRMLScene(logics.scene)
        super().__init__(Bar(node), view, f"TableWidget{node.GetLayoutLabel()}")

    def refresh(self) -> None:
        table = self._scene.GetNodeByID(self._node.GetTableNodeID() or "")
        if self._pixels.mrmlTableNode() is not table:
            self._pixels.setMRMLTableNode(table)
        self._pixels.update()

    def tableView(self) -> Any:
        self.refresh()
        return self._pixels

    def tableController(self) -> Bar:
        return self._bar

    def mrmlTableViewNode(self) -> Any:
        return self._node


WIDGETS: dict[str, Any] = {
    "vtkMRMLSliceNode": SliceWidget,
    "vtkMRMLViewNode": ThreeDWidget,
    "vtkMRMLPlotViewNode": PlotWidget,
    "vtkMRMLTableViewNode": TableWidget,
}


def _label(text: str) -> Any:
    return dress(QtWidgets.QLabel)(text)


def _reference(value: float) -> Any:
    import vtk

    return vtk.reference(value)
