"""DICOM series to volumes: CT as it is and compressed, PET with a slope for each slice to SUV."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..side_by_side import Contender, Limit, Peer, Stage
from ..workplace import Workplace

CT_GOAL, COMPRESSED_GOAL, PET_GOAL = 0.8, 0.6, 0.8
SUV_TOLERANCE = 1e-5  # relative
JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"


def stages(bench: Workplace) -> Iterator[Stage]:
    """CT, CT in JPEG-LS and in JPEG 2000 (both lossless), PET."""
    ct, pet = bench.full_patient() / "ct", bench.full_patient() / "pet"
    yield Stage(
        "dicom-ct",
        "CT series to volume",
        "300 x 512 x 512 int16 in single files, uncompressed",
        Contender("load_ct", lambda: _load_ct(ct), f"{bench.machine.cores} threads for the pixels"),
        (
            Peer(Contender("SimpleITK ImageSeriesReader", lambda: _simpleitk(ct)), CT_GOAL),
            Peer(Contender("ITK ImageSeriesReader", lambda: _itk(ct))),
        ),
        _same_ct,
        _limit(bench, ct),
    )
    for key, name, syntax in (("jpeg-ls", "JPEG-LS", JPEG_LS), ("jpeg-2000", "JPEG 2000", JPEG_2000)):
        # GDCM's OpenJPEG shares out the blocks of each slice; there is nothing to win by doing it slice by slice.
        theirs = "" if syntax == JPEG_LS else f"{bench.machine.cores} threads within each slice"
        packed = bench.made(f"full-ct-{key}", _compress(ct, syntax))
        yield Stage(
            f"dicom-ct-{key}",
            f"CT series in {name} to volume",
            "the same, lossless",
            Contender("load_ct", _loader(_load_ct, packed), f"{bench.machine.cores} threads for the pixels"),
            (
                Peer(Contender("SimpleITK ImageSeriesReader", _loader(_simpleitk, packed), theirs), COMPRESSED_GOAL),
                Peer(Contender("ITK ImageSeriesReader", _loader(_itk, packed), theirs), COMPRESSED_GOAL),
            ),
            _same_ct,
            _limit(bench, packed),
            repeats=3,
        )
    yield Stage(
        "dicom-pet",
        "PET series to SUV",
        "300 x 200 x 200 int16 in single files, a slope for each slice, to float32",
        Contender("load_pet", lambda: _load_pet(pet), f"{bench.machine.cores} threads for the pixels"),
        (
            Peer(Contender("dcm2niix and nibabel, factor by hand", lambda: _dcm2niix(pet)), PET_GOAL),
            Peer(Contender("SimpleITK (Float32), factor by hand", lambda: _simpleitk_suv(pet)), PET_GOAL),
        ),
        _same_suv,
        _limit(bench, pet, grows=2),
    )


def _loader(load: Callable[[Path], Any], folder: Path) -> Callable[[], Any]:
    return lambda: load(folder)


def _limit(bench: Workplace, folder: Path, grows: int = 1) -> Limit:
    """Reading the files, and copying what comes out once."""
    stored = sum(path.stat().st_size for path in folder.iterdir())
    volume = (300 * 512 * 512 if "ct" in folder.name else 300 * 200 * 200) * 2 * grows
    seconds = stored / bench.machine.read_bytes_per_s + 2 * volume / bench.machine.memory_bytes_per_s
    return Limit(f"{stored / 1e6:.0f} MB of files read, {volume / 1e6:.0f} MB copied once", seconds)


# --- contenders -------------------------------------------------------------------------------------------------------


def _load_ct(folder: Path) -> Any:
    from PRRTPredictorCore.dicom.series import load_ct

    return load_ct(folder).volume.array


def _load_pet(folder: Path) -> Any:
    from PRRTPredictorCore.dicom.suv import load_pet

    return load_pet(folder).volume.array


def _simpleitk(folder: Path, pixel_type: int | None = None) -> Any:
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    if pixel_type is not None:
        reader.SetOutputPixelType(pixel_type)
    return reader.Execute()


def _simpleitk_suv(folder: Path) -> Any:
    import SimpleITK

    return _simpleitk(folder, SimpleITK.sitkFloat32) * _factor(folder)


def _itk(folder: Path) -> Any:
    import itk

    names = itk.GDCMSeriesFileNames.New(Directory=str(folder))
    files = names.GetFileNames(names.GetSeriesUIDs()[0])
    reader = itk.ImageSeriesReader[itk.Image[itk.SS, 3]].New(FileNames=files, ImageIO=itk.GDCMImageIO.New())
    reader.Update()
    return reader.GetOutput()


def _dcm2niix(folder: Path) -> Any:
    import dcm2niix
    import nibabel

    with tempfile.TemporaryDirectory() as target:
        command = [dcm2niix.bin, "-z", "n", "-b", "n", "-f", "pet", "-o", target, str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (file,) = Path(target).glob("*.nii")
        image = nibabel.load(file)
        return nibabel.Nifti1Image(image.get_fdata(dtype=np.float32) * np.float32(_factor(folder)), image.affine)


def _factor(folder: Path) -> float:
    """SUVbw per Bq/ml as people write it down: body weight over the dose that is left at the start of the scan."""
    from pydicom import dcmread

    header = dcmread(next(folder.iterdir()), stop_before_pixels=True)
    injection = header.RadiopharmaceuticalInformationSequence[0]
    started = _moment(str(header.SeriesDate) + str(header.SeriesTime))
    waited = (started - _moment(str(injection.RadiopharmaceuticalStartDateTime))).total_seconds()
    left = float(injection.RadionuclideTotalDose) * 2 ** (-waited / float(injection.RadionuclideHalfLife))
    return float(header.PatientWeight) * 1000 / left


def _moment(written: str) -> datetime:
    return datetime.strptime(written.partition(".")[0], "%Y%m%d%H%M%S")


# --- equality ---------------------------------------------------------------------------------------------------------


def _same_ct(ours: Any, theirs: Any) -> str:
    np.testing.assert_array_equal(ours, _voxels(theirs))
    return "every voxel"


def _same_suv(ours: Any, theirs: Any) -> str:
    np.testing.assert_allclose(ours, _voxels(theirs), rtol=SUV_TOLERANCE, atol=1e-7)
    return f"every voxel within {SUV_TOLERANCE:g} of itself"


def _voxels(image: Any) -> Any:
    """Voxels [k, j, i] in LPS of whatever a peer returned."""
    if type(image).__module__.startswith("SimpleITK"):
        import SimpleITK

        return SimpleITK.GetArrayViewFromImage(image)
    if type(image).__module__.startswith("nibabel"):
        import nibabel

        return nibabel.as_closest_canonical(image).get_fdata(dtype=np.float32)[::-1, ::-1].T
    import itk

    return itk.array_view_from_image(image)


# --- input ------------------------------------------------------------------------------------------------------------


def _compress(source: Path, syntax: str) -> Callable[[Path], None]:
    """Write a series again, each slice compressed without loss."""

    def make(folder: Path) -> None:
        import imagecodecs
        from pydicom import dcmread
        from pydicom.encaps import encapsulate

        for path in sorted(source.iterdir()):
            dataset = dcmread(path)
            stored = np.frombuffer(dataset.PixelData, np.int16).reshape(dataset.Rows, dataset.Columns)
            codestream = (
                imagecodecs.jpegls_encode(stored.view(np.uint16))
                if syntax == JPEG_LS
                else imagecodecs.jpeg2k_encode(stored, level=0, codecformat="j2k", reversible=True)
            )
            dataset.PixelData = encapsulate([codestream])
            dataset["PixelData"].VR = "OB"
            dataset["PixelData"].is_undefined_length = True
            dataset.file_meta.TransferSyntaxUID = syntax
            dataset.save_as(folder / path.name, enforce_file_format=True)

    return make
