"""Qt takes for mark-up whatever looks like it: words from headers and tables are to be read, not obeyed."""

from __future__ import annotations

import logging
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pydicom
import pytest
from failing_panel import press_load

from PRRTPredictorCore.cohort.synthetic import make_patient
from PRRTPredictorCore.errors import Code, InputRefused

UI = Path(__file__).parents[2] / "PRRTPredictor" / "Resources" / "UI" / "PRRTPredictor.ui"
NAME = "<img src='file:///x.png'><b>A</b>"
MAKER = "<i>GE</i> MEDICAL SYSTEMS"


def shown(text: str) -> str:
    """What a tool tip, a dialog or a label of either kind shows of a text."""

    from PySide6.QtGui import Qt, QTextDocumentFragment

    return QTextDocumentFragment.fromHtml(text).toPlainText() if Qt.mightBeRichText(text) else text


def test_labels_that_are_filled_later_say_whether_they_take_mark_up() -> None:
    """One that leaves it to Qt would obey a manufacturer's name."""
    labels = [widget for widget in ElementTree.parse(UI).iter("widget") if widget.get("class") == "QLabel"]
    assert len(labels) > 30
    undecided = []
    for label in labels:
        properties = {one.get("name"): "".join(one.itertext()).strip() for one in label.findall("property")}
        if not properties.get("text") and not re.search("Chart", str(label.get("name"))):
            undecided += [label.get("name")] if "textFormat" not in properties else []
    assert undecided == []


@pytest.mark.parametrize("text", ["plain words", "5 < 6", NAME, "<qt>x", "a & b\n<b>c</b>", "&lt;b&gt;"])
def test_words_are_shown_as_they_are(text: str, host: Any) -> None:
    from PRRTPredictorLib.Messages import unmarked

    assert shown(unmarked(text)) == text


def test_an_error_shows_a_files_name_as_it_is_and_does_not_log_it(host: Any, caplog: pytest.LogCaptureFixture) -> None:
    from PRRTPredictorLib.Messages import showError

    caplog.set_level(logging.DEBUG)
    showError(InputRefused(Code.NO_CT, "There is no CT.", where="<b>x</b>.dcm", remedy="Import it."))
    (message,) = host.dialogs.errors
    host.dialogs.clear()
    assert "<b>x</b>.dcm" in shown(message.text)
    assert "NO_CT" in caplog.text
    assert "There is no CT" not in caplog.text


def test_a_study_with_hostile_words_is_listed_and_loaded(
    host: Any, panel: Any, private_places: None, tmp_path: Path
) -> None:
    from DICOMLib import DICOMUtils

    patient = make_patient(tmp_path / "made", seed=7)
    folder = tmp_path / "hostile"
    shutil.copytree(patient.pet.parent, folder)
    for path in folder.rglob("*.dcm"):
        header = pydicom.dcmread(path)
        header.PatientName, header.PatientID, header.SeriesDescription = NAME, "../../x", "=cmd()<u>"
        header.Manufacturer = MAKER
        header.save_as(path)
    DICOMUtils.importDicom(str(folder), panel.database)
    press_load(panel)
    assert host.dialogs.errors == []
    cell = panel.ui.studyTable.item(0, 0)
    assert NAME in cell.text()
    assert NAME in shown(cell.toolTip())
    assert "../../x" in shown(cell.toolTip())
    status = panel.ui.studyStatusLabel
    assert MAKER in status.text
    assert int(status.textFormat) == 0, "Qt::PlainText"
    assert panel.parameterNode.petVolume is not None
