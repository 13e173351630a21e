"""Solids by their distance to the surface, painted with soft edges onto a voxel grid.

Coordinates are LPS (x to the patient's left, y to the back, z to the head). Distances are approximate: good near the
surface, which is where partial volume is decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Point = tuple[float, float, float]
Box = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"""Lower and upper bound along x, y and z, in mm."""


class Solid(Protocol):
    """A body with a surface."""

    def bounds(self) -> Box:
        """The box outside of which the solid has no point, in mm."""

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Approximate signed distance to the surface in mm, negative inside; x, y, z broadcast to [k, j, i]."""


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid, turned by ``roll_deg`` in the coronal (x, z) and ``pitch_deg`` in the sagittal (y, z) plane."""

    centre: Point
    radii: Point
    roll_deg: float = 0.0
    pitch_deg: float = 0.0

    def bounds(self) -> Box:
        """See :class:`Solid`."""
        (cx, cy, cz), reach = self.centre, self.radii
        if self.roll_deg or self.pitch_deg:
            reach = (max(self.radii),) * 3
        return (cx - reach[0], cx + reach[0]), (cy - reach[1], cy + reach[1]), (cz - reach[2], cz + reach[2])

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """See :class:`Solid`."""
        u, v, w = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        if self.roll_deg:
            c, s = np.cos(np.deg2rad(self.roll_deg)), np.sin(np.deg2rad(self.roll_deg))
            u, w = c * u + s * w, c * w - s * u
        if self.pitch_deg:
            c, s = np.cos(np.deg2rad(self.pitch_deg)), np.sin(np.deg2rad(self.pitch_deg))
            v, w = c * v + s * w, c * w - s * v
        a, b, c = self.radii
        scaled = np.sqrt((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2)
        gradient = np.sqrt((u / a**2) ** 2 + (v / b**2) ** 2 + (w / c**2) ** 2)
        return np.asarray(scaled * (scaled - 1.0) / np.maximum(gradient, 1e-6), dtype=np.float32)


@dataclass(frozen=True)
class Capsule:
    """The hull of two balls: a piece of a tube, wider at one end if need be."""

    start: Point
    end: Point
    start_radius: float
    end_radius: float

    def bounds(self) -> Box:
        """See :class:`Solid`."""
        radius = max(self.start_radius, self.end_radius)
        pairs = [(min(a, b) - radius, max(a, b) + radius) for a, b in zip(self.start, self.end, strict=True)]
        return pairs[0], pairs[1], pairs[2]

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """See :class:`Solid`."""
        (ax, ay, az), (bx, by, bz) = self.start, self.end
        dx, dy, dz = bx - ax, by - ay, bz - az
        length2 = max(dx * dx + dy * dy + dz * dz, 1e-6)
        along = np.clip(((x - ax) * dx + (y - ay) * dy + (z - az) * dz) / length2, 0.0, 1.0)
        off = np.sqrt((x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2 + (z - az - along * dz) ** 2)
        return np.asarray(off - (self.start_radius + along * (self.end_radius - self.start_radius)), dtype=np.float32)


def tube(points: Sequence[Point], radius: float | Sequence[float]) -> tuple[Capsule, ...]:
    """A tube through ``points`` (mm) as the chain of its pieces."""
    radii = [radius] * len(points) if isinstance(radius, (int, float)) else list(radius)
    return tuple(Capsule(points[n], points[n + 1], radii[n], radii[n + 1]) for n in range(len(points) - 1))


@dataclass(frozen=True)
class Trunk:
    """A solid whose axial sections are superellipses that change along z (torso, neck and head, cavities).

    Attributes
    ----------
    z : sequence of float
        Increasing heights in mm; outside of them there is nothing.
    half_width, half_depth, y_centre : sequence of float
        Section at each height: along x, along y, and where its centre lies, in mm.
    squareness : float
        2 is an ellipse; larger is more of a box.
    """

    z: tuple[float, ...]
    half_width: tuple[float, ...]
    half_depth: tuple[float, ...]
    y_centre: tuple[float, ...]
    squareness: float = 2.4

    def bounds(self) -> Box:
        """See :class:`Solid`."""
        a, b = max(self.half_width), max(self.half_depth)
        return (-a, a), (min(self.y_centre) - b, max(self.y_centre) + b), (self.z[0], self.z[-1])

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """See :class:`Solid`."""
        ends = np.maximum(self.z[0] - z, z - self.z[-1])
        return np.asarray(np.maximum(self.lateral_distance(x, y, z), ends), dtype=np.float32)

    def lateral_distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Distance to the side wall alone, as if the trunk went on above and below."""
        a = np.interp(z, self.z, self.half_width).astype(np.float32)
        b = np.interp(z, self.z, self.half_depth).astype(np.float32)
        centre = np.interp(z, self.z, self.y_centre).astype(np.float32)
        n = np.float32(self.squareness)
        scaled = ((np.abs(x) / a) ** n + (np.abs(y - centre) / b) ** n) ** (1 / n)
        return np.asarray((scaled - 1.0) * np.minimum(a, b), dtype=np.float32)

    def shrunk(self, side_mm: float, front_mm: float, back_mm: float, z_range: tuple[float, float]) -> Trunk:
        """The trunk within this one, as far inside as said, between two heights."""
        z = tuple(sorted({*z_range, *(height for height in self.z if z_range[0] < height < z_range[1])}))
        a, b = np.interp(z, self.z, self.half_width), np.interp(z, self.z, self.half_depth)
        y = np.interp(z, self.z, self.y_centre)
        return Trunk(
            z,
            tuple(float(v) for v in np.maximum(a - side_mm, 4.0)),
            tuple(float(v) for v in np.maximum(b - (front_mm + back_mm) / 2, 4.0)),
            tuple(float(v) for v in y + (front_mm - back_mm) / 2),
            self.squareness,
        )

    def narrowed(self, heights: Sequence[float], factors: Sequence[float]) -> Trunk:
        """The trunk with its sections scaled by ``factors`` at ``heights`` (mm), linearly between them."""
        z = tuple(sorted({*self.z, *heights}))
        factor = np.interp(z, heights, factors)
        a, b = np.interp(z, self.z, self.half_width) * factor, np.interp(z, self.z, self.half_depth) * factor
        y = np.interp(z, self.z, self.y_centre)
        return Trunk(
            z, tuple(float(v) for v in a), tuple(float(v) for v in b), tuple(float(v) for v in y), self.squareness
        )


