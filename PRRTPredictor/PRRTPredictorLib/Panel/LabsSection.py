"""Laboratory values: four fields with units, two dates, the De Ritis ratio, and at each field what is wrong with it."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar

import qt
from slicer.i18n import tr as _

from PRRTPredictorCore.records import LABS
from PRRTPredictorLib.LabSheet import LabEntry, LabSheet
from PRRTPredictorLib.Panel import Panel, Section
from PRRTPredictorLib.Panel.Colours import showAlert
from PRRTPredictorLib.Panel.Fields import Field


def labSheetOf(node: Any) -> LabSheet:
    """The laboratory values that a parameter node holds.

    Parameters
    ----------
    node : PRRTPredictorParameterNode
    """
    entries = {lab: _entry(getattr(node, lab), getattr(node, f"{lab}Unit")) for lab in LABS}
    return LabSheet(**entries, sampledOn=_day(node.labsDate), firstCycle=_day(node.firstCycleDate))


def _entry(value: float, unit: str) -> LabEntry:
    return LabEntry(value if value > 0 else None, unit)


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


class DateField(Field):
    """A check box and a ``QDateEdit`` for a date that may be left out; ISO 8601 or "" in the parameter node.

    Not a special value of the date edit: its calendar would open in the year of that value.
    """

    def __init__(self, name: str, checkBox: Any, dateEdit: Any) -> None:
        super().__init__(name)
        self.checkBox = checkBox
        self.dateEdit = dateEdit
        dateEdit.setDate(qt.QDate.currentDate())
        dateEdit.setEnabled(False)
        checkBox.connect("toggled(bool)", self._toggled)
        dateEdit.connect("dateChanged(QDate)", self.edited)

    def read(self) -> str:
        """The date, "" where none is given."""
        return self.dateEdit.date.toString("yyyy-MM-dd") if self.checkBox.checked else ""

    def write(self, value: str) -> None:
        """Show the date; one that is not given leaves what the calendar stands at."""
        self.checkBox.setChecked(bool(value))
        self.dateEdit.setEnabled(bool(value))
        if value:
            self.dateEdit.setDate(qt.QDate.fromString(value, "yyyy-MM-dd"))

    def _toggled(self, given: bool) -> None:
        self.dateEdit.setEnabled(given)
        self.edited()


class LabsSection(Section):
    """Shows and keeps the blood values; the values and units themselves are bound in the .ui file."""

    buttonName: ClassVar[str] = "labsCollapsibleButton"

    def __init__(self, ui: Any, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._dates = (
            DateField("labsDate", ui.labsDateCheckBox, ui.labsDateEdit),
            DateField("firstCycleDate", ui.firstCycleDateCheckBox, ui.firstCycleDateEdit),
        )
        self._spinBoxes = {lab: getattr(ui, f"{lab}SpinBox") for lab in LABS}
        self._remarks = {field: getattr(ui, f"{field}RemarkLabel") for field in (*LABS, "sampledOn", "firstCycle")}

    def connectWidgets(self) -> None:
        """Nothing is remarked while there is nothing to remark on."""
        for label in self._remarks.values():
            label.setVisible(False)

    def setParameterNode(self, node: Any | None) -> None:
        """Bind the dates by hand: Slicer has no connector for them."""
        for field in self._dates:
            field.bind(node)
        super().setParameterNode(node)

    def sheet(self) -> LabSheet:
        """The values as they stand in the fields, the one that is just being typed included."""
        for spinBox in self._spinBoxes.values():
            spinBox.interpretText()
        return labSheetOf(self.panel.parameterNode)

    def refresh(self) -> None:
        """Show dates, remarks and the De Ritis ratio of the current values."""
        node = self.panel.parameterNode
        if node is None:
            return
        for field in self._dates:
            field.refresh()
        sheet = labSheetOf(node)
        given = {lab for lab, entry in sheet.entries().items() if entry.given}
        remarks = sheet.remarks()
        for field, label in self._remarks.items():
            # An empty field says so itself; dates matter once there are values.
            worthSaying = field in given if field in LABS else bool(given)
            remark = remarks.get(field, "") if worthSaying else ""
            showAlert(label, remark, alert=field in LABS or field in sheet.refused)
        ratio = sheet.deRitis
        self.ui.deRitisLabel.setText(_("needs AST and ALT") if ratio is None else f"{ratio:.2f}")
