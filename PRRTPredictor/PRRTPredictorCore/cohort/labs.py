"""The four blood values of the paper (section 2.1): units, plausibility, sampling date, De Ritis ratio.

AST, ALT and GGT go on in U/L, chromogranin A (CgA) in µg/L. Pure Python, so that it works wherever Slicer does.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from ..errors import Code, CohortRefused, LabRefused
from ..records import LABS, Labs, Notice
from .cells import parse_number

MAX_SAMPLING_AGE_DAYS = 28
"""Labs are measured within four weeks before the first PRRT cycle (paper, section 2.1)."""

MAX_DAYS_FROM_PET = 120
"""Blood is taken at most 28 days before PRRT, the PET hardly more than 120 (paper, section 2.2)."""

DE_RITIS_USUAL = (0.3, 5.0)
"""AST/ALT beyond this deserves a second look; the paper's cohort spans 0.46 to 3.43."""


@dataclass(frozen=True)
class LabUnits:
    """The unit in which each lab was reported, in any accepted spelling; "" means the default."""

    ast: str = "U/L"
    alt: str = "U/L"
    ggt: str = "U/L"
    cga: str = "µg/L"


@dataclass(frozen=True)
class LabRange:
    """Lowest and highest value that is accepted, in the unit of the value as entered."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class _Unit:
    name: str
    factor: float
    accepted: LabRange


@dataclass(frozen=True)
class _Lab:
    title: str
    units: tuple[_Unit, ...]
    usual: LabRange


# The limits belong to the unit as entered. In U/L they are what a living patient can have; in µkat/L the upper one is
# lower, because 28 U/L typed as 28 µkat/L would else pass as 1680 U/L. Who really has 12 µkat/L can enter 720 U/L.
_RULES: Mapping[str, _Lab] = {
    "ast": _Lab(
        "AST", (_Unit("U/L", 1.0, LabRange(4, 5000)), _Unit("µkat/L", 60.0, LabRange(0.05, 10))), LabRange(8, 500)
    ),
    "alt": _Lab(
        "ALT", (_Unit("U/L", 1.0, LabRange(3, 5000)), _Unit("µkat/L", 60.0, LabRange(0.05, 10))), LabRange(5, 500)
    ),
    "ggt": _Lab(
        "GGT", (_Unit("U/L", 1.0, LabRange(3, 5000)), _Unit("µkat/L", 60.0, LabRange(0.05, 25))), LabRange(6, 1500)
    ),
    "cga": _Lab("CgA", (_Unit("µg/L", 1.0, LabRange(5, 1_000_000)),), LabRange(10, 200_000)),
}

_SPELLINGS: Mapping[str, str] = {
    **dict.fromkeys(("u/l", "iu/l", "ie/l", "units/l"), "U/L"),
    **dict.fromkeys(("ukat/l", "μkat/l", "mckat/l", "mcgkat/l", "microkat/l"), "µkat/L"),
    **dict.fromkeys(("ug/l", "μg/l", "mcg/l", "ng/ml"), "µg/L"),
}

_MOLAR = frozenset({"nmol/l", "pmol/l", "pmol/ml"})


def lab_title(lab: str) -> str:
    """The lab's printed name: "AST" for "ast"."""
    return _rule(lab).title


def input_title(name: str) -> str:
    """A tabular input's printed name: "CgA" for "cga"; an extra input keeps the name of its column."""
    return _RULES[name].title if name in _RULES else name


def accepted_units(lab: str) -> tuple[str, ...]:
    """The units that a lab may come in, the default first."""
    return tuple(unit.name for unit in _rule(lab).units)


def accepted_range(lab: str, unit: str = "") -> LabRange:
    """What is accepted for a lab, in ``unit``; anything beyond is refused as LAB_IMPLAUSIBLE."""
    return _unit(lab, unit).accepted


def canonical_unit(lab: str, unit: str = "") -> str:
    """The unit in its standard spelling, e.g. "µkat/L" for "ukat/l".

    Raises
    ------
    LabRefused
        LAB_UNIT: a unit that cannot be converted, or one of another quantity.
    """
    return _unit(lab, unit).name


