"""Metal phantom: a CT of a body with implants of known shape, and streaks and shadows around them of known strength.

Implants are formulas in world millimetres, as bodies are in `phantoms`; so are their artifacts, which lie in the axial
slices that hold metal: dark bands between implants and along the long axis of each, streaks along rays, both fading.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.testing.phantoms import CHEST, Part, Point, _column, _ellipsoid, _values, labels_on, patient_grid

_Values = npt.NDArray[Any]
#: Where 12 bits end, less the 1024 that scanners add.
SATURATED = 3071
#: HU at the edge of an implant for a strength of 1: a streak's standard deviation, and the middle of each band.
_STREAK, _ALONG, _BETWEEN = 110.0, 180.0, 260.0
#: How fast they fade, in mm, and how many streaks there are around an implant.
_FADE, _FEWEST, _MOST = 35.0, 5, 26
_ANGLES = 4096


@dataclass(frozen=True)
class Implant:
    """A sphere, a rod or a screw of metal, around ``center`` in RAS mm.

    Rods and screws run ``length`` mm along ``axis``; the last ``2 radius`` mm of a screw are its head, twice as wide.
    """

    name: str
    shape: str
    center: Point
    radius: float
    length: float = 0.0
    axis: Point = (0.0, 0.0, 1.0)
    hu: float = 4000.0

    @property
    def volume_mm3(self) -> float:
        """Of the formula, not of its voxels."""
        disc = math.pi * self.radius**2
        if self.shape == "sphere":
            return 4 / 3 * disc * self.radius
        head = 2 * self.radius if self.shape == "screw" else 0.0
        return disc * (self.length - head) + 4 * disc * head

    @property
    def part(self) -> Part:
        """The region it fills."""
        return Part(self.name, self.hu, self._holds)

    def _holds(self, x: _Values, y: _Values, z: _Values) -> npt.NDArray[np.bool_]:
        away = [p - c for p, c in zip((x, y, z), self.center, strict=True)]
        square = sum(d * d for d in away)
        if self.shape == "sphere":
            return np.asarray(square < self.radius**2)
        along = sum(d * u for d, u in zip(away, self._unit, strict=True))
        across, half = square - along**2, self.length / 2
        core = (np.abs(along) < half) & (across < self.radius**2)
        if self.shape == "rod":
            return np.asarray(core)
        return np.asarray(core | (np.abs(along - half + self.radius) < self.radius) & (across < 4 * self.radius**2))

    @property
    def _unit(self) -> Point:
        size = math.hypot(*self.axis)
        return (self.axis[0] / size, self.axis[1] / size, self.axis[2] / size)

    @property
    def _half(self) -> float:
        return self.radius if self.shape == "sphere" else self.length / 2

    @property
    def _is_upright(self) -> bool:
        """It runs more along the body than across: in axial slices it is round."""
        return self.shape == "sphere" or abs(self._unit[2]) > 0.7

    @property
    def _reach(self) -> float:
        """How far it goes up and down from its centre."""
        if self.shape == "sphere":
            return self.radius
        tilt = abs(self._unit[2])
        return tilt * self.length / 2 + self.radius * math.sqrt(1 - tilt**2)

    def _share(self, z: _Values) -> _Values:
        """How much of it a level holds, 1 at its centre; a rod along the body is the same at all its levels."""
        at = (z - self.center[2]) / self._reach
        share = np.sqrt(np.maximum(1 - at**2, 0))
        return np.where(share > 0, 1, 0) if self._is_upright and self.shape != "sphere" else share


@dataclass(frozen=True, eq=False)
class MetalPhantom:
    """A scan and what is known about it.

    ``labels`` numbers the implants from 1, in the order of ``implants``, a voxel being that of its centre's; ``clean``
    is the scan with a strength of 0, its noise the same.
    """

    scan: Image
    labels: Image
    clean: Image
    implants: tuple[Implant, ...]

    @property
    def volumes_mm3(self) -> dict[str, float]:
        """What each implant measures."""
        return {one.name: one.volume_mm3 for one in self.implants}

    @property
    def volume_mm3(self) -> float:
        """What all of them do."""
        return sum(one.volume_mm3 for one in self.implants)


def _below(z: float, center: tuple[float, float], radii: tuple[float, float]) -> Part:
    whole = _column(center, radii)
    return Part("shaft", 800, lambda x, y, w: whole(x, y, w) & (w < z))


#: A pelvis with its hips, the bladder and gas in the bowel.
HIP: tuple[Part, ...] = (
    *CHEST[:2],
    Part("fat", -100, _column((0, 0), (178, 118))),
    Part("soft tissue", 40, _column((0, 0), (160, 104))),
    Part("sacrum", 350, _column((0, -68), (42, 18), above=15)),
    Part("right hip", 400, _ellipsoid((88, 0, 5), (34, 34, 36))),
    Part("left hip", 400, _ellipsoid((-88, 0, 5), (34, 34, 36))),
    _below(-20, (96, -5), (15, 15)),
    _below(-20, (-96, -5), (15, 15)),
    Part("bladder", 5, _ellipsoid((0, 35, -15), (38, 30, 32))),
    Part("gas", -950, _ellipsoid((8, -40, 5), (14, 11, 28))),
)
#: The bodies by name, and the implants of each: the first ones are taken.
BODIES: dict[str, tuple[tuple[Part, ...], tuple[Implant, ...]]] = {
    "chest": (
        CHEST[:-1],
        (
            Implant("right screw", "screw", (15, -72, 0), 3, 40, (0.25, -1, 0)),
            Implant("left screw", "screw", (-15, -72, 0), 3, 40, (-0.25, -1, 0)),
            Implant("sphere", "sphere", (0, 62, 40), 8),
            Implant("rod", "rod", (0, -36, -70), 4, 44),
        ),
    ),
    "hip": (
        HIP,
        (
            Implant("right head", "sphere", (88, 0, 5), 15),
            Implant("left head", "sphere", (-88, 0, 5), 14),
            Implant("right stem", "rod", (96, -5, -65), 7, 70),
        ),
    ),
}


def metal_phantom(
    shape: Sequence[int] = (64, 160, 160),
    spacing: Sequence[float] = (3.0, 2.5, 2.5),
    *,
    body: str = "chest",
    implants: int | Sequence[Implant] | None = None,
    hu: float | None = None,
    strength: float = 1.0,
    noise: float = 12.0,
    saturate: bool = True,
    margin: int = 0,
    seed: int = 0,
) -> MetalPhantom:
    """A CT of implants as scanners store it, axes (S, P, L): see `metal_phantom_on`.

    Examples
    --------
    >>> phantom = metal_phantom((24, 48, 48), (8, 8, 8), body="hip")
    >>> phantom.scan.array.dtype, int(phantom.scan.array.max()), [one.name for one in phantom.implants]
    (dtype('int16'), 3071, ['right head', 'left head', 'right stem'])
    """
    grid = patient_grid(shape, spacing)
    return metal_phantom_on(
        grid,
        body=body,
        implants=implants,
        hu=hu,
        strength=strength,
        noise=noise,
        saturate=saturate,
        margin=margin,
        seed=seed,
    )


def metal_phantom_on(
    grid: Grid,
    *,
    body: str = "chest",
    implants: int | Sequence[Implant] | None = None,
    hu: float | None = None,
    strength: float = 1.0,
    noise: float = 12.0,
    saturate: bool = True,
    margin: int = 0,
    seed: int = 0,
) -> MetalPhantom:
    """The body on ``grid``: int16 HU from -1024.

    Parameters
    ----------
    body : "chest" (pedicle screws, a sphere and a rod) or "hip" (two heads and a stem).
    implants : how many of them, by default all; 0 is none. Or others.
    hu : of all of them, 2500 to 8000 in patients; by default their own, 4000.
    strength : of the artifacts. 0 is none, 1 takes some 250 HU out of the tissue between two implants.
    noise : standard deviation in HU.
    saturate : clip at 3071, as 12 bits do.
    margin : voxels of air put around it on every side; what is inside stays as it is.
    seed : of the streaks and the noise, each with a stream of its own.

    Raises
    ------
    ArgumentError
        An unknown body.
    """
    if body not in BODIES:
        msg = f"body={body!r}: expected one of {', '.join(BODIES)}"
        raise ArgumentError(msg)
    parts, own = BODIES[body]
    chosen = own if implants is None else own[:implants] if isinstance(implants, int) else tuple(implants)
    chosen = tuple(one if hu is None else replace(one, hu=hu) for one in chosen)
    table = (*parts, *(one.part for one in chosen))
    what = labels_on(grid, table)
    marks = np.maximum(what.array.astype(np.int16) - (len(parts) - 1), 0).astype(np.uint8)
    clean = _values(what, table)
    clean += noise * np.random.default_rng((seed, 0)).standard_normal(grid.shape, np.float32)
    scan = clean + strength * np.where(marks == 0, _artifact(grid, chosen, seed), 0)
    around = _padded(grid, margin)
    limit = SATURATED if saturate else np.iinfo(np.int16).max

    def ct(x: _Values) -> Image:
        stored = np.rint(x).clip(-1024, limit).astype(np.int16)
        return Image(np.pad(stored, margin, constant_values=-1000), around, modality="CT")

    return MetalPhantom(ct(scan), Image(np.pad(marks, margin), around, kind="label"), ct(clean), chosen)


def _artifact(grid: Grid, implants: Sequence[Implant], seed: int) -> _Values:
    """HU that implants add to the voxels of their axial slices, for a strength of 1."""
    out = np.zeros(grid.shape, np.float32)
    index = np.ogrid[tuple(slice(n) for n in grid.shape)]
    rows = grid.affine[:3].astype(np.float32)
    x, y, z = (sum((a * i for a, i in zip(row, index, strict=False)), row[3]) for row in rows)
    for number, one in enumerate(implants):
        at = np.nonzero(np.broadcast_to(np.abs(z - one.center[2]) < one._reach, grid.shape))
        here = [np.broadcast_to(w, grid.shape)[at] for w in (x, y, z)]
        out[at] += _around(one, here, np.random.default_rng((seed, 1, number)))
    for one, two in combinations(implants, 2):
        if abs(one.center[2] - two.center[2]) >= one._reach + two._reach:
            continue
        near = (np.abs(z - one.center[2]) < one._reach) & (np.abs(z - two.center[2]) < two._reach)
        at = np.nonzero(np.broadcast_to(near, grid.shape))
        if at[0].size:
            out[at] -= _between(one, two, [np.broadcast_to(w, grid.shape)[at] for w in (x, y, z)])
    return out


def _around(one: Implant, point: Sequence[_Values], rng: np.random.Generator) -> _Values:
    """Streaks along rays from its middle, and the dark band along its long axis with bright edges."""
    dx, dy = _away(one, point)
    share = one._share(point[2])
    turns = np.arange(_ANGLES) * (2 * math.pi / _ANGLES)
    counts = np.arange(_FEWEST, _MOST)
    phases = rng.uniform(0, 2 * math.pi, counts.size)
    wave = np.cos(turns[:, None] * counts + phases).sum(1) * math.sqrt(2 / counts.size)
    angle = (np.arctan2(dy, dx) * (_ANGLES / (2 * math.pi))).astype(np.int64) % _ANGLES
    radius = np.hypot(dx, dy)
    streaks = _STREAK * wave.astype(np.float32)[angle] * _faded(radius - one.radius)
    # A round one lets through least along the body's own long axis.
    (ux, uy), deep, half = ((1.0, 0.0), 0.5, one.radius) if one._is_upright else (_flat(one._unit), 1.0, one._half)
    along, across = dx * ux + dy * uy, np.abs(dx * uy - dy * ux)
    away = across / one.radius
    band = _ALONG * deep * _faded(np.abs(along) - half) * (_bell(away) - 0.3 * _bell(away - 2))
    return np.asarray(share * (streaks - band))


def _between(one: Implant, two: Implant, point: Sequence[_Values]) -> _Values:
    """The dark band on the line through two implants: deep between them, fading beyond."""
    dx, dy = _away(one, point)
    ex, ey = _away(two, point)
    lx, ly = dx - ex, dy - ey
    length = np.maximum(np.hypot(lx, ly), 1e-3)
    along, across = (dx * lx + dy * ly) / length, np.abs(dx * ly - dy * lx) / length
    beyond = np.maximum(np.maximum(-along, along - length), 0)
    width = (one.radius + two.radius) / 2
    share = np.sqrt(one._share(point[2]) * two._share(point[2]))
    return np.asarray(_BETWEEN * share * _bell(across / width) * _faded(beyond))


def _away(one: Implant, point: Sequence[_Values]) -> tuple[_Values, _Values]:
    """In the axial plane, from where the implant crosses it."""
    x, y, z = point
    shift = np.zeros_like(z)
    if one._is_upright and one.shape != "sphere":
        shift = np.clip((z - one.center[2]) / one._unit[2], -one._half, one._half)
    return x - one.center[0] - shift * one._unit[0], y - one.center[1] - shift * one._unit[1]


def _flat(unit: Point) -> tuple[float, float]:
    size = math.hypot(unit[0], unit[1])
    return unit[0] / size, unit[1] / size


def _faded(away: _Values) -> _Values:
    return np.asarray(np.exp(np.maximum(away, 0) * (-1 / _FADE)))


def _bell(x: _Values) -> _Values:
    return np.asarray(np.exp(-(x**2)))


def _padded(grid: Grid, margin: int) -> Grid:
    affine = grid.affine.copy()
    affine[:3, 3] -= margin * affine[:3, :3].sum(axis=1)
    return Grid(tuple(n + 2 * margin for n in grid.shape), affine)
