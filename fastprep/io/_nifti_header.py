"""The words of a NIfTI header: which version and byte order, and how the voxels lie in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastprep.core.errors import DTypeError, ReadError
from fastprep.io._extras import require

DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_REFUSED = {
    1: "bits", 32: "complex64", 128: "RGB", 1536: "float128", 1792: "complex128", 2048: "complex256", 2304: "RGBA",
}  # fmt: skip
_MAGIC = {348: b"n+1\0", 540: b"n+2\0\r\n\x1a\n"}
PAIR = "{}: header and voxels in two files (.hdr/.img) are not supported; save it as one .nii file"


@dataclass(frozen=True)
class Layout:
    """Shape in array order, dtype in the file's byte order, and the byte at which the voxels start."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


def read_header(stream: Any, name: str) -> Any:
    """The nibabel header at the start of ``stream``, either version and byte order, or ReadError."""
    nibabel = require("nibabel")
    start = stream.read(4)
    sizes = {"<": int.from_bytes(start, "little"), ">": int.from_bytes(start, "big")}
    endianness = next((e for e, size in sizes.items() if size in _MAGIC), None)
    if endianness is None:
        msg = f"{name}: not a NIfTI file" if start else f"{name}: empty file"
        raise ReadError(msg)
    size = sizes[endianness]
    block = start + stream.read(size - 4)
    if len(block) < size:
        msg = f"{name}: truncated inside the header, {len(block)} of {size} bytes"
        raise ReadError(msg)
    kind = nibabel.Nifti1Header if size == 348 else nibabel.Nifti2Header
    header = kind(block, endianness=endianness, check=False)
    magic = block[344:348] if size == 348 else block[4:12]
    if magic in (b"ni1\0", b"ni2\0\r\n\x1a\n"):
        raise ReadError(PAIR.format(name))
    if magic != _MAGIC[size]:
        msg = f"{name}: not a NIfTI file: magic is {magic!r}, expected {_MAGIC[size]!r}"
        raise ReadError(msg)
    return header


def layout_of(header: Any, name: str) -> Layout:
    """How the voxels lie; ReadError where the words make no sense, DTypeError for numbers without an order."""
    count = int(header["dim"][0])
    if not 2 <= count <= 7:
        msg = f"{name}: dim[0]={count}: expected 2 to 7 dimensions"
        raise ReadError(msg)
    dims = [int(n) for n in header["dim"][1 : count + 1]]
    if min(dims) < 1:
        msg = f"{name}: dim={dims}: expected sizes of at least 1"
        raise ReadError(msg)
    code = int(header["datatype"])
    if code in _REFUSED:
        msg = f"{name}: holds {_REFUSED[code]} voxels: expected real numbers of up to 64 bits"
        raise DTypeError(msg)
    if code not in DTYPES:
        msg = f"{name}: datatype={code}: not a type of the NIfTI standard"
        raise ReadError(msg)
    offset, smallest = float(header["vox_offset"]), int(header["sizeof_hdr"])
    if not (smallest <= offset < 2**53 and offset.is_integer()):
        msg = f"{name}: vox_offset={offset}: expected a whole number of at least {smallest}"
        raise ReadError(msg)
    dtype = np.dtype(DTYPES[code]).newbyteorder(header.endianness)
    return Layout(tuple(reversed(dims)), dtype, int(offset))
