"""The same series by other readers: SimpleITK and dcm2niix, brought to the axes in which the extension holds it.

Nothing here takes an axis order for granted: how the voxels of two volumes correspond follows from their affines alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_objects import DATA
from numpy.typing import NDArray

Array = NDArray[Any]
_TAGS = ("SOPClassUID", "SeriesInstanceUID", "Modality", "ImagePositionPatient", "RescaleSlope", "NumberOfFrames")


@dataclass(frozen=True)
class Peer:
    """A volume as another reader gives it: ``array`` [k, j, i], ``affine`` from (i, j, k, 1) to LPS in mm.

    ``anchored``: whether the affine starts at the slice that it was computed from; else it may have been at the last.
    """

    array: Array
    affine: Array
    anchored: bool = True

    def on(self, affine: Array) -> tuple[Array, Array]:
        """Their voxels turned and flipped to the axes of ``affine``, and ``affine`` for their own indices."""
        between = np.linalg.inv(affine) @ self.affine  # our index from theirs
        turn = np.rint(between[:3, :3])
        assert (np.abs(turn).sum(axis=0) == 1).all(), f"the axes do not correspond:\n{between}"
        assert (np.abs(turn).sum(axis=1) == 1).all(), f"the axes do not correspond:\n{between}"
        order = [int(np.flatnonzero(turn[ours])[0]) for ours in range(3)]
        array = self.array.transpose([2 - order[2 - axis] for axis in range(3)])
        to_ours = np.eye(4)
        to_ours[:3, :3] = turn
        for ours in range(3):
            if turn[ours, order[ours]] < 0:
                array = np.flip(array, 2 - ours)
                to_ours[ours, 3] = array.shape[2 - ours] - 1
        return array, affine @ to_ours


def simpleitk(files: Sequence[Path]) -> Peer:
    """By ITK and GDCM; the files may come in any order."""
    sitk = pytest.importorskip("SimpleITK")
    if len(files) == 1:
        image = sitk.ReadImage(str(files[0]), sitk.sitkFloat64)
    else:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(_sorted_by_gdcm(sitk, files))
        reader.SetOutputPixelType(sitk.sitkFloat32)
        image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Peer(sitk.GetArrayFromImage(image), affine)


def _sorted_by_gdcm(sitk: Any, files: Sequence[Path]) -> Sequence[str]:
    folder, uid = files[0].parent, str(header(files[0]).SeriesInstanceUID)
    found: Sequence[str] = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
    assert len(found) == len(files)
    return found


def dcm2niix(files: Sequence[Path], work: Path) -> Peer:
    """By dcm2niix, through the NIfTI file that it writes; the files are linked into a folder of their own."""
    nibabel = pytest.importorskip("nibabel")
    program = pytest.importorskip("dcm2niix")
    inputs, out = work / "in", work / "out"
    inputs.mkdir(parents=True)
    out.mkdir()
    for number, path in enumerate(files):
        _link(path, inputs / f"{number:04d}{path.suffix}")
    executable = Path(program.__file__).parent / ("dcm2niix.exe" if os.name == "nt" else "dcm2niix")
    line = [executable, "-z", "n", "-b", "n", "-m", "y", "-f", "volume", "-o", out, inputs]
    done = subprocess.run([str(part) for part in line], capture_output=True, text=True, timeout=120, check=False)
    written = sorted(path for path in out.glob("*.nii") if "_Eq" not in path.name)  # not its own resampling
    assert len(written) == 1, f"{[path.name for path in written]}\n{done.stdout}{done.stderr}"
    image = nibabel.load(written[0])
    ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    # In single precision, from the first file on; a stack that it turns round starts where the steps have added up to.
    return Peer(np.asarray(image.dataobj).squeeze().T, ras @ image.affine, anchored=False)


def _link(path: Path, link: Path) -> None:
    try:
        link.symlink_to(path)
    except OSError:  # Windows without the right to make links
        shutil.copy(path, link)


# --- the series at hand -----------------------------------------------------------------------------------------------


def header(path: Path) -> pydicom.Dataset:
    return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))


def folders_at_hand() -> list[Path]:
    """Every folder of the real data that holds DICOM files."""
    return sorted({path.parent for path in DATA.rglob("*.dcm")}) if DATA.is_dir() else []


@cache
def series_in(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """The PET and CT files right in a folder, by modality and series UID."""
    found: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix == ".dcm":
            told = header(path)
            if told.get("Modality") in ("PT", "CT"):
                found.setdefault((told.Modality, told.SeriesInstanceUID), []).append(path)
    return found
