"""Phantoms: scans of bodies that are formulas in world millimetres, so every answer about them is known.

A body is a list of parts, later ones over earlier ones, each a value and a region of RAS space; sampled on any
grid, oblique or sheared, it is the same anatomy. The origin is the middle of the body.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.grid import Grid, check_spacing
from fastprep.core.image import Image

_Array = npt.NDArray[Any]
_Region = Callable[[_Array, _Array, _Array], _Array]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """A region of space and what it is made of: HU for CT, arbitrary units for MRI."""

    name: str
    value: float
    region: _Region


def _ellipsoid(center: Point, radii: Point) -> _Region:
    (a, b, c), (u, v, w) = center, radii
    return lambda x, y, z: ((x - a) / u) ** 2 + ((y - b) / v) ** 2 + ((z - c) / w) ** 2 < 1


def _column(center: tuple[float, float], radii: tuple[float, float], *, above: float = -math.inf) -> _Region:
    """An elliptic cylinder along the body, from ``above`` to the head."""
    (a, b), (u, v) = center, radii
    return lambda x, y, z: (((x - a) / u) ** 2 + ((y - b) / v) ** 2 < 1) & (z > above)


def _volume_ml(*radii: float) -> float:
    return 4 / 3 * math.pi * math.prod(radii) / 1000


# The chest. The lungs, the nodule and the metal touch no other part, so their volumes are those of ellipsoids.
NODULE_CENTER: Point = (85.0, 8.0, 25.0)
NODULE_RADIUS = 12.0
NODULE_VOLUME_ML = _volume_ml(*[NODULE_RADIUS] * 3)
METAL_CENTER: Point = (0.0, -72.0, -30.0)
METAL_RADIUS = 7.0
METAL_VOLUME_ML = _volume_ml(*[METAL_RADIUS] * 3)
_LUNG: Point = (46.0, 62.0, 105.0)
#: Air in both lungs, without the nodule.
LUNG_VOLUME_ML = 2 * _volume_ml(*_LUNG) - NODULE_VOLUME_ML
_CHEST_WALL = (150.0, 100.0)


def _ribs(x: _Array, y: _Array, z: _Array) -> _Array:
    """Slanting bands of the chest wall, every 24 mm."""
    at = (x / _CHEST_WALL[0]) ** 2 + (y / _CHEST_WALL[1]) ** 2
    return (at > 0.93**2) & (at < 0.99**2) & (np.mod(z - 0.35 * y, 24.0) < 9)


def _table(x: _Array, y: _Array, z: _Array) -> _Array:
    return (np.abs(x) < 200) & (y < -122) & (y > -134) & np.isfinite(z)


#: Air, fat, soft tissue, bone and the rest, in HU; the label of a part is its place here.
CHEST: tuple[Part, ...] = (
    Part("air", -1000, lambda x, y, z: np.isfinite(x + y + z)),
    Part("table", -200, _table),
    Part("fat", -100, _column((0, 0), (165, 115))),
    Part("soft tissue", 40, _column((0, 0), _CHEST_WALL)),
    Part("ribs", 700, _ribs),
    Part("spine", 700, _column((0, -72), (17, 15))),
    Part("heart", 50, _ellipsoid((-5, 25, -45), (27, 38, 50))),
    Part("airway", -1000, _column((0, -10), (9, 9), above=10)),
    Part("right lung", -800, _ellipsoid((80, 5, 0), _LUNG)),
    Part("left lung", -800, _ellipsoid((-80, 5, 0), _LUNG)),
    Part("nodule", 60, _ellipsoid(NODULE_CENTER, (NODULE_RADIUS,) * 3)),
    Part("metal", 4000, _ellipsoid(METAL_CENTER, (METAL_RADIUS,) * 3)),
)

_VENTRICLE: Point = (6.0, 25.0, 9.0)
_WHITE, _GREY, _INSIDE = (46.0, 62.0, 54.0), (57.0, 73.0, 65.0), (60.0, 76.0, 68.0)
WHITE_VOLUME_ML = _volume_ml(*_WHITE) - 2 * _volume_ml(*_VENTRICLE)
GREY_VOLUME_ML = _volume_ml(*_GREY) - _volume_ml(*_WHITE)
BRAIN_VOLUME_ML = WHITE_VOLUME_ML + GREY_VOLUME_ML

#: The head on T1: fat bright, bone and fluid dark.
BRAIN: tuple[Part, ...] = (
    Part("air", 0, lambda x, y, z: np.isfinite(x + y + z)),
    Part("scalp", 600, _ellipsoid((0, 0, 0), (74, 92, 84))),
    Part("skull", 60, _ellipsoid((0, 0, 0), (66, 83, 75))),
    Part("fluid", 150, _ellipsoid((0, 0, 0), _INSIDE)),
    Part("grey", 450, _ellipsoid((0, 0, 0), _GREY)),
    Part("white", 700, _ellipsoid((0, 0, 0), _WHITE)),
    Part("right ventricle", 150, _ellipsoid((10, 0, 5), _VENTRICLE)),
    Part("left ventricle", 150, _ellipsoid((-10, 0, 5), _VENTRICLE)),
)


def patient_grid(shape: Sequence[int], spacing: Sequence[float], *, axes: str = "SPL", turn: Point = (0, 0, 0)) -> Grid:
    """A grid around the origin, its axes towards ``axes``, then turned about R, A and S by degrees."""
    steps = check_spacing(spacing, len(shape))
    directions = np.zeros((3, 3))
    for axis, code in enumerate(axes):
        world, sign = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}[code]
        directions[world, axis] = sign
    if len(axes) == 2:
        directions[:, 2] = np.cross(directions[:, 0], directions[:, 1])
    for axis, degrees in enumerate(turn):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        one = np.eye(3)
        one[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
        directions = one @ directions
    affine = np.eye(4)
    affine[:3, :3] = directions * [*steps, 1.0][:3]
    affine[:3, 3] = -affine[:3, : len(shape)] @ ((np.array(shape) - 1) / 2)
    return Grid(tuple(shape), affine)


def labels_on(grid: Grid, parts: Sequence[Part] = CHEST) -> Image:
    """The part each voxel's centre lies in, as uint8: its place in ``parts``."""
    out = np.zeros(grid.shape, np.uint8)
    for i in range(grid.shape[0]):
        x, y, z = _world(grid, slice(i, i + 1))
        for label, part in enumerate(parts):
            out[i : i + 1][part.region(x, y, z)] = label
    return Image(out, grid, kind="label")


