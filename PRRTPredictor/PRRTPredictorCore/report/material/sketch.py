"""A model's description put into the boxes of the pipeline figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...cohort.labs import input_title
from ...models.describe import (
    BranchDescription,
    ForestDescription,
    ModelDescription,
    NetworkDescription,
    StageDescription,
)
from ...records import LABS
from ..figures.pipeline import Column, Look, Sketch, Step
from ..style import LONG_COLOUR, SHORT_COLOUR
from ..wording import counted

LAB_UNITS: Mapping[str, str] = {"ast": "U/L", "alt": "U/L", "ggt": "U/L", "cga": "µg/L"}
IMAGE_UNITS: Mapping[str, str] = {"SR-PET": "SUV", "CT": "HU"}

_COLOURS: Mapping[str, str] = {"SR-PET": SHORT_COLOUR, "CT": LONG_COLOUR, "labs": "#009e73"}
_LONGEST_LINE = 36
_PREDICTION = Step("Prediction", ("probability of PFS over 1 year; group “long” from 0.5",))


def sketch_of(model: ModelDescription, feature_names: Sequence[str]) -> Sketch:
    """The pipeline of a model, from its inputs to its prediction.

    Parameters
    ----------
    feature_names : sequence of str
        The tabular inputs in order.
    """
    return _forest(model, feature_names) if isinstance(model, ForestDescription) else _network(model, feature_names)


def _network(model: NetworkDescription, names: Sequence[str]) -> Sketch:
    columns = tuple(_column(model, branch, names) for branch in model.branches)
    inputs = " + ".join(str(branch.outputs) for branch in model.branches)
    widths = " → ".join(str(layer.shape[0]) for layer in model.mlp[:-1])
    fusion = (Step("Fusion: side by side", (f"{inputs} = {model.fused_inputs} numbers",)),) if len(columns) > 1 else ()
    mlp = Step(
        "MLP, three layers", (f"{model.fused_inputs} → {widths} → 1, GELU, dropout {model.dropout:g}",), "fitted"
    )
    embedding = Step("Embeddings", (f"{model.mlp[-2].shape[0]} numbers: map and scores",), "derived")
    return Sketch(columns, (*fusion, mlp, _PREDICTION), ((len(fusion), embedding),))


def _column(model: NetworkDescription, branch: BranchDescription, names: Sequence[str]) -> Column:
    colour = _COLOURS[branch.input]
    if branch.input == "labs":
        derived = Step("Importance of blood values", ("gradient × input; shuffling",), "derived")
        head = (_labs(names), Step("Preparation", _lab_preparation(branch.log1p)))
        return Column(colour, head, derived=derived)
    size = " × ".join(str(side) for side in branch.shape)
    unit = {"SR-PET": "SUVbw", "CT": "HU"}[branch.input]
    own = [stage for stage in branch.stages if stage.kind in {"convolution", "residual"}]
    histogram = next((stage for stage in branch.stages if stage.kind == "histogram"), None)
    last = branch.stages[-1]
    return Column(
        colour,
        head=(Step(branch.input, (f"{size} voxels, {unit}",)), Step("Preparation", _image_preparation(branch))),
        stages=tuple(_stage_step(model, branch, stage, place) for place, stage in enumerate(own)),
        beside=Step("Histogram", ("of intensity", "in thirds", "of the body:", f"{histogram.shape[0]} shares"))
        if histogram
        else None,
        tail=(Step("Pooling and linear layer", (f"embedding of {last.shape[0]} numbers",), "fitted"),),
        derived=Step("Saliency", ("gradient of the prediction by voxel",), "derived"),
    )


def _labs(names: Sequence[str]) -> Step:
    by_unit: dict[str, list[str]] = {}
    for name in names:
        if name in LABS:
            by_unit.setdefault(LAB_UNITS[name], []).append(input_title(name))
    lines = [", ".join(f"{', '.join(labs)} ({unit})" for unit, labs in by_unit.items())]
    extras = [input_title(name) for name in names if name not in LABS]
    if extras:
        together = ", ".join(extras)
        lines.append(together if len(together) < _LONGEST_LINE else counted(len(extras), "further input"))
    return Step("Blood values", tuple(lines))


def _lab_preparation(log1p: bool) -> tuple[str, ...]:
    return (("log(1 + value), " if log1p else "") + "z-score",)


def _image_preparation(branch: BranchDescription) -> tuple[str, ...]:
    unit = IMAGE_UNITS[branch.input]
    if branch.window is None:
        return (f"no window of {unit}, z-score",)
    low, high = (f"{limit:g}".replace("-", "−") for limit in branch.window)
    return (f"{low} to {high} {unit}, " + ("z-score" if branch.standardised else "scaled to ±1"),)


def _stage_step(model: NetworkDescription, branch: BranchDescription, stage: StageDescription, place: int) -> Step:
    size = " × ".join(str(side) for side in stage.shape)
    look: Look = "frozen" if stage.frozen else "fitted"
    if stage.kind == "convolution":
        return Step(f"{model.stem_kernel}³ convolution", (f"stride {model.stem_stride}", size), look)
    if branch.start == "random" and branch.standardised:
        return Step("Residual unit", (size,), look)
    return Step(f"Encoder stage {place + 1}, {look}", (size,), look)


def _forest(model: ForestDescription, names: Sequence[str]) -> Sketch:
    depth = "any depth" if model.max_depth is None else f"at most {model.max_depth} splits deep"
    leaf = counted(model.min_samples_leaf, "patient")
    derived = Step("Importance of blood values", ("decision paths; shuffling on held-out folds",), "derived")
    return Sketch(
        columns=(Column(_COLOURS["labs"], (_labs(names),), derived=derived),),
        trunk=(
            Step("Random forest", (f"{model.trees} trees, {depth}, leaves of {leaf} or more",), "fitted"),
            _PREDICTION,
        ),
    )
