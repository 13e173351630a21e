"""Study: the PET/CT studies of Slicer's DICOM database, or two volumes of the scene."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from PRRTPredictorCore.cohort.labs import accepted_units
from PRRTPredictorCore.errors import PRRTError
from PRRTPredictorCore.progress import Progress
from PRRTPredictorCore.records import LABS
from PRRTPredictorLib.Database import StudyRow, findPair, listStudies
from PRRTPredictorLib.DemoPatient import createDemoPatient, demoClinic
from PRRTPredictorLib.Display import showStudy
from PRRTPredictorLib.Messages import describe, reporting, unmarked
from PRRTPredictorLib.Panel import Panel, Section
from PRRTPredictorLib.Panel.Fitting import breakLongText, stackLongRows
from PRRTPredictorLib.Panel.Labels import showAlert
from PRRTPredictorLib.Panel.ProgressDialog import progressDialog
from PRRTPredictorLib.Panel.StudyWords import describeStudy, studyUidOf
from PRRTPredictorLib.Study import addStudy, loadPair, suvPerUnitOf

DATE_COLUMN = 1
VISIBLE_ROWS = 5


class StudySection(Section):
    """Chooses the study: fills ``petVolume`` and ``ctVolume`` of the parameter node."""

    def __init__(self, ui: Any, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._shown: tuple[Any, Any] | None = None
        self._demoStudy = ""

    def connectWidgets(self) -> None:
        """Let the table fill the width, the date always readable, and connect the buttons."""
        table = self.ui.studyTable
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.Stretch)
        header.setSectionResizeMode(DATE_COLUMN, qt.QHeaderView.ResizeToContents)
        header.setDefaultAlignment(qt.Qt.AlignLeft | qt.Qt.AlignVCenter)  # a narrow column shows how its title begins
        header.setSortIndicator(DATE_COLUMN, qt.Qt.DescendingOrder)
        rowHeight = table.verticalHeader().defaultSectionSize
        table.setMinimumHeight(header.sizeHint.height() + VISIBLE_ROWS * rowHeight)
        table.connect("itemSelectionChanged()", self._showSelection)
        table.connect("cellDoubleClicked(int,int)", self._onDoubleClick)
        self.ui.studySearchBox.connect("textChanged(QString)", self._onFilter)
        self.ui.loadStudyButton.connect("clicked(bool)", self._onLoad)
        self.ui.refreshStudiesButton.connect("clicked(bool)", self._onRefresh)
        self.ui.dicomModuleButton.connect("clicked(bool)", self._onDicomModule)
        self.ui.demoPatientButton.connect("clicked(bool)", self._onDemoPatient)
        self.ui.showVolumesButton.connect("clicked(bool)", self._onShow)
        breakLongText(self.ui.demoPatientButton, self.ui.assumeUnitsCheckBox)
        stackLongRows(self.ui.studyButtonsRow)
        self.ui.studyHintLabel.setVisible(False)
        self._showSelection()

    def enter(self) -> None:
        """List the studies anew: the user may come from Slicer's DICOM module."""
        self.listStudies()

    def setParameterNode(self, node: Any | None) -> None:
        """Describe the study of the scene that was opened."""
        self._shown = None
        super().setParameterNode(node)

    def show(self, node: Any) -> None:
        """Say what is loaded, when that has changed."""
        volumes = (node.petVolume, node.ctVolume)
        self.ui.showVolumesButton.setEnabled(None not in volumes)
        if volumes != self._shown:
            self._shown = volumes
            self.ui.studyStatusLabel.setText("\n".join(describeStudy(*volumes)))

    # --- the table ----------------------------------------------------------------------------------------------------

    def listStudies(self) -> None:
        """Fill the table; without a database, or with an empty one, say what to do instead."""
        hint = ""
        try:
            rows: Sequence[StudyRow] = listStudies(self.panel.database)
            if not rows:
                hint = _(
                    "The DICOM database holds no PET or CT yet: import files with “DICOM…”, create a demo patient, or "
                    "choose volumes of the scene below."
                )
        except PRRTError as error:
            rows = ()
            hint = _("{reason} Volumes that are in the scene already can be chosen below.").format(
                reason=describe(error)
            )
        showAlert(self.ui.studyHintLabel, hint, alert=False)
        self.ui.studyTable.setEnabled(bool(rows))
        self.ui.studySearchBox.setEnabled(bool(rows))
        self._fill(rows)

    def selectStudy(self, studyUid: str) -> bool:
        """Select a study in the table; False where it is not listed."""
        table = self.ui.studyTable
        for row in range(table.rowCount):
            if table.item(row, 0).data(qt.Qt.UserRole) == studyUid:
                table.selectRow(row)
                return True
        return False

    @property
    def selectedStudy(self) -> str:
        """Study instance UID of the selected row; empty where none is selected."""
        items = self.ui.studyTable.selectedItems()
        return self.ui.studyTable.item(items[0].row(), 0).data(qt.Qt.UserRole) if items else ""

    def _fill(self, rows: Sequence[StudyRow]) -> None:
        table = self.ui.studyTable
        selected = self.selectedStudy
        table.setSortingEnabled(False)  # a row must not move while its cells are being set
        table.setRowCount(len(rows))
        for index, row in enumerate(rows):
            absent = _("missing")
            for column, text in enumerate((row.patient, row.date, row.pet or absent, row.ct or absent)):
                table.setItem(index, column, self._cell(text, row))
        table.setSortingEnabled(True)
        self._filter()
        if selected:
            self.selectStudy(selected)
        self._showSelection()

    def _cell(self, text: str, row: StudyRow) -> Any:
        """A table cell; the pointer shows the whole row, since narrow columns cut the text off."""
        cell = qt.QTableWidgetItem(text)
        cell.setData(qt.Qt.UserRole, row.studyUid)
        lines = [fact for fact in (row.patient, row.patientId, row.date, row.pet, row.ct) if fact]
        if row.missing:
            lines.append(_("Cannot be used: {reason}").format(reason=row.missing))
            cell.setForeground(qt.QBrush(self.ui.studyTable.palette.color(qt.QPalette.Disabled, qt.QPalette.Text)))
        cell.setToolTip(unmarked("\n".join(lines)))
        return cell

    def _filter(self) -> None:
        table = self.ui.studyTable
        words = self.ui.studySearchBox.text.casefold().split()
        for row in range(table.rowCount):
            text = " ".join(table.item(row, column).text() for column in range(table.columnCount)).casefold()
            hidden = not all(word in text for word in words)
            table.setRowHidden(row, hidden)
            if hidden and table.item(row, 0).isSelected():
                table.clearSelection()

    def _showSelection(self) -> None:
        button = self.ui.loadStudyButton
        button.setEnabled(bool(self.selectedStudy))
        button.setToolTip(
            _("Loads the selected study: PET in SUVbw over CT, in three planes and 3-D.")
            if self.selectedStudy
            else _("Select a study in the table first.")
        )

    # --- what the user does -------------------------------------------------------------------------------------------

    def _onFilter(self, *_unused: Any) -> None:
        self._filter()

    def _onRefresh(self, *_unused: Any) -> None:
        with reporting():
            self.listStudies()

    def _onDoubleClick(self, *_unused: Any) -> None:
        self._onLoad()

    def _onLoad(self, *_unused: Any) -> None:
        with reporting(), progressDialog(_("Loading the study")) as progress:
            self.load(self.selectedStudy, progress)

    def _onDemoPatient(self, *_unused: Any) -> None:
        with reporting(), progressDialog(_("Creating a SYNTHETIC patient")) as progress:
            self.createDemoPatient(progress)

    def _onDicomModule(self, *_unused: Any) -> None:
        with reporting():
            slicer.util.selectModule("DICOM")

    def _onShow(self, *_unused: Any) -> None:
        node = self.panel.parameterNode
        with reporting():
            # Of a volume without a unit its files may tell; else nothing is known, unless the user vouches for it.
            known = suvPerUnitOf(node.petVolume, self.panel.database) or (1.0 if node.assumeUnits else None)
            showStudy(self.panel.scene, node.petVolume, node.ctVolume, suvPerUnit=known)

    def load(self, studyUid: str, progress: Progress) -> None:
        """Load a study of the database, make it the panel's study and show it.

        Raises
        ------
        DicomRefused
            Why the study cannot be used; nothing has changed then.
        """
        pair = findPair(self.panel.database, studyUid, progress)
        nodes = addStudy(self.panel.scene, loadPair(pair, progress), pair)
        node = self.panel.parameterNode
        another = node.petVolume is not None and studyUidOf(node.petVolume) != pair.pet.study_uid
        with slicer.util.NodeModify(node.parameterNode):
            node.petVolume, node.ctVolume = nodes.pet, nodes.ct
            if another:
                _forgetLabs(node)
            if studyUid == self._demoStudy and not any(getattr(node, lab) for lab in LABS):
                _enterDemoLabs(node)
        showStudy(self.panel.scene, nodes.pet, nodes.ct)

    def createDemoPatient(self, progress: Progress) -> str:
        """Make a patient, import it into the database and select it; gives the study instance UID."""
        with tempfile.TemporaryDirectory(prefix="prrt-demo-") as folder:
            studyUid = createDemoPatient(self.panel.database, Path(folder), progress=progress)
        self._demoStudy = studyUid
        self.ui.studySearchBox.setText("")
        self.listStudies()
        self.selectStudy(studyUid)
        return studyUid


# --- the labs that go with a patient ----------------------------------------------------------------------------------


def _forgetLabs(node: Any) -> None:
    """The values of one patient must not be taken for those of the next."""
    for lab in LABS:
        setattr(node, lab, 0.0)
    node.labsDate = node.firstCycleDate = ""


def _enterDemoLabs(node: Any) -> None:
    """Spare the user inventing blood values for a patient who is invented."""
    clinic = demoClinic()
    for lab, value in zip(LABS, clinic.labs.values(), strict=True):
        setattr(node, lab, round(value, 1))
        setattr(node, f"{lab}Unit", accepted_units(lab)[0])
    node.labsDate = clinic.labs.sampled_on.isoformat() if clinic.labs.sampled_on else ""
    node.firstCycleDate = clinic.firstCycle.isoformat()
