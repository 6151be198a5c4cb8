"""Non-local means: a copy with mirrored margins, then one launch over it; patches of common sizes in registers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.core.similar import patch_window
from fastprep.kernels.gpu._launch import Launch, launch_alone, scratch, tables
from fastprep.kernels.gpu._staged import narrowed
from fastprep.kernels.gpu._tables import Table
from fastprep.kernels.gpu._types import NUMBERS, compute_type, job, read_type

THREADS = 128
_WARPS, _LANES = THREADS // 32, 32
#: Of a radius along z, and along y and x: planes and rows of a thread, and warps of a block along z.
_TILES = {(0, 1): (1, 8, 1), (0, 2): (1, 8, 1), (0, 3): (1, 8, 1), (1, 1): (4, 4, 2), (2, 2): (3, 3, 2)}
_FAST = {radius: f"nlm<{', '.join(map(str, radius + tile))}>" for radius, tile in _TILES.items()}
_ANY = {"float32": "nlm_any<float32, false>", "float64": "nlm_any<float64, true>"}
_REALS = tuple(_ANY)
INSTANCES = (
    *(f"pad<{name}, {real}>" for name in NUMBERS for real in _REALS),
    *(f"lift<{real}>" for real in _REALS),
    *_FAST.values(),
    *_ANY.values(),
)
#: Voxels of a padded plane: so far 32 bits tell those of a thread apart.
_MOST = 2**28
_LARGEST = float(np.finfo(np.float32).max)
_PAD, _LIFT, _JOB = job("PPP4qqq3q3q3q"), job("PPPqq"), job("PPP3qqqqq3q3i3i3ii")


def nlm(
    x: DeviceView,
    out: DeviceView,
    radius: tuple[int, ...],
    reach: tuple[int, ...],
    sigmas: npt.NDArray[np.float64],
    h: float,
    rician: bool,
    compatible: bool,
) -> None:
    """``out`` = sum of w x(p + t) over sum of w, t up to ``reach`` along each axis: all (B, Z, Y, X).

    ``w = exp(-max(d2 - 2 sigma^2, 0) / (h sigma)^2)``, d2 the mean squared difference of the patches of ``radius``
    around p and p + t; where ``sigma`` is 0, 1 of patches that are equal, else 0. The image is mirrored at its border,
    which is not repeated. ``rician``: of squares, less 2 sigma^2. ``compatible``: scikit-image's fast mode, where ``h``
    is that of patches, not of sigma.
    """
    if out.size == 0:
        return
    shape, kind = x.shape[1:], (radius[0], radius[2])
    margin = [r + s for r, s in zip(radius, reach, strict=True)]
    fast = not compatible and radius[1] == radius[2] and kind in _TILES
    tile: tuple[int, ...] = (1, 1, THREADS)
    if fast and math.prod(n + 2 * m + _LANES for n, m in zip(shape[1:], margin[1:], strict=True)) < _MOST:
        planes, rows, deep = _TILES[kind]
        tile = planes * deep, rows * (_WARPS // deep), _LANES - 2 * radius[2]
    else:
        fast = False
    # Next to scikit-image's cut-off every digit of a distance counts.
    real = "float64" if compatible else "float32"
    # What float32 does not hold is told from the first voxel.
    told = not rician and compute_type(real, read_type(x.dtype)) != real
    cut = [-(-n // t) for n, t in zip(shape, tile, strict=True)]
    # Whole tiles between the margins, so that no thread needs to know where the image ends.
    padded = [c * t + 2 * m for c, t, m in zip(cut, tile, margin, strict=True)]
    copy, origins = scratch(out, (len(x), *padded), real), scratch(out, (len(x),), "float64")
    packed = _PAD.pack(
        *(x.address, copy.address, origins.address if told else 0, *x.strides, copy.size, len(x)),
        *(*shape, *padded, *margin),
    )
    _queue(f"pad<{read_type(x.dtype)}, {real}>", packed, -(-copy.size // THREADS), [x], [copy, origins])

    windows = [patch_window(r) if compatible else (-r, r) for r in radius]
    table = tables(x, _noises(radius, windows, sigmas, h, compatible).tobytes())
    first = sum(m * s for m, s in zip(margin, copy.strides[1:], strict=True))

    def average(made: DeviceView) -> None:
        packed = _JOB.pack(
            *(copy.address, made.address, *table.addresses, *shape, *copy.strides[:3], first, *cut),
            *(*(low for low, _ in windows), *(high for _, high in windows), *reach, rician),
        )
        _queue(_FAST[kind] if fast else _ANY[real], packed, len(x) * math.prod(cut), [copy], [made], (table,))

    if not told:
        with narrowed(out, real) as made:
            average(made)
        return
    made = scratch(out, out.shape, real)
    average(made)
    with narrowed(out, "float64" if out.dtype.name == "float64" else "float32") as lifted:
        packed = _LIFT.pack(made.address, lifted.address, origins.address, math.prod(shape), len(x))
        _queue(f"lift<{lifted.dtype.name}>", packed, -(-made.size // THREADS), [made, origins], [lifted])


def _queue(
    name: str, packed: bytes, blocks: int, reads: list[DeviceView], writes: list[DeviceView], kept: Sequence[Table] = ()
) -> None:
    launch_alone(Launch("nlm", name, packed, blocks, THREADS, 0, reads[0], writes[0], kept), reads, writes)


def _noises(
    radius: tuple[int, ...],
    windows: list[tuple[int, int]],
    sigmas: npt.NDArray[np.float64],
    h: float,
    compatible: bool,
) -> npt.NDArray[np.float64]:
    """The struct ``Noise`` of each volume."""
    voxels = math.prod(high - low + 1 for low, high in windows)
    count = math.prod(2 * r + 1 for r in radius)
    bias = 2 * np.square(np.asarray(sigmas, np.float64))
    with np.errstate(divide="ignore"):
        scale = 1 / (count * h * h * (np.ones_like(bias) if compatible else bias / 2))
    # Without noise, patches that differ at all have no weight.
    return np.stack([bias * voxels, np.minimum(scale, _LARGEST), bias], axis=1)
