"""What all sections of the panel share: they hold widgets, follow the parameter node, and let go of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import vtk

from .Fields import Field


class Section:
    """One collapsible section of the panel.

    Parameters
    ----------
    ui : namespace
        The widgets of ``PRRTPredictor.ui`` by name, as ``slicer.util.childWidgetVariables`` gives them.
    panel : object
        Gives ``parameterNode``, ``logic``, ``trainingLogic``, ``scene`` and ``jobs``.
    """

    def __init__(self, ui: Any, panel: Any) -> None:
        self.ui = ui
        self.panel = panel
        self.parameterNode: Any | None = None
        self._observation: int | None = None

    @property
    def fields(self) -> Sequence[Field]:
        """Widgets that Slicer has no connector for, or whose connector would mislead; kept equal to the node."""
        return ()

    def connectWidgets(self) -> None:
        """Connect the signals of the section's widgets; called once, after the .ui file was loaded."""
        raise NotImplementedError

    def update(self) -> None:
        """Show what the parameter node says; called after each of its changes, so it must be quick."""
        raise NotImplementedError

    def setParameterNode(self, node: Any | None) -> None:
        """Follow another parameter node, or none."""
        if self.parameterNode is not None and self._observation is not None:
            self.parameterNode.RemoveObserver(self._observation)
        self._observation = None
        self.parameterNode = node
        for field in self.fields:
            field.bind(node)
        if node is not None:
            self._observation = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._modified)
        self.update()

    def close(self) -> None:
        """Let go of everything; the module or the application ends."""
        self.setParameterNode(None)

    def _modified(self, caller: Any = None, event: Any = None) -> None:
        for field in self.fields:
            field.refresh()
        self.update()
