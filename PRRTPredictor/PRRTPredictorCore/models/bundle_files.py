"""The files of a model folder, each checked against its SHA-256 before it is parsed; no weights, no torch.

``bundle`` turns them into members that answer; ``prediction.card`` into what people read before they choose a model.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import Code, ModelRefused
from ..files import restore_replaced
from ..jsontext import parsed
from .metadata import BundleMetadata, read_metadata

HASHES = "configs/hashes.json"
METADATA = "configs/metadata.json"
INFERENCE = "configs/inference.json"
ENCODER = "models/encoder.safetensors"
CARD = "docs/README.md"
MAX_TEXT_BYTES = 8 << 20
MAX_FILES = 1000
MAX_WEIGHT_BYTES = 1 << 30
"""No weight file of this project or of MONAI's bundle comes near 1 GiB; a larger one is not read at all."""
MAX_MODEL_BYTES = 4 << 30
"""Of all files of a folder together; fifty folds of the widest CT encoder have 1 GiB."""

_NAME = re.compile(r"(configs|models|docs)/[A-Za-z0-9_][A-Za-z0-9._-]*")
_MEMBER = re.compile(r"models/member-\d{3}\.safetensors")


def read_hashes(path: Path) -> dict[str, str]:
    """The SHA-256 of every file of a model folder, by name; the list itself agrees with its own sum.

    Raises
    ------
    ModelRefused
        ``MODEL_MISSING`` where there is no list, ``MODEL_TAMPERED`` where it does not agree with the folder.
    """
    with suppress(OSError):
        restore_replaced(path)
    if not (path / HASHES).is_file():
        raise _missing("There is no packed model in this folder.", path.name)
    listed = parse(_read_file(path, HASHES, MAX_TEXT_BYTES), HASHES)
    files = listed.get("files") if isinstance(listed, Mapping) else None
    if not isinstance(files, Mapping) or not 0 < len(files) <= MAX_FILES:
        raise _tampered("The list of hashes cannot be understood.", HASHES)
    hashes = {str(name): str(digest) for name, digest in files.items()}
    for name in hashes:
        if not _NAME.fullmatch(name) or name == HASHES:
            raise _tampered("The list of hashes names a file that is no part of a model.", HASHES)
    if listed.get("sha256") != overall(hashes):
        raise _tampered("The list of hashes does not agree with its own sum.", HASHES)
    _refuse_unlisted(path, hashes)
    _refuse_total(path, hashes)
    return hashes


def member_names(names: Iterable[str]) -> tuple[str, ...]:
    """The weight files of the ensemble's members among the files of a model folder, in order.

    Raises
    ------
    ModelRefused
        ``MODEL_MISSING`` when there is none.
    """
    found = tuple(sorted(name for name in names if _MEMBER.fullmatch(name)))
    if not found:
        raise _missing("The model folder holds no member.", "models")
    return found


def parse_metadata(contents: Mapping[str, bytes]) -> BundleMetadata:
    """The model's metadata among the checked contents of its folder; see :func:`~.metadata.read_metadata`."""
    return read_metadata(parse(contents.get(METADATA, b""), METADATA))


def _refuse_unlisted(path: Path, hashes: Mapping[str, str]) -> None:
    for file in sorted((path / "models").glob("*")):
        if f"models/{file.name}" not in hashes and not file.name.startswith("."):
            raise _tampered("The model folder holds weights that it was not packed with.", f"models/{file.name}")


def _refuse_total(path: Path, hashes: Mapping[str, str]) -> None:
    total = sum(file.stat().st_size for name in hashes if (file := path / name).is_file())
    if total > MAX_MODEL_BYTES:
        raise _tampered(f"The model has {total / 2**30:.1f} GiB; no model of this project is that large.", path.name)


def read_checked(path: Path, name: str, digest: str) -> bytes:
    """The content of one file of the folder.

    Raises
    ------
    ModelRefused
        ``MODEL_MISSING`` when it is gone, ``MODEL_TAMPERED`` when it is not what the hash says.
    """
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
    try:
        with file.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size > limit:
                raise _tampered(f"A file of the model is larger than {limit >> 20} MB.", name)
            return stream.read()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _missing(f"A file of the model cannot be read ({reason}).", name) from error


def overall(hashes: Mapping[str, str]) -> str:
    """The SHA-256 over a list of hashes: the identity of a model."""
    return hashlib.sha256("".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode()).hexdigest()


def parse(content: bytes, where: str) -> Any:
    """What a JSON file of the folder holds."""
    try:
        return parsed(content)
    except ValueError as error:
        raise _tampered("A file of the model is no JSON.", where) from error


def _missing(message: str, where: str) -> ModelRefused:
    remedy = "Choose a folder that was packed as a model (“Use for prediction”, or `prrt fit`), complete."
    return ModelRefused(Code.MODEL_MISSING, message, where=where, remedy=remedy)


def _tampered(message: str, where: str) -> ModelRefused:
    remedy = "Restore the model from where it came, or pack it again with `prrt fit`."
    return ModelRefused(Code.MODEL_TAMPERED, message, where=where, remedy=remedy)
