"""What a stored preset or image preparation may ask for: far beyond any use, far below what exhausts a machine.

A model folder's hashes tell damage, not who wrote it, so that its sizes are never taken on trust.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from ..imaging.preprocess import PreprocessConfig
from .presets import NetworkSettings, Preset, PretrainingSettings


def refuse_absurd_preset(preset: Preset) -> None:
    """Refuse, as a ValueError naming the setting, sizes that no preset has."""
    for name, values, low, high in (
        *_network_sizes(preset.network),
        *_pretraining_sizes(preset.pretraining),
        ("forest.trees", (preset.forest.trees,), 1, 100_000),
        ("batch_size", (preset.batch_size,), 1, 10_000),
        ("ct_trainable_stages", (preset.ct_trainable_stages, preset.ct_trainable_stages_gpu), 0, 4),
    ):
        _refuse_outside(name, values, low, high)
    for name, window in (("suv_window", preset.suv_window), ("hu_window", preset.hu_window)):
        if window is not None and not window[0] < window[1]:
            raise ValueError(f"{name} is empty")
    if not 1 <= len(preset.network.widths) <= 8:
        raise ValueError("network.widths names no stage, or too many")
    for name, levels in (("pet_levels", preset.network.pet_levels), ("ct_levels", preset.network.ct_levels)):
        if len(levels) > 256 or len(levels) == 1 or list(levels) != sorted(set(levels)):
            raise ValueError(f"network.{name} are not a few rising levels")


def refuse_absurd_preparation(config: PreprocessConfig) -> None:
    """Refuse, as a ValueError naming the setting, a grid that no machine should be asked to fill."""
    _refuse_outside("preprocess.shape", config.shape, 1, 1024)
    _refuse_outside("preprocess.shape, in voxels", (prod(config.shape),), 1, 1 << 24)
    _refuse_outside("preprocess.fine_mm", (config.fine_mm,), 1, 1000)
    if not config.hu_limits[0] < config.hu_limits[1]:
        raise ValueError("preprocess.hu_limits are empty")


def _network_sizes(network: NetworkSettings) -> Iterable[tuple[str, tuple[float, ...], float, float]]:
    yield "network.widths", network.widths, 1, 4096
    yield "network.stem_kernel", (network.stem_kernel,), 1, 31
    yield "network.stem_stride", (network.stem_stride,), 1, 31
    yield "network.embedding", (network.embedding,), 1, 4096
    yield "network.mlp_widths", network.mlp_widths, 1, 4096
    yield "network.dropout", (network.dropout, network.feature_dropout), 0, 1


def _pretraining_sizes(pretraining: PretrainingSettings) -> Iterable[tuple[str, tuple[float, ...], float, float]]:
    yield "pretraining.init_filters", (pretraining.init_filters,), 1, 256
    yield "pretraining.blocks_down", pretraining.blocks_down, 1, 16
    yield "pretraining.blocks_down, in stages", (len(pretraining.blocks_down),), 1, 8
    yield "pretraining.shape", pretraining.shape, 1, 1024


def _refuse_outside(name: str, values: Iterable[float], low: float, high: float) -> None:
    if any(not low <= value <= high for value in values):
        raise ValueError(f"{name} is not within {low:g} to {high:g}")
