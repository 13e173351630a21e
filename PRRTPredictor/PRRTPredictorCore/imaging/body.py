"""Where the patient is on a CT: the couch, head rest and blankets are cut away, arms and legs stay."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_TISSUE_HU = -350.0
"""Above it lies what is neither air nor lung: tissue, and the couch."""
_THICKNESS_MM = 15.0
"""What is thinner is no part of a body by itself."""
_SKIN_MM = 5.0
"""By which the mask grows in the end, so that no skin is cut away."""
_PART_OF_BODY = 0.003
"""Of the trunk's voxels; smaller parts are no limbs."""
_MIN_BODY_ML = 200.0
"""Of a trunk; less is no patient."""


def body_mask(ct: NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_] | None:
    """Voxels of the patient, skin and everything inside (lungs, bowel gas) included.

    What is thinner than 15 mm (a couch is a shell of some millimetres) is taken away by an opening; of what is left,
    the largest part is the trunk, and other parts count as limbs unless they lie in front of or behind the whole trunk,
    where only a couch or its rails can be. Thin walls (a chest before the lungs) come back as far as they hang on the
    body within a slice, between the trunk's front and back. Cavities are filled slice by slice, since lungs and bowel
    may be open at the ends of the scan.

    Parameters
    ----------
    ct : ndarray, shape (K, J, I)
        HU, k towards the head, j towards the back; voxels of about 5 mm serve best.
    spacing_mm : tuple of float
        Along (k, j, i).

    Returns
    -------
    ndarray of bool or None
        None when no body can be found (a phantom, a scan of air): then nothing should be cut away.
    """
    tissue = ct > _TISSUE_HU
    # Nothing reaches farther than an opening: beyond that, air around all tissue need not be looked at.
    around = tuple(_extent(tissue, axis, ceil(_THICKNESS_MM / spacing_mm[axis]) + 1) for axis in range(3))
    body = _body(tissue[around], spacing_mm)
    if body is None:
        return None
    mask = np.zeros_like(tissue)
    mask[around] = body
    return mask


def _extent(tissue: NDArray[np.bool_], axis: int, margin: int) -> slice:
    """Where along an axis there is any tissue, with a margin."""
    found = np.flatnonzero(tissue.any(axis=tuple(other for other in range(3) if other != axis)))
    return slice(max(0, int(found[0]) - margin), int(found[-1]) + 1 + margin) if len(found) else slice(0, 0)


def _body(tissue: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_] | None:
    """The patient among the tissue, or None."""
    core = _opened_core(tissue, spacing_mm)
    around = tuple(_extent(core, axis, 0) for axis in range(3))
    found = core[around]
    parts, count = ndimage.label(found)
    if not count:
        return None
    labels = parts[found]
    depth = found.shape[1]
    voxel_rows = np.broadcast_to(np.arange(depth)[:, None], found.shape)[found]
    by_row = np.bincount(labels * depth + voxel_rows, minlength=(count + 1) * depth).reshape(-1, depth)
    sizes = by_row.sum(axis=1)
    trunk = int(sizes.argmax())
    if sizes[trunk] * np.prod(spacing_mm) / 1000.0 < _MIN_BODY_ML:
        return None
    rows = np.flatnonzero(by_row[trunk])
    centres = by_row @ np.arange(depth) / np.maximum(sizes, 1)
    limbs = (sizes >= _PART_OF_BODY * sizes[trunk]) & (rows[0] <= centres) & (centres < rows[-1] + 1)
    found[found] = limbs[labels]
    # The opening rounds corners off: grow back by its own width, within tissue.
    body = _grow(core, _THICKNESS_MM, spacing_mm) & tissue
    front = around[1].start
    body |= _connected_in_slice(body, tissue, slice(front + rows[0], front + rows[-1] + 1))
    return _grow(_filled(body), _SKIN_MM, spacing_mm)


def _opened_core(tissue: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Centres of all cubes of some 15 mm that consist of tissue alone; beyond the field of view counts as tissue."""
    size = [max(1, round(_THICKNESS_MM / spacing)) for spacing in spacing_mm]
    return _over_windows(tissue, size, np.logical_and)


def _over_windows(mask: NDArray[np.bool_], size: Sequence[int], join: np.ufunc) -> NDArray[np.bool_]:
    """Join every voxel with those of the window around it, axis by axis; beyond the image there is nothing to join.

    What ndimage's minimum and maximum filters give, at a fifth of their time: the windows are a few voxels wide.
    """
    for axis, width in enumerate(size):
        lines = np.moveaxis(mask, axis, 0)
        joined = lines.copy(order="K")
        for step in range(1, width // 2 + 1):
            join(joined[step:], lines[:-step], out=joined[step:])
        for step in range(1, width - width // 2):
            join(joined[:-step], lines[step:], out=joined[:-step])
        mask = np.moveaxis(joined, 0, axis)
    return mask


def _connected_in_slice(body: NDArray[np.bool_], tissue: NDArray[np.bool_], rows: slice) -> NDArray[np.bool_]:
    """Tissue beside the body that touches it within its axial slice, between the given rows."""
    connected = np.zeros_like(tissue)
    connected[:, rows] = _touching(tissue[:, rows] & ~body[:, rows], body[:, rows])
    return connected


def _touching(free: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pieces of ``free`` that touch a seed within their axial slice; no seed is free itself."""
    touching = np.zeros_like(free)
    beside = np.zeros_like(free)
    for to, of in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[:, :, 1:], np.s_[:, :, :-1])):
        beside[to] |= seeds[of]
        beside[of] |= seeds[to]
    around = tuple(_extent(free, axis, 0) for axis in range(3))
    pieces, count = ndimage.label(free[around], structure=_in_plane())
    found = np.zeros(count + 1, dtype=bool)
    found[pieces[beside[around] & free[around]]] = True
    touching[around][free[around]] = found[pieces[free[around]]]
    return touching


def _in_plane() -> NDArray[np.bool_]:
    """Neighbours within one axial slice only."""
    structure = np.zeros((3, 3, 3), dtype=bool)
    structure[1] = ndimage.generate_binary_structure(2, 1)
    return structure


def _grow(mask: NDArray[np.bool_], reach_mm: float, spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    size = [2 * max(1, round(reach_mm / 2 / spacing)) + 1 for spacing in spacing_mm]
    return _over_windows(mask, size, np.logical_or)


def _filled(body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill what the body encloses within each axial slice."""
    air = ~body
    # Most open air lies straight in front of the body or behind it; only what is left needs to be searched.
    open_air = np.logical_and.accumulate(air, axis=1)
    open_air |= np.logical_and.accumulate(air[:, ::-1], axis=1)[:, ::-1]
    for side in (0, -1):
        open_air[:, :, side] = air[:, :, side]
    return np.asarray(~(open_air | _touching(air & ~open_air, open_air)), dtype=bool)
