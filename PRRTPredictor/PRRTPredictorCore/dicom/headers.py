"""DICOM headers: files opened without their pixels, multi-frame headers flattened."""

from __future__ import annotations

import os
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag

from ..errors import Code, DicomRefused
from ..progress import Progress, silent
from .plain import HEADER_BYTES, plain_header
from .values import HEADER_ERRORS, items, number, text

_SHARED_GROUPS = Tag("SharedFunctionalGroupsSequence")
_PER_FRAME_GROUPS = Tag("PerFrameFunctionalGroupsSequence")
_UNASSIGNED = (Tag("UnassignedSharedConvertedAttributesSequence"), Tag("UnassignedPerFrameConvertedAttributesSequence"))
_KEPT_WHOLE = (Tag("RealWorldValueMappingSequence"), Tag("ConversionSourceAttributesSequence"))
_MOST_FRAMES = 65_536
_DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
_PREAMBLE_BYTES = 132


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A DICOM file whose header was read.

    Attributes
    ----------
    header : Dataset
        Everything before the pixel data, as written (functional groups not yet flattened).
    pixel_offset : int
        Byte at which the pixel data element starts; the file's size when there is none. Without meaning for a
        deflated transfer syntax, as is ``pixel_element``.
    pixel_element : bytes
        The first twelve bytes of that element: its tag, VR and length.
    size : int
        Bytes in the file.
    """

    path: Path
    header: Dataset
    pixel_offset: int
    pixel_element: bytes
    size: int

    @property
    def transfer_syntax(self) -> str:
        """Transfer Syntax UID (0002,0010); empty when the file meta information lacks it."""
        meta = getattr(self.header, "file_meta", None)
        return "" if meta is None else text(meta, "TransferSyntaxUID")

    @property
    def sop_class(self) -> str:
        """SOP Class UID, from the file meta information where the data set was cut before it."""
        meta = getattr(self.header, "file_meta", None)
        return text(self.header, "SOPClassUID") or ("" if meta is None else text(meta, "MediaStorageSOPClassUID"))


# --- opening ----------------------------------------------------------------------------------------------------------


def files_of(source: Path | str | Sequence[Path]) -> tuple[Path, ...]:
    """List the files of a source in a fixed order.

    Parameters
    ----------
    source : Path or sequence of Path
        A folder (searched to any depth), one file, or the files themselves.

    Raises
    ------
    DicomRefused
        PATH_MISSING, EMPTY_FOLDER.
    """
    if not isinstance(source, (str, Path)):
        files = tuple(dict.fromkeys(Path(path) for path in source))
        if not files:
            raise DicomRefused(Code.EMPTY_FOLDER, "No files were given.", remedy="Name the files of one series.")
        for path in files:
            if not path.is_file():
                raise _missing(path)
        return files
    root = Path(source)
    if root.is_file():
        return (root,)
    if not root.is_dir():
        raise _missing(root)
    found = tuple(map(Path, _files_below(root)))
    if not found:
        raise DicomRefused(
            Code.EMPTY_FOLDER,
            "The folder holds no files.",
            where=shown(root),
            remedy="Choose the folder that holds the slices of one series.",
        )
    return found


def _files_below(folder: Path | str) -> Iterator[str]:
    """Paths of all files in a folder, to any depth, by name; folders behind links are passed over."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except PermissionError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(entry.path)
        elif Path(entry.path).is_file() if entry.is_symlink() else entry.is_file():  # a link may lead to itself
            yield entry.path


def shown(path: Path) -> str:
    """A path as errors name it: without the folders above, which are often named after patients."""
    return path.name or str(path)


def open_file(path: Path) -> DicomFile | None:
    """Read the header of one file, without its pixels.

    Returns
    -------
    DicomFile or None
        None where the file is no DICOM file (no part-10 preamble, PS3.10 section 7.1).

    Raises
    ------
    DicomRefused
        For a file that is named like a DICOM file or starts as one, so that a slice would be lost without a word:
        TRUNCATED where it is too short to be one, NOT_DICOM where it is none, or is damaged.
    """
    try:
        with path.open("rb", buffering=HEADER_BYTES) as file, without_warnings():
            size = os.fstat(file.fileno()).st_size
            if size < _PREAMBLE_BYTES and _claims_to_be_dicom(path):
                raise truncated(path, "The file is empty." if size == 0 else "The file ends before its header.")
            start = file.read(HEADER_BYTES)
            plain = plain_header(start)
            if plain is not None:
                header, offset = plain
                return DicomFile(path, header, offset, start[offset : offset + 12], size)
            file.seek(0)
            header = dcmread(file, stop_before_pixels=True)
            return DicomFile(path, header, file.tell(), file.read(12), size)
    except InvalidDicomError as error:
        if not _claims_to_be_dicom(path):
            return None
        raise DicomRefused(
            Code.NOT_DICOM,
            "The file is named like a DICOM file, but is none, or is damaged.",
            where=shown(path),
            remedy="Copy or export the series again; take the file out of the folder if it does not belong there.",
        ) from error
    except PermissionError as error:
        raise DicomRefused(
            Code.NOT_DICOM,
            f"The file cannot be read ({error.strerror}).",
            where=shown(path),
            remedy="Check the permissions of the file and of its folder.",
        ) from error
    except zlib.error as error:
        raise truncated(path, "The deflated data set ends too early.") from error
    except HEADER_ERRORS as error:
        raise DicomRefused(
            Code.NOT_DICOM,
            "The file starts as DICOM, but its header is damaged or cannot be read.",
            where=shown(path),
            remedy="Copy or export this file again from the archive.",
        ) from error


