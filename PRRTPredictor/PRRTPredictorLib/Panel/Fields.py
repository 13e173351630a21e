"""Widgets bound to the parameter node by hand: those for which Slicer has no connector, or a misleading one.

Slicer's connector shows an empty path as ".", and fills a combo box with the stored words instead of translated titles;
it has none for a list with check boxes, a pair of radio buttons or a colour table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt


class Field:
    """A widget and the parameter that it shows; whoever changes, the other follows."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._node: Any | None = None
        self._writing = False

    def bind(self, node: Any | None) -> None:
        """Follow the parameter of another node; None lets go."""
        self._node = node
        self.refresh()

    def refresh(self) -> None:
        """Show the parameter's value where the widget shows another."""
        if self._node is None or self._writing:
            return
        self._writing = True
        try:
            self.write(getattr(self._node, self.name))
        finally:
            self._writing = False

    def edited(self, *_: Any) -> None:
        """Store what the user chose; the slot of the widget's signal."""
        if self._node is None or self._writing:
            return
        self._writing = True
        try:
            setattr(self._node, self.name, self.read())
        finally:
            self._writing = False

    def read(self) -> Any:
        """The widget's value."""
        raise NotImplementedError

    def write(self, value: Any) -> None:
        """Show ``value``."""
        raise NotImplementedError


class PathField(Field):
    """A ``ctkPathLineEdit``; empty for ``Path()``."""

    def __init__(self, name: str, widget: Any) -> None:
        super().__init__(name)
        self.widget = widget
        widget.connect("currentPathChanged(QString)", self.edited)
        # The widget takes an empty path for an invalid one, and tells of it by this signal alone.
        widget.connect("validInputChanged(bool)", self.edited)

    def read(self) -> Path:
        """The path as typed."""
        return Path(self.widget.currentPath.strip())

    def write(self, value: Path) -> None:
        """Show the path, unless the same one is there already: a half-typed "folder/" must not lose its slash."""
        if self.read() != value:
            self.widget.currentPath = "" if value == Path() else str(value)


@dataclass(frozen=True)
class Choice:
    """One item of a combo box: what is stored, what is read, and what the pointer explains."""

    value: str
    title: str
    tip: str = ""


class ChoiceField(Field):
    """A ``QComboBox`` with translated titles."""

    def __init__(self, name: str, widget: Any, choices: Sequence[Choice]) -> None:
        super().__init__(name)
        self.widget = widget
        self._values = [choice.value for choice in choices]
        widget.clear()
        for row, choice in enumerate(choices):
            widget.addItem(choice.title)
            widget.setItemData(row, choice.tip, qt.Qt.ToolTipRole)
        widget.connect("currentIndexChanged(int)", self.edited)

    def read(self) -> str:
        """The chosen value."""
        return self._values[max(self.widget.currentIndex, 0)]

    def write(self, value: str) -> None:
        """Choose the item of that value; an unknown one leaves the choice."""
        if value in self._values:
            self.widget.setCurrentIndex(self._values.index(value))


class ChecklistField(Field):
    """A ``QListWidget`` with a check box an item, for a list of names; no name stands for all of them.

    One item always stays checked, since unchecking the last would mean to check all.
    """

    def __init__(self, name: str, widget: Any, choices: Sequence[Choice]) -> None:
        super().__init__(name)
        self.widget = widget
        self._values = [choice.value for choice in choices]
        for row, choice in enumerate(choices):
            widget.addItem(choice.title)
            item = widget.item(row)
            item.setToolTip(choice.tip)
            item.setCheckState(qt.Qt.Unchecked)
        widget.connect("itemChanged(QListWidgetItem*)", self.edited)

    def edited(self, *_: Any) -> None:
        """Store the checked names; the last one cannot be unchecked."""
        if self.read():
            super().edited()
        else:
            self.refresh()

    def read(self) -> list[str]:
        """The checked names, in the order of the list."""
        return [value for row, value in enumerate(self._values) if self.widget.item(row).checkState() == qt.Qt.Checked]

    def write(self, value: Sequence[str]) -> None:
        """Check the given names, and no other."""
        for row, name in enumerate(self._values):
            checked = name in value or not value
            self.widget.item(row).setCheckState(qt.Qt.Checked if checked else qt.Qt.Unchecked)


class RadioField(Field):
    """Radio buttons, one a value."""

    def __init__(self, name: str, buttons: Mapping[str, Any]) -> None:
        super().__init__(name)
        self._buttons = buttons
        for button in buttons.values():
            button.connect("clicked(bool)", self.edited)

    def read(self) -> str:
        """The value of the button that is down."""
        return next(value for value, button in self._buttons.items() if button.checked)

    def write(self, value: str) -> None:
        """Press the button of that value."""
        self._buttons[value].setChecked(True)


class NodeField(Field):
    """A ``qMRMLColorTableComboBox``, which is a node combo box of another class than Slicer's connector takes."""

    def __init__(self, name: str, widget: Any) -> None:
        super().__init__(name)
        self.widget = widget
        widget.connect("currentNodeChanged(vtkMRMLNode*)", self.edited)

    def read(self) -> Any | None:
        """The chosen node."""
        return self.widget.currentNode()

    def write(self, value: Any | None) -> None:
        """Choose that node."""
        if self.widget.currentNode() is not value:
            self.widget.setCurrentNode(value)
