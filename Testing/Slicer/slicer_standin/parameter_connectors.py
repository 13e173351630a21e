"""Which widgets a parameter can be bound to: exactly the pairs that Slicer has.

==========================================  ===========================================================================
widget class (that very class, no subclass)  type of the parameter
==========================================  ===========================================================================
QCheckBox, ctkCheckBox                      bool
QPushButton (becomes checkable)             bool
QSpinBox, QSlider (slider: bounded)         int
QDoubleSpinBox, ctkDoubleSpinBox            float or int (minimum and maximum: the validators', else ±inf)
ctkDoubleSlider, ctkSliderWidget            float or int (ctkSliderWidget: only with WithinRange or Minimum + Maximum)
QComboBox, ctkComboBox                      int, float, str, bool with Choice (the entries become str(choice)); Enum
QLineEdit                                   str
QLabel                                      str (shows, never changes it)
QTextEdit                                   str
ctkPathLineEdit                             pathlib.Path and its kin (an empty path reads back as Path("."))
qMRMLNodeComboBox                           a node class, or a Union of node classes and None
==========================================  ===========================================================================

Not bound (RuntimeError, as there): qMRMLColorTableComboBox, QPlainTextEdit, QDateEdit, QRadioButton, QListWidget,
ctkSearchBox, ctkCollapsibleButton, every list and dict. Slicer's remaining pairs (QColor, FloatRange, parameter packs,
ctkDirectoryButton, qMRML sliders and spin boxes) are not needed here and raise too.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Any

from .parameter_serializers import PATHS
from .parameter_types import (
    Choice,
    Decimals,
    Maximum,
    Minimum,
    SingleStep,
    WithinRange,
    findFirstAnnotation,
    getNodeTypes,
    isNodeOrUnionOfNodes,
    splitAnnotations,
)


class GuiConnector:
    """A widget as the bearer of one value."""

    signal = ""

    def __init__(self, widget: Any) -> None:
        self._widget = widget
        self._callback: Callable[[], None] | None = None

    def widget(self) -> Any:
        return self._widget

    def onChanged(self, callback: Callable[[], None] | None) -> None:
        self._callback = callback
        if self.signal:
            signal = getattr(self._widget, self.signal)
            signal.disconnect(self.changed) if callback is None else signal.connect(self.changed)

    def changed(self) -> None:
        if self._callback:
            self._callback()

    def read(self) -> Any:
        raise NotImplementedError

    def write(self, value: Any) -> None:
        raise NotImplementedError


class _Attribute(GuiConnector):
    """A widget whose value is one property."""

    def __init__(self, widget: Any, attribute: str, signal: str, kind: Any) -> None:
        super().__init__(widget)
        self._attribute, self.signal, self._kind = attribute, signal, kind

    def read(self) -> Any:
        return self._kind(getattr(self._widget, self._attribute))

    def write(self, value: Any) -> None:
        shown = str(value) if self._kind in PATHS else self._kind(value)
        if self._kind is not str or shown != getattr(self._widget, self._attribute):
            setattr(self._widget, self._attribute, shown)


class _PlainText(GuiConnector):
    signal = "textChanged"

    def read(self) -> str:
        return self._widget.toPlainText()

    def write(self, value: str) -> None:
        self._widget.setPlainText(value)


class _Entries(GuiConnector):
    """A combo box of choices or of an enum's members."""

    signal = "currentIndexChanged"

    def __init__(self, widget: Any, entries: list[tuple[str, Any]]) -> None:
        super().__init__(widget)
        self._entries = entries
        widget.clear()
        for text, _ in entries:
            widget.addItem(text)

    def read(self) -> Any:
        return self._entries[self._widget.currentIndex][1]

    def write(self, value: Any) -> None:
        for index, (_, entry) in enumerate(self._entries):
            if entry == value:
                self._widget.currentIndex = index
                return
        raise ValueError(f"{value} is none of the entries")


class _Node(GuiConnector):
    signal = "currentNodeChanged"

    def __init__(self, widget: Any, datatype: Any) -> None:
        super().__init__(widget)
        widget.nodeTypes = getNodeTypes(datatype)

    def read(self) -> Any:
        return self._widget.currentNode()

    def write(self, value: Any) -> None:
        self._widget.setCurrentNode(value)


