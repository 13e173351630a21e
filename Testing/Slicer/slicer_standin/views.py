"""Views rendered off screen by VTK with Slicer's real slice logic and displayable managers; no Qt here.

In: a view node of the scene and a size in pixels. Out: RGB pixels, shape (height, width, 3), row 0 at the top.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from .strict import Strict

Pixels = NDArray[np.uint8]


def findGraphics() -> None:
    """Let VTK find out how it can draw here: without an X server it says so once, and goes on without."""
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_ERROR)
    try:
        vtk.vtkRenderWindow()
    finally:
        vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_INFO)


class RenderedView(Strict):
    """A render window off screen with the displayable managers that Slicer has for this kind of view."""

    def __init__(self, logics: Any, node: Any, size: tuple[int, int]) -> None:
        self.node, self._logics = node, logics
        self._renderer = vtk.vtkRenderer()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(True)
        self._window.SetMultiSamples(0)
        self._window.AddRenderer(self._renderer)
        self._window.SetSize(*size)
        # Displayable managers listen to it, though nobody presses a button.
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._corner = vtk.vtkCornerAnnotation()
        self._corner.SetMaximumFontSize(14)
        self._group: Any = None

    def render(self) -> Pixels:
        """The pixels as they are now."""
        self.update()
        self._window.Render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._window)
        grabber.SetInputBufferTypeToRGB()
        grabber.ReadFrontBufferOff()
        grabber.ShouldRerenderOff()
        grabber.Update()
        image = grabber.GetOutput()
        width, height, _ = image.GetDimensions()
        pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)
        return np.ascontiguousarray(pixels[::-1])

    def update(self) -> None:
        """Bring what is not observed into step; called before each rendering."""

    def resize(self, width: int, height: int) -> None:
        self._window.SetSize(width, height)

    def renderWindow(self) -> Any:
        return self._window

    def renderer(self) -> Any:
        return self._renderer

    def cornerAnnotation(self) -> Any:
        return self._corner

    def displayableManager(self, className: str) -> Any:
        return self._group.GetDisplayableManagerByClassName(className) if self._group is not None else None

    def release(self) -> None:
        """Let go of node and graphics."""
        if self._group is not None:
            self._group.SetMRMLDisplayableNode(None)
        self._window.Finalize()

    def _manage(self, factory: Any) -> None:
        self._group = factory.InstantiateDisplayableManagers(self._renderer)
        self._group.SetMRMLDisplayableNode(self.node)
        # Last, so that it is written over the picture.
        self._renderer.AddViewProp(self._corner)


class SliceView(RenderedView):
    """A slice as Slicer's slice logic blends it, with what the displayable managers lay over it."""

    def __init__(self, logics: Any, node: Any, size: tuple[int, int]) -> None:
        super().__init__(logics, node, size)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(logics.application)
        self.logic.SetMRMLScene(logics.scene)
        self.logic.SetSliceNode(node)
        self.logic.ResizeSliceNode(*size)
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        self._mapper, self._image = mapper, vtk.vtkActor2D()
        self._image.SetMapper(mapper)
        self._renderer.AddViewProp(self._image)
        # Before the displayable managers come: the colour legend looks for its layers once only.
        logics.application.GetSliceLogics().AddItem(self.logic)
        self._manage(slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance())

    def resize(self, width: int, height: int) -> None:
        super().resize(width, height)
        self.logic.ResizeSliceNode(width, height)

    def update(self) -> None:
        connection = self.logic.GetImageDataConnection()
        self._image.SetVisibility(connection is not None)
        self._mapper.SetInputConnection(connection)
        self._corner.GetTextProperty().SetFontFamilyToTimes()
        if not any(self._corner.GetText(place) for place in range(1, 8)):
            self._corner.SetText(0, self._layers())

    def offsetText(self) -> str:
        """What stands beside the slider of the view's bar: positive axis and position in mm."""
        toRas = self.node.GetSliceToRAS()
        normal = [toRas.GetElement(row, 2) for row in range(3)]
        return f"{self.node.GetDirectionLabel(normal, True)}: {self.logic.GetSliceOffset():.4f}mm"

    def release(self) -> None:
        super().release()
        self.logic.SetSliceNode(None)
        self.logic.SetMRMLScene(None)

    def _layers(self) -> str:
        """Names of the volumes shown, as in the corner of Slicer's slice views."""
        composite, lines = self.logic.GetSliceCompositeNode(), []
        if composite is None:
            return ""
        scene = self._logics.scene
        foreground = scene.GetNodeByID(composite.GetForegroundVolumeID() or "")
        background = scene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
        if foreground is not None:
            lines.append(f"F: {foreground.GetName()} ({composite.GetForegroundOpacity():.0%})")
        if background is not None:
            lines.append(f"B: {background.GetName()}")
        return "\n".join(lines)


class ThreeDView(RenderedView):
    """The 3-D view; the camera belongs to Slicer's camera displayable manager."""

    def __init__(self, logics: Any, node: Any, size: tuple[int, int]) -> None:
        super().__init__(logics, node, size)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(logics.application)
        self.logic.SetMRMLScene(logics.scene)
        # The one public way to tell the logic its node lays a fresh node over it: keep what the layout said.
        kept = slicer.vtkMRMLViewNode()
        kept.CopyContent(node)
        self.logic.AddViewNode(node.GetLayoutName())
        node.CopyContent(kept)
        self._manage(slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance())

    def resetFocalPoint(self) -> None:
        """Move the camera's focus to the middle of what is visible, as Slicer's "centre" button does."""
        wasBox, wasLabels = self.node.GetBoxVisible(), self.node.GetAxisLabelsVisible()
        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)
        bounds = self._renderer.ComputeVisiblePropBounds()
        self.node.SetBoxVisible(wasBox)
        self.node.SetAxisLabelsVisible(wasLabels)
        if bounds[0] <= bounds[1]:
            camera = self._renderer.GetActiveCamera()
            middle = [(bounds[axis] + bounds[axis + 1]) / 2 for axis in (0, 2, 4)]
            shift = [end - begin for begin, end in zip(camera.GetFocalPoint(), middle, strict=True)]
            camera.SetPosition([begin + by for begin, by in zip(camera.GetPosition(), shift, strict=True)])
            camera.SetFocalPoint(middle)
            self._renderer.ResetCameraClippingRange()

    def resetCamera(self) -> None:
        """Everything visible into sight."""
        self._renderer.ResetCamera()

    def cameraNode(self) -> Any:
        manager = self.displayableManager("vtkMRMLCameraDisplayableManager")
        return manager.GetCameraNode() if manager is not None else None

    def release(self) -> None:
        super().release()
        self.logic.SetMRMLScene(None)
