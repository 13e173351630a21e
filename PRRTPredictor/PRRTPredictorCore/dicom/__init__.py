"""DICOM files in; PET/CT pairs and volumes in SUVbw or HU out.

Never a guess where the header proves nothing, never a write.
"""

READING_VERSION = 3
"""Raised whenever the same files give other voxels, another place, or are judged otherwise; caches look at it."""
