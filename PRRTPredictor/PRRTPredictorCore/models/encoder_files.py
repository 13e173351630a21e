"""A pretrained encoder as one safetensors file: the weights, and in its header where they come from."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from ..errors import Code, ModelRefused
from ..files import write_bytes
from ..freetext import one_line
from ..jsontext import parsed
from .encoders import ENCODER_PARTS, ENCODER_STAGES, PretrainedEncoder, build_segresnet
from .weights import (
    layout_of,
    pack_tensors,
    read_whole,
    refuse_other_layout,
    tensors_sha256,
    unpack_facts,
    unpack_tensors,
)

_FACTS = "encoder"
_REMEDY = "Use the file as it was written, or train again."


def pack_encoder(encoder: PretrainedEncoder) -> bytes:
    """The content of an encoder's file."""
    facts = {
        "source": encoder.source,
        "init_filters": encoder.init_filters,
        "blocks_down": encoder.blocks_down,
        "num_groups": encoder.num_groups,
        "hu_window": encoder.hu_window,
        "sha256": encoder.sha256,
        "dice": encoder.dice,
    }
    return pack_tensors(encoder.tensors, {_FACTS: json.dumps(facts)})


def unpack_encoder(content: bytes, where: str) -> PretrainedEncoder:
    """The encoder in a file's content.

    Raises
    ------
    ModelRefused
        ``WEIGHTS_MISMATCH`` when it is no encoder's file, or its weights do not make the encoder that it describes;
        ``MODEL_TAMPERED`` when the weights are not those it names.
    """
    tensors, facts = unpack_tensors(content, where), unpack_facts(content, where)
    try:
        stated = parsed(facts[_FACTS])
        low, high = stated["hu_window"]
        encoder = PretrainedEncoder(
            source=one_line(str(stated["source"])),
            tensors=tensors,
            init_filters=int(stated["init_filters"]),
            blocks_down=tuple(int(blocks) for blocks in stated["blocks_down"]),
            num_groups=int(stated["num_groups"]),
            hu_window=(float(low), float(high)),
            sha256=str(stated["sha256"]),
            dice=None if stated["dice"] is None else float(stated["dice"]),
        )
        _refuse_other_encoder(encoder, where)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelRefused(
            Code.WEIGHTS_MISMATCH, "The file holds no pretrained encoder.", where=where, remedy=_REMEDY
        ) from error
    if tensors_sha256(tensors) != encoder.sha256:
        raise ModelRefused(
            Code.MODEL_TAMPERED,
            "The encoder's weights are not those that its header names.",
            where=where,
            remedy="Restore the file from where it came, or train again.",
        )
    return encoder


def _refuse_other_encoder(encoder: PretrainedEncoder, where: str) -> None:
    """Refuse sizes that no encoder has as a ValueError, and weights that do not make the one described."""
    low, high = encoder.hu_window
    possible = (
        len(encoder.blocks_down) == ENCODER_STAGES
        and all(1 <= blocks <= 16 for blocks in encoder.blocks_down)
        and 1 <= encoder.num_groups <= encoder.init_filters <= 256
        and encoder.init_filters % encoder.num_groups == 0
        and -1e6 < low < high < 1e6  # NaN is not
        and (encoder.dice is None or 0 <= encoder.dice <= 1)
    )
    if not possible:
        raise ValueError("no sizes of an encoder")
    with torch.device("meta"):
        whole = build_segresnet(encoder.init_filters, encoder.blocks_down, encoder.num_groups, out_channels=1)
    layout = layout_of(whole.state_dict())
    described = {name: shape for name, shape in layout.items() if name.startswith(ENCODER_PARTS)}
    refuse_other_layout(described, layout_of(encoder.tensors), where, _REMEDY)
    if any(tensor.dtype != torch.float32 or not bool(tensor.isfinite().all()) for tensor in encoder.tensors.values()):
        raise ValueError("weights that are no numbers")


def write_encoder(path: Path, encoder: PretrainedEncoder) -> None:
    """Write an encoder's file, whole or not at all."""
    write_bytes(path, pack_encoder(encoder))


def read_encoder(path: Path) -> PretrainedEncoder:
    """Read an encoder's file.

    Raises
    ------
    ModelRefused
        ``MODEL_MISSING`` when it is not there; otherwise as :func:`unpack_encoder`.
    """
    return unpack_encoder(read_whole(path), path.name)
