"""Tables of CLAHE: a launch that counts, one that makes grey levels of the counts, and nothing read back."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch_alone
from fastprep.kernels.gpu._tiles import BINS, MOST_SHARED, ROWS, VALUES, bins_of, bytes_of, values_of
from fastprep.kernels.gpu._types import job

THREADS = 256
INSTANCES = (*(f"tile_count<{name}>" for name in VALUES), "tile_clear", "tile_levels")
_JOB, _CLEAR, _LEVELS = job(f"PPP8q{BINS}12i"), job("Pq"), job("PPdfiii")
#: Copies of the counts of few bins, and the words they may take.
_COPIES, _COPIED = 8, 1 << 12
#: Columns of a block at least, and blocks that keep a device busy.
_COLUMNS, _BLOCKS = 1 << 11, 1 << 10


def tile_tables(
    x: DeviceView,
    mask: DeviceView | None,
    tiles: tuple[int, ...],
    size: tuple[int, ...],
    bins: int,
    low: float,
    high: float,
    clip_limit: float,
    whole: bool,
    tables: DeviceView,
    counts: DeviceView,
) -> None:
    """``tables`` (B, T, bins) of the T tiles, in C order, of each ``x`` (B, Z, Y, X): grey levels above ``low``.

    ``tiles`` of ``size`` voxels along each axis; beyond the image it is mirrored, and its mask with it. ``counts``
    (B, T) are the finite voxels of a tile where ``mask`` is not zero; of none the table is zeros. Where ``clip_limit``
    is not 0 no bin holds more than so many times the mean, and what is beyond is shared out among all. ``whole`` rounds
    half to even.
    """
    if x.size == 0:
        return
    # A thread counts columns of a few rows.
    number, columns = len(x) * math.prod(tiles), size[0] * -(-size[1] // ROWS) * size[2]
    copies = 0 if bins > MOST_SHARED else max(1, min(_COPIES, 1 << (_COPIED // bins).bit_length() >> 1))
    # Blocks that all add to one table cost a table each, where they do so at the end.
    share = max(_COLUMNS, bins // 2 if copies else 0, -(-number * columns // _BLOCKS))
    share = -(-share // THREADS) * THREADS
    parts = -(-columns // share)
    steps = (0,) * 4 if mask is None else mask.strides
    packed = _JOB.pack(
        *(x.address, tables.address, 0 if mask is None else mask.address, *bytes_of(x), *steps),
        *(*bins_of(x, bins, low, high), *x.shape[1:], *tiles, *size, parts, share, copies),
    )
    if copies == 0 or parts > 1:
        words = number * bins
        clear = _CLEAR.pack(tables.address, words)
        _launch("tile_clear", clear, -(-words // THREADS), 0, [], [tables])
    given = [x] if mask is None else [x, mask]
    _launch(f"tile_count<{values_of(x)}>", packed, number * parts, 4 * bins * copies, given, [tables])
    levels = _LEVELS.pack(counts.address, tables.address, clip_limit, high - low, bins, whole, 0)
    _launch("tile_levels", levels, number, 0, [], [tables, counts])


def _launch(
    name: str, packed: bytes, blocks: int, shared: int, reads: Sequence[DeviceView], writes: Sequence[DeviceView]
) -> None:
    run = Launch("tile_tables", name, packed, blocks, THREADS, shared, writes[0], writes[0])
    launch_alone(run, reads, writes)
