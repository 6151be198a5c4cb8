"""Bias phantom: a head on T1 whose smooth gain is known, with folds, texture and noise that a corrector must leave.

Simple phantoms flatter correctors: on a few flat ellipsoids any smooth fit finds the field. Here the cortex folds, so
that smoothing mixes tissues differently from place to place; white and grey matter have a texture of their own, so
that a field that follows anatomy scores worse; and noise is that of magnitude images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.testing.phantoms import Point, patient_grid

_Field = npt.NDArray[np.float64]

#: What each label of ``BiasPhantom.tissue`` is.
TISSUES = ("background", "csf", "grey", "white", "skull", "scalp")
#: T1 values by label; deep grey matter is nearer to white than the cortex is.
VALUES = (0.0, 150.0, 450.0, 700.0, 60.0, 600.0)
DEEP_GREY = 540.0
#: Standard deviation of a tissue's own texture, as a share of its value.
TEXTURE = (0.0, 0.0, 0.03, 0.02, 0.0, 0.1)

_HEAD: Point = (74.0, 92.0, 84.0)
_SKULL: Point = (66.0, 83.0, 75.0)
_INSIDE: Point = (60.0, 76.0, 68.0)
_VENTRICLE: tuple[Point, Point] = ((10.0, 0.0, 8.0), (6.0, 25.0, 9.0))
_DEEP: tuple[tuple[Point, Point], ...] = (
    ((10.0, -14.0, -6.0), (7.0, 12.0, 8.0)),
    ((25.0, 8.0, 0.0), (6.0, 17.0, 11.0)),
)
_WAVES = 32
#: Distance of the coil's elements from the middle of the head, and their size, in mm.
_COIL_RADIUS, _LOOP = 140.0, 90.0


@dataclass(frozen=True, eq=False)
class BiasPhantom:
    """A scan and what is known about it: ``image = |truth * exp(log_field) + noise|``.

    ``truth`` has neither field nor noise. ``log_field`` is float64, of mean zero inside ``mask``. ``tissue`` holds
    places in ``TISSUES``, that of the voxel's centre; ``mask`` is the brain with its fluid.
    """

    image: Image
    truth: Image
    log_field: _Field
    tissue: Image
    mask: npt.NDArray[np.bool_]

    @property
    def clean(self) -> Image:
        """The image divided by the true field: what the best corrector would give, its noise included."""
        divided = self.image.array / np.exp(self.log_field)
        return self.image.with_array(divided.astype(np.float32))


def bias_phantom(
    shape: Sequence[int] = (96, 112, 96),
    spacing: Sequence[float] = (1.8, 1.8, 1.8),
    *,
    seed: int = 0,
    strength: float = 0.3,
    noise: float = 20.0,
) -> BiasPhantom:
    """The head on axes (S, A, R), or on (A, R) for two: see `bias_phantom_on`.

    Examples
    --------
    >>> head = bias_phantom((24, 28, 24), (7.2, 7.2, 7.2))
    >>> field = head.log_field[head.mask]
    >>> bool(abs(field.mean()) < 1e-12), round(float(field.max() - field.min()), 6)
    (True, 0.6)
    """
    grid = patient_grid(shape, spacing, axes="SAR"[-len(shape) :])
    return bias_phantom_on(grid, seed=seed, strength=strength, noise=noise)


def bias_phantom_on(grid: Grid, *, seed: int = 0, strength: float = 0.3, noise: float = 20.0) -> BiasPhantom:
    """The head on ``grid``, float32.

    Parameters
    ----------
    seed : of the folds, the texture, the coil and the noise; each has its own stream, so that ``strength`` and
        ``noise`` change nothing else.
    strength : half the range of the log field inside the brain: 0.3 is a gain from about 0.75 to 1.35.
    noise : standard deviation in each channel of the complex signal; white matter is 700.
    """
    tissue, truth = _anatomy(grid, seed)
    mask = np.isin(tissue, (1, 2, 3))
    field = _coil(grid, seed)
    field *= 2 * strength / np.ptp(field[mask])
    field -= field[mask].mean()
    real, imaginary = noise * _generator(seed, 3).standard_normal((2, *grid.shape))
    magnitude = np.hypot(truth * np.exp(field) + real, imaginary)
    return BiasPhantom(
        image=Image(magnitude.astype(np.float32), grid, modality="MR"),
        truth=Image(truth.astype(np.float32), grid, modality="MR"),
        log_field=field,
        tissue=Image(tissue, grid, kind="label"),
        mask=mask,
    )


def _anatomy(grid: Grid, seed: int) -> tuple[npt.NDArray[np.uint8], _Field]:
    """Labels and values, painted from the outside in.

    Sulci are the sheets where a random field is zero: there the brain's surface dips, the white matter's more widely.
    """
    point = _points(grid)
    inside = _distance(point, (0, 0, 0), _INSIDE)
    sheet = _waves(grid, (22.0, 36.0), _generator(seed, 0))
    pia = inside + 1.5 + 20 * np.exp(-((sheet / 0.25) ** 2))
    white = inside + 5 + 23 * np.exp(-((sheet / 0.8) ** 2))
    texture = [_texture(grid, seed, label) for label in range(len(TISSUES))]
    layers: list[tuple[int, float, _Field]] = [
        (5, VALUES[5], _distance(point, (0, 0, 0), _HEAD)),
        (4, VALUES[4], _distance(point, (0, 0, 0), _SKULL)),
        (1, VALUES[1], inside),
        (2, VALUES[2], pia),
        (3, VALUES[3], white),
        *((2, DEEP_GREY, _pair(point, *where)) for where in _DEEP),
        (1, VALUES[1], _pair(point, *_VENTRICLE)),
    ]
    label, value = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape)
    for number, mean, level in layers:
        label[level < 0] = number
        value += _share(level) * (mean * texture[number] - value)
    return label, value


def _texture(grid: Grid, seed: int, label: int) -> _Field | float:
    share = TEXTURE[label]
    return 1 + share * _waves(grid, (12.0, 45.0), _generator(seed, 1, label)) if share else 1.0


def _coil(grid: Grid, seed: int) -> _Field:
    """Log gain of a transmitter, strongest in the middle, times eight loops around the head, root of squares."""
    rng = _generator(seed, 2)
    point = _points(grid)
    power = np.zeros(grid.shape)
    for k in range(8):
        turn = 2 * math.pi * (k + rng.uniform(-0.3, 0.3)) / 8
        where = (_COIL_RADIUS * math.cos(turn), _COIL_RADIUS * math.sin(turn), 60 * (-1) ** k + rng.uniform(-20, 20))
        gain = rng.uniform(0.5, 1.5)
        square = sum((p - c) ** 2 for p, c in zip(point, where, strict=True))
        power += gain**2 / (1 + square / _LOOP**2) ** 3
    middle = rng.uniform(-15, 15, 3)
    away = sum((p - c) ** 2 for p, c in zip(point, middle, strict=True))
    return np.asarray(0.5 * np.log(power) - away / (2 * 110.0**2))


def _waves(grid: Grid, lengths: tuple[float, float], rng: np.random.Generator) -> _Field:
    """Plane waves in world space of random direction, phase and length (mm), summed to a variance of one.

    A wave on any affine grid is a product over the axes of the array.
    """
    total = np.zeros(grid.shape)
    start = np.array(grid.origin)
    for _ in range(_WAVES):
        way = rng.standard_normal(3)
        vector = 2 * math.pi / rng.uniform(*lengths) * way / np.linalg.norm(way)
        phase = rng.uniform(0, 2 * math.pi) + float(vector @ start)
        wave: npt.NDArray[Any] = np.exp(1j * phase).reshape((1,) * grid.ndim)
        for axis, n in enumerate(grid.shape):
            steps = np.exp(1j * float(vector @ grid.affine[:3, axis]) * np.arange(n))
            wave = wave * steps.reshape([-1 if a == axis else 1 for a in range(grid.ndim)])
        total += wave.real
    return np.asarray(total * math.sqrt(2 / _WAVES))


def _distance(point: tuple[_Field, ...], center: Point, radii: Point) -> _Field:
    """About the distance to an ellipsoid in mm, negative inside: (rho - 1) over the gradient's length of rho."""
    scaled = [(p - c) / r for p, c, r in zip(point, center, radii, strict=True)]
    rho = np.sqrt(sum(s**2 for s in scaled)) + 1e-6
    slope = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True))) + 1e-9
    return np.asarray((rho - 1) * rho / slope)


def _pair(point: tuple[_Field, ...], center: Point, radii: Point) -> _Field:
    """The same to two ellipsoids, left and right."""
    x, y, z = point
    return _distance((np.abs(x), y, z), center, radii)


def _share(level: _Field) -> _Field:
    """The part of each voxel in which ``level`` is negative, as if it were a plane there: partial volume."""
    slope = np.sqrt(sum(g**2 for g in np.gradient(level)))
    return np.asarray(np.clip(0.5 - level / np.maximum(slope, 1e-9), 0, 1))


def _points(grid: Grid) -> tuple[_Field, ...]:
    """World millimetres x, y, z of all voxels."""
    world = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return tuple(np.ascontiguousarray(world[..., i]) for i in range(3))


def _generator(seed: int, *stream: int) -> np.random.Generator:
    """Philox, keyed by the seed and what it draws."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=stream)))
