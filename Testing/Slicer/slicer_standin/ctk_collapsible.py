"""ctk's section button: a title bar with an arrow over contents that it hides."""

from __future__ import annotations

from .pythonqt import QtCore, QtGui, QtWidgets, dress

_Style = QtWidgets.QStyle


class ctkCollapsibleButton(dress(QtWidgets.QAbstractButton)):  # type: ignore[misc]
    """A section of a panel. `collapsed` is the opposite of `checked`."""

    contentsCollapsed = QtCore.Signal(bool)
    ownProperties = ("collapsed", "collapsedHeight", "flat", "contentsFrameShape", "contentsLineWidth")

    def __init__(self, text: str | QtWidgets.QWidget | None = None, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent if isinstance(text, str) else text)
        self._collapsed, self._collapsedHeight, self._flat, self._forcing = False, 14, False, False
        self._frameShape, self._lineWidth = 0, 1
        self._wanted: dict[QtWidgets.QWidget, bool] = {}
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Minimum, QtWidgets.QSizePolicy.Policy.Preferred)
        self.setContentsMargins(0, self._titleSize().height(), 0, 0)
        self.setBackgroundRole(QtGui.QPalette.ColorRole.Window)
        if isinstance(text, str):
            self.setText(text)
        self.toggled.connect(lambda checked: self._collapse(not checked))

    collapsed = property(lambda self: self._collapsed, lambda self, value: self.setCollapsed(value))
    collapsedHeight = property(lambda self: self._collapsedHeight, lambda self, value: self.setCollapsedHeight(value))
    flat = property(lambda self: self._flat, lambda self, value: self.setFlat(value))
    contentsFrameShape = property(lambda self: self._frameShape, lambda self, value: self.setContentsFrameShape(value))
    contentsLineWidth = property(lambda self: self._lineWidth, lambda self, value: self.setContentsLineWidth(value))

    def setCollapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    def setCollapsedHeight(self, height: int) -> None:
        self._collapsedHeight = height
        self.updateGeometry()

    def setFlat(self, flat: bool) -> None:
        self._flat = flat
        self.update()

    def setContentsFrameShape(self, shape: int) -> None:
        self._frameShape = shape
        self.update()

    def setContentsLineWidth(self, width: int) -> None:
        self._lineWidth = width
        self.update()

    def _collapse(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        children = [child for child in self.children() if isinstance(child, QtWidgets.QWidget)]
        self._forcing = True
        for child in children:
            if collapsed:
                hidden = child.testAttribute(QtCore.Qt.WidgetAttribute.WA_WState_ExplicitShowHide) and child.isHidden()
                self._wanted[child] = not hidden
                child.setVisible(False)
            else:
                child.setVisible(self._wanted.pop(child, True))
        self._forcing = False
        self._wanted.clear() if not collapsed else None
        self.setMaximumHeight(self.sizeHint().height() if collapsed else 16777215)
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    # --- called by Qt ------------------------------------------------------------------------------------------------

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        if event.type() == QtCore.QEvent.Type.ChildAdded and isinstance(event.child(), QtWidgets.QWidget):
            event.child().installEventFilter(self)
        super().childEvent(event)

    def eventFilter(self, child: QtCore.QObject, event: QtCore.QEvent) -> bool:
        kind = event.type()
        isAboutShowing = kind in (QtCore.QEvent.Type.ShowToParent, QtCore.QEvent.Type.HideToParent)
        if isAboutShowing and self._collapsed and not self._forcing:
            self._wanted[child] = kind == QtCore.QEvent.Type.ShowToParent
            if self._wanted[child]:
                self._forcing = True
                child.setVisible(False)
                self._forcing = False
        return False

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return QtCore.QRect(QtCore.QPoint(0, 0), QtCore.QSize(self.width, self._titleSize().height())).contains(
            position
        )

    def sizeHint(self) -> QtCore.QSize:
        title = self._titleSize()
        if self._collapsed:
            return title + QtCore.QSize(0, self._collapsedHeight)
        return self._contentsHint(minimum=False).expandedTo(title + QtCore.QSize(0, self._collapsedHeight))

    def minimumSizeHint(self) -> QtCore.QSize:
        title = self._titleSize()
        if self._collapsed:
            return title + QtCore.QSize(0, self._collapsedHeight)
        return self._contentsHint(minimum=True).expandedTo(title)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        option = self._titleOption()
        style, height = self.style(), option.rect.height()
        style.drawControl(_Style.ControlElement.CE_PushButtonBevel, option, painter, self)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        size = option.iconSize
        arrow.rect = QtCore.QRect(
            (height - size.width()) // 2, (height - size.height()) // 2, size.width(), size.height()
        )
        pointing = (
            _Style.PrimitiveElement.PE_IndicatorArrowRight
            if self._collapsed
            else _Style.PrimitiveElement.PE_IndicatorArrowDown
        )
        style.drawPrimitive(pointing, arrow, painter, self)
        option.rect.setLeft(arrow.rect.right() + style.pixelMetric(_Style.PixelMetric.PM_CheckBoxLabelSpacing))
        textRect = QtCore.QRect(option.rect)
        textRect.setLeft(arrow.rect.right() + style.pixelMetric(_Style.PixelMetric.PM_CheckBoxLabelSpacing))
        flags = QtCore.Qt.AlignmentFlag.AlignLeft | QtCore.Qt.AlignmentFlag.AlignVCenter
        style.drawItemText(
            painter,
            textRect,
            int(flags) | int(QtCore.Qt.TextFlag.TextShowMnemonic),
            option.palette,
            self.isEnabled(),
            self.text,
            QtGui.QPalette.ColorRole.ButtonText,
        )
        if self._frameShape and not self._collapsed:
            painter.setPen(self.palette.mid().color())
            painter.drawRect(0, height // 2, self.width - 1, self.height - height // 2 - 1)

    # --- measures ----------------------------------------------------------------------------------------------------

    def _contentsHint(self, minimum: bool) -> QtCore.QSize:
        layout = QtWidgets.QWidget.layout(self)
        if layout is None:
            return QtCore.QSize(0, 0)
        return type(layout).mro()[2].minimumSize(layout) if minimum else layout.totalSizeHint()

    def _titleOption(self) -> QtWidgets.QStyleOptionButton:
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.state |= _Style.StateFlag.State_Sunken if self.isDown() else _Style.StateFlag.State_Raised
        if self._flat:
            option.features |= QtWidgets.QStyleOptionButton.ButtonFeature.Flat
        option.text = self.text
        option.iconSize = self._indicatorSize()
        option.rect = QtCore.QRect(0, 0, self.width, self._titleSize().height())
        return option

    def _indicatorSize(self) -> QtCore.QSize:
        style = self.style()
        return QtCore.QSize(
            style.pixelMetric(_Style.PixelMetric.PM_IndicatorWidth),
            style.pixelMetric(_Style.PixelMetric.PM_IndicatorHeight),
        )

    def _titleSize(self) -> QtCore.QSize:
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        indicator = self._indicatorSize()
        text = self.fontMetrics().size(QtCore.Qt.TextFlag.TextShowMnemonic, self.text or "XXXX")
        width = indicator.width() + self.style().pixelMetric(_Style.PixelMetric.PM_CheckBoxLabelSpacing) + text.width()
        contents = QtCore.QSize(width, max(indicator.height(), text.height()))
        return self.style().sizeFromContents(_Style.ContentsType.CT_PushButton, option, contents, self)
