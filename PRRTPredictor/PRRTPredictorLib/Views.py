"""The views of a scene: which layout, which planes, where they lie, how far they reach and what lies over what.

Works on the view nodes alone: inside Slicer the widgets follow them; on slicer-core the nodes are all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from PRRTPredictorLib.Volumes import mrml

UPPER_ROW, LOWER_ROW = "", "+"
"""What Slicer appends to the names of the views of its two rows (Red and Red+)."""

_VIEW_PIXELS = 512
_MARGIN = 1.05


@dataclass(frozen=True)
class Plane:
    """One of Slicer's three slice views.

    Attributes
    ----------
    layoutName, orientation : str
        E.g. "Red", "Axial".
    across, down, normal : int
        RAS axes that run along the view's width, its height and through it.
    """

    layoutName: str
    orientation: str
    across: int
    down: int
    normal: int


PLANES = (Plane("Red", "Axial", 0, 1, 2), Plane("Green", "Coronal", 0, 2, 1), Plane("Yellow", "Sagittal", 1, 2, 0))


def setLayout(scene: Any, arrangement: int) -> None:
    """Choose Slicer's layout of that number (vtkMRMLLayoutNode's enumeration)."""
    slicer = mrml()
    layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if layout is None:
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
        logic = slicer.vtkMRMLLayoutLogic()
        logic.SetMRMLScene(scene)
        layout = logic.GetLayoutNode()
    layout.SetViewArrangement(arrangement)


def currentLayout(scene: Any) -> int | None:
    """The number of the layout shown; None where the scene has none yet."""
    layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    return None if layout is None else int(layout.GetViewArrangement())


def viewNode(scene: Any, className: str, layoutName: str) -> Any:
    """The scene's node for the view of that name, made where it is not there yet."""
    existing = scene.GetSingletonNode(layoutName, className)
    if existing is not None:
        return existing
    node = scene.CreateNodeByClass(className)
    node.UnRegister(None)  # Python holds it now
    node.SetLayoutName(layoutName)
    node.SetName(layoutName)
    if className == "vtkMRMLSliceNode":
        node.SetDimensions(_VIEW_PIXELS, _VIEW_PIXELS, 1)
    return scene.AddNode(node)


def placeRow(scene: Any, row: str, centreRas: NDArray[np.float64], spotRas: NDArray[np.float64]) -> None:
    """Turn the three slice views of a row to their planes and put these through a spot.

    The middle of the views stays at ``centreRas``, so that the whole body is in sight: only along its normal does a
    plane go to ``spotRas`` (both in mm).
    """
    for plane in PLANES:
        through = centreRas.copy()
        through[plane.normal] = spotRas[plane.normal]
        view = viewNode(scene, "vtkMRMLSliceNode", plane.layoutName + row)
        view.SetOrientation(plane.orientation)
        view.JumpSliceByCentering(*through)
        # One group, so that linked views of both rows step together.
        view.SetViewGroup(0)


def layRow(scene: Any, row: str, background: Any, foreground: Any | None, opacity: float) -> None:
    """Show ``foreground`` over ``background`` in the three linked slice views of a row."""
    for plane in PLANES:
        composite = viewNode(scene, "vtkMRMLSliceCompositeNode", plane.layoutName + row)
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
        composite.SetForegroundOpacity(opacity)
        composite.SetLinkedControl(True)


def releaseRow(scene: Any, row: str) -> None:
    """Give a row's views back the group that Slicer's layouts give them: the lower row has one of its own."""
    for plane in PLANES:
        view = scene.GetSingletonNode(plane.layoutName + row, "vtkMRMLSliceNode")
        if view is not None:
            view.SetViewGroup(0 if row == UPPER_ROW else 1)


def fitViews(scene: Any, boundsRas: NDArray[np.float64], rows: tuple[str, ...] = (UPPER_ROW, LOWER_ROW)) -> None:
    """Widen every slice view, whatever its shape, until a box of shape (2, 3), in RAS mm, fits in; moves no plane.

    Views that do not exist are left out.
    """
    size = (boundsRas[1] - boundsRas[0]) * _MARGIN
    for row in rows:
        for plane in PLANES:
            view = scene.GetSingletonNode(plane.layoutName + row, "vtkMRMLSliceNode")
            if view is not None:
                width, height = (max(1, pixels) for pixels in view.GetDimensions()[:2])
                perPixel = max(size[plane.across] / width, size[plane.down] / height)
                view.SetFieldOfView(perPixel * width, perPixel * height, view.GetFieldOfView()[2])


def afterLayout(scene: Any, act: Callable[[], None]) -> None:
    """Act now and, inside Slicer, once more when a changed layout has given the views their size."""
    act()
    if layoutManager(scene) is not None:
        import qt

        qt.QTimer.singleShot(0, act)


def jumpTo(scene: Any, ras: NDArray[np.float64]) -> None:
    """Bring a position, in RAS mm, into all slice views: a view pans only where the position would be out of sight."""
    slicer = mrml()
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, *ras, slicer.vtkMRMLSliceNode.OffsetJumpSlice)
    for view in nodesOf(scene, "vtkMRMLSliceNode"):
        if not _inSight(view, ras):
            view.JumpSliceByCentering(*ras)
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is not None:
        crosshair.SetCrosshairRAS(*ras)


def layoutManager(scene: Any) -> Any | None:
    """The application's layout manager if it shows this scene; None on slicer-core and without a main window."""
    slicer = mrml()
    application = getattr(slicer, "app", None)
    if application is None or getattr(slicer, "mrmlScene", None) is not scene:
        return None
    return application.layoutManager()


def nodesOf(scene: Any, className: str) -> list[Any]:
    """All nodes of a class and its subclasses."""
    nodes = scene.GetNodesByClass(className)
    nodes.UnRegister(None)
    return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]


def sliceLayers(scene: Any) -> Iterator[Any]:
    """The composite nodes (vtkMRMLSliceCompositeNode) of both rows, as far as they exist."""
    for row in (UPPER_ROW, LOWER_ROW):
        for plane in PLANES:
            composite = scene.GetSingletonNode(plane.layoutName + row, "vtkMRMLSliceCompositeNode")
            if composite is not None:
                yield composite


def _inSight(view: Any, ras: NDArray[np.float64]) -> bool:
    import vtk

    toXy = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(view.GetXYToRAS(), toXy)
    x, y = toXy.MultiplyPoint((*ras, 1.0))[:2]
    width, height = view.GetDimensions()[:2]
    return 0 <= x < width and 0 <= y < height
