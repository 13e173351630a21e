"""Pictures of where networks looked (paper, Fig. 9): planes of a patient, gradient histograms, the sanity check."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...records import CommonGrid, PreparedStudy, Volume
from ..overlay import (
    CT_WINDOW_HU,
    PET_WINDOW_SUV,
    SALIENCY_THRESHOLD,
    TISSUE_HU,
    Plane,
    bounding_box,
    hottest_point,
    sample,
    three_planes,
)
from ..style import INK, MUTED, model_colour, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

GROUND = "#0c0e10"
LIGHT = "#f2f4f6"
LINES = ("solid", (0, (5, 1.6)), (0, (1.2, 1.2)))
"""By model, beside its colour."""

LEAST_SHARE = 5e-4
"""Bins with fewer voxels are not worth an axis that reaches them."""

PET_COLOURS, SALIENCY_COLOURS = "inferno", "viridis"
PANEL_INCHES = 2.85
GAP_INCHES = 0.05
MARGIN_INCHES = 0.14
TITLE_INCHES = 0.64
HEADING_INCHES = 0.42
LINE_INCHES = 0.19
LETTERS_AN_INCH = 10.2
"""Of the heading, on the safe side."""

BARS_INCHES = 0.85


@dataclass(frozen=True, eq=False)
class Layer:
    """One panel of a patient's picture: something laid over the CT.

    Attributes
    ----------
    title : str
        Above the panel.
    values : ndarray, shape (K, J, I)
        SUVbw, or saliency in [0, 1].
    kind : {"pet", "saliency"}
        Windows, colours and transparency.
    """

    title: str
    values: NDArray[np.float32]
    kind: str


@dataclass(frozen=True, eq=False)
class Histogram:
    """One model's gradient magnitudes in one patient, voxels by bin, as shares.

    Attributes
    ----------
    label, model : str
        In the legend, and for the colour.
    edges : ndarray, shape (n + 1,)
    shares : ndarray, shape (n,)
        Of all voxels.
    """

    label: str
    model: str
    edges: NDArray[np.float64]
    shares: NDArray[np.float64]


def common_spot(maps: Sequence[NDArray[np.float32]], grid: CommonGrid) -> NDArray[np.float64]:
    """LPS position in mm, shape (3,), where the mean of all the maps [K, J, I] is largest."""
    return hottest_point(Volume(np.mean(maps, axis=0), grid.ijk_to_lps, "PT", "saliency"))


def patient_planes(study: PreparedStudy, spot: NDArray[np.float64]) -> tuple[Plane, Plane, Plane]:
    """Axial, coronal and sagittal planes through a spot, cut to the patient's tissue."""
    ct = Volume(study.ct, study.grid.ijk_to_lps, "CT", "HU")
    tissue = np.argwhere(study.ct > TISSUE_HU)
    if len(tissue):
        low, high = bounding_box(ct, tissue.max(axis=0) + 1, tissue.min(axis=0) - 1)
    else:
        low, high = bounding_box(ct, np.array(ct.shape) - 1)
    return three_planes(np.stack([low, high]), spot)