@dataclass(frozen=True)
class RibCage:
    """Slanted ribs in the wall of a thorax."""

    wall: Trunk
    thickness_mm: float = 8.0
    period_mm: float = 26.0
    slant: float = 0.45

    def bounds(self) -> Box:
        """See :class:`Solid`."""
        return self.wall.bounds()

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """See :class:`Solid`."""
        shell = np.abs(self.wall.lateral_distance(x, y, z)) - self.thickness_mm / 2
        phase = (z - self.slant * y) / self.period_mm
        between = (np.abs(phase - np.round(phase)) - 0.24) * self.period_mm
        front = -45.0 - y  # costal cartilage and sternum: no bony rib in front
        return np.asarray(np.maximum(np.maximum(shell, between), front), dtype=np.float32)


@dataclass(frozen=True)
class Shell:
    """The wall of another solid: from its surface ``thickness_mm`` inwards."""

    solid: Solid
    thickness_mm: float

    def bounds(self) -> Box:
        """See :class:`Solid`."""
        return self.solid.bounds()

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """See :class:`Solid`."""
        depth = self.solid.distance(x, y, z)
        return np.asarray(np.maximum(depth, -depth - self.thickness_mm), dtype=np.float32)


@dataclass(frozen=True)
class VoxelGrid:
    """An axial grid in patient space.

    Attributes
    ----------
    shape : tuple of int
        Voxels along (k, j, i).
    spacing_mm : tuple of float
        Along (k, j, i).
    origin_lps_mm : tuple of float
        Centre of voxel (0, 0, 0), as (x, y, z).
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_lps_mm: Point

    def axes_mm(self) -> tuple[Doubles, Doubles, Doubles]:
        """Voxel centres along x, y, z."""
        (nk, nj, ni), (dk, dj, di), (x0, y0, z0) = self.shape, self.spacing_mm, self.origin_lps_mm
        steps = ((x0, di, ni), (y0, dj, nj), (z0, dk, nk))
        x, y, z = (np.asarray(first + step * np.arange(n), dtype=np.float64) for first, step, n in steps)
        return x, y, z

    def slab(self, first: int, last: int) -> VoxelGrid:
        """The slices ``first`` to ``last`` (exclusive)."""
        (_, nj, ni), (x0, y0, z0) = self.shape, self.origin_lps_mm
        return VoxelGrid((last - first, nj, ni), self.spacing_mm, (x0, y0, z0 + first * self.spacing_mm[0]))

    def ijk_to_lps(self) -> NDArray[np.float64]:
        """The affine, shape (4, 4)."""
        affine = np.diag([*self.spacing_mm[::-1], 1.0])
        affine[:3, 3] = self.origin_lps_mm
        return affine

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.spacing_mm)) / 1000.0


@dataclass(frozen=True)
class Tissue:
    """What a solid is made of: CT number, tracer uptake (SUVbw) and organ label (None: keeps that beneath)."""

    hu: float
    suv: float
    label: int | None = None


@dataclass(frozen=True)
class BodyFrame:
    """Where the reference body lies in patient space: LPS = offset + scale x reference."""

    scale: Point = (1.0, 1.0, 1.0)
    offset_lps_mm: Point = (0.0, 0.0, 0.0)

    def to_lps(self, point: Point) -> Point:
        """A reference point (mm) in patient space."""
        x, y, z = (o + s * p for o, s, p in zip(self.offset_lps_mm, self.scale, point, strict=True))
        return x, y, z


@dataclass(eq=False)
class Canvas:
    """Voxel arrays under the brush.

    Attributes
    ----------
    grid : VoxelGrid
    frame : BodyFrame
        Solids are given in reference coordinates.
    hu, suv : ndarray [k, j, i], float32
    labels : ndarray [k, j, i], uint8
    """

    grid: VoxelGrid
    frame: BodyFrame
    hu: Floats = field(init=False)
    suv: Floats = field(init=False)
    labels: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        self.hu = np.full(self.grid.shape, -1000.0, dtype=np.float32)
        self.suv = np.zeros(self.grid.shape, dtype=np.float32)
        self.labels = np.zeros(self.grid.shape, dtype=np.uint8)
        mapped = zip(self.grid.axes_mm(), self.frame.offset_lps_mm, self.frame.scale, strict=True)
        self._axes = tuple(((axis - offset) / scale).astype(np.float32) for axis, offset, scale in mapped)
        # The width over which an edge fades: about a voxel, less where slices are much thicker than pixels.
        self._edge_mm = float(np.prod(self.grid.spacing_mm) ** (1 / 3))

    def paint(self, solid: Solid, tissue: Tissue) -> None:
        """Lay ``tissue`` over what is there, in proportion to how much of each voxel the solid fills."""
        window = self._window(solid.bounds())
        if window is None:
            return
        box, (x, y, z) = window
        share = np.clip(0.5 - solid.distance(x, y, z) / self._edge_mm, 0.0, 1.0)
        share = np.broadcast_to(share, self.hu[box].shape)
        self.hu[box] += share * (tissue.hu - self.hu[box])
        self.suv[box] += share * (tissue.suv - self.suv[box])
        if tissue.label is not None:
            self.labels[box][share >= 0.5] = tissue.label

    def _window(self, bounds: Box) -> tuple[tuple[slice, slice, slice], tuple[Floats, Floats, Floats]] | None:
        parts: list[slice] = []
        for axis, (low, high) in zip(self._axes, bounds, strict=True):
            first = int(np.searchsorted(axis, low - self._edge_mm))
            last = int(np.searchsorted(axis, high + self._edge_mm))
            if first >= last:
                return None
            parts.append(slice(first, last))
        i, j, k = parts
        x, y, z = self._axes[0][i], self._axes[1][j], self._axes[2][k]
        return (k, j, i), (x[None, None, :], y[None, :, None], z[:, None, None])


@dataclass(frozen=True, eq=False)
class FilledBox:
    """The voxels that a small solid touches, as [k, j, i] slices, and how much of each it fills."""

    box: tuple[slice, slice, slice]
    share: Floats


def ellipsoid_share(grid: VoxelGrid, centre_mm: Point, radii_mm: Point, finest_mm: float = 2.5) -> FilledBox | None:
    """How much of each voxel an ellipsoid in patient space fills, by subsampling.

    The shares sum to the ellipsoid's volume however small it is against a voxel; None where the grid misses it.
    """
    slices: list[slice] = []
    fine: list[NDArray[np.float64]] = []
    factors: list[int] = []
    for axis, step, centre, radius in zip(grid.axes_mm(), grid.spacing_mm[::-1], centre_mm, radii_mm, strict=True):
        inside = np.flatnonzero(np.abs(axis - centre) <= radius + step / 2)
        if inside.size == 0:
            return None
        parts = slice(int(inside[0]), int(inside[-1]) + 1)
        factor = int(np.clip(np.ceil(step / min(finest_mm, radius / 2)), 1, 16))
        within = (np.arange(factor) + 0.5) / factor - 0.5
        slices.append(parts)
        factors.append(factor)
        fine.append((((axis[parts][:, None] + within * step).ravel() - centre) / radius) ** 2)
    r2 = fine[2][:, None, None] + fine[1][None, :, None] + fine[0][None, None, :]
    fi, fj, fk = factors
    nk, nj, ni = (n // f for n, f in zip(r2.shape, (fk, fj, fi), strict=True))
    share = (r2 <= 1.0).reshape(nk, fk, nj, fj, ni, fi).mean(axis=(1, 3, 5)).astype(np.float32)
    return FilledBox((slices[2], slices[1], slices[0]), share)
