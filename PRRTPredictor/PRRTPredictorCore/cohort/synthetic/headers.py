"""The DICOM headers of made examinations (PS3.3 PET and CT Image IODs; codes of PS3.16 CID 4020 and 4021).

Every object says that it is synthetic: Quality Control Subject (0010,0200), Image Comments, descriptions and names.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, PositronEmissionTomographyImageStorage, generate_uid

from .scanners import GA68_HALF_LIFE_S, Examination
from .shapes import VoxelGrid

_COMMENT = "SYNTHETIC: computed phantom, not a patient. Research use only."


@dataclass(frozen=True)
class StudyIdentity:
    """The UIDs of one made examination, the same for the same cohort and patient."""

    study: str
    frame_of_reference: str
    pet_series: str
    ct_series: str


def identity_of(examination: Examination) -> StudyIdentity:
    """UIDs that depend on the cohort's seed, the patient and the size alone."""
    return StudyIdentity(*(uid_of(examination, part) for part in ("study", "frame of reference", "PT", "CT")))


def uid_of(examination: Examination, *parts: object) -> str:
    """A UID made from what it names."""
    plan = examination.plan
    variant = f"{plan.labs} {plan.latents} {plan.characteristics} {plan.calendar}"
    sources = ["PRRTPredictor synthetic", plan.patient_id, plan.size, variant, *(str(part) for part in parts)]
    return str(generate_uid(entropy_srcs=sources))