def patient_figure(
    study: PreparedStudy, rows: Sequence[Sequence[Layer]], spots: Sequence[NDArray[np.float64]], title: str
) -> Figure:
    """Lay PET and saliency over the CT in three planes through one spot a row.

    Parameters
    ----------
    study : PreparedStudy
        Gives the CT and the grid.
    rows : sequence of sequence of Layer
        Panels from left to right, row by row.
    spots : sequence of ndarray, shape (3,)
        One a row; LPS in mm; thin lines mark it.
    title : str
        Above everything.
    """
    from matplotlib.figure import Figure

    planes = [patient_planes(study, spot) for spot in spots]  # all of one size, the patient's
    (axial_height, across), (height, _), (_, deep) = (plane.points_lps.shape[:2] for plane in planes[0])
    pixel = (PANEL_INCHES - GAP_INCHES) / (across + deep)
    panel_height = TITLE_INCHES + pixel * (height + axial_height) + GAP_INCHES
    columns = max(len(row) for row in rows)
    width = MARGIN_INCHES + columns * (PANEL_INCHES + MARGIN_INCHES) + BARS_INCHES
    heading = textwrap.wrap(title, int((width - 2 * MARGIN_INCHES) * LETTERS_AN_INCH))
    above = HEADING_INCHES + (len(heading) - 1) * LINE_INCHES
    tall = above + len(rows) * (panel_height + MARGIN_INCHES)
    figure = Figure(figsize=(width, tall), facecolor=GROUND)
    figure.text(MARGIN_INCHES / width, 1 - MARGIN_INCHES / tall, "\n".join(heading), color=LIGHT, fontsize=11, va="top")

    def axes(x: float, y: float, shape: tuple[int, ...]) -> Axes:
        """Axes whose upper left corner lies ``x`` from the left and ``y`` from the top, in inches."""
        wide, high = pixel * shape[1], pixel * shape[0]
        return figure.add_axes((x / width, 1 - (y + high) / tall, wide / width, high / tall))

    shown: dict[str, AxesImage] = {}
    for r, row in enumerate(rows):
        for c, layer in enumerate(row):
            x = MARGIN_INCHES + c * (PANEL_INCHES + MARGIN_INCHES)
            y = above + r * (panel_height + MARGIN_INCHES) + TITLE_INCHES
            below, beside = y + pixel * height + GAP_INCHES, x + pixel * across + GAP_INCHES
            places = ((x, below), (x, y), (beside, y))
            for plane, place in zip(planes[r], places, strict=True):
                image = draw_plane(axes(*place, plane.points_lps.shape), study, plane, layer, spots[r])
                shown.setdefault(layer.kind, image)
            figure.axes[-2].set_title(layer.title, color=LIGHT, fontsize=9.5, pad=4, linespacing=1.35)
    _colour_bars(figure, {kind: shown[kind] for kind in ("pet", "saliency") if kind in shown}, above)
    return figure


def draw_plane(ax: Axes, study: PreparedStudy, plane: Plane, layer: Layer, spot: NDArray[np.float64]) -> AxesImage:
    """One plane of one layer over the CT, with its orientation letters; returns the layer's image for a colour bar."""
    affine = study.grid.ijk_to_lps
    background = sample(Volume(study.ct, affine, "CT", "HU"), plane, outside=-1000.0)
    values = sample(Volume(layer.values, affine, "PT", "SUVbw"), plane)
    if layer.kind == "pet":
        window, colours, alpha = PET_WINDOW_SUV, PET_COLOURS, np.clip(values / 8.0, 0.0, 0.9)
    else:
        window, colours = (SALIENCY_THRESHOLD, 1.0), SALIENCY_COLOURS  # an empty layer leaves the CT alone
        alpha = np.where(values >= SALIENCY_THRESHOLD, 0.9, 0.0)
    ax.imshow(background, cmap="gray", vmin=CT_WINDOW_HU[0], vmax=CT_WINDOW_HU[1], aspect="equal")
    image = ax.imshow(values, cmap=colours, vmin=window[0], vmax=window[1], alpha=alpha, aspect="equal")
    ax.set_axis_off()
    row, column = _pixel_of(plane, spot)
    ax.axhline(row, color=LIGHT, linewidth=0.35, alpha=0.55)
    ax.axvline(column, color=LIGHT, linewidth=0.35, alpha=0.55)
    for x, letter, side in ((0.02, plane.left, "left"), (0.98, plane.right, "right")):
        ax.text(x, 0.98, letter, color=LIGHT, fontsize=8, transform=ax.transAxes, ha=side, va="top")
    return image


def _pixel_of(plane: Plane, spot: NDArray[np.float64]) -> tuple[int, int]:
    distance = np.square(plane.points_lps - spot).sum(axis=-1)
    row, column = np.unravel_index(int(np.argmin(distance)), distance.shape)
    return int(row), int(column)


