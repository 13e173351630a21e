"""Laboratory values: what is typed is what is kept, and what is wrong with it stands at the field."""

from __future__ import annotations

from typing import Any

import pytest

from PRRTPredictorCore.cohort.labs import accepted_units
from PRRTPredictorCore.errors import Code, LabRefused
from PRRTPredictorCore.records import LABS

REMARKS = (*LABS, "sampledOn", "firstCycle")


def remark(panel: Any, field: str) -> str:
    label = getattr(panel.ui, f"{field}RemarkLabel")
    assert label.isHidden() == (label.text == ""), f"{field}: an empty remark takes no room, a remark is shown"
    return label.text


def enter(panel: Any, **values: float) -> None:
    for lab, value in values.items():
        getattr(panel.ui, f"{lab}SpinBox").setValue(value)


def set_date(panel: Any, name: str, iso: str) -> None:
    import qt

    getattr(panel.ui, f"{name}CheckBox").setChecked(True)
    getattr(panel.ui, f"{name}Edit").setDate(qt.QDate.fromString(iso, "yyyy-MM-dd"))


def test_an_untouched_form_is_empty_and_quiet(panel: Any) -> None:
    sheet = panel.labSheet()
    assert not any(entry.given for entry in sheet.entries().values())
    assert (sheet.sampledOn, sheet.firstCycle) == (None, None)
    assert {field: remark(panel, field) for field in REMARKS} == dict.fromkeys(REMARKS, "")
    assert panel.ui.astSpinBox.text == "not given"
    assert not panel.ui.labsDateEdit.enabled
    assert panel.ui.deRitisLabel.text == "needs AST and ALT"


def test_the_units_offered_are_those_of_the_core(panel: Any) -> None:
    for lab in LABS:
        box = getattr(panel.ui, f"{lab}UnitComboBox")
        assert tuple(box.itemText(i) for i in range(box.count)) == accepted_units(lab)


def test_values_reach_the_labs_in_their_units(panel: Any) -> None:
    enter(panel, ast=0.5, alt=24, ggt=55, cga=120.5)
    panel.ui.astUnitComboBox.setCurrentIndex(accepted_units("ast").index("µkat/L"))
    assert panel.labSheet().labs().values() == (30, 24, 55, 120.5)
    assert panel.ui.deRitisLabel.text == "1.25"


def test_a_refused_value_is_marked_at_its_field_only_and_says_what_to_do(panel: Any) -> None:
    enter(panel, ast=30, alt=24, ggt=55_555, cga=120)
    assert "beyond what can be believed" in remark(panel, "ggt")
    assert "accepted" in remark(panel, "ggt")
    assert panel.ui.ggtRemarkLabel.styleSheet
    assert [field for field in LABS if remark(panel, field)] == ["ggt"]
    with pytest.raises(LabRefused):
        panel.labSheet().labs()
    enter(panel, ggt=55)
    assert remark(panel, "ggt") == ""


def test_an_unusual_value_is_marked_but_accepted(panel: Any) -> None:
    enter(panel, ast=30, alt=24, ggt=1800, cga=120)
    assert "unusually high" in remark(panel, "ggt")
    assert panel.labSheet().labs().ggt_u_per_l == 1800


def test_a_number_is_never_cut_to_fit_the_field(panel: Any) -> None:
    enter(panel, ast=12_345, cga=1_234_567)
    assert panel.labSheet().ast.value == 12_345
    assert panel.labSheet().cga.value == 1_234_567
    assert remark(panel, "ast")
    assert remark(panel, "cga")


def test_blood_older_than_28_days_is_marked_with_the_reason(panel: Any) -> None:
    enter(panel, ast=30, alt=24, ggt=55, cga=120)
    set_date(panel, "labsDate", "2026-01-01")
    assert "first cycle" in remark(panel, "firstCycle")
    set_date(panel, "firstCycleDate", "2026-01-29")
    assert remark(panel, "sampledOn") == remark(panel, "firstCycle") == ""
    set_date(panel, "firstCycleDate", "2026-01-30")
    assert "29 days before" in remark(panel, "sampledOn")
    with pytest.raises(LabRefused) as refusal:
        panel.labSheet().labs()
    assert refusal.value.code == Code.LAB_DATE
    panel.ui.firstCycleDateCheckBox.setChecked(False)
    assert panel.labSheet().firstCycle is None
    assert "29 days" not in remark(panel, "sampledOn")


def test_what_is_being_typed_is_kept_as_typed(panel: Any) -> None:
    """Key by key: neither the parameter node nor the field may interfere with "28.5"."""
    from PySide6.QtTest import QTest

    box = panel.ui.astSpinBox
    box.setFocus()
    box.selectAll()
    QTest.keyClicks(box, "28.5")
    assert box.cleanText == "28.5"
    assert panel.labSheet().ast.value == 28.5, "Predict pressed without leaving the field"
    assert panel.parameterNode.ast == 28.5


def test_the_state_is_in_the_parameter_node_alone(panel: Any) -> None:
    node = panel.parameterNode
    node.alt, node.altUnit, node.labsDate = 0.4, "µkat/L", "2026-02-03"
    assert panel.ui.altSpinBox.value == 0.4
    assert panel.ui.altUnitComboBox.currentText == "µkat/L"
    assert panel.ui.labsDateEdit.date.toString("yyyy-MM-dd") == "2026-02-03"
    assert panel.ui.labsDateCheckBox.checked
    node.labsDate = ""
    assert not panel.ui.labsDateCheckBox.checked