def chest_ct(
    shape: Sequence[int] = (64, 128, 128),
    spacing: Sequence[float] = (4.0, 2.8, 2.8),
    seed: int = 0,
    *,
    noise: float = 15.0,
    metal: bool = False,
) -> Image:
    """A chest CT as scanners store it, axes (S, P, L): see `chest_ct_on`.

    Examples
    --------
    >>> ct = chest_ct((16, 32, 32), (16, 11, 11))
    >>> ct.array.dtype, "".join(ct.grid.axcodes), ct.modality
    (dtype('int16'), 'SPL', 'CT')
    """
    return chest_ct_on(patient_grid(shape, spacing), seed, noise=noise, metal=metal)


def chest_ct_on(grid: Grid, seed: int = 0, *, noise: float = 15.0, metal: bool = False) -> Image:
    """The chest on ``grid``: int16 HU in [-1024, 3071], as 12 bits hold them.

    ``noise`` is the standard deviation in HU; ``metal`` puts a sphere of 4000 HU, clipped, into the spine.
    """
    parts = CHEST if metal else CHEST[:-1]
    hu = _values(labels_on(grid, parts), parts)
    hu += np.random.default_rng(seed).normal(0.0, noise, grid.shape).astype(np.float32)
    return Image(np.rint(hu).clip(-1024, 3071).astype(np.int16), grid, modality="CT")


