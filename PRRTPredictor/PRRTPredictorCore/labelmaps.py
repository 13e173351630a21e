"""Organ labels as a record, and their writing in the format that Slicer opens as a segmentation (``.seg.nrrd``)."""

from __future__ import annotations

import colorsys
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .files import replacing

_HUE_STEP = 0.618033988749895
"""The golden section: neighbouring labels get hues far apart, however many there are."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Which organ every voxel belongs to.

    Attributes
    ----------
    labels : ndarray, shape (K, J, I), int16
        0 belongs to none.
    ijk_to_lps : ndarray, shape (4, 4), float64
        Maps the homogeneous voxel index (i, j, k, 1), voxel centres, to LPS in mm.
    names : mapping of int to str
        Label to organ; every label that occurs has one, and a named organ may have no voxel.
    """

    labels: NDArray[np.int16]
    ijk_to_lps: NDArray[np.float64]
    names: Mapping[int, str]


def write_segmentation(path: Path, segmentation: Segmentation) -> None:
    """Write a segmentation that Slicer opens as one: a gzip-compressed labelmap in a single layer.

    The same segmentation gives the same bytes.

    Parameters
    ----------
    path : Path
        Ends in ``.seg.nrrd``, by which Slicer tells it from a volume.

    Raises
    ------
    RunFailed
        ``OUTPUT``: the file cannot be written there.
    """
    labels = np.ascontiguousarray(segmentation.labels, dtype="<i2")
    with replacing(path, flush=False) as temporary, temporary.open("wb") as stream:
        stream.write(_header(segmentation).encode("utf-8"))
        stream.write(gzip.compress(labels.tobytes(), compresslevel=4, mtime=0))


def _header(segmentation: Segmentation) -> str:
    def vector(values: NDArray[np.float64]) -> str:
        return f"({','.join(repr(float(value)) for value in values)})"

    affine = segmentation.ijk_to_lps
    lines = [
        "NRRD0005",
        "type: short",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(size) for size in reversed(segmentation.labels.shape))}",
        f"space directions: {' '.join(vector(column) for column in affine[:3, :3].T)}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: {vector(affine[:3, 3])}",
    ]
    from scipy.ndimage import find_objects  # not at file scope: reading a cohort table loads no heavy library

    present = find_objects(segmentation.labels, max_label=max(segmentation.names, default=0))
    for number, (label, name) in enumerate(sorted(segmentation.names.items())):
        box = present[label - 1]
        extent = ((0, -1),) * 3 if box is None else tuple((one.start, one.stop - 1) for one in reversed(box))
        colour = colorsys.hsv_to_rgb(label * _HUE_STEP % 1.0, 0.65, 0.9)
        lines += [
            f"Segment{number}_ID:=Segment_{label}",
            f"Segment{number}_Name:={' '.join(name.split())}",
            f"Segment{number}_LabelValue:={label}",
            f"Segment{number}_Layer:=0",
            f"Segment{number}_Color:={' '.join(f'{part:.3f}' for part in colour)}",
            f"Segment{number}_Extent:={' '.join(f'{low} {high}' for low, high in extent)}",
        ]
    lines += [
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        "Segmentation_SourceRepresentation:=Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
    ]
    return "\n".join(lines) + "\n\n"
