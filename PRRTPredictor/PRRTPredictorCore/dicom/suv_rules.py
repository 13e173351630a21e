"""The rules by which rescaled PET values become SUVbw, one for each unit that a scanner may write.

A rule gets the headers of a series and gives a factor for each slice, or refuses with the element and a remedy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ..errors import Code
from ..records import Notice
from .suv_body import NORMALISING_MASS_KG, to_body_weight
from .suv_clock import acquisition_moments, frame_durations_s
from .suv_injection import body_of, dose_bq, half_life_s, weight_kg
from .suv_private import PHILIPS_ACTIVITY_FACTOR, PHILIPS_SUV_FACTOR, PrivateElement, private_number
from .suv_times import (
    AGREEMENT_TOLERANCE_S,
    Reference,
    decay_correction_moment,
    decay_during_frame,
    injection_moment,
    start_of_scan,
    uptake_s,
)
from .suv_values import Headers, element, injections, kinds, refused, shared_text
from .values import number, text


@dataclass(frozen=True, eq=False)
class Conversion:
    """What a rule found.

    Attributes
    ----------
    factors : ndarray, shape (K,), float64
        SUVbw per unit that the rule is for (Bq/ml, count, g/ml, cm²/ml), one a slice, in the order of the headers.
    path : str
        The rule in words, as the report tells it.
    suv_type : str
        As in (0054,1006), for values that are SUV already.
    """

    factors: NDArray[np.float64]
    path: str
    notices: tuple[Notice, ...] = ()
    suv_type: str = ""


# --- values that are SUV already --------------------------------------------------------------------------------------


def _from_grams_per_millilitre(headers: Headers) -> Conversion:
    suv_type = shared_text(headers, "SUVType", Code.SUV_TYPE).upper() or "BW"
    if suv_type == "BW":
        return Conversion(np.ones(len(headers)), "SUVbw as stored", (), "BW")
    if suv_type not in NORMALISING_MASS_KG:
        raise _unknown_suv_type(suv_type, "GML")
    return _renormalised(headers, suv_type)


def _from_square_centimetres_per_millilitre(headers: Headers) -> Conversion:
    suv_type = shared_text(headers, "SUVType", Code.SUV_TYPE).upper() or "BSA"
    if suv_type != "BSA":
        raise _unknown_suv_type(suv_type, "CM2ML")
    return _renormalised(headers, suv_type)


def _renormalised(headers: Headers, suv_type: str) -> Conversion:
    body, notices = body_of(headers, needs_sex=suv_type != "BSA")
    factors = np.full(len(headers), to_body_weight(body, suv_type))
    return Conversion(factors, f"SUV by {suv_type} turned to SUVbw", notices, suv_type)


def _unknown_suv_type(suv_type: str, units: str) -> Exception:
    return refused(
        Code.SUV_TYPE,
        f"SUV type {suv_type} is none that units {units} can have.",
        element("SUVType", "Units"),
        "Export the series in BQML, or as SUV by body weight.",
    )


# --- counts (Philips) -------------------------------------------------------------------------------------------------


def _from_counts(headers: Headers) -> Conversion:
    suv_factors = _philips_factors(headers, PHILIPS_SUV_FACTOR)
    if suv_factors is not None:
        return Conversion(suv_factors, "Philips SUV scale factor (7053,1000)")
    activity_factors = _philips_factors(headers, PHILIPS_ACTIVITY_FACTOR)
    if activity_factors is None:
        raise refused(
            Code.SUV_SCALE_FACTOR,
            "The values are counts, and the header holds no factor that turns them into activity or SUV.",
            "(7053,1000), (7053,1009)",
            "Export again with Philips' private elements kept, or in BQML.",
        )
    found = _from_activity(headers)
    path = f"Philips activity scale factor (7053,1009), {found.path}"
    return replace(found, factors=found.factors * activity_factors, path=path)


def _philips_factors(headers: Headers, private: PrivateElement) -> NDArray[np.float64] | None:
    """The factor of each slice; None unless all have one. Philips writes 0 where there is none."""
    factors = [private_number(header, private) for header in headers]
    usable = [factor for factor in factors if factor is not None and factor > 0]
    return np.array(usable) if len(usable) == len(factors) else None


# --- activity concentration -------------------------------------------------------------------------------------------


def _from_activity(headers: Headers) -> Conversion:
    """SUVbw per Bq/ml: body weight in g over the activity that is left of the dose when the image is dated."""
    told = injections(headers)
    weight_g = weight_kg(headers) * 1000.0
    dose, dose_notices = dose_bq(told)
    rule, fits = _decay_rule(headers)
    found = rule(headers, told)
    contradiction = () if fits else (_decay_contradiction(),)
    return replace(found, factors=weight_g / dose * found.factors, notices=dose_notices + found.notices + contradiction)


_DecayRule = Callable[[Headers, Headers], Conversion]


def _decay_rule(headers: Headers) -> tuple[_DecayRule, bool]:
    """Choose the decay rule, and tell whether Corrected Image (0028,0051) agrees with it."""
    written = shared_text(headers, "DecayCorrection", Code.SUV_DECAY_CORRECTION).upper()
    enhanced = shared_text(headers, "DecayCorrected", Code.SUV_DECAY_CORRECTION).upper()
    rules: dict[str, _DecayRule] = {"START": _since_start, "ADMIN": _since_injection, "NONE": _uncorrected}
    enhanced_rules: dict[str, _DecayRule] = {"YES": _since_decay_correction, "NO": _uncorrected}
    rule = rules.get(written) if written else enhanced_rules.get(enhanced)
    if rule is None:
        raise refused(
            Code.SUV_DECAY_CORRECTION,
            f"Decay correction {written or enhanced} is unknown."
            if written or enhanced
            else "The header does not tell how the image was corrected for decay.",
            element("DecayCorrection"),
            "Export the original series from the scanner (START, ADMIN or NONE).",
        )
    return rule, all(_agrees(header, rule is not _uncorrected) for header in kinds(headers))


def _agrees(header: Dataset, decay_corrected: bool) -> bool:
    """Whether a slice's Corrected Image says the same of decay, or nothing at all."""
    corrections = text(header, "CorrectedImage").upper()
    return not corrections or ("DECY" in corrections.split("\\")) == decay_corrected


