"""The runs of masks on a device, which of them touch, and volumes written from them: the struct ``RunsJob``.

How many runs there are is known to the device alone. Either there is room for some number of them, and nothing is done
where there are more, or the host waits until it knows.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.core.errors import TooLargeError
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import Launch, launch_alone, scratch
from fastprep.kernels.gpu._types import WORDS, job, read_type

THREADS = 256
_WARPS = THREADS // 32
#: Bits of a word, words of a tile, values that a block of ``scan`` sums.
_WORD, _TILE, _SCAN = 32, 32, 8192
#: Runs are numbered by an int32.
_MOST = 2**31 - 2
_RUNS = job("8P4q6i")
_BITS, _SCANS, _WRITE = job("P4qQiii4x"), job("PPPPq"), job("PP4qq")


class Runs:
    """Of where the numbers of ``x`` (B, Z, Y, X) are at least ``least``, or with ``complement`` are not.

    None is above all numbers. Components are by faces, from ``connectivity`` 2 on by edges, with 3 by corners; those of
    ``planar`` runs end with their plane. What is made here is queued, and kept as long as this is; ``room`` makes that
    for the two numbers of `head`, once the device has something to do.
    """

    def __init__(
        self,
        x: DeviceView,
        least: Any,
        connectivity: int,
        *,
        complement: bool = False,
        planar: bool = False,
        room: Callable[[], DeviceView] | None = None,
    ) -> None:
        self.shape, self._like = x.shape, x
        self._row_words = -(-x.shape[3] // _WORD)
        self._tiles = -(-x.shape[1] * x.shape[2] * self._row_words // _TILE)
        self._how = connectivity, planar
        tiles = x.shape[0] * self._tiles
        self._blocks = -(-tiles // _WARPS)
        # Words, sums of blocks, and of each tile the number of its first run.
        sums = -(-tiles // _SCAN)
        words = tiles * _TILE
        self._bits = scratch(x, (words + sums + tiles // 2 + 1,), "int64")
        self._words, self._first = self._bits.address, self._bits.address + 8 * (words + sums)
        self.capacity = 0
        self._find_bits(x, least, complement)
        # From here on the host is ahead of the device.
        #: How many runs and how many components there are.
        self.head = scratch(x, (2,), "int64") if room is None else room()
        self._work, self.packed = self.head, b""
        self._scan(self._first, self._words + 8 * words, 0, tiles, self.head.address, [self._bits, self.head])

    def count(self) -> int:
        """How many there are, waited for.

        Raises
        ------
        TooLargeError
            More than can be numbered.
        """
        return self.check(int(driver().read(self.head)[0]))

    def check(self, found: int) -> int:
        """A number of runs, unless it is too large: see `count`."""
        if found > _MOST:
            msg = f"x of shape {self.shape} has {found} runs of voxels along its rows: at most {_MOST} can be joined"
            raise TooLargeError(msg)
        return found

    def connect(self, capacity: int, cleared: DeviceView | None = None) -> None:
        """Find their components, if there are no more of them than ``capacity``, and fill ``cleared`` with zeros."""
        self.capacity = capacity
        # Begins and ends, sums of blocks, parents, and how many roots come before each.
        blocks = -(-capacity // _SCAN)
        self._work = scratch(self._like, (3 * capacity + blocks + 1,), "int64")
        self.packed = self._pack(self._work.address, self.head.address, cleared)
        made = [self._work] if cleared is None else [self._work, cleared]
        self.launch("label", "runs_of", self.packed, self._blocks, [self._work])
        # Which run hangs on which depends on who came first; that they have one root does not.
        self.each("label", "runs_join", b"", [])
        self.each("label", "runs_roots", b"", made, threads=1)
        sums, ranks = self._work.address + 16 * capacity, self._work.address + 20 * capacity + 8 * blocks
        self._scan(ranks, sums, self.head.address, capacity, self.head.address + 8, [self._work, self.head])

    def each(self, stem: str, name: str, rest: bytes, writes: Sequence[DeviceView], *, threads: int = 0) -> None:
        """Queue a kernel that has a thread for each run, or so many; its job begins with `packed`."""
        self.launch(stem, name, self.packed + rest, -(-max(self.capacity, threads) // THREADS), writes)

    def launch(self, stem: str, name: str, packed: bytes, blocks: int, writes: Sequence[DeviceView]) -> None:
        """Queue a kernel over them."""
        if blocks:
            run = Launch(stem, name, packed, blocks, THREADS, 0, self._like, self._like)
            launch_alone(run, [self._like], writes)

    def values(self, itemsize: int) -> DeviceView:
        """Room for a number of each run."""
        return scratch(self._like, (self.capacity * itemsize // 8 + 1,), "int64")

    def write(self, values: DeviceView, out: DeviceView, rest: int = 0) -> None:
        """The value of each run, of the width of ``out``, into its voxels, and ``rest`` into those of none."""
        packed = self.packed + _WRITE.pack(values.address, out.address, *out.strides, rest)
        self.launch("label", f"runs_write<{WORDS[out.dtype.itemsize]}>", packed, self._blocks, [out])

    def places(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The volume and the root of each run: waited for."""
        work, blocks = driver().read(self._work), -(-self.capacity // _SCAN)
        parents = work[2 * self.capacity + blocks :].view(np.int32)[: self.capacity]
        return work[: self.capacity] // (_WORD * _TILE * self._tiles), parents.astype(np.int64)

    def _pack(self, work: int, head: int, cleared: DeviceView | None = None) -> bytes:
        n = self.capacity
        parents = work + 16 * n + 8 * -(-n // _SCAN)
        wiped, clears = (0, 0) if cleared is None else (cleared.address, cleared.size)
        arrays = self._words, self._first, work, work + 8 * n, parents, parents + 4 * n, wiped, head
        sizes = n, self._tiles, self.shape[0], clears
        return _RUNS.pack(*arrays, *sizes, *self.shape[1:], self._row_words, *self._how)

    def _find_bits(self, x: DeviceView, least: Any, complement: bool) -> None:
        count, nz, ny, nx = x.shape
        lie = x.strides[1:] == (ny * nx, nx, 1) and (count == 1 or x.strides[0] == nz * ny * nx)
        # Volumes of whole words are a whole number of 16 bytes apart.
        flat = lie and nx % _WORD == 0 and x.address % 16 == 0
        # As limit.cuh has it.
        size = 8 if x.dtype.itemsize == 8 else 4
        rest = _BITS.pack(x.address, *x.strides, bits_of(least, size), least is None, complement, flat)
        packed = self._pack(0, 0) + rest
        self.launch("label", f"bits<{read_type(x.dtype)}>", packed, self._blocks, [self._bits])

    def _scan(self, values: int, sums: int, found: int, count: int, total: int, writes: Sequence[DeviceView]) -> None:
        """Each of ``count`` values, or of as many as are found, becomes the sum of those before it."""
        blocks = max(-(-count // _SCAN), 1)
        packed = _SCANS.pack(values, sums, total, found, count)
        if blocks > 1:
            self.launch("label", "scan_sums", packed, blocks, writes)
        self.launch("label", "scan", packed, blocks, writes)


def bits_of(least: Any, size: int) -> int:
    """The bits of a number in the type of ``size`` bytes that numbers of its type are computed in; 0 of None."""
    if least is None:
        return 0
    if isinstance(least, np.floating):
        return int.from_bytes(struct.pack("d" if size == 8 else "f", least), "little")
    return int(least) & (1 << 8 * size) - 1


def one_volume(x: DeviceView) -> DeviceView:
    """``x`` (Z, Y, X) as a batch of one."""
    return replace(x, shape=(1, *x.shape), strides=(0, *x.strides))


def most_runs(shape: Sequence[int]) -> int:
    """How many a volume has at most: every other voxel of a row, and one more for each tile a row is in."""
    nx = shape[-1]
    return math.prod(shape[:-1]) * (-(-nx // 2) + -(-nx // (_WORD * _TILE)) + 1)