def open_files(files: Sequence[Path], progress: Progress = silent, stage: str = "headers") -> Iterator[DicomFile]:
    """Open many files one after another, passing over those that are no DICOM files."""
    for done, path in enumerate(files, start=1):
        file = open_file(path)
        progress(stage, done, len(files))
        if file is not None:
            yield file


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence pydicom's warnings of values that break a rule of their VR; what matters is checked where it is used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def truncated(path: Path, message: str) -> DicomRefused:
    """Return the refusal of a file that ends too early."""
    return DicomRefused(
        Code.TRUNCATED, message, where=shown(path), remedy="Copy or export the series again; this file is incomplete."
    )


def _claims_to_be_dicom(path: Path) -> bool:
    # Hidden files are the system's own: macOS puts "._0001.dcm" beside "0001.dcm" on foreign disks.
    return path.suffix.lower() in _DICOM_SUFFIXES and not path.name.startswith(".")


def _missing(path: Path) -> DicomRefused:
    return DicomRefused(
        Code.PATH_MISSING,
        "The file or folder does not exist.",
        where=shown(path),
        remedy="Check the spelling and whether the disk is mounted.",
    )


# --- flattening -------------------------------------------------------------------------------------------------------


def frame_count(header: Dataset) -> int:
    """Number of Frames (0028,0008); 1 where the file leaves it out."""
    count = number(header, "NumberOfFrames")
    return 1 if count is None else int(count)


def flat_headers(header: Dataset) -> tuple[Dataset, ...]:
    """Give every frame a header of its own that reads like one of a classic single-frame file.

    A header without functional groups comes back as it is, once a frame. Otherwise shared and then per-frame groups
    (PS3.3 section C.7.6.16), the unassigned attributes of legacy-converted objects first, are laid over the root's
    attributes. Frame-wise names are copied to their classic ones where these are absent: Frame Acquisition DateTime
    to Acquisition Date and Time, Frame Acquisition Duration to Actual Frame Duration, Frame Type to Image Type.

    Returns
    -------
    tuple of Dataset, one a frame, in stored order
    """
    frames = max(frame_count(header), 1)
    if frames > _MOST_FRAMES:
        raise DicomRefused(
            Code.BAD_GEOMETRY,
            f"The header announces {frames} frames.",
            remedy="Export the series again; this multi-frame object is damaged.",
        )
    if _SHARED_GROUPS not in header and _PER_FRAME_GROUPS not in header:
        return (header,) * frames
    root = Dataset()
    _copy(header, root, header.keys() - {_SHARED_GROUPS, _PER_FRAME_GROUPS})
    for group in items(header, "SharedFunctionalGroupsSequence")[:1]:
        _overlay(root, group)
    groups = items(header, "PerFrameFunctionalGroupsSequence")
    if len(groups) not in (0, frames):
        raise DicomRefused(
            Code.BAD_GEOMETRY,
            f"The multi-frame header describes {len(groups)} frames, but {frames} are announced.",
            remedy="Export the series again; this multi-frame object contradicts itself.",
        )
    if not groups:
        _add_classic_names(root)
        return (root,) * frames
    flat = []
    for group in groups:
        frame = Dataset()
        frame.update(root)
        _overlay(frame, group)
        _add_classic_names(frame)
        flat.append(frame)
    return tuple(flat)


def _overlay(target: Dataset, group: Dataset) -> None:
    unassigned_first = sorted(group.keys(), key=lambda tag: tag not in _UNASSIGNED)
    for tag in unassigned_first:
        try:
            value = group[tag].value
        except HEADER_ERRORS:
            continue
        if not isinstance(value, DicomSequence) or len(value) != 1 or tag.is_private or tag in _KEPT_WHOLE:
            _copy(group, target, (tag,))
        else:
            _copy(value[0], target, value[0].keys())


def _copy(source: Dataset, target: Dataset, tags: Iterable[BaseTag]) -> None:
    """Copy elements as they were read, leaving behind those that cannot be."""
    for tag in tuple(tags):
        with suppress(*HEADER_ERRORS):
            target[tag] = source.get_item(tag)


def _add_classic_names(frame: Dataset) -> None:
    moment = text(frame, "FrameAcquisitionDateTime") or text(frame, "AcquisitionDateTime")
    digits = re.match(r"(\d{8})(\d{2,6}(?:\.\d{1,6})?)", moment)
    if digits and not text(frame, "AcquisitionTime"):
        frame.AcquisitionDate, frame.AcquisitionTime = digits.groups()
    duration = number(frame, "FrameAcquisitionDuration")
    if duration is not None and number(frame, "ActualFrameDuration") is None:
        frame.ActualFrameDuration = str(round(duration))
    if "FrameType" in frame:
        frame.ImageType = frame.FrameType
