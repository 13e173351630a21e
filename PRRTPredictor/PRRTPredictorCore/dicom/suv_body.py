"""Body measures by which SUV is normalised: lean body mass, ideal body weight, body surface area.

Formulas as DICOM names them in SUV Type (0054,1006), PS3.3 section C.8.9.1; collected by Sugawara et al., Radiology
1999;213:521, and Kim et al., J Nucl Med 1994;35:164.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..errors import Code, SuvRefused

Sex = Literal["M", "F", "O"]


@dataclass(frozen=True)
class Body:
    """A patient's measures as the normalisations need them.

    Attributes
    ----------
    sex : {"M", "F", "O"}
        Patient's Sex (0010,0040).
    """

    weight_kg: float
    height_cm: float
    sex: Sex = "O"


def lean_body_mass_kg(body: Body) -> float:
    """SUV type LBM: Morgan's formula with 120 for men."""
    square = (body.weight_kg / body.height_cm) ** 2
    return _by_sex(body, 1.10 * body.weight_kg - 120.0 * square, 1.07 * body.weight_kg - 148.0 * square)


def lean_body_mass_james128_kg(body: Body) -> float:
    """SUV type LBMJAMES128: James' formula with 128 for men."""
    square = (body.weight_kg / body.height_cm) ** 2
    return _by_sex(body, 1.10 * body.weight_kg - 128.0 * square, 1.07 * body.weight_kg - 148.0 * square)


def lean_body_mass_janmahasatian_kg(body: Body) -> float:
    """SUV type LBMJANMA: Janmahasatian et al., Clin Pharmacokinet 2005;44:1051."""
    body_mass_index = body.weight_kg / (body.height_cm / 100.0) ** 2
    male = 9270.0 * body.weight_kg / (6680.0 + 216.0 * body_mass_index)
    female = 9270.0 * body.weight_kg / (8780.0 + 244.0 * body_mass_index)
    return _by_sex(body, male, female)


def ideal_body_weight_kg(body: Body) -> float:
    """SUV type IBW: a line in the height."""
    above_cm = body.height_cm - 152.0
    return _by_sex(body, 48.0 + 1.06 * above_cm, 45.5 + 0.91 * above_cm)


def body_surface_area_cm2(body: Body) -> float:
    """SUV type BSA: Du Bois."""
    return float(0.007184 * body.height_cm**0.725 * body.weight_kg**0.425 * 1e4)


NORMALISING_MASS_KG: dict[str, Callable[[Body], float]] = {
    "LBM": lean_body_mass_kg,
    "LBMJAMES128": lean_body_mass_james128_kg,
    "LBMJANMA": lean_body_mass_janmahasatian_kg,
    "IBW": ideal_body_weight_kg,
}
"""The masses that replace body weight in SUV of unit g/ml, by SUV type."""


def to_body_weight(body: Body, suv_type: str) -> float:
    """SUVbw per unit of an SUV that was normalised otherwise.

    Parameters
    ----------
    suv_type : {"LBM", "LBMJAMES128", "LBMJANMA", "IBW", "BSA"}

    Raises
    ------
    SuvRefused
        SUV_HEIGHT where weight and height make the normalising measure zero or negative.
    """
    weight_g = body.weight_kg * 1000.0
    measure = body_surface_area_cm2(body) if suv_type == "BSA" else NORMALISING_MASS_KG[suv_type](body) * 1000.0
    if not measure > 0.0:
        raise SuvRefused(
            Code.SUV_HEIGHT,
            f"Weight and height do not give a positive {suv_type}, so that SUVbw cannot be computed back.",
            where="PatientSize (0010,1020), PatientWeight (0010,1030)",
            remedy="Check the patient's height (metres) and weight (kilograms) in the header.",
        )
    return weight_g / measure


def _by_sex(body: Body, male: float, female: float) -> float:
    # DICOM defines no formula for "O": the mean of both is the convention of the digital reference objects.
    return {"M": male, "F": female, "O": (male + female) / 2.0}[body.sex]
