"""Weight files: safetensors or a tensor-only torch checkpoint in, checked tensors out; never any code from a file."""

from __future__ import annotations

import hashlib
import struct
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..errors import Code, ModelRefused
from ..jsontext import parsed
from .bundle_files import MAX_WEIGHT_BYTES

Layout = Mapping[str, tuple[int, ...]]
"""Tensor names and their shapes."""


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def layout_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of tensors."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def pack_tensors(tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> bytes:
    """The tensors, and any facts in words, as the content of a safetensors file."""
    ordered = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    content: bytes = save(ordered, metadata=dict(facts) if facts else None)
    return content


def unpack_tensors(content: bytes, where: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file's content.

    Raises
    ------
    ModelRefused
        ``WEIGHTS_MISMATCH`` when it is no safetensors file or not a whole one.
    """
    try:
        tensors: dict[str, Tensor] = load(content)
        _refuse_odd_names(tensors)
    except (SafetensorError, LookupError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise _unreadable(where) from error
    return tensors


def _refuse_odd_names(names: Iterable[object]) -> None:
    """Refuse, as a ValueError, names that no network of torch has: a refusal tells them to whoever reads it."""
    if not all(isinstance(name, str) and len(name) <= 200 and name.isascii() and name.isprintable() for name in names):
        raise ValueError("names of no tensors")


def unpack_facts(content: bytes, where: str) -> dict[str, str]:
    """The facts in the header of a safetensors file's content; empty when it carries none.

    Raises
    ------
    ModelRefused
        ``WEIGHTS_MISMATCH`` when the header cannot be read.
    """
    length = int.from_bytes(content[:8], "little")
    try:
        header = parsed(content[8 : 8 + length])
        facts = header.get("__metadata__", {})
        return {str(name): str(value) for name, value in facts.items()}
    except (ValueError, AttributeError) as error:
        raise _unreadable(where) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises
    ------
    ModelRefused
        ``MODEL_MISSING`` when the file is not there, ``WEIGHTS_MISMATCH`` when it is no safetensors file.
    """
    return unpack_tensors(read_whole(path), path.name)


def read_whole(path: Path) -> bytes:
    """The content of a weight file of a reasonable size.

    Raises
    ------
    ModelRefused
        ``MODEL_MISSING`` when it is not there, ``WEIGHTS_MISMATCH`` when it is far too large.
    """
    _refuse_size(path)
    return path.read_bytes()


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read a state dict from ``.safetensors`` or a torch file, bare or under the key "model".

    Torch files are read with ``weights_only``: a file that carries anything but tensors is refused, not run. So is one
    in torch's format of before 1.6, which names sizes that nothing bounds.

    Raises
    ------
    ModelRefused
        ``MODEL_MISSING`` when the file is not there, ``WEIGHTS_MISMATCH`` when it holds no state dict.
    """
    if path.suffix == ".safetensors":
        return read_tensors(path)
    _refuse_size(path)
    try:
        _refuse_packed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a damaged file torch says things that help nobody
            content = torch.load(path, map_location="cpu", weights_only=True)
        inner = content.get("model") if isinstance(content, Mapping) else None
        state: Mapping[str, Tensor] = inner if isinstance(inner, Mapping) else content
        _refuse_odd_names(state)
    except _DAMAGE as error:
        raise _unreadable(path.name) from error
    if not isinstance(state, Mapping) or not all(_is_plain(tensor) for tensor in state.values()):
        raise _unreadable(path.name)
    return dict(state)


_DAMAGE = (
    UnpicklingError,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    struct.error,
    BadZipFile,
)
"""What torch raises over a file that it did not write, as far as tries with many damaged ones have shown."""


def _refuse_packed(path: Path) -> None:
    """Refuse, as a ValueError, an archive other than torch's: its members are never compressed."""
    with ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != ZIP_STORED for member in members):
        raise ValueError("compressed members")
    if sum(member.file_size for member in members) > MAX_WEIGHT_BYTES:
        raise ValueError("members that unpack to far more than any model")


def _is_plain(tensor: object) -> bool:
    """Whether this is a tensor that has every number that it claims; strides may let a few stand for very many."""
    return (
        isinstance(tensor, Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        and tensor.nbytes <= tensor.untyped_storage().nbytes()
    )


def refuse_other_layout(expected: Layout, given: Layout, where: str, remedy: str) -> None:
    """Refuse weights whose names or shapes are not exactly the expected ones.

    Raises
    ------
    ModelRefused
        ``WEIGHTS_MISMATCH`` naming the first few of each kind.
    """
    problems = [
        *_first("missing", [name for name in expected if name not in given]),
        *_first("unknown", [name for name in given if name not in expected]),
        *_first(
            "of another shape",
            [f"{name} {given[name]}" for name in expected if name in given and given[name] != expected[name]],
        ),
    ]
    if problems:
        raise ModelRefused(
            Code.WEIGHTS_MISMATCH,
            f"The weights do not fit: {'; '.join(problems)}.",
            where=where,
            remedy=remedy,
        )


def _first(kind: str, names: Sequence[str], count: int = 3) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return [f"{kind}: {', '.join(names[:count])}{more}"]


def _refuse_size(path: Path) -> None:
    if not path.is_file():
        raise ModelRefused(
            Code.MODEL_MISSING,
            "The weight file does not exist.",
            where=path.name,
            remedy="Check the path, or leave it out to use the encoder that is pretrained here.",
        )
    if path.stat().st_size > MAX_WEIGHT_BYTES:
        raise ModelRefused(
            Code.WEIGHTS_MISMATCH,
            f"The weight file has {path.stat().st_size / 2**20:.0f} MB; no model of this project is that large.",
            where=path.name,
            remedy="Check that the path points to the right file.",
        )


def _unreadable(where: str) -> ModelRefused:
    return ModelRefused(
        Code.WEIGHTS_MISMATCH,
        "The file holds no weights that can be read safely.",
        where=where,
        remedy="Use a .safetensors file or a torch file with nothing but a state dict; download it again if it broke.",
    )
