"""Where the two images of a study come from: DICOM files, or a series that another process read and handed over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from ..dicom.series import load_ct
from ..dicom.suv import load_pet
from ..errors import Code, DicomRefused
from ..imaging.nrrd import read_series
from ..progress import Progress, silent
from ..records import MODALITY_NAMES, LoadedSeries, Modality, Unit

ImageSource: TypeAlias = "Path | Sequence[Path] | LoadedSeries"
"""A folder of DICOM files, the files, a ``.nrrd`` file of ``imaging.nrrd.write_series``, or the series itself."""


def pet_of(source: ImageSource, progress: Progress = silent) -> LoadedSeries:
    """The PET in SUVbw.

    Raises
    ------
    DicomRefused, SuvRefused, GeometryRefused
        As :func:`~PRRTPredictorCore.dicom.suv.load_pet`; ``WRONG_MODALITY`` for a file of another image.
    InputRefused
        As :func:`~PRRTPredictorCore.imaging.nrrd.read_series`.
    """
    handed_over = _handed_over(source, "PT", "SUVbw")
    return handed_over if handed_over is not None else load_pet(_files(source), progress)


def ct_of(source: ImageSource, progress: Progress = silent) -> LoadedSeries:
    """The CT in HU; raises as :func:`pet_of`."""
    handed_over = _handed_over(source, "CT", "HU")
    return handed_over if handed_over is not None else load_ct(_files(source), progress)


def _handed_over(source: ImageSource, modality: Modality, unit: Unit) -> LoadedSeries | None:
    """The series, where it was read before; None where it is still in DICOM files."""
    where = ""
    if isinstance(source, Path):
        if source.suffix.lower() != ".nrrd" or source.is_dir():
            return None
        where, source = source.name, read_series(source)
    if not isinstance(source, LoadedSeries):
        return None
    volume = source.volume
    if (volume.modality, volume.unit) != (modality, unit):
        raise DicomRefused(
            Code.WRONG_MODALITY,
            f"This is a {MODALITY_NAMES[volume.modality]} in {volume.unit} where a {MODALITY_NAMES[modality]} in {unit}"
            " was expected.",
            where=where,
            remedy=f"Name the {MODALITY_NAMES[modality]}; PET and CT may have been exchanged.",
        )
    return source


def _files(source: ImageSource) -> Path | Sequence[Path]:
    if isinstance(source, LoadedSeries):  # has been taken by _handed_over
        raise TypeError("a loaded series has no files")
    return source
