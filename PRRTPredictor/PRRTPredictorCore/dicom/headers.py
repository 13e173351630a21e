"""DICOM headers: the files of a source found, and opened without their pixels."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset

from ..errors import Code, DicomRefused
from ..progress import Progress, silent
from .bounds import LARGEST_INFLATED_HEADER, LARGEST_VALUE, BoundedFile, InflatedFile
from .plain import HEADER_BYTES, PIXEL_ELEMENTS, deflated_meta, plain_header
from .values import HEADER_ERRORS, text, without_warnings

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
        Byte at which the pixel data element starts, within the inflated data set where that is deflated; the end when
        there is none.
    pixel_element : bytes
        The first twelve bytes of that element: its tag, VR and length.
    size : int
        Bytes in the file.
    deflated_at : int or None
        Byte at which a deflated data set starts; None where it is not deflated.
    """

    path: Path
    header: Dataset
    pixel_offset: int
    pixel_element: bytes
    size: int
    deflated_at: int | None = None

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


def _files_below(folder: Path) -> Iterator[str]:
    """Paths of all files in a folder, to any depth, by name; folders behind links are passed over."""
    listings = [_listing(folder)]
    while listings:
        entry = next(listings[-1], None)
        if entry is None:
            listings.pop()
        elif entry.is_dir(follow_symlinks=False):
            listings.append(_listing(entry.path))
        elif Path(entry.path).is_file() if entry.is_symlink() else entry.is_file():  # a link may lead to itself
            yield entry.path


def _listing(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """What lies in a folder, by name; nothing where the user may not look."""
    try:
        with os.scandir(folder) as listing:
            return iter(sorted(listing, key=lambda entry: entry.name))
    except PermissionError:
        return iter(())
    except OSError as error:
        raise DicomRefused(
            Code.PATH_MISSING,
            f"A folder cannot be listed ({error.strerror}).",
            where=shown(Path(folder)),
            remedy="Check the disk or network folder that it lies on; name a folder further down.",
        ) from error


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
            if (meta := deflated_meta(start)) is not None:
                return _deflated(path, file, size, *meta)
            file.seek(0)
            bounded: Any = BoundedFile(file, size)
            header = dcmread(bounded, stop_before_pixels=True, defer_size=LARGEST_VALUE)
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


def _deflated(path: Path, file: BinaryIO, size: int, meta: FileMetaDataset, deflated_at: int) -> DicomFile:
    """Read the header of a deflated data set, inflating no more of it; pydicom would inflate it whole."""
    file.seek(deflated_at)
    inflated: Any = InflatedFile(file, LARGEST_INFLATED_HEADER)
    header = read_dataset(inflated, False, True, stop_when=lambda tag, vr, length: tag in PIXEL_ELEMENTS)
    header.file_meta = meta
    return DicomFile(path, header, inflated.tell(), inflated.read(12), size, deflated_at)


def open_files(files: Sequence[Path], progress: Progress = silent, stage: str = "headers") -> Iterator[DicomFile]:
    """Open many files one after another, passing over those that are no DICOM files."""
    for done, path in enumerate(files, start=1):
        file = open_file(path)
        progress(stage, done, len(files))
        if file is not None:
            yield file


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
