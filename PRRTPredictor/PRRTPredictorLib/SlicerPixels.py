"""Voxels that Slicer decoded + headers that the core read -> the same slices as if the core had decoded them.

Slicer's volume node is trusted for its voxels alone. Each slice takes its place from its own header, found by the SOP
instance UIDs that Slicer's loader leaves on the node: so it does not matter whether the loader turned the stack round,
took a mean spacing, or hung an acquisition transform over the node.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from PRRTPredictorCore.dicom.frames import FrameStack
from PRRTPredictorCore.dicom.scan import SeriesScan
from PRRTPredictorCore.dicom.values import number, text
from PRRTPredictorCore.errors import Code, DicomRefused, GeometryRefused, InputRefused
from PRRTPredictorLib.Hierarchy import INSTANCE_UIDS_ATTRIBUTE, itemsOf, removeItems
from PRRTPredictorLib.Volumes import (
    LPS_TO_RAS,
    ijkToRasOfNode,
    linearTransformOfNode,
    mrml,
    rasFromLps,
    requireStraight,
    voxelsOfNode,
)

_PLUGIN = "DICOMScalarVolumePlugin"
"""Slicer's plain loader, as ``slicer.modules.dicomPlugins`` calls it; others (PETDICOM) would offer another unit."""
_SAME_PLACE_MM = 0.1
_SAME_DIRECTION = 1e-3
_STORED_TOLERANCE = 0.01  # of a stored step, which is 1
_FLOAT32_STEP = 2.0**-23
_LARGEST_ROUNDING_SUV = 0.01
_INT16 = np.iinfo(np.int16)
_DECODERS = "Install imagecodecs, pyjpegls and pylibjpeg-openjpeg into Slicer, or export the series uncompressed."


@contextmanager
def loadedBySlicer(seriesUid: str, where: str) -> Iterator[Any]:
    """Load a series through Slicer's own reader for as long as the block lasts; nothing of it stays in the scene.

    Yields
    ------
    vtkMRMLScalarVolumeNode

    Raises
    ------
    DicomRefused
        ``UNREADABLE_PIXELS``: there is no Slicer around, its database does not hold the series, or cannot read it.
    """
    slicer = mrml()
    database = getattr(slicer, "dicomDatabase", None)
    try:
        from DICOMLib import DICOMUtils
    except ImportError as error:
        raise unreadable(where) from error
    if database is None or not database.isOpen or not database.filesForSeries(seriesUid):
        raise unreadable(where)
    scene = slicer.mrmlScene
    itemsBefore = set(itemsOf(scene))
    nodesBefore = set(_nodeIds(scene))
    shown = _shownVolumes(scene)
    try:
        DICOMUtils.loadSeriesByUID([seriesUid], enabledPluginClassNames=[_PLUGIN])
        new = [scene.GetNodeByID(identifier) for identifier in _nodeIds(scene) if identifier not in nodesBefore]
        volumes = [node for node in new if node.IsA("vtkMRMLScalarVolumeNode") and node.GetImageData() is not None]
        if len(volumes) != 1:
            raise unreadable(where)
        yield volumes[0]
    finally:
        _removeNew(scene, nodesBefore, itemsBefore)
        _showAgain(scene, shown)


