"""What the bias correctors share on a GPU (``bias.cuh``): working memory, the struct ``BiasJob``, launches."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.core.lattice import Axis
from fastprep.core.sharpening import transform_size
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import Launch, launch_alone, scratch, tables
from fastprep.kernels.gpu._separable import AXIS, axis_tables
from fastprep.kernels.gpu._tables import Table
from fastprep.kernels.gpu._types import NUMBERS

THREADS = 256
_WARPS = 8
_COLLECTED, _COUNTED = 1024, 16384
_COPIES = 8
_STRIP = 32
#: Planes and rows of a block that sums residuals, and columns of its tiles.
_PIECES = (8, 16, 32)
#: The struct `State`: voxels that count and that are broken, change, range, bins, done and step, scale.
STATE = np.dtype(
    [
        ("inside", "u8"),
        ("broken", "u8"),
        ("change", "f8"),
        ("low", "u4"),
        ("high", "u4"),
        ("origin", "f4"),
        ("slope", "f4"),
        ("done", "i4"),
        ("step", "i4"),
        ("scale", "f8"),
        ("box", "i4", (6,)),
    ]
)
#: How a residual lowers its own weight.
LOSSES = {"none": 0, "huber": 1, "tukey": 2}
#: The struct `Any`.
ANY = "P4qii"
#: The struct `Sharpening`.
SHARPENING = "ddPii"
#: The struct `BiasJob`.
BIAS = f"{3 * ANY}dii3ii6i11P{6 * AXIS}3P3iiii"


def sharpening_of(x: DeviceView, bins: int, fwhm: float, noise: float) -> tuple[tuple[Any, ...], Table]:
    """The numbers of a struct `Sharpening`, and the table they point to."""
    size = transform_size(bins)
    turn = tables(x, np.asarray(np.exp(-2j * np.pi * np.arange(size // 2) / size), np.complex128).tobytes())
    return (fwhm, noise, *turn.addresses, size, 0), turn


def zeros(x: DeviceView, words: int, start: bytes | None = None) -> DeviceView:
    """Numbers of 8 bytes beside an array that begin as zeros, or as ``start``."""
    talk = driver()
    memory = talk.upload(bytes(8 * words) if start is None else start, x.device, talk.stream(x))
    return DeviceView(memory.address, (words,), (1,), np.dtype(np.float64), x.device, memory, x.stream)


class Work:
    """The working memory of volumes (B, Z, Y, X): two float32 volumes and small things."""

    def __init__(
        self,
        stem: str,
        x: DeviceView,
        mask: DeviceView | None,
        weights: DeviceView | None,
        label: float | None,
        bins: int,
        *,
        differences: bool = False,
    ) -> None:
        self.stem, self.x, self.bins, self.label = stem, x, bins, label
        self.given = [view for view in (x, mask, weights) if view is not None]
        self.scan = [*any_array(x), *any_array(mask), *any_array(weights)]
        self.many, self.shape = x.shape[0], x.shape[1:]
        self.voxels = math.prod(self.shape)
        self.logs, self.left = scratch(x, x.shape, "float32"), scratch(x, x.shape, "float32")
        self.weight = None if weights is None else scratch(x, x.shape, "float32")
        self.differences = scratch(x, x.shape, "float32") if differences else None
        start = np.zeros(self.many, STATE)
        start["low"] = 0xFFFFFFFF
        start["box"] = [np.iinfo(np.int32).max] * 3 + [-1] * 3
        #: Start and stop along each axis of what counts in any volume, once that is known.
        self.box = np.array([(0, n) for n in self.shape])
        self.state = zeros(x, STATE.itemsize * self.many // 8, start.tobytes())
        self.counted = zeros(x, 2 * (bins + 1) * self.many)
        self.expected = scratch(x, (self.many, bins, 2), "float32")
        self.held = [self.logs, self.left, self.state, self.counted, self.expected]
        self.held += [view for view in (self.weight, self.differences) if view is not None]

    def states(self) -> npt.NDArray[Any]:
        """The states of the volumes now, waited for."""
        return driver().read(self.state).view(STATE)

    def level(
        self,
        axes: Sequence[Axis],
        against: Sequence[Axis],
        lattice: DeviceView,
        density: DeviceView,
        *,
        residuals: bool,
        loss: int = 0,
        weighted: bool = True,
    ) -> Level:
        """The job of passes with the field's axes, and those that weights, or ``residuals``, are summed against."""
        return Level(self, axes, against, lattice, density, residuals, loss, weighted)

    def counts(self) -> npt.NDArray[np.int64]:
        """Voxels that count, and those of the mask that are not finite, (B, 2); waited for, and the box with them."""
        found = self.states()
        self.box = np.stack([found["box"][:, :3].min(axis=0), found["box"][:, 3:].max(axis=0) + 1], axis=1)
        return np.stack([found["inside"], found["broken"]], axis=1).astype(np.int64)

    @property
    def collecting(self) -> int:
        """Blocks that collect."""
        return self.many * -(-self.voxels // _COLLECTED)

    @property
    def counting(self) -> tuple[int, int]:
        """Blocks that count, and bytes that they share."""
        depth = int(self.box[0, 1] - self.box[0, 0])
        return self.many * -(-depth * math.prod(self.shape[1:]) // _COUNTED), 4 * _COPIES * 2 * (self.bins + 1)


class Level:
    """A struct `BiasJob`, the arrays its kernels touch, and how large their blocks are."""

    def __init__(
        self,
        work: Work,
        axes: Sequence[Axis],
        against: Sequence[Axis],
        lattice: DeviceView,
        density: DeviceView,
        residuals: bool,
        loss: int,
        weighted: bool,
    ) -> None:
        self.work = work
        self.taps = against[0].weight.shape[1]
        controls = tuple(axis.controls for axis in against)
        box = work.box.tolist()
        pieces = [_pieces(axis, most, *ends) for axis, most, ends in zip(against, _PIECES, box, strict=True)]
        strips = (box[0][1] - box[0][0]) * -(-(box[1][1] - box[1][0]) // _STRIP)
        moved = scratch(work.x, (work.many, strips, 2), "float64")
        counts = [len(p) // 4 for p in pieces]
        self.boxes = counts[0] * counts[1]
        kx = controls[2]
        self.partial = scratch(work.x, (work.many, self.boxes, self.taps**2 * kx), "float64")
        self.points = math.prod(controls)
        first, here = axis_tables(work.x, axes)
        second, there = axis_tables(work.x, against)
        third = tables(work.x, *(np.array(p, np.int32).tobytes() for p in pieces))
        self.tables: tuple[Table, ...] = (first, second, third)
        memory = [
            work.logs,
            work.left,
            work.weight if weighted else None,
            work.differences,
            work.state,
            work.counted,
            work.expected,
            moved,
            self.partial,
            lattice,
            density,
        ]
        self.packed = struct.Struct(f"@{BIAS}0q").pack(
            *work.scan,
            0.0 if work.label is None else float(work.label),
            work.label is not None,
            work.many,
            *work.shape,
            work.bins,
            *work.box.T.ravel().tolist(),
            *(0 if view is None else view.address for view in memory),
            *here,
            *there,
            *third.addresses,
            *counts,
            strips,
            residuals,
            loss,
        )
        self.writes = [*work.held, moved, self.partial, lattice, density]
        self.gathered = 8 * _WARPS * self.taps * kx + 4 * (_WARPS * 2 * self.taps * 32 + 2 * work.bins)
        self.subtracted = 4 * _STRIP * axes[2].controls
        self.solving = work.many * -(-self.points // _WARPS)
        self.gathering = work.many * self.boxes
        self.subtracting = work.many * strips

    def launch(
        self,
        expression: str,
        job: bytes,
        blocks: int,
        shared: int,
        threads: int,
        more: Sequence[DeviceView],
        kept: Sequence[Table],
    ) -> None:
        """Queue a kernel of this level, which writes ``more`` too and reads the tables ``kept``."""
        held = (*self.tables, *kept)
        run = Launch(self.work.stem, expression, job, blocks, threads, shared, self.work.x, self.work.left, held)
        launch_alone(run, self.work.given, [*self.writes, *more])


class Told:
    """Tells the caller of each step as soon as its change is known, which waits for the device; or of none."""

    def __init__(
        self,
        work: Work,
        steps: DeviceView,
        changes: DeviceView,
        level: int,
        progress: Callable[[int, int, float], None] | None,
    ) -> None:
        self._work, self._steps, self._changes, self._level = work, steps, changes, level
        self._progress, self._told = progress, 0

    def ended(self, step: int) -> bool:
        """Tell of ``step``, whose change has been looked at; True when no volume goes on."""
        if self._progress is None or step == 0:
            return False
        self._tell(step)
        return bool(self._work.states()["done"].all())

    def last(self) -> None:
        """Tell of the last step, unless it was told."""
        if self._progress is not None:
            step = int(driver().read(self._steps)[:, self._level].max())
            if step > self._told:
                self._tell(step)

    def _tell(self, step: int) -> None:
        if self._progress is not None:
            self._told = step
            self._progress(self._level, step, float(driver().read(self._changes)[:, self._level].max()))


def any_array(view: DeviceView | None) -> list[int]:
    """The numbers of a struct `Any`."""
    if view is None:
        return [0] * 7
    name = "uint8" if view.dtype.kind == "b" else view.dtype.name
    return [view.address, *view.strides, NUMBERS.index(name), view.shape[0]]


def _pieces(axis: Axis, most: int, start: int, stop: int) -> list[int]:
    """``Piece`` structs of an axis: at most so many voxels, which depend on the same control values."""
    pieces: list[int] = []
    begin = start
    for i in range(start + 1, stop + 1):
        if i == stop or i - begin == most or axis.first[i] != axis.first[begin]:
            pieces += [begin, i, int(axis.first[begin]), 0]
            begin = i
    return pieces