def _colour_bars(figure: Figure, shown: Mapping[str, AxesImage], above: float) -> None:
    labels = {"pet": "SUVbw", "saliency": f"saliency, from {SALIENCY_THRESHOLD}"}
    width, height = figure.get_size_inches()
    first = above + TITLE_INCHES
    tall = min(1.7, (height - first) / 2 - 0.4)
    for place, (kind, image) in enumerate(shown.items()):
        top = first + place * (tall + 0.35)
        box = (1 - (BARS_INCHES - 0.1) / width, 1 - (top + tall) / height, 0.12 / width, tall / height)
        bar = figure.colorbar(image, cax=figure.add_axes(box))
        bar.set_label(labels[kind], color=LIGHT, fontsize=8.5)
        if bar.solids is not None:
            bar.solids.set_alpha(1.0)
        bar.ax.tick_params(colors=LIGHT, labelcolor=LIGHT, labelsize=8, length=2)
        bar.outline.set_visible(False)


def gradient_histogram(ax: Axes, histograms: Sequence[Histogram], unit: str) -> Axes:
    """Distributions of one patient's gradient magnitudes under several models, on a logarithmic axis.

    Two stored bins are drawn as one step, so that each step is a fifth of a decade.
    """
    for place, one in enumerate(histograms):
        pairs = one.shares.reshape(-1, 2).sum(axis=1)
        seen = np.flatnonzero(pairs >= LEAST_SHARE)
        if not seen.size:
            continue
        low, high = max(0, int(seen[0]) - 1), min(len(pairs), int(seen[-1]) + 2)
        ax.stairs(
            100 * pairs[low:high],
            10.0 ** one.edges[2 * low : 2 * high + 1 : 2],
            label=one.label,
            color=model_colour(one.model),
            linewidth=1.7,
            linestyle=LINES[place % len(LINES)],
        )
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: f"{math.log10(value):.0f}".replace("-", "−"))
    ax.tick_params(axis="x", which="minor", labelbottom=False)
    ax.set_xlabel(f"log₁₀ |∂ probability / ∂ voxel|, per {unit}")
    ax.set_ylabel("voxels, %")
    return quiet(ax)


def randomisation_chart(
    ax: Axes, stages: Sequence[str], curves: NDArray[np.float64], agreement: float, model: str, label: str
) -> Axes:
    """How a map loses its resemblance to the trained one as more layers are random.

    Parameters
    ----------
    stages : sequence of str, length S
    curves : ndarray, shape (n, S)
        Rank correlations, one row a network and patient; NaN where there is none.
    agreement : float
        Mean rank correlation between networks that were trained separately, drawn as a line across.
    model, label : str
        For the colour, and the panel's title.
    """
    x = np.arange(len(stages) + 1)
    whole = np.column_stack([np.ones(len(curves)), curves])
    colour = model_colour(model)
    for one in whole:
        ax.plot(x, one, color=colour, alpha=0.45, linewidth=0.8)
    known = ~np.isnan(whole).all(axis=0)
    ax.plot(x[known], np.nanmedian(whole[:, known], axis=0), color=colour, marker="o", markersize=4.5)
    ax.axhline(0.0, color=MUTED, linewidth=0.9)
    if np.isfinite(agreement):
        ax.axhline(agreement, color=INK, linewidth=1.1, linestyle=(0, (4, 2)))
        ax.text(
            1.015, agreement, "fits\nagree", transform=ax.get_yaxis_transform(), va="center", fontsize=8, color=INK
        )  # fmt: skip
    ax.set_xticks(x, ["trained", *stages], rotation=35, ha="right", rotation_mode="anchor", fontsize=8.5)
    ax.set_ylim(-0.35, 1.05)
    ax.set_title(label)
    return quiet(ax, "y")


def subfigure_axes(figure: Figure | SubFigure, panels: int, most: int = 3) -> list[Axes]:
    """Axes of equal size in rows of at most ``most``; surplus places stay empty."""
    columns = min(panels, most)
    rows = -(-panels // columns)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in grid[panels:]:
        ax.set_visible(False)
    return list(grid[:panels])


def share_limits(axes: Sequence[Axes]) -> None:
    """Give all axes the limits that hold what any of them shows; y starts at zero."""
    shown = [ax for ax in axes if ax.get_visible()]
    lows, highs = zip(*(ax.get_xlim() for ax in shown), strict=True)
    top = max(ax.get_ylim()[1] for ax in shown)
    for ax in shown:
        ax.set_xlim(min(lows), max(highs))
        ax.set_ylim(0, top)