def stackOfNode(node: Any, scan: SeriesScan, where: str, suvPerValue: float = 0.0) -> FrameStack:
    """Order a node's slices as the headers of their files say.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
        Loaded by Slicer from the files of ``scan``: rescaled values, not yet in SUV.
    suvPerValue : float
        The largest SUV that one step of a whole-numbered node stands for; 0 for CT.

    Raises
    ------
    InputRefused
        ``UNITS_UNSUPPORTED``: the values are no longer those of the files.
    GeometryRefused
        ``BAD_GEOMETRY``: the volume has been cropped, resampled or moved since it was loaded.
    """
    values = voxelsOfNode(node)
    uids = (node.GetAttribute(INSTANCE_UIDS_ATTRIBUTE) or "").split()
    place = {uid: k for k, uid in enumerate(uids)}
    wanted = [text(header, "SOPInstanceUID") for header in scan.headers]
    source = scan.places[0].source
    if len(place) != len(values) or set(wanted) != set(place) or values.shape[1:] != (source.rows, source.columns):
        raise _changed(where)
    order = np.array([place[uid] for uid in wanted])
    _requireInPlace(node, scan, order, where)
    rescaled = values[order]
    _requireAsStored(rescaled, scan, where)
    _requireFineEnough(rescaled, scan, where, suvPerValue)
    return FrameStack(
        _asDecoded(rescaled, scan),
        scan.positions_lps,
        scan.row_direction,
        scan.column_direction,
        scan.pixel_spacing_mm,
        scan.headers,
    )


def transformAbove(node: Any, scan: SeriesScan, where: str) -> NDArray[np.float64]:
    """Where the transform above a node moves it in LPS, shape (4, 4), beyond the place that its headers give.

    Slicer's acquisition transform moves slices to the very place of their headers, so it counts as none.

    Raises
    ------
    GeometryRefused
        ``BAD_GEOMETRY``: another warping transform, or one that shears.
    """
    linear = linearTransformOfNode(node)
    if linear is not None:
        requireStraight(linear)
        return np.asarray(LPS_TO_RAS @ linear @ LPS_TO_RAS, dtype=np.float64)
    uids = (node.GetAttribute(INSTANCE_UIDS_ATTRIBUTE) or "").split()
    toRas = ijkToRasOfNode(node)
    for header, position in zip(scan.headers, scan.positions_lps, strict=True):
        world = [0.0, 0.0, 0.0]
        node.TransformPointToWorld((toRas @ (0, 0, uids.index(text(header, "SOPInstanceUID")), 1))[:3], world)
        if np.abs(world - rasFromLps(position)).max() > _SAME_PLACE_MM:
            raise GeometryRefused(
                Code.BAD_GEOMETRY,
                "A warping transform lies above the volume.",
                where=where,
                remedy="Remove the transform, or load the study through PRRTPredictor's study table.",
            )
    return np.eye(4)


# --- proofs -----------------------------------------------------------------------------------------------------------


def _requireInPlace(node: Any, scan: SeriesScan, order: NDArray[np.int64], where: str) -> None:
    """The node must lie where its loader put it: same axes, and the first slice it read exactly in place."""
    toLps = LPS_TO_RAS @ ijkToRasOfNode(node)
    axes = toLps[:3, :2] / np.linalg.norm(toLps[:3, :2], axis=0)
    turned = max(np.abs(axes[:, 0] - scan.row_direction).max(), np.abs(axes[:, 1] - scan.column_direction).max())
    scaled = np.abs(np.linalg.norm(toLps[:3, :2], axis=0) - scan.pixel_spacing_mm[::-1]).max()
    ends = np.array([0, len(order) - 1])
    found = toLps[:3, 3] + order[ends, None] * toLps[:3, 2]
    shift = np.linalg.norm(found - scan.positions_lps[ends], axis=1).min()
    if turned > _SAME_DIRECTION or scaled > _SAME_PLACE_MM or shift > _SAME_PLACE_MM:
        raise _changed(where)


def _requireAsStored(rescaled: NDArray[Any], scan: SeriesScan, where: str) -> None:
    """Values divided by the slope of their slice must be whole numbers; SUV or smoothed values are not."""
    if rescaled.dtype.kind != "f":
        return
    for values, header in zip(rescaled, scan.headers, strict=True):
        slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
        if not slope or intercept is None:
            raise _changed(where)
        stored = (values.astype(np.float64) - intercept) / slope
        tolerance = _STORED_TOLERANCE + 2 * _FLOAT32_STEP * np.abs(values).max() / abs(slope)
        if not np.isfinite(stored).all() or np.abs(stored - np.round(stored)).max() > tolerance:
            raise InputRefused(
                Code.UNITS_UNSUPPORTED,
                "The volume's values are not those of its DICOM files: it was changed after loading.",
                where=where,
                remedy="Load the study through PRRTPredictor's study table, so that the SUV is computed from the "
                "header.",
            )