def brain_mri(
    shape: Sequence[int] = (64, 128, 128),
    spacing: Sequence[float] = (3.0, 1.6, 1.6),
    seed: int = 0,
    *,
    noise: float = 10.0,
    bias: float = 0.0,
) -> Image:
    """A T1 of the head, axes (S, A, R): see `brain_mri_on`."""
    return brain_mri_on(patient_grid(shape, spacing, axes="SAR"), seed, noise=noise, bias=bias)


def brain_mri_on(grid: Grid, seed: int = 0, *, noise: float = 10.0, bias: float = 0.0) -> Image:
    """The head on ``grid``: float32, tissue times ``exp(bias * log_bias(grid))``, magnitude of complex noise added."""
    tissue = _values(labels_on(grid, BRAIN), BRAIN) * np.exp(bias * log_bias(grid))
    rng = np.random.default_rng(seed)
    real, imaginary = rng.normal(0.0, noise, (2, *grid.shape))
    return Image(np.hypot(tissue + real, imaginary).astype(np.float32), grid, modality="MR")


def log_bias(grid: Grid) -> npt.NDArray[np.float64]:
    """A smooth field of second degree in world space, about -1 to 1 in the head."""
    x, y, z = _world(grid, slice(None)) / 90
    return np.asarray(0.5 * x - 0.3 * y + 0.2 * z + 0.4 * x * y - 0.5 * (z**2 - 0.25))


def chest_xray(shape: Sequence[int] = (256, 256), spacing: Sequence[float] = (1.4, 1.4), seed: int = 0) -> Image:
    """A frontal radiograph of the chest: uint16 of 12 bits, dense bright; rows run towards I, columns towards L.

    A pixel is the attenuation along A-P, ``sum of mu dy`` with ``mu = 0.02 / mm (1 + HU / 1000)``, scaled so that 4095
    is 6.5, plus noise.
    """
    grid = patient_grid(shape, spacing, axes="IL")
    path = np.zeros(grid.shape)
    step = 4.0
    for y in np.arange(-116, 116, step) + step / 2:
        affine = grid.affine.copy()
        affine[1, 3] = y
        hu = _values(labels_on(Grid(grid.shape, affine), CHEST[:-1]), CHEST)
        path += 0.02 * (1 + hu / 1000) * step
    signal = path / 6.5 * 4095 + np.random.default_rng(seed).normal(0.0, 8.0, grid.shape)
    return Image(np.rint(signal).clip(0, 4095).astype(np.uint16), grid, modality="DX")


def _world(grid: Grid, part: slice) -> npt.NDArray[np.float64]:
    """World millimetres (3, ...) of the voxels in ``part`` of the first axis."""
    first, *rest = (np.arange(n) for n in grid.shape)
    index = np.stack(np.meshgrid(first[part], *rest, indexing="ij"), axis=-1)
    return np.moveaxis(grid.to_world(index), -1, 0)


def _values(labels: Image, parts: Sequence[Part]) -> npt.NDArray[np.float32]:
    table = np.array([p.value for p in parts], dtype=np.float32)
    return np.asarray(table[labels.array])


def write_demo_cohort(folder: Path) -> None:
    """Scans as they come from a hospital, in ``ct``, ``mri`` and ``xray`` under ``folder``; no network, no patient.

    Two chest CTs of other spacing and orientation, file names in no order; one with a slice missing, which readers
    must refuse; a T1 as NIfTI; a MONOCHROME1 radiograph as DICOM and its picture as PNG.
    """
    from fastprep.io import save

    folder = Path(folder)
    ct, mri, xray = (folder / name for name in ("ct", "mri", "xray"))
    for path in (mri, xray):
        path.mkdir(parents=True, exist_ok=True)
    write_ct_series(chest_ct(seed=1), ct / "patient-01", seed=1)
    turned = patient_grid((64, 128, 128), (3.5, 3.0, 3.0), turn=(4, -3, 2))
    write_ct_series(chest_ct_on(turned, seed=2), ct / "patient-02", seed=2)
    write_ct_series(chest_ct(seed=3), ct / "patient-03-slice-missing", seed=3, missing=(30,))
    save(brain_mri(seed=4, bias=0.3), mri / "patient-04.nii.gz")
    radiograph = chest_xray(seed=5)
    write_radiograph(radiograph, xray / "patient-05.dcm", seed=5)
    save(radiograph, xray / "patient-06.png")


