"""The seven models of the paper as data: what each sees and how its CT branch starts (section 2.5, Fig. 1).

Everything else in the house reads these records; nowhere does code ask for a model by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from ..errors import Code, ModelRefused

MOST_INPUTS = 1000
"""Tabular inputs of one model."""

Kind = Literal["forest", "network"]
CtEncoder = Literal["none", "scratch", "pretrained"]
Family = Literal["labs", "unimodal", "one_image", "two_image"]


@dataclass(frozen=True)
class ModelSpec:
    """What one model is made of.

    Attributes
    ----------
    name : str
        Registry key, as on the command line.
    title : str
        For tables and figures.
    kind : {"forest", "network"}
    uses_pet, uses_ct, uses_labs : bool
        The inputs it receives; an input that it does not use is passed as None.
    ct_encoder : {"none", "scratch", "pretrained"}
        How the CT branch starts.
    family : {"labs", "unimodal", "one_image", "two_image"}
        Group in the comparisons of the paper's section 2.6; "labs" counts as unimodal there.
    """

    name: str
    title: str
    kind: Kind
    uses_pet: bool
    uses_ct: bool
    uses_labs: bool
    ct_encoder: CtEncoder
    family: Family

    @property
    def uses_images(self) -> bool:
        """Whether the model sees the PET or the CT."""
        return self.uses_pet or self.uses_ct

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs in words, in the order in which they are fused."""
        used = (("SR-PET", self.uses_pet), ("CT", self.uses_ct), ("labs", self.uses_labs))
        return tuple(name for name, present in used if present)


_ENTRIES = (
    ModelSpec("rf_labs", "Random forest (labs)", "forest", False, False, True, "none", "labs"),
    ModelSpec("pet", "SR-PET", "network", True, False, False, "none", "unimodal"),
    ModelSpec("ct", "CT", "network", False, True, False, "scratch", "unimodal"),
    ModelSpec("pet_labs", "SR-PET + labs", "network", True, False, True, "none", "one_image"),
    ModelSpec("ct_labs", "CT + labs", "network", False, True, True, "scratch", "one_image"),
    ModelSpec("pet_ct_labs", "SR-PET + CT + labs", "network", True, True, True, "scratch", "two_image"),
    ModelSpec(
        "pet_ct_labs_pretrained",
        "SR-PET + pretrained CT + labs",
        "network",
        True,
        True,
        True,
        "pretrained",
        "two_image",
    ),
)

MODELS: Mapping[str, ModelSpec] = MappingProxyType({spec.name: spec for spec in _ENTRIES})
"""Every model by name, in the order of the paper's Table 2."""


def model_spec(name: str) -> ModelSpec:
    """The registry entry of a model.

    Raises
    ------
    ModelRefused
        ``MODEL_MISSING`` when no model has that name; the remedy lists the names.
    """
    try:
        return MODELS[name]
    except KeyError:
        raise ModelRefused(
            Code.MODEL_MISSING,
            f"There is no model named “{name}”.",
            where="models",
            remedy=f"Choose among: {', '.join(MODELS)}.",
        ) from None


def model_specs(names: Iterable[str] = ()) -> tuple[ModelSpec, ...]:
    """The named models, each once and in the registry's order; all seven when no name is given.

    Raises
    ------
    ModelRefused
        As :func:`model_spec`.
    """
    wanted = {model_spec(name).name for name in names} or set(MODELS)
    return tuple(spec for spec in MODELS.values() if spec.name in wanted)
