"""ctk's number widgets: spin box and slider with spin box."""

from __future__ import annotations

from typing import Any

from .pythonqt import QtCore, QtWidgets, dress


def passedOn(part: str, name: str) -> property:
    """A property that belongs to an inner widget."""
    return property(
        lambda self: getattr(getattr(self, part), name), lambda self, value: setattr(getattr(self, part), name, value)
    )


class ctkDoubleSpinBox(dress(QtWidgets.QDoubleSpinBox)):  # type: ignore[misc]
    """A spin box for floating point numbers."""

    ownProperties = ("invertedControls",)
    decimalsChanged = QtCore.Signal(int)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._inverted = False

    invertedControls = property(lambda self: self._inverted, lambda self, value: self.setInvertedControls(value))

    def setInvertedControls(self, inverted: bool) -> None:
        self._inverted = inverted


class ctkDoubleSlider(dress(QtWidgets.QWidget)):  # type: ignore[misc]
    """A slider for floating point numbers."""

    valueChanged = QtCore.Signal(float)
    sliderPressed = QtCore.Signal()
    sliderReleased = QtCore.Signal()
    ownProperties = ("minimum", "maximum", "value", "singleStep", "pageStep", "tracking", "orientation")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._minimum, self._maximum, self._singleStep, self._pageStep, self._value = 0.0, 99.0, 1.0, 10.0, 0.0
        self._slider = dress(QtWidgets.QSlider)(QtCore.Qt.Orientation.Horizontal, self)
        layout = dress(QtWidgets.QHBoxLayout)(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        self._refresh()
        self._slider.valueChanged.connect(self._onMoved)
        self._slider.sliderPressed.connect(lambda: self.sliderPressed.emit())
        self._slider.sliderReleased.connect(lambda: self.sliderReleased.emit())

    minimum = property(lambda self: self._minimum, lambda self, value: self.setMinimum(value))
    maximum = property(lambda self: self._maximum, lambda self, value: self.setMaximum(value))
    value = property(lambda self: self._value, lambda self, value: self.setValue(value))
    singleStep = property(lambda self: self._singleStep, lambda self, value: self.setSingleStep(value))
    pageStep = property(lambda self: self._pageStep, lambda self, value: self.setPageStep(value))
    orientation = passedOn("_slider", "orientation")
    tracking = passedOn("_slider", "tracking")

    def setMinimum(self, minimum: float) -> None:
        self.setRange(minimum, max(minimum, self._maximum))

    def setMaximum(self, maximum: float) -> None:
        self.setRange(min(self._minimum, maximum), maximum)

    def setRange(self, minimum: float, maximum: float) -> None:
        self._minimum, self._maximum = float(minimum), float(maximum)
        self._refresh()
        self.setValue(self._value)

    def setSingleStep(self, step: float) -> None:
        self._singleStep = float(step)
        self._refresh()

    def setPageStep(self, step: float) -> None:
        self._pageStep = float(step)
        self._refresh()

    def setValue(self, value: float) -> None:
        value = min(max(float(value), self._minimum), self._maximum)
        changed, self._value = value != self._value, value
        self._slider.blockSignals(True)
        self._slider.setValue(round((value - self._minimum) / self._singleStep))
        self._slider.blockSignals(False)
        if changed:
            self.valueChanged.emit(value)

    def _refresh(self) -> None:
        self._slider.blockSignals(True)
        self._slider.setRange(0, round((self._maximum - self._minimum) / self._singleStep))
        self._slider.setPageStep(max(1, round(self._pageStep / self._singleStep)))
        self._slider.setValue(round((self._value - self._minimum) / self._singleStep))
        self._slider.blockSignals(False)

    def _onMoved(self, position: int) -> None:
        self.setValue(self._minimum + position * self._singleStep)


class ctkSliderWidget(dress(QtWidgets.QWidget)):  # type: ignore[misc]
    """A slider with its number beside it. `valueChanged` waits for the mouse button unless `tracking`."""

    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)
    decimalsChanged = QtCore.Signal(int)
    ownProperties = (
        "decimals",
        "minimum",
        "maximum",
        "singleStep",
        "pageStep",
        "value",
        "prefix",
        "suffix",
        "tracking",
        "spinBoxVisible",
    )

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._tracking, self._changing, self._before = True, False, 0.0
        self._slider, self._spinBox = ctkDoubleSlider(self), ctkDoubleSpinBox(self)
        self._slider.setObjectName("Slider")
        self._spinBox.setObjectName("SpinBox")
        self._spinBox.setRange(0.0, 99.0)
        layout = dress(QtWidgets.QHBoxLayout)(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spinBox)
        self._slider.valueChanged.connect(self._onSlider)
        self._slider.sliderPressed.connect(self._onPressed)
        self._slider.sliderReleased.connect(self._onReleased)
        self._spinBox.valueChanged.connect(self._slider.setValue)

    minimum = property(lambda self: self._slider.minimum, lambda self, value: self.setMinimum(value))
    maximum = property(lambda self: self._slider.maximum, lambda self, value: self.setMaximum(value))
    decimals = property(lambda self: self._spinBox.decimals, lambda self, value: self.setDecimals(value))
    singleStep = property(lambda self: self._slider.singleStep, lambda self, value: self.setSingleStep(value))
    pageStep = property(lambda self: self._slider.pageStep, lambda self, value: self.setPageStep(value))
    prefix = passedOn("_spinBox", "prefix")
    suffix = passedOn("_spinBox", "suffix")
    tracking = property(lambda self: self._tracking, lambda self, value: self.setTracking(value))
    spinBoxVisible = property(lambda self: not self._spinBox.isHidden(), lambda self, on: self.setSpinBoxVisible(on))
    value = property(
        lambda self: self._before if self._changing else self._slider.value, lambda self, value: self.setValue(value)
    )

    def setMinimum(self, minimum: float) -> None:
        self._spinBox.setMinimum(minimum)
        self._slider.setMinimum(minimum)

    def setMaximum(self, maximum: float) -> None:
        self._spinBox.setMaximum(maximum)
        self._slider.setMaximum(maximum)

    def setRange(self, minimum: float, maximum: float) -> None:
        self._spinBox.setRange(minimum, maximum)
        self._slider.setRange(minimum, maximum)

    def setDecimals(self, decimals: int) -> None:
        self._spinBox.setDecimals(decimals)
        self.decimalsChanged.emit(decimals)

    def setSingleStep(self, step: float) -> None:
        self._spinBox.setSingleStep(step)
        self._slider.setSingleStep(step)

    def setPageStep(self, step: float) -> None:
        self._slider.setPageStep(step)

    def setPrefix(self, prefix: str) -> None:
        self._spinBox.setPrefix(prefix)

    def setSuffix(self, suffix: str) -> None:
        self._spinBox.setSuffix(suffix)

    def setTracking(self, tracking: bool) -> None:
        self._tracking = bool(tracking)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._spinBox.setVisible(visible)

    def setValue(self, value: float) -> None:
        self._changing = False
        self._slider.setValue(value)

    def spinBox(self) -> ctkDoubleSpinBox:
        return self._spinBox

    def slider(self) -> ctkDoubleSlider:
        return self._slider

    def _onSlider(self, value: float) -> None:
        self._spinBox.blockSignals(True)
        self._spinBox.setValue(value)
        self._spinBox.blockSignals(False)
        self.valueIsChanging.emit(value)
        if not self._changing:
            self.valueChanged.emit(value)

    def _onPressed(self) -> None:
        if not self._tracking:
            self._before, self._changing = self._slider.value, True

    def _onReleased(self) -> None:
        changing, self._changing = self._changing, False
        if changing and self._slider.value != self._before:
            self.valueChanged.emit(self._slider.value)


def numberWidgets() -> dict[str, Any]:
    """The classes of this module by name."""
    return {kind.__name__: kind for kind in (ctkDoubleSpinBox, ctkDoubleSlider, ctkSliderWidget)}
