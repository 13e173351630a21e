"""What was injected: radionuclide and radiopharmaceutical, read from codes and names (PS3.16 CID 18, 4020 and 4021).

Names that come back are this module's own; free text of the header is matched, never passed on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from pydicom.dataset import Dataset

from ..records import Notice
from .suv_private import GE_RADIONUCLIDE, GE_TRACER, private_text
from .values import items, number, text

HALF_LIFE_TOLERANCE = 0.05
"""Relative; scanners write Ga-68 as 4056 to 4098 s and F-18 as 6584 to 6588 s."""


@dataclass(frozen=True)
class Nuclide:
    """A radionuclide.

    Attributes
    ----------
    positron : bool
        It can be imaged by PET.
    codes : tuple of str
        Code values: SNOMED CT, then the older SNOMED-RT/SRT.
    """

    symbol: str
    mass: str
    element: str
    half_life_s: float
    positron: bool
    codes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For example "Ga-68"."""
        return f"{self.symbol}-{self.mass}"

    def has_half_life(self, half_life_s: float) -> bool:
        """Whether a written half-life can be this nuclide's."""
        return abs(half_life_s - self.half_life_s) <= HALF_LIFE_TOLERANCE * self.half_life_s


_MIN, _HOUR, _DAY = 60.0, 3600.0, 86400.0

NUCLIDES: tuple[Nuclide, ...] = (
    Nuclide("F", "18", "fluorine", 109.77 * _MIN, True, ("77004003", "C-111A1")),
    Nuclide("Ga", "68", "gallium", 67.71 * _MIN, True, ("35337001", "C-131A3")),
    Nuclide("Cu", "64", "copper", 12.701 * _HOUR, True, ("3932008", "C-127A2")),
    Nuclide("C", "11", "carbon", 20.364 * _MIN, True, ("40565003", "C-105A1")),
    Nuclide("N", "13", "nitrogen", 9.965 * _MIN, True, ("21576001", "C-107A1")),
    Nuclide("O", "14", "oxygen", 70.62, True, ("424875009", "C-1018C")),
    Nuclide("O", "15", "oxygen", 122.24, True, ("129504001", "C-B1038")),
    Nuclide("Rb", "82", "rubidium", 76.38, True, ("79197006", "C-159A2")),
    Nuclide("Zr", "89", "zirconium", 78.41 * _HOUR, True, ("63360001", "C-168A4")),
    Nuclide("I", "124", "iodine", 4.176 * _DAY, True, ("40937006", "C-114A5")),
    Nuclide("Ge", "68", "germanium", 270.95 * _DAY, True, ("53315004", "C-128A2")),
    Nuclide("Na", "22", "sodium", 2.602 * 365.25 * _DAY, True, ("71633006", "C-155A1")),
    Nuclide("Sc", "43", "scandium", 3.891 * _HOUR, True, ("126605",)),
    Nuclide("Sc", "44", "scandium", 4.042 * _HOUR, True, ("126600",)),
    Nuclide("Cu", "60", "copper", 23.7 * _MIN, True, ("425364008", "C-127A4")),
    Nuclide("Cu", "61", "copper", 3.339 * _HOUR, True, ("71425003", "C-127A1")),
    Nuclide("Cu", "62", "copper", 9.673 * _MIN, True, ("422934004", "C-127A5")),
    Nuclide("Ga", "66", "gallium", 9.49 * _HOUR, True, ("79477007", "C-131A1")),
    Nuclide("Br", "76", "bromine", 16.2 * _HOUR, True, ("79523006", "C-113A2")),
    Nuclide("Y", "86", "yttrium", 14.74 * _HOUR, True, ("10738001", "C-162A3")),
    Nuclide("Y", "90", "yttrium", 64.05 * _HOUR, True, ("14691008", "C-162A7")),
    Nuclide("Ti", "45", "titanium", 3.08 * _HOUR, True, ("75696008", "C-166A2")),
    Nuclide("Mn", "52", "manganese", 5.591 * _DAY, True, ("37225000", "C-149A1")),
    Nuclide("Tb", "152", "terbium", 17.5 * _HOUR, True, ("126606",)),
    Nuclide("Lu", "177", "lutetium", 6.647 * _DAY, False, ("447553000", "C-101ED")),
    Nuclide("In", "111", "indium", 2.8047 * _DAY, False, ("56609000", "C-145A4")),
    Nuclide("Tc", "99m", "technetium", 6.0067 * _HOUR, False, ("72454006", "C-163A8")),
    Nuclide("I", "123", "iodine", 13.223 * _HOUR, False, ("21572004", "C-114A4")),
    Nuclide("I", "131", "iodine", 8.025 * _DAY, False, ("1368003", "C-114B1")),
    Nuclide("Ga", "67", "gallium", 78.28 * _HOUR, False, ("2008008", "C-131A2")),
    Nuclide("Tl", "201", "thallium", 72.9 * _HOUR, False, ("60057003", "C-138A9")),
    Nuclide("Sm", "153", "samarium", 46.28 * _HOUR, False, ("419804008", "C-B1134")),
    Nuclide("Ho", "166", "holmium", 26.8 * _HOUR, False, ("C1943",)),
    Nuclide("Re", "186", "rhenium", 3.719 * _DAY, False, ("395865006", "C-11906")),
    Nuclide("Re", "188", "rhenium", 17.0 * _HOUR, False, ("423578007", "C-1018D")),
    Nuclide("Cu", "67", "copper", 61.83 * _HOUR, False, ("53700003", "C-127A3")),
    Nuclide("Tb", "161", "terbium", 6.95 * _DAY, False),
    Nuclide("Pb", "203", "lead", 51.92 * _HOUR, False, ("47588004", "C-132A8")),
    Nuclide("Pb", "212", "lead", 10.62 * _HOUR, False),
    Nuclide("Ac", "225", "actinium", 9.92 * _DAY, False),
    Nuclide("Ra", "223", "radium", 11.43 * _DAY, False, ("24853006", "C-136A2")),
    Nuclide("Xe", "133", "xenon", 5.2475 * _DAY, False, ("80751004", "C-172A8")),
    Nuclide("Sr", "89", "strontium", 50.56 * _DAY, False, ("7770004", "C-158A6")),
)