def lab_value(lab: str, value: float | str | None, unit: str = "", *, dot_may_group: bool = False) -> float:
    """One lab in the unit that the models use.

    Parameters
    ----------
    lab : str
        "ast", "alt", "ggt" or "cga".
    value : float, str or None
        As reported; text may have a decimal comma.
    unit : str
        As reported; "" means U/L (AST, ALT, GGT) or µg/L (CgA). 1 µkat/L = 60 U/L; 1 ng/mL = 1 µg/L.
    dot_may_group : bool
        See :func:`~PRRTPredictorCore.cohort.cells.parse_number`.

    Returns
    -------
    float
        U/L for the enzymes, µg/L for CgA.

    Raises
    ------
    LabRefused
        LAB_MISSING, LAB_UNREADABLE (text), LAB_NOT_POSITIVE (zero or less), LAB_UNIT or LAB_IMPLAUSIBLE.
    """
    known = _unit(lab, unit)
    title = lab_title(lab)
    number = _number(title, value, dot_may_group)
    if number is None:
        raise LabRefused(
            Code.LAB_MISSING,
            f"{title} is missing.",
            where=title,
            remedy=f"Enter {title} in {' or '.join(accepted_units(lab))}; missing labs are not filled in.",
        )
    if number <= 0:
        raise LabRefused(
            Code.LAB_NOT_POSITIVE,
            f"{title} is {'zero' if number == 0 else 'negative'}, which no blood sample has.",
            where=title,
            remedy="Enter the measured value; leave the cell empty where there is none.",
        )
    if number not in known.accepted:
        raise _implausible(lab, number, known)
    return number * known.factor


def make_labs(
    ast: float | str | None,
    alt: float | str | None,
    ggt: float | str | None,
    cga: float | str | None,
    units: LabUnits | None = None,
    sampled_on: date | None = None,
) -> Labs:
    """The four labs, checked and in U/L and µg/L.

    Parameters
    ----------
    ast, alt, ggt, cga : float, str or None
        As reported.
    units : LabUnits, optional
        U/L and µg/L when left out.
    sampled_on : date, optional
        Checked against the first cycle by :func:`check_sampling_date`, not here.

    Raises
    ------
    LabRefused
        The first problem, in the order AST, ALT, GGT, CgA; see :func:`lab_value`.
    """
    units = units or LabUnits()
    return Labs(
        ast_u_per_l=lab_value("ast", ast, units.ast),
        alt_u_per_l=lab_value("alt", alt, units.alt),
        ggt_u_per_l=lab_value("ggt", ggt, units.ggt),
        cga_ug_per_l=lab_value("cga", cga, units.cga),
        sampled_on=sampled_on,
    )


def lab_notices(labs: Labs) -> tuple[Notice, ...]:
    """What is possible but unusual: a lab far from what patients before PRRT have, an extreme De Ritis ratio."""
    notices = []
    for lab, value in zip(LABS, labs.values(), strict=True):
        rule = _rule(lab)
        if value not in rule.usual:
            unit = rule.units[0].name
            side = "low" if value < rule.usual.low else "high"
            notices.append(
                Notice("LAB_UNUSUAL", f"{rule.title} of {value:g} {unit} is unusually {side}; check value and unit.")
            )
    low, high = DE_RITIS_USUAL
    if not low <= labs.de_ritis_ratio <= high:
        notices.append(
            Notice(
                "DE_RITIS_EXTREME",
                f"De Ritis ratio (AST/ALT) of {labs.de_ritis_ratio:.2f} lies outside {low:g} to {high:g}; "
                "check that AST and ALT are not exchanged or in different units.",
            )
        )
    return tuple(notices)


def sampling_notices(labs: Labs, pet_date: date | None) -> tuple[Notice, ...]:
    """Say when blood and PET were taken so far apart that they hardly tell of one state, or of one patient."""
    if labs.sampled_on is None or pet_date is None:
        return ()
    days = abs((labs.sampled_on - pet_date).days)
    if days <= MAX_DAYS_FROM_PET:
        return ()
    message = f"The blood was taken {days} days from the PET; check the dates, and that both are of one patient."
    return (Notice("LABS_FAR_FROM_PET", message),)


