"""The laboratory values as a clinician types them: what is wrong at each field, in words, and the checked labs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from PRRTPredictorCore.cohort.labs import (
    MAX_SAMPLING_AGE_DAYS,
    LabUnits,
    check_sampling_date,
    lab_notices,
    lab_value,
    make_labs,
)
from PRRTPredictorCore.errors import LabRefused
from PRRTPredictorCore.records import LABS, Labs
from PRRTPredictorLib.Translation import tr as _

SAMPLED_ON, FIRST_CYCLE = "sampledOn", "firstCycle"

_UNREMARKABLE = {"ast": 30.0, "alt": 30.0, "ggt": 40.0, "cga": 100.0}
"""Values on which the core remarks nothing, in U/L and µg/L."""


@dataclass(frozen=True)
class LabEntry:
    """One field: the value as typed, None or NaN where the field is empty, and the unit chosen beside it."""

    value: float | None = None
    unit: str = ""

    @property
    def given(self) -> bool:
        """Whether anything was typed."""
        return self.value is not None and not math.isnan(self.value)


@dataclass(frozen=True)
class LabSheet:
    """The four labs with their units, and the two dates that decide whether they are recent enough.

    Attributes
    ----------
    ast, alt, ggt, cga : LabEntry
        Units in any spelling that the core accepts; "" means U/L, for CgA µg/L.
    sampledOn, firstCycle : date or None
        When the blood was taken and when the first PRRT cycle is given.
    """

    ast: LabEntry = LabEntry()
    alt: LabEntry = LabEntry()
    ggt: LabEntry = LabEntry()
    cga: LabEntry = LabEntry()
    sampledOn: date | None = None
    firstCycle: date | None = None

    def entries(self) -> Mapping[str, LabEntry]:
        """The four fields by the names of ``records.LABS``."""
        return {name: getattr(self, name) for name in LABS}

    def labs(self) -> Labs:
        """The checked labs in U/L and µg/L.

        Raises
        ------
        LabRefused
            The first problem of a value or unit, or ``LAB_DATE``: blood taken after the first cycle or more than 28
            days before it.
        """
        entries = self.entries()
        labs = make_labs(
            **{name: entry.value for name, entry in entries.items()},
            units=LabUnits(**{name: entry.unit for name, entry in entries.items()}),
            sampled_on=self.sampledOn,
        )
        self._checkDates()
        return labs

    def remarks(self) -> dict[str, str]:
        """What to say at each field that needs a word: "ast" … "cga", "sampledOn", "firstCycle".

        Refusals and what is possible but unusual alike; a field in order has no entry.
        """
        return {
            **self._unusual(),
            **self._openDates(),
            **{name: _inWords(why) for name, why in self._refusals().items()},
        }

    @property
    def deRitis(self) -> float | None:
        """AST / ALT; None until both can be used."""
        values = self._values()
        return values["ast"] / values["alt"] if {"ast", "alt"} <= values.keys() else None

    def words(self) -> list[str]:
        """The options of ``prrt predict`` that say the same.

        Raises
        ------
        LabRefused
            As :meth:`labs`.
        """
        self.labs()
        words = []
        for name, entry in self.entries().items():
            # The "=" keeps a value from being taken for an option; repr keeps every digit.
            words.append(f"--{name}={float(entry.value or 0)!r}")
            if entry.unit:
                words.append(f"--{name}-unit={entry.unit}")
        for option, day in (("--labs-date", self.sampledOn), ("--prrt-start", self.firstCycle)):
            if day is not None:
                words.append(f"{option}={day.isoformat()}")
        return words

    def _values(self) -> dict[str, float]:
        """The labs that can be used, in U/L and µg/L."""
        found = {}
        for name, entry in self.entries().items():
            try:
                found[name] = lab_value(name, entry.value, entry.unit)
            except LabRefused:
                continue
        return found

    def _refusals(self) -> dict[str, LabRefused]:
        found = {}
        for name, entry in self.entries().items():
            try:
                lab_value(name, entry.value, entry.unit)
            except LabRefused as refusal:
                found[name] = refusal
        try:
            self._checkDates()
        except LabRefused as refusal:
            found[SAMPLED_ON] = refusal
        return found

    def _checkDates(self) -> None:
        if self.sampledOn is not None and self.firstCycle is not None:
            check_sampling_date(self.sampledOn, self.firstCycle)

    def _unusual(self) -> dict[str, str]:
        """What can be used but deserves a second look; a ratio that does stands at ALT, where the eye goes second."""
        values = self._values()
        found = {}
        for name, value in values.items():
            alone = _noticed({name: value}, "LAB_UNUSUAL")
            if alone:
                found[name] = alone
        extreme = _noticed(values, "DE_RITIS_EXTREME") if {"ast", "alt"} <= values.keys() else ""
        if extreme:
            found["alt"] = f"{found['alt']} {extreme}" if "alt" in found else extreme
        return found

    def _openDates(self) -> dict[str, str]:
        if self.sampledOn is None:
            said = _(
                "No sampling date: whether the blood is from the {days} days before the first cycle is not checked."
            )
            return {SAMPLED_ON: said.format(days=MAX_SAMPLING_AGE_DAYS)}
        if self.firstCycle is None:
            said = _("No date of the first cycle: whether the blood is from the {days} days before it is not checked.")
            return {FIRST_CYCLE: said.format(days=MAX_SAMPLING_AGE_DAYS)}
        return {}


def _noticed(values: Mapping[str, float], code: str) -> str:
    """What the core remarks on these labs, the others being as nobody would remark on them."""
    ast, alt, ggt, cga = ({**_UNREMARKABLE, **values}[name] for name in LABS)
    labs = Labs(ast, alt, ggt, cga)
    return " ".join(notice.message for notice in lab_notices(labs) if notice.code == code)


def _inWords(refusal: LabRefused) -> str:
    return f"{refusal.message} {refusal.remedy}"
