"""What was found in a cohort table: the flow chart in words, and every violation with its remedy."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import qt
from slicer.i18n import tr as _

from PRRTPredictorCore.records import Cohort, Violation
from PRRTPredictorLib.Messages import unmarked
from PRRTPredictorLib.Panel.Words import badge, listHtml, paragraph

_ROWS_SHOWN = 200
_NOTICES_SHOWN = 6
_LINES_SEEN = 18


def cohortHtml(cohort: Cohort) -> str:
    """How many patients there are, who was left out, and what to keep in mind."""
    flow = cohort.exclusions
    long = sum(patient.outcome.long_pfs for patient in cohort.patients)
    counts = _("{screened} patients: {included} included ({long} with PFS > 1 year), {excluded} excluded.").format(
        screened=flow.screened,
        included=flow.included,
        long=long,
        excluded=sum(exclusion.n for exclusion in flow.excluded),
    )
    made = paragraph(badge("SYNTHETIC")) if any(patient.synthetic for patient in cohort.patients) else ""
    fit = _("No violation: fit for training.")
    refused = _("{n} violations in {rows} rows must be put right before training:").format(
        n=len(cohort.violations), rows=flow.refused
    )
    remarks = [f"{exclusion.n} × {exclusion.reason}" for exclusion in flow.excluded if exclusion.n]
    remarks += [notice.message for notice in cohort.notices[:_NOTICES_SHOWN]]
    more = len(cohort.notices) - _NOTICES_SHOWN
    if more > 0:
        remarks.append(_("and {n} more remarks.").format(n=more))
    verdict = escape(refused if cohort.violations else fit)
    return f"{made}{paragraph(escape(counts))}{listHtml(remarks) if remarks else ''}{paragraph(f'<b>{verdict}</b>')}"


class ViolationsView:
    """Row, column, what is wrong and what to do, in a ``QTableWidget`` that wraps its words."""

    def __init__(self, table: Any) -> None:
        self._table = table
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Row"), _("Column"), _("Problem")])
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(1, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(2, qt.QHeaderView.Stretch)
        table.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.verticalHeader().hide()
        table.verticalHeader().connect("sectionResized(int,int,int)", self._fit)
        table.hide()

    def show(self, violations: Sequence[Violation]) -> None:
        """List the violations; without any the table takes no room."""
        shown = violations[:_ROWS_SHOWN]
        rest = len(violations) - len(shown)
        lines = [(str(one.row), one.column, f"{one.message}\n{one.remedy}") for one in shown]
        if rest:
            lines.append(("", "", _("and {n} more.").format(n=rest)))
        self._table.setRowCount(len(lines))
        for row, cells in enumerate(lines):
            for column, text in enumerate(cells):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(unmarked(text))
                self._table.setItem(row, column, item)
        self._table.setVisible(bool(lines))
        self._fit()

    def _fit(self, *_sizes: int) -> None:
        """As high as its rows, up to a limit."""
        rows = self._table.verticalHeader().length() + 2 * self._table.frameWidth
        header = self._table.horizontalHeader().sizeHint.height()
        self._table.setFixedHeight(min(header + rows, _LINES_SEEN * self._table.fontMetrics().height()))
