"""The panel, one small class a section: widgets in, parameter node out; never any computation.

A section gets the widgets of the .ui file and the panel, which gives it everything else (:class:`Panel`). What the
user chose lives in the parameter node alone, so that it is saved with the scene; a section shows what stands there
(:meth:`Section.show`) and writes there what the user does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from PRRTPredictorLib.LabSheet import LabSheet
    from PRRTPredictorLib.Panel.Fields import Field
    from PRRTPredictorLib.Panel.JobTimer import JobTimer


class Panel(Protocol):
    """What the module's widget gives its sections.

    Attributes
    ----------
    parameterNode : PRRTPredictorParameterNode
        None while the scene is being closed; no section is asked to show anything then.
    logic : PRRTPredictorLogic
    trainingLogic : TrainingLogic
    scene : vtkMRMLScene
    jobs : JobTimer
        Polls the child processes; :meth:`JobTimer.add` each job that a logic started.
    database : ctkDICOMDatabase or None
        Slicer's DICOM database; None in an application without one. It may be closed.
    """

    parameterNode: Any
    logic: Any
    trainingLogic: Any
    scene: Any
    jobs: JobTimer
    database: Any | None

    def labSheet(self) -> LabSheet:
        """The laboratory values as they stand in the panel."""


class Section:
    """One collapsible section of the panel; the base of all five.

    Parameters
    ----------
    ui : object
        The widgets of the .ui file by name (``slicer.util.childWidgetVariables``).
    panel : Panel

    Attributes
    ----------
    fields : tuple of Field
        The widgets that follow the parameter node by hand; the others are bound in the .ui file.
    """

    def __init__(self, ui: Any, panel: Panel) -> None:
        self.ui = ui
        self.panel = panel
        self.fields: tuple[Field, ...] = ()

    # --- what a section makes its own

    def connectWidgets(self) -> None:
        """Connect signals and finish what a .ui file cannot say; called once, before there is a parameter node."""

    def enter(self) -> None:
        """The user opened the module; the parameter node is set already."""

    def show(self, node: Any) -> None:
        """Show the state of the parameter node; called after each of its changes, so it must be quick."""

    def close(self) -> None:
        """Let go of everything: the module or the application ends."""

    # --- what all have in common

    def setParameterNode(self, node: Any | None) -> None:
        """Begin to work on another parameter node; None when the scene closes."""
        for field in self.fields:
            field.bind(node)
        if node is not None:
            self.refresh()

    def refresh(self) -> None:
        """Show the state of the parameter node; nothing to do while there is none."""
        node = self.panel.parameterNode
        if node is None:
            return
        for field in self.fields:
            field.refresh()
        self.show(node)
