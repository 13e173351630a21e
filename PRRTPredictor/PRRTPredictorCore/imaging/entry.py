"""The sidecar of a cached study: grid, acquisitions and notices as JSON that vouches for itself and for the voxels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np

from ..jsontext import parsed
from ..records import Acquisition, CommonGrid, Notice

_FORMAT = 2
"""1 did not say whose images they are, so that one patient in two rows of a table went unseen."""


@dataclass(frozen=True)
class Subject:
    """Whose images these are, as far as rows of a cohort must be compared.

    Attributes
    ----------
    code : str
        Study code of the PatientID in the files (a keyed hash); empty where it is absent or stands for nobody.
    sex : {"M", "F", ""}
    """

    code: str = ""
    sex: str = ""


@dataclass(frozen=True, eq=False)
class Sidecar:
    """What is kept beside the voxels of a prepared study.

    Attributes
    ----------
    voxels_sha256 : str
        Hash of the .npy file.
    """

    voxels_sha256: str
    grid: CommonGrid
    pet_acquisition: Acquisition
    ct_acquisition: Acquisition
    notices: tuple[Notice, ...]
    subject: Subject


def to_sidecar(sidecar: Sidecar, key: str) -> bytes:
    """The sidecar's bytes; their first field is the hash of all others."""
    body = {
        "format": _FORMAT,
        "key": key,
        "voxels_sha256": sidecar.voxels_sha256,
        "shape": list(sidecar.grid.shape),
        "ijk_to_lps": sidecar.grid.ijk_to_lps.tolist(),
        "pet_acquisition": acquisition_to_json(sidecar.pet_acquisition),
        "ct_acquisition": acquisition_to_json(sidecar.ct_acquisition),
        "notices": [asdict(notice) for notice in sidecar.notices],
        "subject": asdict(sidecar.subject),
    }
    return json.dumps({"sha256": _digest(body), "body": body}, indent=1).encode()


def from_sidecar(content: bytes, key: str) -> Sidecar | None:
    """Read a sidecar back; None when it is damaged, of another format or of another study."""
    try:
        stored = parsed(content)
        body = stored["body"]
        if stored["sha256"] != _digest(body) or body["format"] != _FORMAT or body["key"] != key:
            return None
        k, j, i = body["shape"]
        return Sidecar(
            body["voxels_sha256"],
            CommonGrid((k, j, i), np.array(body["ijk_to_lps"], dtype=np.float64)),
            acquisition_from_json(body["pet_acquisition"]),
            acquisition_from_json(body["ct_acquisition"]),
            tuple(Notice(**notice) for notice in body["notices"]),
            Subject(**body["subject"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def acquisition_to_json(acquisition: Acquisition) -> Mapping[str, Any]:
    """How a series was made, in JSON values."""
    return asdict(acquisition) | {"date": acquisition.date.isoformat() if acquisition.date else None}


def acquisition_from_json(stored: Mapping[str, Any]) -> Acquisition:
    """The way back; KeyError, TypeError or ValueError for anything else."""
    day = stored["date"]
    return Acquisition(**{**stored, "date": date.fromisoformat(day) if day else None})
