"""What the panel asks before it writes a run's report: which two models are held against each other."""

from __future__ import annotations

from typing import Any

from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.report.content import usual_pair
from PRRTPredictorLib.Panel.Fitting import stackLongRows


class ReportView:
    """Fills the report frame of the section Training: two combo boxes that never name the same model.

    Parameters
    ----------
    ui
        As a section gets it.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._models: tuple[str, ...] = ()
        self._chosen: tuple[str, str] | None = None
        stackLongRows(ui.compareRow)
        for box in self._boxes:
            box.connect("currentIndexChanged(int)", self.onChoose)
        self.show(())

    def show(self, models: tuple[str, ...]) -> None:
        """Offer the models with a finished fold, the usual pair chosen; none of them, no report."""
        self._ui.reportFrame.setVisible(bool(models))
        self._ui.compareRow.setVisible(len(models) > 1)
        if models == self._models:
            return
        self._models, self._chosen = models, None
        for box in self._boxes:
            box.clear()
            for name in models:
                box.addItem(MODELS[name].title)
        self._choose(_usual(models))

    @property
    def compare(self) -> tuple[str, str] | None:
        """The two models that the user has chosen; None where they are the usual ones, or there is only one."""
        return None if self._chosen == _usual(self._models) else self._chosen

    def onChoose(self, _index: int = 0) -> None:
        """Take the choice; who takes the other box's model gives his own in exchange."""
        if self._chosen is None:  # the boxes are being filled
            return
        first, second = (self._models[max(box.currentIndex, 0)] for box in self._boxes)
        if first != second:
            self._chosen = (first, second)
        else:
            self._choose((self._chosen[1], self._chosen[0]))

    @property
    def _boxes(self) -> tuple[Any, Any]:
        return self._ui.compareFirstComboBox, self._ui.compareSecondComboBox

    def _choose(self, pair: tuple[str, str] | None) -> None:
        self._chosen = None
        for box, name in zip(self._boxes, pair or (), strict=False):
            box.setCurrentIndex(self._models.index(name))
        self._chosen = pair


def _usual(models: tuple[str, ...]) -> tuple[str, str] | None:
    """As the report chooses unasked; the two last where it holds no two networks against each other."""
    if len(models) < 2:
        return None
    return usual_pair(models) or (models[-1], models[-2])
