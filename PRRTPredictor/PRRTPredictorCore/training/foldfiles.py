"""The formats of a fold's files: predictions as CSV, arrays as npz, and what reading damaged ones raises."""

from __future__ import annotations

import csv
import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from ..records import FoldPredictions
from .records import FoldTask

COLUMNS = ("patient", "repeat", "fold", "y", "probability", "logit")

DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    SyntaxError,
    TokenError,
    csv.Error,
    struct.error,
    BadZipFile,
    zlib.error,
)
"""What reading a file that is not what it should be can raise."""

_MOST_BYTES = 2**29
"""Unpacked; a thousand held-out patients leave about a tenth."""

_MOST_TABLE_BYTES = 2**25
"""Of ``predictions.csv``: a hundred letters for each of 300,000 patients."""


def predictions_csv(predictions: FoldPredictions) -> str:
    """The held-out predictions of one fold as the text of ``predictions.csv``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    rows = zip(predictions.codes, predictions.y, predictions.probability, predictions.logit, strict=True)
    for code, y, probability, logit in rows:
        # repr of a float is the shortest text that reads back as the same number
        writer.writerow(
            (code, predictions.repeat, predictions.fold, int(y), repr(float(probability)), repr(float(logit)))
        )
    return text.getvalue()


def read_predictions(path: Path, task: FoldTask, collapsed: bool) -> FoldPredictions:
    """Read what :func:`predictions_csv` wrote of a fold.

    Raises
    ------
    ValueError
        It speaks of other patients than the fold's held-out ones, or holds what is no probability; or another one of
        :data:`DAMAGE`.
    """
    if path.stat().st_size > _MOST_TABLE_BYTES:
        raise ValueError("far more than any fold leaves")
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    if sorted(row["patient"] for row in rows) != sorted(task.test):
        raise ValueError("not the held-out patients")
    predictions = FoldPredictions(
        model=task.model,
        repeat=task.repeat,
        fold=task.fold,
        codes=tuple(row["patient"] for row in rows),
        y=np.array([int(row["y"]) for row in rows], dtype=np.int64),
        probability=np.array([float(row["probability"]) for row in rows]),
        logit=np.array([float(row["logit"]) for row in rows]),
        collapsed=collapsed,
    )
    inside = (predictions.probability >= 0) & (predictions.probability <= 1)  # NaN is not
    if not (inside & np.isfinite(predictions.logit)).all():
        raise ValueError("no probabilities")
    return predictions


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Named arrays as the content of a compressed ``.npz``."""
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def read_npz(path: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of a ``.npz``, none of them pickled; None where there is no such file.

    Raises
    ------
    ValueError
        It would unpack to far more than any fold leaves; or another one of :data:`DAMAGE`.
    """
    if not path.is_file():
        return None
    with ZipFile(path) as packed:
        if sum(member.file_size for member in packed.infolist()) > _MOST_BYTES:
            raise ValueError("far more than any fold leaves")
    with np.load(path, allow_pickle=False) as stored:
        try:
            return {name: stored[name] for name in stored.files}
        except MemoryError as problem:
            raise ValueError("an array that declares far more than its file holds") from problem
