"""The sound files that are damaged: made patients, codestreams of every kind, and pydicom's own test files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import imagecodecs
import numpy as np
import pydicom.data
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "Core"))

from dicom_objects import ct_series, multiframe, pet_series, write_series

from PRRTPredictorCore.cohort.synthetic.cohort import make_patient

Kind = Literal["CT", "PT", "any"]
SLICES = 3
_LARGEST_FILE = 40_000
_SHAPE = (SLICES, 16, 12)
_CT = (np.arange(np.prod(_SHAPE)).reshape(_SHAPE) * 7 % 3000).astype(np.uint16)


@dataclass(frozen=True)
class Seed:
    """A sound file, and the other slices of its series, which stay sound.

    Attributes
    ----------
    kind : {"CT", "PT", "any"}
        Whether the series loads as CT or as PET; "any" stands for a file by itself, of whatever kind.
    """

    name: str
    kind: Kind
    content: bytes
    companions: tuple[bytes, ...] = ()


def all_seeds(small: bool = False) -> list[Seed]:
    """Every seed, in a fixed order; ``small`` leaves the made patients out, which take some seconds to make."""
    with TemporaryDirectory() as folder:
        return [*(() if small else _made_patients(Path(folder))), *_made_series(Path(folder)), *_of_pydicom()]


def _made_patients(folder: Path) -> Iterator[Seed]:
    for number in (1, 2):  # one PET in Bq/ml, one in counts
        patient = make_patient(folder / f"patient-{number}", seed=number)
        for kind, series in (("PT", patient.pet), ("CT", patient.ct)):
            paths = sorted(series.glob("*.dcm"))
            middle = len(paths) // 2
            yield _seed(f"made patient {number}", kind, paths[middle : middle + SLICES])  # type: ignore[arg-type]


def _made_series(folder: Path) -> Iterator[Seed]:
    pet = pet_series(_CT, slopes=(0.5, 0.6, 0.7))
    yield _written("classic PET", "PT", pet, folder)
    yield _written("enhanced PET", "PT", [multiframe(pet)], folder)
    yield _written("legacy PET", "PT", [multiframe(pet, legacy=True)], folder)
    yield _written("enhanced CT", "CT", [multiframe(ct_series(_CT))], folder)
    yield _written("float CT", "CT", ct_series(_CT, RescaleSlope=0.5), folder)
    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian):
        yield _written(f"CT in {syntax.name}", "CT", ct_series(_CT), folder, syntax)
    for name, syntax, encode, bits in _CODECS:
        yield _written(f"CT in {name}", "CT", _packed(encode, bits), folder, syntax)
    whole = multiframe(_packed(None, 16))
    whole.PixelData = encapsulate([bytes(imagecodecs.jpegls_encode(image)) for image in _CT])
    whole["PixelData"].VR = "OB"
    whole["PixelData"].is_undefined_length = True
    yield _written("enhanced CT in JPEG-LS", "CT", [whole], folder, JPEGLSLossless)


_Encode = Callable[[Any], Any]
_CODECS: tuple[tuple[str, str, _Encode, int], ...] = (
    ("JPEG 2000", JPEG2000Lossless, lambda image: imagecodecs.jpeg2k_encode(image, codecformat="j2k"), 16),
    ("JPEG 2000 in boxes", JPEG2000Lossless, lambda image: imagecodecs.jpeg2k_encode(image, codecformat="jp2"), 16),
    ("JPEG-LS", JPEGLSLossless, imagecodecs.jpegls_encode, 16),
    ("JPEG 8 bit", JPEGBaseline8Bit, imagecodecs.jpeg8_encode, 8),
    ("JPEG 12 bit", JPEGExtended12Bit, lambda image: imagecodecs.jpeg_encode(image, bitspersample=12), 12),
    ("JPEG lossless", JPEGLosslessSV1, lambda image: imagecodecs.ljpeg_encode(image, bitspersample=16), 16),
    ("RLE", RLELossless, None, 16),  # type: ignore[arg-type]
)


def _packed(encode: _Encode | None, bits: int) -> list[Any]:
    images = _CT if bits == 16 else (_CT >> (4 if bits == 8 else 0)).astype(np.uint8 if bits == 8 else np.uint16)
    series = ct_series(images, BitsStored=bits, HighBit=bits - 1)
    for item, image in zip(series, images, strict=True):
        if encode is not None:
            item.PixelData = encapsulate([bytes(encode(image))])
            item["PixelData"].VR = "OB"
            item["PixelData"].is_undefined_length = True
    return series


def _written(name: str, kind: Kind, series: list[Any], folder: Path, syntax: str = "") -> Seed:
    place = folder / name.replace(" ", "-")
    paths = write_series(series, place, **({"transfer_syntax": syntax} if syntax and syntax != RLELossless else {}))
    if syntax == RLELossless:
        for path in paths:
            item = dcmread(path)
            item.compress(RLELossless)
            item.save_as(path)
    return _seed(name, kind, paths)


def _seed(name: str, kind: Kind, paths: list[Path]) -> Seed:
    content, *companions = (path.read_bytes() for path in paths)
    return Seed(f"{name} {kind}", kind, content, tuple(companions))


def _of_pydicom() -> Iterator[Seed]:
    folder = Path(pydicom.data.__file__).parent / "test_files"
    for path in sorted([*folder.iterdir(), *(folder / "dicomdirtests" / "77654033").rglob("*")]):
        if path.is_file() and path.stat().st_size <= _LARGEST_FILE and path.suffix in ("", ".dcm"):
            content = path.read_bytes()
            if content[128:132] == b"DICM" or path.suffix == ".dcm":
                yield Seed(f"pydicom's {path.name}", "CT" if path.name.startswith("CT") else "any", content)