def _decay_contradiction() -> Notice:
    return Notice(
        "DECAY_CORRECTION_CONTRADICTED",
        "CorrectedImage (0028,0051) and DecayCorrection (0054,1102) contradict each other; the latter was followed.",
    )


def _since_injection(headers: Headers, told: Headers) -> Conversion:
    return Conversion(np.ones(len(headers)), "ADMIN")


def _since_start(headers: Headers, told: Headers) -> Conversion:
    half_life, notices = half_life_s(headers, told)
    found = _decayed_to(start_of_scan(headers, half_life), headers, told, half_life)
    return replace(found, path=f"START, {found.path}", notices=notices + found.notices)


def _since_decay_correction(headers: Headers, told: Headers) -> Conversion:
    half_life, notices = half_life_s(headers, told)
    found = _decayed_to(decay_correction_moment(headers), headers, told, half_life)
    return replace(found, notices=notices + found.notices)


def _decayed_to(reference: Reference, headers: Headers, told: Headers, half_life: float) -> Conversion:
    uptake = uptake_s(injection_moment(headers, told, reference.moment), reference.moment, half_life)
    growth = 2.0 ** (uptake / half_life)
    return Conversion(np.full(len(headers), growth), f"reference time from {reference.source}", reference.notices)


def _uncorrected(headers: Headers, told: Headers) -> Conversion:
    """Each slice decayed from the injection to its own acquisition, and on while it was acquired."""
    half_life, notices = half_life_s(headers, told)
    acquired = [moment for moment in acquisition_moments(headers) if moment is not None]
    if len(acquired) < len(headers):
        raise refused(
            Code.SUV_TIMES,
            "The image is not corrected for decay, and a slice does not tell when it was acquired.",
            element("AcquisitionTime"),
            "Export the original series from the scanner.",
        )
    _require_own_times(headers, (max(acquired) - min(acquired)).total_seconds())
    injected = injection_moment(headers, told, min(acquired))
    factors = [
        decay_during_frame(duration, half_life) * 2.0 ** (uptake_s(injected, moment, half_life) / half_life)
        for duration, moment in zip(frame_durations_s(headers), acquired, strict=True)
    ]
    return Conversion(np.array(factors), "NONE, each slice from its acquisition time", notices)


def _require_own_times(headers: Headers, spread_s: float) -> None:
    """Refuse beds that were acquired one after another but share one acquisition time, as some GE series do."""
    offsets = [number(header, "FrameReferenceTime") for header in headers]
    known = [offset / 1000.0 for offset in offsets if offset is not None]
    if len(known) < len(headers):
        return
    if max(known) - min(known) > AGREEMENT_TOLERANCE_S >= spread_s:
        raise refused(
            Code.SUV_TIMES,
            "The slices were acquired one after another, but carry the same acquisition time.",
            element("AcquisitionTime", "FrameReferenceTime"),
            "Export the series with decay correction to the start of the scan.",
        )


RULES: dict[str, Callable[[Headers], Conversion]] = {
    "BQML": _from_activity,
    "GML": _from_grams_per_millilitre,
    "CM2ML": _from_square_centimetres_per_millilitre,
    "CNTS": _from_counts,
}
"""By the stored unit's name, as :func:`~.suv_units.stored_unit` tells it."""