@dataclass(frozen=True)
class _Agent:
    name: str
    pattern: str
    sstr_nuclides: frozenset[str] = frozenset()
    codes: tuple[str, ...] = ()


_AGENTS: tuple[_Agent, ...] = (
    _Agent("SiFAlin-TATE", r"sifa[\W_]*lin|si[\W_]*tate\b", frozenset({"F-18"})),
    _Agent("DOTATOC", r"dota[\W_]*toc|edotreotide|somakit", frozenset({"Ga-68", "Cu-64"}), ("C2713594",)),
    _Agent(
        "DOTATATE",
        r"dota[\W_]*tate|oxodotreotide|octreotate|netspot|detectnet",
        frozenset({"Ga-68", "Cu-64"}),
        ("724025002",),
    ),
    _Agent("DOTANOC", r"dota[\W_]*noc", frozenset({"Ga-68", "Cu-64"})),
    _Agent("FDG", r"fdg|flu\w*[\W_]*d\w*[\W_]*glucose", codes=("35321007", "C-B1031", "Y-X1743")),
    _Agent("PSMA", r"psma|piflufolastat|gozetotide", codes=("C118961", "C116352")),
    _Agent("DOPA", r"dopa"),
    _Agent("FAPI", r"\bfapi"),
    _Agent("choline", r"choline"),
    _Agent("sodium fluoride", r"\bnaf\b|sodium[\W_]*fluoride"),
    _Agent("thymidine", r"\bflt\b|thymidine"),
)


@dataclass(frozen=True)
class Tracer:
    """The radiopharmaceutical of a series, as far as its header tells.

    Attributes
    ----------
    agent : str
        Pharmaceutical in this module's spelling ("DOTATOC", "FDG"); empty when unknown.
    nuclides : tuple of Nuclide
        Every radionuclide that the header names, the best supported first; more than one when it contradicts itself.
    half_life_s : float or None
        As written.
    """

    agent: str
    nuclides: tuple[Nuclide, ...]
    half_life_s: float | None

    @property
    def nuclide(self) -> Nuclide | None:
        """The radionuclide that fits the written half-life, else the first one named, else the half-life's."""
        if self.half_life_s is None:
            return self.nuclides[0] if self.nuclides else None
        fitting = [nuclide for nuclide in self.nuclides or NUCLIDES if nuclide.has_half_life(self.half_life_s)]
        return fitting[0] if fitting else (self.nuclides[0] if self.nuclides else None)

    @property
    def name(self) -> str:
        """For example "DOTATOC Ga-68"; empty when nothing is known."""
        return " ".join(part for part in (self.agent, self.nuclide.name if self.nuclide else "") if part)

    @property
    def binds_somatostatin_receptors(self) -> bool:
        """Whether it is one of the SSTR tracers that the models are meant for."""
        allowed = next((agent.sstr_nuclides for agent in _AGENTS if agent.name == self.agent), frozenset())
        return bool(allowed) and (self.nuclide is None or self.nuclide.name in allowed)


