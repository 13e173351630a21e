"""Volumes as NRRD files in LPS, the exchange format that Slicer, SimpleITK and MITK read alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import Code, DicomRefused, InputRefused
from ..files import replacing
from ..records import Modality, Unit, Volume

_SPACE = "left-posterior-superior"


def write_nrrd(path: Path, volume: Volume) -> None:
    """Write a volume, gzip-compressed; the file appears only when it is whole.

    Parameters
    ----------
    path : Path
        Should end in ``.nrrd``.
    volume : Volume
        The array [k, j, i] is stored with i fastest, the affine as space directions and origin in LPS mm; modality and
        unit travel as key/value pairs.

    Raises
    ------
    RunFailed
        ``OUTPUT``: the file cannot be written there.
    """
    import nrrd

    header = {
        "space": _SPACE,
        "kinds": ["domain", "domain", "domain"],
        "space directions": volume.ijk_to_lps[:3, :3].T,
        "space origin": volume.ijk_to_lps[:3, 3],
        "space units": ["mm", "mm", "mm"],
        "encoding": "gzip",
        "modality": volume.modality,
        "unit": volume.unit,
    }
    with replacing(path) as temporary:
        nrrd.write(str(temporary), np.ascontiguousarray(volume.array), header, index_order="C", compression_level=4)


def read_nrrd(path: Path, modality: Modality | None = None, unit: Unit | None = None) -> Volume:
    """Read a three-dimensional NRRD in LPS or RAS.

    Parameters
    ----------
    path : Path
    modality, unit : optional
        Used where the file does not state them (a file not written by :func:`write_nrrd`).

    Raises
    ------
    DicomRefused
        ``PATH_MISSING``: no such file.
    InputRefused
        ``BAD_GEOMETRY``: not a readable three-dimensional NRRD with a patient space and a known unit.
    """
    import zlib

    import nrrd

    if not path.is_file():
        raise DicomRefused(Code.PATH_MISSING, "There is no such file.", where=path.name, remedy="Check the path.")
    try:
        array, header = nrrd.read(str(path), index_order="C")
    except (nrrd.NRRDError, ValueError, OSError, EOFError, StopIteration, zlib.error) as error:
        raise _refused(path, "The file is not a readable NRRD.") from error
    to_lps = {_SPACE: np.eye(3), "right-anterior-superior": np.diag([-1.0, -1.0, 1.0])}.get(str(header.get("space")))
    if array.ndim != 3 or to_lps is None or "space directions" not in header or "space origin" not in header:
        raise _refused(path, "The NRRD is not three-dimensional or does not say where it lies in the patient.")
    affine = np.eye(4)
    affine[:3, :3] = to_lps @ np.asarray(header["space directions"], dtype=np.float64).T
    affine[:3, 3] = to_lps @ np.asarray(header["space origin"], dtype=np.float64)
    found_modality, found_unit = header.get("modality", modality), header.get("unit", unit)
    if found_modality not in ("PT", "CT") or found_unit not in ("SUVbw", "HU", "saliency"):
        raise _refused(path, "The NRRD does not say what its values are.")
    return Volume(array, affine, found_modality, found_unit)


def _refused(path: Path, message: str) -> InputRefused:
    return InputRefused(
        Code.BAD_GEOMETRY, message, where=path.name, remedy="Use a NRRD file that PRRTPredictor or Slicer wrote."
    )
