"""What may happen to one input: a typed refusal, or a volume that can be believed. Everything else is a finding."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from seeds import Kind

from PRRTPredictorCore.dicom.decoding import locate_pixels, stored_frames
from PRRTPredictorCore.dicom.flat import flat_headers
from PRRTPredictorCore.dicom.geometry import SPACINGS_MM
from PRRTPredictorCore.dicom.headers import open_file
from PRRTPredictorCore.dicom.index import index_source
from PRRTPredictorCore.dicom.series import acquisition_of, load_ct
from PRRTPredictorCore.dicom.suv import load_pet, suv_scale
from PRRTPredictorCore.dicom.values import without_warnings
from PRRTPredictorCore.errors import PRRTError
from PRRTPredictorCore.records import LoadedSeries

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MOST_SECONDS = 5.0  # of the processor, for one input; a sound one takes some hundredths
MOST_BYTES = 128 << 20  # by which one input may raise the memory in use
_LARGEST_VALUE = 1e6  # HU, SUV


@dataclass(frozen=True)
class Finding:
    """What an input did that it may not: the kind of finding, and what to look at first."""

    kind: str
    what: str


@dataclass(frozen=True)
class Verdict:
    """How one input went.

    Attributes
    ----------
    outcomes : tuple of str
        "read", or the code of the refusal, of each way that the input went.
    """

    outcomes: tuple[str, ...]
    seconds: float
    grown_bytes: int
    findings: tuple[Finding, ...]


def judged(folder: Path, file: Path, kind: Kind) -> Verdict:
    """Send one file, or the series in whose folder it lies, through the header, geometry and pixel paths."""
    ways: list[Callable[[], object]] = [lambda: index_source(folder), lambda: _pixels_of(file)]
    if kind == "any":
        ways.append(lambda: _header_of(file))
    else:
        load = load_ct if kind == "CT" else load_pet
        ways.append(lambda: _require_believable(load(folder)))
    outcomes: list[str] = []
    findings: list[Finding] = []
    memory, started = _peak_bytes(), time.process_time()
    for way in ways:
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                way()
            outcomes.append("read")
        except PRRTError as error:
            outcomes.append(error.code.value)
            if not error.remedy or "\n" in str(error):
                findings.append(Finding("unclear refusal", str(error)))
        except UnbelievableError as error:
            findings.append(Finding("wrong volume", str(error)))
        except Exception as error:  # noqa: BLE001, the search is for any
            findings.append(Finding("escaped", f"{type(error).__name__}: {error} ({_place_of(error)})"))
        findings += [
            Finding("warned", f"{warning.filename}:{warning.lineno}: {warning.message}")
            for warning in warned
            if warning.category is not ResourceWarning  # of whatever garbage is collected meanwhile
        ]
    seconds, grown = time.process_time() - started, _peak_bytes() - memory
    if seconds > MOST_SECONDS:
        findings.append(Finding("slow", f"{seconds:.1f} s"))
    if grown > MOST_BYTES:
        findings.append(Finding("memory", f"{grown >> 20} MiB"))
    return Verdict(tuple(outcomes), seconds, grown, tuple(findings))


class UnbelievableError(Exception):
    """A volume was read that no scanner can have made."""


def _pixels_of(file: Path) -> None:
    opened = open_file(file)
    if opened is not None:
        with without_warnings():  # as whoever reads pixels does; that cannot be done in threads
            for frame in stored_frames(locate_pixels(opened)):
                frame.max()


def _header_of(file: Path) -> None:
    opened = open_file(file)
    if opened is not None:
        headers = flat_headers(opened.header)
        acquisition_of(headers[0])
        suv_scale(headers)


def _require_believable(loaded: LoadedSeries) -> None:
    array, affine = loaded.volume.array, loaded.volume.ijk_to_lps
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    _require("finite values", bool(np.isfinite(array).all()))
    _require("values in range", float(np.abs(array.astype(np.float64)).max()) <= _LARGEST_VALUE)
    _require("a finite place", bool(np.isfinite(affine).all()))
    _require("possible spacings", SPACINGS_MM[0] * 0.99 <= spacing.min() <= spacing.max() <= SPACINGS_MM[1] * 1.01)
    _require("right angles", abs(abs(np.linalg.det(affine[:3, :3] / spacing)) - 1) < 1e-3)
    _require("more than one slice", len(array) > 1)


def _require(what: str, holds: bool) -> None:
    if not holds:
        raise UnbelievableError(f"without {what}")


def _place_of(error: BaseException) -> str:
    frames: list[Any] = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    places: Sequence[str] = [f"{Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}" for at in frames[-4:]]
    return " > ".join(places)


def _peak_bytes() -> int:
    if resource is None:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
