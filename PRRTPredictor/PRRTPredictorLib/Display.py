"""A study and its saliency in the views of a running scene; every change acts at once, nothing is computed anew.

Works on nodes alone and finds its own ones by an attribute: the user may delete any of them, close the scene or open a
saved one at any time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from PRRTPredictorCore.errors import Code, GeometryRefused, InputRefused
from PRRTPredictorLib.Scene import (
    CT_WINDOW_HU,
    GREY,
    INFERNO,
    PET_HEAT,
    PET_OPACITY,
    PET_WINDOW_SUV,
    SALIENCY_OPACITY,
    SALIENCY_THRESHOLD,
    addColours,
    hottestSpot,
    showWindow,
)
from PRRTPredictorLib.Surface import SurfaceGrid, bodyOutline, surfaceAbove, surfaceGrid
from PRRTPredictorLib.Views import (
    LOWER_ROW,
    PLANES,
    UPPER_ROW,
    afterLayout,
    currentLayout,
    fitViews,
    jumpTo,
    layoutManager,
    layRow,
    nodesOf,
    placeRow,
    releaseRow,
    setLayout,
    sliceLayers,
    viewNode,
)
from PRRTPredictorLib.Volumes import mrml, unitOfNode, volumeFromNode, voxelsOfNode

ROLE_ATTRIBUTE = "PRRTPredictor.Display"
"""Marks the nodes that a SaliencyDisplay added, and says what for."""

OUTLINE_COLOUR = (0.85, 0.85, 0.85)
OUTLINE_OPACITY = 0.15
_NO_WINDOW_PERCENTILE = 99.9
_LEGEND_FONT = 12
_THREE_D_VIEWS = (("1", "Anterior"), ("1+", "Left"))
"""The two 3-D views of the layout with a surface, and from where they look."""


def showStudy(scene: Any, petNode: Any, ctNode: Any, *, suvPerUnit: float | None = None) -> None:
    """Show PET over CT in three planes beside the 3-D view, fitted to the volumes.

    Parameters
    ----------
    scene : vtkMRMLScene
    petNode, ctNode : vtkMRMLScalarVolumeNode
    suvPerUnit : float, optional
        What one unit of the PET's values is worth in SUVbw, where the node does not state SUVbw itself; 1 when the user
        vouches for SUV. The window is 0 to 15 SUV; where nothing is known, 0 to the 99.9th percentile.
    """
    addColours(scene)
    showWindow(petNode, _petWindow(petNode, suvPerUnit), PET_HEAT)
    showWindow(ctNode, CT_WINDOW_HU, GREY)
    bounds = _boundsRas(petNode, ctNode)
    setLayout(scene, mrml().vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    placeRow(scene, UPPER_ROW, bounds.mean(axis=0), bounds.mean(axis=0))
    layRow(scene, UPPER_ROW, ctNode, petNode, PET_OPACITY)
    afterLayout(scene, lambda: fitViews(scene, bounds))


class SaliencyDisplay:
    """Shows one saliency map at a time: below the PET, over the CT, and as a surface in the 3-D view.

    Threshold, opacity, colour and surface are remembered while nothing is shown. Calls on nodes that the user has
    deleted meanwhile do nothing.

    Parameters
    ----------
    scene : vtkMRMLScene
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._threshold = SALIENCY_THRESHOLD
        self._opacity = SALIENCY_OPACITY
        self._colour: Any | None = None
        self._surfaceVisible = False
        self._pet: Any = None  # the three are None while nothing is shown
        self._ct: Any = None
        self._saliency: Any = None
        self._grid: tuple[Any, SurfaceGrid] | None = None

    @property
    def shown(self) -> bool:
        """A saliency map is on display; False also after the user deleted it or closed the scene."""
        return all(self._present(node) for node in (self._pet, self._ct, self._saliency))

    def show(self, petNode: Any, ctNode: Any, saliencyNode: Any) -> None:
        """Show PET over CT above and the map over CT below, in linked views.

        The planes go through the hottest spot of the map, except when only the map changed: then they stay.
        """
        sameStudy = self.shown and petNode is self._pet and ctNode is self._ct
        self._pet, self._ct, self._saliency = petNode, ctNode, saliencyNode
        addColours(self._scene)
        bounds = _boundsRas(petNode, ctNode)
        before = self._viewIds()
        self._arrange()
        if not sameStudy:
            self._remove("outline")
            spot = self._spot()
            for row in (UPPER_ROW, LOWER_ROW):
                placeRow(self._scene, row, bounds.mean(axis=0), bounds.mean(axis=0) if spot is None else spot)
        layRow(self._scene, UPPER_ROW, ctNode, petNode, PET_OPACITY)
        layRow(self._scene, LOWER_ROW, ctNode, saliencyNode, self._opacity)
        self._window()
        self._addLegend()
        self._updateSurface()
        self._ownViews(before)
        if not sameStudy:
            afterLayout(self._scene, lambda: fitViews(self._scene, bounds))
            if self._surfaceVisible:
                afterLayout(self._scene, self._lookAtSurface)

    def setThreshold(self, threshold: float) -> None:
        """Make everything below ``threshold``, in [0, 1], transparent."""
        self._threshold = float(threshold)
        if not self.shown:
            return
        display = self._saliency.GetScalarVolumeDisplayNode()
        if display is None:
            self._window()
        else:
            display.SetThreshold(self._threshold, 1.0)
            display.SetApplyThreshold(True)
        self._updateSurface()

    def setOpacity(self, opacity: float) -> None:
        """Blend the map over the CT with this opacity, in [0, 1]."""
        self._opacity = float(opacity)
        if not self.shown:
            return
        for composite in sliceLayers(self._scene):
            if composite.GetForegroundVolumeID() == self._saliency.GetID():
                composite.SetForegroundOpacity(self._opacity)

    def setColour(self, colourNode: Any | None) -> None:
        """Paint the map in these colours (vtkMRMLColorNode); None means the default."""
        self._colour = colourNode
        if self.shown:
            self._window()
            self._updateSurface()

    def setSurfaceVisible(self, visible: bool) -> None:
        """Show the surface of the thresholded map, within the body's outline, in 3-D views beside the planes."""
        if self._surfaceVisible == bool(visible):
            return
        self._surfaceVisible = bool(visible)
        if not self.shown:
            return
        before = self._viewIds()
        self._arrange()
        self._ownViews(before)
        bounds = _boundsRas(self._pet, self._ct)
        afterLayout(self._scene, lambda: fitViews(self._scene, bounds))
        self._updateSurface()
        if self._surfaceVisible:
            afterLayout(self._scene, self._lookAtSurface)

    def jumpToHottest(self) -> NDArray[np.float64]:
        """Bring the voxel with the highest saliency into all slice views.

        Returns
        -------
        ndarray, shape (3,)
            Its position in RAS, mm.

        Raises
        ------
        InputRefused
            ``EMPTY_IMAGE``: no map is shown, or it is without any signal.
        """
        spot = self._spot() if self.shown else None
        if spot is None:
            raise InputRefused(
                Code.EMPTY_IMAGE,
                "There is no hottest spot: the saliency map is empty.",
                remedy="Show the map of the other image, or predict again.",
            )
        jumpTo(self._scene, spot)
        return spot

    def clear(self) -> None:
        """Take the map out of the views and remove every node that was added for it; the volumes stay."""
        saliencyId = self._saliency.GetID() if self._present(self._saliency) else None
        for composite in sliceLayers(self._scene):
            if saliencyId and composite.GetForegroundVolumeID() == saliencyId:
                composite.SetForegroundVolumeID(None)
        self._remove()
        releaseRow(self._scene, LOWER_ROW)
        layout = mrml().vtkMRMLLayoutNode
        if currentLayout(self._scene) in (layout.SlicerLayoutThreeOverThreeView, layout.SlicerLayoutFourOverFourView):
            setLayout(self._scene, layout.SlicerLayoutFourUpView)
        self._pet = self._ct = self._saliency = self._grid = None

    # --- parts --------------------------------------------------------------------------------------------------------

    def _present(self, node: Any | None) -> bool:
        return node is not None and bool(self._scene.IsNodePresent(node))

    def _own(self, role: str, className: str) -> Any | None:
        return next(
            (node for node in self._ownNodes() if node.GetAttribute(ROLE_ATTRIBUTE) == role and node.IsA(className)),
            None,
        )

    def _ownNodes(self) -> list[Any]:
        classes = ("vtkMRMLDisplayNode", "vtkMRMLModelNode")
        found = [node for name in classes for node in nodesOf(self._scene, name)] + self._viewNodes()
        return [node for node in found if node.GetAttribute(ROLE_ATTRIBUTE)]

    def _viewNodes(self) -> list[Any]:
        classes = ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode", "vtkMRMLViewNode")
        return [node for name in classes for node in nodesOf(self._scene, name)]

    def _viewIds(self) -> set[str]:
        return {node.GetID() for node in self._viewNodes()}

    def _ownViews(self, before: set[str]) -> None:
        """Mark the view nodes that came since; not inside Slicer, where they are the application's."""
        if layoutManager(self._scene) is None:
            for node in self._viewNodes():
                if node.GetID() not in before:
                    node.SetAttribute(ROLE_ATTRIBUTE, "view")

    def _remove(self, *roles: str) -> None:
        """Remove the own nodes of these roles; without any, all of them."""
        for node in self._ownNodes():
            if (not roles or node.GetAttribute(ROLE_ATTRIBUTE) in roles) and self._present(node):
                self._scene.RemoveNode(node)

    def _spot(self) -> NDArray[np.float64] | None:
        volume = volumeFromNode(self._saliency, "saliency")
        return hottestSpot(volume) if volume.array.max() > 0 else None

    def _arrange(self) -> None:
        layout = mrml().vtkMRMLLayoutNode
        both = layout.SlicerLayoutFourOverFourView if self._surfaceVisible else layout.SlicerLayoutThreeOverThreeView
        setLayout(self._scene, both)
        if self._surfaceVisible:
            for name, _ in _THREE_D_VIEWS:
                viewNode(self._scene, "vtkMRMLViewNode", name)

    def _window(self) -> None:
        colour: Any = self._colour if self._present(self._colour) else self._defaultColour()
        had = self._saliency.GetScalarVolumeDisplayNode() is not None
        display = showWindow(self._saliency, (0.0, 1.0), colour.GetID(), threshold=self._threshold)
        if not had:
            display.SetAttribute(ROLE_ATTRIBUTE, "display")

    def _defaultColour(self) -> Any:
        return self._scene.GetNodeByID(INFERNO) or self._scene.GetNodeByID(PET_HEAT)

    def _addLegend(self) -> None:
        logic = getattr(mrml(), "vtkSlicerColorLogic", None)
        old = self._own("legend", "vtkMRMLColorLegendDisplayNode")
        if old is not None and old.GetDisplayableNode() is not self._saliency:
            self._remove("legend")
            old = None
        if logic is None or old is not None:
            return
        if not self._scene.GetClassNameByTag("ColorLegendDisplay"):  # the application's modules register it
            self._scene.RegisterNodeClass(mrml().vtkMRMLColorLegendDisplayNode())
        legend = logic.AddDefaultColorLegendDisplayNode(self._saliency.GetScalarVolumeDisplayNode())
        legend.SetAttribute(ROLE_ATTRIBUTE, "legend")
        legend.SetTitleText("Saliency")
        legend.SetLabelFormat("%.1f")
        legend.SetNumberOfLabels(3)
        legend.SetSize(0.12, 0.4)
        legend.GetTitleTextProperty().SetFontSize(_LEGEND_FONT)
        legend.GetLabelTextProperty().SetFontSize(_LEGEND_FONT)
        # In one view only: six of them would hide the patient.
        legend.AddViewNodeID(viewNode(self._scene, "vtkMRMLSliceNode", PLANES[-1].layoutName + LOWER_ROW).GetID())

    # --- surface ------------------------------------------------------------------------------------------------------

    def _updateSurface(self) -> None:
        if not self._surfaceVisible:
            self._remove("surface", "outline")
            return
        model = self._own("surface", "vtkMRMLModelNode") or self._addModel("surface", "Saliency surface")
        model.SetAndObservePolyData(surfaceAbove(self._currentGrid(), self._threshold))
        model.GetDisplayNode().SetColor(*self._surfaceColour())
        if self._own("outline", "vtkMRMLModelNode") is None:
            self._addOutline()

    def _addOutline(self) -> None:
        """Show the patient around the surface; a CT in which no body is found, or a warped one, goes without."""
        try:
            skin = bodyOutline(volumeFromNode(self._ct, "HU"))
        except GeometryRefused:
            return
        if skin is not None:
            outline = self._addModel("outline", "Body outline")
            outline.SetAndObservePolyData(skin)
            outline.GetDisplayNode().SetColor(*OUTLINE_COLOUR)
            outline.GetDisplayNode().SetOpacity(OUTLINE_OPACITY)

    def _addModel(self, role: str, name: str) -> Any:
        model = self._scene.AddNewNodeByClass("vtkMRMLModelNode", name)
        model.CreateDefaultDisplayNodes()
        display = model.GetDisplayNode()
        display.SetVisibility2D(False)
        for node in (model, display):
            node.SetAttribute(ROLE_ATTRIBUTE, role)
            node.SetSaveWithScene(False)  # it is made again in an instant
        return model

    def _currentGrid(self) -> SurfaceGrid:
        """The map made small, kept for as long as its voxels and its place stay the same."""
        volume = volumeFromNode(self._saliency, "saliency")
        key = (self._saliency, self._saliency.GetImageData().GetMTime(), volume.ijk_to_lps.tobytes())
        if self._grid is None or self._grid[0] != key:
            self._grid = (key, surfaceGrid(volume))
        return self._grid[1]

    def _surfaceColour(self) -> tuple[float, float, float]:
        """Of a value halfway between the threshold and the top, as the slices show it."""
        colours = self._saliency.GetScalarVolumeDisplayNode().GetColorNode()
        table = colours.GetScalarsToColors() if colours is not None else None
        if table is None:
            return (1.0, 0.5, 0.0)
        low, high = table.GetRange()
        colour = [0.0, 0.0, 0.0]
        table.GetColor(low + (high - low) * (1.0 + self._threshold) / 2, colour)
        return (colour[0], colour[1], colour[2])

    def _lookAtSurface(self) -> None:
        """Turn the 3-D views' cameras, where the application made them, to the patient: from the front and the left."""
        if not self.shown:
            return
        camera = mrml().vtkMRMLCameraNode
        bounds = _boundsRas(self._pet, self._ct)
        centre, size = bounds.mean(axis=0), np.linalg.norm(bounds[1] - bounds[0])
        for name, direction in _THREE_D_VIEWS:
            node = self._scene.GetSingletonNode(name, "vtkMRMLCameraNode")
            if node is not None:
                # Along the diagonal: RotateTo keeps the distance alone.
                distance = size / 2 / np.sin(np.radians(node.GetViewAngle() / 2)) / np.sqrt(3)
                node.SetFocalPoint(*centre)
                node.SetPosition(*(centre + distance))
                node.RotateTo(getattr(camera, direction))
                node.ResetClippingRange()
            view = self._scene.GetSingletonNode(name, "vtkMRMLViewNode")
            if view is not None:
                view.InvokeEvent(view.ResetFocalPointRequestedEvent)  # its box goes around the patient


def _petWindow(node: Any, suvPerUnit: float | None) -> tuple[float, float]:
    if unitOfNode(node) == "SUVbw":
        return PET_WINDOW_SUV
    if suvPerUnit is not None:
        return PET_WINDOW_SUV[0] / suvPerUnit, PET_WINDOW_SUV[1] / suvPerUnit
    return 0.0, max(float(np.nanpercentile(voxelsOfNode(node)[::4, ::4, ::4], _NO_WINDOW_PERCENTILE)), 1e-6)


def _boundsRas(*nodes: Any) -> NDArray[np.float64]:
    """Lowest and highest RAS of all nodes together, transforms included, in mm; shape (2, 3)."""
    boxes = []
    for node in nodes:
        box = [0.0] * 6
        node.GetRASBounds(box)
        boxes.append(np.array(box).reshape(3, 2).T)
    lows, highs = zip(*boxes, strict=True)
    return np.stack([np.min(lows, axis=0), np.max(highs, axis=0)])
