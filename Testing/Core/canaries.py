"""Canaries: words planted wherever a cohort names a patient, and a search that finds them in whatever is written.

Each planted word begins with :data:`WORD`, so that one search finds all of them and what follows says which field it
came from. Dates and UIDs, which must stay dates and UIDs, are remembered as they are.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.sequence import Sequence

WORD = "CANARY"
BIRTH_DATE = "19371213"
UID_ROOT = "1.2.826.0.1.3680043."
"""With what the UIDs of planted and of made files begin."""

_PLANTED_ROOT = f"{UID_ROOT}9.7777"

KEPT = frozenset(
    {
        *("SpecificCharacterSet", "Modality", "Units", "SOPClassUID", "RescaleType", "DecayCorrection", "SUVType"),
        # The scanner's maker and model decide about SUV and are a column of Table 1: they are meant to be told.
        *("Manufacturer", "ManufacturerModelName"),
        # What is asked for by its code, whoever wrote the words beside it.
        *("CodeValue", "CodingSchemeDesignator", "Radiopharmaceutical", "TimezoneOffsetFromUTC"),
    }
)
"""Elements of text that decide how a series is read; everything else is planted over."""

_TEXT = {"LO": 64, "SH": 16, "PN": 64, "ST": 1024, "LT": 1024, "UT": 4096, "UC": 4096, "UR": 4096, "AE": 16}
"""Value representations that hold free text, and the longest of their values."""
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_PIXELS = 0x7FE00010
_PRIVATE_GROUP = 0x0033


@dataclass(frozen=True)
class Canaries:
    """What must be found nowhere.

    Attributes
    ----------
    cohort : Path
        The planted cohort.csv; beside it lies ``dicom``.
    identifiers : tuple of str
        PatientID of the files and patient of the table; their plain hashes must be found nowhere either.
    dates : frozenset of str
        Dates of the examinations and of the table, as YYYYMMDD.
    """

    cohort: Path
    identifiers: tuple[str, ...]
    dates: frozenset[str]

    @property
    def folder(self) -> Path:
        return self.cohort.parent

    def study(self, number: int = 0) -> tuple[Path, Path]:
        """The PET and CT folders of one patient."""
        patient = sorted((self.folder / "dicom").iterdir())[number]
        pet, ct = sorted(patient.iterdir(), reverse=True)
        return pet, ct

    def found_in(self, content: bytes) -> set[str]:
        """The canaries in some bytes, archives and compressed streams in them opened."""
        return {hit for layer in layers(content) for hit in self._hits(layer)}

    def found_below(self, *folders: Path, dates: bool = True) -> dict[str, set[str]]:
        """The canaries in every file below some folders, and in the files' own names."""
        found: dict[str, set[str]] = {}
        for folder in folders:
            assert folder.exists(), folder
            paths = [folder] if folder.is_file() else [path for path in sorted(folder.rglob("*")) if path.is_file()]
            assert paths, f"nothing was written below {folder}"
            for path in paths:
                name = path.relative_to(folder.parent).as_posix()
                hits = self.found_in(name.encode()) | self.found_in(path.read_bytes())
                if not dates:
                    hits -= {hit for hit in hits if hit.startswith("date")}
                if hits:
                    found[name] = hits
        return found

    def _hits(self, content: bytes) -> Iterator[str]:
        lower = content.lower()
        if WORD.lower().encode() in lower:
            yield from (match.decode("latin-1") for match in _WORDS.findall(content))
        for encoding in ("utf-16-le", "utf-16-be", "utf-32-le"):
            if any(word.lower().encode(encoding) in lower for word in (WORD, UID_ROOT)):
                yield f"{WORD} or UID as {encoding}"
        if UID_ROOT.encode() in content:
            yield f"UID {UID_ROOT}"
        days = {"".join(_DIGITS.findall(written)) for written in _day_spellings(content)}
        yield from (f"date {day}" for day in days & (self.dates | {BIRTH_DATE}))
        hashes = {match[:_HASH_DIGITS].decode() for match in _HEX.findall(lower)}
        yield from (f"hash {digest}" for digest in hashes & _plain_hashes(self.identifiers))


@lru_cache(maxsize=4)
def _plain_hashes(identifiers: tuple[str, ...]) -> frozenset[str]:
    """The first digits of the hashes that anyone could make of an identifier without the key."""
    return frozenset(
        hashlib.new(kind, spelling.encode()).hexdigest()[:_HASH_DIGITS]
        for kind in ("md5", "sha1", "sha256", "sha512")
        for identifier in identifiers
        for spelling in (identifier, identifier.casefold())
    )


def _day_spellings(content: bytes) -> Iterator[str]:
    """Everything that looks like a day, year first: 20210314, 2021-03-14, 14.03.2021 or 03/14/2021."""
    for match in _DAYS.findall(content):
        text = match.decode()
        if "." in text:
            text = "".join(reversed(text.split(".")))
        elif "/" in text:
            month, day, year = text.split("/")
            text = year + month + day
        yield text


