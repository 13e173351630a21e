"""Laboratory values: four fields with units, two dates, the De Ritis ratio, and at each field what is wrong with it."""

from __future__ import annotations

from datetime import date
from typing import Any

import qt
from slicer.i18n import tr as _

from PRRTPredictorCore.records import LABS
from PRRTPredictorLib.LabSheet import LabEntry, LabSheet
from PRRTPredictorLib.Panel import Panel, Section
from PRRTPredictorLib.Panel.Fields import Field
from PRRTPredictorLib.Panel.Labels import showAlert


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
    """The day in a parameter; None also for a text that no date field has written."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


class NumberField(Field):
    """A ``QDoubleSpinBox`` that keeps each digit as it is typed, and is emptied by deleting what stands in it.

    Not Slicer's connector: that one writes the value back after each key, so that "28" becomes "28.00" and takes no
    further decimal.
    """

    def __init__(self, name: str, spinBox: Any) -> None:
        super().__init__(name)
        self.spinBox = spinBox
        spinBox.connect("valueChanged(double)", self.edited)
        spinBox.findChild(qt.QLineEdit).connect("textEdited(QString)", self._typed)

    def read(self) -> float:
        """The number; 0 where none is given."""
        return float(self.spinBox.value)

    def write(self, value: float) -> None:
        """Show the number, unless it stands there already, perhaps half typed."""
        if self.spinBox.value != value:
            self.spinBox.setValue(value)

    def _typed(self, text: str) -> None:
        if not text.strip():  # Qt would bring the former number back
            self.spinBox.setValue(self.spinBox.minimum)
            self.spinBox.selectAll()


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
    """Shows and keeps the blood values, and says at each field what is wrong with it."""

    def __init__(self, ui: Any, panel: Panel) -> None:
        super().__init__(ui, panel)
        self.fields = (
            *(NumberField(lab, getattr(ui, f"{lab}SpinBox")) for lab in LABS),
            DateField("labsDate", ui.labsDateCheckBox, ui.labsDateEdit),
            DateField("firstCycleDate", ui.firstCycleDateCheckBox, ui.firstCycleDateEdit),
        )
        self._remarks = {name: getattr(ui, f"{name}RemarkLabel") for name in (*LABS, "sampledOn", "firstCycle")}

    def connectWidgets(self) -> None:
        """Nothing is remarked while there is nothing to remark on."""
        for label in self._remarks.values():
            label.setVisible(False)

    def show(self, node: Any) -> None:
        """Show dates, remarks and the De Ritis ratio of the current values."""
        sheet = labSheetOf(node)
        given = {lab for lab, entry in sheet.entries().items() if entry.given}
        remarks = sheet.remarks()
        datesJudged = None not in (sheet.sampledOn, sheet.firstCycle)
        for name, label in self._remarks.items():
            # An empty field says so itself; dates matter once there are values.
            worthSaying = name in given if name in LABS else bool(given)
            remark = remarks.get(name, "") if worthSaying else ""
            showAlert(label, remark, alert=name in LABS or datesJudged)
        ratio = sheet.deRitis
        self.ui.deRitisLabel.setText(_("needs AST and ALT") if ratio is None else f"{ratio:.2f}")
