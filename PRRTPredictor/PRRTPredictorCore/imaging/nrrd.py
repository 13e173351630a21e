"""Volumes as NRRD files in LPS, the exchange format that Slicer, SimpleITK and MITK read alike.

A whole series, with how it was acquired, can be handed to another process as one such file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from ..errors import Code, DicomRefused, InputRefused
from ..files import replacing
from ..records import LoadedSeries, Modality, Notice, Unit, Volume
from .compress import gzip_pieces
from .entry import acquisition_from_json, acquisition_to_json

_SPACE = "left-posterior-superior"
_SERIES_KEY = "prrt_series"


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
    array = _kept(volume.array)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(_header(volume, array, "gzip").encode("ascii"))
        stream.writelines(gzip_pieces(array.data.cast("B")))


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
    array, header = _read(path)
    return _volume(path, array, header, modality, unit)


def write_series(path: Path, series: LoadedSeries) -> None:
    """Write a series for another process of this user: uncompressed, with acquisition, notices and UIDs.

    The file is private: it names dates and UIDs. It never holds who the patient is; ``patient_sha256`` and ``suv`` stay
    behind. Needs nothing but numpy, so that Slicer can write it before anything is installed.

    Parameters
    ----------
    path : Path
        Ends in ``.nrrd``; lies in a folder that only the user may read.

    Raises
    ------
    RunFailed
        ``OUTPUT``: the file cannot be written there.
    """
    array = _kept(series.volume.array)
    with replacing(path, flush=False) as temporary, temporary.open("wb") as stream:
        stream.write(_header(series.volume, array, "raw", {_SERIES_KEY: _series_facts(series)}).encode("ascii"))
        stream.write(array.data)


def read_series(path: Path) -> LoadedSeries:
    """Read what :func:`write_series` wrote.

    Raises
    ------
    DicomRefused
        ``PATH_MISSING``: no such file.
    InputRefused
        ``BAD_GEOMETRY``: not such a file.
    """
    array, header = _read(path)
    try:
        stored = json.loads(unquote(header[_SERIES_KEY]))
        return LoadedSeries(
            volume=_volume(path, array, header),
            acquisition=acquisition_from_json(stored["acquisition"]),
            frame_of_reference_uid=str(stored["frame_of_reference_uid"]),
            study_uid=str(stored["study_uid"]),
            series_uid=str(stored["series_uid"]),
            notices=tuple(Notice(**notice) for notice in stored["notices"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _refused(path, "The NRRD does not say how the series was acquired.") from error


def read_placed(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Mapping[str, Any]]:
    """The raw array [k, j, i], its voxel-to-LPS affine (4, 4) in mm and the header of any three-dimensional NRRD.

    Raises
    ------
    DicomRefused
        ``PATH_MISSING``: no such file.
    InputRefused
        ``BAD_GEOMETRY``: not a readable three-dimensional NRRD with a patient space.
    """
    array, header = _read(path)
    return array, _affine(path, array, header), header


def _kept(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The voxels as they lie in a file: int16 as it is, all else as float32, i fastest, little-endian."""
    return np.ascontiguousarray(array, dtype="<i2" if array.dtype == np.int16 else "<f4")


def _series_facts(series: LoadedSeries) -> str:
    stored = {
        "acquisition": acquisition_to_json(series.acquisition),
        "frame_of_reference_uid": series.frame_of_reference_uid,
        "study_uid": series.study_uid,
        "series_uid": series.series_uid,
        "notices": [asdict(notice) for notice in series.notices],
    }
    # Percent-encoded: a NRRD header is ASCII, and readers differ in what they make of a backslash.
    return quote(json.dumps(stored, ensure_ascii=False), safe=' {}[]:,/"')


def _header(
    volume: Volume, array: np.ndarray[Any, Any], encoding: str, facts: Mapping[str, str] = MappingProxyType({})
) -> str:
    def vector(values: Any) -> str:
        return f"({','.join(repr(float(value)) for value in values)})"

    affine = volume.ijk_to_lps
    lines = (
        "NRRD0005",
        f"type: {'short' if array.dtype == np.int16 else 'float'}",
        "dimension: 3",
        f"space: {_SPACE}",
        f"sizes: {' '.join(str(size) for size in reversed(array.shape))}",
        f"space directions: {' '.join(vector(column) for column in affine[:3, :3].T)}",
        "kinds: domain domain domain",
        "endian: little",
        f"encoding: {encoding}",
        f"space origin: {vector(affine[:3, 3])}",
        'space units: "mm" "mm" "mm"',
        f"modality:={volume.modality}",
        f"unit:={volume.unit}",
        *(f"{name}:={words}" for name, words in facts.items()),
    )
    return "\n".join(lines) + "\n\n"


def _read(path: Path) -> tuple[np.ndarray[Any, Any], Mapping[str, Any]]:
    import zlib

    import nrrd

    if not path.is_file():
        raise DicomRefused(Code.PATH_MISSING, "There is no such file.", where=path.name, remedy="Check the path.")
    try:
        array, header = nrrd.read(str(path), index_order="C")
    except (nrrd.NRRDError, ValueError, LookupError, OSError, EOFError, StopIteration, zlib.error) as error:
        raise _refused(path, "The file is not a readable NRRD.") from error
    return array, header


def _volume(
    path: Path,
    array: np.ndarray[Any, Any],
    header: Mapping[str, Any],
    modality: Modality | None = None,
    unit: Unit | None = None,
) -> Volume:
    affine = _affine(path, array, header)
    found_modality, found_unit = header.get("modality", modality), header.get("unit", unit)
    if found_modality not in ("PT", "CT") or found_unit not in ("SUVbw", "HU", "saliency"):
        raise _refused(path, "The NRRD does not say what its values are.")
    return Volume(array, affine, found_modality, found_unit)


def _affine(path: Path, array: np.ndarray[Any, Any], header: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    to_lps = {_SPACE: np.eye(3), "right-anterior-superior": np.diag([-1.0, -1.0, 1.0])}.get(str(header.get("space")))
    if array.ndim != 3 or to_lps is None or "space directions" not in header or "space origin" not in header:
        raise _refused(path, "The NRRD is not three-dimensional or does not say where it lies in the patient.")
    affine = np.eye(4)
    affine[:3, :3] = to_lps @ np.asarray(header["space directions"], dtype=np.float64).T
    affine[:3, 3] = to_lps @ np.asarray(header["space origin"], dtype=np.float64)
    return affine


def _refused(path: Path, message: str) -> InputRefused:
    return InputRefused(
        Code.BAD_GEOMETRY, message, where=path.name, remedy="Use a NRRD file that PRRTPredictor or Slicer wrote."
    )