_WORDS = re.compile(rb"(?i)" + WORD.encode() + rb"[A-Za-z0-9_^-]{0,40}")
_DAYS = re.compile(rb"(?<![0-9.])[0-9](?:[0-9]{7}|[0-9]{3}-[0-9]{2}-[0-9]{2}|[0-9][./][0-9]{2}[./][0-9]{4})")
_DIGITS = re.compile(r"[0-9]")
_HEX = re.compile(rb"(?<![0-9a-f])[0-9a-f]{10,}")
_HASH_DIGITS = 10


# --- searching --------------------------------------------------------------------------------------------------------

_DEEPEST = 4
_GZIP = b"\x1f\x8b\x08"
_PNG = b"\x89PNG\r\n\x1a\n"
_BASE64 = re.compile(rb"base64,([A-Za-z0-9+/=\s]{16,})")


def layers(content: bytes, depth: int = 0) -> Iterator[bytes]:
    """The bytes themselves and whatever is packed in them: zip members with names and comments (so .mrb, .npz), gzip
    and zlib streams at any place (so NRRD and the texts of PNG), base64 of pages."""
    yield content
    if depth == _DEEPEST:
        return
    for part in _packed(content):
        yield from layers(part, depth + 1)


def _packed(content: bytes) -> Iterator[bytes]:
    if content.startswith(b"PK") and zipfile.is_zipfile(BytesIO(content)):
        with zipfile.ZipFile(BytesIO(content)) as archive:
            yield archive.comment
            for info in archive.infolist():
                yield info.filename.encode() + b"\n" + info.comment + b"\n" + info.extra
                yield archive.read(info)
        return
    start = content.find(_GZIP)
    while start >= 0:
        yield from _inflated(content[start:], 31)
        start = content.find(_GZIP, start + 1)
    if content.startswith(_PNG):
        yield from _png_texts(content)
    for block in _BASE64.findall(content):
        yield base64.b64decode(b"".join(block.split()) + b"===", validate=False)


def _png_texts(content: bytes) -> Iterator[bytes]:
    """The compressed texts of a picture: zTXt, iTXt and colour profiles."""
    at = len(_PNG)
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">L", content, at)
        if content[at + 4 : at + 8] != b"IDAT":
            chunk = content[at + 8 : at + 8 + length]
            for start in range(len(chunk)):
                if chunk[start] == 0x78:
                    yield from _inflated(chunk[start:], 15)
        at += 12 + length


def _inflated(content: bytes, wbits: int) -> Iterator[bytes]:
    try:
        yield zlib.decompressobj(wbits).decompress(content)
    except zlib.error:
        return


# --- planting ---------------------------------------------------------------------------------------------------------


