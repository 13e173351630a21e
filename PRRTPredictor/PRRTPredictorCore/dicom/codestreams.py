"""The image size that a compressed frame itself declares, read before any decoder allocates it.

Decoders go by what lies in the codestream, whatever the DICOM header says; so does this module.
"""

from __future__ import annotations

from struct import Struct, error

_END = b"\xff\xd9"  # the markers EOC and EOI
_FILLING = 64
_J2K_STARTS = b"\xff\x4f\xff\x51"  # the markers SOC and SIZ (ISO 15444-1, A.5.1)
_J2K_SIZE = Struct(">8x8LHBBB").unpack_from
_J2K_SIGNED = 0x80
_MOST_TILES = 1024  # openjpeg allocates some kilobytes for each before it decodes any
_JP2_STARTS = b"\0\0\0\x0cjP  \r\n\x87\n"
_JP2_BOX = Struct(">L4s").unpack_from
_JP2_LONG = Struct(">Q").unpack_from

_JPEG_STARTS = b"\xff\xd8"
_JPEG_SEGMENT = Struct(">H").unpack_from
_JPEG_SIZE = Struct(">BHHB").unpack_from  # sample precision, lines, samples a line, components
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_JPEG_LS_PARAMETERS, _OVERSIZE = 0xF8, 4  # ISO 14495-1, C.2.4.1.4: dimensions told once more, elsewhere
_NO_FRAMES = frozenset({0xC4, 0xC8, 0xCC})
_FRAMES = frozenset(range(0xC0, 0xD0)) - _NO_FRAMES | {0xF7}  # SOF0 to SOF15, and SOF55 of JPEG-LS
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})


def declared_shape(codestream: bytes) -> tuple[int, int] | None:
    """Rows and columns of the single-component image that a JPEG, JPEG-LS or JPEG 2000 codestream declares.

    None where it is none of these, is damaged, or declares something that no slice can be: several components,
    subsampling, several sizes, very many tiles.
    """
    try:
        if codestream.startswith(_J2K_STARTS):
            found = j2k_shape_and_sign(codestream)
            return None if found is None else found[0]
        if codestream.startswith(_JP2_STARTS):
            return declared_shape(_codestream_in_boxes(codestream))
        return _jpeg_shape(codestream) if codestream.startswith(_JPEG_STARTS) else None
    except (error, IndexError):
        return None


def is_whole(codestream: bytes) -> bool:
    """Whether a JPEG, JPEG-LS or JPEG 2000 codestream reaches its end marker, give or take some filling.

    No entropy-coded data hold these two bytes. Decoders make what they can of the rest, or look for it without end.
    """
    return _END in codestream[-_FILLING:]


def j2k_shape_and_sign(codestream: bytes) -> tuple[tuple[int, int], bool] | None:
    """Rows and columns, and whether the values are signed, of a raw JPEG 2000 codestream; None as above."""
    if not codestream.startswith(_J2K_STARTS):
        return None
    right, bottom, left, top, *tiling, components, depth, across, down = _J2K_SIZE(codestream)
    tile_width, tile_height, tile_left, tile_top = tiling
    if components != 1 or (across, down) != (1, 1) or not (tile_width and tile_height):
        return None
    if -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height) > _MOST_TILES:
        return None
    return (bottom - top, right - left), bool(depth & _J2K_SIGNED)


def _codestream_in_boxes(file: bytes) -> bytes:
    """The contiguous codestream of a JP2 file (ISO 15444-1, annex I); empty where there is none."""
    at = 0
    while at < len(file):
        length, kind = _JP2_BOX(file, at)
        starts = at + 8
        if length == 1:
            (length,) = _JP2_LONG(file, starts)
            starts += 8
        if kind == b"jp2c":
            return file[starts:]
        if length < starts - at:
            break  # 0, to the end of the file, included
        at += length
    return b""


def _jpeg_shape(codestream: bytes) -> tuple[int, int] | None:
    """Lines and samples a line of the only frame header before the first scan (ISO 10918-1, B.2.2)."""
    at, shape = len(_JPEG_STARTS), None
    while True:
        at = codestream.find(b"\xff", at)
        if at < 0:
            return None
        while codestream[at] == 0xFF:  # fill bytes may precede a marker
            at += 1
        marker = codestream[at]
        at += 1
        if marker == 0 or marker in _WITHOUT_LENGTH:
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            return shape
        (length,) = _JPEG_SEGMENT(codestream, at)
        if marker in _FRAMES:
            _, lines, samples, components = _JPEG_SIZE(codestream, at + 2)
            if shape is not None or components != 1:
                return None
            shape = (lines, samples)
        if length < 2 or (marker == _JPEG_LS_PARAMETERS and codestream[at + 2] == _OVERSIZE):
            return None
        at += length
