"""A packed model on disk, in MONAI's bundle layout: safetensors, JSON and a model card, each with its SHA-256.

Nothing in it is ever executed, and a file is parsed only after its hash agreed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Code, InputRefused, ModelRefused
from ..files import published_folder, require_folder_target
from ..records import ModelIdentity
from .device import resolve_device
from .encoder_files import pack_encoder, unpack_encoder
from .encoders import PretrainedEncoder
from .fitted import FittedModel, FittedNetwork
from .forest import FittedForest
from .metadata import BundleMetadata, inference_config, model_card, monai_metadata, read_metadata
from .registry import ModelSpec
from .weights import MAX_WEIGHT_BYTES, pack_tensors, unpack_tensors

HASHES = "configs/hashes.json"
METADATA = "configs/metadata.json"
INFERENCE = "configs/inference.json"
ENCODER = "models/encoder.safetensors"
CARD = "docs/README.md"
MAX_TEXT_BYTES = 8 << 20
MAX_FILES = 1000

_NAME = re.compile(r"(configs|models|docs)/[A-Za-z0-9_][A-Za-z0-9._-]*")
_MEMBER = re.compile(r"models/member-\d{3}\.safetensors")


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
    contents[HASHES] = _json_bytes({"sha256": _overall(hashes), "files": hashes})
    _write_folder(out, contents)
    return ModelIdentity(metadata.model, _overall(hashes), metadata.synthetic)


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
        ``WEIGHTS_MISMATCH``: weights of another shape.
    InputRefused
        ``DEVICE_MISSING``: CUDA asked for where there is none.
    """
    chosen = resolve_device(device)
    hashes = _read_hashes(path)
    contents = {name: _read_checked(path, name, digest) for name, digest in hashes.items()}
    metadata = read_metadata(_parse(contents.get(METADATA, b""), METADATA))
    encoder = unpack_encoder(contents[ENCODER], ENCODER) if ENCODER in contents else None
    names = sorted(name for name in contents if _MEMBER.fullmatch(name))
    if not names:
        raise _missing("The model folder holds no member.", "models")
    members = tuple(_member(metadata, contents[name], name, encoder) for name in names)
    for member in members:
        if isinstance(member, FittedNetwork):
            member.to(chosen)
    return LoadedBundle(members, metadata, ModelIdentity(metadata.model, _overall(hashes), metadata.synthetic))


def _member(metadata: BundleMetadata, content: bytes, name: str, encoder: PretrainedEncoder | None) -> FittedModel:
    tensors = unpack_tensors(content, name)
    spec = metadata.spec
    member: FittedModel
    if spec.kind == "forest":
        member = FittedForest.from_tensors(spec, tensors)
    else:
        member = FittedNetwork.from_tensors(spec, metadata.preset, tensors, encoder)
    if spec.uses_labs and member.n_tabular != len(metadata.tabular_names):
        raise ModelRefused(
            Code.MODEL_MISMATCH,
            f"A member expects {member.n_tabular} tabular inputs; the metadata name {len(metadata.tabular_names)}.",
            where=name,
            remedy="Pack the model again with `prrt fit`.",
        )
    return member


def _read_hashes(path: Path) -> dict[str, str]:
    if not (path / HASHES).is_file():
        raise _missing("There is no packed model in this folder.", path.name)
    listed = _parse(_read_file(path, HASHES, MAX_TEXT_BYTES), HASHES)
    files = listed.get("files") if isinstance(listed, Mapping) else None
    if not isinstance(files, Mapping) or not 0 < len(files) <= MAX_FILES:
        raise _tampered("The list of hashes cannot be understood.", HASHES)
    hashes = {str(name): str(digest) for name, digest in files.items()}
    for name in hashes:
        if not _NAME.fullmatch(name) or name == HASHES:
            raise _tampered("The list of hashes names a file that is no part of a model.", HASHES)
    if listed.get("sha256") != _overall(hashes):
        raise _tampered("The list of hashes does not agree with its own sum.", HASHES)
    _refuse_unlisted(path, hashes)
    return hashes


def _refuse_unlisted(path: Path, hashes: Mapping[str, str]) -> None:
    for file in sorted((path / "models").glob("*")):
        if f"models/{file.name}" not in hashes and not file.name.startswith("."):
            raise _tampered("The model folder holds weights that it was not packed with.", f"models/{file.name}")


def _read_checked(path: Path, name: str, digest: str) -> bytes:
    content = _read_file(path, name, MAX_WEIGHT_BYTES if name.startswith("models/") else MAX_TEXT_BYTES)
    if hashlib.sha256(content).hexdigest() != digest:
        raise _tampered("A file of the model is not what the model was packed with.", name)
    return content


def _read_file(path: Path, name: str, limit: int) -> bytes:
    file = path / name
    if file.is_symlink() or file.parent.is_symlink():
        raise _tampered("A file of the model is a link to somewhere else.", name)
    if not file.is_file():
        raise _missing("A file of the model is gone.", name)
    if file.stat().st_size > limit:
        raise _tampered(f"A file of the model is larger than {limit >> 20} MB.", name)
    return file.read_bytes()


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


def _overall(hashes: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode()).hexdigest()


def _json_bytes(content: Any) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _parse(content: bytes, where: str) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise _tampered("A file of the model is no JSON.", where) from error


def _missing(message: str, where: str) -> ModelRefused:
    remedy = "Name a folder that `prrt fit --out` wrote, complete."
    return ModelRefused(Code.MODEL_MISSING, message, where=where, remedy=remedy)


def _tampered(message: str, where: str) -> ModelRefused:
    remedy = "Restore the model from where it came, or pack it again with `prrt fit`."
    return ModelRefused(Code.MODEL_TAMPERED, message, where=where, remedy=remedy)