def createGuiConnector(widget: Any, datatype: Any) -> GuiConnector:
    """The connector of a widget and an (annotated) type; RuntimeError where Slicer has none."""
    import ctk
    import qt
    import slicer

    kind, annotations = splitAnnotations(datatype)
    is_ = type(widget)
    if kind is bool and is_ in (qt.QCheckBox, ctk.ctkCheckBox):
        return _Attribute(widget, "checked", "stateChanged", bool)
    if kind is bool and is_ is qt.QPushButton:
        if not widget.checkable:
            logging.warning("made a push button checkable for a bool parameter: %s", widget.objectName)
            widget.checkable = True
        return _Attribute(widget, "checked", "toggled", bool)
    if kind is int and is_ in (qt.QSlider, qt.QSpinBox):
        return _wholeNumber(widget, annotations, is_ is qt.QSlider)
    if kind in (float, int) and is_ in (
        qt.QDoubleSpinBox,
        ctk.ctkSliderWidget,
        ctk.ctkDoubleSlider,
        ctk.ctkDoubleSpinBox,
    ):
        return _number(widget, kind, annotations, is_)
    if is_ in (qt.QComboBox, ctk.ctkComboBox) and (kind in (int, float, str, bool) or _isEnum(kind)):
        return _Entries(widget, _entries(kind, annotations))
    if kind is str and is_ is qt.QLineEdit:
        return _Attribute(widget, "text", "textChanged", str)
    if kind is str and is_ is qt.QLabel:
        return _Attribute(widget, "text", "", str)
    if kind is str and is_ is qt.QTextEdit:
        return _PlainText(widget)
    if kind in PATHS and is_ is ctk.ctkPathLineEdit:
        return _Attribute(widget, "currentPath", "currentPathChanged", kind)
    if is_ is slicer.qMRMLNodeComboBox and isNodeOrUnionOfNodes(datatype):
        return _Node(widget, datatype)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{datatype}' to widget type '{is_}'.")


def _isEnum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _entries(kind: Any, annotations: tuple[Any, ...]) -> list[tuple[str, Any]]:
    if _isEnum(kind):
        label = getattr(kind, "label", lambda member: member.name)
        return [(label(member), member) for member in kind]
    choice = findFirstAnnotation(annotations, Choice)
    if choice is None:
        raise RuntimeError("a combo box needs a Choice annotation")
    return [(str(entry), entry) for entry in choice.choices]


def _bounds(annotations: tuple[Any, ...], low: float, high: float) -> tuple[float, float, bool]:
    """Minimum, maximum, and whether both were given."""
    both = findFirstAnnotation(annotations, WithinRange)
    if both is not None:
        return both.minimum, both.maximum, True
    minimum, maximum = findFirstAnnotation(annotations, Minimum), findFirstAnnotation(annotations, Maximum)
    bounded = minimum is not None and maximum is not None
    return minimum.minimum if minimum else low, maximum.maximum if maximum else high, bounded


def _wholeNumber(widget: Any, annotations: tuple[Any, ...], isSlider: bool) -> GuiConnector:
    low, high, bounded = _bounds(annotations, -(2**31), 2**31 - 1)
    if isSlider and not bounded:
        raise RuntimeError("a slider needs a bounded int")
    step = findFirstAnnotation(annotations, SingleStep)
    if step is not None:
        widget.singleStep = step.value
    widget.setRange(low, high)
    return _Attribute(widget, "value", "valueChanged", int)


def _number(widget: Any, kind: Any, annotations: tuple[Any, ...], widgetClass: type) -> GuiConnector:
    import ctk

    low, high, bounded = _bounds(annotations, float("-inf"), float("inf"))
    if widgetClass is ctk.ctkSliderWidget and not bounded:
        raise RuntimeError("a ctkSliderWidget needs a bounded number")
    decimals, step = findFirstAnnotation(annotations, Decimals), findFirstAnnotation(annotations, SingleStep)
    if widgetClass is not ctk.ctkDoubleSlider and (kind is int or decimals is not None):
        widget.decimals = 0 if kind is int else decimals.value
    if step is not None:
        widget.singleStep = step.value
    widget.minimum, widget.maximum = low, high
    return _Attribute(widget, "value", "valueChanged", kind)
