"""Weight, height, sex, dose and half-life: what people typed at the console, read with due suspicion."""

from __future__ import annotations

from ..errors import Code
from ..records import Notice
from .suv_body import Body, Sex
from .suv_tracer import HALF_LIFE_TOLERANCE, NUCLIDES, tracer_of
from .suv_values import Headers, element, refused, shared, shared_number, shared_text

DOSE_LIMIT_OF_MBQ = 1e4
"""A dose below this cannot be in Bq; DICOM once allowed MBq (PS3.3 section C.8.4.10), and scanners still write it."""
_PLAUSIBLE_WEIGHT_KG = (1.0, 500.0)
_PLAUSIBLE_HEIGHT_M = (0.3, 2.6)
_PLAUSIBLE_DOSE_BQ = (1e6, 1e10)


def weight_kg(headers: Headers) -> float:
    """Patient's Weight (0010,1030).

    Raises
    ------
    SuvRefused
        SUV_WEIGHT where absent, or no weight of a person in kg. A value beyond 1000 may be in grams, but nothing in
        the header proves it.
    """
    found = shared_number(headers, "PatientWeight", Code.SUV_WEIGHT)
    low, high = _PLAUSIBLE_WEIGHT_KG
    if found is None or not low <= found <= high:
        raise refused(
            Code.SUV_WEIGHT,
            "The patient's weight is missing." if not found else f"{found:g} is no weight of a person in kilograms.",
            element("PatientWeight"),
            "Enter the patient's weight on the day of the scan, in kilograms, and export again.",
        )
    return found


def body_of(headers: Headers, needs_sex: bool) -> tuple[Body, tuple[Notice, ...]]:
    """Weight, height and, where the formula needs it, sex.

    Raises
    ------
    SuvRefused
        SUV_WEIGHT, SUV_HEIGHT, SUV_SEX.
    """
    weight = weight_kg(headers)
    height = shared_number(headers, "PatientSize", Code.SUV_HEIGHT)
    low, high = _PLAUSIBLE_HEIGHT_M
    if height is None or not low <= height <= high:
        raise refused(
            Code.SUV_HEIGHT,
            "The patient's height is missing." if not height else f"{height:g} is no height of a person in metres.",
            element("PatientSize"),
            "Enter the patient's height in metres, or export the series in BQML.",
        )
    if not needs_sex:
        return Body(weight, height * 100.0), ()
    sex = _sex(headers)
    notices: tuple[Notice, ...] = ()
    if sex == "O":
        message = "The patient's sex is O (other): the mean of the formulas for men and women was used."
        notices = (Notice("SEX_OTHER_MEAN", message),)
    return Body(weight, height * 100.0, sex), notices


def _sex(headers: Headers) -> Sex:
    written = shared_text(headers, "PatientSex", Code.SUV_SEX).upper()
    if written == "M":
        return "M"
    if written == "F":
        return "F"
    if written == "O":
        return "O"
    raise refused(
        Code.SUV_SEX,
        "The patient's sex, which the SUV's normalisation needs, is missing.",
        element("PatientSex"),
        "Export the series with the patient's sex, or in BQML.",
    )


def dose_bq(told: Headers) -> tuple[float, tuple[Notice, ...]]:
    """Radionuclide Total Dose (0018,1074) at the moment of injection.

    Parameters
    ----------
    told : sequence of Dataset
        The injection as each slice tells it.

    Raises
    ------
    SuvRefused
        SUV_DOSE where absent, zero, negative or impossible.
    """
    written = shared_number(told, "RadionuclideTotalDose", Code.SUV_DOSE)
    in_mbq = written is not None and 0 < written < DOSE_LIMIT_OF_MBQ
    dose = (written or 0.0) * (1e6 if in_mbq else 1.0)
    low, high = _PLAUSIBLE_DOSE_BQ
    if not low <= dose <= high:
        raise refused(
            Code.SUV_DOSE,
            "The injected dose is missing." if not written else f"{written:g} is no injected dose in Bq or MBq.",
            element("RadionuclideTotalDose"),
            "Enter the injected activity and its time at the console and export again.",
        )
    if not in_mbq:
        return dose, ()
    message = f"The injected dose, {written:g}, was read as MBq: it is far too small for Bq."
    return dose, (Notice("DOSE_READ_AS_MBQ", message),)


def half_life_s(headers: Headers, told: Headers) -> tuple[float, tuple[Notice, ...]]:
    """Radionuclide Half Life (0018,1075); where absent, that of the radionuclide which the header names.

    Raises
    ------
    SuvRefused
        SUV_HALF_LIFE where neither is there, where they contradict each other by more than 5 %, or where no PET
        nuclide has such a half-life.
    """
    where = element("RadionuclideHalfLife", "RadionuclideCodeSequence")
    written = shared_number(told, "RadionuclideHalfLife", Code.SUV_HALF_LIFE)
    named = shared(headers, lambda header: tracer_of(header).nuclides, Code.SUV_HALF_LIFE, where)
    if written is None:
        if len(named) != 1:
            raise refused(
                Code.SUV_HALF_LIFE,
                "The half-life is missing, and the header names several radionuclides."
                if named
                else "The half-life is missing, and the radionuclide too.",
                where,
                "Export the original series with its radionuclide.",
            )
        message = f"The half-life is missing in the header; that of {named[0].name} was used."
        return named[0].half_life_s, (Notice("HALF_LIFE_FROM_RADIONUCLIDE", message),)
    possible = named or tuple(nuclide for nuclide in NUCLIDES if nuclide.positron)
    if not any(nuclide.has_half_life(written) for nuclide in possible):
        subject = f"the half-life of {named[0].name}" if named else "the half-life of a PET radionuclide"
        raise refused(
            Code.SUV_HALF_LIFE,
            f"{written:g} s is not {subject} (within {HALF_LIFE_TOLERANCE:.0%}).",
            where,
            "Correct the radionuclide or its half-life (in seconds) and export again.",
        )
    return written, ()
