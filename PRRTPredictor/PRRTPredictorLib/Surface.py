"""Surfaces for the 3-D view: where a map lies above a threshold, and the patient's outline around it, in RAS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from PRRTPredictorCore.imaging.body import body_mask
from PRRTPredictorCore.imaging.grid import canonical_view
from PRRTPredictorCore.records import Volume
from PRRTPredictorLib.Volumes import LPS_TO_RAS

MAX_VOXELS = 500_000
"""Twice as fine as the networks' own grid, and a surface of it takes some 10 ms: it can follow a slider."""

_OUTLINE_MM = 6.0


@dataclass(frozen=True, eq=False)
class SurfaceGrid:
    """A volume made small enough to be cut again and again.

    Attributes
    ----------
    image : vtkImageData
        float32, with a border of zeros, so that every surface is closed.
    toRas : ndarray, shape (4, 4)
        From the image's (i, j, k, 1) to RAS mm.
    """

    image: Any
    toRas: NDArray[np.float64]


def surfaceGrid(volume: Volume, maxVoxels: int = MAX_VOXELS) -> SurfaceGrid:
    """Reduce a volume to at most about ``maxVoxels`` by taking the highest value of each block.

    The highest, not the mean: a small hot spot must not vanish. Surfaces reach out by half a block at most.
    """
    factor = max(1, int(np.ceil((volume.array.size / maxVoxels) ** (1 / 3))))
    values = np.nan_to_num(np.asarray(volume.array, dtype=np.float32), copy=False)
    blocks = _blockMaximum(values, factor) if factor > 1 else values
    small = np.pad(blocks, 1)
    # Voxel (0, 0, 0) of the small grid is the padding before the first block's centre.
    toVolume = np.diag([factor, factor, factor, 1.0])
    toVolume[:3, 3] = (factor - 1) / 2 - factor
    return SurfaceGrid(_image(small), LPS_TO_RAS @ volume.ijk_to_lps @ toVolume)


def surfaceAbove(grid: SurfaceGrid, threshold: float) -> Any:
    """The closed surface around all values of at least ``threshold``, as vtkPolyData in RAS with outward normals."""
    import vtk

    # The border is zero: a threshold of zero would have nothing to end at.
    edges = vtk.vtkFlyingEdges3D()
    edges.SetInputData(grid.image)
    edges.SetValue(0, max(threshold, 1e-3))
    edges.ComputeNormalsOn()
    edges.ComputeGradientsOff()
    edges.ComputeScalarsOff()
    edges.Update()
    return _inRas(edges.GetOutput(), grid.toRas)


def bodyOutline(ct: Volume) -> Any | None:
    """The patient's skin as a coarse surface (vtkPolyData, RAS), without couch; None where no body is found."""
    view = canonical_view(ct)
    steps = tuple(max(1, round(_OUTLINE_MM / spacing)) for spacing in view.spacing_mm)
    coarse = np.ascontiguousarray(view.array[tuple(slice(None, None, step) for step in steps)], dtype=np.float32)
    k, j, i = steps
    at = view.ijk_to_lps @ np.diag([i, j, k, 1.0])
    small = Volume(coarse, at, "CT", "HU")
    mask = body_mask(small.array, small.spacing_mm)
    if mask is None:
        return None
    return smoothed(surfaceAbove(surfaceGrid(Volume(mask.astype(np.float32), at, "CT", "saliency")), 0.5))


def smoothed(surface: Any) -> Any:
    """The same surface without the steps of its voxels; it keeps its volume."""
    import vtk

    smooth = vtk.vtkWindowedSincPolyDataFilter()
    smooth.SetInputData(surface)
    smooth.SetNumberOfIterations(20)
    smooth.SetPassBand(0.05)
    smooth.NormalizeCoordinatesOn()
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputConnection(smooth.GetOutputPort())
    normals.SplittingOff()
    normals.Update()
    return normals.GetOutput()


def _blockMaximum(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """The highest value of each block of factor x factor x factor voxels; the last blocks may be cut."""
    for axis in range(3):
        values = np.maximum.reduceat(values, np.arange(0, values.shape[axis], factor), axis=axis)
    return values


def _image(values: NDArray[np.float32]) -> Any:
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    k, j, i = values.shape
    image = vtk.vtkImageData()
    image.SetDimensions(i, j, k)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(values).reshape(-1), deep=True))
    return image


def _inRas(surface: Any, toRas: NDArray[np.float64]) -> Any:
    import vtk

    transform = vtk.vtkTransform()
    transform.SetMatrix(np.asarray(toRas, dtype=np.float64).ravel().tolist())
    placed = vtk.vtkTransformPolyDataFilter()
    placed.SetTransform(transform)
    placed.SetInputData(surface)
    placed.Update()
    if np.linalg.det(toRas[:3, :3]) > 0:
        return placed.GetOutput()
    # Mirrored axes turn the triangles inside out; their normals went along with the axes.
    turned = vtk.vtkReverseSense()
    turned.SetInputConnection(placed.GetOutputPort())
    turned.ReverseCellsOn()
    turned.ReverseNormalsOff()
    turned.Update()
    return turned.GetOutput()
