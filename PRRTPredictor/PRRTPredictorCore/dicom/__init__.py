"""DICOM files in; PET/CT pairs and volumes in SUVbw or HU out.

Never a guess where the header proves nothing, never a write.
"""
