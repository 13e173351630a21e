"""Whether a series is a quantitative PET image at all."""

from __future__ import annotations

from pydicom.dataset import Dataset

from ..errors import Code
from .suv_tracer import NUCLIDES, Tracer, tracer_of
from .suv_values import Headers, element, kinds, refused, shared
from .values import items, number, text

_NUCLEAR_MEDICINE_IMAGE = "1.2.840.10008.5.1.4.1.1.20"
_GAMMA_CAMERA_COLLIMATORS = frozenset({"PARA", "PINH", "FANB", "CONE", "SLNT", "ASTG", "DIVG"})
_LOWEST_PHOTOPEAK_LIMIT_KEV = 450.0
"""Every PET energy window reaches above this; the photons of annihilation have 511 keV."""


def require_pet(headers: Headers) -> None:
    """Refuse what calls itself PET and is none.

    Raises
    ------
    SuvRefused
        NOT_PET for another modality, a SPECT stored as PET (its radionuclide, half-life, collimator or energy window
        tells), a transmission scan, or a projection.
    """
    for header in kinds(headers):
        reason = _why_no_pet(header)
        if reason:
            raise refused(
                Code.NOT_PET,
                reason,
                element("Modality", "RadiopharmaceuticalInformationSequence"),
                "Choose the attenuation-corrected PET emission series of the examination.",
            )


def _why_no_pet(header: Dataset) -> str:
    if text(header, "Modality").upper() != "PT":
        return f"The modality is {text(header, 'Modality') or 'not told'}, not PT."
    tracer = tracer_of(header)
    if single_photon := _single_photon_name(tracer):
        return f"The series says it is PET, but {single_photon} is no positron emitter."
    if text(header, "SOPClassUID") == _NUCLEAR_MEDICINE_IMAGE:
        return "The series says it is PET, but is stored as a nuclear medicine image."
    if text(header, "CollimatorType").upper() in _GAMMA_CAMERA_COLLIMATORS:
        return "The series says it is PET, but was acquired with a gamma camera's collimator."
    limits = [number(window, "EnergyWindowUpperLimit") for window in items(header, "EnergyWindowRangeSequence")]
    if limits and all(limit is not None and limit < _LOWEST_PHOTOPEAK_LIMIT_KEV for limit in limits):
        return "The series says it is PET, but its energy window does not reach 511 keV."
    if text(header, "CountsSource").upper() == "TRANSMISSION":
        return "The series is a transmission scan."
    if "REPROJECTION" in text(header, "SeriesType").upper():
        return "The series is a projection of a PET, not its slices."
    return ""


def _single_photon_name(tracer: Tracer) -> str:
    """Name of a nuclide without positrons; an unnamed nuclide is judged by its half-life."""
    for nuclide in tracer.nuclides:
        if not nuclide.positron:
            return nuclide.name
    half_life = tracer.half_life_s
    if tracer.nuclides or half_life is None:
        return ""
    fitting = [nuclide for nuclide in NUCLIDES if nuclide.has_half_life(half_life)]
    if fitting and not any(nuclide.positron for nuclide in fitting):
        return fitting[0].name
    return ""


def require_attenuation_corrected(headers: Headers) -> None:
    """Refuse a series that is not, or not provably, corrected for attenuation.

    Corrected Image (0028,0051) decides; where it is empty, Attenuation Corrected (0018,9759) of enhanced PET or a named
    Attenuation Correction Method (0054,1101) does. A header that is silent proves nothing, and is refused too.

    Raises
    ------
    SuvRefused
        NOT_ATTENUATION_CORRECTED.
    """
    where = element("CorrectedImage", "AttenuationCorrectionMethod")
    corrected = shared(headers, _is_attenuation_corrected, Code.NOT_ATTENUATION_CORRECTED, where)
    if not corrected:
        raise refused(
            Code.NOT_ATTENUATION_CORRECTED,
            "The series is not corrected for attenuation."
            if corrected is False
            else "The header does not prove that the series is corrected for attenuation.",
            where,
            "Choose the attenuation-corrected series of the same examination (often named AC, not NAC).",
        )


def _is_attenuation_corrected(header: Dataset) -> bool | None:
    corrections = text(header, "CorrectedImage").upper()
    if corrections:
        return "ATTN" in (part.strip() for part in corrections.split("\\"))
    enhanced = text(header, "AttenuationCorrected").upper()
    if enhanced in ("YES", "NO"):
        return enhanced == "YES"
    method = text(header, "AttenuationCorrectionMethod").upper()
    if method:
        return not method.startswith(("NONE", "NO "))
    return None
