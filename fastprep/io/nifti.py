"""NIfTI-1 and NIfTI-2, plain or gzipped, to Image and back.

NIfTI stores (i, j, k) with i fastest: the same bytes, read as (z, y, x) with x fastest, are fastprep's array, so
neither way moves a voxel. The affine's columns are permuted to match.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError, DTypeError, FastprepError, GeometryError, ReadError, ShapeError
from fastprep.core.grid import Grid
from fastprep.core.image import Image, Kind
from fastprep.core.ramp import Ramp
from fastprep.core.threads import run_slabs
from fastprep.io._extras import require
from fastprep.io._gzip import MAGIC, MOST_EXPANSION, check_level, open_gzip, write_gzip
from fastprep.io._host import host_array, physical_memory
from fastprep.io._nifti_header import DTYPES, PAIR, Layout, layout_of, read_header
from fastprep.io._nifti_space import AffineSource, voxel_to_world
from fastprep.io.atomic import atomic_path

# NIfTI columns (i, j, k) to array columns; each is its own inverse. A 2-D grid keeps its normal third.
_COLUMNS = {2: [1, 0, 2, 3], 3: [2, 1, 0, 3]}
_LARGEST_NIFTI1_DIM = 32767
#: Cosine between two axes above which a grid has no qform (a rotation cannot hold a shear).
_LARGEST_QFORM_SHEAR = 1e-4
_PIECE = 1 << 18


def read_nifti(
    path: str | os.PathLike[str], *, rescale: bool = True, kind: Kind = "scalar", affine: AffineSource = "header"
) -> Image:
    """A .nii or .nii.gz file as an Image of (z, y, x), (y, x) for ``dim[0] == 2``; further dimensions lead.

    Formula: ``physical = scl_slope * stored + scl_inter``, identity where the slope is 0 or NaN. With
    ``rescale=False`` the stored numbers come back and ``Image.rescale`` holds the map.

    Dtype: as stored, in native byte order; an integer offset that fits keeps it; any other rescale gives float32,
    rounded once from float64.

    Frame: RAS millimetres in float64. The sform where its code is set, else the qform. ``affine="pixdim"`` accepts a
    file that has neither, with a warning. ``xyzt_units`` of metres and micrometres are converted; unknown is mm.

    Warns
    -----
    UserWarning
        sform and qform disagree by more than 1e-3 of a voxel or 0.1 mm; units that pixdim and sform do not share;
        no orientation.

    Raises
    ------
    ReadError
        No such file, not NIfTI, a .hdr/.img pair, truncated, corrupt, or larger than its file or the memory.
    GeometryError
        No orientation, singular, not finite, voxel sizes that are not positive or that the sform contradicts.
    DTypeError
        Complex, RGB, float128 or bits.
    """
    name = os.fspath(path)
    if name.lower().endswith((".hdr", ".img")):
        raise ReadError(PAIR.format(name))
    try:
        with open(name, "rb") as file:
            packed = file.read(2) == MAGIC
            file.seek(0)
            size = os.fstat(file.fileno()).st_size
            if not packed:
                return _read(file, name, size, rescale, kind, affine)
        with open_gzip(name) as stream:
            image = _read(stream, name, size * MOST_EXPANSION, rescale, kind, affine)
            # The checksum is at the end of the stream, past any bytes the header does not speak of.
            while stream.read(1 << 20):
                pass
            return image
    except FastprepError:
        raise
    except FileNotFoundError as error:
        msg = f"no such file or folder: {name}"
        raise ReadError(msg) from error
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        msg = f"{name}: {reason}"
        raise ReadError(msg) from error


def describe_nifti(
    path: str | os.PathLike[str], *, affine: AffineSource = "header"
) -> tuple[Grid, tuple[int, ...], np.dtype[Any], Ramp]:
    """Grid, shape, stored dtype and rescale of a .nii or .nii.gz file from its header alone; raises as `read_nifti`."""
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            packed = file.read(2) == MAGIC
            file.seek(0)
            size = os.fstat(file.fileno()).st_size
            with open_gzip(name) if packed else nullcontext(file) as stream:
                header, layout, grid = _described(stream, name, affine)
        _refuse_larger_than(size * (MOST_EXPANSION if packed else 1), layout, name)
    except FastprepError:
        raise
    except OSError as error:
        msg = f"{name}: {error.strerror or error}"
        raise ReadError(msg) from error
    return grid, layout.shape, layout.dtype.newbyteorder("="), _ramp(header, name)


def _read(stream: Any, name: str, most_bytes: int, rescale: bool, kind: Kind, source: AffineSource) -> Image:
    header, layout, grid = _described(stream, name, source)
    _refuse_larger_than(most_bytes, layout, name)
    ramp = _ramp(header, name)
    array = _voxels(stream, layout, int(header["sizeof_hdr"]), name)
    if rescale and not ramp.is_identity:
        array, ramp = _rescaled(array, ramp, name), Ramp()
    return Image(array, grid, kind=kind, rescale=ramp)


def _described(stream: Any, name: str, source: AffineSource) -> tuple[Any, Layout, Grid]:
    header = read_header(stream, name)
    layout = layout_of(header, name)
    ndim = min(3, len(layout.shape))
    world = voxel_to_world(header, ndim, name, source)
    try:
        grid = Grid(layout.shape[len(layout.shape) - ndim :], world[:, _COLUMNS[ndim]])
    except GeometryError as error:
        msg = f"{name}: {error}"
        raise GeometryError(msg) from error
    return header, layout, grid


def _refuse_larger_than(most_bytes: int, layout: Layout, name: str) -> None:
    if layout.offset + layout.nbytes > most_bytes:
        msg = f"{name}: truncated: shape {layout.shape} of {layout.dtype.name} needs more bytes than the file can hold"
        raise ReadError(msg)
    if layout.nbytes > physical_memory():
        msg = f"{name}: {layout.nbytes} bytes of voxels: more than the memory of this machine"
        raise ReadError(msg)


def _voxels(stream: Any, layout: Layout, position: int, name: str) -> npt.NDArray[Any]:
    while position < layout.offset:
        skipped = len(stream.read(min(layout.offset - position, 1 << 20)))
        if not skipped:
            msg = f"{name}: truncated before the voxels, at byte {position} of {layout.offset}"
            raise ReadError(msg)
        position += skipped
    array = np.empty(layout.shape, layout.dtype)
    view = array.reshape(-1).view(np.uint8).data
    filled = 0
    while filled < len(view):
        count = stream.readinto(view[filled:])
        if not count:
            msg = f"{name}: truncated: {filled} of {len(view)} bytes of voxels"
            raise ReadError(msg)
        filled += count
    if array.dtype.isnative:
        return array
    return array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))


def _ramp(header: Any, name: str) -> Ramp:
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or np.isnan(slope):
        return Ramp()
    if not (np.isfinite(slope) and np.isfinite(inter)):
        msg = f"{name}: scl_slope={slope}, scl_inter={inter}: expected finite numbers"
        raise ReadError(msg)
    return Ramp(slope, inter)


def _rescaled(array: npt.NDArray[Any], ramp: Ramp, name: str) -> npt.NDArray[Any]:
    if ramp.a == 1 and ramp.b.is_integer() and array.dtype.kind in "iu" and _fits(array, int(ramp.b), array.dtype):
        # Through a wide type would copy; modular arithmetic lands on the right number because it fits.
        array += np.array(int(ramp.b) % 2 ** (8 * array.itemsize), f"u{array.itemsize}").astype(array.dtype)
        return array
    flat, out = array.reshape(-1), np.empty(array.size, np.float32)

    def work(start: int, stop: int) -> None:
        with np.errstate(over="raise", invalid="ignore"):
            for at in range(start, stop, _PIECE):
                end = min(at + _PIECE, stop)
                out[at:end] = flat[at:end].astype(np.float64) * ramp.a + ramp.b

    try:
        run_slabs(work, array.size, smallest=_PIECE)
    except FloatingPointError as error:
        msg = f"{name}: scl_slope={ramp.a} and scl_inter={ramp.b} leave the range of float32"
        raise ReadError(msg) from error
    return out.reshape(array.shape)


def _fits(array: npt.NDArray[Any], offset: int, dtype: npt.DTypeLike) -> bool:
    limits = np.iinfo(dtype)
    return bool(int(array.min()) + offset >= limits.min and int(array.max()) + offset <= limits.max)


def write_nifti(image: Image, path: str | os.PathLike[str], *, level: int = 1) -> None:
    """Write ``image`` to .nii or .nii.gz (by suffix), whole or not at all.

    ``level`` is ISA-L's, 0 (fastest) to 3 (smallest). Channels and other leading axes become dimensions 4 to 7.

    Dtype: NIfTI has neither bool nor float16, so they are written as uint8 and float32; int64 and uint64, which
    many readers refuse, as int32 where every value fits. The others are kept. A pending ``image.rescale`` becomes
    ``scl_slope`` and ``scl_inter``, else they are 1 and 0.

    Frame: sform and qform with code 1 (scanner); no qform for a sheared grid. NIfTI-1 stores float32, so the affine
    comes back within 6e-8 of each entry (3e-5 mm at 500 mm). A size above 32767 makes the file NIfTI-2 (float64).

    Raises
    ------
    DTypeError
        Complex or longer than 64 bits, or 64-bit integers beyond int32.
    ShapeError
        More than 7 dimensions, an empty axis, or several 2-D pictures, which NIfTI cannot tell from slices.
    WriteError
        The operating system refused.
    """
    check_level(level)
    array = _storable(host_array(image))
    header = _new_header(image, array)
    head = memoryview(header.binaryblock + bytes(4))
    body = array.reshape(-1).view(np.uint8).data
    packed = Path(path).name.lower().endswith(".gz")
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        if packed:
            write_gzip(handle, [head, body], level)
        else:
            handle.write(head)
            handle.write(body)


def _storable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    dtype = array.dtype
    if dtype.kind in "iu" and dtype.itemsize == 8:
        if array.size and not _fits(array, 0, np.int32):
            msg = f"dtype={dtype} with values {array.min()} to {array.max()}: expected values that fit int32"
            raise DTypeError(msg)
        dtype = np.dtype(np.int32)
    elif dtype == np.bool_:
        dtype = np.dtype(np.uint8)
    elif dtype == np.float16:
        dtype = np.dtype(np.float32)
    elif f"{dtype.kind}{dtype.itemsize}" not in DTYPES.values():
        msg = f"dtype={dtype}: expected bool, an integer or a float of up to 64 bits"
        raise DTypeError(msg)
    return np.ascontiguousarray(array, dtype=dtype.newbyteorder("<"))


def _new_header(image: Image, array: npt.NDArray[Any]) -> Any:
    nibabel = require("nibabel")
    grid, ramp = image.grid, image.rescale
    if array.ndim > 7 or array.size == 0 or (grid.ndim == 2 and array.ndim > 2):
        msg = f"array of shape {array.shape}: NIfTI holds one 2-D picture, or volumes of 3 to 7 non-empty dimensions"
        raise ShapeError(msg)
    if ramp != Ramp(ramp.a, ramp.b):
        msg = f"image.rescale={ramp}: NIfTI stores a slope and an intercept, no bounds"
        raise ArgumentError(msg)
    large = max(array.shape) > _LARGEST_NIFTI1_DIM
    header = (nibabel.Nifti2Header if large else nibabel.Nifti1Header)(endianness="<")
    affine = grid.affine[:, _COLUMNS[grid.ndim]]
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape[::-1])
    header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    if grid.shear <= _LARGEST_QFORM_SHEAR:
        header.set_qform(affine, code="scanner")
    header.set_sform(affine, code="scanner")
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = ramp.a, ramp.b
    header["vox_offset"] = int(header["sizeof_hdr"]) + 4
    return header