def decimal(value: float) -> str:
    """A Decimal String of at most 16 characters (PS3.5 6.2)."""
    for digits in range(12, 3, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    return f"{value:.3e}"


def _day(when: date | datetime) -> str:
    return when.strftime("%Y%m%d")


def _clock(when: datetime) -> str:
    return when.strftime("%H%M%S.%f")[:-3]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _shared(examination: Examination, identity: StudyIdentity, grid: VoxelGrid, started_at: datetime) -> Dataset:
    plan, body, scanner = examination.plan, examination.body, examination.scanner
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.StudyDate = header.SeriesDate = _day(started_at)
    header.StudyTime, header.SeriesTime = _clock(examination.ct_at), _clock(started_at)
    header.AccessionNumber = ""
    header.Manufacturer, header.ManufacturerModelName = scanner.manufacturer, scanner.model
    header.InstitutionName = "SYNTHETIC"
    header.ReferringPhysicianName = ""
    header.StudyDescription = "SYNTHETIC PET/CT DOTATOC"
    header.PatientName = f"SYNTHETIC^{plan.number:04d}"
    header.PatientID = plan.patient_id
    header.PatientBirthDate = ""
    header.PatientSex = "F" if body.sex == "female" else "M"
    header.PatientAge = f"{int(plan.characteristics.age_years or 0):03d}Y"
    header.PatientSize, header.PatientWeight = decimal(body.height_m), decimal(body.weight_kg)
    header.QualityControlSubject = "YES"
    header.ImageComments = _COMMENT
    header.PatientIdentityRemoved = "YES"
    header.DeidentificationMethod = "Made by computation"
    header.PatientPosition = "HFS"
    header.StudyInstanceUID = identity.study
    header.StudyID = "1"
    header.FrameOfReferenceUID, header.PositionReferenceIndicator = identity.frame_of_reference, ""
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.SliceThickness = decimal(grid.spacing_mm[0])
    header.PixelSpacing = [decimal(grid.spacing_mm[1]), decimal(grid.spacing_mm[2])]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = grid.shape[1], grid.shape[2]
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 1
    return header


def pet_header(examination: Examination, identity: StudyIdentity) -> Dataset:
    """What all slices of a PET series share; Units and scale factors are left to the maker's way of storing."""
    scanner, grid = examination.scanner, examination.pet_grid
    header = _shared(examination, identity, grid, examination.pet_at)
    header.SOPClassUID = PositronEmissionTomographyImageStorage
    header.Modality = "PT"
    header.ImageType = ["ORIGINAL", "PRIMARY"]
    header.SeriesDescription = "SYNTHETIC PET AC DOTATOC"
    header.SeriesInstanceUID, header.SeriesNumber, header.AcquisitionNumber = identity.pet_series, 3, 1
    header.AcquisitionDate = header.ContentDate = _day(examination.pet_at)
    header.ReconstructionDiameter = decimal(grid.shape[2] * grid.spacing_mm[2])
    header.CollimatorType = "NONE"
    header.SeriesType = ["WHOLE BODY", "IMAGE"]
    header.CountsSource, header.DecayCorrection = "EMISSION", "START"
    header.NumberOfSlices = grid.shape[0]
    header.CorrectedImage = ["DECY", "ATTN", "SCAT", "DTIM", "RAN", "NORM"]
    header.RandomsCorrectionMethod = "DLYD" if scanner.maker == "philips" else "SING"
    header.AttenuationCorrectionMethod = "CT measured, 511 keV"
    header.ScatterCorrectionMethod = "Model based"
    header.ReconstructionMethod = "BLOB-OS-TF" if scanner.maker == "philips" else "VPFX-S"
    header.EnergyWindowRangeSequence = Sequence([_energy_window()])
    header.ActualFrameDuration = int(scanner.bed_s * 1000)
    header.RescaleIntercept = "0"
    header.RadiopharmaceuticalInformationSequence = Sequence([_radiopharmaceutical(examination)])
    header.PatientOrientationCodeSequence = Sequence([_recumbent()])
    header.PatientGantryRelationshipCodeSequence = Sequence([_code("102540001", "SCT", "headfirst")])
    return header


def _energy_window() -> Dataset:
    window = Dataset()
    window.EnergyWindowLowerLimit, window.EnergyWindowUpperLimit = "440", "665"
    return window


def _recumbent() -> Dataset:
    item = _code("102538003", "SCT", "recumbent")
    item.PatientOrientationModifierCodeSequence = Sequence([_code("40199007", "SCT", "supine")])
    return item


def _radiopharmaceutical(examination: Examination) -> Dataset:
    drug = Dataset()
    drug.Radiopharmaceutical = "DOTATOC"
    drug.RadiopharmaceuticalRoute = "Intravenous route"
    drug.RadiopharmaceuticalStartTime = _clock(examination.injected_at)
    drug.RadiopharmaceuticalStartDateTime = _day(examination.injected_at) + _clock(examination.injected_at)
    drug.RadionuclideTotalDose = decimal(examination.dose_bq)
    drug.RadionuclideHalfLife = decimal(GA68_HALF_LIFE_S)
    drug.RadionuclidePositronFraction = "0.891"
    drug.RadionuclideCodeSequence = Sequence([_code("35337001", "SCT", "^68^Gallium")])
    drug.RadiopharmaceuticalCodeSequence = Sequence([_code("C2713594", "UMLS", "Edotreotide Ga^68^")])
    drug.AdministrationRouteCodeSequence = Sequence([_code("47625008", "SCT", "Intravenous route")])
    return drug


def ct_header(examination: Examination, identity: StudyIdentity) -> Dataset:
    """What all slices of a CT series share."""
    scanner, grid = examination.scanner, examination.ct_grid
    header = _shared(examination, identity, grid, examination.ct_at)
    header.SOPClassUID = CTImageStorage
    header.Modality = "CT"
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.SeriesDescription = "SYNTHETIC CT venous phase" if examination.contrast else "SYNTHETIC CT native"
    header.SeriesInstanceUID, header.SeriesNumber, header.AcquisitionNumber = identity.ct_series, 2, 1
    header.AcquisitionDate = header.ContentDate = _day(examination.ct_at)
    header.AcquisitionTime = header.ContentTime = _clock(examination.ct_at)
    header.KVP, header.XRayTubeCurrent, header.ExposureTime = "120", 180, 500
    header.ConvolutionKernel, header.GantryDetectorTilt = scanner.ct_kernel, "0"
    header.DataCollectionDiameter = header.ReconstructionDiameter = decimal(grid.shape[2] * grid.spacing_mm[2])
    header.RescaleIntercept, header.RescaleSlope, header.RescaleType = str(scanner.ct_intercept_hu), "1", "HU"
    header.add_new("PixelPaddingValue", "SS", scanner.ct_padding_hu - scanner.ct_intercept_hu)
    header.WindowCenter, header.WindowWidth = "40", "400"
    if examination.contrast:
        header.ContrastBolusAgent, header.ContrastBolusRoute = "Iodinated contrast medium", "IV"
        header.ContrastBolusVolume, header.ContrastBolusIngredient = "100", "IODINE"
    return header


def slice_header(examination: Examination, grid: VoxelGrid, series: str, k: int, stored: Any) -> Dataset:
    """What slice ``k`` (from the feet) has for itself; slices are numbered from the head, as scanners do."""
    x, y, z = grid.origin_lps_mm
    height = z + k * grid.spacing_mm[0]
    own = Dataset()
    own.SOPInstanceUID = uid_of(examination, series, k)
    own.InstanceNumber = grid.shape[0] - k
    own.ImagePositionPatient = [decimal(x), decimal(y), decimal(height)]
    own.SliceLocation = decimal(height)
    own.add_new("PixelData", "OW", np.ascontiguousarray(stored, dtype="<i2").tobytes())
    return own
