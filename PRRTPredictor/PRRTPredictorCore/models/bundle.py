"""A packed model on disk, in MONAI's bundle layout: safetensors, JSON and a model card, each with its SHA-256.

Nothing in it is ever executed, and a file is parsed only after its hash agreed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Code, InputRefused, ModelRefused
from ..files import published_folder, require_folder_target
from ..records import ModelIdentity
from .bundle_files import (
    CARD,
    ENCODER,
    HASHES,
    INFERENCE,
    METADATA,
    member_names,
    overall,
    parse_metadata,
    read_checked,
    read_hashes,
)
from .device import resolve_device
from .encoder_files import pack_encoder, unpack_encoder
from .encoders import PretrainedEncoder
from .fitted import FittedModel, FittedNetwork, undefined
from .forest import FittedForest
from .metadata import BundleMetadata, inference_config, model_card, monai_metadata
from .registry import ModelSpec
from .weights import pack_tensors, unpack_tensors


@dataclass(frozen=True, eq=False)
class LoadedBundle:
    """A packed model, ready to answer.

    Attributes
    ----------
    members : tuple of FittedModel
        The fold ensemble.
    identity : ModelIdentity
        Its SHA-256 covers every file of the folder.
    """

    members: tuple[FittedModel, ...]
    metadata: BundleMetadata
    identity: ModelIdentity

    @property
    def spec(self) -> ModelSpec:
        """The registry entry."""
        return self.metadata.spec

    @property
    def networks(self) -> tuple[FittedNetwork, ...]:
        """The members that are networks: all of them, or none for a forest."""
        return tuple(member for member in self.members if isinstance(member, FittedNetwork))

    @property
    def forests(self) -> tuple[FittedForest, ...]:
        """The members that are forests: all of them, or none for networks."""
        return tuple(member for member in self.members if isinstance(member, FittedForest))


def save_bundle(
    out: Path,
    members: Sequence[FittedModel],
    metadata: BundleMetadata,
    ct_encoder: PretrainedEncoder | None = None,
) -> ModelIdentity:
    """Write a model folder, whole or not at all; an older model folder of that name is replaced.

    Parameters
    ----------
    out : Path
        The folder; it must not exist yet, be empty or hold a model.
    members : sequence of FittedModel
        The fold ensemble, all of ``metadata.model``.
    ct_encoder : PretrainedEncoder, optional
        What the pretrained CT branch started from; kept once for all members.

    Raises
    ------
    ModelRefused
        ``MODEL_MISMATCH`` when a member is of another model, there is none, or the encoder is missing.
    InputRefused
        ``OUTPUT`` when ``out`` holds something else, or is no place to write to.
    RunFailed
        ``OUTPUT`` when it cannot be written after all.
    """
    _refuse_members(members, metadata, ct_encoder)
    contents = {
        METADATA: _json_bytes(monai_metadata(metadata, len(members))),
        INFERENCE: _json_bytes(inference_config()),
        CARD: model_card(metadata, len(members)).encode(),
    }
    for number, member in enumerate(members):
        contents[f"models/member-{number:03d}.safetensors"] = pack_tensors(member.to_tensors())
    if ct_encoder is not None and metadata.spec.ct_encoder == "pretrained":
        contents[ENCODER] = pack_encoder(ct_encoder)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    contents[HASHES] = _json_bytes({"sha256": overall(hashes), "files": hashes})
    _write_folder(out, contents)
    return ModelIdentity(metadata.model, overall(hashes), metadata.synthetic)


def load_bundle(path: Path, device: str = "auto") -> LoadedBundle:
    """Read a model folder after checking every file against its hash.

    Parameters
    ----------
    path : Path
        A folder as :func:`save_bundle` writes it.
    device : {"auto", "cpu", "cuda"}
        Where the networks answer.

    Raises
    ------
    ModelRefused
        ``MODEL_MISSING``: no model there, or a file of it is gone. ``MODEL_TAMPERED``: a file is not what the model
        was packed with, or leads out of the folder. ``MODEL_MISMATCH``: another schema or version.
        ``WEIGHTS_MISMATCH``: weights of another shape, or that are no numbers.
    InputRefused
        ``DEVICE_MISSING``: CUDA asked for where there is none.
    """
    chosen = resolve_device(device)
    hashes = read_hashes(path)
    contents = {name: read_checked(path, name, digest) for name, digest in hashes.items()}
    metadata = parse_metadata(contents)
    encoder = unpack_encoder(contents.pop(ENCODER), ENCODER) if ENCODER in contents else None
    members = tuple(_member(metadata, contents.pop(name), name, encoder) for name in member_names(contents))
    for member in members:
        if isinstance(member, FittedNetwork):
            member.to(chosen)
    return LoadedBundle(members, metadata, ModelIdentity(metadata.model, overall(hashes), metadata.synthetic))


def _member(metadata: BundleMetadata, content: bytes, name: str, encoder: PretrainedEncoder | None) -> FittedModel:
    tensors = unpack_tensors(content, name)
    spec = metadata.spec
    member: FittedModel
    if spec.kind == "forest":
        member = FittedForest.from_tensors(spec, tensors)
    else:
        if names := undefined(tensors):
            raise ModelRefused(
                Code.WEIGHTS_MISMATCH,
                f"The member holds weights that are no numbers: {', '.join(names[:3])}.",
                where=name,
                remedy="Restore the model from where it came, or pack it again with `prrt fit`.",
            )
        member = FittedNetwork.from_tensors(spec, metadata.preset, tensors, encoder)
    if spec.uses_labs and member.n_tabular != len(metadata.tabular_names):
        raise ModelRefused(
            Code.MODEL_MISMATCH,
            f"A member expects {member.n_tabular} tabular inputs; the metadata name {len(metadata.tabular_names)}.",
            where=name,
            remedy="Pack the model again with `prrt fit`.",
        )
    return member


def _refuse_members(
    members: Sequence[FittedModel], metadata: BundleMetadata, ct_encoder: PretrainedEncoder | None
) -> None:
    problem = ""
    if not members or any(member.spec.name != metadata.model for member in members):
        problem = f"There is no member, or one is not of the model “{metadata.model}”."
    elif metadata.spec.ct_encoder == "pretrained" and ct_encoder is None:
        problem = f"“{metadata.model}” cannot be packed without its pretrained CT encoder."
    elif metadata.spec.uses_labs and any(member.n_tabular != len(metadata.tabular_names) for member in members):
        problem = "A member has other tabular inputs than the metadata name."
    if problem:
        raise ModelRefused(Code.MODEL_MISMATCH, problem, where=metadata.model, remedy="Pack the folds of one run.")


def _write_folder(out: Path, contents: Mapping[str, bytes]) -> None:
    require_folder_target(out)
    if out.exists() and not (out / HASHES).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise InputRefused(
            Code.OUTPUT,
            "The folder for the model already holds something else.",
            where=out.name,
            remedy="Name a new folder.",
        )
    with published_folder(out) as fresh:
        for name, content in contents.items():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).write_bytes(content)


def _json_bytes(content: Any) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode()
