"""The cache folder: entries written whole, read back only when intact, private to the user, leftovers swept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..disk import remove_leftovers
from ..errors import Code, RunFailed
from ..files import replacing, write_bytes
from ..records import PreparedStudy
from .entry import Sidecar, Subject, from_sidecar, to_sidecar
from .keys import file_hash

_SUBFOLDERS = ("series", "studies")


def write_entry(folder: Path, key: str, study: PreparedStudy, subject: Subject | None = None) -> Sidecar:
    """Write the voxels first, the sidecar that vouches for them last.

    Raises
    ------
    RunFailed
        ``OUTPUT``: the cache cannot be written.
    """
    voxels_path, sidecar_path = _paths(folder, key)
    with replacing(voxels_path, sweep=False) as temporary, temporary.open("wb") as stream:
        np.save(stream, np.stack([study.pet, study.ct]).astype(np.float32, copy=False), allow_pickle=False)
    sidecar = Sidecar(
        file_hash(voxels_path),
        study.grid,
        study.pet_acquisition,
        study.ct_acquisition,
        study.notices,
        subject or Subject(),
    )
    write_bytes(sidecar_path, to_sidecar(sidecar, key), sweep=False)
    return sidecar


def intact_entry(folder: Path, key: str) -> Sidecar | None:
    """What is kept beside an entry's voxels; None when there is no entry, or its sidecar or voxels are damaged."""
    voxels_path, sidecar_path = _paths(folder, key)
    try:
        sidecar = from_sidecar(sidecar_path.read_bytes(), key)
        return sidecar if sidecar is not None and file_hash(voxels_path) == sidecar.voxels_sha256 else None
    except OSError:
        return None


def read_entry(folder: Path, key: str) -> PreparedStudy | None:
    """The study, its voxels memory-mapped and read-only; None when the entry is gone or of another form."""
    voxels_path, sidecar_path = _paths(folder, key)
    try:
        sidecar = from_sidecar(sidecar_path.read_bytes(), key)
        voxels: NDArray[Any] = np.load(voxels_path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if sidecar is None or voxels.shape != (2, *sidecar.grid.shape) or voxels.dtype != np.float32:
        return None
    return PreparedStudy(
        voxels[0], voxels[1], sidecar.grid, sidecar.pet_acquisition, sidecar.ct_acquisition, sidecar.notices
    )


def _paths(folder: Path, key: str) -> tuple[Path, Path]:
    stem = folder / "studies" / key[:2] / key
    return stem.with_suffix(".npy"), stem.with_suffix(".json")


# --- the folder -------------------------------------------------------------------------------------------------------


def private_folder(folder: Path) -> None:
    """Make the cache folder and its parts for this user alone; a folder that was there before keeps its mode.

    Raises
    ------
    RunFailed
        ``OUTPUT``: it cannot be made, or others may look into folders that were there before.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        closed = _closed_to_others(folder)
        for name in _SUBFOLDERS:
            (folder / name).mkdir(exist_ok=True, mode=0o700)
            if not closed and not _closed_to_others(folder / name) and _knows_modes(folder):
                raise RunFailed(
                    Code.OUTPUT,
                    "The cache would hold patient images, and others may look into its folder.",
                    where=f"{folder.name}/{name}",
                    remedy="Close the folder to others (chmod 700), or name another in PRRT_CACHE_DIR.",
                )
    except OSError as error:
        raise RunFailed(
            Code.OUTPUT,
            f"The cache folder cannot be used ({error.strerror or type(error).__name__}).",
            remedy="Set the environment variable PRRT_CACHE_DIR to a folder that you may write to.",
        ) from error


def _closed_to_others(folder: Path) -> bool:
    if os.name != "posix":  # Windows: the profile's folders are the user's own, and modes mean nothing
        return True
    return not folder.stat().st_mode & 0o077


def _knows_modes(folder: Path) -> bool:
    """Whether a folder made for this user alone is one here; network drives may not tell users apart."""
    with tempfile.TemporaryDirectory(dir=folder) as probe:
        return _closed_to_others(Path(probe))


def sweep_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written; what cannot be removed stays, for nothing ever reads it."""
    for part in (folder / "series", *folder.glob("studies/*")):
        remove_leftovers(part)
