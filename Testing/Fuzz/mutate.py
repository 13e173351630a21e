"""How files are damaged: any bytes, and DICOM files element by element. The same random numbers damage the same way."""

from __future__ import annotations

import random
import struct
import zlib
from dataclasses import dataclass

_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_DATA_STARTS = 132
_PIXELS = 0x7FE00010
_UNDEFINED = 0xFFFFFFFF
_SYNTAX = b"\x02\x00\x10\x00UI"
_DEFLATED, _IMPLICIT, _BIG_ENDIAN = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.2"

GEOMETRY_AND_PIXELS = frozenset(
    {
        *(0x00280000 | part for part in (0x02, 0x04, 0x06, 0x08, 0x10, 0x11, 0x30, 0x34, 0x100, 0x101, 0x102, 0x103)),
        *(0x00281052, 0x00281053, 0x00281054, 0x00280051, 0x00080008, 0x00080016, 0x00080060, 0x00020010),
        *(0x00200032, 0x00200037, 0x00200052, 0x0020000E, 0x00180050, 0x00180088, 0x00541001, 0x00541102),
        *(0x00101030, 0x00540016, 0x00181074, 0x00181075, 0x00181072, 0x00181078, 0x00080031, 0x00080032),
        *(0x52009229, 0x52009230, 0x00080005, _PIXELS),
    }
)
"""Tags on which volumes and SUV stand; half of all damage to elements goes there."""

