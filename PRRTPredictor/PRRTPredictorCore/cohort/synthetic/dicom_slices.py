"""Writes series of single-frame DICOM files quickly: what all slices share is encoded once.

Part-10 files, Explicit VR Little Endian (PS3.10, PS3.5 A.2).
"""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian

_ENCODINGS = ["iso8859"]


class SliceWriter:
    """Writes the slices of one series.

    Parameters
    ----------
    common : Dataset
        Everything that the slices share, SOP Class UID included.
    """

    def __init__(self, common: Dataset) -> None:
        self._sop_class = common.SOPClassUID
        self._common = _encoded(common)

    def write(self, path: Path, own: Dataset) -> None:
        """Write one slice; ``own`` holds what is its own: SOP Instance UID, position, times, pixels …"""
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = self._sop_class
        meta.MediaStorageSOPInstanceUID = own.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        head = DicomBytesIO()
        head.write(b"\0" * 128 + b"DICM")
        write_file_meta_info(head, meta, enforce_standard=True)
        elements = {**self._common, **_encoded(own)}
        path.write_bytes(head.getvalue() + b"".join(elements[tag] for tag in sorted(elements)))


def _encoded(dataset: Dataset) -> dict[int, bytes]:
    """Each top-level element as the bytes that stand in the file."""
    encoded: dict[int, bytes] = {}
    for element in dataset:
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_data_element(buffer, element, _ENCODINGS)
        encoded[int(element.tag)] = buffer.getvalue()
    return encoded