def _requireFineEnough(rescaled: NDArray[Any], scan: SeriesScan, where: str, suvPerValue: float) -> None:
    """Slicer's loader takes its type from the first slice, and may round the others to whole numbers."""
    slopes = [number(header, "RescaleSlope") or 0.0 for header in scan.headers]
    rounded = rescaled.dtype.kind != "f" and any(slope != round(slope) for slope in slopes)
    if rounded and suvPerValue > _LARGEST_ROUNDING_SUV:
        raise unreadable(where)


def _asDecoded(rescaled: NDArray[Any], scan: SeriesScan) -> NDArray[Any]:
    """The type that the core decodes to: int16 for a CT in whole HU, else float32."""
    slopes = {number(header, "RescaleSlope") for header in scan.headers}
    if scan.modality == "CT" and slopes == {1.0} and (rescaled == np.round(rescaled)).all():
        whole: NDArray[Any] = np.clip(rescaled, _INT16.min, _INT16.max)
        return whole.astype(np.int16)
    return rescaled.astype(np.float32)


def _changed(where: str) -> GeometryRefused:
    return GeometryRefused(
        Code.BAD_GEOMETRY,
        "The volume no longer matches its DICOM files: it was cropped, resampled or moved after loading.",
        where=where,
        remedy="Load the study through PRRTPredictor's study table.",
    )


def unreadable(where: str) -> DicomRefused:
    """The refusal of pixels that nobody here can decode."""
    return DicomRefused(
        Code.UNREADABLE_PIXELS,
        "The pixels are compressed, and neither the installed decoders nor Slicer's loader can read them.",
        where=where,
        remedy=_DECODERS,
    )


# --- the scene as it was ----------------------------------------------------------------------------------------------


def _nodeIds(scene: Any) -> list[str]:
    return [scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())]


def _removeNew(scene: Any, nodesBefore: set[str], itemsBefore: set[int]) -> None:
    for identifier in _nodeIds(scene):
        node = scene.GetNodeByID(identifier) if identifier not in nodesBefore else None
        # Singletons (views, selection) belong to the application, whoever called them into being.
        if node is not None and not node.GetSingletonTag():
            scene.RemoveNode(node)
    removeItems(scene, [item for item in itemsOf(scene) if item not in itemsBefore])


def _shownVolumes(scene: Any) -> dict[str, tuple[str | None, str | None]]:
    """What the slice views and the selection show; Slicer's loader puts its volume there."""
    found = {}
    for node in _nodesOf(scene, "vtkMRMLSliceCompositeNode"):
        found[node.GetID()] = (node.GetBackgroundVolumeID(), node.GetForegroundVolumeID())
    for node in _nodesOf(scene, "vtkMRMLSelectionNode"):
        found[node.GetID()] = (node.GetActiveVolumeID(), node.GetSecondaryVolumeID())
    return found


def _showAgain(scene: Any, shown: dict[str, tuple[str | None, str | None]]) -> None:
    for identifier, (background, foreground) in shown.items():
        node = scene.GetNodeByID(identifier)
        if node is None:
            continue
        if node.IsA("vtkMRMLSelectionNode"):
            node.SetActiveVolumeID(background)
            node.SetSecondaryVolumeID(foreground)
        else:
            node.SetBackgroundVolumeID(background)
            node.SetForegroundVolumeID(foreground)


def _nodesOf(scene: Any, className: str) -> list[Any]:
    nodes = scene.GetNodesByClass(className)
    nodes.UnRegister(None)
    return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
