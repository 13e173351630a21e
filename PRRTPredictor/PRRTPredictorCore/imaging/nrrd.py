"""Volumes as NRRD files in LPS, the exchange format that Slicer, SimpleITK and MITK read alike.

A whole series, with how it was acquired, can be handed to another process as one such file.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

import numpy as np

from ..errors import Code, DicomRefused, InputRefused
from ..files import replacing
from ..jsontext import parsed
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

    The file is private: it names dates and UIDs. It never holds who the patient is; ``person`` and ``suv`` stay
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
        stored = parsed(unquote(header[_SERIES_KEY]))
        return LoadedSeries(
            volume=_volume(path, array, header),
            acquisition=acquisition_from_json(stored["acquisition"]),
            frame_of_reference_uid=str(stored["frame_of_reference_uid"]),
            study_uid=str(stored["study_uid"]),
            series_uid=str(stored["series_uid"]),
            notices=tuple(Notice(**notice) for notice in stored["notices"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
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


_TYPES = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
_DTYPES = {name: dtype for dtype, names in _TYPES.items() for name in names.split("|")}
_SHORTEST_MM, _LONGEST_MM, _FARTHEST_MM = 1e-3, 1e3, 1e5
"""Lengths of a voxel's edges, and where the first voxel may lie."""

_MOST_HEADER_BYTES = 1 << 20
_GZIP_BYTES = 1 << 16
"""What gzip adds to voxels that cannot be packed, beside a byte in 64."""
_MOST_VOXEL_BYTES = 2 << 30
"""Six metres of a CT of 512 x 512 at 1 mm, as numbers of 4 bytes."""


def _read(path: Path) -> tuple[np.ndarray[Any, Any], Mapping[str, Any]]:
    """The voxels [k, j, i] and the header; no byte more is unpacked than the header announces."""
    import nrrd

    if not path.is_file():
        raise DicomRefused(Code.PATH_MISSING, "There is no such file.", where=path.name, remedy="Check the path.")
    try:
        with path.open("rb") as file:
            lines = _header_lines(file)
            header = nrrd.read_header(lines)
            dtype, sizes = _announced(header)
            array = _voxels(file, str(header["encoding"]), dtype, prod(sizes))
    except (
        nrrd.NRRDError,
        ValueError,
        LookupError,
        TypeError,
        ArithmeticError,
        OSError,
        StopIteration,
        zlib.error,
    ) as error:
        raise _refused(path, "The file is not a readable NRRD.") from error
    return array.reshape(sizes[::-1]), header


def _header_lines(file: BinaryIO) -> list[bytes]:
    """The lines of the header; the file stands at the first byte of the voxels then."""
    lines: list[bytes] = []
    left = _MOST_HEADER_BYTES
    while (line := file.readline(left)).strip():
        lines.append(line)
        left -= len(line)
    if left <= 0:
        raise ValueError("a header without end")
    return lines


def _announced(header: Mapping[str, Any]) -> tuple[np.dtype[Any], list[int]]:
    """Type and sizes (i, j, k) of the voxels; a ValueError for what no file of ours or of Slicer's says."""
    if {"data file", "datafile"} & header.keys():
        # Followed, it would read any file of the user's that whoever wrote the header cares to name.
        raise ValueError("the voxels lie in another file")
    if any(header.get(skip, 0) for skip in ("line skip", "lineskip", "byte skip", "byteskip")):
        raise ValueError("the voxels do not follow the header")
    sizes = [int(size) for size in header["sizes"]]
    if len(sizes) != 3 or header["dimension"] != 3 or min(sizes) < 1:
        raise ValueError("not three-dimensional")
    dtype = np.dtype(_DTYPES[str(header["type"])])
    if prod(sizes) * dtype.itemsize > _MOST_VOXEL_BYTES:
        raise ValueError("far larger than any image of a patient")
    return dtype.newbyteorder(">" if header.get("endian") == "big" else "<"), sizes


def _voxels(file: BinaryIO, encoding: str, dtype: np.dtype[Any], count: int) -> np.ndarray[Any, Any]:
    """Exactly so many voxels; a ValueError where the file holds fewer or more."""
    size = count * dtype.itemsize
    if encoding == "raw":
        if os.fstat(file.fileno()).st_size - file.tell() != size:
            raise ValueError("fewer or more voxels than the header says")
        return np.fromfile(file, dtype, count)
    if encoding not in ("gzip", "gz"):
        raise ValueError("an encoding that neither we nor Slicer write")
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    content = inflater.decompress(file.read(size + size // 64 + _GZIP_BYTES), size + 1)
    if len(content) != size or not inflater.eof:
        raise ValueError("fewer or more voxels than the header says")
    return np.frombuffer(bytearray(content), dtype)


def _volume(
    path: Path,
    array: np.ndarray[Any, Any],
    header: Mapping[str, Any],
    modality: Modality | None = None,
    unit: Unit | None = None,
) -> Volume:
    affine = _affine(path, array, header)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    inside = (lengths >= _SHORTEST_MM) & (lengths <= _LONGEST_MM)
    if not (np.isfinite(affine).all() and inside.all() and np.abs(affine[:3, 3]).max() <= _FARTHEST_MM):  # NaN is not
        raise _refused(path, "The NRRD's spacing or position is that of no patient.")
    found_modality, found_unit = header.get("modality", modality), header.get("unit", unit)
    if found_modality not in ("PT", "CT") or found_unit not in ("SUVbw", "HU", "saliency"):
        raise _refused(path, "The NRRD does not say what its values are.")
    if array.dtype.kind == "f" and not np.isfinite((array.min(), array.max())).all():  # NaN spreads to both
        raise _refused(path, "The NRRD holds voxels that are no numbers.")
    return Volume(array, affine, found_modality, found_unit)


def _affine(path: Path, array: np.ndarray[Any, Any], header: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    to_lps = {_SPACE: np.eye(3), "right-anterior-superior": np.diag([-1.0, -1.0, 1.0])}.get(str(header.get("space")))
    if array.ndim != 3 or to_lps is None or "space directions" not in header or "space origin" not in header:
        raise _refused(path, "The NRRD is not three-dimensional or does not say where it lies in the patient.")
    directions, origin = (np.asarray(header[field], dtype=np.float64) for field in ("space directions", "space origin"))
    if directions.shape != (3, 3) or origin.shape != (3,):
        raise _refused(path, "The NRRD does not say where it lies in the patient.")
    affine = np.eye(4)
    affine[:3, :3] = to_lps @ directions.T
    affine[:3, 3] = to_lps @ origin
    return affine


def _refused(path: Path, message: str) -> InputRefused:
    return InputRefused(
        Code.BAD_GEOMETRY, message, where=path.name, remedy="Use a NRRD file that PRRTPredictor or Slicer wrote."
    )