def check_sampling_date(sampled_on: date, prrt_start: date) -> None:
    """Refuse blood that was not taken within the 28 days before the first PRRT cycle; the day itself counts.

    Raises
    ------
    LabRefused
        LAB_DATE.
    """
    days = (prrt_start - sampled_on).days
    if days < 0:
        raise LabRefused(
            Code.LAB_DATE,
            f"The blood was taken {-days} days after the first PRRT cycle; the models are for values from before it.",
            where="sampling date",
            remedy="Enter the last values from before the first cycle, or correct the dates.",
        )
    if days > MAX_SAMPLING_AGE_DAYS:
        raise LabRefused(
            Code.LAB_DATE,
            f"The blood was taken {days} days before the first PRRT cycle; {MAX_SAMPLING_AGE_DAYS} are the limit.",
            where="sampling date",
            remedy="Enter values from the four weeks before the first cycle, or correct the dates.",
        )


def _rule(lab: str) -> _Lab:
    if lab not in _RULES:
        raise ValueError(f"no such lab: {lab!r}; there are {', '.join(_RULES)}")
    return _RULES[lab]


def _number(title: str, value: float | str | None, dot_may_group: bool) -> float | None:
    """The value as a number; None where it is missing."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return parse_number(value, dot_may_group=dot_may_group)
        except CohortRefused as refusal:
            raise LabRefused(Code.LAB_UNREADABLE, refusal.message, where=title, remedy=refusal.remedy) from None
    return None if math.isnan(value) else float(value)


def _unit(lab: str, unit: str) -> _Unit:
    rule = _rule(lab)
    spelled = unicodedata.normalize("NFKC", unit).casefold()
    spelled = "".join(character for character in spelled if not character.isspace() and character != ".")
    name = _SPELLINGS.get(spelled, "") if spelled else rule.units[0].name
    for known in rule.units:
        if known.name == name:
            return known
    remedy = f"Give {rule.title} in {' or '.join(accepted_units(lab))}."
    if lab == "cga" and spelled in _MOLAR:
        remedy += " A molar CgA value has no fixed factor to µg/L: it depends on the assay; ask the laboratory."
    elif lab == "cga" and name == "U/L":
        remedy += " CgA in U/L is an assay's own unit without a fixed factor to µg/L; ask the laboratory."
    elif lab != "cga" and spelled == "nkat/l":
        remedy += " 1000 nkat/L = 1 µkat/L."
    raise LabRefused(
        Code.LAB_UNIT, f"The unit {_quotable(unit)} is not one in which {rule.title} can be used.", where=rule.title,
        remedy=remedy,
    )  # fmt: skip


def _quotable(unit: str) -> str:
    """A unit fit for a message; what does not look like one may be a name or a date that slipped into the column."""
    text = unit.strip()
    looks_like_a_unit = len(text) <= 10 and text.count("/") == 1 and all(c.isalpha() or c in "/µ " for c in text)
    return text if looks_like_a_unit else "as written"


def _implausible(lab: str, number: float, unit: _Unit) -> LabRefused:
    rule = _rule(lab)
    remedy = f"Check the value and its unit; {unit.accepted.low:g} to {unit.accepted.high:g} {unit.name} is accepted."
    for other in rule.units:
        converted = number * other.factor
        if other is not unit and number in other.accepted and converted in rule.usual:
            remedy = f"{number:g} looks like a value in {other.name}: check the unit. {remedy}"
            if unit.factor > 1 and number > unit.accepted.high:
                remedy += f" If it is {number:g} {unit.name} indeed, enter {number * unit.factor:g} {other.name}."
    if lab == "cga":
        hint = "nmol/L or mg/L" if number < unit.accepted.low else "ng/L"
        remedy = f"{number:g} looks like a value in {hint}: check the unit. {remedy}"
    return LabRefused(
        Code.LAB_IMPLAUSIBLE,
        f"{rule.title} of {number:g} {unit.name} is beyond what can be believed.",
        where=rule.title,
        remedy=remedy,
    )
