"""Metastases: where they lie, how large they are, how much tracer they take up and how they look on CT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .anatomy import Body, cavity, liver_lobes, lungs_of, spine_y, vertebrae
from .shapes import Canvas, Ellipsoid, Point, ellipsoid_share

SITES: tuple[str, ...] = ("hepatic", "lymphonodal", "osseous", "peritoneal", "pulmonary")

_SHARE = {"hepatic": 5.0, "lymphonodal": 2.0, "osseous": 1.4, "peritoneal": 1.2, "pulmonary": 0.3}
_LARGEST_MM = {"hepatic": 34.0, "lymphonodal": 21.0, "osseous": 17.0, "peritoneal": 19.0, "pulmonary": 14.0}
_MEAN_SUV = 34.0


@dataclass(frozen=True)
class Lesion:
    """One metastasis in patient space.

    Attributes
    ----------
    site : str
        One of :data:`SITES`.
    centre_lps_mm, radii_mm : tuple of float
        An ellipsoid along the axes of the scanner.
    suv : float
        Uptake of the vital tissue, SUVbw.
    hu : float
        CT number.
    core : float
        Linear size of a necrotic core without uptake against the whole; 0 for none.
    """

    site: str
    centre_lps_mm: Point
    radii_mm: Point
    suv: float
    hu: float
    core: float = 0.0

    @property
    def volume_ml(self) -> float:
        """Volume with the core."""
        return 4.0 / 3.0 * np.pi * self.radii_mm[0] * self.radii_mm[1] * self.radii_mm[2] / 1000.0

    @property
    def uptake_suv_ml(self) -> float:
        """Total uptake: SUV times vital volume."""
        return self.suv * self.volume_ml * (1.0 - self.core**3)


def burden_ml(burden: float) -> float:
    """Lesion volume of a patient whose PET latent is ``burden``: 180 ml in the middle, a factor of 3 for each SD."""
    return float(np.clip(180.0 * 3.0**burden, 10.0, 1900.0))


def sink_factor(volume_ml: float) -> float:
    """How far a large tumour load lowers the uptake of the organs (tumour sink effect)."""
    return float((1.0 + volume_ml / 900.0) ** -0.2)


def draw_lesions(
    rng: np.random.Generator, body: Body, sites: tuple[str, ...], volume_ml: float, heterogeneity: float
) -> tuple[Lesion, ...]:
    """Draw a patient's metastases.

    Parameters
    ----------
    sites : tuple of str
        Where there are any; every site gets at least one.
    volume_ml : float
        Volume of all together.
    heterogeneity : float
        Standard-normal latent: the spread of uptake between lesions and the size of necrotic cores. The mean uptake
        over the volume does not depend on it.
    """
    spread = 0.38 * float(np.exp(0.6 * heterogeneity))
    planned = _sizes(rng, sites, volume_ml)
    factors = np.exp(rng.normal(0.0, min(spread, 1.3), size=len(planned)))
    cores = np.clip(0.35 + 0.22 * heterogeneity + rng.normal(0, 0.08, size=len(planned)), 0.0, 0.8)
    placed: list[tuple[Point, float]] = []
    lesions: list[Lesion] = []
    for (site, radius), factor, core in zip(planned, factors, cores, strict=True):
        centre = _place(rng, body, site, radius, placed)
        placed.append((centre, radius))
        shape = np.exp(rng.normal(0.0, 0.12, size=3))
        radii = radius * shape / np.prod(shape) ** (1 / 3)
        lesions.append(
            Lesion(
                site=site,
                centre_lps_mm=centre,
                radii_mm=(float(radii[0]), float(radii[1]), float(radii[2])),
                suv=float(factor),
                hu=_hu(site, body, rng),
                core=float(core) if radius > 12.0 and core > 0.2 else 0.0,
            )
        )
    mean = sum(lesion.uptake_suv_ml for lesion in lesions) / sum(lesion.volume_ml for lesion in lesions)
    scale = _MEAN_SUV * float(np.exp(rng.normal(0, 0.08))) / mean
    return tuple(
        Lesion(one.site, one.centre_lps_mm, one.radii_mm, one.suv * scale, one.hu, one.core) for one in lesions
    )


def _sizes(rng: np.random.Generator, sites: tuple[str, ...], volume_ml: float) -> list[tuple[str, float]]:
    """Site and radius (mm) of every lesion, largest first; the volumes sum to ``volume_ml``."""
    shares = np.array([_SHARE[site] for site in sites]) * np.exp(rng.normal(0, 0.35, size=len(sites)))
    planned: list[tuple[str, float]] = []
    for site, volume in zip(sites, volume_ml * shares / shares.sum(), strict=True):
        largest_ml = 4.0 / 3.0 * np.pi * _LARGEST_MM[site] ** 3 / 1000.0
        count = max(int(np.ceil(volume / (0.3 * largest_ml))), int(rng.integers(1, 5)))
        parts = np.exp(rng.normal(0.0, 0.7, size=count))
        parts = np.minimum(volume * parts / parts.sum(), largest_ml)
        parts *= volume / parts.sum()
        planned += [(site, float((part * 750.0 / np.pi) ** (1 / 3))) for part in parts]
    return sorted(planned, key=lambda item: -item[1])


def _place(rng: np.random.Generator, body: Body, site: str, radius: float, placed: list[tuple[Point, float]]) -> Point:
    """A place at ``site`` that overlaps what is there as little as twenty-four tries allow."""
    best: tuple[float, Point] | None = None
    for _ in range(24):
        point = body.frame.to_lps(_PLACES[site](rng, body))
        room = min(
            (float(np.linalg.norm(np.subtract(point, other))) - radius - size for other, size in placed), default=1.0
        )
        if best is None or room > best[0]:
            best = room, point
        if room > 0:
            break
    return best[1] if best is not None else body.frame.to_lps((0.0, 0.0, 400.0))


def _inside(rng: np.random.Generator, solid: Ellipsoid, reach: float) -> Point:
    """A uniform point in the inner part of an ellipsoid, reference mm."""
    direction = rng.normal(size=3)
    direction *= reach * rng.random() ** (1 / 3) / np.linalg.norm(direction)
    x, y, z = (c + r * d for c, r, d in zip(solid.centre, solid.radii, direction, strict=True))
    return float(x), float(y), float(z)


def _hepatic(rng: np.random.Generator, body: Body) -> Point:
    right, left = liver_lobes(body)
    return _inside(rng, right if rng.random() < 0.8 else left, 0.78)


def _pulmonary(rng: np.random.Generator, body: Body) -> Point:
    lung = lungs_of(body)[int(rng.integers(2))]
    x, y, z = _inside(rng, lung, 0.75)
    return x, y, max(z, 620.0)


_NODES: tuple[Point, ...] = (
    (22.0, 12.0, 400.0),
    (-4.0, 0.0, 430.0),
    (16.0, -2.0, 460.0),
    (8.0, -34.0, 372.0),
    (-18.0, -40.0, 352.0),
    (30.0, -34.0, 350.0),
    (-52.0, 20.0, 262.0),
    (54.0, 20.0, 258.0),
    (-22.0, -12.0, 470.0),
    (14.0, -8.0, 672.0),
    (-16.0, -10.0, 690.0),
    (58.0, -14.0, 770.0),
)


def _lymphonodal(rng: np.random.Generator, body: Body) -> Point:
    del body
    # Retroperitoneal and mesenteric nodes are far commoner than those above the diaphragm.
    station = _NODES[int(rng.choice(len(_NODES), p=np.array([3, 3, 3, 4, 4, 3, 1, 1, 3, 1, 1, 1]) / 28.0))]
    x, y, z = (c + d for c, d in zip(station, rng.normal(0, 13.0, size=3), strict=True))
    return float(x), float(y), float(z)


def _osseous(rng: np.random.Generator, body: Body) -> Point:
    del body
    where = rng.random()
    if where < 0.55:
        (_, _, z), radius = vertebrae()[int(rng.integers(0, 17))]
        return float(rng.uniform(-0.5, 0.5) * radius), spine_y(z), z
    side = float(rng.choice((-1.0, 1.0)))
    if where < 0.85:
        return side * float(rng.uniform(72, 92)), float(rng.uniform(5, 50)), float(rng.uniform(200, 310))
    return side * float(rng.uniform(128, 136)), float(rng.uniform(-20, 40)), float(rng.uniform(560, 700))


def _peritoneal(rng: np.random.Generator, body: Body) -> Point:
    del body
    walls = cavity()
    z = float(rng.uniform(215, 480))
    a, b = float(np.interp(z, walls.z, walls.half_width)), float(np.interp(z, walls.z, walls.half_depth))
    y0 = float(np.interp(z, walls.z, walls.y_centre))
    angle = rng.uniform(np.pi * 0.95, np.pi * 2.05)  # along the front and the flanks
    return float(0.86 * a * np.cos(angle)), float(y0 + 0.86 * b * np.sin(angle)), z


_PLACES: dict[str, Callable[[np.random.Generator, Body], Point]] = {
    "hepatic": _hepatic,
    "lymphonodal": _lymphonodal,
    "osseous": _osseous,
    "peritoneal": _peritoneal,
    "pulmonary": _pulmonary,
}


def _hu(site: str, body: Body, rng: np.random.Generator) -> float:
    enhanced = body.density.blood > 80.0
    if site == "hepatic":
        return body.density.liver - float(rng.uniform(14, 34) if enhanced else rng.uniform(4, 14))
    if site == "osseous":
        return body.density.marrow + float(rng.uniform(80, 320))
    return 42.0 + (38.0 if enhanced else 0.0) + float(rng.normal(0, 6))


def paint_lesions(canvas: Canvas, lesions: tuple[Lesion, ...]) -> NDArray[np.uint16]:
    """Lay lesions over a rendered body.

    Returns
    -------
    ndarray [k, j, i], uint16
        0 outside, else 1 + the lesion's position in ``lesions`` where it fills at least half of the voxel.
    """
    found = np.zeros(canvas.grid.shape, dtype=np.uint16)
    for number, lesion in enumerate(lesions, start=1):
        whole = ellipsoid_share(canvas.grid, lesion.centre_lps_mm, lesion.radii_mm)
        if whole is None:
            continue
        vital = whole.share.copy()
        if lesion.core > 0:
            rx, ry, rz = lesion.radii_mm
            radii = (rx * lesion.core, ry * lesion.core, rz * lesion.core)
            core = ellipsoid_share(canvas.grid, lesion.centre_lps_mm, radii)
            if core is not None:
                offset = tuple(
                    slice(inner.start - outer.start, inner.stop - outer.start)
                    for inner, outer in zip(core.box, whole.box, strict=True)
                )
                vital[offset] -= core.share
        under = canvas.suv[whole.box]
        # A lesion never lowers what another one laid there.
        canvas.suv[whole.box] = np.maximum(under * (1 - whole.share), 0) + np.maximum(
            vital * lesion.suv, np.where(found[whole.box] > 0, under * whole.share, 0.0)
        )
        canvas.hu[whole.box] += whole.share * (lesion.hu - canvas.hu[whole.box])
        found[whole.box][whole.share >= 0.5] = number
    return found