def tracer_of(header: Dataset) -> Tracer:
    """Read the tracer of a PET header.

    Looks at Radionuclide Code Sequence (0054,0300), Radiopharmaceutical Code Sequence (0054,0304), Radiopharmaceutical
    (0018,0031) and GE's private names. What contradicts itself is kept: see :attr:`Tracer.nuclides`.
    """
    injected = items(header, "RadiopharmaceuticalInformationSequence")
    item = injected[0] if injected else Dataset()
    nuclide_codes = items(item, "RadionuclideCodeSequence")
    agent_codes = items(item, "RadiopharmaceuticalCodeSequence")
    names = [text(code, "CodeMeaning") for code in (*nuclide_codes, *agent_codes)]
    names += [text(item, "Radiopharmaceutical"), text(header, "Radiopharmaceutical")]
    names += [private_text(header, GE_RADIONUCLIDE), private_text(header, GE_TRACER)]
    # No tracer has a longer name; the limit keeps a hostile header from keeping the patterns busy.
    names = [name[:128] for name in names if name]
    code_values = [text(code, "CodeValue").upper() for code in (*nuclide_codes, *agent_codes)]

    # Names first: a code is easily taken from the wrong line of a table, its meaning is what people read.
    nuclides = [nuclide for name in names for nuclide in _named_nuclides(name)]
    nuclides += [nuclide for value in code_values for nuclide in NUCLIDES if value in nuclide.codes]
    return Tracer(
        _agent(tuple(names), tuple(code_values)), tuple(dict.fromkeys(nuclides)), number(item, "RadionuclideHalfLife")
    )


def tracer_notices(tracer: Tracer) -> tuple[Notice, ...]:
    """Warn where the tracer is none that binds to somatostatin receptors, or is not known."""
    if tracer.binds_somatostatin_receptors:
        return ()
    found = f"The tracer is {tracer.name}" if tracer.agent else "The header does not name the radiopharmaceutical"
    message = (
        f"{found}; the models are meant for somatostatin receptor PET (DOTATOC, DOTATATE, DOTANOC, SiFAlin-TATE), "
        "so that what they say of this series has no ground."
    )
    return (Notice("TRACER_UNEXPECTED", message),)


@lru_cache(maxsize=256)
def _agent(names: tuple[str, ...], code_values: tuple[str, ...]) -> str:
    for agent in _AGENTS:
        if any(code in code_values for code in agent.codes):
            return agent.name
        if any(re.search(agent.pattern, name, re.IGNORECASE) for name in names):
            return agent.name
    return ""


@lru_cache(maxsize=256)
def _named_nuclides(name: str) -> tuple[Nuclide, ...]:
    return tuple(nuclide for nuclide, patterns in _patterns() if any(pattern.search(name) for pattern in patterns))


@cache
def _patterns() -> tuple[tuple[Nuclide, tuple[re.Pattern[str], ...]], ...]:
    """Ways in which people write a nuclide: Ga-68, 68Ga-DOTATATE, ^68^Gallium, GALLIUM 68."""
    found = []
    for nuclide in NUCLIDES:
        symbol, mass, element, gap = nuclide.symbol, nuclide.mass, nuclide.element, r"[\W_]*"
        ways = (
            re.compile(rf"(?<![a-z]){symbol}{gap}{mass}(?!\d)(?!m\b)", re.IGNORECASE),
            re.compile(rf"{element}{gap}{mass}(?!\d)(?!m\b)", re.IGNORECASE),
            re.compile(rf"(?<!\d){mass}{gap}(?:{symbol}|{element})(?![a-z])", re.IGNORECASE),
            re.compile(rf"(?<!\d){mass}{gap}{symbol}(?![a-z])"),
        )
        found.append((nuclide, ways))
    return tuple(found)
