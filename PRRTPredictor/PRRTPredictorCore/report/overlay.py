"""The picture a clinician looks at first: PET over CT, and below it where the networks looked, in three planes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..files import replacing
from ..records import RESEARCH_USE_NOTICE, Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

CT_WINDOW_HU = (-160.0, 240.0)
PET_WINDOW_SUV = (0.0, 15.0)
SALIENCY_THRESHOLD = 0.3
"""v_min of the paper's Fig. 9: weaker saliency is not drawn."""

PIXEL_MM = 2.0
FIGURE_INCHES = 12.0
TISSUE_HU = -300.0


@dataclass(frozen=True, eq=False)
class Plane:
    """A cut through the patient: ``points_lps`` has shape (rows, columns, 3), in mm, as a radiologist looks at it."""

    title: str
    left: str
    right: str
    points_lps: NDArray[np.float64]


def write_overlay(
    path: Path, pet: Volume, ct: Volume, saliency: Volume | None, *, title: str = "", synthetic: bool = False
) -> None:
    """Draw the study in three planes through its most salient spot and write it as PNG.

    Parameters
    ----------
    pet, ct : Volume
        In SUVbw and HU, any geometry.
    saliency : Volume or None
        [0, 1]; without it, the planes go through the brightest PET voxel and only the fused row is drawn.
    synthetic : bool
        Print SYNTHETIC across the picture's title.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    centre = hottest_point(saliency if saliency is not None and saliency.array.any() else pet)
    planes = three_planes(patient_box(ct, pet), centre)
    rows = 1 if saliency is None else 2
    widths = [plane.points_lps.shape[1] for plane in planes]
    row_inches = FIGURE_INCHES * 0.88 * max(plane.points_lps.shape[0] for plane in planes) / sum(widths)
    size = (FIGURE_INCHES, 0.6 + rows * (row_inches + 0.35))
    figure = Figure(figsize=size, dpi=110, facecolor="black", layout="constrained")
    axes = figure.subplots(rows, 3, width_ratios=widths, squeeze=False)
    bars: dict[int, AxesImage] = {}
    for column, plane in enumerate(planes):
        background = sample(ct, plane, outside=-1000.0)
        uptake = sample(pet, plane)
        bars[0] = _draw(axes[0, column], plane, background, uptake, "inferno", PET_WINDOW_SUV, uptake / 8.0)
        if saliency is not None:
            heat = sample(saliency, plane)
            alpha = np.where(heat >= SALIENCY_THRESHOLD, 0.85, 0.0)
            window = (SALIENCY_THRESHOLD, 1.0)
            bars[1] = _draw(axes[1, column], plane, background, heat, "viridis", window, alpha)
    labels = ("SUVbw", f"saliency, from {SALIENCY_THRESHOLD}")
    for row, image in bars.items():
        _colour_bar(figure, axes[row], image, labels[row])
    heading = " · ".join(text for text in ("SYNTHETIC" if synthetic else "", title, RESEARCH_USE_NOTICE) if text)
    figure.suptitle(heading, color="white", fontsize=11)
    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", facecolor="black")


def hottest_point(volume: Volume) -> NDArray[np.float64]:
    """LPS position of the largest voxel, in mm, shape (3,)."""
    k, j, i = np.unravel_index(int(np.argmax(volume.array)), volume.array.shape)
    return np.asarray((volume.ijk_to_lps @ np.array([i, j, k, 1.0]))[:3])


def patient_box(ct: Volume, pet: Volume) -> NDArray[np.float64]:
    """Smallest LPS box around the tissue of the CT within the PET's field of view, shape (2, 3), in mm."""
    low, high = bounding_box(pet, np.array(pet.shape) - 1)
    coarse = ct.array[:, ::4, ::4]
    tissue = np.argwhere(coarse > TISSUE_HU) * (1, 4, 4)
    if not len(tissue):
        return np.stack([low, high])
    ct_low, ct_high = bounding_box(ct, tissue.max(axis=0), tissue.min(axis=0))
    return np.stack([np.maximum(low, ct_low), np.minimum(high, ct_high)])


def bounding_box(
    volume: Volume, last_kji: NDArray[np.integer], first_kji: NDArray[np.integer] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest LPS position of a block of voxels, in mm."""
    first = np.zeros(3) if first_kji is None else np.asarray(first_kji, dtype=np.float64)
    corners = np.array([[i, j, k, 1.0] for k, j, i in itertools.product(*zip(first, last_kji, strict=True))])
    lps = (corners @ volume.ijk_to_lps.T)[:, :3]
    return lps.min(axis=0), lps.max(axis=0)


def three_planes(box: NDArray[np.float64], centre: NDArray[np.float64]) -> tuple[Plane, Plane, Plane]:
    """Axial, coronal and sagittal cuts through ``centre`` that span an LPS box of shape (2, 3), in mm."""
    left, back, up = (np.arange(start, stop + PIXEL_MM / 2, PIXEL_MM) for start, stop in box.T)
    head_first = up[::-1]
    x, y, z = centre
    return (
        Plane("axial", "R", "L", _points(left[None, :], back[:, None], np.array([[z]]))),
        Plane("coronal", "R", "L", _points(left[None, :], np.array([[y]]), head_first[:, None])),
        Plane("sagittal", "A", "P", _points(np.array([[x]]), back[None, :], head_first[:, None])),
    )


def _points(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1)


def sample(volume: Volume, plane: Plane, outside: float = 0.0) -> NDArray[np.float32]:
    """Interpolate a volume linearly on a plane; ``outside`` where the plane leaves it."""
    from scipy.ndimage import map_coordinates

    lps_to_ijk = np.linalg.inv(volume.ijk_to_lps)
    ijk = plane.points_lps @ lps_to_ijk[:3, :3].T + lps_to_ijk[:3, 3]
    values = map_coordinates(volume.array, np.moveaxis(ijk[..., ::-1], -1, 0), output=np.float32, order=1, cval=outside)
    return np.asarray(values)


def _draw(
    ax: Axes,
    plane: Plane,
    background: NDArray[np.float32],
    layer: NDArray[np.float32],
    colours: str,
    window: tuple[float, float],
    alpha: NDArray[np.floating],
) -> AxesImage:
    ax.imshow(background, cmap="gray", vmin=CT_WINDOW_HU[0], vmax=CT_WINDOW_HU[1])
    image = ax.imshow(layer, cmap=colours, vmin=window[0], vmax=window[1], alpha=np.clip(alpha, 0.0, 0.85))
    ax.set_axis_off()
    ax.set_title(plane.title, color="white", fontsize=10)
    for x, letter, side in ((0.02, plane.left, "left"), (0.98, plane.right, "right")):
        ax.text(x, 0.5, letter, color="white", transform=ax.transAxes, ha=side, va="center")
    return image


def _colour_bar(figure: Figure, axes: Any, image: AxesImage, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.01)
    bar.set_label(label, color="white")
    bar.ax.tick_params(colors="white")
