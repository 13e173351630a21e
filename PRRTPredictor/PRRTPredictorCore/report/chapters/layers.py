"""The networks layer by layer, as a table for the chapter on the models."""

from __future__ import annotations

from collections.abc import Mapping

from ...models.describe import ModelDescription, NetworkDescription, StageDescription
from ...models.registry import MODELS
from ..chapter import Numbers, Table

_KINDS: Mapping[str, str] = {
    "convolution": "first convolution",
    "residual": "residual blocks",
    "histogram": "intensity histogram",
    "embedding": "pooling and linear layer",
    "mlp": "MLP layer",
    "output": "output",
}


def layers_table(described: Mapping[str, ModelDescription]) -> Table | None:
    """Every layer of every network; None without a network."""
    networks = [model for model in described.values() if isinstance(model, NetworkDescription)]
    if not networks:
        return None
    rows: list[tuple[str, ...]] = []
    for model in networks:
        rows.append((MODELS[model.model].title,))
        rows += [
            (
                f"{branch}: {_KINDS[stage.kind]}",
                " × ".join(str(side) for side in stage.shape),
                f"{stage.parameters:,}",
                f"{stage.fitted_parameters:,}",
            )
            for branch, stage in _steps(model)
        ]
        rows.append(("all", "", f"{model.parameters:,}", f"{model.fitted_parameters:,}"))
    return Table(
        key="layers",
        title="The networks, layer by layer",
        header=("", "Output", "Weights", "fitted by a fold"),
        rows=tuple(rows),
        note="Output: channels × voxels (head–foot × front–back × left–right), or a count of numbers.",
        numbers=layer_numbers(tuple(networks)),
    )


def _steps(model: NetworkDescription) -> list[tuple[str, StageDescription]]:
    own = [(branch.input, stage) for branch in model.branches for stage in branch.stages]
    return own + [("fusion", stage) for stage in model.mlp]


def layer_numbers(models: tuple[NetworkDescription, ...]) -> Numbers:
    """The same for the CSV file."""
    return Numbers(
        ("model", "branch", "layer", "output_k_j_i", "output_channels", "weights", "fitted_weights"),
        tuple(
            (
                model.model,
                branch,
                stage.kind,
                "x".join(str(side) for side in stage.shape[1:]) or None,
                stage.shape[0],
                stage.parameters,
                stage.fitted_parameters,
            )
            for model in models
            for branch, stage in _steps(model)
        ),
    )
