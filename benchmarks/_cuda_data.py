"""What the GPU jobs work on: one chest CT in every form a contestant starts from."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import _harness as h
import numpy as np
from _cuda import Lab

from fastprep.core.index_map import IndexMap

LO, HI = -1350.0, 150.0


@dataclass(frozen=True)
class Size:
    """The input, and the small volumes; ``crop`` replaces the preset's where that would be too large."""

    shape: tuple[int, int, int]
    small: int
    batch: int
    copies: int
    crop: tuple[int, int, int] | None = None
    spacing: tuple[float, float, float] = (1.0, 0.7, 0.7)
    new: tuple[float, float, float] = (1.5, 1.5, 1.5)
    #: Heads for N4: n4ax's own size and iterations, a batch of it, and a head at full resolution.
    head: tuple[int, int, int] = (256, 176, 256)
    levels: tuple[int, ...] = (8, 12, 12, 8)
    heads: int = 8
    large_head: tuple[int, int, int] = (190, 256, 188)
    large_levels: tuple[int, ...] = (50, 50, 50, 50)
    #: What is enhanced: the edge of a cube, how many planes of what edge, and iterations of the total variation.
    cube: int = 256
    planes: tuple[int, int] = (16, 2048)
    iterations: int = 30
    #: How far non-local means search.
    reach: int = 3


SIZES = {
    "full": Size((600, 512, 512), 64, 32, 3),
    "small": Size(
        (21, 33, 40),
        12,
        3,
        2,
        crop=(16, 20, 24),
        head=(11, 12, 13),
        levels=(1, 2),
        heads=2,
        large_head=(12, 13, 14),
        large_levels=(2, 1),
        cube=14,
        planes=(2, 48),
        iterations=3,
        reach=1,
    ),
}


class Data:
    """The input of a size in every form contestants start from, made when one asks; its copies defeat the L2 cache."""

    def __init__(self, lab: Lab, size: Size) -> None:
        self.lab, self.size = lab, size
        self.fp: Any = importlib.import_module("fastprep")
        self.steps: Any = importlib.import_module("fastprep.pipeline")
        self.grid = h.dicom_grid(size.shape, size.spacing)

    @cached_property
    def host(self) -> h.Array:
        return h.phantom(self.size.shape)

    @cached_property
    def arrays(self) -> list[Any]:
        return [self.lab.put(self.host) for _ in range(self.size.copies)]

    @cached_property
    def natives(self) -> list[Any]:
        return [self.lab.native(x) for x in self.arrays]

    @cached_property
    def tensors(self) -> list[Any]:
        return [self.lab.tensor(x) for x in self.arrays]

    @cached_property
    def labels(self) -> list[Any]:
        found = h.Scan(self.host, self.grid, "").labels
        return [self.lab.put(found) for _ in range(self.size.copies)]

    @cached_property
    def pinned(self) -> list[h.Array]:
        return [self.lab.pinned(self.host) for _ in range(self.size.copies)]

    def heads(self, shape: tuple[int, int, int], count: int) -> tuple[list[h.Array], h.Array]:
        """T1 heads in a coil, float32, and their mask, of about a fifth of the voxels."""
        z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
        radius = (z / 0.75) ** 2 + (y / 0.65) ** 2 + (x / 0.75) ** 2
        mask = np.broadcast_to(radius < 1, shape)
        folds = np.sin(9 * z) * np.sin(11 * y) * np.sin(10 * x)
        tissue = np.where(radius < 0.7, np.where(folds > -0.2, 700, 450), 300).astype(np.float32)
        gain = np.exp(0.3 * x + 0.2 * y * z - 0.25 * z**2)
        found = []
        for seed in range(count):
            noise = np.random.default_rng(seed).standard_normal(shape, np.float32)
            found.append((np.where(mask, tissue * gain, 5) + 15 * np.abs(noise)).astype(np.float32))
        return found, mask

    @property
    def nbytes(self) -> int:
        return self.host.nbytes

    def plan(self, *, order: str = "linear", grid: str = "itk", dtype: str = "float32", antialias: bool = False) -> Any:
        """Resample and window in one fused pass."""
        resample = self.steps.Resample(spacing=self.size.new, order=order, grid=grid, antialias=antialias)
        pipeline = self.steps.Pipeline([resample, self.steps.Window(level=(LO + HI) / 2, width=HI - LO)], dtype=dtype)
        return pipeline.plan(self.grid, modality="CT")

    def plan_on(self, grid: str, **how: Any) -> Callable[[], Any]:
        """What the fused pass makes of the first copy on another library's grid."""
        return lambda: self.plan(grid=grid, **how)(self.arrays[0])

    @property
    def new_shape(self) -> tuple[int, ...]:
        """Of the fused pass; torch, CuPy and cuCIM are asked for the same."""
        return tuple(self.plan().grid.shape)

    def inside(self, matrix: h.Array, shape: tuple[int, ...]) -> Callable[[int, int], Any]:
        """Which outputs of planes a to b have their source inside the outermost centres, where all libraries agree."""
        xp = self.lab.xp

        def mask(a: int, b: int) -> Any:
            z, y, x = (xp.arange(*ends, dtype=np.float64) for ends in ((a, b), (0, shape[1]), (0, shape[2])))
            ok: Any = True
            for row, n in zip(matrix[:3].tolist(), self.size.shape, strict=True):
                at = row[0] * z[:, None, None] + row[1] * y[:, None] + row[2] * x + row[3]
                ok = ok & (at > 1e-3) & (at < n - 1 - 1e-3)
            return ok

        return mask

    def no_ties(self, grid: str) -> Callable[[int, int], Any]:
        """Which outputs of planes a to b are nearer to one voxel than float32 could doubt."""
        size = self.size
        there = IndexMap.spacing_change(size.shape, size.spacing, size.new, grid=grid, new_shape=self.new_shape)
        lines = []
        for axis, n in enumerate(there.shape):
            at = there.matrix[axis, axis] * np.arange(n) + there.matrix[axis, 3]
            lines.append(np.abs(at % 1 - 0.5) > 1e-3)

        def mask(a: int, b: int) -> Any:
            z, y, x = (self.lab.xp.asarray(line) for line in (lines[0][a:b], lines[1], lines[2]))
            return z[:, None, None] & y[:, None] & x

        return mask
