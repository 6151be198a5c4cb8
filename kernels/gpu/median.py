"""The median of the box around each voxel: one launch."""

from __future__ import annotations

import math

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch_alone
from fastprep.kernels.gpu._types import WORDS, job

THREADS = 256
#: Along z, and along y and x: what is done in registers.
_BOXES = ((0, 1), (0, 2), (1, 1))
INSTANCES = (
    *(f"median_box<{word}, {rz}, {r}>" for word in WORDS.values() for rz, r in _BOXES),
    *(f"median_any<{word}, {tiled}>" for word in WORDS.values() for tiled in ("true", "false")),
)
#: Planes and rows of a tile: where there are planes, where there is one, and where there is little room.
_DEEP, _FLAT, _SMALL = (4, 8), (1, 32), (1, 8)
_ROOM = 48 * 1024
#: The bits of infinity.
_INFINITY = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000, "float64": 0x7FF0000000000000}
_JOB = job("PP4q3q3qQ3i2iiii")


def median(x: DeviceView, out: DeviceView, reach: tuple[int, ...]) -> None:
    """``out`` = median of the voxels up to ``reach`` away from each of ``x`` (B, Z, Y, X); NaN where one is NaN.

    Beyond its border the image is mirrored, the border itself repeated: d c b a | a b c d | d c b a.
    """
    if out.size == 0:
        return
    width, box = x.dtype.itemsize, (reach[0], reach[2])
    small = box in _BOXES and reach[1] == reach[2]
    if small:
        expression = f"median_box<{WORDS[width]}, {box[0]}, {box[1]}>"
        tile, shared = _DEEP if box[0] else _FLAT, 0
    else:
        tile = next((t for t in (_DEEP if reach[0] else _FLAT, _SMALL) if _bytes(t, reach, width) <= _ROOM), _SMALL)
        shared = _bytes(tile, reach, width)
        tiled = shared <= _ROOM
        expression = f"median_any<{WORDS[width]}, {str(tiled).lower()}>"
        shared = shared if tiled else 0
    planes, rows = tile
    cut = -(-x.shape[1] // planes), -(-x.shape[2] // rows), -(-x.shape[3] // 32)
    infinity = _INFINITY.get(x.dtype.name, 0)
    packed = _JOB.pack(
        *(x.address, out.address, *x.strides, *x.shape[1:], *cut),
        *(infinity, *reach, *tile, x.dtype.kind == "f", x.dtype.kind == "i", 0),
    )
    blocks = len(x) * math.prod(cut)
    launch_alone(Launch("median", expression, packed, blocks, THREADS, shared, x, out), [x], [out])


def _bytes(tile: tuple[int, int], reach: tuple[int, ...], width: int) -> int:
    """Of a tile and its halo."""
    return (tile[0] + 2 * reach[0]) * (tile[1] + 2 * reach[1]) * (32 + 2 * reach[2]) * width
