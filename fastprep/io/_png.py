"""What Pillow does not check in a PNG: that its pixels are all there.

Pillow leaves rows black, without a word, when the compressed stream is whole but too short.
"""

from __future__ import annotations

import struct
import zlib

from fastprep.core.errors import ReadError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7: first column and row, then steps, of each pass.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def check_png(data: bytes, name: str) -> None:
    """ReadError unless ``data`` is a PNG that Pillow reads without loss and whose stream holds every row.

    16 bits are accepted in grayscale only: Pillow drops half of them from colour and alpha. Call it after Pillow has
    verified the chunks and the size of the picture is known to be sane.
    """
    width, height, bits, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if bits == 16 and colour != 0:
        msg = f"{name}: 16-bit PNG with colour or alpha: expected 8-bit, or 16-bit grayscale"
        raise ReadError(msg)
    expected = _stream_length(width, height, bits * _CHANNELS[colour], bool(interlaced))
    # Corruption raises zlib.error here: Pillow also ignores the stream's own checksum.
    found = len(zlib.decompressobj().decompress(_stream(data), expected + 1))
    if found < expected:
        msg = f"{name}: truncated: {found} of {expected} bytes of pixels"
        raise ReadError(msg)


def _stream(data: bytes) -> bytes:
    pieces, at = [], len(SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            pieces.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    return b"".join(pieces)


def _stream_length(width: int, height: int, bits_per_pixel: int, interlaced: bool) -> int:
    """Bytes of all scan lines, each with its filter byte."""
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for x, y, step_x, step_y in passes:
        columns, rows = -(-(width - x) // step_x), -(-(height - y) // step_y)
        if columns > 0:
            total += max(rows, 0) * (1 + -(-columns * bits_per_pixel // 8))
    return total