def write_ct_series(image: Image, folder: Path, *, seed: int = 0, missing: Sequence[int] = ()) -> None:
    """An int16 volume in HU as one uncompressed DICOM file per slice, names and InstanceNumbers shuffled.

    The slices of ``missing`` are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dz, dy, dx = image.spacing
    lps = image.grid.lps
    names = np.random.default_rng(seed).permutation(len(image.array))
    for k, plane in enumerate(image.array):
        if k in missing:
            continue
        tags = {
            "Modality": "CT",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "InstanceNumber": int(names[-1 - k]) + 1,
            "ImagePositionPatient": _decimals(lps[:3, 3] + k * lps[:3, 0]),
            "ImageOrientationPatient": _decimals([*lps[:3, 2] / dx, *lps[:3, 1] / dy]),
            "PixelSpacing": _decimals([dy, dx]),
            "SliceThickness": _decimals([dz])[0],
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
            "RescaleType": "HU",
            "PhotometricInterpretation": "MONOCHROME2",
        }
        stored = (plane + 1024).astype(np.uint16)
        _write_dicom(stored, folder / f"IM{names[k]:04d}.dcm", "CTImageStorage", tags, (seed, k))


def write_radiograph(image: Image, path: Path, *, seed: int = 0) -> None:
    """A 12-bit picture as DICOM DX, MONOCHROME1: dense is dark, as stored on film."""
    tags = {
        "Modality": "DX",
        "InstanceNumber": 1,
        "PixelSpacing": _decimals(image.spacing),
        "ImagerPixelSpacing": _decimals(image.spacing),
        "PatientOrientation": ["L", "F"],
        "ViewPosition": "AP",
        "PhotometricInterpretation": "MONOCHROME1",
    }
    _write_dicom(4095 - image.array, path, "DigitalXRayImageStorageForPresentation", tags, (seed, 0))


def _write_dicom(stored: _Array, path: Path, storage: str, tags: Mapping[str, Any], key: tuple[int, int]) -> None:
    from fastprep.io._extras import require

    pydicom = require("pydicom")
    series, number = key

    def uid(*what: Any) -> Any:
        return pydicom.uid.generate_uid(entropy_srcs=["fastprep phantom", *map(str, what)])

    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = getattr(pydicom.uid, storage)
    meta.MediaStorageSOPInstanceUID = uid("instance", series, number)
    ds = pydicom.Dataset()
    ds.file_meta = meta
    fixed = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": uid("study", series),
        "SeriesInstanceUID": uid("series", series),
        "FrameOfReferenceUID": uid("frame", series),
        "PatientName": "Phantom^Chest",
        "PatientID": f"PHANTOM-{series:02d}",
        "PatientBirthDate": "",
        "PatientSex": "O",
        "StudyDate": "20000101",
        "StudyTime": "000000",
        "StudyID": str(series),
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "SeriesNumber": series,
        "Manufacturer": "fastprep phantom",
        "SamplesPerPixel": 1,
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
    }
    for name, value in {**fixed, **tags}.items():
        setattr(ds, name, value)
    ds.PixelData = stored.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    ds.save_as(path, enforce_file_format=True)


def _decimals(values: Any) -> list[str]:
    """DICOM decimal strings: at most 16 characters."""
    return [next(t for t in (f"{v:.{p}g}" for p in range(14, 0, -1)) if len(t) <= 16) for v in map(float, values)]