def plant(source: Path, target: Path) -> Canaries:
    """Copy a made cohort with a canary in every field, file name and folder name.

    The first file of each series also carries every text element that the DICOM dictionary knows, private elements and
    an unknown sequence; the others carry what the series' own header holds. What decides how a series is read
    (:data:`KEPT`), numbers and pixels stay.
    """
    dates: set[str] = set()
    identifiers: list[str] = []
    folders: dict[str, str] = {}
    for number, patient in enumerate(sorted((source / "dicom").iterdir())):
        identifier = f"{WORD}ID-{number:04d}"
        identifiers.append(identifier)
        for series in sorted(patient.iterdir()):
            new = Path("dicom") / f"{WORD}DIR-{number:04d}" / f"{series.name}-{WORD}SERIES"
            folders[f"dicom/{patient.name}/{series.name}"] = new.as_posix()
            dates |= _plant_series(sorted(series.iterdir()), target / new, identifier, f"{_PLANTED_ROOT}.{number}")
    rows = list(csv.reader((source / "cohort.csv").open(encoding="utf-8", newline="")))
    head, *patients = rows
    further = ("name", "birth_date", "hospital", "remarks")
    for number, row in enumerate(patients):
        for column, name in enumerate(head):
            if name == "patient":
                row[column] = f"{WORD}ROW-{number:04d}"
                identifiers.append(row[column])
            elif row[column] in folders:
                row[column] = folders[row[column]]
            elif "/" in row[column]:
                row[column] = ""  # the organs' outlines are not copied
            elif re.fullmatch(r"\d{4}-\d\d-\d\d", row[column]):
                dates.add(row[column].replace("-", ""))
    with (target / "cohort.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*head, *further])
        writer.writerows([*row, *(f"{WORD}{name}" for name in further)] for row in patients)
    return Canaries(target / "cohort.csv", tuple(identifiers), frozenset(dates))


def _plant_series(files: list[Path], folder: Path, identifier: str, root: str) -> set[str]:
    folder.mkdir(parents=True)
    header = dcmread(files[0], stop_before_pixels=True)
    dates = {str(element.value)[:8] for element in header if element.VR in ("DA", "DT") and element.value}
    own = _encoded(_planted(header, identifier, root), header)
    rich = own | {tag: piece for tag, piece in _encoded(_everything(), header).items() if tag not in _tags(header)}
    for place, path in enumerate(files):
        start, pieces = _pieces(path.read_bytes())
        uid = f"{root}.{header.Modality == 'CT':d}.{place + 1}"
        pieces |= rich if place == 0 else {tag: piece for tag, piece in own.items() if tag in pieces}
        pieces[0x00080018] = _encoded([DataElement(0x00080018, "UI", uid)], header)[0x00080018]
        content = start + b"".join(pieces[tag] for tag in sorted(pieces))
        (folder / f"{WORD}FILE_{path.name}").write_bytes(content)
    return dates


def _planted(header: Dataset, identifier: str, root: str) -> list[DataElement]:
    """The header's own texts, UIDs and private elements with a canary in each."""
    planted = []
    for element in header:
        if element.keyword in KEPT or element.tag == _PIXELS:
            continue
        value = _canary_for(element, identifier, root, header.Modality)
        if value is not None:
            planted.append(DataElement(element.tag, element.VR, value))
    return planted


def _canary_for(element: DataElement, identifier: str, root: str, modality: str) -> object:
    if element.keyword == "PatientID":
        return identifier
    if element.keyword == "PatientName":
        return f"{WORD}Name^Zo\xeb"
    if element.keyword == "PatientBirthDate":
        return BIRTH_DATE
    if element.VR in _TEXT and not element.tag.is_private:  # private factors of SUV stay what they are
        return _word(element.keyword, element.VR)
    if element.VR == "UI":
        shared = element.keyword in ("StudyInstanceUID", "FrameOfReferenceUID")
        return f"{root}.{int(element.tag)}" + ("" if shared else f".{modality == 'CT':d}")
    if element.VR == "SQ":
        for item in element.value:
            for inner in item:
                value = None if inner.keyword in KEPT else _canary_for(inner, identifier, root, modality)
                if value is not None:
                    inner.value = value
        return element.value
    return None


def _everything() -> list[DataElement]:
    """Every text that the dictionary knows at the top of a header, private elements, and a sequence within a sequence.

    Sequences of functional groups and what turns a series into another kind of object are left out by their VR.
    """
    planted = [
        DataElement(tag, vr, _word(keyword, vr))
        for tag, (vr, _multiple, _name, _retired, keyword) in DicomDictionary.items()
        if vr in _TEXT and keyword and keyword not in KEPT and tag >> 16 not in (0x0000, 0x0002) and tag < 0x60000000
    ]
    planted.append(DataElement(0x00100030, "DA", BIRTH_DATE))
    private = (_PRIVATE_GROUP << 16) + 0x1000
    planted.append(DataElement((_PRIVATE_GROUP << 16) + 0x10, "LO", f"{WORD}CREATOR"))
    planted += [
        DataElement(private + 1, "LO", f"{WORD}PRIVATE"),
        DataElement(private + 2, "UN", f"{WORD}RAW ".encode()),
    ]
    inner, outer = Dataset(), Dataset()
    inner.PatientID, inner.IssuerOfPatientID, inner.InstitutionName = f"{WORD}OTHER", f"{WORD}ISSUER", f"{WORD}DEEP"
    outer.add_new(0x00101002, "SQ", Sequence([inner]))
    outer.PatientBirthDate = BIRTH_DATE
    planted.append(DataElement(0x00101002, "SQ", Sequence([outer])))  # Other Patient IDs Sequence
    return planted


def _word(keyword: str, vr: str) -> str:
    return f"{WORD}{keyword}"[: _TEXT[vr]]


def _tags(header: Dataset) -> set[int]:
    return {int(element.tag) for element in header}


def _encoded(elements: Iterable[DataElement], header: Dataset) -> dict[int, bytes]:
    """Elements as they stand in a file in explicit little endian, by tag."""
    encodings = ["iso8859"] if header.get("SpecificCharacterSet") else ["ascii"]
    pieces = {}
    for element in elements:
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_data_element(buffer, element, encodings)
        pieces[int(element.tag)] = buffer.getvalue()
    return pieces


def _pieces(content: bytes) -> tuple[bytes, dict[int, bytes]]:
    """Preamble with meta information, and the elements of an explicit little-endian file by tag."""
    (length,) = struct.unpack_from("<L", content, 140)
    start = at = 144 + length
    pieces = {}
    while at < len(content):
        group, element, vr, size = struct.unpack_from("<HH2sH", content, at)
        head = 8
        if vr in _LONG:
            (size,), head = struct.unpack_from("<L", content, at + 8), 12
        assert size != 0xFFFFFFFF, "a made file gives the length of each element"
        pieces[(group << 16) + element] = content[at : at + head + size]
        at += head + size
    return content[:start], pieces
