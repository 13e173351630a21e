"""The models as this run configured them: the pipeline of the richest, and what each of the others sees."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING

from ...errors import Code, ModelRefused
from ...models.describe import (
    ForestDescription,
    ModelDescription,
    NetworkDescription,
    describe_model,
)
from ...models.fitted import FittedNetwork
from ...models.presets import Preset
from ...models.pretrained import stages_to_fit
from ...models.registry import MODELS, model_specs
from ...training.store import CT_ENCODER
from ..chapter import Block, Chapter, Folded, Numbers, Plate, Words
from ..figures.combinations import ROW, Combination, combinations
from ..figures.pipeline import MARGIN, WIDTH, pipeline, whole_figure
from ..material.sketch import sketch_of
from ..style import new_figure
from ..wording import listed
from .layers import layer_numbers, layers_table

if TYPE_CHECKING:
    from ...models.encoders import PretrainedEncoder
    from ...training.manifest import Manifest
    from ..content import RunContent

TITLE = "The models"


def chapter(content: RunContent) -> Chapter | None:
    """Fig. 1 of the paper, from what the run was configured to fit."""
    missing: list[str] = []
    described = describe_run(content, missing)
    shown = _richest(content, described)
    blocks: list[Block] = []
    if shown is not None:
        blocks.append(_pipeline_plate(content, shown))
    blocks += [_combinations_plate(content, described), Words(lines=_in_words(content, described))]
    layers = layers_table(described)
    if layers is not None:
        blocks.append(Folded("Every layer of every network", (layers,)))
    return Chapter("pipeline", TITLE, tuple(blocks), tuple(missing))


# --- what the run fits ------------------------------------------------------------------------------------------------


def describe_run(content: RunContent, missing: list[str]) -> dict[str, ModelDescription]:
    """Every model that the run was asked to fit, in numbers; what cannot be described is named in ``missing``."""
    manifest = content.manifest
    preset = manifest.preset_record()
    shape = tuple(manifest.preprocess["shape"])
    described = {}
    for spec in model_specs(manifest.models):
        encoder, stages = None, None
        if spec.ct_encoder == "pretrained":
            try:
                encoder = content.store.ct_encoder()
                stages = _fitted_stages(content, spec.name, preset, encoder)
            except ModelRefused as refusal:
                missing.append(_why_not(spec.title, refusal))
                continue
        described[spec.name] = describe_model(spec, preset, len(manifest.feature_names), encoder, stages, shape)
    return described


def _why_not(title: str, refusal: ModelRefused) -> str:
    if refusal.code is Code.MODEL_MISSING:
        return f"The layers of {title} are not shown: {CT_ENCODER} is not in the run folder. Restore it from a copy."
    return f"The layers of {title} are not shown: {refusal.message} {refusal.remedy}"


def _fitted_stages(content: RunContent, model: str, preset: Preset, encoder: PretrainedEncoder) -> int:
    """How many encoder stages the folds fitted: it depends on the device, so a finished fold is asked."""
    for fold in content.predictions.get(model, ())[:1]:
        fitted = content.store.load_fold(model, fold.repeat, fold.fold)
        if isinstance(fitted, FittedNetwork):
            return fitted.network.trainable_stages
    return stages_to_fit(preset, encoder, gpu=False)


def _richest(content: RunContent, described: Mapping[str, ModelDescription]) -> ModelDescription | None:
    if content.headline.model in described:
        return described[content.headline.model]
    return list(described.values())[-1] if described else None


# --- the pipeline -----------------------------------------------------------------------------------------------------


def _pipeline_plate(content: RunContent, model: ModelDescription) -> Plate:
    sketch = sketch_of(model, content.manifest.feature_names)
    figure = new_figure(WIDTH + 2 * MARGIN, sketch.height + 2 * MARGIN)
    pipeline(whole_figure(figure), sketch)
    title = MODELS[model.model].title
    steps = [step for column in sketch.columns for step in (*column.head, *column.stages, *column.tail)]
    told = "; ".join(": ".join((step.title, ", ".join(step.lines))) for step in (*steps, *sketch.trunk) if step.lines)
    return Plate(
        key="pipeline",
        title=f"The pipeline as configured: {title}",
        alt=f"Flow chart from the inputs at the top to the prediction at the bottom. {told}.",
        text=(
            f"After the paper’s Fig. 1, for {_which(content, model)}. "
            + (
                "Trees need no preparation of the blood values."
                if isinstance(model, ForestDescription)
                else "The sizes are those of the network as it was fitted: channels × voxels (head–foot × front–back × "
                "left–right) that leave a step. Means and deviations come from a fold’s training patients alone."
            )
        ),
        figure=figure,
        numbers=_pipeline_numbers(model),
    )


def _which(content: RunContent, model: ModelDescription) -> str:
    head = content.headline.model
    return (
        f"{MODELS[head].title}, {content.headline_role}"
        if model.model == head
        else f"{MODELS[model.model].title}, since the layers of {MODELS[head].title} cannot be shown"
    )


def _pipeline_numbers(model: ModelDescription) -> Numbers:
    if isinstance(model, ForestDescription):
        return Numbers(
            ("model", "inputs", "trees", "max_depth", "min_samples_leaf"),
            ((model.model, model.inputs, model.trees, model.max_depth, model.min_samples_leaf),),
        )
    return layer_numbers((model,))


# --- every model ------------------------------------------------------------------------------------------------------


def _combinations_plate(content: RunContent, described: Mapping[str, ModelDescription]) -> Plate:
    rows = [_combination(name, described.get(name)) for name in content.manifest.models]
    figure = new_figure(WIDTH + 2 * MARGIN, ROW * (len(rows) + 0.9))
    combinations(whole_figure(figure), rows, ("SR-PET", "CT", "Labs", "CT branch starts", "Weights", "fitted"))
    told = "; ".join(f"{row.title}: {listed(MODELS[row.model].inputs)}" for row in rows)
    return Plate(
        key="combinations",
        title="What each model sees",
        alt=f"One row a model, with a filled disc for each input that it receives. {told}.",
        text="A filled disc: the model receives this input; a ring: it does not. Weights are counted once for every "
        "number that a network holds; a frozen one is the same in every fold. A random forest has trees instead.",
        figure=figure,
        numbers=Numbers(
            ("model", "sr_pet", "ct", "labs", "ct_branch_start", "weights", "fitted_weights", "trees"),
            tuple(_combination_numbers(name, described.get(name)) for name in content.manifest.models),
        ),
    )


def _combination(name: str, model: ModelDescription | None) -> Combination:
    spec = MODELS[name]
    weights = fitted = "–"
    if isinstance(model, NetworkDescription):
        weights, fitted = f"{model.parameters:,}", f"{model.fitted_parameters:,}"
    elif isinstance(model, ForestDescription):
        weights = f"{model.trees} trees"
    return Combination(
        name, spec.title, (spec.uses_pet, spec.uses_ct, spec.uses_labs), (_start(name, model), weights, fitted)
    )


def _start(name: str, model: ModelDescription | None) -> str:
    ct = model.branch("CT") if isinstance(model, NetworkDescription) else None
    if ct is None:
        return "pretrained" if MODELS[name].ct_encoder == "pretrained" else "–"
    if MODELS[name].ct_encoder == "pretrained":
        start = "pretrained" if ct.start == "pretrained" else "random (control)"
        return f"{start}, {ct.frozen_stages} of {len(ct.stages) - 1} frozen"
    return "at random"


def _combination_numbers(name: str, model: ModelDescription | None) -> tuple[str | int | bool | None, ...]:
    spec = MODELS[name]
    network = model if isinstance(model, NetworkDescription) else None
    ct = network.branch("CT") if network else None
    return (
        name,
        spec.uses_pet,
        spec.uses_ct,
        spec.uses_labs,
        ct.start if ct else None,
        network.parameters if network else None,
        network.fitted_parameters if network else None,
        model.trees if isinstance(model, ForestDescription) else None,
    )


def _in_words(content: RunContent, described: Mapping[str, ModelDescription]) -> tuple[str, ...]:
    lines = []
    if any(MODELS[name].uses_images for name in content.manifest.models):
        lines += [_pretraining(content, described), _grid(content)]
    if any(isinstance(model, NetworkDescription) for model in described.values()):
        lines.append(_fitting(content.manifest))
    if any(isinstance(model, ForestDescription) for model in described.values()):
        lines.append("The random forest is scikit-learn’s; a patient’s probability is the mean over its trees.")
    return tuple(line for line in lines if line)


def _fitting(manifest: Manifest) -> str:
    preset = manifest.preset_record()
    optimiser = {"adam": "Adam", "adamw": "AdamW"}[preset.optimiser.name]
    stop = (
        f"at most {preset.epochs} epochs, stopped after {preset.patience} without a lower loss on "
        f"{100 * preset.inner_validation:.0f} % of the training patients set aside"
        if preset.patience
        else f"{preset.epochs} epochs on all training patients"
    )
    return (
        f"The networks were fitted with {optimiser} (learning rate {preset.optimiser.learning_rate:g}, weight decay "
        f"{preset.optimiser.weight_decay:g}) to the binary cross-entropy, "
        f"{'unweighted' if preset.class_weighting == 'none' else 'weighted by class'}, {preset.batch_size} patients a "
        f"batch, {stop}; preset “{manifest.preset}”. Every value of the preset stands under “How it was made”."
    )


def _pretraining(content: RunContent, described: Mapping[str, ModelDescription]) -> str:
    """What was frozen, and what was pretrained on what."""
    with_encoder = [name for name in content.manifest.models if MODELS[name].ct_encoder == "pretrained"]
    if not with_encoder:
        return "Nothing in this run was pretrained or frozen: every network starts at random in every fold."
    source = content.manifest.pretrained
    told = f"In {MODELS[with_encoder[0]].title}, the CT branch is the encoder of a SegResNet. "
    model = described.get(with_encoder[0])
    ct = model.branch("CT") if isinstance(model, NetworkDescription) else None
    if content.manifest.preset_record().ct_init == "random":
        told += "As a control it starts at random, not pretrained"
    elif source is None:
        told += "The run does not say what it was pretrained on"
    else:
        told += f"It was pretrained on: {source.source} (weights {source.sha256[:12]}…)"
        told += _dice(content) if ct is not None else ""
    told += ". "
    if ct is not None:
        stages = len(ct.stages) - 1
        fitted = stages - ct.frozen_stages
        frozen = sum(stage.parameters - stage.fitted_parameters for stage in ct.stages)
        told += (
            f"No fold changes the first {ct.frozen_stages} of its {stages} stages ({frozen:,} frozen weights); "
            if ct.frozen_stages
            else "None of it is frozen; "
        )
        told += (
            f"the last {'stage' if fitted == 1 else f'{fitted} stages'} and the embedding are fitted. "
            if fitted
            else "only the embedding is fitted. "
        )
    return told + "All other branches start at random in every fold and are fitted whole."


def _dice(content: RunContent) -> str:
    dice = content.store.ct_encoder().dice
    return "" if dice is None else f", reaching a mean organ Dice of {dice:.2f} on phantoms kept aside"


def _grid(content: RunContent) -> str:
    """How large a model voxel is."""
    shape = tuple(content.manifest.preprocess["shape"])
    images = content.cohort.images
    if not images:
        return ""
    sides = [median(image.field_of_view_mm[axis] for image in images) / shape[axis] for axis in range(3)]
    return (
        f"PET and CT are averaged by area to one grid of {' × '.join(map(str, shape))} voxels; a voxel measures "
        f"{' × '.join(f'{side:.1f}' for side in sides)} mm (head–foot × front–back × left–right, median over patients)."
    )
