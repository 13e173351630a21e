"""What several answers draw on: counts, inputs, and what was left out of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ...cohort.labs import input_title
from ...models.registry import MODELS
from ...records import LABS, CohortPatient
from ..chapters import CHAPTERS
from ..content import RunContent
from ..material.categories import Category
from ..wording import listed
from .items import ItemAnswer

Answering = Callable[[RunContent], ItemAnswer]

NO_EVALUATION = "This run develops models and validates them internally; it holds no evaluation on other patients."

_BY: Mapping[str, str] = {"scanner": "scanner", "contrast": "contrast phase", "age": "age group"}

CHARACTERISTICS: Mapping[str, Callable[[CohortPatient], bool]] = {
    "age": lambda one: one.characteristics.age_years is not None,
    "sex": lambda one: one.characteristics.sex != "unknown",
    "primary tumour": lambda one: one.characteristics.primary != "unknown",
    "metastases": lambda one: bool(one.characteristics.metastases),
    "functionality": lambda one: one.characteristics.functional != "unknown",
    "grade": lambda one: one.characteristics.grade != "unknown",
    "Ki-67": lambda one: one.characteristics.ki67_percent is not None,
    "PRRT cycles": lambda one: one.characteristics.prrt_cycles is not None,
    "contrast phase": lambda one: one.characteristics.contrast_ct != "unknown",
    "scanner": lambda one: bool(one.characteristics.scanner),
}
"""Whether a characteristic is known of a patient."""


def outcome_counts(content: RunContent) -> tuple[int, int]:
    """Patients with short and with long PFS."""
    long = sum(content.long.values())
    return len(content.long) - long, long


def uses_images(content: RunContent) -> bool:
    """Whether any model of the run sees an image."""
    return any(MODELS[name].uses_images for name in content.manifest.models)


def extra_inputs(content: RunContent) -> list[str]:
    """Tabular inputs beside the paper's four."""
    return [input_title(name) for name in content.manifest.feature_names if name not in LABS]


def sees(content: RunContent, what: str) -> bool:
    """Whether any model of the run sees this input: "SR-PET", "CT" or "labs"."""
    return any(what in MODELS[name].inputs for name in content.manifest.models)


def span(sizes: Sequence[int]) -> str:
    """Smallest and largest: "77 to 78", or the one number."""
    low, high = min(sizes), max(sizes)
    return str(low) if low == high else f"{low} to {high}"


def left_out(content: RunContent, *keys: str) -> str:
    """What the authors owe where chapters were left out of the report; empty where none was."""
    titles = [entry.title for entry in CHAPTERS if entry.key in keys and entry.key in content.request.without]
    return f"what was left out of this report ({', '.join(titles)})." if titles else ""


def pointing(content: RunContent, key: str, words: str) -> str:
    """Words that point to a chapter; nothing where the report has not got it."""
    return "" if key in content.request.without else words


def within(content: RunContent, categories: Sequence[Category]) -> str:
    """By what the chapter of subgroups scores every model; empty where nothing is known or it was left out."""
    known = [_BY.get(one.key, one.title.lower()) for one in categories if any(one.of.values())]
    if not known or "subgroups" in content.request.without:
        return ""
    return f"Every model was also scored by {listed(known)}, wherever a subgroup holds enough patients."


def left_to_authors(what: str) -> Answering:
    """An item of which a run knows nothing."""
    return lambda content: ItemAnswer(authors=what)


def inputs_in_words(content: RunContent) -> str:
    """Every input of any model, with its unit."""
    parts = [f"{name} ({unit})" for name, unit in (("SR-PET", "SUVbw"), ("CT", "HU")) if sees(content, name)]
    if sees(content, "labs"):
        labs = [input_title(name) for name in content.manifest.feature_names if name in LABS]
        parts.append(f"{listed(labs)} (U/L; CgA µg/L)")
        parts += [f"{name} (as in the cohort table)" for name in extra_inputs(content)]
    return "; ".join(parts)
