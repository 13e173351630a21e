"""A pretrained encoder as one safetensors file: the weights, and in its header where they come from."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import Code, ModelRefused
from ..files import write_bytes
from .encoders import PretrainedEncoder
from .weights import pack_tensors, read_whole, tensors_sha256, unpack_facts, unpack_tensors

_FACTS = "encoder"


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
        ``WEIGHTS_MISMATCH`` when it is no encoder's file, ``MODEL_TAMPERED`` when the weights are not those it names.
    """
    tensors, facts = unpack_tensors(content, where), unpack_facts(content, where)
    try:
        stated = json.loads(facts[_FACTS])
        low, high = stated["hu_window"]
        encoder = PretrainedEncoder(
            source=str(stated["source"]),
            tensors=tensors,
            init_filters=int(stated["init_filters"]),
            blocks_down=tuple(int(blocks) for blocks in stated["blocks_down"]),
            num_groups=int(stated["num_groups"]),
            hu_window=(float(low), float(high)),
            sha256=str(stated["sha256"]),
            dice=None if stated["dice"] is None else float(stated["dice"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelRefused(
            Code.WEIGHTS_MISMATCH,
            "The file holds no pretrained encoder.",
            where=where,
            remedy="Use the file as it was written, or train again.",
        ) from error
    if tensors_sha256(tensors) != encoder.sha256:
        raise ModelRefused(
            Code.MODEL_TAMPERED,
            "The encoder's weights are not those that its header names.",
            where=where,
            remedy="Restore the file from where it came, or train again.",
        )
    return encoder


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
