"""How the report prints numbers: with no more figures than they deserve, and evidence in words."""

from __future__ import annotations

import math

NO_EVIDENCE = "no evidence"


def evidence(p: float) -> str:
    """How much a p-value, corrected for the number of tests, supports a difference, in words."""
    if not p < 0.05:
        return NO_EVIDENCE
    return "some evidence" if p >= 0.01 else "clear evidence"


def printed_p(p: float) -> str:
    """A p-value for a table; a dash where there is none."""
    if not math.isfinite(p):
        return "–"
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def with_sign(p: float) -> str:
    """A p-value after the letter p: "= 0.009", "< 0.001"."""
    printed = printed_p(p)
    return printed if printed.startswith("<") else f"= {printed}"


def minus(number: str) -> str:
    """A printed number with a true minus sign."""
    return number.replace("-", "−")


def printed(value: float, form: str = ".2f") -> str:
    """A number in the given format with a true minus sign, none before zero; a dash where it is undefined."""
    if not math.isfinite(value):
        return "–"
    text = format(value, form)
    return minus(text if text.strip("-+0.") else text.lstrip("-+"))


def printed_interval(bounds: tuple[float, float], form: str = ".2f") -> str:
    """An interval with true minus signs: "[−0.10, 0.25]"; a dash where it could not be estimated."""
    return f"[{printed(bounds[0], form)}, {printed(bounds[1], form)}]" if math.isfinite(bounds[0]) else "–"


def printed_months(value: float) -> str:
    """A survival time: "15.7 months", or "not reached" where it is infinite or undefined."""
    return f"{value:.1f} months" if math.isfinite(value) else "not reached"


def percent(count: int, of: int) -> str:
    """A count with its share: "36 (31 %)"; the count alone when there is nothing to share."""
    return f"{count} ({100 * count / of:.0f} %)" if of else f"{count}"


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun: "1 fit", "3 fits"; ``many`` where an s does not do."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Names in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1] if names else "") if part)


def capitalised(sentence: str) -> str:
    """The sentence with a capital first letter, all others left alone."""
    return sentence[:1].upper() + sentence[1:]


def defined(value: float) -> float | None:
    """A number for a CSV file: None where it is undefined or infinite."""
    return float(value) if math.isfinite(value) else None
