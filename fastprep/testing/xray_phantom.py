"""X-ray phantom: frontal radiographs of chests that all differ, and the lung fields on them, which are known.

On one phantom seen again anything is learned by heart. Here every seed is another patient: build, pose, lungs cut by
the diaphragm, a heart over the left one, shoulders, opacities that make lung as dense as what is around it, exposure
and noise. Ribs and mediastinum cross the lungs, and the air beside the body is darker than they are, so that no
threshold finds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.image import Image
from fastprep.testing.phantoms import Point, patient_grid

_Array = npt.NDArray[Any]

#: A pixel is lung field where the ray has at least so many mm of lung, opacities in it included.
LUNG_PATH = 10.0
_LUNG, _OPACITY_LIMIT = -800.0, 3
_HALF_DEPTH, _STEP = 118.0, 6.0


@dataclass(frozen=True, eq=False)
class XrayPhantom:
    """A radiograph, uint16 of 12 bits with dense bright, and its lung fields as a label Image: 1 right, 2 left.

    ``field`` is where a collimator let light through, everywhere without one.
    """

    image: Image
    lungs: Image
    field: Image


@dataclass(frozen=True)
class Collimator:
    """Shares of the image that its blades shade, all turned by ``rotation`` degrees around its middle.

    Beyond a blade it is "bright": hardly any light, scatter that fades, noise, half a penumbra of 1 mm. "dark" is a
    shutter that software drew: 0, and sharp.
    """

    top: float = 0.0
    bottom: float = 0.0
    left: float = 0.0
    right: float = 0.0
    rotation: float = 0.0
    border: str = "bright"


@dataclass(frozen=True)
class _Patient:
    """What differs between patients, in mm and HU; x runs to R, z to S."""

    size: Point
    tilt: float
    shift: tuple[float, float]
    lungs: tuple[tuple[Point, Point], tuple[Point, Point]]
    domes: tuple[tuple[Point, Point], tuple[Point, Point]]
    heart: tuple[Point, Point]
    shoulder: float
    fat: float
    rib_phase: float
    rib_slope: float
    opacities: tuple[tuple[Point, Point, float], ...]
    gain: float
    slope: tuple[float, float]
    noise: float


def xray_phantom(
    shape: Sequence[int] = (256, 256),
    spacing: Sequence[float] = (1.4, 1.4),
    *,
    seed: int = 0,
    collimated: Collimator | None = None,
) -> XrayPhantom:
    """The radiograph of patient ``seed``; rows run towards I, columns towards L. A collimator may shade its borders.

    A pixel is the attenuation along A-P as that of `chest_xray`, times an exposure, with noise.

    Examples
    --------
    >>> one = xray_phantom((64, 64), (5.6, 5.6), seed=3)
    >>> one.image.array.dtype, "".join(one.image.grid.axcodes), one.image.modality
    (dtype('uint16'), 'IL', 'DX')
    >>> sorted(np.unique(one.lungs.array).tolist())
    [0, 1, 2]
    """
    rng = np.random.default_rng((seed, 5))
    patient = _patient(rng)
    grid = patient_grid(shape, spacing, axes="IL")
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    world = grid.to_world(index).astype(np.float32)
    x, z = _posed(world[..., 0], world[..., 2], patient)
    path = np.zeros(grid.shape, np.float32)
    lungs = np.zeros((2, *grid.shape), np.float32)
    step = _STEP * patient.size[1]
    for y in np.arange(-_HALF_DEPTH, _HALF_DEPTH, _STEP) + _STEP / 2:
        hu, inside = _plane(x, float(y), z, patient)
        path += 0.02 * (1 + hu / 1000) * step
        lungs += inside * np.float32(step)
    signal = path / 6.5 * 4095 * patient.gain
    signal *= 1 + (patient.slope[0] * world[..., 0] + patient.slope[1] * world[..., 2]) / 180
    signal += rng.normal(0.0, patient.noise, grid.shape)
    labels = np.where(lungs.max(axis=0) < LUNG_PATH, 0, lungs.argmax(axis=0) + 1).astype(np.uint8)
    depth = np.full(grid.shape, np.inf) if collimated is None else _depth(grid.shape, grid.spacing, collimated)
    if collimated is not None:
        signal = _shaded(signal, depth, collimated, patient.noise, np.random.default_rng((seed, 6)))
    image = Image(np.rint(signal).clip(0, 4095).astype(np.uint16), grid, modality="DX")
    known = (Image(a, grid, kind="label", modality="DX") for a in (labels, (depth > 0).astype(np.uint8)))
    return XrayPhantom(image, *known)


def _depth(shape: Sequence[int], spacing: Sequence[float], how: Collimator) -> _Array:
    """Mm from the nearest blade, negative beyond it."""
    height, width = (n * s for n, s in zip(shape, spacing, strict=True))
    rows, columns = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True))
    c, s = np.cos(np.radians(how.rotation)), np.sin(np.radians(how.rotation))
    y = c * rows[:, None] + s * columns
    x = c * columns - s * rows[:, None]
    edges = []
    for share, inwards in ((how.top, y + height / 2), (how.bottom, height / 2 - y)):
        edges += [inwards - share * height] if share else []
    for share, inwards in ((how.left, x + width / 2), (how.right, width / 2 - x)):
        edges += [inwards - share * width] if share else []
    return np.min(edges, axis=0) if edges else np.full(tuple(shape), np.inf)


def _shaded(signal: _Array, depth: _Array, how: Collimator, noise: float, rng: np.random.Generator) -> _Array:
    """The radiograph with what is beyond the blades."""
    if how.border == "dark":
        return np.where(depth > 0, signal, 0)
    scatter = 4060 - 260 * np.exp(np.minimum(depth, 0) / 25)
    let_through = np.clip(0.5 + depth / 2, 0, 1)
    return let_through * signal + (1 - let_through) * (scatter + rng.normal(0, noise, signal.shape))


def _patient(rng: np.random.Generator) -> _Patient:
    def about(value: float, share: float) -> float:
        return float(value * rng.uniform(1 - share, 1 + share))

    lungs, domes, opacities = [], [], []
    for side in (1, -1):
        radii = (about(46, 0.15), about(62, 0.1), about(105, 0.15))
        center = (side * about(80, 0.06), 5.0, float(rng.uniform(-8, 8)))
        lungs.append((center, radii))
        top = center[2] - radii[2] * rng.uniform(0.35, 0.75)
        domes.append(((center[0], 0.0, top - 60), (about(58, 0.1), 95.0, 60.0)))
    for _ in range(rng.integers(0, _OPACITY_LIMIT + 1)):
        center, radii = lungs[rng.integers(2)]
        at = [c + r * rng.uniform(-0.6, 0.6) for c, r in zip(center, radii, strict=True)]
        size = tuple(float(v) for v in rng.uniform(10, 38, 3))
        opacities.append((tuple(at), size, float(rng.uniform(-450, 30))))
    heart = ((float(rng.uniform(-24, -4)), 25.0, about(-50, 0.2)), (about(42, 0.3), 42.0, about(56, 0.15)))
    return _Patient(
        size=(about(1, 0.1), about(1, 0.08), about(1, 0.1)),
        tilt=float(np.radians(rng.uniform(-7, 7))),
        shift=(float(rng.uniform(-15, 15)), float(rng.uniform(-18, 18))),
        lungs=(lungs[0], lungs[1]),
        domes=(domes[0], domes[1]),
        heart=heart,
        shoulder=about(48, 0.25),
        fat=about(15, 0.6),
        rib_phase=float(rng.uniform(0, 24)),
        rib_slope=float(rng.uniform(0.2, 0.5)),
        opacities=tuple(opacities),  # type: ignore[arg-type]
        gain=about(0.85, 0.25),
        slope=(float(rng.uniform(-0.12, 0.12)), float(rng.uniform(-0.12, 0.12))),
        noise=float(rng.uniform(8, 60)),
    )


def _posed(x: _Array, z: _Array, patient: _Patient) -> tuple[_Array, _Array]:
    """World coordinates as those of an upright body of average size."""
    x, z = x - patient.shift[0], z - patient.shift[1]
    c, s = np.float32(np.cos(patient.tilt)), np.float32(np.sin(patient.tilt))
    return (c * x + s * z) / patient.size[0], (c * z - s * x) / patient.size[2]


def _plane(x: _Array, y: float, z: _Array, patient: _Patient) -> tuple[_Array, _Array]:
    """HU of one coronal plane, and where right and left lung are in it."""

    def ball(center: Point, radii: Point) -> _Array:
        (a, b, c), (u, v, w) = center, radii
        return ((x - a) / u) ** 2 + ((y - b) / v) ** 2 + ((z - c) / w) ** 2 < 1

    wall = (x / 150) ** 2 + (y / 100) ** 2
    body = (x / (150 + patient.fat)) ** 2 + (y / (100 + patient.fat)) ** 2 < 1
    shoulders = ball((128, -10, 150), (75, 55, patient.shoulder)) | ball((-128, -10, 150), (75, 55, patient.shoulder))
    hu = np.full(x.shape, -1000, np.float32)
    hu[body] = -100
    hu[(wall < 1) | shoulders] = 40
    hu[(wall > 0.93**2) & (wall < 0.99**2) & (np.mod(z - patient.rib_slope * y + patient.rib_phase, 24.0) < 9)] = 700
    hu[(x / 17) ** 2 + ((y + 72) / 15) ** 2 < 1] = 700
    hu[((x / 9) ** 2 + ((y + 10) / 9) ** 2 < 1) & (z > 10)] = -1000
    cut = ball(*patient.heart) | ball(*patient.domes[0]) | ball(*patient.domes[1])
    lungs = np.stack([ball(*lung) & ~cut for lung in patient.lungs])
    hu[ball(*patient.heart)] = 50
    hu[lungs.any(axis=0)] = _LUNG
    for center, radii, value in patient.opacities:
        hu[ball(center, radii) & lungs.any(axis=0)] = value
    return hu, lungs