HOSTILE_TEXT = (
    *(b"", b"0", b"-1", b"1e308", b"-1e308", b"1e-300", b"1e39", b"nan", b"inf", b"-inf", b"2.7", b"65535", b"65536"),
    *(b"4294967296", b"9" * 40, b"9" * 400, b"\\", b"\\\\\\", b"1\\2", b"1\\0\\0\\0\\1\\0", b"0\\0\\0\\0\\0\\0"),
    *(b"1\\1e150\\0\\0\\1\\0", b"0\\0\\1e300", b"20240230", b"99999999", b"00000000", b"256199.9", b"20200102250000"),
    *(b"ISO_IR 192", b"\\ISO 2022 IR 87", b"GB18030", b"nonsense", b"\x1b$B\x1b(J", b"\xff\xfe\xfd", b"\0\0\0\0"),
    *(b"MONOCHROME1", b"RGB", b"CT", b"PT", b"LOCALIZER", b"BQML", b"GML", b"CNTS", b"START", b"NONE", b"ADMIN"),
    *(b"../../x", b"<script>", b"=cmd()", b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.5", _DEFLATED, _BIG_ENDIAN),
)
HOSTILE_LENGTHS = (0, 1, 2, 7, 0x7F, 0xFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFE, _UNDEFINED)
_BLOCKS = (
    *(b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\xfe\xff\x00\xe0\xff\xff\xff\xff"),
    *(b"\xfe\xff\xdd\xe0\0\0\0\0", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xe0\x7f\x10\x00", b"\xff\x4f\xff\x51", b"\xff\xd8"),
    *(b"\xff\xd9", b"\xff\xda", b"\xff\xc3", b"\xff\xf7", b"SQ\0\0\xff\xff\xff\xff", b"UN\0\0", b"OB\0\0"),
)


@dataclass(frozen=True)
class Element:
    """Where an element lies: its tag's first byte, its length field and the bytes of that, its value."""

    tag: int
    at: int
    length_at: int
    length_bytes: int
    value_at: int
    length: int

    @property
    def end(self) -> int:
        return self.value_at + (0 if self.length == _UNDEFINED else self.length)


def elements_of(content: bytes) -> list[Element]:
    """Elements of a little-endian DICOM file up to the pixel data, those within sequences too; no proof is asked."""
    found: list[Element] = []
    syntax = _transfer_syntax(content)
    at = _DATA_STARTS
    while at + 12 <= len(content) and syntax != _BIG_ENDIAN:
        group, number = struct.unpack_from("<HH", content, at)
        tag = group << 16 | number
        if group == 0xFFFE:
            at += 8
            continue
        vr = content[at + 4 : at + 6]
        if group != 2 and syntax == _IMPLICIT:
            element = _element(content, tag, at, 4, 4, 8)
            nested = content[element.value_at : element.value_at + 4] == b"\xfe\xff\x00\xe0"
        elif vr in _LONG_VRS:
            element = _element(content, tag, at, 8, 4, 12)
            nested = vr == b"SQ" or element.length == _UNDEFINED
        else:
            element = _element(content, tag, at, 6, 2, 8)
            nested = False
        found.append(element)
        if tag == _PIXELS:
            break
        at = element.value_at if nested else element.end
    return found


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Damage a DICOM file in one to some places; deflated data sets are damaged as inflated ones, too."""
    starts = _deflated_at(content)
    if starts and rng.random() < 0.7:
        return content[:starts] + _deflate(_damaged(content[:starts] + _inflate(content[starts:]), rng)[starts:])
    return _damaged(content, rng)


def flipped(content: bytes, rng: random.Random, most: int = 30) -> bytes:
    """Damage a file of any format, byte by byte and block by block."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, most))):
        if not damaged:
            break
        _damage_bytes(damaged, rng, rng.randrange(len(damaged)))
    return bytes(damaged)


# --- elements ---------------------------------------------------------------------------------------------------------


def _element(content: bytes, tag: int, at: int, length_at: int, length_bytes: int, value_at: int) -> Element:
    (length,) = struct.unpack_from("<L" if length_bytes == 4 else "<H", content, at + length_at)
    return Element(tag, at, at + length_at, length_bytes, at + value_at, length)


def _damaged(content: bytes, rng: random.Random) -> bytes:
    elements = elements_of(content)
    damaged = bytearray(content)
    if elements and rng.random() < 0.75:
        central = [element for element in elements if element.tag in GEOMETRY_AND_PIXELS] or elements
        chosen = {rng.choice(central if rng.random() < 0.5 else elements) for _ in range(rng.choice((1, 1, 1, 2, 4)))}
        for element in sorted(chosen, key=lambda element: element.at, reverse=True):  # those before stay in place
            _damage_element(damaged, element, rng)
    if rng.random() < 0.4 or bytes(damaged) == content:
        pixels = next((element.value_at for element in elements if element.tag == _PIXELS), 0)
        for _ in range(rng.choice((1, 1, 2, 5, 30))):
            within_pixels = pixels and rng.random() < 0.5
            first = pixels if within_pixels else 128
            last = first + 600 if within_pixels and rng.random() < 0.5 else len(damaged)
            if first < min(last, len(damaged)):
                _damage_bytes(damaged, rng, rng.randrange(first, min(last, len(damaged))))
    return bytes(damaged)


def _damage_element(content: bytearray, element: Element, rng: random.Random) -> None:
    how = rng.random()
    value = bytes(content[element.value_at : element.end])
    if how < 0.45:
        _write_value(content, element, rng.choice(HOSTILE_TEXT) if rng.random() < 0.7 else flipped(value, rng, 3))
    elif how < 0.6:
        _write_value(content, element, _binary(rng))
    elif how < 0.72:
        length = rng.choice(HOSTILE_LENGTHS) & (0xFFFF if element.length_bytes == 2 else _UNDEFINED)
        content[element.length_at : element.length_at + element.length_bytes] = length.to_bytes(
            element.length_bytes, "little"
        )
    elif how < 0.8:
        del content[element.at : element.end]
    elif how < 0.87:
        content[element.at : element.at] = content[element.at : element.end]
    elif how < 0.95:
        vr = rng.choice((b"SQ", b"UN", b"OB", b"DS", b"IS", b"US", b"FD", b"UI", b"PN", b"AT", b"??", b"\0\0"))
        content[element.at + 4 : element.at + 6] = vr
    else:
        deep = b"\xe1\xff\x10\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * rng.choice((1, 5, 400))
        content[element.at : element.at] = deep


def _binary(rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return struct.pack("<H", rng.choice((0, 1, 2, 8, 12, 16, 17, 32, 64, 255, 8192, 8193, 32768, 65535)))
    return struct.pack("<d", rng.choice((0.0, -1.0, 1e308, 1e-308, float("nan"), float("inf"), 2.5)))


def _write_value(content: bytearray, element: Element, value: bytes) -> None:
    value += b" " * (len(value) % 2)
    if element.length_bytes == 2:
        value = value[:0xFFFE]
    content[element.value_at : element.end] = value
    content[element.length_at : element.length_at + element.length_bytes] = len(value).to_bytes(
        element.length_bytes, "little"
    )


def _damage_bytes(content: bytearray, rng: random.Random, at: int) -> None:
    how = rng.random()
    if how < 0.4:
        content[at] = rng.randrange(256)
    elif how < 0.5:
        content[at] ^= 1 << rng.randrange(8)
    elif how < 0.65:
        block = rng.choice(_BLOCKS)
        content[at : at + len(block)] = block
    elif how < 0.75:
        del content[at : at + rng.randrange(1, 40)]
    elif how < 0.85:
        content[at:at] = content[at : at + rng.randrange(1, 60)]
    elif how < 0.93:
        other = rng.randrange(len(content))
        size = rng.randrange(1, 40)
        content[at : at + size] = content[other : other + size]
    else:
        del content[at:]


# --- transfer syntaxes ------------------------------------------------------------------------------------------------


def _transfer_syntax(content: bytes) -> bytes:
    at = content.find(_SYNTAX, _DATA_STARTS, 1024)
    if at < 0 or at + 8 > len(content):
        return b""
    (length,) = struct.unpack_from("<H", content, at + 6)
    return content[at + 8 : at + 8 + length].rstrip(b"\0 ")


def _deflated_at(content: bytes) -> int:
    """Byte at which a deflated data set starts; 0 where there is none."""
    starts_well = content[_DATA_STARTS : _DATA_STARTS + 4] == b"\x02\0\0\0" and len(content) >= _DATA_STARTS + 12
    if not starts_well or _transfer_syntax(content) != _DEFLATED:
        return 0
    (length,) = struct.unpack_from("<L", content, _DATA_STARTS + 8)
    return _DATA_STARTS + 12 + int(length)


def _inflate(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, 1 << 24)
    except zlib.error:
        return packed


def _deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()
